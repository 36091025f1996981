//! Shadow mode: everything is decided, and Twilio is only read.

use crate::stories::{STRATEGIES, configuration, facts_of, play, settle, stage_of, story};
use std::collections::BTreeSet;
use taskrouter_streams::call::Call;
use taskrouter_streams::call::fact::{Fact, FactKind};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::step::Assumed;
use taskrouter_streams::call::streams::StreamState;
use taskrouter_streams::config::Mode;
use taskrouter_streams::timeline;
use twilio_simulator::scenario::{self, SCENARIOS};
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::{Mode as TransferMode, Target};

fn shadow(strategy: Strategy) -> String {
    format!("mode = \"shadow\"\n{}", configuration(strategy))
}

/// What was asked of Twilio besides reading.
fn commands_sent(stage: &Testbed) -> Vec<String> {
    let targets = stage.sim.world(|world| world.requests().to_vec()).into_iter().map(|request| request.target);
    targets.filter(|target| !target.starts_with("GET ")).collect()
}

/// The streams that were started and stopped, in words that are the same for every telling: agents are named by their order, and
/// which changes share a request depends on the moment.
fn changes_decided(facts: &[Fact]) -> BTreeSet<String> {
    let agents = timeline::agents(facts);
    let worded =
        |text: String| agents.iter().fold(text, |text, (reservation, agent)| text.replace(reservation.as_str(), agent));
    let call = Call::fold(facts);
    let starts = call.streams().iter().map(|stream| format!("start {} on {}", stream.name, stream.slot));
    let stops = call.streams().iter().filter(|stream| stream.state() == StreamState::Stopped);
    starts.chain(stops.map(|stream| format!("stop {}", stream.name))).map(worded).collect()
}

#[test]
fn whatever_happens_in_shadow_mode_twilio_is_only_read() {
    let cases: Vec<_> = SCENARIOS.iter().flat_map(|story| STRATEGIES.map(|strategy| (story, strategy))).collect();
    play(&cases, async |((name, text), strategy)| {
        let story = scenario::read(text).unwrap();
        let stage = stage_of(&story, &shadow(*strategy)).await;
        let outcome = stage.run(&story).await;
        let mut wrong = commands_sent(&stage);
        wrong.extend(stage.sim.world(|world| world.violations().to_vec()).iter().map(ToString::to_string));
        for facts in facts_of(&stage, &outcome).await {
            let call = Call::fold(&facts);
            wrong.extend(call.parked().map(|(change, reason)| format!("{change} was given up: {reason}")));
            wrong.extend(
                facts.iter().filter(|fact| matches!(fact.kind, FactKind::Begun(_))).map(|fact| format!("{fact:?}")),
            );
        }
        stage.stop().await;
        wrong.into_iter().map(|complaint| format!("{name}, {}: {complaint}", strategy.as_str())).collect()
    });
}

#[test]
fn in_shadow_mode_the_same_is_decided_as_live() {
    let stories = [
        "warm-transfer",
        "first-accept",
        "cold-transfer",
        "chain-of-three",
        "there-and-back",
        "warm-rejected",
        "held-at-first-accept",
        "late-conference-attributes",
    ];
    let cases: Vec<_> = stories.iter().flat_map(|name| STRATEGIES.map(|strategy| (*name, strategy))).collect();
    play(&cases, async |(name, strategy)| {
        let story = story(name);
        let mut decided = Vec::new();
        for configuration in [configuration(*strategy), shadow(*strategy)] {
            let stage = stage_of(&story, &configuration).await;
            let outcome = stage.run(&story).await;
            let facts = facts_of(&stage, &outcome).await;
            decided.push(facts.iter().map(|facts| changes_decided(facts)).collect::<Vec<_>>());
            stage.stop().await;
        }
        let same = decided[0] == decided[1] && decided[0].iter().any(|changes| !changes.is_empty());
        let complaint = || format!("{name}, {}: live {:#?}, shadow {:#?}", strategy.as_str(), decided[0], decided[1]);
        (!same).then(complaint).into_iter().collect()
    });
}

/// A warm transfer up to the consult in the `first` mode, and its end in the other.
async fn across_modes(strategy: Strategy, first: Mode, then: Mode) -> (Testbed, Vec<Fact>) {
    let first = format!("mode = \"{}\"\n{}", first.as_str(), configuration(strategy));
    let stage = stage_of(&story("warm-transfer"), &first).await;
    let task = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    settle(&stage).await;
    stage
        .sim
        .act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), TransferMode::Warm))
        .await
        .unwrap();
    settle(&stage).await;
    let stage = stage.restart_with(|settings| settings.mode = then).await.unwrap();
    stage.sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
    settle(&stage).await;
    for agent in ["alice", "bob"] {
        stage.sim.act(|world| world.unholds(&task, agent)).await.unwrap();
    }
    stage.sim.act(|world| world.leaves(&task, "alice")).await.unwrap();
    settle(&stage).await;
    let facts = stage.facts(&task).await.unwrap();
    (stage, facts)
}

fn not_sent(facts: &[Fact]) -> usize {
    let is_not_sent =
        |fact: &&Fact| matches!(&fact.kind, FactKind::Settled(settled) if settled.assumed == Some(Assumed::NotSent));
    facts.iter().filter(is_not_sent).count()
}

#[tokio::test]
async fn a_call_that_began_live_is_finished_live_so_that_nothing_of_it_is_left_behind() {
    for strategy in STRATEGIES {
        let (stage, facts) = across_modes(strategy, Mode::Live, Mode::Shadow).await;
        assert_eq!(not_sent(&facts), 0, "{}", timeline::render(&facts));
        let task = Call::fold(&facts).task().unwrap().clone();
        let picture = stage.sim.world(|world| world.snapshot(&task)).unwrap();
        assert_eq!(picture.streams, ["bob"], "{}", timeline::render(&facts));
        assert_eq!(picture.guard_raised, Some(true));
        // One that begins now is not touched.
        let sent = commands_sent(&stage).len();
        let next = stage.sim.act(|world| world.customer_calls()).await;
        stage.sim.act(|world| world.accepts(&next, "alice")).await.unwrap();
        settle(&stage).await;
        assert_eq!(commands_sent(&stage).len(), sent);
        assert_eq!(Call::fold(&stage.facts(&next).await.unwrap()).streams().len(), 1, "and yet decided");
        stage.stop().await;
    }
}

#[tokio::test]
async fn a_call_that_began_in_shadow_mode_stays_there_because_its_agents_have_no_streams() {
    for strategy in STRATEGIES {
        let (stage, facts) = across_modes(strategy, Mode::Shadow, Mode::Live).await;
        assert_eq!(commands_sent(&stage), Vec::<String>::new(), "{}", timeline::render(&facts));
        let live: Vec<_> = Call::fold(&facts).streams().iter().map(|stream| stream.may_run()).collect();
        assert_eq!(live, [false, true], "alice's would be over, bob's would run\n{}", timeline::render(&facts));
        // One that begins now has its stream.
        let next = stage.sim.act(|world| world.customer_calls()).await;
        stage.sim.act(|world| world.accepts(&next, "alice")).await.unwrap();
        settle(&stage).await;
        assert_eq!(stage.sim.world(|world| world.snapshot(&next)).unwrap().streams, ["alice"]);
        stage.stop().await;
    }
}

#[tokio::test]
async fn whoever_looks_at_a_call_sees_that_nothing_of_it_was_sent() {
    let stage = stage_of(&story("first-accept"), &shadow(Strategy::Redirect)).await;
    let task = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    settle(&stage).await;
    let admin = format!("http://{}", stage.service.admin());
    let get = async |path: String| reqwest::get(format!("{admin}{path}")).await.unwrap().text().await.unwrap();
    let call = get(format!("/calls/{task}")).await;
    let call: serde_json::Value = serde_json::from_str(&call).unwrap();
    assert_eq!(call["call"]["shadow"], true);
    assert_eq!(call["call"]["streams"][0]["state"], "would run");
    let lines: Vec<_> =
        call["timeline"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert!(lines.iter().any(|line| line.starts_with("would redirect the customer: start Stream_")), "{lines:?}");
    let page = get(format!("/console/calls/{task}")).await;
    for shown in [">shadow<", ">would run<", "request not-sent", "not sent (shadow mode)"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let metrics = get("/metrics".to_owned()).await;
    assert!(metrics.contains("outcome=\"not_sent\""), "{metrics}");
    let started = metrics.lines().filter(|line| line.starts_with("taskrouter_streams_streams_started_total{"));
    assert_eq!(started.map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(), ["0"], "{metrics}");
    stage.stop().await;
}
