//! Several processes on one PostgreSQL, behind one address: killed, restarted and stalled while calls go on.

use crate::pace::scaled;
use crate::postgres::{self, Database};
use crate::program::{ACCOUNT, PUBLIC_URL, Serving, TOKEN, WORKSPACE};
use crate::stories::patient;
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use taskrouter_streams::call::fact::FactKind;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::call::step::Settled;
use taskrouter_streams::journal::{Backlog, CallQuery, Journal};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use twilio_simulator::callbacks::{Delivered, Delivery, Destination};
use twilio_simulator::faults::{Fault, On};
use twilio_simulator::world::{Mode, OpName, Target};
use twilio_simulator::{Route, Settings, SimConfig, Simulator};

/// Far beyond what any recovery takes; a wait that fails says what it waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A worker that stalls for longer has lost its calls.
pub(crate) const LEASE: Duration = Duration::from_millis(2_500);

pub(crate) const HURRY: &[(&str, &str)] = &[
    ("TRS__JOURNAL__LEASE_MS", "2500"),
    ("TRS__JOURNAL__STATEMENT_TIMEOUT_MS", "1000"),
    ("TRS__TWILIO__REQUEST_TIMEOUT_MS", "1200"),
    ("TRS__TWILIO__CONNECT_TIMEOUT_MS", "600"),
];

/// Calls at a time.
const CALLERS: usize = 5;

/// A server behind the balancer, and what cuts its connections.
#[derive(Clone)]
struct Backend {
    address: String,
    cut: CancellationToken,
}

/// One address for all processes, as a load balancer gives them.
#[derive(Clone, Default)]
pub(crate) struct Balancer {
    backends: Arc<Mutex<Vec<Backend>>>,
    turn: Arc<AtomicUsize>,
}

impl Balancer {
    pub(crate) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let balancer = self.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(balancer.clone().carry(client));
            }
        });
        format!("http://{address}")
    }

    pub(crate) fn add(&self, address: &str) {
        self.backends.lock().unwrap().push(Backend { address: address.to_owned(), cut: CancellationToken::new() });
    }

    pub(crate) fn remove(&self, address: &str) {
        self.backends.lock().unwrap().retain(|backend| {
            if backend.address == address {
                backend.cut.cancel();
            }
            backend.address != address
        });
    }

    /// To whoever takes it. While nobody does the client waits, as proxies let them.
    async fn carry(self, mut client: TcpStream) {
        let deadline = Instant::now() + scaled(LIMIT);
        while Instant::now() < deadline {
            let backends = self.backends.lock().unwrap().clone();
            for _ in &backends {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let Backend { address, cut } = backends[turn % backends.len()].clone();
                if let Ok(mut server) = TcpStream::connect(&address).await {
                    tokio::select! {
                        ended = tokio::io::copy_bidirectional(&mut client, &mut server) => drop(ended),
                        () = cut.cancelled() => {}
                    }
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Callers, one call after the other.
pub(crate) struct Load {
    closing: Arc<AtomicBool>,
    callers: tokio::task::JoinSet<Vec<TaskSid>>,
}

impl Load {
    pub(crate) fn of(sim: &Arc<Simulator>) -> Self {
        let closing = Arc::new(AtomicBool::new(false));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..CALLERS {
            let (sim, closing) = (sim.clone(), closing.clone());
            callers.spawn(async move {
                let mut calls = Vec::new();
                while !closing.load(Ordering::Relaxed) {
                    calls.push(a_warm_transfer(&sim).await);
                }
                calls
            });
        }
        Self { closing, callers }
    }

    /// Lets the calls come to their end.
    pub(crate) async fn ends(mut self) -> Vec<TaskSid> {
        self.closing.store(true, Ordering::Relaxed);
        let mut calls = Vec::new();
        while let Some(told) = self.callers.join_next().await {
            calls.extend(told.unwrap());
        }
        calls
    }
}

/// A simulated Twilio, and the address that it posts to.
pub(crate) async fn twilio(seed: u64, latency_ms: u64) -> (Arc<Simulator>, Balancer) {
    let sim = Simulator::start(Settings {
        config: SimConfig { seed, latency_ms, ..patient() },
        account: ACCOUNT.parse().unwrap(),
        auth_token: SecretString::from(TOKEN),
        api_key: None,
        workspace: WORKSPACE.parse().unwrap(),
    });
    let sim = Arc::new(sim.await.unwrap());
    keep_the_records_away(&sim);
    let balancer = Balancer::default();
    sim.post_events_to(Destination {
        events_url: format!("{PUBLIC_URL}/taskrouter/events#rc=5&rp=5xx,ct,rt"),
        route: Route { public: PUBLIC_URL.to_owned(), local: balancer.start().await },
    });
    (sim, balancer)
}

/// What the door or the journal lost must not come back through TaskRouter's records.
pub(crate) fn keep_the_records_away(sim: &Simulator) {
    sim.faults(|faults| faults.script(On::Next(OpName::ListEvents), u32::MAX, Fault::status(403)));
}

/// Three processes, the simulator, and callers.
struct Fleet {
    database: Database,
    sim: Arc<Simulator>,
    balancer: Balancer,
    processes: Vec<Option<Serving>>,
    load: Load,
}

impl Fleet {
    async fn sails(seed: u64, strategy: &'static str) -> Option<Self> {
        let database = Database::new().await?;
        let (sim, balancer) = twilio(seed, 20).await;
        let load = Load::of(&sim);
        let mut fleet = Self { database, sim, balancer, processes: Vec::new(), load };
        for place in 0..3 {
            fleet.processes.push(None);
            fleet.starts(place, strategy);
        }
        Some(fleet)
    }

    fn starts(&mut self, place: usize, strategy: &str) {
        let mut more = HURRY.to_vec();
        more.push(("TRS__STREAMS__STRATEGY", strategy));
        let serving = Serving::start_with(&self.database.url(), &self.sim.api_base_url(), &more);
        self.balancer.add(&serving.public);
        self.processes[place] = Some(serving);
    }

    /// Takes a process out of the balancer.
    fn takes_out(&mut self, place: usize) -> Serving {
        let serving = self.processes[place].take().unwrap();
        self.balancer.remove(&serving.public);
        serving
    }

    /// Waits until the fleet has worked for a while.
    async fn works(&self, requests: usize) {
        let before = self.sim.world(|world| world.requests().len());
        let deadline = Instant::now() + scaled(LIMIT);
        while self.sim.world(|world| world.requests().len()) < before + requests {
            assert!(
                Instant::now() < deadline,
                "the fleet came to a standstill; violations {:?}",
                self.sim.world(|world| world.violations().to_vec())
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the calls come to their end, and looks at everything that was promised.
    async fn arrives(self) {
        let calls = self.load.ends().await;
        assert_eq!(self.sim.world(|world| world.violations().to_vec()), []);
        let journal = postgres::open(postgres::settings(self.database.url(), LEASE)).await;
        let deadline = Instant::now() + scaled(LIMIT);
        loop {
            let backlog = journal.backlog().await.unwrap();
            if backlog == Backlog::default() {
                break;
            }
            assert!(Instant::now() < deadline, "not at rest: {backlog:?}, as {:#?}", one_not_over(&*journal).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut connection = self.database.connect().await;
        let kept: Vec<String> =
            sqlx::query_scalar("SELECT identity FROM taskrouter_streams.fact WHERE identity IS NOT NULL")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        nothing_acknowledged_is_lost(&self.sim, &kept);
        every_call_is_told_whole(&*journal, &calls).await;
    }
}

/// The facts of one of the calls that are not over.
async fn one_not_over(journal: &dyn Journal) -> Vec<FactKind> {
    let listed = journal.calls(CallQuery { limit: 1_000, ..CallQuery::default() }).await.unwrap();
    let Some(row) = listed.into_iter().find(|row| !row.over) else { return Vec::new() };
    journal.facts(&row.call, 0).await.unwrap().into_iter().map(|(_, fact)| fact.kind).collect()
}

/// Each of these calls, and no other, is over, and its facts are in the order in which they came to be.
pub(crate) async fn every_call_is_told_whole(journal: &dyn Journal, calls: &[TaskSid]) {
    for call in calls {
        let facts = journal.facts(call, 0).await.unwrap();
        assert!(facts.iter().map(|(seq, _)| *seq).eq((1..).take(facts.len())), "numbers without gaps");
        let steps = facts.iter().filter_map(|(_, fact)| {
            let (FactKind::Begun(step) | FactKind::Settled(Settled { step, .. })) = &fact.kind else { return None };
            Some(step.id)
        });
        let steps: Vec<u32> = steps.collect();
        assert!(steps.is_sorted(), "the steps of {call} in the order that they were taken: {steps:?}");
    }
    let listed = journal.calls(CallQuery { limit: 1_000, ..CallQuery::default() }).await.unwrap();
    assert_eq!(listed.len(), calls.len());
    assert!(listed.iter().all(|row| row.over), "every call is over");
}

/// Every event that was answered with 204 is among those that are `kept`.
pub(crate) fn nothing_acknowledged_is_lost(sim: &Simulator, kept: &[String]) {
    let kept: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
    let deliveries = sim.deliveries();
    let acknowledged: Vec<_> = deliveries
        .iter()
        .filter(|delivery| delivery.outcome == Delivered::Answered(204))
        .filter(|delivery| delivery.event_type.starts_with("reservation."))
        .collect();
    assert!(acknowledged.len() > 50, "too little load to tell: {} events", acknowledged.len());
    for delivery in acknowledged {
        assert!(kept.contains(delivery.event.as_str()), "{delivery:?} was acknowledged and is lost");
    }
}

pub(crate) async fn a_warm_transfer(sim: &Simulator) -> TaskSid {
    let task = sim.act(|world| world.customer_calls()).await;
    sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    until(sim, &task, &["alice"], false).await;
    sim.act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
    sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
    until(sim, &task, &["alice", "bob"], true).await;
    // After a warm transfer nobody else takes them off hold, unless a redirect did.
    sim.act(|world| world.unholds(&task, "bob")).await.unwrap();
    sim.act(|world| world.leaves(&task, "alice")).await.unwrap();
    until(sim, &task, &["bob"], false).await;
    sim.act(|world| world.customer_hangs_up(&task)).await.unwrap();
    // With the guard raised the conference has ended, and bob with it; with it lowered bob hangs up.
    let _ = sim.act(|world| world.leaves(&task, "bob")).await;
    sim.act(|world| world.completes(&task, "bob")).await.unwrap();
    task
}

/// The attempts to deliver such events as nobody has acknowledged.
pub(crate) fn not_taken(sim: &Simulator, is_such: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
    let mut deliveries = sim.deliveries();
    let is_taken = |delivery: &&Delivery| delivery.outcome == Delivered::Answered(204);
    let taken: BTreeSet<_> = deliveries.iter().filter(is_taken).map(|delivery| delivery.event.clone()).collect();
    deliveries.retain(|delivery| is_such(delivery) && !taken.contains(&delivery.event));
    deliveries
}

/// Waits until these streams run and the customer is in the conference with somebody, their guard raised, held or not.
async fn until(sim: &Simulator, task: &TaskSid, streams: &[&str], held: bool) {
    let deadline = Instant::now() + scaled(LIMIT);
    loop {
        let picture = sim.world(|world| world.snapshot(task)).unwrap();
        // With the guard still lowered, a customer who hangs up would leave the agents to themselves.
        let settled = picture.guard_raised == Some(true) && picture.held == Some(held) && picture.participants > 1;
        if picture.streams == streams && settled {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "expected {streams:?}; it is {picture:?}; violations {:?}; {:#?}; not taken: {:#?}",
            sim.world(|world| world.violations().to_vec()),
            sim.world(|world| world.report(task)),
            not_taken(sim, |delivery| delivery.task == *task)
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn killed_one_after_the_other(strategy: &'static str) {
    let Some(mut fleet) = Fleet::sails(1, strategy).await else { return };
    for round in 0..2 {
        for place in 0..3 {
            fleet.works(20 + 7 * round).await;
            // In the balancer still, as in life.
            let killed = fleet.processes[place].take().unwrap();
            let address = killed.public.clone();
            drop(killed);
            fleet.works(10).await;
            fleet.balancer.remove(&address);
            fleet.starts(place, strategy);
        }
    }
    fleet.arrives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_any_of_three_processes_is_killed_under_load_and_nothing_is_lost() {
    killed_one_after_the_other("redirect").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_any_of_three_processes_is_killed_under_load_and_nothing_is_lost_with_the_streams_api() {
    killed_one_after_the_other("streams-api").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_nothing() {
    let Some(mut fleet) = Fleet::sails(2, "redirect").await else { return };
    for place in 0..3 {
        fleet.works(30).await;
        let old = fleet.takes_out(place);
        old.signal("TERM");
        fleet.starts(place, "redirect");
        let ended = tokio::task::spawn_blocking(|| old.ended());
        assert_eq!(ended.await.unwrap(), Some(0));
    }
    fleet.works(30).await;
    fleet.arrives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stalled_past_its_lease_does_no_harm_when_it_wakes() {
    let Some(mut fleet) = Fleet::sails(3, "redirect").await else { return };
    for place in [0, 1, 2, 0, 1, 2] {
        fleet.works(25).await;
        let stalled = fleet.takes_out(place);
        stalled.signal("STOP");
        let since = Instant::now();
        // Long enough for its calls to be taken over, and for the others to be busy with them when it wakes.
        while since.elapsed() < LEASE + Duration::from_millis(700) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fleet.works(5).await;
        stalled.signal("CONT");
        fleet.balancer.add(&stalled.public);
        fleet.processes[place] = Some(stalled);
    }
    fleet.arrives().await;
}
