//! The journal's format is a promise: what a version has written is read, and folded to the same, by every later one.
//!
//! `fixtures/journal/NAME.jsonl` holds the facts of a call as a version wrote them, and `….folded` what it made of every prefix:
//! v1 by both strategies, in shadow mode, with pauses, with recordings that these pause, and with what the core reports by itself. Once a version is released its files are never changed; a new kind of fact or field
//! gets files of its own. They were made by `cargo test -- --ignored records_a_golden_journal`.

use super::*;
use crate::stories::{patient, story};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use taskrouter_streams::call::Call;
use taskrouter_streams::call::fact::{Notice, Parked};
use taskrouter_streams::call::pause::{PauseId, PauseOrigin, PauseScope, Paused, ProvenStop, Resumed, StopProof};
use taskrouter_streams::call::recording::{
    PausedRecording, Recorded, RecordedKind, RecordingProof, RecordingRow, RecordingStatus,
};
use taskrouter_streams::call::sid::RecordingSid;
use taskrouter_streams::call::step::{Answer, Command, Operation, Outcome, Read, Settled, Step};
use twilio_simulator::testbed::Testbed;

const JOURNALS: [&str; 6] = ["v1.redirect", "v1.streams-api", "v1.shadow", "v1.pauses", "v1.recordings", "v1.notices"];

/// The newest, and the configuration under which they are recorded.
const NEWEST: [(&str, &str); 6] = [
    ("v1.redirect", "[streams]\nstrategy = \"redirect\""),
    ("v1.streams-api", ""),
    ("v1.pauses", ""),
    ("v1.recordings", ""),
    ("v1.notices", ""),
    ("v1.shadow", "mode = \"shadow\"\n[streams]\nstrategy = \"redirect\""),
];

fn file(name: &str, kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/journal/{name}.{kind}"))
}

fn lines(name: &str, kind: &str) -> Vec<String> {
    std::fs::read_to_string(file(name, kind)).unwrap().lines().map(str::to_owned).collect()
}

/// What is to be seen of a call, in a line.
fn seen(call: &Call) -> String {
    let accepted: Vec<_> = call.accepted().iter().map(|(sid, _)| sid.as_str().to_owned()).collect();
    let live: Vec<_> =
        call.streams().iter().filter(|stream| stream.may_run()).map(|stream| stream.name.clone()).collect();
    let parked: Vec<_> = call.parked().map(|(change, reason)| format!("{change}: {reason}")).collect();
    format!(
        "customer {} | accepted {accepted:?} | live {live:?} | parked {parked:?} | over {}",
        call.customer().map_or("unknown", |sid| sid.as_str()),
        call.is_over()
    )
}

/// What `later` says beside what `earlier` said is a field that was added; everything else must still be there.
fn keeps(earlier: &Value, later: &Value) -> bool {
    match (earlier, later) {
        (Value::Object(earlier), Value::Object(later)) => {
            earlier.iter().all(|(key, value)| later.get(key).is_some_and(|later| keeps(value, later)))
        }
        (Value::Array(earlier), Value::Array(later)) => {
            earlier.len() == later.len() && earlier.iter().zip(later).all(|(earlier, later)| keeps(earlier, later))
        }
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            _,
        ) => earlier == later,
    }
}

#[test]
fn what_earlier_versions_wrote_is_read_without_loss_and_folds_to_what_it_made_of_it() {
    for name in JOURNALS {
        let mut call = Call::default();
        let (facts, folded) = (lines(name, "jsonl"), lines(name, "folded"));
        assert!(facts.len() > 20 && facts.len() == folded.len());
        for (number, (line, expected)) in facts.iter().zip(&folded).enumerate() {
            let fact: Fact = serde_json::from_str(line).unwrap();
            let again = serde_json::to_value(&fact).unwrap();
            assert!(keeps(&serde_json::from_str(line).unwrap(), &again), "{name}, line {}: {again}", number + 1);
            call.apply(&fact);
            assert_eq!(&seen(&call), expected, "{name}, line {}", number + 1);
        }
    }
}

#[test]
fn the_golden_journals_hold_every_kind_of_fact() {
    let mut kinds: Vec<String> = Vec::new();
    for line in JOURNALS.iter().flat_map(|name| lines(name, "jsonl")) {
        let fact: Value = serde_json::from_str(&line).unwrap();
        kinds.push(match &fact["kind"] {
            Value::String(kind) => kind.clone(),
            Value::Object(kind) => kind.keys().next().unwrap().clone(),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => panic!("{other}"),
        });
    }
    kinds.sort();
    kinds.dedup();
    let all = [
        "begun",
        "dismissed",
        "noticed",
        "parked",
        "paused",
        "recovered",
        "redriven",
        "reservation",
        "resumed",
        "settled",
        "stream",
        "task",
        "transfer",
        "unparked",
    ];
    assert_eq!(kinds, all);
}

#[test]
fn the_newest_golden_journals_hold_accounts_and_what_is_only_assumed() {
    let facts: Vec<Value> = NEWEST
        .iter()
        .flat_map(|(name, _)| lines(name, "jsonl"))
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    for of_account in [
        "/kind/reservation/task/account",
        "/kind/task/task/account",
        "/kind/transfer/task/account",
        "/kind/stream/account",
    ] {
        assert!(facts.iter().any(|fact| fact.pointer(of_account).is_some_and(Value::is_string)), "no {of_account}");
    }
    let assumed: Vec<&Value> = facts.iter().filter_map(|fact| fact.pointer("/kind/settled/assumed")).collect();
    assert!(assumed.contains(&&Value::from("not_sent")), "{assumed:?}");
    let seen = assumed.iter().filter_map(|assumed| assumed.get("seen"));
    let seen: Vec<_> = seen.map(|seen| (seen["guard"].as_bool().unwrap(), seen["hold"].as_bool().unwrap())).collect();
    assert!(seen.iter().any(|(guard, _)| *guard) && seen.iter().any(|(_, hold)| *hold), "{seen:?}");
}

/// What a notice is called here. A new kind needs a line here, and a golden journal.
fn kind(notice: &Notice) -> &'static str {
    match notice {
        Notice::NoCall => "no call",
        Notice::StartUnproven { .. } => "start unproven",
        Notice::StopUnproven { .. } => "stop unproven",
        Notice::RedirectVoid => "redirect void",
        Notice::LegMoved { .. } => "leg moved",
        Notice::LegStayed { .. } => "leg stayed",
        Notice::LegUnverified { .. } => "leg unverified",
        Notice::PauseProven { .. } => "pause proven",
        Notice::PauseUnproven { .. } => "pause unproven",
        Notice::PauseOverdue { .. } => "pause overdue",
        Notice::GuardLeft { .. } => "guard left",
        Notice::OnHold => "on hold",
        Notice::OffHold => "off hold",
    }
}

#[test]
fn the_golden_journals_hold_every_kind_of_notice() {
    let mut kinds = BTreeSet::new();
    for line in JOURNALS.iter().flat_map(|name| lines(name, "jsonl")) {
        let fact: Fact = serde_json::from_str(&line).unwrap();
        if let FactKind::Noticed(notice) = &fact.kind {
            kinds.insert(kind(notice));
        }
    }
    assert_eq!(kinds.len(), 13, "{kinds:?}");
}

/// What the core reports by itself, of which a warm transfer gives no cause.
fn notices(call: &Call) -> Vec<FactKind> {
    let name = || "Stream_x".to_owned();
    let notices = [
        Notice::NoCall,
        Notice::OnHold,
        Notice::OffHold,
        Notice::RedirectVoid,
        Notice::StopUnproven { name: name() },
        Notice::LegMoved { name: name() },
        Notice::LegUnverified { name: name() },
        Notice::GuardLeft { call: call.customer().unwrap().clone() },
    ];
    notices.map(FactKind::Noticed).to_vec()
}

/// A pause of every kind, and what becomes of it.
fn pauses(start: &Goal) -> Vec<FactKind> {
    let id = |id: &str| id.parse::<PauseId>().unwrap();
    let stop = |by| ProvenStop { name: "Stream_x".to_owned(), at: 1, by };
    let stops = [
        StopProof::Reported,
        StopProof::NotFound,
        StopProof::CallOver,
        StopProof::Rejoined,
        StopProof::Answer,
        StopProof::NeverStarted,
    ];
    let scope = PauseScope::Reservation(start.reservation().unwrap());
    let reason = "card payment".parse().ok();
    let operator = PauseOrigin::Operator(Some("ann".to_owned()));
    vec![
        FactKind::Paused(Paused { id: id("a"), scope, reason, seconds: Some(60), by: PauseOrigin::SignedRequest }),
        FactKind::Paused(Paused { id: id("b"), scope: PauseScope::Call, reason: None, seconds: None, by: operator }),
        FactKind::Noticed(Notice::PauseUnproven { id: id("a") }),
        FactKind::Noticed(Notice::PauseProven { id: id("a"), stops: stops.map(stop).to_vec(), recordings: None }),
        FactKind::Noticed(Notice::PauseOverdue { id: id("a") }),
        FactKind::Resumed(Resumed { id: id("a"), by: PauseOrigin::Expiry }),
        FactKind::Resumed(Resumed { id: id("b"), by: PauseOrigin::TaskAttribute }),
    ]
}

/// Recordings of both kinds, read, paused and resumed, and what becomes of it.
fn recordings(call: &Call) -> Vec<FactKind> {
    let of_call = Recorded::Call(call.customer().unwrap().clone());
    let of_conference = Recorded::Conference("CF00000000000000000000000000000001".parse().unwrap());
    let sid: RecordingSid = "RE00000000000000000000000000000001".parse().unwrap();
    let settled = |operation: Operation, goal: Goal, answer: Answer| {
        let step = Step { id: 1_000, operation, why: vec![goal] };
        let outcome = Outcome::Done(answer);
        FactKind::Settled(Settled { step, sent_at: 1, outcome, request_id: None, assumed: None })
    };
    let row = |status| RecordingRow { sid: sid.clone(), status };
    let statuses = [RecordingStatus::InProgress, RecordingStatus::Paused, RecordingStatus::Over];
    let (pauses, resumes) = (Goal::PauseRecording(RecordedKind::Call), Goal::ResumeRecording(RecordedKind::Conference));
    let pause = Command::PauseRecording { of: of_call.clone(), recording: sid.clone(), current: true };
    let resume = Command::ResumeRecording { of: of_conference.clone(), recording: sid.clone() };
    let proofs = [RecordingProof::Answered, RecordingProof::Read, RecordingProof::PausedByOthers];
    let paused = proofs.map(|by| PausedRecording { sid: sid.clone(), of: of_call.clone(), at: 1, by });
    let by = PauseOrigin::SignedRequest;
    let id = || "a".parse::<PauseId>().unwrap();
    vec![
        FactKind::Paused(Paused { id: id(), scope: PauseScope::Call, reason: None, seconds: None, by: by.clone() }),
        settled(
            Operation::Read(Read::Recordings { of: of_call }),
            pauses.clone(),
            Answer::Recordings(statuses.map(row).to_vec()),
        ),
        settled(pause.into(), pauses.clone(), Answer::Recording(row(RecordingStatus::Paused))),
        FactKind::Noticed(Notice::PauseProven { id: id(), stops: Vec::new(), recordings: Some(paused.to_vec()) }),
        FactKind::Parked(Parked { goal: pauses, reason: "refused".to_owned() }),
        FactKind::Resumed(Resumed { id: id(), by }),
        settled(resume.into(), resumes.clone(), Answer::Recording(row(RecordingStatus::InProgress))),
        FactKind::Parked(Parked { goal: resumes, reason: "refused".to_owned() }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the golden journals of a version; those of a version that was released are never written again"]
async fn records_a_golden_journal() {
    for (name, extra) in NEWEST {
        let stage = Testbed::start(patient(), extra).await.unwrap();
        let outcome = stage.run(&story("warm-transfer")).await;
        let mut facts = stage.facts(&outcome.tasks[0]).await.unwrap();
        let reservation = Call::fold(&facts).reservations().next().unwrap().0.clone();
        let at = facts.last().unwrap().at;
        let parked = Parked { goal: Goal::Start(reservation), reason: "given up after 30 s".to_owned() };
        let ends = [
            FactKind::Parked(parked.clone()),
            FactKind::Redriven,
            FactKind::Parked(parked.clone()),
            FactKind::Dismissed,
            FactKind::Parked(parked.clone()),
            FactKind::Unparked,
            FactKind::Recovered(parked.goal.clone()),
            FactKind::Noticed(Notice::StartUnproven { name: "Stream_x".to_owned(), replace: false }),
        ];
        let pauses = if name == "v1.pauses" { pauses(&parked.goal) } else { Vec::new() };
        let recordings = if name == "v1.recordings" { recordings(&Call::fold(&facts)) } else { Vec::new() };
        let notices = if name == "v1.notices" { notices(&Call::fold(&facts)) } else { Vec::new() };
        facts.extend(
            ends.into_iter().chain(pauses).chain(recordings).chain(notices).map(|what| Fact { at, kind: what }),
        );
        let (mut text, mut folded, mut call) = (String::new(), String::new(), Call::default());
        for fact in &facts {
            call.apply(fact);
            text.push_str(&(serde_json::to_string(fact).unwrap() + "\n"));
            folded.push_str(&(seen(&call) + "\n"));
        }
        std::fs::create_dir_all(file(name, "jsonl").parent().unwrap()).unwrap();
        std::fs::write(file(name, "jsonl"), text).unwrap();
        std::fs::write(file(name, "folded"), folded).unwrap();
        stage.stop().await;
    }
}
