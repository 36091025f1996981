//! The whole product, told the stories: the worker over real sockets, against a simulated Twilio, from a real journal.

use crate::postgres::Database;
use std::collections::BTreeSet;
use std::sync::Mutex;
use taskrouter_streams::call::Call;
use taskrouter_streams::call::fact::{Fact, FactKind};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::call::step::{Command, Guard, Operation};
use taskrouter_streams::timeline;
use twilio_simulator::SimConfig;
use twilio_simulator::callbacks::DeliveryFault;
use twilio_simulator::scenario::{self, Outcome, SCENARIOS, Scenario, Verb};
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::{OpName, Snapshot};

/// How many stages stand at once.
const STAGES: usize = 8;

pub(crate) fn story(name: &str) -> Scenario {
    let (_, text) = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap();
    scenario::read(text).unwrap()
}

/// Plays every case on a few threads, each with its own runtime, and fails with everything that they complain of.
pub(crate) fn play<C: Sync>(cases: &[C], case: impl AsyncFn(&C) -> Vec<String> + Sync) {
    let next = Mutex::new(cases.iter());
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..STAGES {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                loop {
                    let taken = next.lock().unwrap().next();
                    let Some(taken) = taken else { return };
                    let found = runtime.block_on(case(taken));
                    complaints.lock().unwrap().extend(found);
                }
            });
        }
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// The timelines of a telling, to put under a complaint.
pub(crate) async fn timelines(stage: &Testbed, tasks: &[TaskSid]) -> String {
    let mut text = String::new();
    for task in tasks {
        text.push_str(&timeline::render(&stage.facts(task).await.unwrap()));
    }
    text
}

/// Complaints about a telling, each with its name, and the timelines below.
pub(crate) async fn told(stage: &Testbed, name: &str, tasks: &[TaskSid], mut wrong: Vec<String>) -> Vec<String> {
    wrong.extend(
        stage.sim.world(|world| world.violations().to_vec()).iter().map(|violation| format!("VIOLATION: {violation}")),
    );
    if wrong.is_empty() {
        return wrong;
    }
    let timelines = timelines(stage, tasks).await;
    vec![format!("── {name}: {}\n{timelines}", wrong.join("\n   "))]
}

/// How a Twilio behaves that judges no stall of the machine, which may last for seconds: how long a stream may run with nobody entitled
/// is held to by the lab, on a virtual clock, and by the simulator's own tests.
pub(crate) fn patient() -> SimConfig {
    SimConfig { unattended_ms: 15_000, ..SimConfig::default() }
}

pub(crate) async fn stage_of(story: &Scenario, extra: &str) -> Testbed {
    Testbed::start(story.config(&patient()).unwrap(), extra).await.unwrap()
}

/// Both ways of making changes.
pub(crate) const STRATEGIES: [Strategy; 2] = [Strategy::Redirect, Strategy::StreamsApi];

pub(crate) fn configuration(strategy: Strategy) -> String {
    format!("[server]\nthreads = 1\n[streams]\nstrategy = \"{}\"\n", strategy.as_str())
}

/// Tells every story to a worker of each strategy and asks `check` about each.
fn every_story(check: impl AsyncFn(&Testbed, &Outcome) -> Vec<String> + Sync) {
    let cases: Vec<_> = SCENARIOS.iter().flat_map(|story| STRATEGIES.map(|strategy| (story, strategy))).collect();
    play(&cases, async |((name, text), strategy)| {
        let story = scenario::read(text).unwrap();
        let stage = stage_of(&story, &configuration(*strategy)).await;
        let outcome = stage.run(&story).await;
        let wrong = check(&stage, &outcome).await;
        let wrong = told(&stage, &format!("{name}, {}", strategy.as_str()), &outcome.tasks, wrong).await;
        stage.stop().await;
        wrong
    });
}

pub(crate) async fn facts_of(stage: &Testbed, outcome: &Outcome) -> Vec<Vec<Fact>> {
    let mut all = Vec::new();
    for task in &outcome.tasks {
        all.push(stage.facts(task).await.unwrap());
    }
    all
}

/// Waits until the world is quiet and the worker at rest, and neither has moved the other meanwhile.
pub(crate) async fn settle(stage: &Testbed) {
    for _ in 0..50 {
        assert!(stage.sim.quiet(std::time::Duration::from_secs(20)).await, "the world does not come to rest");
        let before = stage.sim.world(|world| world.requests().len());
        stage.at_rest().await.unwrap();
        if stage.sim.is_quiet() && stage.sim.world(|world| world.requests().len()) == before {
            return;
        }
    }
    panic!("the worker and the world keep each other moving");
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the story has only a few of the verbs")]
/// Performs a step of the warm transfer; returns the picture when it was one of settling.
async fn perform(stage: &Testbed, task: &mut Option<TaskSid>, verb: &Verb) -> Option<Snapshot> {
    let sim = &stage.sim;
    if let Verb::CustomerCalls = verb {
        *task = Some(sim.act(|world| world.customer_calls()).await);
        return None;
    }
    let task = task.as_ref().unwrap();
    match verb {
        Verb::Accepts(agent) => sim.act(|world| world.accepts(task, agent)).await.unwrap(),
        Verb::Transfers(from, to, mode) => sim.act(|world| world.transfers(task, from, to, *mode)).await.unwrap(),
        Verb::Unhold(agents) => {
            for agent in agents {
                sim.act(|world| world.unholds(task, agent)).await.unwrap();
            }
        }
        Verb::Leaves(agent) => sim.act(|world| world.leaves(task, agent)).await.unwrap(),
        Verb::Completes(agent) => sim.act(|world| world.completes(task, agent)).await.unwrap(),
        Verb::Settle => {
            settle(stage).await;
            return sim.world(|world| world.snapshot(task));
        }
        Verb::Expect { .. } => {}
        other => panic!("the story has a step that this test does not know: {other:?}"),
    }
    None
}

/// What can be seen at every rest of a story, and how many redirects it took. The worker is restarted ahead of the step
/// `restart_at`; every event arrives twice when `twice`.
async fn rests(
    story: &Scenario,
    strategy: Strategy,
    restart_at: Option<usize>,
    twice: bool,
) -> (Vec<Snapshot>, u32, Vec<String>) {
    let stage = stage_of(story, &configuration(strategy)).await;
    rests_on(stage, story, restart_at, twice).await
}

async fn rests_on(
    mut stage: Testbed,
    story: &Scenario,
    restart_at: Option<usize>,
    twice: bool,
) -> (Vec<Snapshot>, u32, Vec<String>) {
    if twice {
        for _ in 0..200 {
            stage.sim.delivery_fault(None, DeliveryFault::Duplicated);
        }
    }
    let (mut task, mut pictures) = (None, Vec::new());
    for (place, step) in story.steps.iter().enumerate() {
        if restart_at == Some(place) {
            stage = stage.restart().await.unwrap();
        }
        pictures.extend(perform(&stage, &mut task, &step.verb).await);
    }
    let distinct: BTreeSet<_> = stage.sim.deliveries().into_iter().map(|delivery| delivery.event).collect();
    assert!(!twice || stage.sim.deliveries().len() > distinct.len(), "events arrive twice");
    let task = task.unwrap();
    let redirects = stage.sim.world(|world| world.report(&task)).unwrap().redirects;
    let wrong = told(&stage, &format!("restart at {restart_at:?}"), &[task], Vec::new()).await;
    stage.stop().await;
    (pictures, redirects, wrong)
}

#[test]
fn every_story_rests_as_expected_without_a_violation() {
    every_story(async |_, outcome| outcome.failures.clone());
}

#[test]
fn a_restart_in_the_middle_of_a_warm_transfer_changes_nothing() {
    let story = story("warm-transfer");
    for strategy in STRATEGIES {
        let undisturbed = tokio::runtime::Runtime::new().unwrap().block_on(rests(&story, strategy, None, false));
        let places: Vec<usize> = (1..story.steps.len()).collect();
        play(&places, async |place| {
            let (pictures, _, mut wrong) = rests(&story, strategy, Some(*place), false).await;
            if pictures != undisturbed.0 {
                let expected = &undisturbed.0;
                wrong.push(format!("a restart ahead of step {}: {pictures:#?} instead of {expected:#?}", place + 1));
            }
            wrong
        });
    }
}

#[test]
fn a_restart_in_the_middle_of_a_warm_transfer_changes_nothing_on_postgresql_either() {
    let story = story("warm-transfer");
    for strategy in STRATEGIES {
        let on_sqlite = tokio::runtime::Runtime::new().unwrap().block_on(rests(&story, strategy, None, false));
        let places: Vec<usize> = (0..story.steps.len()).collect();
        play(&places, async |place| {
            let Some(database) = Database::new().await else { return Vec::new() };
            let behaviour = story.config(&patient()).unwrap();
            let stage = Testbed::start_on(&database.url(), behaviour, &configuration(strategy)).await.unwrap();
            let (pictures, _, mut wrong) = rests_on(stage, &story, Some(*place), false).await;
            if pictures != on_sqlite.0 {
                let expected = &on_sqlite.0;
                wrong.push(format!("a restart ahead of step {}: {pictures:#?} instead of {expected:#?}", place + 1));
            }
            wrong
        });
    }
}

#[test]
fn events_that_arrive_twice_have_the_effect_of_once() {
    play(&STRATEGIES, async |strategy| {
        let story = story("warm-transfer");
        let once = rests(&story, *strategy, None, false).await;
        let twice = rests(&story, *strategy, None, true).await;
        let same = once == twice;
        let complaint = || format!("{strategy:?}: once {once:#?}, twice {twice:#?}");
        once.2.iter().chain(&twice.2).cloned().chain((!same).then(complaint)).collect()
    });
}

#[test]
fn the_fold_of_the_journal_is_the_same_at_every_prefix() {
    every_story(async |stage, outcome| {
        let mut wrong = Vec::new();
        for facts in facts_of(stage, outcome).await {
            let mut live = Call::default();
            for (place, fact) in facts.iter().enumerate() {
                live.apply(fact);
                if live != Call::fold(&facts[..=place]) {
                    wrong.push(format!("the fold differs after fact {}", place + 1));
                }
                let read_back: Fact = serde_json::from_slice(&serde_json::to_vec(fact).unwrap()).unwrap();
                if read_back != *fact {
                    wrong.push(format!("fact {} does not survive being written", place + 1));
                }
            }
        }
        wrong
    });
}

/// A call task performs one step at a time and catches up in between: only the step that was decided already may still follow.
#[test]
fn nothing_is_commanded_after_the_call_is_known_to_be_over() {
    every_story(async |stage, outcome| {
        let mut wrong = Vec::new();
        for facts in facts_of(stage, outcome).await {
            let (mut call, mut late) = (Call::default(), BTreeSet::new());
            for fact in &facts {
                if !call.is_over() {
                    late.clear();
                } else if let FactKind::Begun(step) = &fact.kind
                    // I5: but stops, and what undoes our own changes.
                    && !is_undoing(&step.operation)
                {
                    late.insert(step.id);
                }
                call.apply(fact);
                if late.len() > 1 {
                    wrong.push(format!("steps {late:?} come after the end"));
                }
            }
        }
        wrong
    });
}

fn is_undoing(operation: &Operation) -> bool {
    match operation {
        Operation::Command(
            Command::StopStream { .. } | Command::EndConference { .. } | Command::ResumeRecording { .. },
        ) => true,
        Operation::Command(Command::UpdateCustomer { guard, hold, .. }) => {
            *guard == Some(Guard::Raised) && *hold != Some(true)
        }
        Operation::Command(
            Command::Redirect { .. } | Command::CreateStream { .. } | Command::PauseRecording { .. },
        )
        | Operation::Read(_) => false,
    }
}

#[test]
fn no_leg_but_the_customers_is_commanded() {
    every_story(async |stage, outcome| {
        let customers: Vec<_> = outcome
            .tasks
            .iter()
            .filter_map(|task| stage.sim.world(|world| world.report(task))?.customer)
            .map(|call| call.to_string())
            .collect();
        let commands = [
            OpName::UpdateParticipant,
            OpName::RedirectCall,
            OpName::EndCall,
            OpName::CreateStream,
            OpName::StopStream,
        ];
        let requests = stage.sim.world(|world| world.requests().to_vec());
        let strangers = requests.iter().filter(|request| request.op.is_some_and(|op| commands.contains(&op)));
        strangers
            .filter(|request| !customers.iter().any(|customer| request.target.contains(customer)))
            .map(|request| format!("{} is not about a customer", request.target))
            .collect()
    });
}

#[test]
fn no_stream_has_the_name_of_an_earlier_one() {
    every_story(async |stage, outcome| {
        let mut wrong = Vec::new();
        for report in outcome.tasks.iter().filter_map(|task| stage.sim.world(|world| world.report(task))) {
            let names: BTreeSet<&str> = report.streams.iter().map(|stream| stream.name.as_str()).collect();
            if names.len() < report.streams.len() {
                wrong.push(format!("{} streams have {} names", report.streams.len(), names.len()));
            }
        }
        wrong
    });
}
