//! How long a change takes, and how many requests.

use std::time::Duration;
use twilio_simulator::SimConfig;
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::{Mode, OpName, Target};

const ROUNDS: usize = 15;
const LATENCY_MS: u64 = 80;
const LAG_MS: i64 = 100;

/// Accept → redirect request received, and requests per change, at the latency and lag of the issue.
pub(crate) async fn latency() {
    let (mut first, mut transferee, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..ROUNDS {
        let behaviour =
            SimConfig { seed: seed as u64, latency_ms: LATENCY_MS, guard_lag_ms: LAG_MS, ..SimConfig::default() };
        let stage = Testbed::start(behaviour, "[streams]\nstrategy = \"redirect\"\n").await.unwrap();
        let task = stage.sim.act(|world| world.customer_calls()).await;
        stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
        stage.at_rest().await.unwrap();
        let after_first = stage.sim.world(|world| world.requests().len());
        stage
            .sim
            .act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm))
            .await
            .unwrap();
        stage.at_rest().await.unwrap();
        // Longer than a reading stays fresh: the transferee takes a while to accept.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let before_second = stage.sim.world(|world| world.requests().len());
        stage.sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
        stage.at_rest().await.unwrap();

        let accepts: Vec<i64> = stage
            .sim
            .deliveries()
            .iter()
            .filter(|delivery| delivery.event_type == "reservation.accepted")
            .map(|delivery| delivery.at)
            .collect();
        let redirects: Vec<i64> = stage
            .sim
            .world(|world| world.requests().to_vec())
            .iter()
            .filter(|request| request.op == Some(OpName::RedirectCall))
            .map(|request| request.received_at)
            .collect();
        first.push(redirects[0] - accepts[0]);
        transferee.push(redirects[1] - accepts[1]);
        requests.push((
            after_first,
            before_second - after_first,
            stage.sim.world(|world| world.requests().len()) - before_second,
        ));
        assert!(stage.sim.world(|world| world.violations().is_empty()));
        stage.stop().await;
    }
    first.sort_unstable();
    transferee.sort_unstable();
    requests.sort_unstable();
    let (a, ahead, b) = requests[ROUNDS / 2];
    println!(
        "latency {LATENCY_MS} ms, read-back lag {LAG_MS} ms, median of {ROUNDS} (the original example: 3 round trips + 200 ms = 440 ms at best)"
    );
    println!("  accept → redirect request, first agent:           {} ms", first[ROUNDS / 2]);
    println!("  accept → redirect request, guard lowered ahead:   {} ms", transferee[ROUNDS / 2]);
    println!("  requests: first agent {a}, guard ahead {ahead}, transferee {b}");
}
