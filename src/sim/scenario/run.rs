//! Tells a scenario to a running simulator.

use super::{Expectation, Scenario, Step, Verb};
use crate::call::sid::TaskSid;
use crate::sim::simulator::Simulator;
use crate::sim::world::Impossible;
use std::time::Duration;

/// How long nothing-moves may take to come: far beyond every delay that a scenario sets.
const QUIET_LIMIT: Duration = Duration::from_secs(20);

/// How often the world may wake the worker and the worker the world before one gives up.
const SETTLE_ROUNDS: usize = 50;

/// How a story went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its tasks, in the order in which they came.
    pub tasks: Vec<TaskSid>,
    /// What was not as expected, each with its step's words.
    pub failures: Vec<String>,
}

/// Tells the story. `settle` returns when the worker is at rest, or says why it never will be; it is called with the world
/// quiet, and again whenever the world has moved meanwhile. A verb that is impossible ends the story.
pub async fn run<F>(scenario: &Scenario, sim: &Simulator, settle: F) -> Outcome
where
    F: AsyncFn() -> Result<(), String>,
{
    let mut outcome = Outcome::default();
    for (place, step) in scenario.steps.iter().enumerate() {
        let failed = match &step.verb {
            Verb::Settle => rest(sim, &settle).await.err(),
            Verb::Expect(expectations) => {
                let wrong: Vec<String> = expectations.iter().filter_map(|e| compare(sim, &outcome, e)).collect();
                (!wrong.is_empty()).then(|| wrong.join("; "))
            }
            verb => match act(sim, verb, &mut outcome).await {
                Ok(()) => None,
                Err(impossible) => {
                    outcome.failures.push(worded(place, step, &impossible.to_string()));
                    return outcome;
                }
            },
        };
        outcome
            .failures
            .extend(failed.map(|reason| worded(place, step, &reason)));
    }
    outcome
}

fn worded(place: usize, step: &Step, reason: &str) -> String {
    format!("step {} (\"{}\"): {reason}", place + 1, step.words)
}

async fn rest<F>(sim: &Simulator, settle: &F) -> Result<(), String>
where
    F: AsyncFn() -> Result<(), String>,
{
    for _ in 0..SETTLE_ROUNDS {
        if !sim.quiet(QUIET_LIMIT).await {
            return Err("the world does not come to rest".to_owned());
        }
        let before = sim.requests().len();
        settle().await?;
        if sim.is_quiet() && sim.requests().len() == before {
            return Ok(());
        }
    }
    Err("the worker and the world keep each other moving".to_owned())
}

async fn act(sim: &Simulator, verb: &Verb, outcome: &mut Outcome) -> Result<(), Impossible> {
    let new = match verb {
        Verb::CustomerCalls => Some(sim.customer_calls().await),
        Verb::CustomerWrites => Some(sim.customer_writes().await),
        Verb::CallsOut(agent) => Some(sim.calls_out(agent).await?),
        Verb::Mishap(event, mishap) => {
            sim.mishap(event.as_deref(), *mishap);
            return Ok(());
        }
        Verb::Fault(on, fault) => {
            sim.fault(*on, 1, fault.clone());
            return Ok(());
        }
        Verb::CustomerAnswers
        | Verb::CustomerHangsUp
        | Verb::ConferenceEnds
        | Verb::Accepts(_)
        | Verb::Rejects(_)
        | Verb::TimesOut(_)
        | Verb::CannotBeReached(_)
        | Verb::Transfers(..)
        | Verb::CancelsTransfer(_)
        | Verb::Hold(_)
        | Verb::Unhold(_)
        | Verb::Leaves(_)
        | Verb::Completes(_)
        | Verb::Settle
        | Verb::Expect(_) => None,
    };
    if let Some(task) = new {
        outcome.tasks.push(task);
        return Ok(());
    }
    let task = outcome.tasks.last().cloned();
    let task = task.ok_or_else(|| Impossible("nobody has called yet: begin with \"customer calls\"".to_owned()))?;
    act_on(sim, &task, verb).await
}

async fn act_on(sim: &Simulator, task: &TaskSid, verb: &Verb) -> Result<(), Impossible> {
    match verb {
        Verb::CustomerAnswers => sim.customer_answers(task).await,
        Verb::CustomerHangsUp => sim.customer_hangs_up(task).await,
        Verb::ConferenceEnds => {
            sim.conference_ends(task).await;
            Ok(())
        }
        Verb::Accepts(agent) => sim.accepts(task, agent).await,
        Verb::Rejects(agent) => sim.rejects(task, agent).await,
        Verb::TimesOut(agent) => sim.times_out(task, agent).await,
        Verb::CannotBeReached(agent) => sim.cannot_be_reached(task, agent).await,
        Verb::Transfers(from, to, mode) => sim.transfers(task, from, to, *mode).await,
        Verb::CancelsTransfer(agent) => sim.cancels_transfer(task, agent).await,
        Verb::Hold(agents) => {
            for agent in agents {
                sim.holds(task, agent).await?;
            }
            Ok(())
        }
        Verb::Unhold(agents) => {
            for agent in agents {
                sim.unholds(task, agent).await?;
            }
            Ok(())
        }
        Verb::Leaves(agent) => sim.leaves(task, agent).await,
        Verb::Completes(agent) => sim.completes(task, agent).await,
        Verb::CustomerCalls
        | Verb::CustomerWrites
        | Verb::CallsOut(_)
        | Verb::Mishap(..)
        | Verb::Fault(..)
        | Verb::Settle
        | Verb::Expect(_) => Ok(()),
    }
}

/// What is wrong, if anything.
fn compare(sim: &Simulator, outcome: &Outcome, expectation: &Expectation) -> Option<String> {
    let Some(picture) = outcome.tasks.last().and_then(|task| sim.picture(task)) else {
        return Some("nobody has called yet".to_owned());
    };
    let task = outcome.tasks.last();
    let says = |known: Option<bool>, yes: &str, no: &str| match known {
        Some(true) => yes.to_owned(),
        Some(false) => no.to_owned(),
        None => "outside any conference".to_owned(),
    };
    match expectation {
        Expectation::Streams(agents) => (agents != &picture.streams).then(|| {
            let name = |list: &[String]| {
                if list.is_empty() {
                    "none".to_owned()
                } else {
                    list.join(" and ")
                }
            };
            format!("streams are {}, not {}", name(&picture.streams), name(agents))
        }),
        Expectation::Held(held) => {
            (picture.held != Some(*held)).then(|| format!("the customer is {}", says(picture.held, "held", "not held")))
        }
        Expectation::GuardRaised(raised) => (picture.guard_raised != Some(*raised))
            .then(|| format!("the guard is {}", says(picture.guard_raised, "raised", "lowered"))),
        Expectation::Over(over) => {
            (picture.over != *over).then(|| format!("the call is {}", if picture.over { "over" } else { "live" }))
        }
        Expectation::NoRequests => {
            let requests = sim
                .requests()
                .iter()
                .filter(|request| request.task.as_ref() == task)
                .count();
            (requests > 0).then(|| format!("there were {requests} requests"))
        }
    }
}
