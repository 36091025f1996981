//! Plays a scenario on a running simulator.

use super::{Expectation, Scenario, Step, Verb};
use crate::simulator::Simulator;
use crate::world::InvalidAction;
use std::time::Duration;
use taskrouter_streams::call::sid::TaskSid;

/// How long nothing-moves may take to come: far beyond every delay that a scenario sets.
const QUIET_LIMIT: Duration = Duration::from_secs(20);

/// How often the world and the service may set each other in motion before the scenario is given up.
const SETTLE_ROUNDS: usize = 50;

/// How a scenario went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its tasks, in the order in which they came.
    pub tasks: Vec<TaskSid>,
    /// What was not as expected, each with its step's words.
    pub failures: Vec<String>,
}

/// Plays the scenario to a service that uses this `strategy`, as expectations name it. `settle` returns when the service is at
/// rest, or says why it never will be. It is called with the world quiet, and again whenever the world has moved meanwhile.
/// An invalid action ends the scenario.
pub async fn run<F>(scenario: &Scenario, sim: &Simulator, strategy: &str, settle: F) -> Outcome
where
    F: AsyncFn() -> Result<(), String>,
{
    narrate(scenario, sim, strategy, settle, |_| {}).await
}

/// The same; `begins` is called with each step before it is performed.
pub async fn narrate<F>(
    scenario: &Scenario,
    sim: &Simulator,
    strategy: &str,
    settle: F,
    begins: impl Fn(&Step),
) -> Outcome
where
    F: AsyncFn() -> Result<(), String>,
{
    let mut outcome = Outcome::default();
    for (place, step) in scenario.steps.iter().enumerate() {
        begins(step);
        match perform(sim, &step.verb, strategy, &mut outcome, &settle).await {
            Ok(None) => {}
            Ok(Some(reason)) => outcome.failures.push(worded(place, step, &reason)),
            Err(invalid) => {
                outcome.failures.push(worded(place, step, &invalid.to_string()));
                return outcome;
            }
        }
    }
    outcome
}

/// Performs one step; says what was not as expected, if anything.
async fn perform<F>(
    sim: &Simulator,
    verb: &Verb,
    strategy: &str,
    outcome: &mut Outcome,
    settle: &F,
) -> Result<Option<String>, InvalidAction>
where
    F: AsyncFn() -> Result<(), String>,
{
    let nobody = || InvalidAction("there is no call yet: begin with \"customer calls\"".to_owned());
    let task = outcome.tasks.last().cloned().ok_or_else(nobody);
    match verb {
        Verb::CustomerCalls => outcome.tasks.push(sim.customer_calls().await),
        Verb::CustomerWrites => outcome.tasks.push(sim.customer_writes().await),
        Verb::CallsOut(agent) => outcome.tasks.push(sim.calls_out(agent).await?),
        Verb::CustomerAnswers => sim.customer_answers(&task?).await?,
        Verb::CustomerHangsUp => sim.customer_hangs_up(&task?).await?,
        Verb::ConferenceEnds => sim.conference_ends(&task?).await,
        Verb::Accepts(agent) => sim.accepts(&task?, agent).await?,
        Verb::Rejects(agent) => sim.rejects(&task?, agent).await?,
        Verb::TimesOut(agent) => sim.times_out(&task?, agent).await?,
        Verb::CannotBeReached(agent) => sim.cannot_be_reached(&task?, agent).await?,
        Verb::Transfers(from, to, mode) => sim.transfers(&task?, from, to, *mode).await?,
        Verb::CancelsTransfer(agent) => sim.cancels_transfer(&task?, agent).await?,
        Verb::Hold(agents) => {
            let task = task?;
            for agent in agents {
                sim.holds(&task, agent).await?;
            }
        }
        Verb::Unhold(agents) => {
            let task = task?;
            for agent in agents {
                sim.unholds(&task, agent).await?;
            }
        }
        Verb::Leaves(agent) => sim.leaves(&task?, agent).await?,
        Verb::Completes(agent) => sim.completes(&task?, agent).await?,
        Verb::DeliveryFault(event, delivery_fault) => sim.delivery_fault(event.as_deref(), *delivery_fault),
        Verb::SocketsFail(failure, times) => sim.next_sockets_fail(*failure, *times),
        Verb::SocketDies(agent) => sim.socket_dies(&task?, agent).await?,
        Verb::Fault(on, fault) => sim.fault(*on, 1, fault.clone()),
        Verb::Settle => return Ok(rest(sim, settle).await.err()),
        Verb::Expect { of: Some(other), .. } if other != strategy => {}
        Verb::Expect { all: expectations, .. } => {
            let task = task?;
            let wrong: Vec<String> = expectations.iter().filter_map(|each| compare(sim, &task, each)).collect();
            return Ok((!wrong.is_empty()).then(|| wrong.join("; ")));
        }
    }
    Ok(None)
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
            return Err("the simulated Twilio did not come to rest".to_owned());
        }
        let before = sim.requests().len();
        settle().await?;
        if sim.is_quiet() && sim.requests().len() == before {
            return Ok(());
        }
    }
    Err("the service and the simulated Twilio kept each other moving".to_owned())
}

/// What is wrong, if anything.
fn compare(sim: &Simulator, task: &TaskSid, expectation: &Expectation) -> Option<String> {
    let snapshot = sim.snapshot(task)?;
    let says = |known: Option<bool>, yes: &str, no: &str| match known {
        Some(true) => yes.to_owned(),
        Some(false) => no.to_owned(),
        None => "outside any conference".to_owned(),
    };
    match expectation {
        Expectation::Streams(agents) => (agents != &snapshot.streams).then(|| {
            let name = |list: &[String]| {
                if list.is_empty() { "none".to_owned() } else { list.join(" and ") }
            };
            format!("streams are {}, not {}", name(&snapshot.streams), name(agents))
        }),
        Expectation::Held(held) => (snapshot.held != Some(*held))
            .then(|| format!("the customer is {}", says(snapshot.held, "held", "not held"))),
        Expectation::GuardRaised(raised) => (snapshot.guard_raised != Some(*raised))
            .then(|| format!("the guard is {}", says(snapshot.guard_raised, "raised", "lowered"))),
        Expectation::Over(over) => {
            (snapshot.over != *over).then(|| format!("the call is {}", if snapshot.over { "over" } else { "live" }))
        }
        Expectation::NoRequests => {
            let requests = sim.requests().iter().filter(|request| request.task.as_ref() == Some(task)).count();
            (requests > 0).then(|| format!("there were {requests} requests"))
        }
    }
}
