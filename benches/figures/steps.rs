//! How many steps a worker settles: many calls whose agents accept at once.

use std::sync::Arc;
use std::time::Instant;
use taskrouter_streams::call::fact::FactKind;
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
    let stage = Arc::new(stage);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let stage = stage.clone();
        calls.spawn(async move { stage.sim.act(|world| world.customer_calls()).await });
    }
    let tasks = calls.join_all().await;
    stage.at_rest().await.unwrap();
    let began = Instant::now();
    let mut accepts = tokio::task::JoinSet::new();
    for task in tasks.clone() {
        let stage = stage.clone();
        accepts.spawn(async move { stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap() });
    }
    accepts.join_all().await;
    let told = began.elapsed();
    let all_run = || {
        tasks
            .iter()
            .all(|task| stage.sim.world(|world| world.snapshot(task)).is_some_and(|picture| picture.streams.len() == 1))
    };
    while !all_run() {
        stage.at_rest().await.unwrap();
    }
    stage.at_rest().await.unwrap();
    let took = began.elapsed().as_secs_f64();
    let mut steps = 0_u32;
    for task in &tasks {
        let facts = stage.facts(task).await.unwrap();
        steps += facts.iter().map(|fact| u32::from(matches!(fact.kind, FactKind::Settled(_)))).sum::<u32>();
    }
    assert!(stage.sim.world(|world| world.violations().is_empty()));
    Arc::into_inner(stage).unwrap().stop().await;
    format!(
        "{:>5.0} steps/s, {:>5.0} calls/s ({steps} steps in {took:.2} s, of which the accepts took {:.2} s to be told)",
        f64::from(steps) / took,
        CALLS as f64 / took,
        told.as_secs_f64()
    )
}
