//! The worker and its lease.

use crate::pace::scaled;
use crate::stories::patient;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use taskrouter_streams::call::Summary;
use taskrouter_streams::call::fact::{Fact, FactKind};
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::config;
use taskrouter_streams::http::{self, IngressSettings};
use taskrouter_streams::journal::{
    CallQuery, CallRow, Claim, Claims, Clock, Due, Facts, Foresight, Ingest, Ingested, NewFact, Promise, Reading, Seq,
    SqliteJournal, SqliteSettings, Timekeeping,
};
use taskrouter_streams::service;
use taskrouter_streams::telemetry::metrics::{Commits, Metrics};
use taskrouter_streams::telemetry::traces::Traces;
use taskrouter_streams::twilio::client::Client;
use taskrouter_streams::twilio::signature::Verifier;
use taskrouter_streams::worker::{Accounts, Worker, WorkerAccount, WorkerSettings};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use twilio_simulator::callbacks::Destination;
use twilio_simulator::world::OpName;
use twilio_simulator::{Route, Settings, Simulator};

const ACCOUNT: &str = "AC7a5c0000000000000000000000000001";
const WORKSPACE: &str = "WS7a5c0000000000000000000000000002";
const TOKEN: &str = "a-token-for-tests";
const PUBLIC_URL: &str = "https://streams.example.com";
const LIMIT: Duration = Duration::from_secs(30);

/// A journal in which the worker stalls past its lease, once: right after it has written down that it is about to do
/// what must not be done twice. Another worker has the call when it wakes.
struct Stalling {
    inner: Arc<SqliteJournal>,
    stalls: AtomicBool,
    may_go_on: AtomicBool,
    other: Mutex<Option<Claim>>,
}

impl Timekeeping for Stalling {
    fn clock(&self) -> &Clock {
        self.inner.clock()
    }
}

impl Facts for Stalling {
    fn facts<'a>(&'a self, call: &'a TaskSid, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>> {
        self.inner.facts(call, after)
    }
}

impl Reading for Stalling {
    fn calls(&self, query: CallQuery) -> Promise<'_, Vec<CallRow>> {
        self.inner.calls(query)
    }
}

impl Ingest for Stalling {
    fn ingest(&self, fact: NewFact) -> Promise<'_, Ingested> {
        self.inner.ingest(fact)
    }
}

impl Claims for Stalling {
    fn append<'a>(&'a self, claim: &'a Claim, fact: Fact) -> Promise<'a, Seq> {
        Box::pin(async move {
            let is_begun = matches!(fact.kind, FactKind::Begun(_));
            let seq = self.inner.append(claim, fact).await?;
            if is_begun && !self.stalls.swap(true, Ordering::Relaxed) {
                let other = loop {
                    if let Some(other) = self.inner.claim(1).await?.pop() {
                        break other;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                };
                *self.other.lock().unwrap() = Some(other);
            }
            Ok(seq)
        })
    }

    fn claim(&self, limit: usize) -> Promise<'_, Vec<Claim>> {
        let stalled = self.stalls.load(Ordering::Relaxed) && !self.may_go_on.load(Ordering::Relaxed);
        if stalled { Box::pin(async { Ok(Vec::new()) }) } else { self.inner.claim(limit) }
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> Promise<'a, ()> {
        self.inner.renew(claim)
    }
    fn release_summed_up<'a>(
        &'a self,
        claim: &'a Claim,
        seen: Seq,
        due: Due,
        summary: Option<Summary>,
    ) -> Promise<'a, ()> {
        self.inner.release_summed_up(claim, seen, due, summary)
    }
    fn next_due(&self) -> Promise<'_, Option<Duration>> {
        self.inner.next_due()
    }
    /// What is begun is appended, where it stalls.
    fn consult(&self, _: Weak<dyn Foresight>) {}
    fn hint(&self) -> Arc<Notify> {
        self.inner.hint()
    }
    fn lease(&self) -> Duration {
        self.inner.lease()
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + scaled(LIMIT);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn settings(twilio: &str) -> config::Settings {
    let environment = [
        ("TRS__SERVER__PUBLIC_URL", PUBLIC_URL),
        ("TRS__TWILIO__ACCOUNT_SID", ACCOUNT),
        ("TRS__TWILIO__AUTH_TOKENS", TOKEN),
        ("TRS__TWILIO__WORKSPACE_SID", WORKSPACE),
        ("TRS__TWILIO__API_BASE_URL", twilio),
        ("TRS__TWILIO__TASKROUTER_BASE_URL", twilio),
        ("TRS__TWILIO__REQUEST_TIMEOUT_MS", "1000"),
        ("TRS__TWILIO__CONNECT_TIMEOUT_MS", "500"),
        ("TRS__STREAMS__DESTINATIONS", "wss://audio.example.com/a"),
    ];
    let environment: BTreeMap<String, String> =
        environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    config::load(None, &environment).unwrap()
}

fn ingress(settings: &config::Settings) -> IngressSettings {
    let account = http::IngressAccount {
        verifier: Verifier::new(PUBLIC_URL, vec![SecretString::from(TOKEN)]).unwrap(),
        account: ACCOUNT.parse().unwrap(),
        workspace: WORKSPACE.parse().unwrap(),
        interest: settings.interest(),
    };
    IngressSettings { assignment: None, ..crate::ingress::settings(vec![account]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stalled_past_its_lease_does_not_send_what_it_was_about_to() {
    let sim = Simulator::start(Settings {
        config: patient(),
        account: ACCOUNT.parse().unwrap(),
        auth_token: SecretString::from(TOKEN),
        api_key: None,
        workspace: WORKSPACE.parse().unwrap(),
    });
    let sim = sim.await.unwrap();
    let directory = TempDir::new().unwrap();
    let opened = SqliteJournal::open(SqliteSettings {
        path: directory.path().join("journal.db"),
        queue_limit: 100,
        batch_limit: 10,
        lease: Duration::from_millis(1_600),
        wal_limit_bytes: 1 << 20,
        commits: Commits::default(),
    });
    let inner = Arc::new(opened.unwrap());
    let stalling = Arc::new(Stalling {
        inner: inner.clone(),
        stalls: AtomicBool::new(false),
        may_go_on: AtomicBool::new(false),
        other: Mutex::new(None),
    });
    let settings = settings(&sim.api_base_url());
    let metrics = Arc::new(Metrics::new("0", "0"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    sim.post_events_to(Destination {
        events_url: format!("{PUBLIC_URL}/taskrouter/events"),
        route: Route { public: PUBLIC_URL.to_owned(), local: format!("http://{}", listener.local_addr().unwrap()) },
    });
    let door = http::public(ingress(&settings), inner, metrics.clone(), listener).unwrap();
    tokio::spawn(door.run());
    let client = Arc::new(Client::new(settings.client(http::STREAM_STATUS_PATH)).unwrap());
    let stop = CancellationToken::new();
    let working = WorkerSettings {
        max_calls: 8,
        kept_calls: 8,
        poll: Duration::from_millis(50),
        shadow: false,
        traces: Traces::default(),
    };
    let account = WorkerAccount { account: ACCOUNT.parse().unwrap(), client, policy: service::policy(&settings) };
    let accounts = Accounts::new(account, []);
    let worker = tokio::spawn(Worker::new(stalling.clone(), accounts, metrics.clone(), working).run(stop.clone()));

    let creates = || {
        sim.world(|world| world.requests().to_vec())
            .iter()
            .filter(|request| request.op == Some(OpName::CreateStream))
            .count()
    };
    let task = sim.act(|world| world.customer_calls()).await;
    sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    until("the loss of the lease", || metrics.work.leases_lost.get() == 1).await;
    assert_eq!(creates(), 0, "the call belongs to another worker");

    // The other worker gives the call back, and all is well.
    let other = stalling.other.lock().unwrap().take().unwrap();
    stalling.may_go_on.store(true, Ordering::Relaxed);
    stalling.release(&other, 0, Due::OnFact).await.unwrap();
    until("the stream", || sim.world(|world| world.snapshot(&task)).unwrap().streams == ["alice"]).await;
    assert_eq!(creates(), 1);
    assert_eq!(sim.world(|world| world.violations().to_vec()), []);
    stop.cancel();
    worker.await.unwrap().unwrap();
    sim.stop().await;
}
