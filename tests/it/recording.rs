//! Recording what Twilio sends: nothing personal survives, and the recording tells the same call.

use crate::stories::{stage_of, story};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use taskrouter_streams::call::fact::ParticipantChange;
use taskrouter_streams::recording::{Known, Recorder};
use taskrouter_streams::telemetry::metrics::Metrics;
use taskrouter_streams::twilio::client::Product;
use taskrouter_streams::twilio::client::{Form, Request};
use taskrouter_streams::twilio::event;
use taskrouter_streams::twilio::event_stream::{self, DeliveryElement};
use taskrouter_streams::twilio::failure::About;
use taskrouter_streams::twilio::interest::Interest;
use taskrouter_streams::twilio::signature::{Pair, parse_pairs};
use taskrouter_streams::twilio::witness::Witness;
use tempfile::TempDir;
use twilio_simulator::recorded::{Expectation, Recording, Replay, ReplayVerdict};

const ACCOUNT: &str = "AC5e11e12345678901234567890123abcd";
const WORKSPACE: &str = "WS5e11e12345678901234567890123abcd";
const TASK: &str = "WT5e11e12345678901234567890123abcd";
const CALL: &str = "CA5e11e12345678901234567890123abcd";
const CONFERENCE: &str = "CF5e11e12345678901234567890123abcd";

fn known(fields: &[&str]) -> Known {
    Known {
        accounts: vec![(ACCOUNT.parse().unwrap(), WORKSPACE.parse().unwrap())],
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        name_prefixes: vec!["Acme_".to_owned()],
    }
}

/// Records into a new folder what `shows` shows.
fn recorded(fields: &[&str], shows: impl FnOnce(&dyn Witness)) -> TempDir {
    let folder = TempDir::new().unwrap();
    let recorder = Recorder::start(folder.path(), known(fields), metrics());
    shows(&recorder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(recorder.close(Duration::from_secs(30)));
    folder
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("0", "0"))
}

/// Names and contents of all files.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Everything in the folder, as it stands and with every form and JSON text in it taken apart.
fn whole(folder: &Path) -> String {
    let mut whole = String::new();
    for (name, text) in files(folder) {
        whole.push_str(&format!("{name}\n{text}\n"));
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            whole.push_str(&format!("{name}={value}\n"));
            take_apart(&value, &mut whole);
        }
        take_apart(&text, &mut whole);
    }
    whole
}

fn take_apart(text: &str, whole: &mut String) {
    let Ok(value @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str::<Value>(text) else { return };
    let mut texts = Vec::new();
    collect(&value, 0, &mut texts);
    for text in texts {
        whole.push_str(&format!("{text}\n"));
        take_apart(&text, whole);
    }
}

/// A text that nothing of ours would hold by chance.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-ZäöüßéÀ日本語😀]{3}Zq[a-zA-Z ]{4,20}",
        "\\+4930[0-9]{8}",
        "[a-z]{5}\\.qx[a-z]{4}@mail\\.example",
        "4[0-9]{15}",
        "zq[\"\\\\&=%+;<>/]{3}[a-z]{6}",
    ]
}

/// Any JSON of secrets, with the names that the program reads and others.
fn attributes() -> impl Strategy<Value = (Value, Vec<String>)> {
    let names = prop_oneof![
        Just("name".to_owned()),
        Just("from".to_owned()),
        Just("to".to_owned()),
        Just("outbound_to".to_owned()),
        Just("call_sid".to_owned()),
        Just("direction".to_owned()),
        Just("conference".to_owned()),
        Just("internal".to_owned()),
        Just("reason".to_owned()),
        Just("id".to_owned()),
        Just("language".to_owned()),
        Just("crm".to_owned()),
        secret(),
    ];
    let leaf = secret().prop_map(|text| json!(text));
    let tree = leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((names.clone(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<String, Value>>())),
        ]
    });
    tree.prop_map(|tree| {
        let mut secrets = Vec::new();
        collect(&tree, 12, &mut secrets);
        (json!({"customer": tree, "crm": {"id": tree}, "streams": {"paused": tree}, "language": tree, "conference": tree, "to": tree}), secrets)
    })
}

/// Every text in it, and every name of at least so many bytes.
fn collect(value: &Value, shortest_name: usize, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, shortest_name, texts)),
        Value::Object(fields) => {
            for (name, value) in fields {
                texts.extend((name.len() >= shortest_name).then(|| name.clone()));
                collect(value, shortest_name, texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Every parameter that an event or a callback may have, each with a secret.
const PARAMETERS: [&str; 34] = [
    "WorkspaceName",
    "EventDescription",
    "ResourceType",
    "ResourceSid",
    "TaskAge",
    "TaskPriority",
    "TaskAssignmentStatus",
    "TaskVersion",
    "TaskChannelUniqueName",
    "TaskQueueName",
    "TaskQueueTargetExpression",
    "TaskCanceledReason",
    "TaskCompletedReason",
    "TaskAddons",
    "WorkflowName",
    "WorkflowFilterName",
    "WorkflowFilterExpression",
    "ReservationSid",
    "WorkerName",
    "WorkerSid",
    "WorkerActivityName",
    "WorkerTimeInPreviousActivity",
    "TransferMode",
    "TransferTo",
    "TransferStatus",
    "TransferFailedReason",
    "StreamName",
    "StreamError",
    "StreamEvent",
    "Timestamp",
    "TimestampMs",
    "From",
    "To",
    "Surname",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_personal_survives(
        (attributes, mut secrets) in attributes(),
        values in prop::collection::vec(secret(), PARAMETERS.len()),
        others in prop::collection::vec(secret(), 12),
    ) {
        let text = attributes.to_string();
        let mut pairs: Vec<Pair<'_>> = vec![
            ("EventType".into(), "reservation.accepted".into()),
            ("AccountSid".into(), ACCOUNT.into()),
            ("WorkspaceSid".into(), WORKSPACE.into()),
            ("TaskSid".into(), TASK.into()),
            ("TaskAttributes".into(), text.as_str().into()),
            ("WorkerAttributes".into(), text.as_str().into()),
        ];
        pairs.extend(PARAMETERS.iter().zip(&values).map(|(name, value)| (Cow::from(*name), Cow::from(value.as_str()))));
        let payload: Map<String, Value> = [
            ("task_attributes", text.as_str()), ("worker_name", &others[0]), ("surname", &others[1]), ("task_age", &others[2]),
        ].into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let delivery = json!([
            {"type": "com.twilio.taskrouter.reservation.accepted", "id": others[3], "source": others[4], "time": others[5],
             "data": {"payload": payload, "name": others[6], "sid": others[7]}},
            {"type": others[3], "data": {"payload": {"worker_name": others[0]}}},
        ]);
        let answer = json!({
            "sid": CALL, "from": others[0], "to": others[1], "friendly_name": others[2], "label": others[3], "caller_name": others[4],
            "status": others[5], "message": others[6], "attributes": text, "name": others[7], "date_created": others[8],
            "participants": [{"call_sid": CALL, "label": others[9], "hold": false, "to": others[10]}], "uri": others[11],
        });
        let form: Form = vec![
            ("Url".into(), format!("wss://{}", others[0])), ("Name".into(), others[1].clone()), ("Twiml".into(), others[2].clone()),
            ("Parameter1.Value".into(), others[3].clone()), ("Status".into(), others[4].clone()),
        ];
        let request = Request {
            product: Product::Api,
            path: ["2010-04-01", "Accounts", ACCOUNT, "Calls", CALL, "Streams.json"].map(str::to_owned).to_vec(),
            query: Some(format!("FriendlyName={}&Secret={}", others[5].replace(['&', '%', '+'], ""), others[6].replace(['&', '%', '+'], ""))),
            form: Some(form),
            about: About::Call,
        };
        let folder = recorded(&["task.attributes.language", "task.attributes.crm.id", "worker.attributes.crm.id"], |witness| {
            witness.saw_event(&pairs);
            witness.saw_status(&TASK.parse().unwrap(), &pairs);
            witness.saw_delivery(delivery.to_string().as_bytes());
            witness.saw_answer(witness.place(), &request, 200, answer.to_string().as_bytes());
        });
        let found = whole(folder.path());
        prop_assert_eq!(files(folder.path()).len(), 4, "{}", found);
        secrets.extend(values);
        secrets.extend(others);
        for secret in secrets {
            prop_assert!(!found.contains(&secret), "{secret:?} is in\n{found}");
        }
        for sid in [ACCOUNT, WORKSPACE, TASK, CALL] {
            prop_assert!(!found.contains(&sid[2..]), "{sid} is in\n{found}");
        }
    }
}

#[test]
fn one_value_has_one_replacement_wherever_it_stands() {
    let attributes =
        json!({"call_sid": CALL, "conference": {"sid": CONFERENCE, "participants": {"customer": CALL, "Zoë": CALL}}});
    let text = attributes.to_string();
    let worker = "WK5e11e12345678901234567890123abcd";
    let reservation = "WR5e11e12345678901234567890123abcd";
    let name = format!("Acme_{worker}_{reservation}_2");
    let event: [Pair<'_>; 6] = [
        ("EventType".into(), "reservation.accepted".into()),
        ("TaskSid".into(), TASK.into()),
        ("WorkerSid".into(), worker.into()),
        ("WorkerName".into(), "Zoë".into()),
        ("TimestampMs".into(), "1764000009123".into()),
        ("TaskAttributes".into(), text.into()),
    ];
    let status: [Pair<'_>; 3] = [
        ("StreamEvent".into(), "stream-started".into()),
        ("CallSid".into(), CALL.into()),
        ("StreamName".into(), name.into()),
    ];
    let folder = recorded(&[], |witness| {
        witness.saw_event(&event);
        witness.saw_event(&event);
        witness.saw_status(&TASK.parse().unwrap(), &status);
    });
    let files = files(folder.path());
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["000001.reservation.accepted.form", "000002.reservation.accepted.form", "000003.stream-started.status.json"];
    assert_eq!(names, expected);
    assert_eq!(files[0].1, files[1].1);
    let read: Vec<(String, String)> = url::form_urlencoded::parse(files[0].1.trim().as_bytes()).into_owned().collect();
    let get = |wanted: &str| read.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
    let attributes: Value = serde_json::from_str(&get("TaskAttributes")).unwrap();
    let told: Value = serde_json::from_str(&files[2].1).unwrap();
    assert_eq!(attributes["call_sid"], attributes["conference"]["participants"]["customer"]);
    assert_eq!(attributes["conference"]["participants"]["participant-1"], attributes["call_sid"]);
    assert_eq!(told["form"][1], json!(["CallSid", attributes["call_sid"]]));
    assert_eq!(told["task"], get("TaskSid"));
    assert_eq!(get("WorkerName"), "worker-1");
    let name = told["form"][2][1].as_str().unwrap().to_owned();
    assert!(name.starts_with(&format!("Stream_{}_WR7a5c", get("WorkerSid"))) && name.ends_with("_2"), "{name}");
}

/// What Twilio records is told by SIDs and statuses alone.
#[test]
fn recordings_are_kept_under_other_sids_and_with_their_statuses() {
    let recording = "RE5e11e12345678901234567890123abcd";
    let request = |rest: &[&str], form: Option<Form>| Request {
        product: Product::Api,
        path: ["2010-04-01", "Accounts", ACCOUNT].iter().chain(rest).map(|part| (*part).to_owned()).collect(),
        query: None,
        form,
        about: About::Other,
    };
    let list = request(&["Conferences", CONFERENCE, "Recordings.json"], None);
    let form = vec![("Status".into(), "paused".to_owned()), ("PauseBehavior".into(), "silence".to_owned())];
    let pause = request(&["Calls", CALL, "Recordings", "Twilio.CURRENT.json"], Some(form));
    let row = |status: &str| json!({"sid": recording, "status": status, "media_url": "https://secret.example", "duration": "7"});
    let folder = recorded(&[], |witness| {
        let listed = json!({"recordings": [row("in-progress")], "next_page_uri": "/secret"});
        witness.saw_answer(witness.place(), &list, 200, listed.to_string().as_bytes());
        witness.saw_answer(witness.place(), &pause, 200, row("paused").to_string().as_bytes());
    });
    let files = files(folder.path());
    let read = |place: usize| serde_json::from_str::<Value>(&files[place].1).unwrap();
    let (listed, paused) = (read(0), read(1));
    assert!(files[0].0.contains("recordings") && files[1].0.contains("update-recording"), "{files:?}");
    assert_eq!(listed["body"]["recordings"][0]["status"], "in-progress");
    assert_eq!(listed["body"]["recordings"][0]["sid"], paused["body"]["sid"]);
    assert!(paused["path"].as_str().unwrap().ends_with("/Recordings/Twilio.CURRENT.json"), "{paused}");
    assert_eq!(paused["form"], json!({"Status": "paused", "PauseBehavior": "silence"}));
    let whole = whole(folder.path());
    assert!(!whole.contains(&recording[2..]) && !whole.contains("secret"), "{whole}");
}

#[test]
fn a_folder_with_something_in_it_keeps_that_and_an_unwritable_one_hurts_nobody() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("000001.task.created.form"), "old").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let event: [Pair<'_>; 1] = [("EventType".into(), "task.created".into())];
    let recorder = Recorder::start(folder.path(), known(&[]), metrics());
    recorder.saw_event(&event);
    runtime.block_on(recorder.close(Duration::from_secs(30)));
    assert_eq!(std::fs::read_to_string(folder.path().join("000001.task.created.form")).unwrap(), "old");
    let new = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    assert_eq!(files(&new.unwrap()).len(), 1);

    let counted = metrics();
    let recorder = Recorder::start(&folder.path().join("000001.task.created.form"), known(&[]), counted.clone());
    (0..3).for_each(|_| recorder.saw_event(&event));
    runtime.block_on(recorder.close(Duration::from_secs(30)));
    assert!(counted.render().contains("recorded_total{outcome=\"lost\"} 3"), "{}", counted.render());
}

/// Plays a scenario on a service that records; the folder.
async fn record(name: &str, strategy: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let scenario = story(name);
    let testbed = stage_of(&scenario, &format!("[streams]\nstrategy = \"{strategy}\"\n")).await;
    let testbed = testbed.restart_with(|settings| settings.record = Some(folder.path().to_owned())).await.unwrap();
    let outcome = testbed.run(&scenario).await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert!(testbed.sim.quiet(Duration::from_secs(10)).await);
    testbed.stop().await;
    folder
}

async fn replay(folder: &Path, expected: Vec<Expectation>) -> ReplayVerdict {
    let replay = Replay { recording: Recording::read(folder).unwrap(), speed: 0.0, config: String::new(), expected };
    replay.run(|_| {}).await.unwrap()
}

#[tokio::test]
async fn a_recording_tells_the_same_call_by_both_strategies() {
    for strategy in ["streams-api", "redirect"] {
        for name in ["warm-transfer", "cold-transfer"] {
            let folder = record(name, strategy).await;
            let expected = vec![Expectation::SameCommands, Expectation::NoStreams];
            let verdict = replay(folder.path(), expected).await;
            assert_eq!(verdict.failures, Vec::<String>::new(), "{strategy} {name}");
            assert!(verdict.streams >= 2 && verdict.posted > 10, "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn a_recording_that_expects_something_else_fails() {
    let folder = record("warm-transfer", "streams-api").await;
    let verdict = replay(folder.path(), vec![Expectation::Streams(9)]).await;
    assert_eq!(verdict.failures.len(), 1, "{verdict:?}");
    let create =
        files(folder.path()).into_iter().find(|(name, _)| name.ends_with("create-stream.answer.json")).unwrap().0;
    let text = std::fs::read_to_string(folder.path().join(&create)).unwrap();
    std::fs::write(folder.path().join(&create), text.replace("Stream_WK", "Other_WK")).unwrap();
    let verdict = replay(folder.path(), vec![Expectation::SameCommands]).await;
    assert!(verdict.failures.iter().any(|failure| failure.contains("did not ask for: POST")), "{verdict:?}");
}

#[test]
fn a_delivery_says_after_recording_what_its_event_says() {
    let attributes = json!({"call_sid": CALL, "direction": "inbound", "name": "Zoë"}).to_string();
    let fields = [
        ("account_sid", ACCOUNT),
        ("workspace_sid", WORKSPACE),
        ("task_sid", TASK),
        ("task_attributes", &attributes),
        ("task_assignment_status", "assigned"),
        ("task_channel_unique_name", "voice"),
        ("task_version", "4"),
        ("reservation_sid", "WR5e11e12345678901234567890123abcd"),
        ("worker_sid", "WK5e11e12345678901234567890123abcd"),
        ("sid", "EV5e11e12345678901234567890123abcd"),
    ];
    let camel = |name: &str| -> String { name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect() };
    let mut pairs: Vec<Pair<'_>> =
        fields.iter().map(|(name, value)| (Cow::from(camel(name)), Cow::from(*value))).collect();
    pairs.extend(
        [("EventType", "reservation.accepted"), ("Timestamp", "1764000009"), ("TimestampMs", "1764000009123")]
            .map(|(name, value)| (Cow::from(name), Cow::from(value))),
    );
    let payload: Map<String, Value> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .chain([("timestamp".to_owned(), json!("2025-11-24T16:00:09.123Z"))])
        .collect();
    let cloud_event = json!([{
        "specversion": "1.0", "type": "com.twilio.taskrouter.reservation.accepted", "id": fields[9].1,
        "data": {"payload": payload},
    }]);
    let folder = recorded(&[], |witness| {
        witness.saw_event(&pairs);
        witness.saw_delivery(cloud_event.to_string().as_bytes());
    });
    let files = files(folder.path());
    let by_form = event::parse(&parse_pairs(files[0].1.trim().as_bytes()), &Interest::default()).unwrap();
    let delivery: Value = serde_json::from_str(&files[1].1).unwrap();
    let elements = event_stream::parse(delivery["events"].to_string().as_bytes(), &Interest::default(), 0).unwrap();
    assert_eq!(elements, [DeliveryElement::Event(by_form)]);
}

/// What tells of a hold is kept, and what else it tells of the participant is not.
#[test]
fn a_recorded_hold_says_what_it_said() {
    let parameters = json!({
        "AccountSid": ACCOUNT, "CallSid": CALL, "ConferenceSid": "CF5e11e12345678901234567890123abcd", "FriendlyName": TASK,
        "StatusCallbackEvent": "participant-hold", "SequenceNumber": "9", "ParticipantLabel": "Zoë",
        "Timestamp": "Mon, 24 Nov 2025 16:00:09 +0000",
    });
    let event = json!([{
        "specversion": "1.0", "type": event_stream::PARTICIPANT_TYPE, "id": "EZ5e11e12345678901234567890123abcd",
        "data": {"request": {"url": "https://example.com/of/mine", "parameters": parameters}},
    }]);
    let folder = recorded(&[], |witness| witness.saw_delivery(event.to_string().as_bytes()));
    let files = files(folder.path());
    assert!(!files[0].1.contains("Zo") && !files[0].1.contains("of/mine"), "{}", files[0].1);
    let delivery: Value = serde_json::from_str(&files[0].1).unwrap();
    let interest = Interest { holds: true, ..Interest::default() };
    let elements = event_stream::parse(delivery["events"].to_string().as_bytes(), &interest, 0).unwrap();
    let [DeliveryElement::Participant { task, event, .. }] = elements.as_slice() else { panic!("{elements:?}") };
    assert!(event.change == ParticipantChange::Hold && event.at > 0 && task.as_str() != TASK, "{elements:?}");
}
