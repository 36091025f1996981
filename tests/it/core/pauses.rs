//! Pauses: what should run, minus an interval; proven, or told that it is not.

use super::story::*;
use taskrouter_streams::call::fact::{Fact, FactKind, Notice, ReservationChange, StreamChange, TaskChange, TaskStatus};
use taskrouter_streams::call::pause::{
    AttributePause, OnExpiry, PauseOrigin, PauseScope, Paused, ProvenStop, Resumed, StopProof,
};
use taskrouter_streams::call::step::{CallStatus, Command, Operation, Resumption};
use taskrouter_streams::call::{Call, Neighbour, Next, summarize};

pub(super) fn paused(id: &str, scope: PauseScope) -> FactKind {
    let by = PauseOrigin::SignedRequest;
    FactKind::Paused(Paused { id: id.parse().unwrap(), scope, reason: "card".parse().ok(), seconds: None, by })
}

pub(super) fn resumed(id: &str) -> FactKind {
    FactKind::Resumed(Resumed { id: id.parse().unwrap(), by: PauseOrigin::SignedRequest })
}

pub(super) fn of(number: u32) -> PauseScope {
    PauseScope::Reservation(reservation(number))
}

pub(super) fn is_proven(story: &Story, id: &str) -> bool {
    let pause = story.call.pauses().iter().find(|pause| pause.id.as_str() == id).unwrap();
    pause.is_open() && pause.proven.is_some()
}

fn resumption(pause: &str, of: Option<String>) -> Option<Resumption> {
    Some(Resumption { pause: pause.parse().ok(), of })
}

/// Two agents with a stream each, of whom Twilio has told.
fn two_confirmed() -> Story {
    let mut story = Story::confirming();
    story.world.agents = 2;
    for number in [1, 2] {
        story.accepted(number, number);
        story.run();
        story.tells(&name(number, number), StreamChange::Started);
    }
    story.run();
    story
}

/// I13, by both strategies: stopped through the Streams resource, and started anew under the next name.
#[test]
fn a_pause_stops_through_the_streams_resource_and_a_resume_starts_the_next_name() {
    for mut story in [Story::streaming(), Story::by_api()] {
        story.accepted(1, 1);
        story.run();
        story.learn(paused("p", PauseScope::Call));
        let stop = story.step();
        assert_eq!(stopped(&stop).0, name(1, 1), "no redirect for a pause");
        assert!(!is_proven(&story, "p"));
        story.perform(stop);
        story.run();
        assert!(is_proven(&story, "p") && story.live().is_empty());
        let (_, stops) = story.call.pauses()[0].proven.clone().unwrap();
        assert_eq!((stops.len(), stops[0].by), (1, StopProof::Answer), "its destination does not tell");
        story.learn(resumed("p"));
        let start = story.step();
        let stream = created(&start);
        assert_eq!(stream.slot, 0, "where the first one was");
        assert_eq!(stream.name, format!("{}_2", name(1, 1)));
        assert_eq!(stream.resumes, resumption("p", Some(name(1, 1))));
        story.perform(start);
        story.run();
        assert_eq!(story.live().len(), 1);
    }
}

/// Only whom it covers; and with callbacks only Twilio's word proves it.
#[test]
fn a_pause_of_one_agent_leaves_the_other_alone_and_waits_for_twilios_word() {
    let mut story = two_confirmed();
    story.learn(paused("p", of(1)));
    let stop = story.step();
    assert_eq!(stopped(&stop).0, name(1, 1));
    story.perform(stop);
    assert!(matches!(story.next(), Next::WaitUntil(_)) && !is_proven(&story, "p"), "taken is not proven");
    story.tells(&name(1, 1), StreamChange::Stopped);
    let at = story.now;
    let stops = vec![ProvenStop { name: name(1, 1), at, by: StopProof::Reported }];
    assert_eq!(
        story.report(),
        FactKind::Noticed(Notice::PauseProven { id: "p".parse().unwrap(), stops, recordings: None })
    );
    assert_eq!(story.live(), [name(2, 2)]);
    assert!(story.rests());
}

/// I12: no word in time is an alarm, once; a later proof is one all the same.
#[test]
fn a_pause_that_is_not_proven_in_time_is_told_once_and_may_be_proven_later() {
    let mut story = two_confirmed();
    story.learn(paused("p", of(1)));
    let began = story.now;
    let stop = story.step();
    story.perform(stop);
    assert_eq!(story.report(), FactKind::Noticed(Notice::PauseUnproven { id: "p".parse().unwrap() }));
    assert_eq!(story.now - began, story.policy.pause_confirm_ms);
    story.tells(&name(1, 1), StreamChange::Stopped);
    story.run();
    assert!(is_proven(&story, "p") && story.call.pauses()[0].unproven_at.is_some());
}

/// I13: a start that can still land keeps a pause unproven, however often Twilio does not know its stream.
#[test]
fn a_start_that_can_still_land_keeps_a_pause_from_being_proven() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    let start = story.step();
    story.begin(&start);
    story.learn(paused("p", PauseScope::Call));
    let sent = story.now;
    story.settle(start, lost_answer());
    let mut unproven = 0;
    while story.call.pauses()[0].proven.is_none() {
        match story.next() {
            Next::Do(step) => {
                story.begin(&step);
                let read = matches!(step.operation, Operation::Read(_));
                let answer = if read { call_is(CallStatus::Live) } else { not_found() };
                story.settle(step, answer);
            }
            Next::Report(kind) => {
                unproven += usize::from(matches!(kind, FactKind::Noticed(Notice::PauseUnproven { .. })));
                story.learn(kind);
            }
            Next::WaitUntil(at) => story.now = at,
            next @ (Next::Park(_) | Next::Idle | Next::Over) => panic!("{next:?}"),
        }
    }
    assert!(story.now - sent >= story.policy.landing_ms, "proven {} ms after the start", story.now - sent);
    assert_eq!((unproven, story.live().len()), (1, 0));
}

/// A redirect that was begun before the pause starts a stream, which is stopped; one that is only due does not.
#[test]
fn a_redirect_that_is_due_meanwhile_does_not_start_a_paused_stream() {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    assert!(matches!(redirect.operation, Operation::Command(Command::Redirect { .. })));
    story.learn(paused("p", PauseScope::Call));
    let done = story.run();
    assert!(!done.iter().any(|step| step.starts_with("redirect") || step == "create stream"), "{done:?}");
    assert!(is_proven(&story, "p") && story.live().is_empty());
    story.learn(resumed("p"));
    let done = story.run();
    assert_eq!(done[0], "create stream", "nobody leaves a conference for a pause");
    let begun = |fact: &Fact| {
        let FactKind::Begun(step) = &fact.kind else { return Vec::new() };
        step.operation.command().map(Command::starts).unwrap_or_default().to_vec()
    };
    let starts = story.facts.iter().flat_map(begun);
    let resumes: Vec<_> = starts.map(|start| start.resumes).collect();
    assert_eq!(resumes, [resumption("p", None)], "there was none before");
}

#[test]
fn who_joins_during_a_pause_of_the_call_starts_paused() {
    let mut story = Story::by_api();
    story.learn(paused("p", PauseScope::Call));
    story.accepted(1, 1);
    story.run();
    assert!(is_proven(&story, "p"));
    story.accepted(2, 2);
    story.run();
    assert!(story.live().is_empty() && story.rests());
    story.left(1, 1);
    story.learn(resumed("p"));
    assert_eq!(story.run(), ["create stream"]);
    assert_eq!(story.live(), [name(2, 2)]);
}

#[test]
fn each_resume_ends_its_own_pause_also_one_that_arrives_first() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    story.run();
    story.learn(paused("call", PauseScope::Call));
    story.learn(paused("agent", of(1)));
    story.learn(paused("agent", PauseScope::Call));
    story.run();
    assert_eq!(story.call.pauses().len(), 2, "the same again changes nothing");
    story.learn(resumed("call"));
    story.run();
    assert!(story.live().is_empty() && is_proven(&story, "agent"));
    story.learn(resumed("agent"));
    assert_eq!(story.run(), ["create stream"]);
    story.learn(resumed("early"));
    story.learn(paused("early", PauseScope::Call));
    assert!(story.rests() && story.live().len() == 1, "its end came first");
}

/// I13, I12: what begins all the same is stopped, and told.
#[test]
fn a_stream_that_begins_within_a_proven_pause_is_stopped_and_told() {
    let mut story = two_confirmed();
    story.learn(paused("p", PauseScope::Call));
    for number in [1, 2] {
        let stop = story.step();
        story.perform(stop);
        story.tells(&name(number, number), StreamChange::Stopped);
    }
    story.run();
    assert!(is_proven(&story, "p"));
    let orphan = format!("{}_9", name(1, 1));
    story.tells(&orphan, StreamChange::Started);
    assert_eq!(story.report(), FactKind::Noticed(Notice::PauseUnproven { id: "p".parse().unwrap() }));
    let stop = story.step();
    assert_eq!(stopped(&stop).0, orphan);
    story.perform(stop);
    story.tells(&orphan, StreamChange::Stopped);
    story.run();
    assert!(is_proven(&story, "p"));
}

#[test]
fn the_end_of_the_call_proves_a_pause() {
    let mut story = two_confirmed();
    story.learn(paused("p", PauseScope::Call));
    story.world.call = CallStatus::Over;
    for _ in 0..2 {
        let stop = story.step();
        story.begin(&stop);
        story.settle(stop, not_in_progress());
    }
    story.run();
    let (_, stops) = story.call.pauses()[0].proven.clone().unwrap();
    assert!(stops.iter().all(|stop| stop.by == StopProof::CallOver), "{stops:?}");
    assert_eq!(stops.len(), 2);
}

/// A pause does not wait for the grace of a call that ends.
#[test]
fn a_pause_stops_at_once_when_the_last_agent_has_just_left() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    story.run();
    story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Assigned);
    assert!(matches!(story.next(), Next::WaitUntil(_)));
    story.learn(paused("p", PauseScope::Call));
    assert!(matches!(story.next(), Next::Do(_)));
}

#[test]
fn when_its_time_is_up_a_pause_stays_and_is_told_or_ends() {
    for on_expiry in [OnExpiry::Stay, OnExpiry::Resume] {
        let mut story = Story::by_api();
        story.policy.pause_on_expiry = on_expiry;
        story.policy.pause_max_ms = 60_000;
        story.accepted(1, 1);
        story.run();
        story.learn(paused("p", PauseScope::Call));
        let asked = story.now;
        story.run();
        let said = story.report();
        assert_eq!(story.now - asked, 60_000);
        let id = "p".parse().unwrap();
        match on_expiry {
            OnExpiry::Stay => {
                assert_eq!(said, FactKind::Noticed(Notice::PauseOverdue { id }));
                assert!(story.rests() && is_proven(&story, "p"), "fail closed");
            }
            OnExpiry::Resume => {
                assert_eq!(said, FactKind::Resumed(Resumed { id, by: PauseOrigin::Expiry }));
                assert_eq!(story.run(), ["create stream"]);
            }
        }
    }
}

/// I13: no fact of this task tells that another one streams the leg.
#[test]
fn another_tasks_stream_within_a_proven_pause_is_told_and_so_is_its_end() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    story.run();
    story.learn(paused("p", PauseScope::Call));
    let stop = story.step();
    story.perform(stop);
    let is_proof = |told| matches!(told, FactKind::Noticed(Notice::PauseProven { .. }));
    let is_doubt = |told| matches!(told, FactKind::Noticed(Notice::PauseUnproven { .. }));
    assert!(is_proof(story.report()));
    let proven = |story: &Story| story.call.neighbour(&customer()).unwrap().proven_pauses;
    assert_eq!(proven(&story), ["p".parse().unwrap()], "whoever streams the leg takes it back");
    let other = |tracks| {
        let (paused, proven_pauses) = (false, Vec::new());
        vec![Neighbour { task: sid("WT", 2), since: START, live: true, tracks, paused, proven_pauses }]
    };
    story.neighbours = other(2);
    assert!(is_doubt(story.report()) && !is_proven(&story, "p") && proven(&story).is_empty());
    story.neighbours = other(0);
    assert!(is_proof(story.report()) && is_proven(&story, "p"));
    story.learn(paused("a", of(1)));
    story.run();
    assert!(is_proven(&story, "a") && proven(&story).len() == 1, "others' streams are not of this agent");
    story.task(TaskChange::Completed, TaskStatus::Completed);
    assert!(proven(&story).is_empty());
}

#[test]
fn the_tasks_attribute_pauses_and_only_an_explicit_false_resumes() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    story.run();
    let mut version = 10;
    let mut told = |story: &mut Story, paused: Option<bool>, order: Option<u64>| {
        version += 1;
        let mut view = view(TaskStatus::Assigned, order.unwrap_or(version));
        let (id, scope, reason, seconds) = (None, PauseScope::Call, None, None);
        view.attributes.paused = paused.map(|paused| Box::new(AttributePause { paused, id, scope, reason, seconds }));
        story.learn(task_event(story.now, TaskChange::Updated, view));
        story.run();
        story.live().len()
    };
    assert_eq!(told(&mut story, Some(true), None), 0);
    assert_eq!(told(&mut story, None, None), 0, "who writes an old copy of the attributes does not resume");
    assert_eq!(told(&mut story, Some(false), Some(5)), 0, "an older word");
    assert_eq!(told(&mut story, Some(false), None), 1);
    assert_eq!(told(&mut story, Some(true), None), 0);
    assert_eq!(story.call.pauses().len(), 2);
    // An operator can end it, and the same attribute told again does not begin it anew.
    story.learn(resumed("task-attribute-2"));
    assert_eq!(told(&mut story, Some(true), None), 1);
    let summary = summarize(&story.facts).unwrap();
    assert!(summary.pauses.iter().all(|pause| pause.resumed_at.is_some() && pause.proven_at.is_some()));
    assert_eq!(Call::fold(&story.facts), story.call);
}

#[test]
fn ids_and_reasons_are_short_and_plain_and_no_numbers_of_anybodys() {
    use taskrouter_streams::call::pause::{PauseId, PauseReason};
    for (text, is_id, is_reason) in [
        ("card", true, true),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", true, false),
        ("card payment", false, true),
        ("4111 1111 1111 1111", false, false),
        ("", false, false),
        ("<b>", false, false),
        (&"x".repeat(65), false, false),
    ] {
        assert_eq!(text.parse::<PauseId>().is_ok(), is_id, "{text}");
        assert_eq!(text.parse::<PauseReason>().is_ok(), is_reason, "{text}");
    }
}
