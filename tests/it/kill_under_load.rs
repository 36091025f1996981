//! kill -9 of the one process that a SQLite file has, at points that a seed chooses, again and again while calls go on.

use crate::lab::rng::Rng;
use crate::pace::scaled;
use crate::program::Serving;
use crate::several::{Balancer, Load, every_call_is_told_whole, not_taken, nothing_acknowledged_is_lost, twilio};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taskrouter_streams::call::fact::FactKind;
use taskrouter_streams::journal::{
    Backlog, CallQuery, Facts as _, Journal as _, PAGE_LIMIT, Reading as _, SqliteJournal, SqliteSettings,
    Workload as _,
};
use taskrouter_streams::telemetry::metrics::Commits;
use tempfile::TempDir;
use twilio_simulator::Simulator;
use twilio_simulator::callbacks::Delivery;

/// Far beyond what any recovery takes; a wait that fails says what it waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// Killings of one night.
const ROUNDS: u32 = 20;

const HURRY: &[(&str, &str)] = &[
    ("TRS__TWILIO__REQUEST_TIMEOUT_MS", "1200"),
    ("TRS__TWILIO__CONNECT_TIMEOUT_MS", "600"),
    ("TRS__WORKER__POLL_MS", "50"),
    ("TRS__SERVER__THREADS", "1"),
];

/// One process, the file that it leaves to the next, and callers.
struct Ward {
    sim: Arc<Simulator>,
    /// Keeps the address while processes come and go.
    balancer: Balancer,
    directory: TempDir,
    strategy: &'static str,
    serving: Option<Serving>,
}

impl Ward {
    async fn opens(seed: u64, strategy: &'static str) -> Self {
        let (sim, balancer) = twilio(seed, 10).await;
        let directory = TempDir::new().unwrap();
        let mut ward = Self { sim, balancer, directory, strategy, serving: None };
        ward.starts();
        ward
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.directory.path().join("journal.db").display())
    }

    fn starts(&mut self) {
        let mut more = HURRY.to_vec();
        more.push(("TRS__STREAMS__STRATEGY", self.strategy));
        let serving = Serving::start_with(&self.url(), &self.sim.api_base_url(), &more);
        self.balancer.add(&serving.public);
        self.serving = Some(serving);
    }

    /// Waits until the process has asked for so much more.
    async fn works(&self, requests: usize) {
        let before = self.sim.world(|world| world.requests().len());
        let deadline = Instant::now() + scaled(LIMIT);
        while self.sim.world(|world| world.requests().len()) < before + requests {
            assert!(
                Instant::now() < deadline,
                "a standstill; violations {:?}",
                self.sim.world(|world| world.violations().to_vec())
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until no event is on one of its last ways to the door: Twilio gives up after six, or 15 s, and what nobody has taken
    /// nobody can lose.
    async fn spares_what_was_tried_often(&self) {
        let deadline = Instant::now() + scaled(LIMIT);
        loop {
            let not_taken = not_taken(&self.sim, |delivery| delivery.event_type.starts_with("reservation."));
            let now = self.sim.world(|world| world.now());
            let is_late = |delivery: &&Delivery| delivery.attempt >= 4 || now - delivery.at > 5_000;
            let Some(late) = not_taken.iter().find(is_late) else { return };
            assert!(Instant::now() < deadline, "Twilio has given up {late:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills the process, and starts the next on what it has left.
    fn dies_and_is_followed(&mut self) {
        let killed = self.serving.take().unwrap();
        let address = killed.public.clone();
        drop(killed);
        self.balancer.remove(&address);
        self.starts();
    }

    /// Waits until the worker has nothing left to do for anybody, stops it, and gives the file to whoever looks into it.
    async fn closes(&mut self) -> SqliteJournal {
        let path = self.directory.path().join("journal.db");
        let deadline = Instant::now() + scaled(LIMIT);
        loop {
            no_row_is_live(&path, deadline).await;
            let serving = self.serving.take().unwrap();
            serving.signal("TERM");
            let ended = tokio::task::spawn_blocking(|| serving.ended());
            assert_eq!(ended.await.unwrap(), Some(0));
            let (commits, lease, path) = (Commits::default(), Duration::from_secs(15), path.clone());
            let wal_limit_bytes = 1 << 26;
            let settings = SqliteSettings { path, queue_limit: 1, batch_limit: 1, lease, wal_limit_bytes, commits };
            let journal = SqliteJournal::open(settings).unwrap();
            let left = journal.backlog().await.unwrap();
            if left == Backlog::default() {
                return journal;
            }
            // Something was told after the rows were written.
            assert!(Instant::now() < deadline, "not at rest: {left:?}");
            journal.close().await.unwrap();
            self.starts();
        }
    }
}

/// Waits until the rows of a running journal, which can be behind, say that every call is over.
async fn no_row_is_live(path: &Path, deadline: Instant) {
    let file = rusqlite::Connection::open(path).unwrap();
    let live = || -> Vec<String> {
        let mut live = file.prepare("SELECT task FROM call WHERE over_ms IS NULL").unwrap();
        live.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    while !live().is_empty() {
        assert!(Instant::now() < deadline, "not at rest: {:?}", live());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The events of reservations in the journal.
async fn kept(journal: &SqliteJournal) -> Vec<String> {
    let mut kept = Vec::new();
    for row in journal.calls(CallQuery { limit: PAGE_LIMIT, ..CallQuery::default() }).await.unwrap() {
        for (_, fact) in journal.facts(&row.call, 0).await.unwrap() {
            if let FactKind::Reservation(event) = fact.kind {
                kept.push(event.stamp.sid.unwrap().to_string());
            }
        }
    }
    kept
}

async fn killed_again_and_again(seed: u64, strategy: &'static str) {
    let mut dice = Rng::new(seed);
    let mut ward = Ward::opens(seed, strategy).await;
    let load = Load::of(&ward.sim);
    for _ in 0..ROUNDS {
        ward.works(dice.below(24) as usize).await;
        // Between two requests: in a commit, at the door, while it folds.
        tokio::time::sleep(Duration::from_micros(u64::from(dice.below(20_000)))).await;
        ward.spares_what_was_tried_often().await;
        ward.dies_and_is_followed();
    }
    let calls = load.ends().await;
    assert_eq!(ward.sim.world(|world| world.violations().to_vec()), [], "{strategy}, seed {seed}");
    assert!(ward.sim.faults(|faults| faults.left()) > 0, "no record was read");
    let journal = ward.closes().await;
    nothing_acknowledged_is_lost(&ward.sim, &kept(&journal).await);
    every_call_is_told_whole(&journal, &calls).await;
    for call in &calls {
        let streams = ward.sim.world(|world| world.report(call)).unwrap().streams;
        assert!(streams.len() >= 2 && streams.iter().all(|stream| stream.stopped_at.is_some()), "{call}: {streams:?}");
    }
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_a_process_killed_again_and_again_under_load_loses_nothing() {
    killed_again_and_again(1, "redirect").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_a_process_killed_again_and_again_under_load_loses_nothing_with_the_streams_api() {
    killed_again_and_again(2, "streams-api").await;
}
