//! How many steps a worker settles: many calls whose agents accept at once.

use std::time::Instant;
use taskrouter_streams::call::fact::What;
use taskrouter_streams::call::policy::Strategy;
use twilio_simulator::SimConfig;
use twilio_simulator::testbed::Testbed;

/// Calls at once.
const CALLS: usize = 300;

/// The stores, by name and address; SQLite makes its own file.
pub(crate) async fn rates(postgres: [Option<String>; 2]) {
    println!(
        "steps settled, {CALLS} calls whose agents accept at once, no latency; the simulated Twilio has the same cores"
    );
    for (strategy, url) in [Strategy::Redirect, Strategy::StreamsApi].into_iter().zip(postgres) {
        println!("  {:<11} SQLite      {}", strategy.as_str(), rate(strategy, None).await);
        if let Some(url) = url {
            println!("  {:<11} PostgreSQL  {}", strategy.as_str(), rate(strategy, Some(&url)).await);
        }
    }
}

async fn rate(strategy: Strategy, url: Option<&str>) -> String {
    let configuration = format!("[streams]\nstrategy = \"{}\"\n", strategy.as_str());
    let behaviour = SimConfig { latency_ms: 0, ..SimConfig::default() };
    let stage = match url {
        Some(url) => Testbed::start_on(url, behaviour, &configuration).await.unwrap(),
        None => Testbed::start(behaviour, &configuration).await.unwrap(),
    };
    let mut tasks = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        tasks.push(stage.sim.customer_calls().await);
    }
    stage.at_rest().await.unwrap();
    let began = Instant::now();
    for task in &tasks {
        stage.sim.accepts(task, "alice").await.unwrap();
    }
    let all_run =
        || tasks.iter().all(|task| stage.sim.snapshot(task).is_some_and(|picture| picture.streams.len() == 1));
    while !all_run() {
        stage.at_rest().await.unwrap();
    }
    stage.at_rest().await.unwrap();
    let took = began.elapsed();
    let mut steps = 0_u32;
    for task in &tasks {
        let facts = stage.facts(task).await.unwrap();
        steps += facts.iter().map(|fact| u32::from(matches!(fact.what, What::Settled(_)))).sum::<u32>();
    }
    assert!(stage.sim.violations().is_empty());
    stage.stop().await;
    format!("{:>5.0}/s ({steps} in {:.2} s)", f64::from(steps) / took.as_secs_f64(), took.as_secs_f64())
}
