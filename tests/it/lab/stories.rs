//! The stories that come with the program, with a worker that dies at every single point of them.

use super::laws;
use super::plan::{Action, Crash, Plan, plain_policy};
use super::run::Run;
use std::collections::BTreeMap;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::timeline;
use twilio_simulator::SimConfig;
use twilio_simulator::scenario::{self, SCENARIOS, Scenario, Verb};
use twilio_simulator::world::Snapshot;

/// How long a dead worker is missed.
const AWAY_MS: i64 = 30;

fn plan(story: &Scenario, strategy: Strategy, crash: Option<Crash>) -> Plan {
    let mut policy = plain_policy();
    policy.strategy = strategy;
    // Streams whose sockets fail are a matter of callbacks.
    policy.destinations.iter_mut().for_each(|destination| destination.confirms = true);
    Plan {
        seed: 1,
        policy,
        behaviour: story.config(&SimConfig::default()).unwrap(),
        actions: story.steps.iter().map(|step| (1, Action::Tell(step.verb.clone()))).collect(),
        faults: BTreeMap::new(),
        delivery_faults: BTreeMap::new(),
        crashes: crash.map(|crash| (crash, AWAY_MS)).into_iter().collect(),
        late: BTreeMap::new(),
        posthumous_ms: 0,
        clocks: Vec::new(),
        latency_ms: 2,
        delivery_ms: 1,
    }
}

/// What can be seen at every rest of the story; and how many facts and requests there were.
fn rests(plan: &Plan) -> Result<(Vec<Option<Snapshot>>, usize, u32), String> {
    let mut run = Run::new(plan);
    let mut pictures = Vec::new();
    let told = plan.actions.iter().try_for_each(|(pause, action)| {
        run.pass(*pause)?;
        if *action == Action::Tell(Verb::Settle) {
            run.rest()?;
            laws::at_rest(&mut run, false)?;
            pictures.push(run.picture());
        }
        run.act(action)
    });
    told.map_err(|wrong| format!("{wrong}\n{}", timeline::render(&run.facts)))?;
    Ok((pictures, run.facts.len(), run.counted().requests))
}

fn every_crash(strategy: Strategy) {
    let mut complaints = Vec::new();
    for (name, text) in SCENARIOS {
        let story = scenario::read(text).unwrap();
        // The lab has one task; these stories are told over HTTP.
        if story.steps.iter().any(|step| matches!(step.verb, Verb::Comes(_))) {
            continue;
        }
        let (undisturbed, facts, requests) =
            rests(&plan(&story, strategy, None)).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        assert!(undisturbed.len() > 1 || facts < 3, "{name} comes to rest");
        let crashes = (1..=facts).map(Crash::AfterFact).chain((1..=requests).map(Crash::BeforeSettled));
        for crash in crashes {
            match rests(&plan(&story, strategy, Some(crash))) {
                Ok((pictures, _, _)) if pictures == undisturbed => {}
                Ok((pictures, _, _)) => {
                    complaints.push(format!("{name}, {crash:?}: {pictures:?} instead of {undisturbed:?}"))
                }
                Err(wrong) => complaints.push(format!("{name}, {crash:?}: {wrong}")),
            }
        }
    }
    super::none(&complaints);
}

#[test]
fn a_redirecting_worker_that_dies_after_any_fact_or_request_of_any_story_comes_to_the_same_rest() {
    every_crash(Strategy::Redirect);
}

#[test]
fn a_worker_on_the_streams_resource_that_dies_after_any_fact_or_request_of_any_story_comes_to_the_same_rest() {
    every_crash(Strategy::StreamsApi);
}
