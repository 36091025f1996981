//! When nobody is entitled to the audio any more its streams end, whatever becomes of the leg.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test cares about one outcome and leaves the others alike")]

use super::story::*;
use taskrouter_streams::call::fact::{ReservationChange, StreamChange, TaskChange, TaskStatus};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::step::{Command, Operation, Outcome};
use taskrouter_streams::call::streams::StreamState;
use taskrouter_streams::call::{Neighbour, Next};

/// Every way in which the last agent can lose the call.
const ENDS: [fn(&mut Story); 8] = [
    |story| story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Wrapping),
    |story| story.reservation(ReservationChange::Completed, 1, 1, TaskStatus::Completed),
    |story| story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Assigned),
    |story| story.task(TaskChange::Wrapup, TaskStatus::Wrapping),
    |story| story.task(TaskChange::Completed, TaskStatus::Completed),
    |story| story.task(TaskChange::Canceled, TaskStatus::Canceled),
    |story| story.task(TaskChange::Deleted, TaskStatus::Assigned),
    |story| story.task(TaskChange::SystemDeleted, TaskStatus::Assigned),
];

fn streaming(strategy: Strategy, confirms: bool) -> Story {
    let mut story = Story::new();
    story.policy.strategy = strategy;
    story.policy.destinations.iter_mut().for_each(|destination| destination.confirms = confirms);
    story.accepted(1, 1);
    story.run();
    if confirms {
        story.tells(&name(1, 1), StreamChange::Started);
    }
    story
}

/// I3, I5.
#[test]
fn a_second_after_the_end_its_streams_are_stopped_through_their_resource_while_the_leg_lives_on() {
    for (number, end) in ENDS.iter().enumerate() {
        for strategy in [Strategy::Redirect, Strategy::StreamsApi] {
            for confirms in [true, false] {
                let mut story = streaming(strategy, confirms);
                end(&mut story);
                let ended_at = story.now;
                let stop = story.step();
                let case = format!("end {number}, {strategy:?}, callbacks: {confirms}");
                assert_eq!(stopped(&stop).0, name(1, 1), "{case}");
                assert_eq!(story.now - ended_at, story.policy.end_grace_ms, "{case}");
                story.perform(stop);
                let expected = if confirms { StreamState::Stopping } else { StreamState::Stopped };
                assert_eq!(story.call.streams()[0].state(), expected, "{case}");
                story.tells(&name(1, 1), StreamChange::Stopped);
                assert_eq!(story.call.streams()[0].state(), StreamState::Stopped, "{case}");
                assert!(matches!(story.next(), Next::Over | Next::Idle), "{case}: {:?}", story.next());
            }
        }
    }
}

/// I3: the call that ends within the grace takes its streams along.
#[test]
fn nothing_is_asked_when_the_end_of_the_call_is_told_within_the_grace() {
    let mut story = streaming(Strategy::StreamsApi, true);
    story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Wrapping);
    story.tells(&name(1, 1), StreamChange::Stopped);
    assert_eq!(story.next(), Next::Over);
    assert_eq!(story.call.streams()[0].state(), StreamState::Ended);
}

/// I5: a start that was under way at the end.
#[test]
fn a_start_that_lands_after_the_end_is_stopped() {
    for known in [true, false] {
        let mut story = Story::by_api();
        story.accepted(1, 1);
        let create = story.step();
        story.begin(&create);
        story.task(TaskChange::Canceled, TaskStatus::Canceled);
        if known {
            story.perform(create);
            assert_eq!(story.run(), ["stop stream"]);
        } else {
            let sent = story.now;
            story.settle(create, lost_answer());
            for _ in 0..2 {
                let stop = story.step();
                assert_eq!(stopped(&stop).0, name(1, 1));
                story.begin(&stop);
                story.settle(stop, not_found());
                assert_eq!(story.live().len(), 1, "a 404 says nothing while the start may still land");
                let read = story.step();
                assert!(fetches_call(&read), "{read:?}");
                story.perform(read);
            }
            assert!(story.now - sent >= story.policy.landing_ms, "{} ms", story.now - sent);
            let stop = story.step();
            story.begin(&stop);
            story.settle(stop, not_found());
        }
        assert_eq!((story.live().len(), story.next()), (0, Next::Over), "answered: {known}");
    }
}

/// I12: a stop that keeps failing after the end is parked, and tried again while the leg lives.
#[test]
fn a_stop_that_fails_after_the_end_is_parked_and_goes_on_every_half_minute() {
    let mut story = streaming(Strategy::StreamsApi, false);
    story.task(TaskChange::Canceled, TaskStatus::Canceled);
    let parked = story.until_parked(|_| Some(Outcome::TryLater(trouble(Some(503)))));
    assert_eq!(parked.goal.to_string(), format!("stop {}", name(1, 1)));
    let parked_at = story.now;
    let stop = story.step();
    assert!((30_000..=35_000).contains(&(story.now - parked_at)), "{} ms", story.now - parked_at);
    story.perform(stop);
    assert_eq!(story.run(), Vec::<String>::new());
    assert_eq!((story.call.parked().count(), story.next()), (0, Next::Over));
}

fn neighbour(since: i64, live: bool, tracks: usize) -> Neighbour {
    Neighbour { task: sid("WT", 2), since, live, tracks, paused: false, proven_pauses: Vec::new() }
}

/// I1: the rejoin of a second task would raise a guard that the first has read lowered.
#[test]
fn only_the_first_task_on_a_leg_redirects_it_and_only_while_no_other_is_on_it() {
    for (others, redirects) in [
        (vec![], true),
        (vec![neighbour(START + 10_000, false, 0)], true),
        (vec![neighbour(START + 10_000, true, 0)], false),
        (vec![neighbour(START - 10_000, false, 0)], false),
        (vec![neighbour(START - 10_000, true, 0)], false),
        (vec![neighbour(START + 10_000, false, 0), neighbour(START - 10_000, false, 0)], false),
    ] {
        let mut story = Story::new();
        story.neighbours = others.clone();
        story.accepted(1, 1);
        let done = story.run();
        let redirected = done.iter().any(|step| step.starts_with("redirect"));
        assert_eq!(redirected, redirects, "{others:?}: {done:?}");
        assert_eq!(story.live(), [name(1, 1)], "{others:?}");
        if !redirects {
            assert_eq!(done, ["create stream"], "{others:?}");
            story.world.agents = 2;
            story.accepted(2, 2);
            story.left(1, 1);
            let mut done = story.run();
            done.sort();
            assert_eq!(done, ["create stream", "stop stream"], "{others:?}");
        }
    }
}

/// I4: the track budget is the leg's.
#[test]
fn tracks_of_another_tasks_streams_count_until_they_are_proven_over() {
    for strategy in [Strategy::Redirect, Strategy::StreamsApi] {
        let mut story = Story::new();
        story.policy.strategy = strategy;
        story.neighbours = vec![neighbour(START - 10_000, false, 4)];
        story.accepted(1, 1);
        let until = story.now + 20_000;
        story.wait_until(until);
        // Half of them are free now: room for one of two.
        story.neighbours = vec![neighbour(START - 10_000, false, 2)];
        story.accepted(2, 2);
        assert_eq!(story.run(), ["create stream"], "{strategy:?}");
        assert_eq!(story.live(), [name(2, 2)], "{strategy:?}: whoever came last needs it most");
        story.neighbours = vec![neighbour(START - 10_000, false, 0)];
        assert_eq!(story.run(), ["create stream"], "{strategy:?}");
        assert_eq!(story.live().len(), 2, "{strategy:?}");
    }
}

/// I4.
#[test]
fn another_task_learns_what_of_ours_is_on_the_leg() {
    let mut story = streaming(Strategy::StreamsApi, true);
    let ours = |story: &Story| story.call.neighbour(&customer()).unwrap();
    assert_eq!(
        ours(&story),
        Neighbour { task: task(), since: START + 1, live: true, tracks: 2, paused: false, proven_pauses: Vec::new() }
    );
    assert_eq!(story.call.neighbour(&sid("CA", 9)).map(|other| (other.live, other.tracks)), Some((false, 0)));
    story.task(TaskChange::Canceled, TaskStatus::Canceled);
    assert_eq!((ours(&story).live, ours(&story).tracks), (false, 2));
    let stop = story.step();
    story.perform(stop);
    assert_eq!(ours(&story).tracks, 2, "taken is not proven");
    story.tells(&name(1, 1), StreamChange::Stopped);
    assert_eq!(ours(&story).tracks, 0);
}

/// I2, I5: nothing is started for an agent who accepts a task that is over.
#[test]
fn after_the_end_nothing_is_started_and_no_guard_is_lowered() {
    for strategy in [Strategy::Redirect, Strategy::StreamsApi] {
        let mut story = streaming(strategy, false);
        story.task(TaskChange::Canceled, TaskStatus::Canceled);
        story.reservation(ReservationChange::Accepted, 2, 2, TaskStatus::Canceled);
        for _ in 0..20 {
            match story.next() {
                Next::Do(step) => {
                    let stops = matches!(step.operation, Operation::Command(Command::StopStream { .. }));
                    assert!(stops, "{strategy:?}: {step:?}");
                    story.perform(step);
                }
                Next::WaitUntil(at) => story.now = at,
                next => assert_eq!(next, Next::Over, "{strategy:?}"),
            }
        }
    }
}
