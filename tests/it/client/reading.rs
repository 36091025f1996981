//! What is read from a 2xx.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use taskrouter_streams::call::fact::CallAttributes;
use taskrouter_streams::call::recording::{RecordingRow, RecordingStatus};
use taskrouter_streams::call::step::{Answer, CallRow, CallStatus, ConferenceRow, ParticipantRow, Role};
use taskrouter_streams::twilio::attributes::Attributes;

async fn answered(operation: &Operation, body: &Value) -> Outcome {
    outcome(operation, 200, &[], &body.to_string()).await
}

#[track_caller]
fn is_unreadable(outcome: &Outcome) {
    let Outcome::Unknown(trouble) = outcome else { panic!("{outcome:?}") };
    assert_eq!(trouble.status, Some(200));
}

#[tokio::test]
async fn a_task_is_read_for_its_attributes() {
    let attributes = json!({"call_sid": AGENT, "direction": "inbound",
        "conference": {"sid": CONFERENCE, "participants": {"customer": CUSTOMER, "worker": AGENT}}});
    let agent: CallSid = AGENT.parse().unwrap();
    let expected = CallAttributes {
        customer: Some(customer()),
        call_sid: Some(agent.clone()),
        conference: Some(conference()),
        other_legs: [agent].into(),
        ..CallAttributes::default()
    };
    let read = answered(&fetch_task(), &json!({"sid": TASK, "attributes": attributes.to_string()})).await;
    assert_eq!(read, Outcome::Done(Answer::Task(expected)));
    let nothing = Outcome::Done(Answer::Task(CallAttributes::default()));
    assert_eq!(answered(&fetch_task(), &json!({"sid": TASK, "attributes": null})).await, nothing);
    assert_eq!(answered(&fetch_task(), &json!({"sid": TASK})).await, nothing);
}

#[test]
fn attributes_are_read_as_far_as_they_go() {
    let nothing = CallAttributes::default();
    for json in
        ["", "null", "[]", "7", "{", "{}", r#"{"conference": "x"}"#, r#"{"call_sid": 7, "direction": ["outbound"]}"#]
    {
        assert_eq!(Attributes::read(json).call(), nothing, "{json}");
    }
    let by_call = json!({"call_sid": CUSTOMER, "conference": {"participants": {"customer": "nobody"}}}).to_string();
    assert_eq!(Attributes::read(&by_call).call(), CallAttributes { call_sid: Some(customer()), ..nothing.clone() });
    let outbound = json!({"direction": "outbound", "conference": {"sid": CONFERENCE}}).to_string();
    let expected = CallAttributes { outbound: true, conference: Some(conference()), ..nothing };
    assert_eq!(Attributes::read(&outbound).call(), expected);
}

fn row(sid: &str, name: &str, status: &str, created: &str) -> Value {
    json!({"sid": sid, "friendly_name": name, "status": status, "date_created": created})
}

#[tokio::test]
async fn of_several_conferences_the_newest_in_progress_of_that_name_is_taken() {
    let sid = |n: u8| format!("CF{n:032}");
    let found = |list: Vec<Value>| async move { answered(&find_conference(), &json!({ "conferences": list })).await };
    let is = |n: u8| {
        let row = ConferenceRow {
            sid: sid(n).parse().unwrap(),
            friendly_name: TASK.into(),
            in_progress: true,
            to_come: false,
        };
        Outcome::Done(Answer::Conference(Some(row)))
    };
    let none = Outcome::Done(Answer::Conference(None));
    assert_eq!(found(vec![]).await, none);
    let day = |day: u8| format!("{}, {day:02} Nov 2026 10:00:00 +0000", ["Sun", "Mon", "Tue"][usize::from(day - 22)]);
    let three = vec![
        row(&sid(1), TASK, "in-progress", &day(22)),
        row(&sid(2), TASK, "in-progress", &day(24)),
        row(&sid(3), TASK, "in-progress", &day(23)),
    ];
    assert_eq!(found(three).await, is(2));
    let equals = vec![row(&sid(1), TASK, "in-progress", &day(22)), row(&sid(2), TASK, "in-progress", &day(22))];
    assert_eq!(found(equals).await, is(1));
    let one_fits = vec![
        row(&sid(1), TASK, "completed", &day(24)),
        row(&sid(2), "another", "in-progress", &day(24)),
        row("nonsense", TASK, "in-progress", &day(24)),
        json!({"sid": null, "friendly_name": null, "status": null}),
        row(&sid(5), TASK, "in-progress", "one day"),
    ];
    assert_eq!(found(one_fits).await, is(5));
    assert_eq!(found(vec![row(&sid(1), TASK, "init", &day(24))]).await, none);
}

#[tokio::test]
async fn a_conference_is_read_with_its_own_name_and_state() {
    for status in ["in-progress", "init", "completed", "new"] {
        let (in_progress, to_come) = (status == "in-progress", status == "init");
        let read = answered(&fetch_conference(), &row(CONFERENCE, "Room", status, "")).await;
        let row = ConferenceRow { sid: conference(), friendly_name: "Room".into(), in_progress, to_come };
        assert_eq!(read, Outcome::Done(Answer::Conference(Some(row))));
    }
    // A guessed name would lead the customer into a new conference.
    is_unreadable(&answered(&fetch_conference(), &json!({"sid": CONFERENCE, "status": "in-progress"})).await);
}

fn connected(call: &str) -> ParticipantRow {
    let (call, role) = (call.parse().unwrap(), Role::Unsaid);
    ParticipantRow { call, guard: None, hold: None, connected: true, date_created: None, role }
}

#[tokio::test]
async fn participants_are_read_with_what_is_known_of_them() {
    let body = json!({"next_page_uri": null, "participants": [
        {"call_sid": CUSTOMER, "end_conference_on_exit": true, "hold": false, "status": "connected",
         "date_created": "Fri, 18 Feb 2011 21:07:19 +0000", "label": null, "something": {"new": 1}},
        {"call_sid": AGENT, "end_conference_on_exit": false, "hold": null, "status": "ringing"},
        {"call_sid": AGENT},
        {"call_sid": null, "status": "queued"},
    ]});
    let expected = vec![
        ParticipantRow {
            guard: Some(Guard::Raised),
            hold: Some(false),
            date_created: Some("Fri, 18 Feb 2011 21:07:19 +0000".into()),
            ..connected(CUSTOMER)
        },
        ParticipantRow { guard: Some(Guard::Lowered), connected: false, ..connected(AGENT) },
        connected(AGENT),
    ];
    assert_eq!(answered(&read_participants(), &body).await, Outcome::Done(Answer::Participants(expected)));
    let empty = json!({ "participants": [] });
    assert_eq!(answered(&read_participants(), &empty).await, Outcome::Done(Answer::Participants(vec![])));
}

fn path() -> String {
    format!("/2010-04-01/Accounts/{ACCOUNT}/Conferences/{CONFERENCE}/Participants.json")
}

fn page(call: &str, next: Option<String>) -> Reply {
    let body = json!({"participants": [{"call_sid": call}], "next_page_uri": next});
    Reply::Bytes(answer(200, &[("Twilio-Request-Id", REQUEST)], &body.to_string()))
}

#[tokio::test]
async fn every_page_of_the_participants_is_read() {
    let query = "PageSize=250&Page=1&PageToken=PACPx%2By";
    let replies = [page(CUSTOMER, Some(format!("{}?{query}", path()))), page(AGENT, None)];
    let (performed, script) = performed(&read_participants(), replies).await;
    let all = vec![connected(CUSTOMER), connected(AGENT)];
    assert_eq!(performed.outcome, Outcome::Done(Answer::Participants(all)));
    let seen = script.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].line, format!("GET {}?{query} HTTP/1.1", path()));
    assert!(seen[1].headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let endless = (0..9).map(|n| page(CUSTOMER, Some(format!("{}?Page={n}", path()))));
    let (performed, script) = performed(&read_participants(), endless).await;
    is_unreadable(&performed.outcome);
    assert_eq!(script.seen().len(), 3, "max_pages");
}

#[tokio::test]
async fn a_page_that_lies_elsewhere_does_not_get_our_credentials() {
    let elsewhere = Script::start([]).await;
    for next in [
        format!("{}{}?Page=1", elsewhere.url(), path()),
        format!("//{}{}?Page=1", elsewhere.address, path()),
        format!("@{}{}?Page=1", elsewhere.address, path()),
        "/2010-04-01/Accounts.json?Page=1".into(),
        path(),
    ] {
        let (performed, script) = performed(&read_participants(), [page(CUSTOMER, Some(next))]).await;
        is_unreadable(&performed.outcome);
        script.only();
    }
    assert_eq!(elsewhere.seen().len(), 0);
}

#[tokio::test]
async fn a_later_page_that_fails_fails_the_reading() {
    let next = Some(format!("{}?Page=1", path()));
    let (performed, _) =
        performed(&read_participants(), [page(CUSTOMER, next), Reply::Bytes(answer(429, &[], ""))]).await;
    assert!(matches!(performed.outcome, Outcome::TryLater(_)), "{performed:?}");
}

fn listed(number: u32, status: RecordingStatus) -> RecordingRow {
    RecordingRow { sid: format!("RE{number:032}").parse().unwrap(), status }
}

#[tokio::test]
async fn every_page_of_the_recordings_is_read_and_what_is_not_known_to_be_over_is_in_progress() {
    let row = |(number, status): (u32, Option<&str>)| json!({"sid": format!("RE{number:032}"), "status": status});
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/{CUSTOMER}/Recordings.json");
    let page = |rows: &[(u32, Option<&str>)], next: Option<String>| {
        let rows: Vec<Value> = rows.iter().copied().map(row).collect();
        let body = json!({"recordings": rows, "next_page_uri": next});
        Reply::Bytes(answer(200, &[], &body.to_string()))
    };
    let words = ["in-progress", "paused", "stopped", "processing", "completed", "absent", "rewinding"];
    let first: Vec<_> = (1..).zip(words.map(Some)).collect();
    let pages = [page(&first, Some(format!("{path}?Page=1"))), page(&[(8, None)], None)];
    let (performed, script) = performed(&list_recordings(of_call()), pages).await;
    use RecordingStatus::{InProgress, Over, Paused};
    let statuses = [InProgress, Paused, Over, Over, Over, Over, InProgress, InProgress];
    let rows = (1..).zip(statuses).map(|(number, status)| listed(number, status)).collect();
    assert_eq!(performed.outcome, Outcome::Done(Answer::Recordings(rows)));
    assert_eq!(script.seen().len(), 2);
    // What cannot be named could not be paused.
    is_unreadable(&answered(&list_recordings(of_call()), &json!({"recordings": [{"status": "in-progress"}]})).await);
    is_unreadable(&answered(&list_recordings(of_conference()), &json!({})).await);
}

#[tokio::test]
async fn a_change_of_a_recording_is_taken_when_the_answer_says_so() {
    let body = |status: &str| json!({"sid": RECORDING, "status": status});
    let (pause, resume) = (pause_recording(of_call(), true), resume_recording(of_conference()));
    let taken = |status| Outcome::Done(Answer::Recording(listed(1, status)));
    assert_eq!(answered(&pause, &body("paused")).await, taken(RecordingStatus::Paused));
    assert_eq!(answered(&resume, &body("in-progress")).await, taken(RecordingStatus::InProgress));
    is_unreadable(&answered(&pause, &body("in-progress")).await);
    is_unreadable(&answered(&resume, &body("paused")).await);
    is_unreadable(&answered(&pause, &json!({"status": "paused"})).await);
}

#[tokio::test]
async fn an_updated_customer_is_read_back() {
    let operation = update_customer(Some(Guard::Lowered), Some(false));
    let body = json!({"call_sid": CUSTOMER, "end_conference_on_exit": false, "hold": false, "status": "connected"});
    let row = ParticipantRow { guard: Some(Guard::Lowered), hold: Some(false), ..connected(CUSTOMER) };
    assert_eq!(answered(&operation, &body).await, Outcome::Done(Answer::Participant(row)));
    let bare = Outcome::Done(Answer::Participant(connected(CUSTOMER)));
    assert_eq!(answered(&operation, &json!({ "call_sid": CUSTOMER })).await, bare);
    is_unreadable(&answered(&operation, &json!({})).await);
    is_unreadable(&answered(&operation, &json!({ "call_sid": AGENT })).await);
}

#[tokio::test]
async fn a_body_that_is_not_what_twilio_documents_is_unknown_to_whoever_needs_it() {
    let needing = [
        fetch_task(),
        find_conference(),
        fetch_conference(),
        read_participants(),
        update_customer(Some(Guard::Lowered), None),
    ];
    for operation in needing {
        for body in
            ["", "<html>", "[]", "{\"participants\": 7, \"conferences\": 7, \"attributes\": 7, \"call_sid\": 7}"]
        {
            is_unreadable(&outcome(&operation, 200, &[], body).await);
        }
    }
}

#[tokio::test]
async fn a_row_says_whose_leg_it_is_by_its_label_and_its_coaching() {
    for (label, coaching, role) in [
        (json!(null), json!(null), Role::Unsaid),
        (json!(""), json!(false), Role::Unsaid),
        (json!("customer"), json!(false), Role::Customer),
        (json!("worker"), json!(null), Role::Other),
        (json!("supervisor"), json!(true), Role::Other),
        (json!("customer"), json!(true), Role::Other),
    ] {
        let body = json!({"participants": [{"call_sid": AGENT, "label": label, "coaching": coaching}]});
        let row = ParticipantRow { role, ..connected(AGENT) };
        assert_eq!(answered(&read_participants(), &body).await, Outcome::Done(Answer::Participants(vec![row])));
    }
}

#[tokio::test]
async fn a_leg_is_read_for_how_far_it_has_come_and_whose_it_is() {
    for (status, expected) in [
        ("queued", CallStatus::Coming),
        ("initiated", CallStatus::Coming),
        ("ringing", CallStatus::Coming),
        ("in-progress", CallStatus::Live),
        ("something-new", CallStatus::Live),
        ("completed", CallStatus::Over),
        ("busy", CallStatus::Over),
        ("failed", CallStatus::Over),
        ("no-answer", CallStatus::Over),
        ("canceled", CallStatus::Over),
    ] {
        let read = answered(&fetch_call(), &json!({"sid": CUSTOMER, "status": status, "direction": "inbound"})).await;
        let row = CallRow { status: expected, inbound: true, client: false };
        assert_eq!(read, Outcome::Done(Answer::Call(row)), "{status}");
    }
    for (direction, from, to, inbound, client) in [
        ("inbound", "+1", "client:a", true, false),
        ("inbound", "client:a", "+1", true, true),
        ("inbound", "sip:a@b", "+1", true, true),
        ("outbound-api", "client:a", "+1", false, false),
        ("outbound-dial", "+1", "client:a", false, true),
        ("outbound-api", "+1", "sip:a@b", false, true),
    ] {
        let body = json!({"sid": CUSTOMER, "status": "in-progress", "direction": direction, "from": from, "to": to});
        let row = CallRow { status: CallStatus::Live, inbound, client };
        assert_eq!(answered(&fetch_call(), &body).await, Outcome::Done(Answer::Call(row)), "{direction} {from} {to}");
    }
    is_unreadable(&answered(&fetch_call(), &json!({ "sid": CUSTOMER })).await);
}

/// I11: an answer that is not the documented one proves nothing.
#[tokio::test]
async fn a_command_is_taken_only_with_the_body_that_twilio_documents() {
    let (mz, cf) = (json!("MZ00000000000000000000000000000001"), json!(CONFERENCE));
    let taken = Outcome::Done(Answer::Accepted);
    assert_eq!(outcome(&stop_stream(), 200, &[], &stopped()).await, taken);
    assert_eq!(outcome(&redirect(), 200, &[], &redirected()).await, taken);
    assert_eq!(answered(&end_conference(), &json!({"sid": cf, "status": "completed"})).await, taken);
    let created = Outcome::Done(Answer::Stream(mz.as_str().unwrap().parse().unwrap()));
    assert_eq!(answered(&create_stream(), &json!({"sid": mz, "status": "in-progress"})).await, created);
    let wrong = [
        (stop_stream(), json!({"sid": mz, "status": "in-progress"})),
        (stop_stream(), json!({ "sid": mz })),
        (stop_stream(), json!({"status": "stopped"})),
        (redirect(), json!({"status": "in-progress"})),
        (redirect(), json!({"sid": AGENT, "status": "in-progress"})),
        (create_stream(), json!({"status": "in-progress"})),
        (create_stream(), json!({"sid": CUSTOMER})),
        (end_conference(), json!({"sid": "CF00000000000000000000000000000002"})),
    ];
    for (operation, body) in wrong {
        is_unreadable(&answered(&operation, &body).await);
    }
    for operation in [redirect(), create_stream(), stop_stream(), end_conference()] {
        for body in ["", "{}", "<html>", "[]", "\u{1}"] {
            is_unreadable(&outcome(&operation, 200, &[], body).await);
        }
        let no_content = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"sid\"".to_vec();
        for (reply, lost) in [(no_content, false), (cut, true)] {
            let (performed, script) = performed(&operation, [Reply::Last(reply)]).await;
            let Outcome::Unknown(trouble) = performed.outcome else { panic!("{performed:?}") };
            assert_eq!(trouble.lost, lost);
            script.only();
        }
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_no_further() {
    let body = |length: usize| {
        let frame = json!({"attributes": ""}).to_string().len();
        json!({"attributes": " ".repeat(length - frame)}).to_string()
    };
    assert_eq!(body(100_000).len(), 100_000);
    assert!(matches!(outcome(&fetch_task(), 200, &[], &body(100_000)).await, Outcome::Done(_)));
    is_unreadable(&outcome(&fetch_task(), 200, &[], &body(100_001)).await);
    // Announced without an end: only the limit keeps it from being waited for.
    let mut endless = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n".to_vec();
    endless.resize(200_000, b' ');
    let (performed, _) = performed(&fetch_task(), [Reply::HangAfter(endless)]).await;
    let Outcome::Unknown(trouble) = &performed.outcome else { panic!("{performed:?}") };
    assert!(trouble.reason.contains("answer_limit_bytes"), "{trouble:?}");
}

proptest! {
    #[test]
    fn no_attributes_make_the_reading_fail(text in "\\PC{0,80}") {
        Attributes::read(&text).call();
        Attributes::read(&format!("{{\"call_sid\":{text:?},\"conference\":{{\"sid\":{text:?}}}}}")).call();
    }
}

/// I1, I2: a gateway or a cache that answers in Twilio's place must not end a conference, nor hide a caller.
#[tokio::test]
async fn an_answer_about_something_else_than_was_asked_for_says_nothing() {
    let (other_conference, other_task) = (sid_like(CONFERENCE), sid_like(TASK));
    let (mz, other_mz) = ("MZ00000000000000000000000000000001", "MZ00000000000000000000000000000002");
    let (stop_by_sid, named) =
        (stop_named("Stream_1", Some(mz)), json!({"sid": other_conference, "friendly_name": "x"}));
    let foreign = [
        (fetch_call(), json!({"status": "failed", "message": "upstream unavailable"})),
        (fetch_call(), json!({"status": "completed"})),
        (fetch_call(), json!({"sid": AGENT, "status": "completed", "direction": "inbound"})),
        (fetch_conference(), row(&other_conference, "Room", "completed", "")),
        (find_conference(), json!({"conferences": [row(CONFERENCE, "another", "in-progress", "")]})),
        (find_conference(), json!({"conferences": [named]})),
        (read_participants(), json!({"participants": [{"call_sid": AGENT, "conference_sid": other_conference}]})),
        (update_customer(None, Some(true)), json!({"call_sid": CUSTOMER, "conference_sid": other_conference})),
        (fetch_task(), json!({"sid": other_task, "attributes": "{}"})),
        (create_stream(), json!({"sid": mz, "call_sid": AGENT})),
        (create_stream(), json!({"sid": mz, "name": "another"})),
        (stop_stream(), json!({"sid": mz, "status": "stopped", "call_sid": AGENT})),
        (stop_stream(), json!({"sid": mz, "status": "stopped", "name": "another"})),
        (stop_by_sid, json!({"sid": other_mz, "status": "stopped"})),
        (pause_recording(of_call(), false), json!({"sid": sid_like(RECORDING), "status": "paused"})),
        (resume_recording(of_call()), json!({"sid": sid_like(RECORDING), "status": "in-progress"})),
        (
            list_recordings(of_conference()),
            json!({"recordings": [{"sid": RECORDING, "conference_sid": other_conference}]}),
        ),
    ];
    for (operation, body) in foreign {
        is_unreadable(&answered(&operation, &body).await);
    }
}

/// Another SID of the same kind.
fn sid_like(sid: &str) -> String {
    format!("{}9", &sid[..sid.len() - 1])
}
