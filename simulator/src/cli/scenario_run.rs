//! One scenario run against the service and a simulated Twilio, with its figures.

use super::audio;
use anyhow::Context as _;
use taskrouter_streams::call::fact::{Fact, FactKind, ReservationChange};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::sid::{ReservationSid, TaskSid};
use taskrouter_streams::config::Mode;
use twilio_simulator::SimConfig;
use twilio_simulator::scenario::Scenario;
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::StreamReport;

/// What came of a scenario.
pub(super) struct ScenarioRun {
    /// Its calls, task by task.
    pub(super) calls: Vec<Told>,
    /// Its figures.
    pub(super) figures: Figures,
    /// Every violation and every unmet expectation, in words.
    pub(super) complaints: Vec<String>,
}

/// What is told of a task's call.
pub(super) struct Told {
    pub(super) task: TaskSid,
    pub(super) facts: Vec<Fact>,
    /// What the destination heard.
    pub(super) heard: Vec<String>,
}

/// The figures of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Streams that Twilio took.
    pub(super) taken: usize,
    /// Those of them whose sockets were open.
    pub(super) running: usize,
    /// Those of them that are over.
    pub(super) stopped: usize,
    pub(super) requests: usize,
    /// From an agent's accepting to the first frame of audio, ms, for each stream.
    pub(super) audio_after_ms: Vec<i64>,
    /// The customer's time outside the conference, ms.
    pub(super) outside_ms: i64,
    pub(super) violations: usize,
    pub(super) failures: usize,
}

impl Figures {
    pub(super) fn is_good(&self) -> bool {
        self.violations == 0 && self.failures == 0
    }

    /// The median of the streams' times from accept to audio, ms.
    pub(super) fn median_audio_after_ms(&self) -> Option<i64> {
        let mut sorted = self.audio_after_ms.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

/// Runs the scenario on a testbed of its own, with real sockets. In shadow mode its expectations cannot come true; that
/// nothing was commanded is expected instead.
pub(super) async fn run(
    scenario: &Scenario,
    base: &SimConfig,
    strategy: Strategy,
    mode: Mode,
) -> anyhow::Result<ScenarioRun> {
    let sim_config = scenario.config(base).with_context(|| format!("the scenario {} cannot be run", scenario.name))?;
    let configuration = format!("mode = \"{}\"\n[streams]\nstrategy = \"{}\"\n", mode.as_str(), strategy.as_str());
    let testbed = Testbed::start_with_audio(sim_config, &configuration).await.context("the demo cannot start")?;
    let outcome = testbed.run(scenario).await;
    let mut figures = Figures::default();
    let mut failures = match mode {
        Mode::Live => outcome.failures,
        Mode::Shadow => commands(&testbed),
    };
    let mut calls = Vec::new();
    for task in &outcome.tasks {
        let facts = testbed.facts(task).await?;
        let heard = audio::lines(&testbed, task, facts.first().map_or(0, |fact| fact.at));
        failures.extend(audio::complaints(&testbed, task));
        figures.audio_after_ms.extend(audio::delays(&testbed, task, |reservation| accepted_at(&facts, reservation)));
        if let Some(report) = testbed.sim.world(|world| world.report(task)) {
            // Tasks about one leg have the same streams.
            let of_task = |stream: &&StreamReport| stream.parameters.iter().any(|(_, value)| value == task.as_str());
            let streams: Vec<&StreamReport> = report.streams.iter().filter(of_task).collect();
            figures.taken += streams.len();
            figures.running += streams.iter().filter(|stream| stream.opened_at.is_some()).count();
            figures.stopped += streams.iter().filter(|stream| stream.stopped_at.is_some()).count();
            figures.requests += report.requests;
            figures.outside_ms += report.outside_ms;
        }
        calls.push(Told { task: task.clone(), facts, heard });
    }
    let violations = testbed.sim.world(|world| world.violations().to_vec());
    (figures.violations, figures.failures) = (violations.len(), failures.len());
    let violations = violations.iter().map(|violation| format!("VIOLATION: {violation}"));
    let complaints = violations.chain(failures.iter().map(|failure| format!("UNMET EXPECTATION: {failure}"))).collect();
    testbed.stop().await;
    Ok(ScenarioRun { calls, figures, complaints })
}

/// Every request to the simulated Twilio that was not a read, in words.
fn commands(testbed: &Testbed) -> Vec<String> {
    let requests = testbed.sim.world(|world| world.requests().to_vec()).into_iter().map(|request| request.target);
    requests.filter(|target| !target.starts_with("GET ")).map(|target| format!("in shadow mode: {target}")).collect()
}

/// When the service knew that the reservation had been accepted.
fn accepted_at(facts: &[Fact], reservation: &ReservationSid) -> Option<i64> {
    let accepts = |fact: &&Fact| {
        matches!(&fact.kind, FactKind::Reservation(event)
            if event.reservation == *reservation && event.change == ReservationChange::Accepted)
    };
    facts.iter().find(accepts).map(|fact| fact.at)
}

/// What the figures rest on.
pub(super) fn assumed(base: &SimConfig) -> String {
    format!(
        "simulated: each request to Twilio takes {} ms (--latency-ms), a written guard shows after {} ms (--lag-ms), and a \
         redirected customer is back after {} ms (--rejoin-ms)",
        base.latency_ms, base.guard_lag_ms, base.rejoin_ms
    )
}
