//! Deliveries of Event Streams to facts: the same ones that the event callbacks tell.

use crate::program::{ACCOUNT, WORKSPACE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use taskrouter_streams::call::fact::ParticipantChange;
use taskrouter_streams::twilio::event::{self, Content, Malformed, types};
use taskrouter_streams::twilio::event_stream::{DeliveryElement, NotEvents, PARTICIPANT_TYPE, parse};
use taskrouter_streams::twilio::interest::Interest;
use taskrouter_streams::twilio::signature::parse_pairs;
use taskrouter_streams::twilio::stream_status::{self, StatusContent};

const NOW: i64 = 1_760_000_009_000;

/// A callback's parameters as the CloudEvent of the same event.
pub(crate) fn cloud_event(form: &[(String, String)]) -> Value {
    let get = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let ms: i64 = get("TimestampMs").unwrap().parse().unwrap();
    let at = jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
    let mut payload = serde_json::Map::new();
    for (name, value) in form {
        let field = match name.as_str() {
            "EventType" => "eventtype".to_owned(),
            "Timestamp" => "timestamp".to_owned(),
            "TimestampMs" => continue,
            _ => name.chars().fold(String::new(), |mut field, letter| {
                if letter.is_ascii_uppercase() && !field.is_empty() {
                    field.push('_');
                }
                field.push(letter.to_ascii_lowercase());
                field
            }),
        };
        let value = match (field.as_str(), value.parse::<i64>()) {
            ("timestamp", _) => json!(at),
            // Event Streams has numbers where the form has digits.
            (_, Ok(number)) if number.to_string() == *value => json!(number),
            (_, _) => json!(value),
        };
        payload.insert(field, value);
    }
    json!({
        "specversion": "1.0", "id": "EZ00000000000000000000000000000001", "source": get("AccountSid"),
        "type": format!("com.twilio.taskrouter.{}", get("EventType").unwrap()),
        "dataschema": "https://events-schemas.twilio.com/TaskRouter.WDSEvent/4", "datacontenttype": "application/json",
        "time": at,
        "data": {"sid": get("Sid"), "account_sid": get("AccountSid"), "group": "reservation", "payload": payload},
    })
}

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/taskrouter");
    let entries = [folder.clone(), folder.join("odd")].map(|folder| std::fs::read_dir(folder).unwrap());
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "form") {
            found.push((path.display().to_string(), std::fs::read(path).unwrap().trim_ascii_end().to_vec()));
        }
    }
    assert!(found.len() > 30);
    found
}

pub(crate) fn accepted() -> Vec<(String, String)> {
    [
        ("EventType", "reservation.accepted"),
        ("AccountSid", ACCOUNT),
        ("WorkspaceSid", WORKSPACE),
        ("Sid", "EV00000000000000000000000000000001"),
        ("Timestamp", "1760000005"),
        ("TimestampMs", "1760000005123"),
        ("TaskSid", "WT00000000000000000000000000000001"),
        ("TaskChannelUniqueName", "voice"),
        ("TaskVersion", "2"),
        ("ReservationSid", "WR00000000000000000000000000000001"),
        ("WorkerSid", "WK00000000000000000000000000000001"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn only(delivery: &Value) -> DeliveryElement {
    let mut elements = parse(delivery.to_string().as_bytes(), &Interest::default(), NOW).unwrap();
    assert_eq!(elements.len(), 1);
    elements.remove(0)
}

#[test]
fn every_fixture_tells_the_same_through_both_doors() {
    for (name, body) in fixtures() {
        let pairs = parse_pairs(&body);
        let form: Vec<(String, String)> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let by_callback = event::parse(&pairs, &Interest::default()).unwrap();
        let by_stream = only(&json!([cloud_event(&form)]));
        if name.contains("worker.activity") {
            assert_eq!((by_callback.content, by_stream), (Content::NotOurs, DeliveryElement::NotOurs));
        } else {
            assert_eq!(by_stream, DeliveryElement::Event(by_callback), "{name}");
        }
    }
}

#[test]
fn every_type_that_matters_is_read_and_an_array_is_read_to_its_end() {
    let delivery: Vec<Value> = types()
        .map(|name| {
            let mut form = accepted();
            form[0].1 = name.to_owned();
            cloud_event(&form)
        })
        .collect();
    let elements = parse(json!(delivery).to_string().as_bytes(), &Interest::default(), NOW).unwrap();
    assert_eq!(elements.len(), 21);
    for element in elements {
        let DeliveryElement::Event(envelope) = element else { panic!("{element:?}") };
        assert!(matches!(envelope.content, Content::Ours { .. }));
    }
}

#[test]
fn what_the_payload_lacks_is_taken_from_the_envelope() {
    let mut element = cloud_event(&accepted());
    let expected = only(&json!([element]));
    let payload = element["data"]["payload"].as_object_mut().unwrap();
    for field in ["sid", "account_sid", "eventtype", "timestamp"] {
        assert!(payload.remove(field).is_some());
    }
    assert_eq!(only(&json!([element])), expected);
    assert_eq!(only(&element), expected, "an object alone counts as an array of one");
}

#[test]
fn attributes_as_an_object_read_like_attributes_as_text() {
    let attributes = json!({"direction": "outbound", "call_sid": "CA00000000000000000000000000000001"});
    let mut text = cloud_event(&accepted());
    text["data"]["payload"]["task_attributes"] = json!(attributes.to_string());
    let mut object = text.clone();
    object["data"]["payload"]["task_attributes"] = attributes;
    assert_eq!(only(&json!([text])), only(&json!([object])));
}

#[test]
fn an_event_that_lacks_what_it_must_have_does_not_hold_up_its_neighbours() {
    let good = cloud_event(&accepted());
    let mut bad = good.clone();
    bad["data"]["payload"]["task_sid"] = Value::Null;
    let elements = parse(json!([bad, good]).to_string().as_bytes(), &Interest::default(), NOW).unwrap();
    assert_eq!(elements[0], DeliveryElement::Unusable(Malformed::Missing("TaskSid")));
    assert!(matches!(elements[1], DeliveryElement::Event(_)));
}

#[test]
fn a_sinks_test_and_events_of_other_products_are_told_apart() {
    let test = |data: Value| only(&json!([{"type": "com.twilio.eventstreams.test-event", "data": data}]));
    let id = "cae2f9e2-c270-4e44-a981-9ee421e3ff6b";
    assert_eq!(test(json!({"test_id": id})), DeliveryElement::Test { id: Some(id.to_owned()) });
    assert_eq!(test(json!(json!({"test_id": id}).to_string())), DeliveryElement::Test { id: Some(id.to_owned()) });
    assert_eq!(test(json!({"test_id": "a\nforged line"})), DeliveryElement::Test { id: None });
    assert_eq!(test(Value::Null), DeliveryElement::Test { id: None });
    for other in ["com.twilio.messaging.message.sent", "com.twilio.taskrouter.worker.created", "task.created"] {
        assert_eq!(only(&json!([{"type": other}])), DeliveryElement::NotOurs);
    }
    for untyped in [json!({}), json!({"type": ""}), json!({"type": null}), json!({"specversion": "1.0", "data": {}})] {
        assert_eq!(only(&json!([untyped])), DeliveryElement::Untyped);
    }
}

/// The event after a change.
fn with(change: &dyn Fn(&mut Value)) -> Value {
    let mut changed = cloud_event(&accepted());
    change(&mut changed);
    changed
}

fn text(value: &mut Value) {
    *value = json!(value.to_string());
}

fn packed_in_base64(value: &mut Value) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    *value = json!(STANDARD.encode(text));
}

/// Moves the data to where CloudEvents has what is binary.
fn in_base64(event: &mut Value) {
    let data = event.as_object_mut().unwrap().remove("data").unwrap();
    event["data_base64"] = json!(STANDARD.encode(data.to_string()));
}

#[test]
fn an_event_is_the_same_whatever_became_of_its_data_on_the_way() {
    let plain = cloud_event(&accepted());
    let expected = only(&json!([plain]));
    assert!(matches!(expected, DeliveryElement::Event(_)));
    for changed in [
        with(&|event| text(&mut event["data"])),
        with(&|event| text(&mut event["data"]["payload"])),
        with(&|event| {
            text(&mut event["data"]["payload"]);
            text(&mut event["data"]);
        }),
        with(&in_base64),
        with(&|event| {
            in_base64(event);
            event["data_base64"] = json!(event["data_base64"].as_str().unwrap().trim_end_matches('='));
        }),
        with(&|event| {
            text(&mut event["data"]["payload"]);
            in_base64(event);
        }),
        with(&|event| event["type"] = json!("com.twilio.TaskRouter.Reservation.Accepted")),
        with(&|event| _ = event.as_object_mut().unwrap().remove("specversion")),
    ] {
        assert_eq!(only(&json!([changed])), expected, "{changed}");
    }
    for broken in ["{", "7", "not JSON"] {
        let element = only(&json!([with(&|event| event["data"] = json!(broken))]));
        assert!(matches!(element, DeliveryElement::Unusable(_)), "{element:?}");
    }
}

#[test]
fn data_is_unpacked_however_often_and_in_whichever_form_it_was_packed() {
    let expected = only(&json!([cloud_event(&accepted())]));
    for changed in [
        with(&|event| packed_in_base64(&mut event["data"])),
        with(&|event| packed_in_base64(&mut event["data"]["payload"])),
        with(&|event| {
            text(&mut event["data"]);
            text(&mut event["data"]);
        }),
        with(&|event| {
            text(&mut event["data"]["payload"]);
            packed_in_base64(&mut event["data"]["payload"]);
            text(&mut event["data"]);
            packed_in_base64(&mut event["data"]);
        }),
        with(&|event| {
            in_base64(event);
            event["data"] = Value::Null;
        }),
        with(&|event| {
            in_base64(event);
            event["data"] = json!("");
        }),
        with(&|event| {
            in_base64(event);
            let digits = event["data_base64"].as_str().unwrap().as_bytes().to_vec();
            let lines = digits.chunks(76).map(|line| std::str::from_utf8(line).unwrap());
            event["data_base64"] = json!(lines.collect::<Vec<_>>().join("\r\n"));
        }),
        with(&|event| {
            // Three of these are "Pz8/" in one alphabet and "Pz8_" in the other.
            event["data"]["note"] = json!("?????????");
            in_base64(event);
            let digits = event["data_base64"].as_str().unwrap().replace('+', "-").replace('/', "_");
            assert!(digits.contains('_'));
            event["data_base64"] = json!(digits);
        }),
        with(&|event| event["data_base64"] = json!("ignored where there is data")),
        with(&|event| event["data"]["payload"]["account_sid"] = json!("")),
        with(&|event| event["data"]["payload"]["account_sid"] = Value::Null),
        with(&|event| event["data"]["payload"]["sid"] = json!(" ")),
        with(&|event| event["data"]["payload"]["timestamp"] = json!("")),
        with(&|event| event["type"] = json!(" com.twilio.taskrouter.reservation.accepted ")),
    ] {
        assert_eq!(only(&json!([changed])), expected, "{changed}");
    }
}

#[test]
fn what_is_neither_an_array_nor_an_object_is_refused() {
    for body in ["", "{", "[", "null", "7", "\"[]\"", "[{}] 7", "[{}][]", "[{\"a\": \"]"] {
        assert_eq!(parse(body.as_bytes(), &Interest::default(), NOW), Err(NotEvents), "{body}");
    }
    for body in ["[]", " [ ] ", "\u{feff}[]"] {
        assert_eq!(parse(body.as_bytes(), &Interest::default(), NOW), Ok(Vec::new()), "{body}");
    }
    let deep = vec![b'['; 100_000];
    assert_eq!(parse(&deep, &Interest::default(), NOW), Err(NotEvents), "not even one that nests without end");
}

#[test]
fn every_element_is_judged_alone() {
    let good = cloud_event(&accepted());
    let text = good.to_string();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for bad in ["7", "null", "[]", "\"a\"", "{\"type\": }", "{type: 1}", "", &deep] {
        let body = format!("[{text},{bad},{text}]");
        let elements = parse(body.as_bytes(), &Interest::default(), NOW).unwrap();
        let expected = only(&good);
        assert_eq!(elements, [expected.clone(), DeliveryElement::Unreadable, expected], "{bad:.40}");
    }
    // Faults that can be mended, also where the bytes are not UTF-8.
    let expected = only(&good);
    for fault in [r"\ud83d", r"\udc00 x", r"\q", "a\nb", "\u{1}", "\u{feff}"] {
        let body = format!("[{}]", text.replacen('{', &format!("{{\"note\":\"{fault}\",\"n\":NaN,"), 1));
        assert_eq!(
            parse(body.as_bytes(), &Interest::default(), NOW).unwrap(),
            std::slice::from_ref(&expected),
            "{fault:?}"
        );
    }
    let (before, after) = text.split_at(1);
    let body = [b"[", before.as_bytes(), b"\"note\":\"\xff\xfe\",", after.as_bytes(), b"]"].concat();
    assert_eq!(parse(&body, &Interest::default(), NOW).unwrap(), [expected]);
}

/// A parser stops somewhere for the sake of its stack.
#[test]
fn what_nests_too_deep_hides_nothing_beside_it() {
    let (call, attributes) = ("CA00000000000000000000000000000001", "task_attributes");
    let mut event = cloud_event(&accepted());
    event["data"]["payload"][attributes] = json!({"call_sid": call});
    let expected = only(&json!([event]));
    assert!(format!("{expected:?}").contains(call));
    for depth in [100, 130, 50_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for deep in [&deep, &objects] {
            let within = |before: &str| event.to_string().replacen(before, &format!("\"deep\":{deep},{before}"), 1);
            for before in ["\"specversion\"", "\"payload\"", "\"task_sid\"", "\"call_sid\""] {
                let body = format!("[{}]", within(before));
                assert_ne!(body, format!("[{event}]"), "{before}");
                let told = parse(body.as_bytes(), &Interest::default(), NOW).unwrap();
                assert_eq!(told, std::slice::from_ref(&expected), "{depth} before {before}");
            }
            let mut event = event.clone();
            event["data"]["payload"][attributes] = json!(format!("{{\"deep\":{deep},\"call_sid\":\"{call}\"}}"));
            assert_eq!(only(&json!([event])), expected, "{depth} in a text");
        }
    }
}

/// What Event Streams tells of a status callback.
fn stream_updated(url: &str, parameters: &[(&str, &str)]) -> Value {
    let parameters: serde_json::Map<String, Value> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "specversion": "1.0", "type": "com.twilio.voice.status-callback.stream.updated", "source": "AB1", "id": "NO1",
        "dataschema": "https://events-schemas.twilio.com/Voice.WebhookEvent/2", "datacontenttype": "application/json",
        "data": {
            "sid": "CA00000000000000000000000000000001", "timestamp": "2025-10-09T08:53:25.123Z", "eventSid": "VW1",
            "request": {"method": "POST", "url": url, "parameters": parameters},
            "response": {"responseCode": 204, "requestDuration": 14},
        },
    })
}

#[test]
fn a_streams_status_is_the_same_fact_by_its_callback_and_by_event_streams() {
    let task = "WT00000000000000000000000000000001";
    let address = format!("https://streams.example.com/streams/status?task={task}");
    let name = "Stream_WK00000000000000000000000000000001_WR00000000000000000000000000000001";
    for (change, error) in [("stream-started", None), ("stream-stopped", None), ("stream-error", Some("31921 - x"))] {
        let mut parameters = vec![
            ("AccountSid", ACCOUNT),
            ("CallSid", "CA00000000000000000000000000000001"),
            ("StreamSid", "MZ00000000000000000000000000000001"),
            ("StreamName", name),
            ("StreamEvent", change),
            ("Timestamp", "2025-10-09T08:53:25.000Z"),
        ];
        parameters.extend(error.map(|error| ("StreamError", error)));
        let form: Vec<_> = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let expected = stream_status::parse(&form, NOW).unwrap();
        assert!(matches!(expected.content, StatusContent::Stream { .. }));
        for fragment in ["", "#rc=3&rp=5xx,ct,rt"] {
            let element = only(&stream_updated(&format!("{address}{fragment}"), &parameters));
            let task = Some(task.parse().unwrap());
            assert_eq!(element, DeliveryElement::Stream { status: expected.clone(), task }, "{change}{fragment}");
        }
        // Of somebody else's address, the task is not known; and a stream of another name is none of ours.
        let element = only(&stream_updated("https://x.example.com/status", &parameters));
        assert!(matches!(element, DeliveryElement::Stream { task: None, .. }), "{element:?}");
        parameters.retain(|(name, _)| *name != "Timestamp");
        let DeliveryElement::Stream { status, .. } = only(&stream_updated(&address, &parameters)) else { panic!() };
        let StatusContent::Stream { event, .. } = status.content else { panic!() };
        assert_eq!(event.at, 1_760_000_005_123, "the event's own time");
        parameters.retain(|(name, _)| *name != "StreamSid");
        let element = only(&stream_updated(&address, &parameters));
        assert_eq!(element, DeliveryElement::Unusable(Malformed::Missing("StreamSid")));
    }
    let bare = only(&json!({"type": "com.twilio.voice.status-callback.stream.updated"}));
    assert_eq!(bare, DeliveryElement::Unusable(Malformed::Missing("AccountSid")));
}

/// A conference's status callback about a participant, with something else in its place.
fn participant_updated(other: &[(&str, &str)]) -> Value {
    let mut parameters = vec![
        ("AccountSid", ACCOUNT),
        ("CallSid", "CA00000000000000000000000000000001"),
        ("ConferenceSid", "CF00000000000000000000000000000001"),
        ("FriendlyName", "WT00000000000000000000000000000001"),
        ("StatusCallbackEvent", "participant-hold"),
        ("SequenceNumber", "7"),
        ("Timestamp", "Thu, 09 Oct 2025 08:53:25 +0000"),
    ];
    parameters.retain(|(name, _)| other.iter().all(|(replaced, _)| replaced != name));
    parameters.extend(other.iter().filter(|(_, value)| !value.is_empty()));
    let mut event = stream_updated("https://a.example/conferences", &parameters);
    event["type"] = json!(PARTICIPANT_TYPE);
    event
}

#[test]
fn a_hold_is_a_fact_of_the_task_that_names_the_conference() {
    let interest = Interest { holds: true, ..Interest::default() };
    let read = |other: &[(&str, &str)]| {
        let delivery = json!([participant_updated(other)]).to_string();
        parse(delivery.as_bytes(), &interest, NOW).unwrap().into_iter().next().unwrap()
    };
    let fact = |other: &[(&str, &str)]| {
        let DeliveryElement::Participant { identity, event, .. } = read(other) else { panic!("{other:?}") };
        (identity, event)
    };
    let (identity, event) = fact(&[]);
    assert_eq!((event.change, event.at), (ParticipantChange::Hold, 1_760_000_005_000));
    assert_eq!(fact(&[]).0, identity, "told again");
    assert_ne!(fact(&[("SequenceNumber", "8")]).0, identity);
    assert_eq!(fact(&[("StatusCallbackEvent", "participant-unhold")]).1.change, ParticipantChange::Unhold);
    // Without a number the event's own id tells it from others, and without a time the envelope's serves.
    assert!(fact(&[("SequenceNumber", "")]).0.ends_with("|NO1"));
    assert_eq!(fact(&[("Timestamp", "")]).1.at, 1_760_000_005_123);
    let long = "9".repeat(4_000);
    assert!(fact(&[("SequenceNumber", long.as_str())]).0.len() < 200, "the sender does not decide the key's length");
    for (name, value) in [("FriendlyName", "my-room"), ("StatusCallbackEvent", "participant-join")] {
        assert_eq!(read(&[(name, value)]), DeliveryElement::NotOurs, "{name}");
    }
    assert_eq!(read(&[("ConferenceSid", "")]), DeliveryElement::Unusable(Malformed::Missing("ConferenceSid")));
    assert_eq!(only(&participant_updated(&[])), DeliveryElement::NotOurs, "nobody goes by holds");
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:\\\\ua0-9]{0,60}") {
        let _ = parse(&bytes, &Interest::default(), NOW);
        let _ = parse(text.as_bytes(), &Interest::default(), NOW);
        let _ = parse(format!("[{text}]").as_bytes(), &Interest::default(), NOW);
    }

    #[test]
    fn no_value_in_any_place_causes_a_panic(at in 0_usize..30, text in any::<String>(), number in any::<i64>()) {
        for value in [json!(text), json!(number), json!([text]), json!({"a": number}), Value::Null] {
            let mut element = cloud_event(&accepted());
            let payload = element["data"]["payload"].as_object_mut().unwrap();
            let field = payload.keys().nth(at % payload.len()).unwrap().clone();
            payload.insert(field, value.clone());
            element["data"]["payload"][text.clone()] = value.clone();
            let _ = parse(json!([element]).to_string().as_bytes(), &Interest::default(), NOW);
            element["data"] = value;
            let _ = parse(json!([element]).to_string().as_bytes(), &Interest::default(), NOW);
        }
    }
}
