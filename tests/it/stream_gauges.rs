//! The streams of all live calls are counted without reading what has not changed.

use crate::journal::sqlite;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use taskrouter_streams::call::Call;
use taskrouter_streams::call::fact::Fact;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::journal::{
    CallQuery, CallRow, Claims as _, Clock, Due, Facts, Ingest as _, Ingested, Journal as _, NewFact, Promise, Reading,
    Seq, SqliteJournal, Timekeeping,
};
use taskrouter_streams::telemetry::metrics::Metrics;
use taskrouter_streams::worker::StreamGauges;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Counts how often the facts of a call are read, and is otherwise the journal that it holds.
struct Watched {
    journal: SqliteJournal,
    readings: AtomicUsize,
    listings: AtomicUsize,
}

impl Timekeeping for Watched {
    fn clock(&self) -> &Clock {
        self.journal.clock()
    }
}

impl Facts for Watched {
    fn facts<'a>(&'a self, call: &'a TaskSid, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>> {
        self.readings.fetch_add(1, Ordering::SeqCst);
        self.journal.facts(call, after)
    }
}

impl Reading for Watched {
    fn calls(&self, query: CallQuery) -> Promise<'_, Vec<CallRow>> {
        self.listings.fetch_add(1, Ordering::SeqCst);
        self.journal.calls(query)
    }
}

fn watched(directory: &TempDir) -> Arc<Watched> {
    let journal = SqliteJournal::open(sqlite::settings(&directory.path().join("journal.db")));
    Arc::new(Watched { journal: journal.unwrap(), readings: AtomicUsize::new(0), listings: AtomicUsize::new(0) })
}

/// A recorded warm transfer, and how many of its facts end with one stream on a live call.
fn transfer() -> (Vec<Fact>, usize) {
    let lines = include_str!("../../fixtures/journal/v1.redirect.jsonl").lines();
    let facts: Vec<Fact> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let live = |count: &usize| {
        let call = Call::fold(&facts[..*count]);
        !call.is_over() && call.streams().iter().filter(|stream| stream.may_run()).count() == 1
    };
    let with_one = (1..facts.len()).find(live).unwrap();
    (facts, with_one)
}

async fn tell(journal: &Watched, call: u32, facts: &[Fact], first: usize) {
    for (number, fact) in facts.iter().enumerate() {
        let call: TaskSid = format!("WT{call:032x}").parse().unwrap();
        let identity = format!("{call}/{}", first + number);
        assert_eq!(
            journal.journal.ingest(NewFact { call, identity, fact: fact.clone().into() }).await.unwrap(),
            Ingested::New
        );
    }
}

/// Waits until a whole count was made after this, and for the number of streams that it is to find.
async fn counted(journal: &Watched, metrics: &Metrics, live: i64) {
    let (listings, deadline) = (journal.listings.load(Ordering::SeqCst), Instant::now() + Duration::from_secs(20));
    while metrics.streams.live.get() != live || journal.listings.load(Ordering::SeqCst) < listings + 3 {
        assert!(Instant::now() < deadline, "{} streams instead of {live}", metrics.streams.live.get());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_reads_only_the_calls_that_have_changed_and_counts_all() {
    let directory = TempDir::new().unwrap();
    let journal = watched(&directory);
    let (facts, with_one) = transfer();
    for call in 0..20 {
        tell(&journal, call, &facts[..with_one], 0).await;
    }
    let (metrics, stop) = (Arc::new(Metrics::new("0", "0")), CancellationToken::new());
    let every = Duration::from_millis(10);
    let gauges = tokio::spawn(StreamGauges::new(journal.clone(), metrics.clone(), every).run(stop.clone()));
    counted(&journal, &metrics, 20).await;
    let readings = || journal.readings.load(Ordering::SeqCst);
    assert_eq!(readings(), 20, "each once, however many counts there were");

    tell(&journal, 7, &facts[with_one..], with_one).await;
    counted(&journal, &metrics, 19).await;
    let changed = readings();
    assert!((21..=20 + facts.len()).contains(&changed), "{changed} readings");

    tell(&journal, 20, &facts[..with_one], 0).await;
    counted(&journal, &metrics, 20).await;
    assert!(readings() <= changed + with_one, "{} readings", readings());

    // Given back as over: no fact says so, and its streams count no more.
    for claim in journal.journal.claim(21).await.unwrap() {
        let seen = journal.journal.facts(&claim.call, 0).await.unwrap().len();
        journal.journal.release(&claim, Seq::try_from(seen).unwrap(), Due::Over).await.unwrap();
    }
    counted(&journal, &metrics, 0).await;
    stop.cancel();
    gauges.await.unwrap();
    journal.journal.close().await.unwrap();
}
