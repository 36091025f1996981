//! Status callbacks of streams: what they say, and the door that takes them.

use crate::ingress::{BASE, FORM, fake, raw, send, serve, sid, status};
use std::borrow::Cow;
use taskrouter_streams::call::fact::StreamChange;
use taskrouter_streams::twilio::signature::sign;
use taskrouter_streams::twilio::stream_status::{Status, StatusContent, parse};

/// As one of our streams is named.
const NAME: &str = "Stream_WK00000000000000000000000000000001_WR00000000000000000000000000000001";

fn form(event: &str, name: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AccountSid", sid("AC", 1)),
        ("CallSid", sid("CA", 1)),
        ("StreamSid", sid("MZ", 1)),
        ("StreamName", name.to_owned()),
        ("StreamEvent", event.to_owned()),
        ("StreamError", String::new()),
        ("Timestamp", "2026-11-25T10:00:00.250Z".to_owned()),
    ]
}

fn read(form: &[(&'static str, String)]) -> Status {
    let pairs: Vec<_> = form.iter().map(|(name, value)| (Cow::from(*name), Cow::from(value.as_str()))).collect();
    parse(&pairs, 77).unwrap()
}

fn request(target: &str, form: &[(&str, String)]) -> Vec<u8> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    raw(target, FORM, &[&sign(&format!("{BASE}{target}"), form, "token")], body.as_bytes())
}

#[test]
fn each_event_becomes_a_fact_with_an_identity_of_its_own() {
    for (event, change) in [
        ("stream-started", StreamChange::Started),
        ("stream-stopped", StreamChange::Stopped),
        ("stream-error", StreamChange::Error),
    ] {
        let StatusContent::Stream { identity, event: told } = read(&form(event, NAME)).content else {
            panic!("{event}")
        };
        assert_eq!(identity, format!("{event}|{}", sid("MZ", 1)));
        assert_eq!((told.change, told.name.as_str(), told.at), (change, NAME, 1_795_600_800_250));
    }
}

#[test]
fn of_an_error_only_twilios_number_is_kept() {
    for (text, number) in [("31921 - closed by +15550100", Some(31_921)), ("31920", Some(31_920)), ("closed", None)] {
        let mut form = form("stream-error", NAME);
        form[5].1 = text.to_owned();
        let StatusContent::Stream { event, .. } = read(&form).content else { panic!("{text}") };
        assert_eq!(event.error, number);
        assert!(!format!("{event:?}").contains("0100"));
    }
}

#[test]
fn other_events_and_names_that_none_of_ours_has_are_not_ours() {
    for (event, name) in [
        ("stream-paused", NAME),
        ("stream-started", "<b>x</b>"),
        ("stream-started", "a\nb"),
        ("stream-started", &"x".repeat(129)),
        ("stream-started", &format!("{}{NAME}", "x".repeat(40))),
        // Of others, who may write into it what they like.
        ("stream-started", "15005550006"),
        ("stream-started", "Jane-Doe"),
        ("stream-started", &NAME.replace("_WR", "_+15005550006_WR")),
        ("stream-started", &format!("{NAME}_15005550006")),
    ] {
        assert_eq!(read(&form(event, name)).content, StatusContent::NotOurs, "{event} {name}");
    }
}

#[test]
fn every_name_that_can_be_configured_is_ours() {
    let (worker, reservation) = (sid("WK", 1), sid("WR", 1));
    for prefix in ["", "Stream_", "s-", "a_b_", &"x".repeat(40)] {
        for number in ["", "_2", "_100"] {
            let name = format!("{prefix}{worker}_{reservation}{number}");
            let told = read(&form("stream-started", &name)).content;
            assert!(matches!(told, StatusContent::Stream { .. }), "{name}");
        }
    }
}

#[test]
fn what_lacks_a_time_happened_now_and_what_lacks_a_sid_is_malformed() {
    let mut undated = form("stream-started", NAME);
    undated[6].1 = "yesterday".to_owned();
    let StatusContent::Stream { event, .. } = read(&undated).content else { panic!() };
    assert_eq!(event.at, 77);
    for missing in ["AccountSid", "CallSid", "StreamSid", "StreamEvent"] {
        let form: Vec<_> = form("stream-started", NAME).into_iter().filter(|(name, _)| *name != missing).collect();
        let pairs: Vec<_> = form.iter().map(|(name, value)| (Cow::from(*name), Cow::from(value.as_str()))).collect();
        assert!(parse(&pairs, 0).unwrap_err().to_string().contains(missing));
    }
}

#[test]
fn a_status_callback_is_kept_for_the_task_that_its_url_names_and_once() {
    let journal = fake(9, false);
    let address = serve(journal.clone(), false);
    let ours = format!("/streams/status?task={}", sid("WT", 1));
    let callback = form("stream-started", NAME);
    for _ in 0..2 {
        assert_eq!(status(&send(address, &request(&ours, &callback))), "204");
    }
    assert_eq!(*journal.kept.lock().unwrap(), [format!("stream-started|{}", sid("MZ", 1))]);
    // Of a stream that somebody else started.
    for target in ["/streams/status", "/streams/status?task=nothing", "/streams/status?task="] {
        assert_eq!(status(&send(address, &request(target, &form("stream-stopped", NAME)))), "204", "{target}");
    }
    assert_eq!(journal.kept.lock().unwrap().len(), 1);
}

#[test]
fn a_forged_or_foreign_status_callback_is_refused() {
    let journal = fake(9, false);
    let address = serve(journal.clone(), false);
    let target = format!("/streams/status?task={}", sid("WT", 1));
    let callback = form("stream-started", NAME);
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&callback).finish();
    // Signed for another task.
    let other = sign(&format!("{BASE}/streams/status?task={}", sid("WT", 2)), &callback, "token");
    assert_eq!(status(&send(address, &raw(&target, FORM, &[&other], body.as_bytes()))), "403");
    assert_eq!(status(&send(address, &raw(&target, FORM, &[], body.as_bytes()))), "403");
    let mut foreign = form("stream-started", NAME);
    foreign[0].1 = sid("AC", 2);
    assert_eq!(status(&send(address, &request(&target, &foreign))), "403");
    let incomplete = &callback[..2];
    let answer = send(address, &request(&target, incomplete));
    assert_eq!(status(&answer), "400");
    assert!(answer.contains("StreamSid"), "{answer}");
    assert!(journal.kept.lock().unwrap().is_empty());
}
