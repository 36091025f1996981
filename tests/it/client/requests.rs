//! What is sent.

use super::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use script::Seen;

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
        (fetch_call(), api(&format!("Calls/{CUSTOMER}.json"))),
        (list_recordings(of_call()), api(&format!("Calls/{CUSTOMER}/Recordings.json?PageSize=250"))),
        (list_recordings(of_conference()), api(&format!("Conferences/{CONFERENCE}/Recordings.json?PageSize=250"))),
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
        // A leg that entered with a beep would beep when we take it out.
        (Some(Guard::Lowered), Some(false), "EndConferenceOnExit=false&BeepOnExit=false&Hold=false"),
        (Some(Guard::Lowered), None, "EndConferenceOnExit=false&BeepOnExit=false"),
        (Some(Guard::Raised), None, "EndConferenceOnExit=true"),
        (None, Some(true), "Hold=true"),
    ] {
        let seen = asked(&update_customer(guard, hold)).await;
        assert_eq!((seen.line, seen.body.as_str()), (line.clone(), form));
    }
}

#[tokio::test]
async fn a_recording_is_paused_with_silence_and_resumed_by_its_sid() {
    for (of, place) in
        [(of_call(), format!("Calls/{CUSTOMER}")), (of_conference(), format!("Conferences/{CONFERENCE}"))]
    {
        let line = |which: &str| format!("POST {} HTTP/1.1", api(&format!("{place}/Recordings/{which}.json")));
        let paused = "Status=paused&PauseBehavior=silence";
        for (operation, which, form) in [
            (pause_recording(of.clone(), true), "Twilio.CURRENT", paused),
            (pause_recording(of.clone(), false), RECORDING, paused),
            (resume_recording(of), RECORDING, "Status=in-progress"),
        ] {
            let seen = asked(&operation).await;
            assert_eq!((seen.line, seen.body.as_str()), (line(which), form));
        }
    }
}

#[tokio::test]
async fn a_redirect_sends_twiml_that_stops_starts_and_dials_back() {
    let seen = asked(&redirect_to("Room & <co>", vec!["Stream_old".into()], vec![start(1)])).await;
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
    assert!(twilio_simulator::world::twiml::read_inline(twiml).is_ok());
    assert_eq!(seen.body, serde_urlencoded::to_string([("Twiml", twiml)]).unwrap());
}

#[tokio::test]
async fn a_stream_is_stopped_by_its_name_whatever_is_in_it() {
    let line = |name: &str| format!("POST {} HTTP/1.1", api(&format!("Calls/{CUSTOMER}/Streams/{name}.json")));
    for (name, encoded) in [("Stream_1", "Stream_1"), ("a/b ?#%é", "a%2Fb%20%3F%23%25%C3%A9"), ("..", "..")] {
        let seen = asked(&stop_named(name, None)).await;
        assert_eq!(seen.line, line(encoded));
        assert_eq!(seen.body, "Status=stopped");
    }
}

#[tokio::test]
async fn a_stream_is_stopped_by_its_sid_when_that_is_known() {
    let sid = "MZ00000000000000000000000000000001";
    assert_eq!(
        asked(&stop_named("Stream_1", Some(sid))).await.line,
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
    let request = site
        .request(&Operation::Command(Command::CreateStream { customer: customer(), stream: stream.clone() }))
        .unwrap();
    assert_eq!(request.path[3..], ["Calls", CUSTOMER, "Streams.json"]);
    let form: Vec<(String, String)> =
        request.form.unwrap().into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
    let expected = [
        ("Url", "wss://audio.example.com/a"),
        ("Name", stream.name.as_str()),
        ("Track", "both_tracks"),
        ("StatusCallback", &format!("https://streams.example.com/streams/status?task={TASK}#rc=3&rp=5xx,ct,rt")),
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
    let seen = asked(&Operation::Command(Command::CreateStream { customer: customer(), stream })).await;
    assert_eq!(seen.line, format!("POST {} HTTP/1.1", api(&format!("Calls/{CUSTOMER}/Streams.json"))));
    assert!(
        seen.body.contains("Parameter4.Value=a%26b+%C3%A9") && !seen.body.contains("StatusCallback"),
        "{}",
        seen.body
    );
}

/// A client whose first destination has status callbacks, and what it was asked.
async fn created_with_callback(replies: impl IntoIterator<Item = Reply>) -> (Performed, Vec<String>) {
    let script = Script::start(replies).await;
    let mut settings = settings(&script.url());
    settings.destinations[0].confirms = true;
    let performed = Client::new(settings).unwrap().perform(&create_stream()).await;
    let form = |seen: Seen| serde_urlencoded::from_str::<Vec<(String, String)>>(&seen.body).unwrap();
    let callback = |seen| form(seen).into_iter().find(|(name, _)| name == "StatusCallback").unwrap().1;
    (performed, script.seen().into_iter().map(callback).collect())
}

#[tokio::test]
async fn a_create_refused_with_400_is_tried_once_without_the_callbacks_fragment() {
    let plain = format!("https://streams.example.com/streams/status?task={TASK}");
    let whole = format!("{plain}#rc=3&rp=5xx,ct,rt");
    let refused = || Reply::Bytes(answer(400, &[], r#"{"code": 21626, "status": 400}"#));
    let created = Reply::Bytes(answer(201, &[], r#"{"sid": "MZ00000000000000000000000000000001"}"#));
    let (performed, asked) = created_with_callback([refused(), created]).await;
    assert!(matches!(performed.outcome, Outcome::Done(_)), "{performed:?}");
    assert_eq!(asked, [whole.clone(), plain.clone()]);
    let (performed, asked) = created_with_callback([refused(), refused()]).await;
    assert!(matches!(performed.outcome, Outcome::Refused(_)), "{performed:?}");
    assert_eq!(asked, [whole.clone(), plain]);
    // Whatever may have been carried out is not sent again.
    for status in [401, 404, 429, 500, 503] {
        let (_, asked) = created_with_callback([Reply::Bytes(answer(status, &[], r#"{"code": 20500}"#))]).await;
        assert_eq!(asked, std::slice::from_ref(&whole), "{status}");
    }
}

#[tokio::test]
async fn a_conference_is_ended_by_its_status() {
    let seen = asked(&end_conference()).await;
    assert_eq!(seen.line, format!("POST {} HTTP/1.1", api(&format!("Conferences/{CONFERENCE}.json"))));
    assert_eq!(seen.body, "Status=completed");
}

#[tokio::test]
async fn the_way_back_into_the_conference_has_the_guard_as_it_was() {
    for (guard, written) in [(Guard::Raised, "true"), (Guard::Lowered, "false")] {
        let Operation::Command(Command::Redirect { customer, friendly_name, read_at, stop, start, .. }) = redirect()
        else {
            unreachable!()
        };
        let command = Command::Redirect { customer, friendly_name, guard, read_at, stop, start };
        let seen = asked(&Operation::Command(command)).await;
        let form: Vec<(String, String)> = serde_urlencoded::from_str(&seen.body).unwrap();
        assert!(form[0].1.contains(&format!("endConferenceOnExit=\"{written}\"")), "{form:?}");
    }
}

#[tokio::test]
async fn a_name_to_look_for_is_encoded() {
    let seen = asked(&Operation::Read(Read::FindConference { friendly_name: "a&b=c d+é".into() })).await;
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
    let long = redirect_to(TASK, vec!["x".repeat(4000)], vec![]);
    let nowhere = redirect_to(TASK, vec![], vec![start(2)]);
    for (operation, word) in [(long, "4000"), (nowhere, "streams.destinations")] {
        let (performed, script) = performed(&operation, []).await;
        let Outcome::Refused(trouble) = performed.outcome else { panic!("{performed:?}") };
        assert!(trouble.reason.contains(word), "{trouble:?}");
        assert_eq!(script.seen().len(), 0);
    }
}

#[test]
fn a_redirect_is_fitted_before_it_is_sent_and_says_which_parameters_are_not_whole() {
    let settings = settings("http://unused");
    let site = taskrouter_streams::twilio::client::AccountContext {
        account_sid: settings.account_sid,
        workspace_sid: settings.workspace_sid,
        destinations: settings.destinations,
        status_url: settings.status_url,
    };
    let stream = |count: usize| StreamStart {
        parameters: (0..count).map(|n| (format!("n{n}"), "<".repeat(400))).chain([("s".into(), "s".into())]).collect(),
        altered: vec!["n1".into()],
        ..start(0)
    };
    let redirect = |stream| {
        Operation::Command(Command::Redirect {
            customer: customer(),
            friendly_name: TASK.into(),
            guard: Guard::Raised,
            read_at: 0,
            stop: Vec::new(),
            start: vec![stream],
        })
    };
    let long = redirect(stream(8));
    assert!(site.request(&long).is_err());
    let fitted = site.fit(long.clone());
    site.request(&fitted).unwrap();
    let sent = &fitted.command().unwrap().starts()[0];
    assert_eq!(sent.altered, ["n1", "n0", "n2", "n3", "n4", "n5", "n6", "n7"]);
    assert_eq!(sent.parameters.last(), Some(&("s".to_owned(), "s".to_owned())));
    assert_eq!(site.fit(fitted.clone()), fitted, "once is enough");
    let create = Operation::Command(Command::CreateStream { customer: customer(), stream: stream(8) });
    for whole in [redirect(stream(1)), create, fetch_task()] {
        assert_eq!(site.fit(whole.clone()), whole);
    }
}
