//! What Twilio took is proven by its own word, and looked at again when that does not come.

use super::story::*;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::{FactKind, Notice, ReservationChange, StreamChange, StreamEvent, TaskStatus};
use taskrouter_streams::call::step::Guard;
use taskrouter_streams::call::streams::StreamState;

/// One agent's stream, taken and not told of; every destination is the same one.
fn taken() -> Story {
    let mut story = Story::confirming();
    story.policy.destinations.truncate(1);
    story.accepted(1, 1);
    assert_eq!(story.run(), ["create stream"]);
    assert_eq!(story.call.streams()[0].state(), StreamState::Taken);
    story
}

/// I11, I12.
#[test]
fn a_start_of_which_nothing_is_heard_is_reported_once_and_left_alone() {
    let mut story = taken();
    let began = story.now;
    assert_eq!(story.report(), FactKind::Noticed(Notice::StartUnproven { name: name(1, 1), replace: false }));
    assert_eq!(story.now - began, story.policy.confirm_ms);
    assert_eq!(story.call.streams()[0].state(), StreamState::InDoubt);
    assert!(story.rests() && !story.call.streams()[0].is_proven());
    story.tells(&name(1, 1), StreamChange::Started);
    assert_eq!(story.call.streams()[0].state(), StreamState::Running);
    assert!(story.rests());
}

/// I12: our own door was open, so that the silence says something.
#[test]
fn a_start_of_which_nothing_is_heard_while_others_are_is_replaced_once() {
    let mut story = taken();
    story.accepted(2, 2);
    let create = story.step();
    story.perform(create);
    story.tells(&name(2, 2), StreamChange::Started);
    assert_eq!(story.report(), FactKind::Noticed(Notice::StartUnproven { name: name(1, 1), replace: true }));
    let stop = story.step();
    assert_eq!(stopped(&stop).0, name(1, 1));
    story.perform(stop);
    assert!(matches!(story.next(), Next::WaitUntil(_)), "its tracks are not free before it is proven over");
    story.tells(&name(1, 1), StreamChange::Stopped);
    let create = story.step();
    story.perform(create);
    let second = format!("{}_2", name(1, 1));
    assert_eq!(story.live(), [name(2, 2), second.clone()]);
    // The second is not replaced again.
    story.reservation(ReservationChange::Wrapup, 2, 2, TaskStatus::Assigned);
    story.tells(&name(2, 2), StreamChange::Stopped);
    assert_eq!(story.report(), FactKind::Noticed(Notice::StartUnproven { name: second.clone(), replace: false }));
    assert!(story.rests());
    assert_eq!(story.live(), [second]);
}

/// I11, I12.
#[test]
fn a_stop_that_is_not_proven_is_sent_again_by_the_other_handle_then_alarmed() {
    let mut story = taken();
    story.tells(&name(1, 1), StreamChange::Started);
    story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Wrapping);
    for by_sid in [true, false] {
        let before = story.now;
        let stop = story.step();
        assert_eq!(stopped(&stop), (&*name(1, 1), by_sid));
        let wait = story.now - before;
        assert_eq!(wait, if by_sid { story.policy.end_grace_ms } else { story.policy.confirm_ms });
        story.perform(stop);
        assert_eq!(story.call.streams()[0].state(), StreamState::Stopping);
    }
    assert_eq!(story.report(), FactKind::Noticed(Notice::StopUnproven { name: name(1, 1) }));
    assert_eq!(story.call.streams()[0].state(), StreamState::InDoubt);
    assert!(!story.call.has_nothing_left(), "it counts as running");
    // It is sent again now and then while the leg lives, and nobody is told once more.
    let mut last = story.now - story.policy.confirm_ms;
    for by_sid in [true, false, true] {
        let stop = story.step();
        assert_eq!((stopped(&stop), story.now - last), ((&*name(1, 1), by_sid), story.policy.slow_retry_ms));
        story.perform(stop);
        last = story.now;
        assert_eq!(story.call.streams()[0].state(), StreamState::InDoubt);
    }
    assert!(matches!(story.next(), Next::WaitUntil(_)));
    // An operator who knows more wants it tried again.
    story.learn(FactKind::Redriven);
    let stop = story.step();
    assert_eq!(stopped(&stop).0, name(1, 1));
    story.perform(stop);
    story.tells(&name(1, 1), StreamChange::Stopped);
    assert_eq!((story.call.streams()[0].state(), story.next()), (StreamState::Stopped, Next::Over));
}

/// I12: what Twilio took twice and did not do is done once it is well again.
#[test]
fn a_stop_that_did_nothing_ends_the_stream_when_it_is_sent_again() {
    let mut story = taken();
    story.tells(&name(1, 1), StreamChange::Started);
    story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Wrapping);
    for _ in 0..2 {
        let stop = story.step();
        story.perform(stop);
    }
    assert_eq!(story.report(), FactKind::Noticed(Notice::StopUnproven { name: name(1, 1) }));
    let again = story.step();
    story.perform(again);
    story.tells(&name(1, 1), StreamChange::Stopped);
    assert_eq!((story.call.streams()[0].state(), story.next()), (StreamState::Stopped, Next::Over));
}

/// A call that has ended unheard of is not stopped for ever.
#[test]
fn the_call_of_a_stop_that_is_never_proven_is_asked_for_after_a_while() {
    let mut story = taken();
    story.policy.quiet_ms = 600_000;
    story.tells(&name(1, 1), StreamChange::Started);
    story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Wrapping);
    story.world.call = taskrouter_streams::call::step::CallStatus::Over;
    let began = story.now;
    while !story.call.is_call_over() {
        let step = story.step();
        story.perform(step);
    }
    assert!(story.now - began <= story.policy.quiet_ms + 60_000, "{} ms", story.now - began);
    assert_eq!(story.next(), Next::Over);
}

/// Twilio tells an error that is a warning by its documents, or has no number that is known.
fn warned(story: &mut Story, error: Option<u32>) {
    let stream = story.call.streams()[0].sid().cloned().unwrap();
    let FactKind::Stream(event) = stream_event(START, &name(1, 1), 0, StreamChange::Error) else { unreachable!() };
    story.learn(FactKind::Stream(StreamEvent { stream, error, ..event }));
}

/// I4, I11: it may go on beside the next one, and after the agent has left.
#[test]
fn a_stream_that_may_outlive_its_error_is_stopped_before_the_next_one_starts() {
    for error in [Some(31_930), Some(31_951), None] {
        for is_known in [true, false] {
            let mut story = taken();
            story.tells(&name(1, 1), StreamChange::Started);
            warned(&mut story, error);
            assert!(story.call.streams()[0].may_run() && !story.call.streams()[0].is_proven());
            let stop = story.step();
            assert_eq!(stopped(&stop), (&*name(1, 1), true));
            if is_known {
                story.perform(stop);
            } else {
                story.begin(&stop);
                story.settle(stop, not_found());
            }
            let over = story.now;
            assert_eq!(
                (story.call.streams()[0].state(), story.call.streams()[0].error()),
                (StreamState::Failed, error)
            );
            story.run();
            assert_eq!(story.live(), [format!("{}_2", name(1, 1))]);
            assert!(story.now - over >= story.policy.restart_ms, "a pause before the next one");
        }
    }
}

/// The same of an agent who leaves meanwhile.
#[test]
fn a_stream_that_may_outlive_its_error_is_stopped_when_its_agent_has_left() {
    let mut story = taken();
    story.tells(&name(1, 1), StreamChange::Started);
    warned(&mut story, Some(31_931));
    story.left(1, 1);
    assert_eq!(story.run(), ["stop stream"]);
    assert!(story.live().is_empty());
    // An error that ends a stream by Twilio's documents needs no stop.
    let mut story = taken();
    story.tells(&name(1, 1), StreamChange::Started);
    warned(&mut story, Some(31_921));
    story.left(1, 1);
    assert_eq!(story.run(), Vec::<String>::new());
}

/// I11: without callbacks the documented answer is all that there will be.
#[test]
fn where_nobody_tells_a_stop_that_is_taken_is_the_end() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    story.run();
    assert_eq!(story.call.streams()[0].state(), StreamState::Taken);
    story.left(1, 1);
    assert_eq!(story.run(), ["stop stream"]);
    assert_eq!(story.call.streams()[0].state(), StreamState::Stopped);
}

/// I11: a stop within new TwiML is proven by a customer who is back from it.
#[test]
fn a_stop_by_redirect_is_proven_by_the_rejoin() {
    let mut story = Story::streaming();
    story.world.agents = 2;
    story.accepted(2, 2);
    story.left(1, 1);
    let redirect = story.until_redirect();
    story.perform(redirect);
    assert_eq!(story.call.streams()[0].state(), StreamState::Stopping);
    assert_eq!(story.call.streams()[1].state(), StreamState::Taken);
    let read = story.step();
    story.perform(read);
    assert_eq!(story.call.streams()[0].state(), StreamState::Stopped);
    assert_eq!(story.world.customer.guard, Some(Guard::Raised));
}

/// I11: every state in which a stream can be shown, and what leads there.
#[test]
fn what_is_shown_of_a_stream_is_twilios_word_or_says_that_it_is_not() {
    let state = |story: &Story| story.call.streams()[0].state();
    let mut story = Story::confirming();
    story.accepted(1, 1);
    let create = story.step();
    story.begin(&create);
    assert_eq!(state(&story), StreamState::Starting);
    story.settle(create, lost_answer());
    assert_eq!(state(&story), StreamState::InDoubt);
    story.tells(&name(1, 1), StreamChange::Started);
    assert_eq!(state(&story), StreamState::Running);
    assert!(story.call.streams()[0].is_proven());
    story.left(1, 1);
    let stop = story.step();
    story.begin(&stop);
    assert_eq!(state(&story), StreamState::Stopping);
    story.settle(stop, lost_answer());
    assert_eq!(state(&story), StreamState::InDoubt);
    story.tells(&name(1, 1), StreamChange::Stopped);
    assert_eq!(state(&story), StreamState::Stopped);
    for (change, expected) in [(StreamChange::Stopped, StreamState::Ended), (StreamChange::Error, StreamState::Failed)]
    {
        let mut story = taken();
        story.tells(&name(1, 1), change);
        assert_eq!(state(&story), expected);
        assert_eq!(story.call.streams()[0].error(), (change == StreamChange::Error).then_some(31_921));
    }
}

/// I3, I11: a refused stop leaves what an earlier one may have done in doubt.
#[test]
fn a_stream_whose_stop_is_in_doubt_is_not_taken_for_one_that_runs() {
    let (mut story, _) = Story::with_a_lost_stop();
    let again = story.step();
    story.begin(&again);
    story.settle(again, taskrouter_streams::call::step::Outcome::TryLater(trouble(Some(429))));
    assert_eq!(story.call.streams()[0].state(), StreamState::InDoubt);
}
