//! Event callbacks to facts.

use proptest::prelude::*;
use std::borrow::Cow;
use taskrouter_streams::call::fact::{FactKind, TransferMode, TransferTarget};
use taskrouter_streams::twilio::event::{Content, Malformed, parse};
use taskrouter_streams::twilio::interest::Interest;
use taskrouter_streams::twilio::signature::Pair;

fn sid(prefix: &str, n: u32) -> String {
    format!("{prefix}{n:032x}")
}

fn event(kind: &str) -> Vec<(String, String)> {
    [
        ("EventType", kind.to_owned()),
        ("AccountSid", sid("AC", 1)),
        ("WorkspaceSid", sid("WS", 1)),
        ("Sid", sid("EV", 1)),
        ("Timestamp", "1760000005".to_owned()),
        ("TimestampMs", "1760000005123".to_owned()),
        ("ResourceSid", sid("TT", 1)),
        ("TaskSid", sid("WT", 1)),
        ("TaskChannelUniqueName", "voice".to_owned()),
        ("TaskAttributes", format!("{{\"direction\":\"inbound\",\"call_sid\":\"{}\"}}", sid("CA", 1))),
        ("ReservationSid", sid("WR", 1)),
        ("WorkerSid", sid("WK", 1)),
        ("TransferMode", "COLD".to_owned()),
        ("TransferTo", sid("WQ", 1)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn with(mut pairs: Vec<(String, String)>, name: &str, value: &str) -> Vec<(String, String)> {
    pairs.retain(|(key, _)| key != name);
    if !value.is_empty() {
        pairs.push((name.to_owned(), value.to_owned()));
    }
    pairs
}

fn read(pairs: &[(String, String)]) -> Result<Content, Malformed> {
    let pairs: Vec<Pair<'_>> = pairs.iter().map(|(k, v)| (Cow::from(k.as_str()), Cow::from(v.as_str()))).collect();
    parse(&pairs, &Interest::default()).map(|envelope| envelope.content)
}

fn ours(pairs: &[(String, String)]) -> (String, FactKind) {
    match read(pairs).unwrap() {
        Content::Ours { identity, what, .. } => (identity, what),
        Content::NotOurs => panic!("not ours"),
    }
}

#[test]
fn a_channel_is_meant_whatever_its_case() {
    for channel in ["voice", "Voice", "VOICE", " voice "] {
        let (_, FactKind::Task(told)) = ours(&with(event("task.created"), "TaskChannelUniqueName", channel)) else {
            panic!("{channel:?}")
        };
        assert_eq!(told.task.channel.as_deref(), Some("voice"), "as it is configured");
    }
    let chat = with(event("task.created"), "TaskChannelUniqueName", "voicemail");
    assert_eq!(read(&chat).unwrap(), Content::NotOurs);
}

#[test]
fn every_event_type_of_interest_becomes_its_fact() {
    for (group, names) in [
        ("reservation", "created accepted wrapup completed rejected timeout canceled rescinded failed"),
        ("task", "created updated wrapup completed canceled deleted system-deleted"),
        ("task.transfer", "initiated attempt-failed failed canceled completed"),
    ] {
        for name in names.split(' ') {
            let kind =
                if group == "task.transfer" { format!("task.transfer-{name}") } else { format!("{group}.{name}") };
            let (change, stamp) = match ours(&event(&kind)).1 {
                FactKind::Reservation(e) if group == "reservation" => (serde_json::to_value(e.change), e.stamp),
                FactKind::Task(e) if group == "task" => (serde_json::to_value(e.change), e.stamp),
                FactKind::Transfer(e) if group == "task.transfer" => (serde_json::to_value(e.change), e.stamp),
                other @ (FactKind::Reservation(_)
                | FactKind::Task(_)
                | FactKind::Transfer(_)
                | FactKind::Stream(_)
                | FactKind::Participant(_)
                | FactKind::Begun(_)
                | FactKind::Settled(_)
                | FactKind::Parked(_)
                | FactKind::Recovered(_)
                | FactKind::Noticed(_)
                | FactKind::Redriven
                | FactKind::Dismissed
                | FactKind::Operated(_)
                | FactKind::Paused(_)
                | FactKind::Resumed(_)
                | FactKind::Unparked) => panic!("{kind} became {other:?}"),
            };
            assert_eq!(change.unwrap(), name.replace('-', "_"));
            assert_eq!(stamp.at, 1_760_000_005_123);
        }
    }
}

#[test]
fn strict_parameters_are_named_when_missing_or_malformed_and_their_values_are_not() {
    for name in ["AccountSid", "WorkspaceSid", "Timestamp", "TaskSid", "ReservationSid", "WorkerSid"] {
        let pairs = event("reservation.accepted");
        assert_eq!(read(&with(pairs.clone(), name, "")), Err(Malformed::Missing(name)));
        let error = read(&with(pairs, name, "+15550100002")).unwrap_err();
        // A telephone number happens to be a number, but no time: u32 cannot hold it.
        assert_eq!(error, Malformed::Invalid(name));
        assert!(!error.to_string().contains("15550100002"));
    }
    assert_eq!(read(&with(event("x"), "EventType", "")), Err(Malformed::Missing("EventType")));
    assert!(read(&with(event("reservation.failed"), "WorkerSid", "")).is_ok());
}

#[test]
fn undocumented_parameters_may_be_missing_or_malformed() {
    let mut pairs = event("task.transfer-initiated");
    for name in ["Sid", "TimestampMs", "TransferMode", "TransferTo", "TaskVersion", "ResourceSid"] {
        pairs = with(pairs, name, "nonsense");
    }
    let (identity, what) = ours(&pairs);
    assert_eq!(identity, format!("task.transfer-initiated|{}|1760000005000", sid("WT", 1)));
    let FactKind::Transfer(event) = what else { panic!("{what:?}") };
    assert_eq!((event.transfer, event.mode, event.to), (None, None, None));
}

#[test]
fn a_transfer_tells_its_mode_and_target() {
    let (identity, what) = ours(&event("task.transfer-initiated"));
    assert_eq!(identity, sid("EV", 1));
    let FactKind::Transfer(event) = what else { panic!("{what:?}") };
    assert_eq!(event.transfer.unwrap().as_str(), sid("TT", 1));
    assert_eq!(event.mode, Some(TransferMode::Cold));
    assert_eq!(event.to, Some(TransferTarget::Queue(Some(sid("WQ", 1).parse().unwrap()))));
}

#[test]
fn attributes_lead_to_the_customer_when_they_can() {
    let (a, b) = (sid("CA", 1), sid("CA", 2));
    for (json, outbound, customer) in [
        (format!(r#"{{"call_sid":"{a}","conference":{{"participants":{{"customer":"{b}"}}}}}}"#), false, Some(&b)),
        (format!(r#"{{"call_sid":"{a}","conference":{{"participants":{{"customer":7}}}}}}"#), false, Some(&a)),
        (r#"{"direction":"outbound"}"#.to_owned(), true, None),
        ("not JSON".to_owned(), false, None),
    ] {
        let (_, what) = ours(&with(event("task.created"), "TaskAttributes", &json));
        let attributes = &what.task_view().unwrap().attributes;
        assert_eq!(attributes.outbound, outbound);
        let named = attributes.customer.as_ref().or(attributes.call_sid.as_ref());
        assert_eq!(named.map(|c| c.as_str()), customer.map(String::as_str));
    }
}

#[test]
fn chats_and_other_event_types_are_not_ours() {
    assert_eq!(read(&with(event("task.created"), "TaskChannelUniqueName", "chat")), Ok(Content::NotOurs));
    assert_eq!(read(&event("worker.activity.update")), Ok(Content::NotOurs));
}

proptest! {
    #[test]
    fn no_pairs_whatsoever_cause_a_panic(name in "[A-Za-z]{1,20}", value in any::<String>(), at in 0_usize..14) {
        let mut pairs = event("reservation.accepted");
        pairs[at].1 = value.clone();
        pairs.push((name, value));
        let _ = read(&pairs);
    }
}
