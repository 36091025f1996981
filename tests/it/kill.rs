//! kill -9 of the real process at every request that it makes, on both stores and by both strategies, and what the next
//! process makes of it.

use crate::pace::scaled;
use crate::pauses::{SECRET, post_signed};
use crate::postgres::Database;
use crate::program::{ACCOUNT, PUBLIC_URL, Serving, TOKEN, WORKSPACE};
use crate::several::keep_the_records_away;
use crate::stories::patient;
use secrecy::SecretString;
use serde_json::json;
use std::time::{Duration, Instant};
use taskrouter_streams::call::sid::TaskSid;
use tempfile::TempDir;
use twilio_simulator::callbacks::Destination;
use twilio_simulator::world::{CallAction, Mode, RecordingAct, RecordingStatus, Target};
use twilio_simulator::{Route, Settings, SimConfig, Simulator};

/// Far beyond what any recovery takes; a wait that fails says what it waited for.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a call of a killed process waits for the next one on PostgreSQL: a SQLite file has one process only, which takes
/// up at its start whatever was leased.
const HURRY: &[(&str, &str)] = &[
    ("TRS__JOURNAL__LEASE_MS", "1600"),
    ("TRS__JOURNAL__STATEMENT_TIMEOUT_MS", "1000"),
    ("TRS__TWILIO__REQUEST_TIMEOUT_MS", "1000"),
    ("TRS__TWILIO__CONNECT_TIMEOUT_MS", "500"),
    ("TRS__WORKER__POLL_MS", "50"),
];

/// Nights at a time.
const AT_ONCE: usize = 6;

/// Where the facts are.
enum Store {
    File(TempDir),
    Postgres(Database),
}

impl Store {
    fn url(&self) -> String {
        match self {
            Store::File(directory) => format!("sqlite:{}", directory.path().join("journal.db").display()),
            Store::Postgres(database) => database.url(),
        }
    }
}

struct KillRun {
    sim: Simulator,
    serving: Option<Serving>,
    store: Store,
    strategy: &'static str,
    /// `None` for a run without a killing.
    kill_at: Option<usize>,
}

impl KillRun {
    async fn begins(store: Store, strategy: &'static str, kill_at: Option<usize>) -> Self {
        let sim = Simulator::start(Settings {
            config: SimConfig { seed: kill_at.unwrap_or(0) as u64 + 1, latency_ms: 30, ..patient() },
            account: ACCOUNT.parse().unwrap(),
            auth_token: SecretString::from(TOKEN),
            api_key: None,
            workspace: WORKSPACE.parse().unwrap(),
        })
        .await
        .unwrap();
        keep_the_records_away(&sim);
        let mut run = Self { sim, serving: None, store, strategy, kill_at };
        run.serve();
        run
    }

    fn serve(&mut self) {
        let mut more = HURRY.to_vec();
        let pause = [("TRS__PAUSE__SECRET", SECRET), ("TRS__PAUSE__RECORDING", "true")];
        more.extend([("TRS__STREAMS__STRATEGY", self.strategy)].into_iter().chain(pause));
        let serving = Serving::start_with(&self.store.url(), &self.sim.api_base_url(), &more);
        self.sim.post_events_to(Destination {
            events_url: format!("{PUBLIC_URL}/taskrouter/events#rc=3&rp=5xx,ct,rt"),
            route: Route { public: PUBLIC_URL.to_owned(), local: format!("http://{}", serving.public) },
        });
        self.serving = Some(serving);
    }

    fn kill_when_due(&mut self) {
        if self.kill_at.is_some_and(|request| self.sim.world(|world| world.requests().len()) >= request) {
            self.kill_at = None;
            drop(self.serving.take());
            self.serve();
        }
    }

    /// Asks until it is answered with 200, also when the process is killed meanwhile.
    async fn ask(&mut self, task: &TaskSid, word: &'static str) {
        let deadline = Instant::now() + scaled(LIMIT);
        loop {
            let address = self.serving.as_ref().unwrap().public.clone();
            let asked = tokio::spawn(post_signed(address, task.clone(), word, json!({"id": "card"})));
            while !asked.is_finished() {
                self.kill_when_due();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            if asked.await.unwrap().is_some_and(|status| status == 200) {
                return;
            }
            assert!(Instant::now() < deadline, "{}: {word} is not answered with 200", self.strategy);
        }
    }

    /// Waits until the call is as told; on the way, kills the process as soon as the simulator has seen enough requests.
    async fn until(&mut self, task: &TaskSid, streams: &[&str], held: bool, guard_raised: bool) {
        let deadline = Instant::now() + scaled(LIMIT);
        let kill_at = self.kill_at;
        loop {
            self.kill_when_due();
            let picture = self.sim.world(|world| world.snapshot(task)).unwrap();
            if picture.streams == streams && picture.held == Some(held) && picture.guard_raised == Some(guard_raised) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{}, to be killed at {kill_at:?}: expected {streams:?}, held {held}, guard raised {guard_raised}; it is {picture:?}; requests {:#?}",
                self.strategy,
                self.sim.world(|world| world.requests().to_vec())
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// What is recorded at the moment.
fn recordings(run: &KillRun, task: &TaskSid, status: RecordingStatus) -> usize {
    let report = run.sim.world(|world| world.report(task)).unwrap();
    report.recordings.iter().filter(|recording| recording.status == status).count()
}

/// Tells the story; returns how many requests it took, and whether the process was killed.
async fn a_warm_transfer(store: Store, strategy: &'static str, kill_at: Option<usize>) -> (usize, bool) {
    let mut run = KillRun::begins(store, strategy, kill_at).await;
    // Only a redirect needs the guard lowered, ahead of the transfer already, and only a redirect ends the hold.
    let by_redirect = strategy == "redirect";
    let task = run.sim.act(|world| world.customer_calls()).await;
    run.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    run.until(&task, &["alice"], false, true).await;
    run.sim.act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
    run.until(&task, &["alice"], true, !by_redirect).await;
    run.sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
    run.until(&task, &["alice", "bob"], true, true).await;
    run.sim.act(|world| world.leaves(&task, "alice")).await.unwrap();
    run.until(&task, &["bob"], !by_redirect, true).await;
    assert_eq!(run.sim.world(|world| world.violations().to_vec()), [], "{strategy}, to be killed at {kill_at:?}");
    let told = (run.sim.world(|world| world.requests().len()), kill_at.is_some() && run.kill_at.is_none());
    run.sim.stop().await;
    told
}

/// A card number in the middle: when the pause is answered with 200 nothing runs and nothing is recorded, and nothing is until it is
/// resumed. A recording that somebody had paused stays so.
async fn a_card_number(store: Store, strategy: &'static str, kill_at: Option<usize>) -> (usize, bool) {
    let mut run = KillRun::begins(store, strategy, kill_at).await;
    let task = run.sim.act(|world| world.customer_calls()).await;
    run.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    run.until(&task, &["alice"], false, true).await;
    for action in [
        CallAction::CallRecording(RecordingAct::Starts),
        CallAction::CallRecording(RecordingAct::Pauses),
        CallAction::ConferenceRecording(RecordingAct::Starts),
    ] {
        run.sim.act(|world| world.happens(&task, action)).await.unwrap();
    }
    run.ask(&task, "pause").await;
    assert_eq!(recordings(&run, &task, RecordingStatus::Paused), 2, "{strategy}, to be killed at {kill_at:?}");
    let running = |run: &KillRun| run.sim.world(|world| world.snapshot(&task)).unwrap().streams;
    assert_eq!(running(&run), Vec::<String>::new(), "{strategy}, to be killed at {kill_at:?}");
    let to = Target::Agent("bob".to_owned());
    run.sim.act(|world| world.transfers(&task, "alice", &to, Mode::Warm)).await.unwrap();
    run.sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
    run.ask(&task, "pause").await;
    assert_eq!(running(&run), Vec::<String>::new(), "{strategy}, to be killed at {kill_at:?}");
    run.ask(&task, "resume").await;
    run.until(&task, &["alice", "bob"], true, true).await;
    let deadline = Instant::now() + scaled(LIMIT);
    while recordings(&run, &task, RecordingStatus::InProgress) == 0 {
        run.kill_when_due();
        assert!(Instant::now() < deadline, "{strategy}, to be killed at {kill_at:?}: the recording is not resumed");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(recordings(&run, &task, RecordingStatus::Paused), 1, "{strategy}, to be killed at {kill_at:?}");
    assert_eq!(run.sim.world(|world| world.violations().to_vec()), [], "{strategy}, to be killed at {kill_at:?}");
    let told = (run.sim.world(|world| world.requests().len()), kill_at.is_some() && run.kill_at.is_none());
    run.sim.stop().await;
    told
}

/// A rehearsal tells how many requests there are; then a run for each.
async fn killed_at_every_request<T>(
    store: impl AsyncFn() -> Option<Store>,
    strategy: &'static str,
    story: impl Fn(Store, &'static str, Option<usize>) -> T,
) where
    T: Future<Output = (usize, bool)> + Send + 'static,
{
    let Some(rehearsal) = store().await else { return };
    let (requests, _) = story(rehearsal, strategy, None).await;
    let (mut nights, mut told) = (tokio::task::JoinSet::new(), Vec::new());
    for request in 1..=requests {
        if nights.len() == AT_ONCE {
            told.push(nights.join_next().await.unwrap().unwrap());
        }
        nights.spawn(story(store().await.unwrap(), strategy, Some(request)));
    }
    told.extend(nights.join_all().await);
    // A run can need a reading less than the rehearsal did, and then its last request never comes.
    let killed = told.iter().filter(|(_, killed)| *killed).count();
    assert!(killed * 2 > requests && killed > 2, "{killed} of {requests} nights had a killing");
}

async fn file() -> Option<Store> {
    Some(Store::File(TempDir::new().unwrap()))
}

async fn postgres() -> Option<Store> {
    Database::new().await.map(Store::Postgres)
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_process_killed_at_any_request_is_followed_by_one_that_comes_to_the_same_rest() {
    killed_at_every_request(file, "redirect", a_warm_transfer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_process_killed_at_any_request_is_followed_by_one_that_comes_to_the_same_rest_with_the_streams_api() {
    killed_at_every_request(file, "streams-api", a_warm_transfer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_process_killed_at_any_request_is_followed_by_one_that_comes_to_the_same_rest_on_postgres() {
    killed_at_every_request(postgres, "redirect", a_warm_transfer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_process_killed_at_any_request_is_followed_by_one_that_comes_to_the_same_rest_on_postgres_with_the_streams_api()
 {
    killed_at_every_request(postgres, "streams-api", a_warm_transfer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_process_killed_at_any_request_around_a_card_number_lets_no_audio_leave() {
    killed_at_every_request(file, "redirect", a_card_number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_process_killed_at_any_request_around_a_card_number_lets_no_audio_leave_with_the_streams_api() {
    killed_at_every_request(file, "streams-api", a_card_number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_process_killed_at_any_request_around_a_card_number_lets_no_audio_leave_on_postgres() {
    killed_at_every_request(postgres, "streams-api", a_card_number).await;
}
