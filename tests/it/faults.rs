//! Twilio answering badly, and the world ending, in the middle of everything: nobody is dropped, and what can be repeated is.

use super::stories::{play, stage_of, story, told};
use std::time::Duration;
use taskrouter_streams::call::Call;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::step::Goal;
use twilio_simulator::faults::{Fault, FaultBody, On, Side};
use twilio_simulator::scenario::{Scenario, Step, Verb};
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::OpName;

/// Short patience, so that what must be given up is given up soon.
const QUICK: &str = "[server]\nthreads = 1\n[retry]\nfirst_ms = 10\ncap_ms = 50\ngive_up_ms = 5000\ndoubt_ms = 50\n\
    landing_margin_ms = 100\n[redirect]\nverify_guard_ms = 300\nrejoin_ms = 3000\npoll_ms = [0, 5, 10]\n";

/// The operations of the worker that a warm or a cold transfer needs, by one strategy or the other.
const OPERATIONS: [OpName; 6] = [
    OpName::CreateStream,
    OpName::UpdateParticipant,
    OpName::ListParticipants,
    OpName::FetchConference,
    OpName::RedirectCall,
    OpName::StopStream,
];

/// More requests than any story here takes when all is well; a fault beyond the last one is never met.
const REQUESTS: u32 = 25;

fn answer(status: u16, retry_after: Option<&str>, body: FaultBody, took_effect: bool) -> Fault {
    Fault::Answer { status, retry_after: retry_after.map(str::to_owned), body, took_effect }
}

/// What a repetition can heal.
pub(crate) fn passing() -> Vec<(&'static str, Fault)> {
    vec![
        ("429", Fault::status(429)),
        ("429 with Retry-After", answer(429, Some("1"), FaultBody::Json, false)),
        ("500", Fault::status(500)),
        ("500 after the effect", answer(500, None, FaultBody::Json, true)),
        ("503", Fault::status(503)),
        ("503 as HTML", answer(503, None, FaultBody::Html, false)),
        ("502 as HTML after the effect", answer(502, None, FaultBody::Html, true)),
        ("502 with nothing", answer(502, None, FaultBody::Empty, false)),
        ("200 as HTML after the effect", answer(200, None, FaultBody::Html, true)),
        ("200 with nothing after the effect", answer(200, None, FaultBody::Empty, true)),
        ("cut before the effect", Fault::Cut { took_effect: false }),
        ("cut after the effect", Fault::Cut { took_effect: true }),
        ("hang before the effect", Fault::Hang { took_effect: false }),
        ("hang after the effect", Fault::Hang { took_effect: true }),
    ]
}

/// A story, where the fault strikes, and the fault.
type Case = (&'static str, On, &'static str, Fault);

fn each_operation(faults: &[(&'static str, Fault)]) -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["warm-transfer", "cold-transfer"] {
        for op in OPERATIONS {
            for (label, fault) in faults {
                cases.push((name, On::Next(op), *label, fault.clone()));
            }
        }
    }
    cases
}

/// The strategy that performs what a fault strikes.
fn strategy(on: On) -> Strategy {
    match on {
        On::Next(OpName::CreateStream) => Strategy::StreamsApi,
        On::Next(_) | On::Request(_) => Strategy::Redirect,
    }
}

async fn stage(story: &Scenario, strategy: Strategy) -> Testbed {
    let strategy = strategy.as_str();
    let extra = format!(
        "{QUICK}[twilio]\nconnect_timeout_ms = 300\nrequest_timeout_ms = 300\n[streams]\nstrategy = \"{strategy}\"\n"
    );
    stage_of(story, &extra).await
}

/// Tells the story with the fault; complains about violations, unrest and what `judge` finds in the stage afterwards.
async fn strike(
    (name, on, label, fault): &Case,
    times: u32,
    judge: impl AsyncFn(&Testbed, &Call, Vec<String>) -> Vec<String>,
    tell: impl Fn(&mut Scenario),
) -> Vec<String> {
    let mut story = story(name);
    tell(&mut story);
    let stage = stage(&story, strategy(*on)).await;
    stage.sim.faults(|faults| faults.script(*on, times, fault.clone()));
    let outcome = stage.run(&story).await;
    let mut wrong = Vec::new();
    if !stage.sim.quiet(Duration::from_secs(10)).await {
        wrong.push("the world does not come to rest".to_owned());
    }
    wrong.extend(stage.at_rest().await.err());
    let task = outcome.tasks.first().unwrap();
    let call = Call::fold(&stage.facts(task).await.unwrap());
    wrong.extend(judge(&stage, &call, outcome.failures).await);
    let wrong = told(&stage, &format!("{name}, {on:?}, {label}"), &outcome.tasks, wrong).await;
    stage.stop().await;
    wrong
}

/// Whether the story uses the operation at all: a cold transfer's stop has nobody left to be redirected beside.
fn is_met(name: &str, on: On) -> bool {
    match on {
        On::Next(OpName::StopStream) => name == "cold-transfer",
        On::Next(_) => true,
        On::Request(_) => false,
    }
}

fn met(stage: &Testbed, name: &str, on: On) -> Option<String> {
    let should = is_met(name, on);
    (should && stage.sim.faults(|faults| faults.left()) > 0).then(|| "the fault was never met".to_owned())
}

#[test]
fn what_passes_is_repeated_until_the_story_rests_as_if_nothing_had_been() {
    play(&each_operation(&passing()), async |case| {
        let judge = async |stage: &Testbed, call: &Call, mut failures: Vec<String>| {
            failures.extend(met(stage, case.0, case.1));
            failures.extend(call.parked().map(|(change, reason)| format!("parked: {change}: {reason}")));
            failures
        };
        strike(case, 1, judge, |_| {}).await
    });
}

#[test]
fn what_passes_passes_at_every_request_of_a_transfer() {
    let faults = [
        ("503", Fault::status(503)),
        ("cut before the effect", Fault::Cut { took_effect: false }),
        ("cut after the effect", Fault::Cut { took_effect: true }),
    ];
    let mut cases = Vec::new();
    for name in ["warm-transfer", "cold-transfer"] {
        for number in 1..REQUESTS {
            cases.extend(faults.iter().map(|(label, fault)| (name, On::Request(number), *label, fault.clone())));
        }
    }
    play(&cases, async |case| strike(case, 1, async |_: &Testbed, _: &Call, failures| failures, |_| {}).await);
}

/// Tells as far as the first agent's stream would run.
fn first_rest(story: &mut Scenario) {
    let end = story.steps.iter().position(|step| step.verb == Verb::Settle).unwrap();
    story.steps.truncate(end + 1);
}

/// Tells as far as the transferee's stream would run, without looking whether it does.
fn second_rest(story: &mut Scenario) {
    let accepted = story.steps.iter().position(|step| step.verb == Verb::Accepts("bob".to_owned())).unwrap();
    let Some(settled) = story.steps.iter().skip(accepted).position(|step| step.verb == Verb::Settle) else { return };
    story.steps.truncate(accepted + settled + 1);
    story.steps.retain(|step| !matches!(step.verb, Verb::Expect { .. }));
}

#[test]
fn a_refused_change_is_parked_and_the_guard_and_the_hold_are_as_they_were() {
    let refused = [("401 thrice", Fault::status(401))];
    let cases: Vec<Case> =
        each_operation(&refused).into_iter().filter(|case| case.1 != On::Next(OpName::StopStream)).collect();
    play(&cases, async |case| {
        let judge = async |stage: &Testbed, call: &Call, mut failures: Vec<String>| {
            failures.extend(met(stage, case.0, case.1));
            let parked: Vec<_> = call.parked().collect();
            if !matches!(parked.as_slice(), [(Goal::Start(_), _)]) {
                failures.push(format!("parked: {parked:?}"));
            }
            let picture = call.task().and_then(|task| stage.sim.world(|world| world.snapshot(task))).unwrap();
            if (picture.guard_raised, picture.held, picture.over) != (Some(true), Some(false), false) {
                failures.push(format!("afterwards {picture:?}"));
            }
            failures
        };
        strike(case, 3, judge, first_rest).await
    });
}

/// The refusal comes when the transferee accepts: the customer is on hold for the consult, or just taken off it.
#[test]
fn a_refusal_during_a_transfer_leaves_the_guard_raised_and_the_customer_as_the_agents_left_them() {
    let mut cases = Vec::new();
    for (name, held) in [("warm-transfer", true), ("cold-transfer", false)] {
        cases.push((name, held, OpName::RedirectCall));
        cases.push((name, held, OpName::ListParticipants));
    }
    play(&cases, async |(name, held, op)| {
        let mut story = story(name);
        second_rest(&mut story);
        let accepted = story.steps.iter().position(|step| step.verb == Verb::Accepts("bob".to_owned())).unwrap();
        for _ in 0..3 {
            let verb = Verb::Fault(On::Next(*op), Fault::status(401));
            story.steps.insert(accepted, Step { words: "a refusal".to_owned(), verb });
        }
        let stage = stage(&story, Strategy::Redirect).await;
        let outcome = stage.run(&story).await;
        let mut wrong = outcome.failures.clone();
        let task = outcome.tasks.first().unwrap();
        let call = Call::fold(&stage.facts(task).await.unwrap());
        let starts = call.parked().filter(|(change, _)| matches!(change, Goal::Start(_))).count();
        let picture = stage.sim.world(|world| world.snapshot(task)).unwrap();
        if (starts, picture.guard_raised, picture.held) != (1, Some(true), Some(*held)) {
            wrong.push(format!("afterwards {picture:?}, parked {:?}", call.parked().collect::<Vec<_>>()));
        }
        let wrong = told(&stage, &format!("{name}, {op:?}"), &outcome.tasks, wrong).await;
        stage.stop().await;
        wrong
    });
}

/// A 404 says that there is no such call, participant or stream, and is looked into: one wrong answer changes nothing.
#[test]
fn something_not_found_once_is_looked_into_and_the_story_rests_as_if_nothing_had_been() {
    let missing = [("404", Fault::status(404))];
    play(&each_operation(&missing), async |case| {
        let judge = async |stage: &Testbed, _: &Call, mut failures: Vec<String>| {
            failures.extend(met(stage, case.0, case.1));
            failures
        };
        strike(case, 1, judge, |_| {}).await
    });
}

#[test]
fn the_call_may_end_before_and_after_every_request() {
    let ends = [
        ("the conference ends before", Fault::ConferenceEnds(Side::Before)),
        ("the conference ends after", Fault::ConferenceEnds(Side::After)),
        ("the customer hangs up before", Fault::CustomerHangsUp(Side::Before)),
        ("the customer hangs up after", Fault::CustomerHangsUp(Side::After)),
    ];
    let mut cases = Vec::new();
    for (name, requests) in [("first-accept", 12), ("warm-transfer", REQUESTS)] {
        for number in 1..requests {
            cases.extend(ends.iter().map(|(label, fault)| (name, On::Request(number), *label, fault.clone())));
        }
    }
    play(&cases, async |case| {
        // What the agents cannot do any more, and what then is not as expected, is the story's and not the worker's.
        let judge = async |stage: &Testbed, call: &Call, failures: Vec<String>| {
            let unrest = failures.into_iter().filter(|failure| failure.contains("come to rest")).collect::<Vec<_>>();
            let struck = stage.sim.faults(|faults| faults.left()) == 0;
            let live = call
                .task()
                .and_then(|task| stage.sim.world(|world| world.snapshot(task)))
                .is_some_and(|picture| !picture.over);
            unrest.into_iter().chain((struck && live).then(|| "the call goes on".to_owned())).collect()
        };
        strike(case, 1, judge, |_| {}).await
    });
}
