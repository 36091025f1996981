//! What the core does, one sentence a test.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test cares about one operation and leaves the others alike")]

use super::story::*;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::{FactKind, ReservationChange, TaskStatus, TransferChange};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::step::{Answer, CallStatus, Command, Goal, Guard, Operation, Outcome, Step, Trouble};

fn stops_and_starts(step: &Step) -> (Vec<String>, Vec<String>) {
    match &step.operation {
        Operation::Command(Command::Redirect { stop, start, .. }) => {
            (stop.clone(), start.iter().map(|start| start.name.clone()).collect())
        }
        other => panic!("not a redirect: {other:?}"),
    }
}

#[test]
fn the_first_agent_gets_a_stream_by_way_of_a_lowered_guard() {
    let mut story = Story::new();
    story.accepted(1, 1);
    assert_eq!(
        story.run(),
        [
            "read participants",
            "update lower",
            "fetch conference",
            "read participants",
            "redirect -0 +1",
            "read participants"
        ]
    );
    assert_eq!(story.live(), [name(1, 1)]);
    assert!(story.rests());
}

#[test]
fn no_redirect_before_the_guard_reads_lowered() {
    let mut story = Story::new();
    story.accepted(1, 1);
    for expected in ["read participants", "update lower"] {
        let step = story.step();
        assert_eq!(words(&step.operation), expected);
        story.perform(step);
    }
    story.world.customer.guard = Some(Guard::Raised);
    for _ in 0..10 {
        let step = story.step();
        assert!(
            !matches!(step.operation, Operation::Command(Command::Redirect { .. })),
            "the guard still reads raised"
        );
        let echo = story.world.customer.clone();
        match step.operation {
            Operation::Command(Command::UpdateCustomer { .. }) => {
                story.settle(step, Outcome::Done(Answer::Participant(echo)))
            }
            _ => story.perform(step),
        }
    }
    story.world.customer.guard = Some(Guard::Lowered);
    story.until_redirect();
}

#[test]
fn a_guard_that_never_reads_lowered_parks_the_stream() {
    let mut story = Story::new();
    story.accepted(1, 1);
    let begun = story.now;
    for _ in 0..2_000 {
        match story.next() {
            Next::Do(step) => match step.operation {
                Operation::Command(Command::UpdateCustomer { .. }) => {
                    let echo = story.world.customer.clone();
                    story.settle(step, Outcome::Done(Answer::Participant(echo)));
                }
                Operation::Command(Command::Redirect { .. }) => panic!("redirected on a raised guard"),
                _ => story.perform(step),
            },
            Next::WaitUntil(at) => story.now = at,
            Next::Park(parked) => {
                assert_eq!(parked.goal, Goal::Start(reservation(1)));
                assert!(story.now - begun < 45_000, "{} ms", story.now - begun);
                return;
            }
            next @ (Next::Report(_) | Next::Idle | Next::Over) => panic!("{next:?}"),
        }
    }
    panic!("it tries for ever");
}

#[test]
fn the_customer_alone_is_never_redirected() {
    let mut story = Story::new();
    story.world.agents = 0;
    story.accepted(1, 1);
    let (done, given_up) = story.run_to_end();
    assert!(!done.iter().any(|step| step.starts_with("redirect")), "{done:?}");
    assert_eq!(given_up[0].goal, Goal::Start(reservation(1)));
}

#[test]
fn a_held_customer_is_taken_off_hold_in_the_request_that_lowers_the_guard_and_held_again_in_a_consult() {
    let mut story = Story::streaming();
    story.world.customer.hold = Some(true);
    story.world.agents = 2;
    story.accepted(2, 2);
    let done = story.run();
    assert!(done.contains(&"update lower unhold".to_owned()), "{done:?}");
    assert_eq!(done.last().unwrap(), "update hold");
    assert_eq!(story.world.customer.hold, Some(true));
    assert_eq!(story.live().len(), 2);
}

#[test]
fn a_customer_with_one_agent_is_not_held_again() {
    let mut story = Story::new();
    story.world.customer.hold = Some(true);
    story.accepted(1, 1);
    let done = story.run();
    assert!(done.contains(&"update lower unhold".to_owned()), "{done:?}");
    assert!(!done.contains(&"update hold".to_owned()), "{done:?}");
    assert_eq!(story.world.customer.hold, Some(false));
}

#[test]
fn the_guard_is_lowered_ahead_of_a_transfer_and_raised_again_when_it_fails() {
    for end in [TransferChange::Failed, TransferChange::Canceled] {
        let mut story = Story::streaming();
        story.transfer(TransferChange::Initiated, 1);
        assert_eq!(story.run(), ["update lower", "read participants"]);
        assert_eq!(story.world.customer.guard, Some(Guard::Lowered));
        story.transfer(end, 1);
        assert_eq!(story.run(), ["update raise", "read participants"]);
        assert_eq!(story.world.customer.guard, Some(Guard::Raised));
    }
}

#[test]
fn a_cold_transferor_is_stopped_without_a_redirect() {
    let mut story = Story::streaming();
    story.world.agents = 0;
    story.left(1, 1);
    assert_eq!(story.run(), ["stop stream"]);
    assert_eq!(story.live(), Vec::<&str>::new());
}

/// I5.
#[test]
fn a_call_in_wrapping_is_commanded_nothing_but_stops() {
    let mut story = Story::streaming();
    story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Wrapping);
    assert_eq!(story.run(), ["stop stream"]);
    assert_eq!(story.next(), Next::Over);
    let mut story = Story::new();
    story.accepted(1, 1);
    story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Wrapping);
    story.accepted(2, 2);
    let late = story.next();
    story.reservation(ReservationChange::Completed, 2, 2, TaskStatus::Completed);
    assert!(matches!(late, Next::Do(_)), "a task assigned again goes on");
    assert_eq!(story.next(), Next::Over);
}

#[test]
fn stops_and_starts_that_are_due_together_share_one_redirect() {
    let mut story = Story::streaming();
    story.accepted(2, 2);
    story.left(1, 1);
    let redirect = story.until_redirect();
    assert_eq!(stops_and_starts(&redirect), (vec![name(1, 1)], vec![name(2, 2)]));
    story.perform(redirect);
    story.run();
    assert_eq!(story.live(), [name(2, 2)]);
}

#[test]
fn over_the_budget_the_oldest_stream_makes_room_and_slots_take_turns() {
    let mut story = Story::streaming();
    story.world.agents = 3;
    story.accepted(2, 2);
    story.run();
    story.accepted(3, 3);
    story.run();
    assert_eq!(story.live(), [name(2, 2), name(3, 3)]);
    assert_eq!(story.call.streams().iter().map(|stream| stream.slot).collect::<Vec<_>>(), [0, 1, 0]);
    // Room returns: the evicted stream starts again, under a name of its own.
    story.left(3, 3);
    story.run();
    assert_eq!(story.live(), [name(2, 2), format!("{}_2", name(1, 1))]);
}

#[test]
fn a_stream_that_cannot_be_stopped_keeps_its_tracks_also_when_its_agent_stays() {
    let mut story = Story::streaming();
    story.world.agents = 3;
    story.accepted(2, 2);
    story.run();
    let goal = Goal::Stop(name(1, 1));
    let parked = taskrouter_streams::call::fact::Parked { goal, reason: "it did not work".to_owned() };
    story.learn(FactKind::Parked(parked));
    story.accepted(3, 3);
    story.run();
    assert_eq!(story.live().len(), 2, "four tracks are two streams: {:?}", story.live());
}

#[test]
fn an_agent_who_gets_the_call_back_has_a_second_name() {
    let mut story = Story::streaming();
    story.accepted(2, 2);
    story.left(1, 1);
    story.run();
    story.accepted(3, 1);
    story.left(2, 2);
    story.run();
    assert_eq!(story.live(), [name(1, 3)]);
    assert_eq!(story.call.streams().len(), 3);
}

/// A redirect whose answer was lost.
fn lost() -> (Story, Step) {
    let mut story = Story::new();
    story.accepted(1, 1);
    let redirect = story.until_redirect();
    story.begin(&redirect);
    (story, redirect)
}

#[test]
fn a_lost_redirect_is_believed_when_the_customers_row_is_younger() {
    for crashed in [true, false] {
        let (mut story, redirect) = lost();
        story.world.perform(&redirect.operation);
        if !crashed {
            story.settle(redirect, Outcome::Unknown(trouble(None)));
        }
        assert_eq!(story.run().iter().filter(|step| step.starts_with("redirect")).count(), 0);
        assert_eq!(story.live(), [name(1, 1)]);
    }
}

#[test]
fn a_lost_redirect_is_believed_when_the_customer_is_absent() {
    let (mut story, redirect) = lost();
    story.world.perform(&redirect.operation);
    story.world.customer.connected = false;
    story.settle(redirect, Outcome::Unknown(trouble(None)));
    let step = story.step();
    story.perform(step);
    assert_eq!(story.live(), [name(1, 1)]);
    story.world.customer.connected = true;
    assert!(story.run().iter().all(|step| step == "read participants"));
}

/// I1, I4.
#[test]
fn a_lost_redirect_is_not_repeated_before_nothing_of_it_can_land_and_then_starts_under_the_next_name() {
    for crashed in [true, false] {
        let (mut story, redirect) = lost();
        let sent = story.now;
        if !crashed {
            story.settle(redirect, lost_answer());
        }
        let again = story.until_redirect();
        assert!(story.now - sent >= story.policy.landing_ms, "{} ms", story.now - sent);
        assert_eq!(stops_and_starts(&again), (vec![], vec![format!("{}_2", name(1, 1))]));
        story.perform(again);
        story.run();
        assert_eq!(story.live(), [format!("{}_2", name(1, 1))]);
    }
}

#[test]
fn a_redirect_that_twilio_failed_to_answer_is_repeated_after_a_second() {
    let (mut story, redirect) = lost();
    let sent = story.now;
    story.settle(redirect, Outcome::Unknown(trouble(Some(503))));
    story.until_redirect();
    let after = story.now - sent;
    assert!((story.policy.doubt_ms..story.policy.landing_ms).contains(&after), "{after} ms");
}

#[test]
fn a_customer_who_does_not_come_back_is_given_up_visibly() {
    let (mut story, redirect) = lost();
    story.perform(redirect);
    story.world.customer.connected = false;
    let (_, given_up) = story.run_to_end();
    assert_eq!(given_up[0].goal, Goal::Rejoin);
}

/// Answers every command alike until something is parked; tells after how long.
fn fail_until_parked(outcome: &Outcome) -> (Story, i64, Goal) {
    let mut story = Story::new();
    story.accepted(1, 1);
    let begun = story.now;
    let parked = story.until_parked(|operation| operation.command().map(|_| outcome.clone()));
    let after = story.now - begun;
    (story, after, parked.goal)
}

/// I12.
#[test]
fn a_change_that_fails_is_parked_after_half_a_minute_and_tried_again_on_demand() {
    let (mut story, after, goal) = fail_until_parked(&Outcome::TryLater(trouble(Some(503))));
    assert_eq!(goal, Goal::Start(reservation(1)));
    assert!((24_000..=30_100).contains(&after), "after {after} ms");
    assert_eq!(story.run(), Vec::<String>::new());
    assert_eq!(story.call.parked().count(), 1);
    story.learn(FactKind::Redriven);
    story.run();
    assert_eq!(story.live(), [name(1, 1)]);
    assert_eq!(story.call.parked().count(), 0);
}

#[test]
fn a_refused_change_is_parked_at_once() {
    let (_, after, goal) = fail_until_parked(&Outcome::Refused(trouble(Some(422))));
    assert_eq!(
        (after, goal),
        (30, Goal::Start(reservation(1))),
        "after a look at the guard, and whether the call is there"
    );
}

/// I12.
#[test]
fn a_denial_is_tried_twice_more_before_the_change_is_parked() {
    for strategy in [Strategy::Redirect, Strategy::StreamsApi] {
        let mut story = Story::new();
        story.policy.strategy = strategy;
        story.accepted(1, 1);
        let begun = story.now;
        let tries = std::cell::Cell::new(0);
        let parked = story.until_parked(|operation| {
            operation.command().map(|_| {
                tries.set(tries.get() + 1);
                Outcome::Denied(trouble(Some(403)))
            })
        });
        assert_eq!((tries.get(), parked.goal), (3, Goal::Start(reservation(1))), "{strategy:?}");
        assert!(story.now - begun < story.policy.give_up_ms, "{strategy:?}: {} ms", story.now - begun);
        // One that was a bad moment leaves nothing behind.
        let mut story = Story::new();
        story.policy.strategy = strategy;
        story.accepted(1, 1);
        let step = story.step();
        story.begin(&step);
        story.settle(step, Outcome::Denied(trouble(Some(401))));
        story.run();
        assert_eq!((story.live().len(), story.call.parked().count()), (1, 0), "{strategy:?}");
    }
}

#[test]
fn retry_after_is_honoured_up_to_the_cap() {
    for (asked, pause) in [(2_000, 2_000), (600_000, 5_000), (u64::MAX, 5_000)] {
        let mut story = Story::new();
        story.accepted(1, 1);
        let step = story.step();
        let trouble = Trouble { retry_after_ms: Some(asked), ..trouble(Some(429)) };
        story.settle(step, Outcome::TryLater(trouble));
        assert_eq!(story.next(), Next::WaitUntil(story.now + pause), "asked for {asked}");
    }
}

#[test]
fn calls_that_we_placed_and_chats_are_left_alone() {
    let mut outbound = view(TaskStatus::Assigned, 1);
    outbound.attributes.outbound = true;
    let mut chat = view(TaskStatus::Assigned, 1);
    chat.channel = Some("chat".to_owned());
    for view in [outbound, chat] {
        let mut story = Story::new();
        story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, view));
        assert_eq!(story.next(), Next::Idle);
    }
}

/// I12: a call that is over needs no stream, and no alarm; one that cannot be looked at does.
#[test]
fn before_a_start_is_parked_the_call_is_looked_at() {
    for strategy in [Strategy::Redirect, Strategy::StreamsApi] {
        let mut story = Story::new();
        story.policy.strategy = strategy;
        story.world.call = CallStatus::Over;
        story.accepted(1, 1);
        for _ in 0..500 {
            match story.next() {
                Next::Do(step) if step.operation.command().is_some() => {
                    story.begin(&step);
                    story.settle(step, Outcome::TryLater(trouble(Some(503))));
                }
                Next::Do(step) => story.perform(step),
                Next::WaitUntil(at) => story.now = at,
                next => {
                    assert_eq!(next, Next::Over, "{strategy:?}");
                    break;
                }
            }
        }
        assert!(story.call.is_call_over() && story.call.parked().next().is_none(), "{strategy:?}");
        // Nothing at all is answered.
        let mut story = Story::new();
        story.policy.strategy = strategy;
        story.accepted(1, 1);
        let parked = story.until_parked(|_| Some(Outcome::TryLater(trouble(Some(503)))));
        assert_eq!(parked.goal, Goal::Start(reservation(1)), "{strategy:?}");
        assert!(story.now - START < 31_000, "{strategy:?}: {} ms", story.now - START);
    }
}
