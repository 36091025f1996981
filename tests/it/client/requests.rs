//! What is sent.

use super::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use script::Seen;
use taskrouter_streams::twilio::twiml;

/// Performs the operation, whatever its end, and returns what was asked.
async fn asked(operation: &Operation) -> Seen {
    let (_, script) = performed(operation, [Reply::Bytes(answer(200, &[], "{}"))]).await;
    script.only()
}

fn api(rest: &str) -> String {
    format!("/2010-04-01/Accounts/{ACCOUNT}/{rest}")
}

#[tokio::test]
async fn every_request_says_who_asks_and_what_it_takes() {
    for operation in every_operation() {
        let seen = asked(&operation).await;
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{ACCOUNT}:{SECRET}")));
        assert_eq!(seen.headers["authorization"], basic);
        assert_eq!(seen.headers["accept"], "application/json");
        let agent = &seen.headers["user-agent"];
        assert!(agent.starts_with("taskrouter-streams/") && agent.ends_with(" rust"), "{agent}");
        let is_form = seen.headers.get("content-type").map(String::as_str) == Some("application/x-www-form-urlencoded");
        assert_eq!(is_form, seen.line.starts_with("POST"), "{seen:?}");
    }
}

#[tokio::test]
async fn an_api_key_asks_for_the_same_account() {
    let script = Script::start([Reply::Bytes(answer(200, &[], "{}"))]).await;
    let credentials = Credentials::ApiKey { key: "SK1".into(), secret: SecretString::from("s:1") };
    let client = Client::new(ClientSettings { credentials, ..settings(&script.url()) }).unwrap();
    client.perform(&stop_stream()).await;
    let seen = script.only();
    assert_eq!(seen.headers["authorization"], format!("Basic {}", BASE64_STANDARD.encode("SK1:s:1")));
    assert!(seen.line.contains(ACCOUNT), "{seen:?}");
}

#[tokio::test]
async fn reads_are_gets_of_the_documented_paths() {
    let expected = [
        (fetch_task(), format!("/v1/Workspaces/{WORKSPACE}/Tasks/{TASK}")),
        (find_conference(), api(&format!("Conferences.json?FriendlyName={TASK}&Status=in-progress"))),
        (fetch_conference(), api(&format!("Conferences/{CONFERENCE}.json"))),
        (read_participants(), api(&format!("Conferences/{CONFERENCE}/Participants.json?PageSize=250"))),
    ];
    for (operation, target) in expected {
        let seen = asked(&operation).await;
        assert_eq!(seen.line, format!("GET {target} HTTP/1.1"));
        assert_eq!(seen.body, "");
    }
}

#[tokio::test]
async fn the_customer_is_updated_in_one_request_and_only_in_what_changes() {
    let line = format!("POST {} HTTP/1.1", api(&format!("Conferences/{CONFERENCE}/Participants/{CUSTOMER}.json")));
    for (guard, hold, form) in [
        (Some(Guard::Lowered), Some(false), "EndConferenceOnExit=false&Hold=false"),
        (Some(Guard::Raised), None, "EndConferenceOnExit=true"),
        (None, Some(true), "Hold=true"),
    ] {
        let seen = asked(&update_customer(guard, hold)).await;
        assert_eq!((seen.line, seen.body.as_str()), (line.clone(), form));
    }
}

#[tokio::test]
async fn a_redirect_sends_twiml_that_stops_starts_and_dials_back() {
    let operation = Operation::Redirect {
        customer: customer(),
        room: "Room & <co>".into(),
        stop: vec!["Stream_old".into()],
        start: vec![start(1)],
    };
    let seen = asked(&operation).await;
    assert_eq!(seen.line, format!("POST {} HTTP/1.1", api(&format!("Calls/{CUSTOMER}.json"))));
    let form: Vec<(String, String)> = serde_urlencoded::from_str(&seen.body).unwrap();
    let [(name, twiml)] = form.as_slice() else { panic!("{form:?}") };
    assert_eq!(name, "Twiml");
    let expected = format!(
        "<Response><Stop><Stream name=\"Stream_old\"/></Stop>\
         <Start><Stream name=\"Stream_{WORKER}_{RESERVATION}\" url=\"wss://audio.example.com/b&amp;c\" \
         track=\"inbound_track\"><Parameter name=\"workerSid\" value=\"{WORKER}\"/>\
         <Parameter name=\"reservationSid\" value=\"{RESERVATION}\"/>\
         <Parameter name=\"taskSid\" value=\"{TASK}\"/></Stream></Start>\
         <Dial><Conference beep=\"false\" endConferenceOnExit=\"true\">Room &amp; &lt;co&gt;</Conference></Dial></Response>"
    );
    assert_eq!(*twiml, expected);
    assert!(twiml::parse(twiml).is_ok());
    assert_eq!(seen.body, serde_urlencoded::to_string([("Twiml", twiml)]).unwrap());
}

#[tokio::test]
async fn a_stream_is_stopped_by_its_name_whatever_is_in_it() {
    let line = |name: &str| format!("POST {} HTTP/1.1", api(&format!("Calls/{CUSTOMER}/Streams/{name}.json")));
    for (name, encoded) in [("Stream_1", "Stream_1"), ("a/b ?#%é", "a%2Fb%20%3F%23%25%C3%A9"), ("..", "..")] {
        let seen = asked(&Operation::StopStream { customer: customer(), name: name.into(), sid: None }).await;
        assert_eq!(seen.line, line(encoded));
        assert_eq!(seen.body, "Status=stopped");
    }
}

#[tokio::test]
async fn a_stream_is_stopped_by_its_sid_when_that_is_known() {
    let sid = "MZ00000000000000000000000000000001";
    let operation =
        Operation::StopStream { customer: customer(), name: "Stream_1".into(), sid: Some(sid.parse().unwrap()) };
    assert_eq!(
        asked(&operation).await.line,
        format!("POST {} HTTP/1.1", api(&format!("Calls/{CUSTOMER}/Streams/{sid}.json")))
    );
}

#[tokio::test]
async fn a_stream_is_created_with_its_parameters_numbered_and_its_status_told_to_us() {
    let stream = StreamStart { parameters: vec![("who".into(), "a&b é".into())], ..start(0) };
    let mut settings = settings("http://unused");
    settings.destinations[0].confirms = true;
    let site = taskrouter_streams::twilio::client::AccountContext {
        account_sid: settings.account_sid,
        workspace_sid: settings.workspace_sid,
        destinations: settings.destinations,
        status_url: settings.status_url,
    };
    let request = site.request(&Operation::CreateStream { customer: customer(), stream: stream.clone() }).unwrap();
    assert_eq!(request.path[3..], ["Calls", CUSTOMER, "Streams.json"]);
    let form: Vec<(String, String)> =
        request.form.unwrap().into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
    let expected = [
        ("Url", "wss://audio.example.com/a"),
        ("Name", stream.name.as_str()),
        ("Track", "both_tracks"),
        ("StatusCallback", &format!("https://streams.example.com/streams/status?task={TASK}")),
        ("Parameter1.Name", "workerSid"),
        ("Parameter1.Value", WORKER),
        ("Parameter2.Name", "reservationSid"),
        ("Parameter2.Value", RESERVATION),
        ("Parameter3.Name", "taskSid"),
        ("Parameter3.Value", TASK),
        ("Parameter4.Name", "who"),
        ("Parameter4.Value", "a&b é"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // The wire: without status callbacks, as the settings of these tests have it.
    let seen = asked(&Operation::CreateStream { customer: customer(), stream }).await;
    assert_eq!(seen.line, format!("POST {} HTTP/1.1", api(&format!("Calls/{CUSTOMER}/Streams.json"))));
    assert!(
        seen.body.contains("Parameter4.Value=a%26b+%C3%A9") && !seen.body.contains("StatusCallback"),
        "{}",
        seen.body
    );
}

#[tokio::test]
async fn a_name_to_look_for_is_encoded() {
    let seen = asked(&Operation::FindConference { friendly_name: "a&b=c d+é".into() }).await;
    let target = api("Conferences.json?FriendlyName=a%26b%3Dc+d%2B%C3%A9&Status=in-progress");
    assert_eq!(seen.line, format!("GET {target} HTTP/1.1"));
}

#[tokio::test]
async fn a_base_url_may_have_a_path() {
    for slash in ["", "/"] {
        let script = Script::start([Reply::Bytes(answer(200, &[], "{}"))]).await;
        let client = Client::new(settings(&format!("{}/proxy{slash}", script.url()))).unwrap();
        client.perform(&fetch_task()).await;
        assert_eq!(script.only().line, format!("GET /proxy/v1/Workspaces/{WORKSPACE}/Tasks/{TASK} HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_base_url_without_a_host_makes_no_client() {
    for base in ["data:text/plain,x", "mailto:a@b", "ftp://h"] {
        assert!(Client::new(settings(base)).is_err(), "{base}");
    }
}

#[tokio::test]
async fn twiml_that_twilio_would_refuse_is_not_sent() {
    let long =
        Operation::Redirect { customer: customer(), room: TASK.into(), stop: vec!["x".repeat(4000)], start: vec![] };
    let nowhere = Operation::Redirect { customer: customer(), room: TASK.into(), stop: vec![], start: vec![start(2)] };
    for (operation, word) in [(long, "4000"), (nowhere, "streams.destinations")] {
        let (performed, script) = performed(&operation, []).await;
        let Outcome::Refused(trouble) = performed.outcome else { panic!("{performed:?}") };
        assert!(trouble.reason.contains(word), "{trouble:?}");
        assert_eq!(script.seen().len(), 0);
    }
}
