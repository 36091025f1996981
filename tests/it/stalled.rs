//! A process that is stopped between its decision to send a command and the bytes on the wire, until another one has taken its
//! call over and made the change: it does no harm when it wakes.

mod proxy;

use crate::pace::scaled;
use crate::postgres::{self, Database};
use crate::program::Serving;
use crate::several::{Balancer, twilio};
use proxy::{Phase, Proxy, Trap, Traps};
use std::sync::Arc;
use std::time::{Duration, Instant};
use taskrouter_streams::call::fact::FactKind;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::call::step::{Command, Operation, Outcome, Settled};
use taskrouter_streams::journal::{CallQuery, CallRow, Journal};
use twilio_simulator::Simulator;
use twilio_simulator::world::OpName;

/// Far beyond what anything here takes; a wait that fails says what it waited for.
const LIMIT: Duration = Duration::from_secs(60);

const LEASE: Duration = Duration::from_secs(2);

/// The shortest times by which a process works, in milliseconds. A machine that cannot be stopped within them gets a multiple.
const HURRY: &[(&str, u32)] = &[
    ("TRS__JOURNAL__LEASE_MS", 2_000),
    ("TRS__JOURNAL__STATEMENT_TIMEOUT_MS", 1_000),
    ("TRS__TWILIO__CONNECT_TIMEOUT_MS", 800),
    ("TRS__TWILIO__REQUEST_TIMEOUT_MS", 1_000),
    ("TRS__REDIRECT__VERIFY_GUARD_MS", 3_000),
    ("TRS__REDIRECT__READING_MAX_AGE_MS", 1_000),
    // As long as the proxy itself may be kept waiting on a busy machine.
    ("TRS__RETRY__LANDING_MARGIN_MS", 1_000),
];

const SETTINGS: &[(&str, &str)] = &[
    ("TRS__JOURNAL__POOL_SIZE", "3"),
    ("TRS__WORKER__POLL_MS", "50"),
    // Every creation of a stream comes after a reading, which tells the proxy that it comes.
    ("TRS__STREAMS__VERIFY_SAMPLE", "1000"),
];

/// So many times [`HURRY`] is enough for any machine.
const MOST_PATIENT: u32 = 16;

/// So many stops in the wrong place tell that the machine needs more time.
const VOID: usize = 3;

/// By each strategy.
const ROUNDS: usize = 100;

/// Databases on which the rounds are played at a time.
const LANES: usize = 5;

const PHASES: [Phase; 3] = [Phase::Connecting, Phase::Connected, Phase::Sent];

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + scaled(LIMIT);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Two processes on one database, each with its own way to Twilio.
struct Pair {
    strategy: &'static str,
    lease: Duration,
    sim: Arc<Simulator>,
    balancer: Balancer,
    traps: Arc<Traps>,
    proxies: Vec<Proxy>,
    processes: Vec<Serving>,
    journal: Arc<dyn Journal>,
    database: Database,
}

impl Pair {
    async fn start(seed: u64, strategy: &'static str, patience: u32) -> Option<Self> {
        let hurry = HURRY.iter().map(|(name, ms)| (*name, (ms * patience).to_string())).collect::<Vec<_>>();
        let hurry: Vec<(&str, &str)> = hurry.iter().map(|(name, ms)| (*name, ms.as_str())).collect();
        Self::start_with(seed, strategy, LEASE * patience, &hurry, 2).await
    }

    async fn start_with(
        seed: u64,
        strategy: &'static str,
        lease: Duration,
        times: &[(&str, &str)],
        processes: usize,
    ) -> Option<Self> {
        let database = Database::new().await?;
        let (sim, balancer) = twilio(seed, 0).await;
        let traps = Arc::new(Traps::new(strategy == "redirect"));
        let journal = postgres::open(postgres::settings(database.url(), lease)).await;
        let mut pair = Self {
            strategy,
            lease,
            sim,
            balancer,
            traps,
            proxies: Vec::new(),
            processes: Vec::new(),
            journal,
            database,
        };
        for number in 0..processes {
            let proxy = Proxy::start(number, &pair.sim.api_base_url(), &pair.traps);
            let settings = [SETTINGS, &[("TRS__STREAMS__STRATEGY", strategy)], times].concat();
            let serving = Serving::start_with(&pair.database.url(), &proxy.queue.url(), &settings);
            pair.balancer.add(&serving.public);
            pair.proxies.push(proxy);
            pair.processes.push(serving);
        }
        Some(pair)
    }

    /// A customer calls and alice accepts; the number of the process that is caught at the command that follows.
    async fn catch(&self, phase: Phase) -> (TaskSid, usize) {
        self.traps.set(phase);
        let task = self.sim.act(|world| world.customer_calls()).await;
        self.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
        let mut trap = self.traps.trap.subscribe();
        let caught = trap.wait_for(|trap| matches!(trap, Trap::Caught(_)));
        let caught = tokio::time::timeout(scaled(LIMIT), caught).await.map(|trap| trap.map(|trap| *trap));
        let Ok(Ok(Trap::Caught(number))) = caught else {
            panic!("no process was caught in {phase:?}: {:#?}", self.sim.world(|world| world.requests().to_vec()))
        };
        (task, number)
    }

    /// One round; whether the process was stopped at the very command.
    async fn round(&self, phase: Phase) -> bool {
        let lost: Vec<u64> = self.processes.iter().map(|process| process.metric("leases_lost_total")).collect();
        let (task, number) = self.catch(phase).await;
        let (process, proxy) = (&self.processes[number], &self.proxies[number]);
        let connects = || phase == Phase::Sent || proxy.queue.is_awaited();
        let patience = Instant::now() + self.lease;
        while !connects() && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process.signal("STOP");
        until("the stop", || process.is_stopped()).await;
        let claims = self.claims(&task).await;
        if !connects() || !self.is_begun(&task).await {
            // On a slow machine something else came next, or the connection was given up before the stop.
            process.signal("CONT");
            self.goes_on(number, &task).await;
            return false;
        }
        let accepted = proxy.accepted();
        if phase == Phase::Connected {
            proxy.queue.drain();
            until("the connection of the stopped process, or its end", || {
                proxy.accepted() > accepted || !proxy.queue.is_awaited()
            })
            .await;
            if proxy.accepted() == accepted {
                // Its system gave the connection up: the stop came after the last time that it asked for one.
                process.signal("CONT");
                self.goes_on(number, &task).await;
                return false;
            }
        }
        self.balancer.remove(&process.public);
        self.traps.trap.send_replace(Trap::Stopped);
        self.is_taken_over(&task, claims).await;
        self.settles(&task).await;
        let before = proxy.commands();
        process.signal("CONT");
        until("the end of the connection under way", || !proxy.queue.is_awaited()).await;
        proxy.queue.drain();
        until(&format!("the loss of the lease, {phase:?}"), || process.metric("leases_lost_total") > lost[number])
            .await;
        assert_eq!(proxy.commands(), before, "a stale command arrived, {phase:?}");
        self.balancer.add(&process.public);
        self.ends(&task).await;
        assert_eq!(self.sim.world(|world| world.violations().to_vec()), [], "{phase:?}");
        true
    }

    /// Nobody is stopped; the call comes to its end.
    async fn goes_on(&self, number: usize, task: &TaskSid) {
        self.proxies[number].queue.drain();
        self.traps.trap.send_replace(Trap::Stopped);
        self.settles(task).await;
        self.ends(task).await;
        assert_eq!(self.sim.world(|world| world.violations().to_vec()), []);
    }

    /// Whether the command to wait for is under way. What Twilio tells of it may have arrived at the other process.
    async fn is_begun(&self, task: &TaskSid) -> bool {
        let facts = self.journal.facts(task, 0).await.unwrap();
        let mut steps = facts.iter().rev().map(|(_, fact)| &fact.kind);
        let last = steps.find(|kind| matches!(kind, FactKind::Begun(_) | FactKind::Settled(_)));
        let Some(FactKind::Begun(step)) = last else { return false };
        match step.operation.command() {
            Some(Command::Redirect { .. }) => self.strategy == "redirect",
            Some(Command::CreateStream { .. }) => self.strategy == "streams-api",
            _ => false,
        }
    }

    /// How often the call has been claimed.
    async fn claims(&self, task: &TaskSid) -> i64 {
        self.database.number(&format!("SELECT fence FROM taskrouter_streams.call WHERE task = '{task}'")).await
    }

    async fn is_taken_over(&self, task: &TaskSid, claims: i64) {
        let deadline = Instant::now() + scaled(LIMIT);
        while self.claims(task).await == claims {
            assert!(Instant::now() < deadline, "the call is not taken over");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The change is made, and nobody works on the call any more.
    async fn settles(&self, task: &TaskSid) {
        let deadline = Instant::now() + scaled(LIMIT);
        loop {
            let now = self.sim.world(|world| world.snapshot(task)).unwrap();
            let seen = (now.held, now.guard_raised, now.participants);
            let row = self.row(task).await;
            let rests = !row.leased && row.due.is_none_or(|due| due > self.lease);
            if now.streams == ["alice"] && seen == (Some(false), Some(true), 2) && rests {
                return;
            }
            if Instant::now() > deadline || self.sim.world(|world| !world.violations().is_empty()) {
                panic!("the call does not come to rest: {now:?}, {row:?}; {}", self.story(task).await);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What came to pass, for a failure's message.
    async fn story(&self, task: &TaskSid) -> String {
        let violations = self.sim.world(|world| world.violations().to_vec());
        let requests = self.sim.world(|world| world.requests().to_vec());
        let requests: Vec<String> = requests
            .iter()
            .filter(|request| request.task.as_ref() == Some(task))
            .map(|request| format!("{} {:?} {:?}", request.received_at, request.op, request.parameters))
            .collect();
        let facts = self.journal.facts(task, 0).await.unwrap();
        let facts: Vec<String> = facts.iter().map(|(seq, fact)| format!("{seq} {fact:?}")).collect();
        format!("violations {violations:#?}\n{}\n{}", requests.join("\n"), facts.join("\n"))
    }

    async fn row(&self, task: &TaskSid) -> CallRow {
        let query = CallQuery { find: Some(task.to_string()), limit: 1, ..CallQuery::default() };
        self.journal.calls(query).await.unwrap().remove(0)
    }

    /// The customer hangs up, and nothing is left of the call.
    async fn ends(&self, task: &TaskSid) {
        self.sim.act(|world| world.customer_hangs_up(task)).await.unwrap();
        let _ = self.sim.act(|world| world.leaves(task, "alice")).await;
        self.sim.act(|world| world.completes(task, "alice")).await.unwrap();
        let deadline = Instant::now() + scaled(LIMIT);
        while !self.row(task).await.over {
            if Instant::now() > deadline {
                panic!("the call does not end: {:?}", self.journal.facts(task, 0).await.unwrap());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Plays some of the rounds, each with another phase. Where the stops come too late, all is given more time.
async fn lane(seed: usize, strategy: &'static str) -> Option<usize> {
    let (mut played, mut patience) = (0, 1);
    while played < ROUNDS / LANES {
        assert!(patience <= MOST_PATIENT, "the stops are not where they should be, however much time there is");
        let pair = Pair::start(seed as u64 + 1, strategy, patience).await?;
        let mut void = 0;
        while played < ROUNDS / LANES && void < VOID {
            match pair.round(PHASES[(seed + played) % PHASES.len()]).await {
                true => played += 1,
                false => void += 1,
            }
        }
        patience *= 2;
    }
    Some(played)
}

/// Plays the rounds, some at a time.
async fn rounds(strategy: &'static str) {
    let lanes: tokio::task::JoinSet<Option<usize>> = (0..LANES).map(|seed| lane(seed, strategy)).collect();
    let played: Vec<Option<usize>> = lanes.join_all().await;
    // Nothing was played where there is no database.
    let Some(played) = played.into_iter().collect::<Option<Vec<usize>>>() else { return };
    assert_eq!(played.iter().sum::<usize>(), ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_a_process_that_stalls_at_a_redirect_does_no_harm_when_it_wakes() {
    rounds("redirect").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_a_process_that_stalls_at_the_creation_of_a_stream_does_no_harm_when_it_wakes() {
    rounds("streams-api").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_a_redirect_is_not_sent_by_a_reading_that_has_become_too_old() {
    // A connection that was refused at first is made a second later.
    let patience = [
        ("TRS__TWILIO__CONNECT_TIMEOUT_MS", "5000"),
        ("TRS__TWILIO__REQUEST_TIMEOUT_MS", "5000"),
        ("TRS__RETRY__LANDING_MARGIN_MS", "1000"),
        ("TRS__JOURNAL__LEASE_MS", "30000"),
        ("TRS__REDIRECT__READING_MAX_AGE_MS", "500"),
    ];
    let Some(pair) = Pair::start_with(1, "redirect", LEASE, &patience, 1).await else { return };
    // Where the machine is slow the reading is too old already, and another one comes first.
    let task = loop {
        let (task, number) = pair.catch(Phase::Connecting).await;
        let proxy = &pair.proxies[number];
        until("a connection under way", || proxy.queue.is_awaited()).await;
        let at_the_command = pair.is_begun(&task).await;
        proxy.queue.drain();
        pair.settles(&task).await;
        if at_the_command {
            break task;
        }
        pair.ends(&task).await;
    };
    let facts = pair.journal.facts(&task, 0).await.unwrap();
    let mut redirects = facts.iter().filter_map(|(_, fact)| {
        let FactKind::Settled(Settled { step, outcome, .. }) = &fact.kind else { return None };
        matches!(step.operation, Operation::Command(Command::Redirect { .. })).then_some(outcome)
    });
    let first = redirects.next();
    let Some(Outcome::TryLater(trouble)) = first else { panic!("{first:?}") };
    assert!(trouble.reason.contains("given up"), "{trouble:?}");
    let arrived = pair.sim.world(|world| world.requests().to_vec());
    let arrived = arrived
        .iter()
        .filter(|request| request.op == Some(OpName::RedirectCall) && request.task.as_ref() == Some(&task))
        .count();
    assert_eq!(arrived, 1, "only the one that relied on a new reading");
    pair.ends(&task).await;
    assert_eq!(pair.sim.world(|world| world.violations().to_vec()), []);
}
