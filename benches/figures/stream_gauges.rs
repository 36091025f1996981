//! What it costs to know how many streams run.

use crate::journals;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taskrouter_streams::call::fact::Fact;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::journal::{Journal, NewFact};
use taskrouter_streams::telemetry::metrics::Metrics;
use taskrouter_streams::worker::StreamGauges;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const CALLS: u32 = 20_000;
const FACTS: usize = 5;
/// Later counts, of which the mean is told.
const LATER: u64 = 20;

/// Time of the first count, which folds every live call, and of one later on at its dearest: all the calls have changed lately,
/// so all are listed, and none is folded. Calls that are quiet for longer are not even listed.
pub(crate) async fn times(postgres: Option<&str>) {
    let directory = TempDir::new().unwrap();
    of("SQLite", journals::sqlite(&directory.path().join("journal.db"))).await;
    if let Some(url) = postgres {
        of("PostgreSQL", journals::postgres(url).await).await;
    }
}

async fn of(name: &str, journal: Arc<dyn Journal>) {
    fill(&journal).await;
    let (metrics, stop) = (Arc::new(Metrics::new("0", "0")), CancellationToken::new());
    let rounds = || metrics.work.rounds.get_or_create(&[("task", "stream_gauges"), ("outcome", "done")]).get();
    let until = async |count: u64| {
        let began = Instant::now();
        while rounds() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        began.elapsed()
    };
    let every = Duration::from_millis(1);
    let gauges = tokio::spawn(StreamGauges::new(journal.clone(), metrics.clone(), every).run(stop.clone()));
    let first = until(1).await;
    let later = until(1 + LATER).await;
    println!("counting the streams of {CALLS} live calls of {FACTS} facts, {name}");
    println!(
        "  the first {:.2} s, later ones {:.4} s while all have changed lately",
        first.as_secs_f64(),
        later.as_secs_f64() / LATER as f64
    );
    stop.cancel();
    gauges.await.unwrap();
    journal.close().await.unwrap();
}

async fn fill(journal: &Arc<dyn Journal>) {
    let lines = include_str!("../../fixtures/journal/v1.redirect.jsonl").lines().take(FACTS);
    let facts: Arc<[Fact]> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..512 {
        let (journal, facts) = (journal.clone(), facts.clone());
        tasks.spawn(async move {
            for number in (part..CALLS).step_by(512) {
                let call: TaskSid = format!("WT{number:032x}").parse().unwrap();
                for (place, fact) in facts.iter().enumerate() {
                    let identity = format!("{number}/{place}");
                    journal.ingest(NewFact { call: call.clone(), identity, fact: fact.clone().into() }).await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
}
