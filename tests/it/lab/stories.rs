//! The stories that come with the program, with a worker that dies at every single point of them.

use super::laws;
use super::plan::{Action, Crash, Plan, plain_policy};
use super::run::Run;
use std::collections::BTreeMap;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::timeline;
use twilio_simulator::SimConfig;
use twilio_simulator::scenario::{self, SCENARIOS, Scenario, Verb};
use twilio_simulator::world::{CallAction, Mode, RecordingAct, Snapshot, Target};

/// How long a dead worker is missed.
const AWAY_MS: i64 = 30;

fn plan(story: &Scenario, strategy: Strategy, crash: Option<Crash>) -> Plan {
    let actions = story.steps.iter().map(|step| Action::Tell(step.verb.clone())).collect();
    plan_of(actions, story.config(&SimConfig::default()).unwrap(), strategy, crash)
}

fn plan_of(actions: Vec<Action>, behaviour: SimConfig, strategy: Strategy, crash: Option<Crash>) -> Plan {
    let mut policy = plain_policy();
    policy.strategy = strategy;
    // Streams whose sockets fail are a matter of callbacks.
    policy.destinations.iter_mut().for_each(|destination| destination.confirms = true);
    Plan {
        seed: 1,
        policy,
        behaviour,
        actions: actions.into_iter().map(|action| (1, action)).collect(),
        faults: BTreeMap::new(),
        delivery_faults: BTreeMap::new(),
        crashes: crash.map(|crash| (crash, AWAY_MS)).into_iter().collect(),
        late: BTreeMap::new(),
        posthumous_ms: 0,
        clocks: Vec::new(),
        latency_ms: 2,
        delivery_ms: 1,
        hold_event_ms: 1,
    }
}

/// A card number in the middle of a call that is recorded twice, another agent who joins meanwhile, and a pause of that one alone.
fn card_number() -> Vec<Action> {
    let settle = || Action::Tell(Verb::Settle);
    let warm = || Verb::Transfers("alice".to_owned(), Target::Agent("bob".to_owned()), Mode::Warm);
    vec![
        Action::Tell(Verb::CustomerCalls),
        Action::Tell(Verb::Accepts("alice".to_owned())),
        Action::Tell(Verb::Happens(CallAction::CallRecording(RecordingAct::Starts))),
        Action::Tell(Verb::Happens(CallAction::ConferenceRecording(RecordingAct::Starts))),
        settle(),
        Action::Pause(1, None),
        settle(),
        Action::Tell(warm()),
        Action::Tell(Verb::Accepts("bob".to_owned())),
        settle(),
        Action::Resume(1),
        settle(),
        Action::Pause(2, Some(1)),
        Action::Pause(3, None),
        Action::Resume(2),
        settle(),
        Action::Resume(3),
        settle(),
        Action::Tell(Verb::Leaves("alice".to_owned())),
        settle(),
    ]
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

/// What is different when the worker dies at any point.
fn crashes(
    name: &str,
    undisturbed: &[Option<Snapshot>],
    facts: usize,
    requests: u32,
    plan: impl Fn(Crash) -> Plan,
) -> Vec<String> {
    let crashes = (1..=facts).map(Crash::AfterFact).chain((1..=requests).map(Crash::BeforeSettled));
    let complaint = |crash| match rests(&plan(crash)) {
        Ok((pictures, _, _)) if pictures == undisturbed => None,
        Ok((pictures, _, _)) => Some(format!("{name}, {crash:?}: {pictures:?} instead of {undisturbed:?}")),
        Err(wrong) => Some(format!("{name}, {crash:?}: {wrong}")),
    };
    crashes.filter_map(complaint).collect()
}

/// I13: laws look at every moment of it.
#[test]
fn a_worker_that_dies_after_any_fact_or_request_around_a_card_number_comes_to_the_same_rest() {
    let mut complaints = Vec::new();
    for strategy in [Strategy::Redirect, Strategy::StreamsApi] {
        let plan = |crash| {
            let mut plan = plan_of(card_number(), SimConfig::default(), strategy, crash);
            plan.policy.pause_recording = true;
            plan
        };
        let (undisturbed, facts, requests) = rests(&plan(None)).unwrap();
        let running: Vec<usize> = undisturbed.iter().flatten().map(|picture| picture.streams.len()).collect();
        assert_eq!(running, [1, 0, 0, 2, 0, 2, 1]);
        complaints.extend(crashes(strategy.as_str(), &undisturbed, facts, requests, |crash| plan(Some(crash))));
    }
    super::none(&complaints);
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
        let crashed = |crash| plan(&story, strategy, Some(crash));
        complaints.extend(crashes(name, &undisturbed, facts, requests, crashed));
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
