//! The guard that is the customer's own, and what becomes of a conference when we hold it lowered (I8).

use super::story::*;
use taskrouter_streams::call::fact::{
    CallAttributes, FactKind, Notice, ReservationChange, TaskChange, TaskStatus, TransferChange,
};
use taskrouter_streams::call::step::{Answer, CallStatus, Command, Guard, Operation, Outcome, Read, Role};
use taskrouter_streams::call::{Call, Next};

/// The guard is lowered ahead of a transfer.
fn lowered() -> Story {
    let mut story = Story::streaming();
    story.world.agents = 2;
    story.transfer(TransferChange::Initiated, 1);
    story.run();
    assert_eq!(story.world.customer.guard, Some(Guard::Lowered));
    story
}

fn ends_conference(operation: &Operation) -> bool {
    matches!(operation, Operation::Command(Command::EndConference { .. }))
}

/// I2's one exception: agents must not be left behind because of us.
#[test]
fn the_conference_of_a_customer_who_hangs_up_while_the_guard_is_lowered_is_ended_once() {
    let mut story = lowered();
    let lowered_at = story.now;
    let look = story.step();
    assert!(fetches_call(&look), "{look:?}");
    assert!(story.now - lowered_at <= story.policy.watch_ms, "{} ms", story.now - lowered_at);
    story.settle(look, call_is(CallStatus::Over));
    let end = story.step();
    assert!(ends_conference(&end.operation), "{end:?}");
    story.begin(&end);
    story.settle(end, Outcome::TryLater(trouble(Some(503))));
    let end = story.step();
    assert!(ends_conference(&end.operation), "{end:?}");
    story.perform(end);
    assert_eq!(story.next(), Next::Over);
}

#[test]
fn a_conference_that_has_ended_already_is_left_alone() {
    let mut story = lowered();
    let look = story.step();
    story.settle(look, call_is(CallStatus::Over));
    let end = story.step();
    story.begin(&end);
    story.settle(end, not_found());
    assert_eq!(story.next(), Next::Over);
}

#[test]
fn no_conference_is_ended_while_the_call_lives_or_the_guard_is_not_ours() {
    // The guard is raised: Twilio ends the conference itself.
    let mut story = Story::streaming();
    story.now += story.policy.quiet_ms;
    let look = story.step();
    story.settle(look, call_is(CallStatus::Over));
    assert_eq!(story.next(), Next::Over);
    // We hold it lowered, and the call goes on.
    let mut story = lowered();
    for _ in 0..3 {
        let look = story.step();
        assert!(fetches_call(&look), "{look:?}");
        story.settle(look, call_is(CallStatus::Live));
    }
    // It was raised again.
    let mut story = lowered();
    story.transfer(TransferChange::Canceled, 1);
    story.run();
    story.now += story.policy.quiet_ms;
    let look = story.step();
    story.settle(look, call_is(CallStatus::Over));
    assert_eq!(story.next(), Next::Over);
}

/// A call whose customer is found by their label, so that the guard is read before our first write.
fn read_first(guard: Guard) -> Story {
    let mut story = Story::new();
    story.world.customer.guard = Some(guard);
    story.world.customer.role = Role::Customer;
    let mut view = view(TaskStatus::Assigned, 1);
    view.attributes = CallAttributes::default();
    story.world.attributes = CallAttributes::default();
    story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, view));
    story
}

/// I8.
#[test]
fn the_way_back_has_the_guard_as_it_was_read_before_our_first_write() {
    for guard in [Guard::Raised, Guard::Lowered] {
        let mut story = read_first(guard);
        let redirect = story.until_redirect();
        let Operation::Command(Command::Redirect { guard: back, .. }) = &redirect.operation else { unreachable!() };
        assert_eq!(*back, guard);
        story.perform(redirect);
        story.run();
        assert_eq!(story.world.customer.guard, Some(guard), "left as it was found");
        assert_eq!(story.live(), [name(1, 1)]);
    }
}

/// I8: also when the step that follows fails.
#[test]
fn the_guard_is_raised_again_when_the_redirect_is_parked() {
    for refused in [Outcome::Refused(trouble(Some(400))), Outcome::Denied(trouble(Some(403)))] {
        let mut story = Story::new();
        story.accepted(1, 1);
        story.until_parked(|operation| {
            matches!(operation, Operation::Command(Command::Redirect { .. })).then(|| refused.clone())
        });
        story.run();
        assert_eq!(story.world.customer.guard, Some(Guard::Raised));
        assert_eq!(story.call.guard(), Some(Guard::Raised));
    }
}

/// I8: what we cannot undo any more is told.
#[test]
fn a_lowered_guard_of_a_leg_that_is_the_customers_no_more_is_told_once() {
    for (mut story, lowered) in [(lowered(), true), (Story::streaming(), false)] {
        let mut view = view(TaskStatus::Assigned, 90);
        view.attributes.customer = Some(sid("CA", 9));
        story.learn(task_event(story.now, TaskChange::Updated, view));
        let told = FactKind::Noticed(Notice::GuardLeft { call: customer() });
        assert_eq!(story.next() == Next::Report(told.clone()), lowered);
        story.learn(told.clone());
        assert_ne!(story.next(), Next::Report(told), "once");
        assert_eq!(Call::fold(&story.facts), story.call, "I9");
    }
}

/// An update that was carried out, and whose answer says that it was not; the customer's own guard is raised.
fn denied_but_done(answer: &Outcome) -> Story {
    let mut story = Story::new();
    story.accepted(1, 1);
    let look = story.step();
    story.perform(look);
    let lower = story.step();
    assert_eq!(words(&lower.operation), "update lower");
    story.begin(&lower);
    story.world.perform(&lower.operation);
    story.settle(lower, answer.clone());
    story
}

/// I8: an answer is a claim.
#[test]
fn a_guard_that_was_lowered_in_spite_of_the_answer_is_raised_again() {
    for answer in [not_found(), not_in_progress(), Outcome::Refused(trouble(Some(412)))] {
        let mut story = denied_but_done(&answer);
        story.run();
        assert_eq!(story.world.customer.guard, Some(Guard::Raised), "{answer:?}");
        assert_eq!(story.call.guard(), Some(Guard::Raised), "{answer:?}");
    }
}

fn without_the_customer(operation: &Operation) -> Option<Outcome> {
    let agents = |row: &taskrouter_streams::call::step::ParticipantRow| row.call != customer();
    let rows = || Story::streaming().world.rows().into_iter().filter(agents).collect();
    matches!(operation, Operation::Read(Read::Participants { .. })).then(|| Outcome::Done(Answer::Participants(rows())))
}

/// A transfer is canceled, and its guard is to be raised again. Twilio does not know the customer, and they are not listed, for as
/// long as nobody looks late.
fn unlisted() -> Story {
    let mut story = lowered();
    story.transfer(TransferChange::Canceled, 1);
    let first = story.step();
    story.begin(&first);
    story.settle(first, not_found());
    story.run_answered(without_the_customer);
    story
}

/// I8: a list may leave out who is there.
#[test]
fn a_guard_is_raised_again_when_a_list_has_left_out_the_customer_for_a_while() {
    let mut story = unlisted();
    assert_eq!((story.world.customer.guard, story.call.guard()), (Some(Guard::Lowered), Some(Guard::Lowered)));
    story.now += story.policy.slow_retry_ms;
    story.run();
    assert_eq!((story.world.customer.guard, story.call.guard()), (Some(Guard::Raised), Some(Guard::Raised)));
}

/// Who has moved on is not looked for any more.
#[test]
fn a_guard_is_moot_when_the_customer_is_still_not_listed_late() {
    let mut story = unlisted();
    story.now += story.policy.slow_retry_ms;
    assert_eq!(story.run_answered(without_the_customer).0, ["read participants"]);
    assert_eq!(story.call.guard(), None, "nobody has read it");
    let later = story.now + 120_000;
    story.wait_until(later);
}
