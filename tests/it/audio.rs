//! What the destinations of the whole product hear: the worker, the simulated Twilio and a consumer over real sockets.

use crate::pace::scaled;
use crate::stories::{patient, play, story, told};
use std::time::Duration;
use taskrouter_streams::call::fact::FactKind;
use twilio_simulator::consumer::{Heard, Misconduct};
use twilio_simulator::scenario::read;
use twilio_simulator::testbed::Testbed;

const LIMIT: Duration = Duration::from_secs(20);

async fn stage(strategy: &str, extra: &str) -> Testbed {
    let extra = format!("[server]\nthreads = 1\n[streams]\nstrategy = \"{strategy}\"\n{extra}");
    Testbed::start_with_audio(patient(), &extra).await.unwrap()
}

/// The agents in the order in which their streams were heard.
fn agents(stage: &Testbed) -> Vec<String> {
    let name = |heard: &Heard| {
        stage.sim.world(|world| world.agent_name(&heard.parameters["workerSid"].parse().unwrap())).unwrap()
    };
    stage.heard().iter().map(name).collect()
}

#[test]
fn every_agents_audio_is_heard_as_documented_whatever_the_strategy() {
    play(&["redirect", "streams-api"], async |strategy| {
        let stage = stage(strategy, "").await;
        let outcome = stage.run(&story("chain-of-three")).await;
        // What the story expects of guard and hold is the redirect's.
        let mut wrong = outcome.failures.clone();
        wrong.retain(|failure| failure.contains("streams are"));
        if agents(&stage) != ["alice", "bob", "carol"] {
            wrong.push(format!("heard were {:?}", agents(&stage)));
        }
        for heard in stage.heard() {
            let whole = heard.is_complete() && heard.total() > 0;
            let told = heard.parameters["taskSid"] == outcome.tasks[0].as_str()
                && heard.parameters["reservationSid"].starts_with("WR");
            if !whole || !told {
                wrong.push(format!("{heard:?}"));
            }
        }
        let wrong = told(&stage, strategy, &outcome.tasks, wrong).await;
        stage.stop().await;
        wrong
    });
}

#[test]
fn a_socket_that_dies_is_followed_by_another_while_the_agent_stays() {
    play(&["redirect", "streams-api"], async |strategy| {
        let stage = stage(strategy, "restart_after_ms = 50").await;
        let steps = r#"["customer calls", "alice accepts", "settle", "expect stream alice", "the socket of alice dies",
            "settle", "expect stream alice", "customer hangs up", "settle", "expect no streams"]"#;
        let text = format!("name = \"x\"\ntitle = \"x\"\nsteps = {steps}");
        let outcome = stage.run(&read(&text).unwrap()).await;
        let mut wrong = outcome.failures.clone();
        let consumer = stage.consumer.as_ref().unwrap();
        if !consumer.until(|heard| heard.len() == 2 && heard.iter().all(|heard| heard.closed), scaled(LIMIT)).await {
            wrong.push("there were not two sockets that ended".to_owned());
        }
        let ends: Vec<bool> = stage.heard().iter().map(Heard::is_complete).collect();
        if ends != [false, true] {
            wrong.push(format!("{:?}", stage.heard()));
        }
        let wrong = told(&stage, strategy, &outcome.tasks, wrong).await;
        stage.stop().await;
        wrong
    });
}

#[test]
fn a_destination_that_goes_on_refusing_is_asked_a_few_times_and_the_stream_is_parked() {
    play(&["redirect", "streams-api"], async |strategy| {
        let stage = stage(strategy, "restart_after_ms = 20\nrestart_limit = 2").await;
        stage.consumer.as_ref().unwrap().misbehaves(Misconduct::Refuses(503), 9);
        let steps =
            r#"["customer calls", "alice accepts", "settle", "expect no streams, not held, guard raised, call live"]"#;
        let text = format!("name = \"x\"\ntitle = \"x\"\nsteps = {steps}");
        let outcome = stage.run(&read(&text).unwrap()).await;
        let mut wrong = outcome.failures.clone();
        let streams = stage.sim.world(|world| world.report(&outcome.tasks[0])).unwrap().streams;
        if streams.len() != 3 || streams.iter().any(|stream| stream.failure.is_none()) {
            wrong.push(format!("{streams:?}"));
        }
        let facts = stage.facts(&outcome.tasks[0]).await.unwrap();
        let parked = facts.iter().filter(|fact| matches!(fact.kind, FactKind::Parked(_))).count();
        if parked != 1 || !stage.heard().is_empty() {
            wrong.push(format!("{parked} changes are parked, heard was {:?}", stage.heard()));
        }
        let wrong = told(&stage, strategy, &outcome.tasks, wrong).await;
        stage.stop().await;
        wrong
    });
}
