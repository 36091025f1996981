//! Nobody was there for a while, or a clock was set: what was under way, and what was waited for, is judged by what is seen
//! afterwards.

use super::story::*;
use std::cell::Cell;
use taskrouter_streams::call::fact::{FactKind, TransferChange};
use taskrouter_streams::call::step::{Answer, CallStatus, Command, Guard, Operation, Outcome, Read, Step};

/// Long enough to exhaust whatever counts in clock time.
const JUMP_MS: i64 = 3_600_000;

/// A story whose customer has been redirected, taken, and not come back; up to the next look at the conference.
fn away() -> Story {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    story.perform(redirect);
    story.world.customer.connected = false;
    let look = story.step();
    assert!(reads_participants(&look.operation));
    story.perform(look);
    story
}

fn reads_participants(operation: &Operation) -> bool {
    matches!(operation, Operation::Read(Read::Participants { .. }))
}

/// I4: the start may land as long as a process that was about to send it could have.
#[test]
fn a_command_of_a_process_that_died_may_land_until_its_time_has_passed_for_the_next_one() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    let create = story.step();
    story.begin(&create);
    story.now += JUMP_MS;
    let taken_up = story.now;
    let FactKind::Settled(settled) = story.report() else { panic!("the command is settled first") };
    assert_eq!(settled.step, create);
    assert!(matches!(&settled.outcome, Outcome::Unknown(trouble) if trouble.lost), "{:?}", settled.outcome);
    let stop = story.step();
    assert_eq!(stopped(&stop).0, name(1, 1));
    assert_eq!(story.now - taken_up, story.policy.landing_ms);
}

/// I1: a redirect may land for as long.
#[test]
fn a_redirect_of_a_process_that_died_is_not_repeated_before_its_time_has_passed_for_the_next_one() {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    story.begin(&redirect);
    story.now += JUMP_MS;
    let taken_up = story.now;
    assert!(matches!(story.report(), FactKind::Settled(_)));
    let again = story.until_redirect();
    assert_ne!(created_by(&again), created_by(&redirect), "under the next name");
    assert!(story.now - taken_up >= story.policy.landing_ms, "{} ms", story.now - taken_up);
}

fn created_by(step: &Step) -> Vec<String> {
    let starts = step.operation.command().map(Command::starts).unwrap_or_default();
    starts.iter().map(|start| start.name.clone()).collect()
}

#[test]
fn an_absence_does_not_use_up_the_time_in_which_the_customer_may_come_back() {
    let mut story = away();
    story.now += JUMP_MS;
    let resumed = story.now;
    let parked = story.until_parked(|_| None);
    assert!(parked.reason.contains("was not seen back"), "{}", parked.reason);
    assert!(story.now - resumed >= story.policy.rejoin_ms, "{} ms", story.now - resumed);
}

/// I1: a list that lags shows where they were, and not that they are back.
#[test]
fn a_customer_is_not_back_in_the_row_that_they_have_left() {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    let before = story.world.rows();
    story.perform(redirect);
    story.world.customer.connected = false;
    let stale = Cell::new(4);
    let parked = story.until_parked(|operation| {
        if !reads_participants(operation) || stale.get() == 0 {
            return None;
        }
        stale.set(stale.get() - 1);
        Some(Outcome::Done(Answer::Participants(before.clone())))
    });
    assert_eq!(stale.get(), 0);
    assert!(parked.reason.contains("was not seen back"), "{}", parked.reason);
}

/// I1: the answer denies what was done; the guard is raised again by the TwiML of the redirect.
#[test]
fn no_redirect_goes_out_on_what_was_read_before_another() {
    for answer in [Outcome::TryLater(trouble(Some(429))), Outcome::NotFound(trouble(Some(404)))] {
        let mut story = Story::new();
        story.accepted(1, 1);
        let redirect = story.until_redirect();
        story.begin(&redirect);
        story.world.perform(&redirect.operation);
        assert_eq!(story.world.customer.guard, Some(Guard::Raised));
        story.settle(redirect, answer);
        story.until_redirect();
        assert_eq!(story.world.customer.guard, Some(Guard::Lowered));
    }
}

/// I8.
#[test]
fn a_guard_that_was_lowered_before_our_first_write_is_lowered_after_the_redirect() {
    let mut story = Story::new();
    story.world.customer.guard = Some(Guard::Lowered);
    story.accepted(1, 1);
    story.run();
    assert_eq!((story.world.customer.guard, story.world.joined), (Some(Guard::Lowered), 1));
    // And ahead of a transfer that comes to nothing.
    let mut story = Story::new();
    story.world.customer.guard = Some(Guard::Lowered);
    story.world.agents = 0;
    story.accepted(1, 1);
    story.transfer(TransferChange::Initiated, 1);
    story.run();
    story.transfer(TransferChange::Canceled, 1);
    story.run();
    assert_eq!(story.world.customer.guard, Some(Guard::Lowered));
}

#[test]
fn who_is_not_back_soon_is_asked_for_before_the_time_is_up() {
    let mut story = away();
    let redirected = story.now;
    story.world.call = CallStatus::Over;
    while !story.call.is_call_over() {
        let step = story.step();
        story.perform(step);
    }
    assert!(story.now - redirected < story.policy.rejoin_ms / 2, "{} ms", story.now - redirected);
}

#[test]
fn a_redrive_looks_for_a_customer_on_the_way_back_as_if_for_the_first_time() {
    let mut story = away();
    story.until_parked(|_| None);
    story.learn(FactKind::Redriven);
    let redriven = story.now;
    story.until_parked(|_| None);
    assert!(story.now - redriven >= story.policy.rejoin_ms, "{} ms", story.now - redriven);
}

#[test]
fn tries_on_both_sides_of_an_absence_do_not_add_up() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    let create = story.step();
    story.begin(&create);
    story.settle(create, Outcome::TryLater(trouble(Some(503))));
    story.now += JUMP_MS;
    let resumed = story.now;
    story.until_parked(|operation| operation.command().map(|_| Outcome::TryLater(trouble(Some(503)))));
    assert!(story.now - resumed >= story.policy.give_up_ms / 2, "{} ms", story.now - resumed);
}

/// I8: the customer is held again when an un-hold lands that was thought lost.
#[test]
fn a_lost_unhold_that_lands_after_the_customer_was_held_again_is_made_good() {
    let mut story = Story::streaming();
    story.world.customer.hold = Some(true);
    story.transfer(TransferChange::Initiated, 1);
    let lower = story.step();
    story.perform(lower);
    let unhold = story.step();
    assert_eq!(words(&unhold.operation), "update lower unhold");
    story.begin(&unhold);
    let sent = story.now;
    story.settle(unhold, lost_answer());
    for _ in 0..20 {
        let step = story.step();
        let held_again = words(&step.operation) == "update hold";
        story.perform(step);
        if held_again {
            break;
        }
    }
    assert_eq!(story.world.customer.hold, Some(true), "held again");
    // It lands now.
    story.world.customer.hold = Some(false);
    let look = story.step();
    assert!(reads_participants(&look.operation), "{look:?}");
    assert_eq!(story.now - sent, story.policy.landing_ms);
    story.perform(look);
    assert_eq!(story.run()[0], "update hold");
    assert_eq!(story.world.customer.hold, Some(true));
}
