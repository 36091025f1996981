//! What is left behind when things go wrong in the middle: sentences that the seeded lab taught.

use super::story::*;
use taskrouter_streams::call::fact::{Parked, TaskStatus, TransferChange, What};
use taskrouter_streams::call::step::{Answer, Change, ConferenceRow, Guard, Operation, Outcome};

/// The first agent has begun a transfer, for which the customer is held, and the core has taken him off hold.
fn unheld() -> Story {
    let mut story = Story::streaming();
    story.transfer(TransferChange::Initiated, 1);
    story.world.customer.hold = Some(true);
    for words_of_it in ["update lower", "update lower unhold"] {
        let step = story.step();
        assert_eq!(words(&step.operation), words_of_it);
        story.perform(step);
    }
    story
}

/// The guard is lowered ahead of a transfer, and nothing else is amiss.
fn lowered_ahead() -> Story {
    let mut story = Story::streaming();
    story.transfer(TransferChange::Initiated, 1);
    assert_eq!(story.run(), ["update lower", "read participants"]);
    story
}

#[test]
fn a_customer_held_for_a_transfer_is_held_again_while_the_transferee_is_asked() {
    let mut story = unheld();
    assert_eq!(story.run(), ["read participants", "update hold"]);
}

#[test]
fn a_customer_whose_agent_has_left_is_held_again_until_somebody_comes() {
    let mut story = unheld();
    story.left(1, 1);
    story.transfer(TransferChange::Failed, 1);
    assert_eq!(story.run().last().unwrap(), "update hold");
}

#[test]
fn a_customer_is_not_held_again_when_the_transfer_leaves_one_agent_with_him() {
    let mut story = unheld();
    story.transfer(TransferChange::Canceled, 1);
    assert_eq!(story.run().last().unwrap(), "read participants");
    assert_eq!(story.world.customer.hold, Some(false));
}

#[test]
fn the_word_of_a_completed_transfer_does_not_make_a_hold_forgotten_ahead_of_the_word_who_accepted() {
    let mut story = unheld();
    story.now += 60_000;
    story.transfer(TransferChange::Completed, 1);
    story.run();
    story.world.agents = 2;
    story.accepted(2, 2);
    assert_eq!(story.run().last().unwrap(), "update hold");
}

#[test]
fn a_refusal_does_not_leave_the_guard_lowered() {
    let mut story = lowered_ahead();
    story.transfer(TransferChange::Canceled, 1);
    let raise = story.step();
    story.begin(&raise);
    story.settle(raise, Outcome::Refused(trouble(Some(403))));
    let (_, given_up) = story.run_to_end();
    assert_eq!((given_up.len(), story.world.customer.guard), (0, Some(Guard::Raised)));
}

#[test]
fn a_worker_that_dies_with_a_change_of_the_guard_under_way_is_followed_by_one_that_raises_it() {
    let mut story = Story::streaming();
    story.transfer(TransferChange::Initiated, 1);
    let lower = story.step();
    story.begin(&lower);
    story.world.perform(&lower.operation);
    story.transfer(TransferChange::Canceled, 1);
    assert_eq!(story.run(), ["update raise", "read participants"]);
}

#[test]
fn a_change_of_the_guard_that_was_not_taken_leaves_nothing_to_mend() {
    let mut story = Story::streaming();
    story.transfer(TransferChange::Initiated, 1);
    let lower = story.step();
    story.begin(&lower);
    story.settle(lower, Outcome::TryLater(trouble(Some(429))));
    story.transfer(TransferChange::Canceled, 1);
    assert_eq!(story.run(), Vec::<String>::new());
}

#[test]
fn no_redirect_while_a_raise_of_the_guard_may_still_take_effect() {
    let mut story = lowered_ahead();
    story.transfer(TransferChange::Canceled, 1);
    let raise = story.step();
    assert_eq!(words(&raise.operation), "update raise");
    story.perform(raise);
    let raised_at = story.now;
    // Twilio takes its time: the guard still reads lowered.
    story.world.customer.guard = Some(Guard::Lowered);
    story.world.agents = 2;
    story.accepted(2, 2);
    story.until_redirect();
    assert!(story.now - raised_at >= story.policy.verify_guard_ms, "{} ms", story.now - raised_at);
}

#[test]
fn a_reading_from_before_an_event_is_not_relied_on() {
    let mut story = lowered_ahead();
    story.world.agents = 2;
    story.world.customer.hold = Some(true);
    story.accepted(2, 2);
    let done = story.run();
    assert_eq!(done.first().unwrap(), "read participants");
    assert_eq!(done.last().unwrap(), "update hold", "the hold that came with the event is known: {done:?}");
}

#[test]
fn a_start_that_has_to_wait_does_not_hold_up_a_stop() {
    let mut story = Story::streaming();
    story.world.agents = 0;
    story.accepted(2, 2);
    story.left(1, 1);
    let (done, given_up) = story.run_to_end();
    let stopped_after = done.iter().position(|step| step == "stop stream").unwrap();
    assert!(stopped_after < 5, "{done:?}");
    assert_eq!(
        given_up.iter().map(|parked| parked.change.clone()).collect::<Vec<_>>(),
        [Change::Start(reservation(2))]
    );
}

#[test]
fn a_conference_that_has_not_begun_is_not_lost() {
    let mut story = Story::new();
    story.accepted(1, 1);
    let lower = story.step();
    story.perform(lower);
    let look = story.step();
    assert!(matches!(look.operation, Operation::FetchConference { .. }));
    let row = ConferenceRow { sid: sid("CF", 1), friendly_name: task().to_string(), in_progress: false, to_come: true };
    story.settle(look, Outcome::Done(Answer::Conference(Some(row))));
    story.reservation(taskrouter_streams::call::fact::ReservationChange::Wrapup, 1, 1, TaskStatus::Reserved);
    assert_eq!(story.run(), ["update raise", "read participants"], "the guard that we lowered is raised");
}

#[test]
fn what_was_only_assumed_to_run_is_started_anew_when_it_is_redriven() {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    story.begin(&redirect);
    story.settle(redirect, Outcome::Unknown(trouble(None)));
    let change = Change::Start(reservation(1));
    story.learn(What::Parked(Parked { change, reason: "it could not be looked at".to_owned() }));
    story.run();
    story.learn(What::Redriven);
    let done = story.run();
    assert!(done.contains(&"stop stream".to_owned()), "whatever has that name is stopped: {done:?}");
    assert_eq!(story.live(), [format!("{}_2", name(1, 1))]);
}

#[test]
fn a_guard_that_still_reads_raised_does_not_show_that_a_later_raise_took_effect() {
    let mut story = Story::streaming();
    story.transfer(TransferChange::Initiated, 1);
    let lower = story.step();
    story.perform(lower);
    story.transfer(TransferChange::Canceled, 1);
    // Neither has shown yet.
    story.world.customer.guard = Some(Guard::Raised);
    assert_eq!(story.run(), ["update raise", "read participants"]);
    let raised_at = story.now;
    story.world.agents = 2;
    story.accepted(2, 2);
    story.until_redirect();
    assert!(story.now - raised_at >= story.policy.verify_guard_ms - 100, "{} ms", story.now - raised_at);
}

#[test]
fn a_customer_whose_conference_ended_while_he_was_away_is_looked_for_in_the_next_one() {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    story.perform(redirect);
    let look = story.step();
    story.settle(look, Outcome::Done(Answer::Participants(Vec::new())));
    let find = story.step();
    assert!(matches!(find.operation, Operation::FindConference { .. }), "{find:?}");
    let row = ConferenceRow { sid: sid("CF", 2), friendly_name: task().to_string(), in_progress: true, to_come: false };
    story.settle(find, Outcome::Done(Answer::Conference(Some(row))));
    assert_eq!(story.run(), ["read participants"]);
    assert_eq!(story.live(), [name(1, 1)]);
}
