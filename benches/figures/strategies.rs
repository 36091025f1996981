//! Accept → the request that starts the stream, by both strategies beside each other.

use taskrouter_streams::call::policy::Strategy;
use twilio_simulator::SimConfig;
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::OpName;

/// Calls of each kind: the 99th percentile is the second longest.
const CALLS: usize = 100;
const LATENCIES_MS: [u64; 3] = [0, 30, 80];

/// Median and 99th percentile, ms, one call after the other.
pub(crate) async fn side_by_side() {
    println!("accept → redirect or create request received, first agent, {CALLS} calls each, median / 99th percentile");
    for latency_ms in LATENCIES_MS {
        let by_redirect = delays(Strategy::Redirect, OpName::RedirectCall, latency_ms).await;
        let by_api = delays(Strategy::StreamsApi, OpName::CreateStream, latency_ms).await;
        println!("  latency {latency_ms:>2} ms: redirect {by_redirect}, streams-api {by_api}");
    }
}

async fn delays(strategy: Strategy, op: OpName, latency_ms: u64) -> String {
    let configuration = format!("[streams]\nstrategy = \"{}\"\n", strategy.as_str());
    let stage = Testbed::start(SimConfig { latency_ms, ..SimConfig::default() }, &configuration).await.unwrap();
    let (mut all, mut before_it) = (Vec::with_capacity(CALLS), 0);
    for _ in 0..CALLS {
        let task = stage.sim.customer_calls().await;
        stage.sim.accepts(&task, "alice").await.unwrap();
        stage.at_rest().await.unwrap();
        let deliveries = stage.sim.deliveries();
        let accepted = deliveries.iter().rfind(|delivery| delivery.event_type == "reservation.accepted").unwrap();
        let requests: Vec<_> =
            stage.sim.requests().into_iter().filter(|request| request.task.as_ref() == Some(&task)).collect();
        let place = requests.iter().position(|request| request.op == Some(op)).unwrap();
        before_it = before_it.max(place);
        all.push(requests[place].received_at - accepted.at);
        stage.sim.customer_hangs_up(&task).await.unwrap();
        stage.at_rest().await.unwrap();
    }
    assert!(stage.sim.violations().is_empty());
    stage.stop().await;
    all.sort_unstable();
    format!("{:>3} / {:>3} ms after {before_it} requests", all[CALLS / 2], all[CALLS * 99 / 100 - 1])
}
