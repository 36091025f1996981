//! Plays a scenario on a running simulator.

use super::{Expectation, Scenario, Step, Verb};
use crate::simulator::Simulator;
use crate::world::{InvalidAction, World};
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
    let settles = async || rest(sim, &settle).await;
    narrate(scenario, sim, strategy, settles, |_| {}).await
}

/// The same, where "settle" lasts until `settle` returns, whatever moves; `begins` is called with each step before it is
/// performed.
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
    let no_call = || InvalidAction("there is no call yet: begin with \"customer calls\"".to_owned());
    let task = outcome.tasks.last().cloned().ok_or_else(no_call);
    match verb {
        Verb::CustomerCalls => outcome.tasks.push(sim.act(World::customer_calls).await),
        Verb::CustomerWrites => outcome.tasks.push(sim.act(World::customer_writes).await),
        Verb::CallsOut(agent) => outcome.tasks.push(sim.act(|world| world.calls_out(agent)).await?),
        Verb::CustomerAnswers => sim.act(|world| world.customer_answers(&task?)).await?,
        Verb::CustomerHangsUp => sim.act(|world| world.customer_hangs_up(&task?)).await?,
        Verb::ConferenceEnds => {
            let task = task?;
            sim.act(|world| world.conference_ends(&task)).await;
        }
        Verb::Accepts(agent) => with(sim, task?, agent, World::accepts).await?,
        Verb::Rejects(agent) => with(sim, task?, agent, World::rejects).await?,
        Verb::TimesOut(agent) => with(sim, task?, agent, World::times_out).await?,
        Verb::CannotBeReached(agent) => with(sim, task?, agent, World::cannot_be_reached).await?,
        Verb::Transfers(from, to, mode) => {
            with(sim, task?, from, |world, task, from| world.transfers(task, from, to, *mode)).await?;
        }
        Verb::CancelsTransfer(agent) => with(sim, task?, agent, World::cancels_transfer).await?,
        Verb::Hold(agents) => each(sim, task?, agents, World::holds).await?,
        Verb::Unhold(agents) => each(sim, task?, agents, World::unholds).await?,
        Verb::Leaves(agent) => with(sim, task?, agent, World::leaves).await?,
        Verb::Completes(agent) => with(sim, task?, agent, World::completes).await?,
        Verb::Happens(action) => {
            let task = task?;
            act(sim, |world| world.happens(&task, *action)).await?;
        }
        Verb::Comes(new) => {
            let before = task.ok();
            outcome.tasks.push(sim.act(|world| world.comes(new, before.as_ref())).await?);
        }
        Verb::StopsIgnored(times) => sim.world(|world| world.ignore_next_stops(*times)),
        Verb::Wait(span) => tokio::time::sleep(Duration::from_millis(*span)).await,
        Verb::DeliveryFault(event, delivery_fault) => sim.delivery_fault(event.as_deref(), *delivery_fault),
        Verb::SocketsFail(failure, times) => sim.world(|world| world.next_sockets_fail(*failure, *times)),
        Verb::SocketDies(agent) => sim.act(|world| world.socket_dies(&task?, agent)).await?,
        Verb::Fault(on, fault) => sim.faults(|faults| faults.script(*on, 1, fault.clone())),
        Verb::Settle => return Ok(settle().await.err()),
        Verb::Expect { of: Some(other), .. } if other != strategy => {}
        Verb::Expect { all: expectations, .. } => {
            let task = task?;
            let wrong: Vec<String> = expectations.iter().filter_map(|each| compare(sim, &task, each)).collect();
            return Ok((!wrong.is_empty()).then(|| wrong.join("; ")));
        }
    }
    Ok(None)
}

/// An agent does something with a task about the call: the newest with which it is possible.
async fn with(
    sim: &Simulator,
    task: TaskSid,
    agent: &str,
    action: impl Fn(&mut World, &TaskSid, &str) -> Result<(), InvalidAction>,
) -> Result<(), InvalidAction> {
    act(sim, |world| {
        let mut tries = world.tasks_on_call(&task).into_iter().map(|task| action(world, &task, agent));
        let newest = tries.next().unwrap_or(Ok(()));
        newest.or_else(|error| tries.find(Result::is_ok).unwrap_or(Err(error)))
    })
    .await
}

/// Each agent does it, one after the other.
async fn each(
    sim: &Simulator,
    task: TaskSid,
    agents: &[String],
    action: impl Fn(&mut World, &TaskSid, &str) -> Result<(), InvalidAction>,
) -> Result<(), InvalidAction> {
    for agent in agents {
        with(sim, task.clone(), agent, &action).await?;
    }
    Ok(())
}

/// Something is done. A customer whom a redirect took out of the conference is on the way back: what needs them there is then done again.
async fn act(sim: &Simulator, action: impl Fn(&mut World) -> Result<(), InvalidAction>) -> Result<(), InvalidAction> {
    match sim.act(&action).await {
        Err(error) if error.is_customer_away() => {
            sim.quiet(QUIET_LIMIT).await;
            sim.act(action).await
        }
        done => done,
    }
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
        let before = sim.world(|world| world.requests().len());
        settle().await?;
        if sim.is_quiet() && sim.world(|world| world.requests().len()) == before {
            return Ok(());
        }
    }
    Err("the service and the simulated Twilio kept each other moving".to_owned())
}

/// What is wrong, if anything.
fn compare(sim: &Simulator, task: &TaskSid, expectation: &Expectation) -> Option<String> {
    let snapshot = sim.world(|world| world.snapshot(task))?;
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
            let requests = sim.world(|world| world.report(task))?.requests;
            (requests > 0).then(|| format!("there were {requests} requests"))
        }
        Expectation::NoCommands => {
            let requests = sim.world(|world| world.requests().to_vec()).into_iter();
            let command = requests.filter(|request| request.task.as_ref() == Some(task));
            let command = command.map(|request| request.target).find(|target| !target.starts_with("GET "));
            command.map(|target| format!("there was a command: {target}"))
        }
    }
}
