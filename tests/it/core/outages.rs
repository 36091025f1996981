//! Outages while the customer's leg is looked for: that nobody could look is no word that there is no call.

use super::story::*;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::{CallAttributes, FactKind, Notice, ReservationChange, TaskStatus};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::step::{Answer, Goal, Operation, Outcome, Read};
use taskrouter_streams::call::summary::StreamOutcome;
use taskrouter_streams::call::{Call, Summarizer};

/// An agent accepts a task whose leg no attribute names; it shows in the conference only.
fn unnamed() -> Story {
    unnamed_as(CallAttributes::default())
}

fn unnamed_as(attributes: CallAttributes) -> Story {
    let mut story = Story::by_api();
    story.policy.outbound = true;
    let mut unnamed = view(TaskStatus::Assigned, 1);
    unnamed.attributes = attributes;
    story.world.attributes = unnamed.attributes.clone();
    story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, unnamed));
    story
}

fn unavailable() -> Outcome {
    Outcome::TryLater(trouble(Some(503)))
}

fn denied() -> Outcome {
    Outcome::Denied(trouble(Some(401)))
}

/// Nobody is to be found, wherever one looks.
fn nobody(operation: &Operation) -> Option<Outcome> {
    match operation {
        Operation::Read(Read::FindConference { .. }) => Some(Outcome::Done(Answer::Conference(None))),
        Operation::Read(_) | Operation::Command(_) => None,
    }
}

/// Performs what is due until this time, as the world answers but for these.
fn until(story: &mut Story, end: i64, answer: impl Fn(&Operation) -> Option<Outcome>) {
    while story.now < end {
        match story.next() {
            Next::Do(step) => {
                let outcome = answer(&step.operation).unwrap_or_else(|| story.world.perform(&step.operation));
                story.settle(step, outcome);
            }
            Next::WaitUntil(at) => story.now = at.min(end),
            next @ (Next::Park(_) | Next::Report(_) | Next::Idle | Next::Over) => {
                panic!("after {} ms: {next:?}", story.now - START)
            }
        }
    }
}

fn shown(story: &Story) -> StreamOutcome {
    let (mut call, mut summarizer) = (Call::default(), Summarizer::default());
    for fact in &story.facts {
        call.apply(fact);
        summarizer.folded(fact, &call);
    }
    summarizer.summary(&call, 1).unwrap().outcome
}

/// I12.
#[test]
fn a_customer_whom_an_outage_hides_is_parked_and_streamed_once_it_is_over() {
    for fails in [unavailable, denied] {
        let mut story = unnamed();
        let parked = story.until_parked(|_| Some(fails()));
        assert_eq!(parked.goal, Goal::FindCustomer);
        assert!(parked.reason.contains("it did not work"), "{parked:?}");
        assert!(!story.call.has_no_call());
        assert_eq!(shown(&story), StreamOutcome::Missing);
        // As long as it lasts, it is looked for now and then.
        let (mut tries, since) = (0, story.now);
        while tries < 3 {
            let step = story.step();
            tries += 1;
            assert!(story.now - since >= tries * story.policy.slow_retry_ms, "after {} ms", story.now - since);
            story.settle(step, fails());
        }
        let healed = story.now;
        story.now += story.policy.slow_retry_ms;
        story.run();
        assert_eq!(story.live(), [name(1, 1)]);
        assert!(
            story.now - healed < story.policy.slow_retry_ms + 3 * story.policy.retry_cap_ms,
            "{} ms",
            story.now - healed
        );
        assert!(story.facts.iter().any(|fact| fact.kind == FactKind::Unparked), "it is told that it is well again");
    }
}

/// I12: a task without a call is no alarm, also when an outage was.
#[test]
fn a_task_without_a_call_is_noticed_after_an_outage_and_nothing_stays_parked() {
    let mut story = unnamed();
    assert_eq!(story.until_parked(|_| Some(unavailable())).goal, Goal::FindCustomer);
    story.now += story.policy.slow_retry_ms;
    let (done, parked) = story.run_answered(nobody);
    assert!(parked.is_empty() && done.len() < 20, "{done:?}");
    assert!(story.call.has_no_call() && story.call.parked().next().is_none() && story.rests());
    assert_eq!(shown(&story), StreamOutcome::NoCall);
}

#[test]
fn an_outage_that_ends_before_anything_is_given_up_leaves_the_whole_time_to_look() {
    let mut story = unnamed();
    let ends = START + story.policy.give_up_ms - 6_000;
    until(&mut story, ends, |_| Some(unavailable()));
    let joins = story.now + story.policy.give_up_ms - 6_000;
    until(&mut story, joins, nobody);
    story.run();
    assert_eq!(story.live(), [name(1, 1)]);
}

#[test]
fn one_of_two_places_that_cannot_be_asked_is_parked_and_says_nothing_of_the_call() {
    let mut story = unnamed();
    let parked = story.until_parked(|operation| {
        let fails = matches!(operation, Operation::Read(Read::FindConference { .. }));
        fails.then(unavailable)
    });
    assert_eq!(parked.goal, Goal::FindCustomer);
    let waited = story.now - START;
    assert!(waited <= story.policy.give_up_ms + 2 * story.policy.retry_cap_ms, "after {waited} ms");
    assert!(!story.facts.iter().any(|fact| fact.kind == FactKind::Noticed(Notice::NoCall)));
}

/// The customer of a call that we placed may take a minute to answer.
#[test]
fn one_failure_while_a_customer_is_waited_for_gives_nothing_up() {
    let mut story =
        unnamed_as(CallAttributes { outbound: true, other_legs: [sid("CA", 100)].into(), ..CallAttributes::default() });
    until(&mut story, START + 45_000, nobody);
    let step = story.step();
    story.settle(step, unavailable());
    let answers = story.now + 20_000;
    until(&mut story, answers, nobody);
    story.world.inbound = false;
    story.run();
    assert_eq!(story.live(), [name(1, 1)]);
}

/// I12: whoever waits for a stream is told in time and by its name, whatever else cannot be done or known meanwhile.
#[test]
fn a_stream_that_an_outage_keeps_away_is_given_up_by_its_name_in_time() {
    for strategy in [Strategy::StreamsApi, Strategy::Redirect] {
        for (kind, fails) in [("502", lost_answer as fn() -> Outcome), ("503", unavailable)] {
            let mut story = Story::confirming();
            story.policy.strategy = strategy;
            story.accepted(1, 1);
            let mut parked = Vec::new();
            while !parked.contains(&Goal::Start(reservation(1))) {
                parked.push(story.until_parked(|_| Some(fails())).goal);
            }
            let waited = story.now - START;
            assert!(waited <= story.policy.give_up_ms + 1_000, "{strategy:?} {kind}: {waited} ms, {parked:?}");
        }
    }
}
