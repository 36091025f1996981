//! The door with two accounts, of which the second is in the middle of a rotation.

use crate::ingress::{
    BASE, FORM, Fake, account, delivery_by, fake, raw, send, serve_all, sid, signed_json_by, status, streamed,
};
use std::net::SocketAddr;
use std::sync::Arc;
use taskrouter_streams::twilio::signature::sign;

/// Every door that takes forms.
const DOORS: [&str; 3] = ["/taskrouter/events", "/streams/status", "/taskrouter/assignment"];

fn two() -> (Arc<Fake>, SocketAddr) {
    let journal = fake(99, false);
    (journal.clone(), serve_all(journal, vec![account(1, &["one"]), account(2, &["two", "two-to-be"])], false))
}

/// A form that every door understands.
fn form(account: &str, workspace: u32, number: u32) -> Vec<(&'static str, String)> {
    vec![
        ("AccountSid", account.to_owned()),
        ("WorkspaceSid", sid("WS", workspace)),
        ("EventType", "task.created".to_owned()),
        ("Sid", sid("EV", number)),
        ("Timestamp", "1760000005".to_owned()),
        ("TaskSid", sid("WT", number)),
        ("CallSid", sid("CA", number)),
        ("StreamSid", sid("MZ", number)),
        ("StreamName", format!("Stream_{}_{}", sid("WK", number), sid("WR", number))),
        ("StreamEvent", "stream-started".to_owned()),
    ]
}

fn post(address: SocketAddr, target: &str, form: &[(&'static str, String)], token: &str) -> String {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    send(address, &raw(target, FORM, &[&sign(&format!("{BASE}{target}"), form, token)], body.as_bytes()))
}

#[test]
fn each_account_is_heard_by_its_own_tokens_and_by_no_others() {
    for (place, door) in DOORS.iter().enumerate() {
        let (journal, address) = two();
        for (number, account, token, taken) in [
            (1, 1, "one", true),
            (2, 2, "two", true),
            (3, 2, "two-to-be", true),
            (4, 1, "two", false),
            (5, 2, "one", false),
            (6, 1, "two-to-be", false),
            (7, 2, "three", false),
        ] {
            let target = format!("{door}?task={}", sid("WT", number));
            let answer = post(address, &target, &form(&sid("AC", account), account, number), token);
            let expected = if !taken {
                "403"
            } else if place == 2 {
                "200"
            } else {
                "204"
            };
            assert_eq!(status(&answer), expected, "{door} for account {account} by {token}");
        }
        assert_eq!(journal.kept.lock().unwrap().len(), if place == 2 { 0 } else { 3 }, "{door}");
    }
}

#[test]
fn an_account_cannot_speak_for_the_workspace_of_another() {
    for door in ["/taskrouter/events", "/taskrouter/assignment"] {
        let (journal, address) = two();
        for (account, workspace, token) in [(1, 2, "one"), (2, 1, "two"), (2, 3, "two-to-be")] {
            let answer = post(address, door, &form(&sid("AC", account), workspace, 1), token);
            assert_eq!(status(&answer), "403", "{door} for workspace {workspace} by {token}");
        }
        assert!(journal.kept.lock().unwrap().is_empty());
    }
}

/// Everything of an answer but the time at which it was given.
fn undated(answer: &str) -> String {
    answer.lines().filter(|line| !line.to_lowercase().starts_with("date:")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_refusal_does_not_tell_which_accounts_there_are() {
    for door in DOORS {
        let (journal, address) = two();
        let named = |account: &str| {
            let mut form = form(account, 1, 1);
            form.retain(|(name, _)| !(account.is_empty() && *name == "AccountSid"));
            undated(&post(address, door, &form, "a-strangers"))
        };
        let known = named(&sid("AC", 1));
        assert_eq!(status(&known), "403");
        for account in [&sid("AC", 2), &sid("AC", 3), "AC", "' OR 1", ""] {
            assert_eq!(named(account), known, "{door}, {account:?}");
        }
        assert!(journal.kept.lock().unwrap().is_empty());
    }
}

#[test]
fn the_first_of_two_names_counts_for_the_tokens_and_for_what_is_read() {
    let (journal, address) = two();
    for (first, second, token, expected) in [(1, 2, "one", "204"), (1, 2, "two", "403"), (2, 1, "one", "403")] {
        let mut form = form(&sid("AC", first), first, 1);
        form.insert(1, ("AccountSid", sid("AC", second)));
        assert_eq!(status(&post(address, DOORS[0], &form, token)), expected, "{first} before {second} by {token}");
    }
    assert_eq!(journal.kept.lock().unwrap().len(), 1);
}

#[test]
fn of_each_accounts_event_streams_every_event_is_taken_that_is_its_own() {
    let (journal, address) = two();
    for (number, account, token) in [(1, 1, "one"), (2, 2, "two"), (3, 2, "two-to-be")] {
        let events = [streamed(10 * number, account, account), streamed(10 * number + 1, account, account)];
        assert_eq!(status(&send(address, &delivery_by(&events, token))), "204", "{token}");
    }
    assert_eq!(journal.kept.lock().unwrap().len(), 6);
    for (token, account, workspace) in
        [("one", 2, 2), ("two", 1, 1), ("one", 2, 1), ("two-to-be", 1, 2), ("three", 1, 1)]
    {
        let own = if token == "one" { 1 } else { 2 };
        let events = [streamed(90, own, own), streamed(91, account, workspace)];
        let expected = if token == "three" { "403" } else { "204" };
        assert_eq!(status(&send(address, &delivery_by(&events, token))), expected, "{account}, {workspace} by {token}");
    }
    let kept = journal.kept.lock().unwrap();
    assert_eq!(kept.len(), 7, "the neighbour that is its own, and nothing of another account");
    assert!(!kept.contains(&sid("EV", 91)));
}

#[test]
fn a_large_delivery_of_the_second_account_is_read_as_well() {
    let (_, address) = two();
    let large = [&vec![b' '; 300 * 1024][..], b"[]"].concat();
    assert_eq!(status(&send(address, &signed_json_by(&large, "two-to-be"))), "204");
    assert_eq!(status(&send(address, &signed_json_by(&large, "three"))), "413");
}
