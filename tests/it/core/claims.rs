//! An answer is a claim: what it says is looked at before it is believed.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test cares about one outcome and leaves the others alike")]

use super::story::*;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::StreamChange;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::step::{CallStatus, Command, Goal, Guard, Operation, Outcome, Step};
use taskrouter_streams::call::streams::StreamState;

/// The first start of a call, about to be answered.
fn starting(strategy: Strategy) -> (Story, Step) {
    let mut story = Story::new();
    story.policy.strategy = strategy;
    story.accepted(1, 1);
    let start = match strategy {
        Strategy::Redirect => story.until_redirect(),
        Strategy::StreamsApi => story.step(),
    };
    story.begin(&start);
    (story, start)
}

const BOTH: [Strategy; 2] = [Strategy::Redirect, Strategy::StreamsApi];

fn starts(operation: &Operation) -> bool {
    operation.command().is_some_and(|command| !command.starts().is_empty())
}

/// I12: one wrong answer (a late replica, a proxy) ends nothing.
#[test]
fn a_404_to_a_start_is_no_end_while_the_call_is_in_progress() {
    for strategy in BOTH {
        let (mut story, start) = starting(strategy);
        story.settle(start, not_found());
        assert!(!story.call.is_over(), "{strategy:?}");
        let read = story.step();
        assert!(fetches_call(&read), "{strategy:?}: {read:?}");
        story.perform(read);
        story.run();
        assert_eq!(story.live(), [name(1, 1)], "{strategy:?}: under the same name, because it was never used");
        assert_eq!(story.call.parked().count(), 0, "{strategy:?}");
    }
}

#[test]
fn a_404_to_a_start_is_the_end_when_the_call_is_over() {
    for strategy in BOTH {
        let (mut story, start) = starting(strategy);
        story.settle(start, not_found());
        let read = story.step();
        story.settle(read, call_is(CallStatus::Over));
        assert!(story.call.is_call_over(), "{strategy:?}");
        let done = story.run();
        assert!(done.iter().all(|step| step == "end conference"), "{strategy:?}: {done:?}");
        assert_eq!(story.next(), Next::Over, "{strategy:?}");
    }
}

/// I8, I12: never "over" without a word, and no guard stays lowered.
#[test]
fn a_start_that_twilio_never_knows_is_parked_and_the_guard_is_raised_again() {
    for strategy in BOTH {
        let (mut story, start) = starting(strategy);
        let began = story.now;
        story.settle(start, not_found());
        let parked = story.until_parked(|operation| starts(operation).then(not_found));
        assert_eq!(parked.goal, Goal::Start(reservation(1)), "{strategy:?}");
        assert!(story.now - began <= 31_000, "{strategy:?}: after {} ms", story.now - began);
        let until = story.now + 25_000;
        while story.now < until {
            match story.next() {
                Next::Do(step) => story.perform(step),
                Next::WaitUntil(at) => story.now = at.min(until),
                next => assert_eq!(next, Next::Idle),
            }
        }
        assert_eq!(story.world.customer.guard, Some(Guard::Raised), "{strategy:?}");
        assert!(!story.call.is_over(), "{strategy:?}");
    }
}

/// I8, I12: the account or the region is wrong.
#[test]
fn a_call_that_twilio_does_not_know_is_parked_with_that_reason_and_the_guard_is_raised() {
    for strategy in BOTH {
        let (mut story, start) = starting(strategy);
        story.settle(start, not_found());
        let unknown = |operation: &Operation| {
            let call = matches!(operation, Operation::Read(taskrouter_streams::call::step::Read::Call { .. }));
            (call || starts(operation)).then(not_found)
        };
        let mut goals = Vec::new();
        for _ in 0..2 {
            let parked = story.until_parked(unknown);
            if parked.goal == Goal::CheckCall {
                assert!(parked.reason.contains("region"), "{}", parked.reason);
                assert!(parked.reason.contains(customer().as_str()), "{}", parked.reason);
            }
            goals.push(parked.goal);
        }
        goals.sort();
        assert_eq!(goals, [Goal::Start(reservation(1)), Goal::CheckCall], "{strategy:?}");
        assert!(!story.call.is_over(), "{strategy:?}");
        story.run();
        assert_eq!(story.world.customer.guard, Some(Guard::Raised), "{strategy:?}");
    }
}

/// I4: an answer that is not Twilio's may hide one that is.
#[test]
fn a_404_of_somebody_else_leaves_the_start_in_doubt() {
    for strategy in BOTH {
        let (mut story, start) = starting(strategy);
        let sent = story.now;
        story.settle(start, Outcome::Unknown(trouble(Some(404))));
        assert_eq!(story.live(), [name(1, 1)], "{strategy:?}");
        let again = loop {
            let step = story.step();
            if starts(&step.operation) {
                break step;
            }
            story.perform(step);
        };
        let after = story.now - sent;
        assert!(after >= story.policy.doubt_ms, "{strategy:?}: {after} ms");
        let command = again.operation.command().unwrap();
        assert_eq!(command.starts()[0].name, format!("{}_2", name(1, 1)), "{strategy:?}");
    }
}

/// I11: Twilio does not know a stream: it is over when it says so twice, and the call is in progress.
#[test]
fn two_conclusive_404s_end_a_stream_each_by_another_handle() {
    let mut story = Story::confirming();
    story.accepted(1, 1);
    story.run();
    story.tells(&name(1, 1), StreamChange::Started);
    story.accepted(2, 2);
    story.run();
    story.tells(&name(2, 2), StreamChange::Started);
    story.left(1, 1);
    for by_sid in [true, false] {
        assert_eq!(story.live().len(), 2);
        let stop = story.step();
        assert_eq!(stopped(&stop), (&*name(1, 1), by_sid));
        story.begin(&stop);
        story.settle(stop, not_found());
        if by_sid {
            let read = story.step();
            assert!(fetches_call(&read), "{read:?}");
            story.perform(read);
        }
    }
    assert_eq!(story.live(), [name(2, 2)]);
    assert_eq!(story.call.streams()[0].state(), StreamState::Ended, "not stopped, as far as Twilio said");
    assert!(story.rests());
}

#[test]
fn a_404_after_a_stop_that_was_taken_proves_it() {
    let mut story = Story::confirming();
    story.accepted(1, 1);
    story.run();
    story.tells(&name(1, 1), StreamChange::Started);
    story.accepted(2, 2);
    story.left(1, 1);
    let mut stops = 0;
    while story.live().contains(&&*name(1, 1)) {
        match story.next() {
            Next::Do(step) if matches!(step.operation, Operation::Command(Command::StopStream { .. })) => {
                stops += 1;
                story.begin(&step);
                let outcome = if stops == 1 { story.world.perform(&step.operation) } else { not_found() };
                story.settle(step, outcome);
            }
            Next::Do(step) => story.perform(step),
            Next::WaitUntil(at) => story.now = at,
            Next::Report(kind) => story.learn(kind),
            next => panic!("{next:?}"),
        }
    }
    assert_eq!((stops, story.call.streams()[0].state()), (2, StreamState::Stopped));
}

/// I11.
#[test]
fn a_stop_of_a_call_that_is_not_in_progress_ends_the_stream() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    story.run();
    story.left(1, 1);
    let stop = story.step();
    story.begin(&stop);
    story.settle(stop, not_in_progress());
    assert_eq!(story.call.streams()[0].state(), StreamState::Ended);
    assert_eq!(story.live(), Vec::<&str>::new());
}

/// I8: what is written twice with the same value does no harm.
#[test]
fn a_lost_stop_and_a_lost_raise_of_the_guard_are_repeated_at_once() {
    let (mut story, sent) = Story::with_a_lost_stop();
    assert_eq!(story.call.streams()[0].state(), StreamState::InDoubt);
    let again = story.step();
    assert_eq!(stopped(&again).0, name(1, 1));
    assert!(story.now - sent < 500, "{} ms", story.now - sent);

    let mut story = Story::streaming();
    use taskrouter_streams::call::fact::TransferChange;
    story.transfer(TransferChange::Initiated, 1);
    story.run();
    story.transfer(TransferChange::Canceled, 1);
    let raise = story.step();
    assert_eq!(words(&raise.operation), "update raise");
    let sent = story.now;
    story.begin(&raise);
    story.settle(raise, lost_answer());
    let again = story.step();
    assert_eq!(words(&again.operation), "update raise");
    assert!(story.now - sent < 500, "{} ms", story.now - sent);
}

/// I12: a denial of a stop, too, is tried twice more, and then every half minute.
#[test]
fn a_stop_that_is_denied_thrice_is_parked() {
    let mut story = Story::by_api();
    story.accepted(1, 1);
    story.run();
    story.left(1, 1);
    let began = story.now;
    let parked = story.until_parked(|_| Some(Outcome::Denied(trouble(Some(401)))));
    assert_eq!(parked.goal, Goal::Stop(name(1, 1)));
    assert!(story.now - began < 20_000, "{} ms", story.now - began);
    assert_eq!(story.call.streams()[0].state(), StreamState::Taken, "it may still run, and that is what is shown");
}

/// I12: a call that cannot be looked at stays parked until it was seen, and is no longer once it was.
#[test]
fn a_call_that_could_not_be_looked_at_is_parked_until_it_is_seen() {
    let (mut story, create) = starting(Strategy::StreamsApi);
    story.settle(create, not_found());
    let parked =
        story.until_parked(|operation| operation.command().is_none().then(|| Outcome::TryLater(trouble(None))));
    assert_eq!(parked.goal, Goal::CheckCall);
    let parked_at = story.now;
    loop {
        assert!(story.call.parked().any(|(goal, _)| *goal == Goal::CheckCall));
        match story.next() {
            Next::Do(step) if fetches_call(&step) => {
                story.perform(step);
                break;
            }
            Next::Do(step) => {
                story.begin(&step);
                story.settle(step, Outcome::TryLater(trouble(None)));
            }
            Next::WaitUntil(at) => story.now = at,
            Next::Park(parked) => story.learn(taskrouter_streams::call::fact::FactKind::Parked(parked)),
            next => panic!("{next:?}"),
        }
    }
    assert!(story.now - parked_at <= 61_000, "{} ms", story.now - parked_at);
    let recovered = taskrouter_streams::call::fact::FactKind::Recovered(Goal::CheckCall);
    assert_eq!(story.report(), recovered);
}
