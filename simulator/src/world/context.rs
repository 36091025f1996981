//! What every part of the world shares: its configuration, the time, new SIDs, the schedule, and what is told outside.

use super::twiml::Conference;
use super::{DocumentOrder, Event, Misuse, Note, SocketFailure, Violation};
use crate::sim_config::{Ms, SimConfig};
use std::collections::BTreeMap;
use std::str::FromStr;
use taskrouter_streams::call::sid::{AccountSid, CallSid, ConferenceSid, NotASid, StreamSid, TaskSid, WorkspaceSid};

/// What happens later.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// The customer's hold changes.
    Hold { task: TaskSid, hold: bool },
    /// TaskRouter writes `conference` into the task's attributes.
    Attributes { task: TaskSid },
    /// A request is carried out whose answer was lost.
    Land { number: usize },
    /// Something happens to legs, conferences or streams.
    Voice(VoiceEffect),
}

/// What happens later to legs, conferences and streams.
#[derive(Debug, Clone)]
pub(super) enum VoiceEffect {
    /// The customer is moved from the queue into the task's conference.
    JoinCustomer { call: CallSid, generation: u32 },
    /// A leg goes on with the script that it was given.
    Follow { call: CallSid, generation: u32 },
    /// A leg that was given TwiML is in a conference.
    Dial { call: CallSid, generation: u32, dial: Conference },
    /// A call that was created through the API is answered.
    Answer { call: CallSid },
    /// A connecting participant is connected.
    Connect { conference: ConferenceSid, row: u64 },
    /// A written guard takes effect.
    Guard { conference: ConferenceSid, row: u64, raised: bool },
    /// A stream's socket is open.
    SocketOpens { stream: StreamSid },
    /// A stream's socket cannot be opened.
    SocketFails { stream: StreamSid, failure: SocketFailure },
    /// A customer left alone hangs up.
    GiveUp { call: CallSid },
}

/// What the parts of the world share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: SimConfig,
    pub(super) account: AccountSid,
    pub(super) workspace: WorkspaceSid,
    /// Where the APIs with absolute addresses are, seen from who asked last. No trailing slash.
    pub(super) base: String,
    /// When the request was sent that is being carried out late.
    pub(super) sent_at: Option<Ms>,
    began: Ms,
    now: Ms,
    minted: u64,
    scheduled: u64,
    schedule: BTreeMap<(Ms, u64), Effect>,
    outbox: Vec<Event>,
    documents: Vec<DocumentOrder>,
    violations: Vec<Violation>,
    notes: Vec<Note>,
}

impl Context {
    pub(super) fn new(config: SimConfig, account: AccountSid, workspace: WorkspaceSid, now: Ms) -> Self {
        Self {
            config,
            account,
            workspace,
            base: "https://taskrouter.twilio.com".to_owned(),
            sent_at: None,
            began: now,
            now,
            minted: 0,
            scheduled: 0,
            schedule: BTreeMap::new(),
            outbox: Vec::new(),
            documents: Vec::new(),
            violations: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Ms {
        self.now
    }

    /// When the world began, which is when what never changes was made.
    pub(super) fn began(&self) -> Ms {
        self.began
    }

    /// Moves the clock on; it never goes back.
    pub(super) fn move_on(&mut self, now: Ms) {
        self.now = self.now.max(now);
    }

    /// Schedules an effect. One that is due at once is handed back, to be performed by the caller.
    #[must_use]
    pub(super) fn after(&mut self, delay: Ms, effect: Effect) -> Option<Effect> {
        if delay <= 0 {
            return Some(effect);
        }
        self.schedule(delay, effect);
        None
    }

    /// The same for legs, conferences and streams.
    #[must_use]
    pub(super) fn after_voice(&mut self, delay: Ms, effect: VoiceEffect) -> Option<VoiceEffect> {
        if delay <= 0 {
            return Some(effect);
        }
        self.schedule(delay, Effect::Voice(effect));
        None
    }

    fn schedule(&mut self, delay: Ms, effect: Effect) {
        self.scheduled += 1;
        self.schedule.insert((self.now + delay, self.scheduled), effect);
    }

    pub(super) fn next_due(&self) -> Option<Ms> {
        self.schedule.first_key_value().map(|(&(due, _), _)| due)
    }

    /// The next effect that is due by `now`; the clock moves to when it is due.
    pub(super) fn take_due(&mut self, now: Ms) -> Option<Effect> {
        let (&(due, number), _) = self.schedule.first_key_value().filter(|((due, _), _)| *due <= now)?;
        self.move_on(due);
        self.schedule.remove(&(due, number))
    }

    #[expect(clippy::expect_used, reason = "two letters and 32 hexadecimal digits are a SID by construction")]
    pub(super) fn mint<T: FromStr<Err = NotASid>>(&mut self, prefix: &str) -> T {
        self.mint_text(prefix).parse().expect("prefix and digits form a SID")
    }

    pub(super) fn mint_text(&mut self, prefix: &str) -> String {
        let number = self.next_number();
        let low = scramble(self.config.seed ^ scramble(number));
        format!("{prefix}{:016x}{low:016x}", scramble(low))
    }

    /// Grows with everything that is made.
    pub(super) fn next_number(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.outbox.push(event);
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.outbox)
    }

    /// TwiML is to be fetched.
    pub(super) fn fetch(&mut self, order: DocumentOrder) {
        self.documents.push(order);
    }

    pub(super) fn take_documents(&mut self) -> Vec<DocumentOrder> {
        std::mem::take(&mut self.documents)
    }

    pub(super) fn violated(&mut self, what: Misuse) {
        self.violations.push(Violation { at: self.now, what });
    }

    pub(super) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(super) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    pub(super) fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// One step of splitmix64 (Steele, Lea, Flood 2014): spreads small numbers over 64 bits.
pub(crate) fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
