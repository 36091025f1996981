//! What Twilio took is proven by its own word, and looked at again when that does not come.

use super::story::*;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::{FactKind, Notice, ReservationChange, StreamChange, TaskStatus};
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
    let silent_until = story.now + 3_000_000;
    story.wait_until(silent_until);
    // An operator who knows more wants it tried again.
    story.learn(FactKind::Redriven);
    let stop = story.step();
    assert_eq!(stopped(&stop).0, name(1, 1));
    story.perform(stop);
    story.tells(&name(1, 1), StreamChange::Stopped);
    assert_eq!((story.call.streams()[0].state(), story.next()), (StreamState::Stopped, Next::Over));
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
