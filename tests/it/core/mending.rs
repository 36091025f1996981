//! What is left behind when things go wrong in the middle: sentences that the seeded lab taught.

use super::story::*;
use std::collections::BTreeSet;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::{FactKind, Parked, StreamChange, TaskStatus, TransferChange, TransferMode};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::step::{
    Answer, CallStatus, Command, ConferenceRow, Goal, Guard, Operation, Outcome, Read, Step,
};

/// The first agent has begun a transfer, for which the customer is held, and the core has taken them off hold.
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
fn a_customer_is_not_held_again_when_the_transfer_leaves_one_agent_with_them() {
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
    let done = story.run();
    assert_eq!(done.last().unwrap(), "update hold", "{done:?}");
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
    assert_raised(&story.run());
    assert_eq!(story.world.customer.guard, Some(Guard::Raised));
}

/// The guard is raised once, and read until nothing that lowers it can land any more.
#[track_caller]
fn assert_raised(done: &[String]) {
    let (first, reads) = done.split_first().unwrap();
    assert!(
        first == "update raise" && !reads.is_empty() && reads.iter().all(|step| step == "read participants"),
        "{done:?}"
    );
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
    assert_eq!(given_up.iter().map(|parked| parked.goal.clone()).collect::<Vec<_>>(), [Goal::Start(reservation(2))]);
}

#[test]
fn a_conference_that_has_not_begun_is_not_lost() {
    let mut story = Story::new();
    story.accepted(1, 1);
    for expected in ["read participants", "update lower"] {
        let step = story.step();
        assert_eq!(words(&step.operation), expected);
        story.perform(step);
    }
    let look = story.step();
    assert!(matches!(look.operation, Operation::Read(Read::Conference { .. })));
    let row = ConferenceRow { sid: sid("CF", 1), friendly_name: task().to_string(), in_progress: false, to_come: true };
    story.settle(look, Outcome::Done(Answer::Conference(Some(row))));
    story.reservation(taskrouter_streams::call::fact::ReservationChange::Wrapup, 1, 1, TaskStatus::Reserved);
    assert_raised(&story.run());
    assert_eq!(story.world.customer.guard, Some(Guard::Raised));
}

#[test]
fn a_start_that_was_parked_in_doubt_is_started_under_the_next_name_when_it_is_redriven() {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    story.begin(&redirect);
    story.settle(redirect, Outcome::Unknown(trouble(None)));
    let goal = Goal::Start(reservation(1));
    story.learn(FactKind::Parked(Parked { goal, reason: "it could not be looked at".to_owned() }));
    story.run();
    story.learn(FactKind::Redriven);
    let done = story.run();
    assert!(done.contains(&"redirect -0 +1".to_owned()), "under the next name: {done:?}");
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
    let raise = story.step();
    story.perform(raise);
    let raised_at = story.now;
    story.world.agents = 2;
    story.accepted(2, 2);
    story.until_redirect();
    assert!(story.now - raised_at >= story.policy.verify_guard_ms - 100, "{} ms", story.now - raised_at);
}

/// A story whose conference ended while the customer was away, up to the question whether they are on the phone.
fn conference_ended_while_away() -> (Story, Step) {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    story.perform(redirect);
    let look = story.step();
    story.settle(look, Outcome::Done(Answer::Participants(Vec::new())));
    let fetch = story.step();
    assert!(matches!(fetch.operation, Operation::Read(Read::Call { .. })), "{fetch:?}");
    (story, fetch)
}

#[test]
fn a_customer_whose_conference_ended_while_they_were_away_is_looked_for_in_the_next_one() {
    let (mut story, fetch) = conference_ended_while_away();
    story.settle(fetch, call_is(CallStatus::Live));
    let find = story.step();
    assert!(matches!(find.operation, Operation::Read(Read::FindConference { .. })), "{find:?}");
    let row = ConferenceRow { sid: sid("CF", 2), friendly_name: task().to_string(), in_progress: true, to_come: false };
    story.settle(find, Outcome::Done(Answer::Conference(Some(row))));
    assert_eq!(story.run(), ["read participants"]);
    assert_eq!(story.live(), [name(1, 1)]);
}

#[test]
fn a_customer_who_hung_up_while_away_is_looked_for_no_longer() {
    let (mut story, fetch) = conference_ended_while_away();
    story.settle(fetch, call_is(CallStatus::Over));
    assert_eq!(story.run(), [] as [&str; 0]);
}

/// Parked or not, whoever hangs up later is noticed as well.
#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "anything else is a failure")]
fn a_customer_who_hangs_up_while_looked_for_in_vain_is_noticed() {
    let (mut story, fetch) = conference_ended_while_away();
    story.settle(fetch, call_is(CallStatus::Live));
    let mut found_in_vain = 0;
    let mut parked = false;
    loop {
        match story.next() {
            Next::WaitUntil(at) => story.now = at,
            Next::Park(what) => {
                parked = true;
                story.learn(FactKind::Parked(what));
            }
            Next::Do(step) => match step.operation {
                Operation::Read(Read::FindConference { .. }) => {
                    found_in_vain += 1;
                    story.settle(step, Outcome::Done(Answer::Conference(None)));
                }
                Operation::Read(Read::Call { .. }) if parked && found_in_vain > 40 => {
                    story.settle(step, call_is(CallStatus::Over));
                    break;
                }
                Operation::Read(Read::Call { .. }) => story.settle(step, call_is(CallStatus::Live)),
                other => panic!("{other:?}"),
            },
            next => panic!("{next:?}"),
        }
        assert!(found_in_vain < 100, "nobody asks whether they are still there");
    }
    assert_eq!(story.run(), [] as [&str; 0]);
}

/// The name of the second stream of a reservation.
fn name_of_second(of_worker: u32, of_reservation: u32) -> String {
    format!("{}_2", name(of_worker, of_reservation))
}

/// Three agents on a call with tracks for two, by the Streams resource: the first one's stream is about to make room.
fn making_room() -> (Story, Step) {
    let mut story = Story::new();
    story.policy.strategy = Strategy::StreamsApi;
    for agent in 1..=2 {
        story.accepted(agent, agent);
    }
    story.run();
    story.accepted(3, 3);
    let stop = story.step();
    assert!(
        matches!(&stop.operation, Operation::Command(Command::StopStream { name: stopped, .. }) if *stopped == name(1, 1))
    );
    (story, stop)
}

#[test]
fn a_stream_that_is_wanted_again_after_its_stop_was_left_in_doubt_is_stopped_for_certain_and_started_anew() {
    for crashed in [true, false] {
        let (mut story, stop) = making_room();
        story.begin(&stop);
        if !crashed {
            story.settle(stop, Outcome::Unknown(trouble(None)));
        }
        story.left(2, 2);
        let mut done = story.run();
        done.sort();
        assert_eq!(done, ["create stream", "create stream", "stop stream", "stop stream"], "crashed: {crashed}");
        assert_eq!(BTreeSet::from_iter(story.live()), BTreeSet::from([&*name(3, 3), &*name_of_second(1, 1)]));
    }
}

#[test]
fn a_stream_whose_stop_was_not_taken_and_is_wanted_again_runs_on() {
    let (mut story, stop) = making_room();
    story.begin(&stop);
    story.settle(stop, Outcome::TryLater(trouble(Some(429))));
    story.left(2, 2);
    assert_eq!(story.run(), ["stop stream", "create stream"]);
    assert_eq!(story.live(), [name(1, 1), name(3, 3)]);
}

#[test]
fn a_refused_stop_leaves_an_earlier_one_in_doubt() {
    let (mut story, stop) = making_room();
    story.begin(&stop);
    story.settle(stop, Outcome::Unknown(trouble(None)));
    let again = story.step();
    story.begin(&again);
    story.settle(again, Outcome::TryLater(trouble(Some(429))));
    story.left(2, 2);
    story.run();
    assert_eq!(BTreeSet::from_iter(story.live()), BTreeSet::from([&*name(3, 3), &*name_of_second(1, 1)]));
}

#[test]
fn a_stream_that_is_told_to_have_stopped_while_its_stop_was_in_doubt_is_no_failure() {
    let (mut story, stop) = making_room();
    story.learn(stream_event(START, &name(1, 1), 1, StreamChange::Started));
    story.begin(&stop);
    story.left(2, 2);
    story.learn(stream_event(START, &name(1, 1), 1, StreamChange::Stopped));
    let before = story.now;
    assert_eq!(story.run(), ["stop stream", "create stream", "create stream"], "only the second one's is stopped");
    assert!(story.now - before < story.policy.restart_ms, "and nothing is waited out");
    assert!(story.live().contains(&&*name_of_second(1, 1)));
}

#[test]
fn a_redirecting_worker_makes_a_stop_in_doubt_certain_without_another_redirect() {
    let mut story = Story::streaming();
    story.left(1, 1);
    let stop = story.step();
    assert_eq!(words(&stop.operation), "stop stream");
    story.begin(&stop);
    story.world.agents = 2;
    story.accepted(2, 2);
    let done = story.run();
    assert_eq!(done.iter().filter(|step| *step == "stop stream").count(), 1);
    assert_eq!(done.iter().filter(|step| step.starts_with("redirect")).collect::<Vec<_>>(), ["redirect -0 +1"]);
    assert_eq!(story.live(), [name(2, 2)]);
}

#[test]
fn a_stop_that_keeps_failing_is_tried_after_pauses_and_holds_up_no_start_that_has_room() {
    let mut story = Story::streaming();
    story.world.agents = 2;
    story.accepted(2, 2);
    story.left(1, 1);
    let (began, mut stops, mut started) = (story.now, 0, None);
    while story.now - began < 10_000 {
        let step = story.step();
        match &step.operation {
            Operation::Command(Command::Redirect { stop, .. }) if !stop.is_empty() => {
                story.begin(&step);
                story.settle(step, Outcome::TryLater(trouble(Some(429))));
            }
            Operation::Command(Command::StopStream { .. }) => {
                stops += 1;
                story.begin(&step);
                story.settle(step, Outcome::TryLater(trouble(Some(429))));
            }
            Operation::Command(_) | Operation::Read(_) => {
                let redirect = matches!(step.operation, Operation::Command(Command::Redirect { .. }));
                story.perform(step);
                started = started.or(redirect.then_some(story.now - began));
            }
        }
    }
    assert!(stops < 20, "{stops} tries in ten seconds");
    assert!(started.is_some_and(|after| after < 2_000), "the second agent's stream starts meanwhile: {started:?}");
}

#[test]
fn a_stream_that_nobody_is_meant_to_hear_keeps_its_tracks_until_it_is_stopped() {
    let mut story = Story::streaming();
    // Twilio tells of two more, and refuses to stop them.
    for stray in 2..=3 {
        story.learn(stream_event(START, &name(9, 9 + stray), stray, StreamChange::Started));
    }
    story.world.agents = 2;
    story.accepted(2, 2);
    for _ in 0..2 {
        let refused = |operation: &Operation| {
            let stops = matches!(operation, Operation::Command(Command::StopStream { .. }));
            stops.then(|| Outcome::Refused(trouble(Some(400))))
        };
        let parked = story.until_parked(refused);
        assert!(matches!(parked.goal, Goal::Stop(_)), "{parked:?}");
    }
    let done = story.run();
    assert!(!done.iter().any(|step| step.contains("+1")), "no tracks are left: {done:?}");
}

/// Two agents of three on the call, one of whom has begun to hand it over cold; the customer is held.
fn handing_over() -> Story {
    let mut story = Story::streaming();
    story.world.agents = 2;
    story.accepted(2, 2);
    story.run();
    story.world.customer.hold = Some(true);
    story.transfer_as(TransferChange::Initiated, 2, TransferMode::Cold);
    story.left(1, 1);
    story.run();
    story
}

#[test]
fn who_was_handed_over_cold_is_taken_off_hold_by_flex_and_not_held_again() {
    let mut story = handing_over();
    assert_eq!(story.world.customer.hold, Some(true), "held while the transferee is asked");
    story.accepted(3, 3);
    story.run();
    assert_eq!(story.world.customer.hold, Some(false));
}

#[test]
fn a_customer_whom_an_agent_holds_after_a_cold_transfer_is_held_again() {
    let mut story = handing_over();
    story.accepted(3, 3);
    story.run();
    story.now += 60_000;
    story.world.customer.hold = Some(true);
    story.accepted(4, 4);
    assert_eq!(story.run().last().unwrap(), "update hold");
}

#[test]
fn a_hold_by_somebody_else_settles_what_we_owe() {
    let mut story = unheld();
    story.now += 2_000;
    story.world.customer.hold = Some(true);
    let read = story.step();
    assert_eq!(words(&read.operation), "read participants");
    story.perform(read);
    // And they are taken off hold by somebody else.
    story.world.customer.hold = Some(false);
    assert!(!story.run().contains(&"update hold".to_owned()));
}

#[test]
fn a_hold_that_comes_with_a_transfer_while_the_customer_is_on_the_way_back_is_made_up_for() {
    for told_before_the_answer in [true, false] {
        let mut story = Story::new();
        story.accepted(1, 1);
        let redirect = story.until_redirect();
        story.begin(&redirect);
        let outcome = story.world.perform(&redirect.operation);
        if told_before_the_answer {
            story.transfer(TransferChange::Initiated, 1);
            story.settle(redirect, outcome);
        } else {
            story.settle(redirect, outcome);
            story.transfer(TransferChange::Initiated, 1);
        }
        assert_eq!(story.run().last().unwrap(), "update hold");
    }
}

#[test]
fn a_hold_that_comes_with_a_transfer_is_not_made_up_for_when_the_redirect_did_not_happen() {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    story.begin(&redirect);
    story.transfer(TransferChange::Initiated, 1);
    story.settle(redirect, Outcome::TryLater(trouble(Some(429))));
    assert!(!story.run().contains(&"update hold".to_owned()));
}

#[test]
fn what_could_not_be_done_ahead_of_a_transfer_is_not_left_given_up_after_its_end() {
    for told_after_the_end in [true, false] {
        let mut story = Story::streaming();
        story.transfer(TransferChange::Initiated, 1);
        let given_up = Parked { goal: Goal::LowerGuard, reason: "it did not work".to_owned() };
        if told_after_the_end {
            story.transfer(TransferChange::Canceled, 1);
            story.learn(FactKind::Parked(given_up));
        } else {
            story.learn(FactKind::Parked(given_up));
            assert_eq!(story.call.parked().count(), 1);
            story.transfer(TransferChange::Canceled, 1);
        }
        assert_eq!(story.report(), FactKind::Recovered(Goal::LowerGuard));
        assert_eq!(story.call.parked().count(), 0);
    }
}
