//! Processes whose wall clocks are wrong or are set while calls go on: what is decided must not depend on them.
//!
//! Debian's `faketime` skews them. Where it is not installed these tests say so and do nothing; in CI they fail instead.

use crate::pace::scaled;
use crate::postgres::{self, Database};
use crate::program::{ACCOUNT, PUBLIC_URL, Serving, TOKEN, WORKSPACE, opened, program};
use crate::several::{
    Balancer, HURRY, LEASE, LIMIT, a_warm_transfer, every_call_is_told_whole, nothing_acknowledged_is_lost, twilio,
};
use crate::stories::patient;
use secrecy::SecretString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use taskrouter_streams::call::fact::{Fact, FactKind};
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::journal::{Clock, Journal, MachineTime};
use tempfile::TempDir;
use tokio::task::JoinSet;
use twilio_simulator::callbacks::Destination;
use twilio_simulator::faults::{Fault, On};
use twilio_simulator::world::{Mode, OpName, Target};
use twilio_simulator::{Route, Settings, Simulator};

/// Calls at a time, and each caller's calls.
const CALLERS: usize = 5;
const CALLS_EACH: usize = 12;

/// Twilio tries an event for 15 s in all, the last time at most that long after it happened.
const PATIENCE: Duration = Duration::from_secs(10);

/// Rounds of a test of which a busy machine may make some void.
const ROUNDS: u32 = 5;

/// `libfaketimeMT`, where distributions install it.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = folders.chain(["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "faketime is missing: run `make setup-test`");
    if found.is_none() {
        // Past the harness, which keeps what a test prints to itself.
        let _ = writeln!(
            std::io::stderr(),
            "\nSKIPPED: faketime is not installed, so no wrong clock is tested. Run `make setup-test`.\n"
        );
    }
    found
}

/// The wall clock of a process, which can be set while it runs.
struct WallClock {
    library: PathBuf,
    directory: TempDir,
}

impl WallClock {
    fn new(library: &Path) -> Self {
        Self { library: library.to_owned(), directory: TempDir::new().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("offset")
    }

    /// Sets it so many seconds ahead of the machine's.
    fn set(&self, seconds: i64) {
        // Whole at once: the process may read it at any time.
        let new = self.directory.path().join("new");
        std::fs::write(&new, format!("{seconds:+}s\n")).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn serve(&self, journal_url: &str, sim: &Simulator, strategy: &str) -> Serving {
        let mut command = program();
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_CACHE_DURATION", "1")
            // As in life: only the wall clock can be set.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        let mut more = HURRY.to_vec();
        more.push(("TRS__STREAMS__STRATEGY", strategy));
        Serving::start_as(command, journal_url, &sim.api_base_url(), &more)
    }
}

/// Callers, one call after the other, each of which is looked at in every state.
struct Callers {
    callers: JoinSet<Vec<TaskSid>>,
    ended: Arc<AtomicUsize>,
}

impl Callers {
    fn of(sim: &Arc<Simulator>) -> Self {
        let (mut callers, ended) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..CALLERS {
            let (sim, ended) = (sim.clone(), ended.clone());
            callers.spawn(async move {
                let mut calls = Vec::new();
                for _ in 0..CALLS_EACH {
                    calls.push(a_warm_transfer(&sim).await);
                    ended.fetch_add(1, Ordering::Relaxed);
                }
                calls
            });
        }
        Self { callers, ended }
    }

    /// Waits until so many calls have ended, while others are under way.
    async fn have_ended(&self, calls: usize) {
        let deadline = Instant::now() + scaled(LIMIT);
        while self.ended.load(Ordering::Relaxed) < calls {
            assert!(
                Instant::now() < deadline,
                "calls come to no end: {} of {calls}",
                self.ended.load(Ordering::Relaxed)
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn all(mut self) -> Vec<TaskSid> {
        let mut calls = Vec::new();
        while let Some(told) = self.callers.join_next().await {
            calls.extend(told.unwrap());
        }
        calls
    }
}

/// Waits until the worker has nothing left to do.
async fn until_at_rest(live: impl AsyncFn() -> i64) {
    let deadline = Instant::now() + scaled(LIMIT);
    loop {
        match live().await {
            0 => return,
            live => assert!(Instant::now() < deadline, "{live} calls are not over"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// As [`went_well`], once every call in the database is over.
async fn went_well_in(database: &Database, sim: &Simulator, calls: &[TaskSid]) -> Vec<Vec<Fact>> {
    until_at_rest(async || database.number("SELECT count(*) FROM taskrouter_streams.call WHERE over_ms IS NULL").await)
        .await;
    let journal = postgres::open(postgres::settings(database.url(), LEASE)).await;
    went_well(&*journal, sim, calls).await
}

/// Nothing was done wrong. Returns every call's facts.
async fn went_well(journal: &dyn Journal, sim: &Simulator, calls: &[TaskSid]) -> Vec<Vec<Fact>> {
    assert_eq!(sim.world(|world| world.violations().to_vec()), []);
    every_call_is_told_whole(journal, calls).await;
    let mut told = Vec::new();
    for call in calls {
        let facts = journal.facts(call, 0).await.unwrap();
        told.push(facts.into_iter().map(|(_, fact)| fact).collect());
    }
    told
}

fn nothing_was_given_up(facts: &[Fact]) {
    let parked: Vec<_> = facts.iter().filter(|fact| matches!(fact.kind, FactKind::Parked(_))).collect();
    assert!(parked.is_empty(), "given up: {parked:?}");
}

/// The next starts fail, so that tries and waits are under way when something happens to a clock.
fn the_next_starts_fail(sim: &Simulator) {
    sim.faults(|faults| faults.script(On::Next(OpName::CreateStream), 4, Fault::status(503)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_ten_minutes_apart_on_one_database_hand_calls_to_each_other() {
    let Some(library) = library() else { return };
    let Some(database) = Database::new().await else { return };
    let machine = Clock::of_machine(MachineTime::default(), None);
    let began = machine.now();
    let (sim, balancer) = twilio(11, 20).await;
    let clocks = [-300, 300].map(|seconds| {
        let clock = WallClock::new(&library);
        clock.set(seconds);
        clock
    });
    let start = |balancer: &Balancer, clock: &WallClock| {
        let serving = clock.serve(&database.url(), &sim, "streams-api");
        balancer.add(&serving.public);
        serving
    };
    let mut workers = clocks.each_ref().map(|clock| start(&balancer, clock));
    let callers = Callers::of(&sim);
    for (round, place) in [0, 1, 0, 1].into_iter().enumerate() {
        callers.have_ended(10 * (round + 1)).await;
        the_next_starts_fail(&sim);
        // Killed: its calls are taken over by the other one.
        balancer.remove(&workers[place].public);
        workers[place] = start(&balancer, &clocks[place]);
    }
    let calls = callers.all().await;

    for facts in went_well_in(&database, &sim, &calls).await {
        nothing_was_given_up(&facts);
        let is_of_the_server = |fact: &Fact| (began - 1_000..=machine.now() + 1_000).contains(&fact.at);
        assert!(facts.iter().all(is_of_the_server), "stamped by a worker's own clock: {facts:#?}");
        assert!(facts.iter().map(|fact| fact.at / 1_000).is_sorted_by(|one, next| *one <= next + 1), "{facts:#?}");
    }
    let mut connection = database.connect().await;
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT identity FROM taskrouter_streams.fact WHERE identity IS NOT NULL")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    nothing_acknowledged_is_lost(&sim, &kept);
}

/// As when a standby takes over whose clock is not the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_clock_is_set_by_minutes_under_running_workers_delays_nothing() {
    let Some(database) = Database::new().await else { return };
    database.fake_clock().await;
    let (sim, balancer) = twilio(13, 20).await;
    let settings = [HURRY, &[("TRS__STREAMS__STRATEGY", "streams-api")]].concat();
    let workers = [(); 2].map(|()| Serving::start_with(&database.url(), &sim.api_base_url(), &settings));
    workers.iter().for_each(|worker| balancer.add(&worker.public));
    let callers = Callers::of(&sim);
    for (round, seconds) in (1..).zip([-60, 300, -300, 600]) {
        callers.have_ended(10 * round).await;
        the_next_starts_fail(&sim);
        database.set_clock(seconds).await;
    }
    let calls = callers.all().await;
    for facts in went_well_in(&database, &sim, &calls).await {
        nothing_was_given_up(&facts);
    }
}

/// A machine so busy that a restart outlasts Twilio's patience says nothing of clocks: then all begins anew.
async fn one_worker_whose_clock_is_set(strategy: &'static str, stops: bool) {
    let Some(library) = library() else { return };
    for _ in 0..ROUNDS {
        if a_round_with_a_clock_that_is_set(&library, strategy, stops).await.is_ok() {
            return;
        }
    }
    panic!("no restart of {ROUNDS} rounds took less than {PATIENCE:?}: the machine is too slow for this test");
}

/// Twilio gave up events because nobody took them for so long.
struct Outlasted;

async fn a_round_with_a_clock_that_is_set(
    library: &Path,
    strategy: &'static str,
    stops: bool,
) -> Result<(), Outlasted> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("journal.db");
    let url = format!("sqlite:{}", path.display());
    let (sim, balancer) = twilio(12, 20).await;
    let clock = WallClock::new(library);
    clock.set(0);
    let mut worker = clock.serve(&url, &sim, strategy);
    balancer.add(&worker.public);
    let callers = Callers::of(&sim);
    for (round, hours) in (1..).zip([-1, 0, 1, 0]) {
        callers.have_ended(10 * round).await;
        the_next_starts_fail(&sim);
        if stops {
            let away_since = Instant::now();
            balancer.remove(&worker.public);
            worker.signal("TERM");
            let ended = tokio::task::spawn_blocking(|| worker.ended());
            assert_eq!(ended.await.unwrap(), Some(0));
            clock.set(3_600 * hours);
            worker = clock.serve(&url, &sim, strategy);
            balancer.add(&worker.public);
            if away_since.elapsed() > PATIENCE {
                return Err(Outlasted);
            }
        } else {
            clock.set(3_600 * hours);
        }
    }
    let calls = callers.all().await;
    let reading = rusqlite::Connection::open(&path).unwrap();
    until_at_rest(async || {
        reading.query_row("SELECT count(*) FROM call WHERE over_ms IS NULL", [], |row| row.get(0)).unwrap()
    })
    .await;
    worker.signal("TERM");
    let ended = tokio::task::spawn_blocking(|| worker.ended());
    assert_eq!(ended.await.unwrap(), Some(0));

    let journal = opened(&path);
    let told = went_well(&journal, &sim, &calls).await;
    if !stops {
        told.iter().for_each(|facts| nothing_was_given_up(facts));
        let stamps = told.iter().flatten().map(|fact| fact.at);
        let span = stamps.clone().max().unwrap() - stamps.min().unwrap();
        assert!(span < 1_800_000, "a clock that was set reached the facts, which span {span} ms");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_by_an_hour_and_back_under_a_running_worker_changes_nothing() {
    one_worker_whose_clock_is_set("streams-api", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_by_an_hour_and_back_between_a_stop_and_a_start_delays_nothing() {
    one_worker_whose_clock_is_set("streams-api", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_under_a_running_worker_changes_nothing_by_redirect() {
    one_worker_whose_clock_is_set("redirect", false).await;
}

/// Events that were told while no worker ran, on a machine whose clock differs from Twilio's by more than the spans overlap.
async fn a_wrong_clock_that_fetches_what_was_missed(seconds: i64) {
    let Some(library) = library() else { return };
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite:{}", directory.path().join("journal.db").display());
    let sim = Simulator::start(Settings {
        config: patient(),
        account: ACCOUNT.parse().unwrap(),
        auth_token: SecretString::from(TOKEN),
        api_key: None,
        workspace: WORKSPACE.parse().unwrap(),
    });
    let sim = sim.await.unwrap();
    let post_to = |local: String| {
        let route = Route { public: PUBLIC_URL.to_owned(), local };
        sim.post_events_to(Destination { events_url: format!("{PUBLIC_URL}/taskrouter/events#rc=0"), route });
    };
    let until_streamed = async |task: &TaskSid, agents: &[&str]| {
        let deadline = Instant::now() + scaled(LIMIT);
        while sim.world(|world| world.snapshot(task)).unwrap().streams != agents {
            assert!(Instant::now() < deadline, "{agents:?} have no streams, on a clock {seconds} s off");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let clock = WallClock::new(&library);
    clock.set(seconds);
    let worker = clock.serve(&url, &sim, "streams-api");
    post_to(format!("http://{}", worker.public));
    let task = sim.act(|world| world.customer_calls()).await;
    sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    until_streamed(&task, &["alice"]).await;

    post_to("http://127.0.0.1:9".to_owned());
    worker.signal("TERM");
    let ended = tokio::task::spawn_blocking(|| worker.ended());
    assert_eq!(ended.await.unwrap(), Some(0));
    sim.act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
    sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
    let worker = clock.serve(&url, &sim, "streams-api");
    until_streamed(&task, &["alice", "bob"]).await;
    worker.signal("TERM");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_ten_minutes_fast_fetches_what_it_missed() {
    a_wrong_clock_that_fetches_what_was_missed(600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_ten_minutes_slow_fetches_what_it_missed() {
    a_wrong_clock_that_fetches_what_was_missed(-600).await;
}
