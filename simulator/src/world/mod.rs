//! Twilio as a pure state machine: tasks, reservations, legs, conferences, participants and streams under Twilio's rules.
//!
//! Time is an argument, effects that come later are in a schedule ([`World::advance`]), SIDs follow from the seed. There is
//! no clock, no network, no task and no lock in it.
//!
//! ```text
//! task         pending → reserved → assigned → wrapping → completed        (or canceled)
//! reservation  pending → accepted → wrapping → completed                   (or rejected | timeout | canceled)
//! conference   init → in-progress → completed
//! participant  absent → connecting → connected → absent (→ … as a new row, after a redirect)
//! ```
//!
//! What the rules are and how sure they are stands with each: "documented" means Twilio's own pages, "observed" a public
//! report, "assumed" neither.

mod bodies;
mod event;
mod event_streams;
mod people;
mod rest;
mod sockets;
mod status;
mod streams;
mod transfer;
mod view;
mod violation;
mod voice;
mod workspace;

pub use event::Event;
pub use event_streams::{EventStreams, Sink, SinkRequest, Subscription};
pub use rest::{OpName, Page, Reply, Request};
pub use sockets::{SocketFailure, SocketOrder, SocketTarget};
pub use streams::{StreamOrder, StreamReport};
pub use transfer::{Mode, Target};
pub use view::{CallReport, Note, RequestRecord, Snapshot};
pub use violation::{Drop, Misuse, Violation};
pub use workspace::{EventQuery, Workspace};

use super::sim_config::{Ms, SimConfig};
use status::{ConferenceStatus, ReservationStatus, TaskStatus, TransferStatus};
use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;
use taskrouter_streams::call::sid::{
    AccountSid, CallSid, ConferenceSid, EventSid, NotASid, ReservationSid, StreamSid, TaskQueueSid, TaskSid,
    TransferSid, WorkerSid, WorkspaceSid,
};
use taskrouter_streams::twilio::twiml::ConferenceVerb;

/// A verb that makes no sense at this moment, such as accepting without an offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAction(pub String);

/// The whole of the simulated Twilio account.
#[derive(Debug)]
pub struct World {
    config: SimConfig,
    account: AccountSid,
    workspace_sid: WorkspaceSid,
    now: Ms,
    minted: u64,
    scheduled: u64,
    schedule: BTreeMap<(Ms, u64), Effect>,
    agents: Vec<Agent>,
    tasks: BTreeMap<TaskSid, Task>,
    reservations: BTreeMap<ReservationSid, Reservation>,
    calls: BTreeMap<CallSid, Call>,
    conferences: BTreeMap<ConferenceSid, Conference>,
    last_event_at: Ms,
    outbox: Vec<Event>,
    /// Every event so far and when it happened, for reading.
    records: Vec<(Ms, Event)>,
    workspace: Workspace,
    event_streams: EventStreams,
    sockets: Vec<SocketOrder>,
    /// What the next streams' sockets meet, by script.
    socket_failures: VecDeque<SocketFailure>,
    ends: BTreeMap<EventSid, TaskSid>,
    violations: Vec<Violation>,
    notes: Vec<Note>,
    requests: Vec<RequestRecord>,
}

/// What happens later.
#[derive(Debug, Clone)]
enum Effect {
    /// The customer is moved from the queue into the task's conference.
    JoinCustomer { call: CallSid, generation: u32 },
    /// A redirected leg dials.
    Rejoin { call: CallSid, generation: u32, dial: ConferenceVerb },
    /// A connecting participant is connected.
    Connect { conference: ConferenceSid, row: u64 },
    /// A written guard takes effect.
    Guard { conference: ConferenceSid, row: u64, raised: bool },
    /// The customer's hold changes.
    Hold { task: TaskSid, hold: bool },
    /// TaskRouter writes `conference` into the task's attributes.
    Attributes { task: TaskSid },
    /// A stream's socket is open.
    SocketOpens { stream: StreamSid },
    /// A stream's socket cannot be opened.
    SocketFails { stream: StreamSid, failure: SocketFailure },
    /// A customer left alone hangs up.
    GiveUp { call: CallSid },
}

#[derive(Debug)]
struct Agent {
    name: String,
    sid: WorkerSid,
}

#[derive(Debug)]
struct Task {
    sid: TaskSid,
    channel: &'static str,
    outbound: bool,
    status: TaskStatus,
    version: u32,
    created: Ms,
    customer: Option<CallSid>,
    /// The conference and worker's leg that the attributes bear, once written.
    attributes: Option<(ConferenceSid, CallSid)>,
    conference: Option<ConferenceSid>,
    /// Agents to whom the task has not been offered yet.
    candidates: VecDeque<WorkerSid>,
    transfer: Option<Transfer>,
    told_over_at: Option<Ms>,
}

#[derive(Debug, Clone)]
struct Transfer {
    sid: TransferSid,
    mode: Mode,
    to_queue: Option<TaskQueueSid>,
    to_worker: Option<WorkerSid>,
    by_reservation: ReservationSid,
    by_worker: WorkerSid,
    started: Ms,
    status: TransferStatus,
    failed: Option<&'static str>,
}

#[derive(Debug)]
struct Reservation {
    sid: ReservationSid,
    task: TaskSid,
    worker: WorkerSid,
    status: ReservationStatus,
    version: u32,
    /// Grows from one reservation to the next.
    order: u64,
    leg: Option<CallSid>,
    created: Ms,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Customer(TaskSid),
    Worker(ReservationSid),
}

#[derive(Debug)]
struct Call {
    sid: CallSid,
    role: Role,
    live: bool,
    created: Ms,
    /// Grows with every redirect: an older plan of where to go is void.
    generation: u32,
    outside_since: Option<Ms>,
    outside_ms: Ms,
    redirects: u32,
    streams: Vec<StreamReport>,
    /// Set when the redirect itself made the way back impossible.
    doomed: bool,
}

#[derive(Debug)]
struct Conference {
    sid: ConferenceSid,
    name: String,
    status: ConferenceStatus,
    created: Ms,
    updated: Ms,
    rows: Vec<Participant>,
    reason_ended: Option<&'static str>,
    ended_by: Option<CallSid>,
}

#[derive(Debug, Clone)]
struct Participant {
    row: u64,
    call: CallSid,
    created: Ms,
    updated: Ms,
    guard: bool,
    hold: bool,
    connected: bool,
}

impl World {
    /// An account with its agents, at rest, at the time `now`.
    pub fn new(config: SimConfig, account: AccountSid, workspace_sid: WorkspaceSid, now: Ms) -> Self {
        let mut world = Self {
            account,
            workspace_sid,
            now,
            minted: 0,
            scheduled: 0,
            schedule: BTreeMap::new(),
            agents: Vec::new(),
            tasks: BTreeMap::new(),
            reservations: BTreeMap::new(),
            calls: BTreeMap::new(),
            conferences: BTreeMap::new(),
            last_event_at: 0,
            outbox: Vec::new(),
            records: Vec::new(),
            workspace: Workspace::default(),
            event_streams: EventStreams::default(),
            sockets: Vec::new(),
            socket_failures: VecDeque::new(),
            ends: BTreeMap::new(),
            violations: Vec::new(),
            notes: Vec::new(),
            requests: Vec::new(),
            config,
        };
        for name in world.config.agents.clone() {
            let sid = world.mint(WorkerSid::PREFIX);
            world.agents.push(Agent { name, sid });
        }
        world
    }

    /// Lets everything happen that is due by `now`, in order. A `now` in the past changes nothing.
    pub fn advance(&mut self, now: Ms) {
        while let Some((&(due, number), _)) = self.schedule.first_key_value() {
            if due > now {
                break;
            }
            self.now = self.now.max(due);
            if let Some(effect) = self.schedule.remove(&(due, number)) {
                self.happen(effect);
            }
        }
        self.now = self.now.max(now);
    }

    /// When the next scheduled effect is due; `None` when nothing is on its way.
    pub fn next_due(&self) -> Option<Ms> {
        self.schedule.first_key_value().map(|(&(due, _), _)| due)
    }

    /// The world's clock.
    pub fn now(&self) -> Ms {
        self.now
    }

    /// How this world behaves.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// Takes the events that TaskRouter wants to tell, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.outbox)
    }

    /// The worker has answered this event with 2xx: from now on it is supposed to know.
    pub fn acknowledged(&mut self, event: &EventSid, now: Ms) {
        if let Some(task) = self.ends.get(event).and_then(|task| self.tasks.get_mut(task)) {
            task.told_over_at.get_or_insert(now);
        }
    }

    fn happen(&mut self, effect: Effect) {
        match effect {
            Effect::JoinCustomer { call, generation } => self.join_customer(&call, generation),
            Effect::Rejoin { call, generation, dial } => self.rejoin(&call, generation, &dial),
            Effect::Connect { conference, row } => self.connect(&conference, row),
            Effect::Guard { conference, row, raised } => {
                if let Some(participant) = self.row_mut(&conference, row) {
                    participant.guard = raised;
                }
            }
            Effect::Hold { task, hold } => {
                self.set_customer_hold(&task, hold);
            }
            Effect::Attributes { task } => self.write_attributes(&task, true),
            Effect::SocketOpens { stream } => self.opened(&stream),
            Effect::SocketFails { stream, failure } => self.failed(&stream, failure),
            Effect::GiveUp { call } => self.hang_up(&call),
        }
    }

    fn after(&mut self, delay: Ms, effect: Effect) {
        if delay <= 0 {
            return self.happen(effect);
        }
        self.scheduled += 1;
        self.schedule.insert((self.now + delay, self.scheduled), effect);
    }

    fn violated(&mut self, what: Misuse) {
        self.violations.push(Violation { at: self.now, what });
    }

    #[expect(clippy::expect_used, reason = "two letters and 32 hexadecimal digits are a SID by construction")]
    fn mint<T: FromStr<Err = NotASid>>(&mut self, prefix: &str) -> T {
        self.mint_text(prefix).parse().expect("prefix and digits form a SID")
    }

    fn mint_text(&mut self, prefix: &str) -> String {
        self.minted += 1;
        let low = scramble(self.config.seed ^ scramble(self.minted));
        format!("{prefix}{:016x}{low:016x}", scramble(low))
    }

    fn agent(&self, name: &str) -> Result<&Agent, InvalidAction> {
        let known = || InvalidAction(format!("there is no agent called {name}: name them in [settings] agents"));
        self.agents.iter().find(|agent| agent.name == name).ok_or_else(known)
    }
}

/// One step of splitmix64 (Steele, Lea, Flood 2014): spreads small numbers over 64 bits.
pub(crate) fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
