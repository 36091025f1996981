//! What is shown of a call: SIDs, states and times. There are no fields for attributes, names and phone numbers.

use crate::call::Call;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::{AccountSid, CallSid, ReservationSid, TaskSid, WorkerSid};
use crate::call::step::{Goal, Guard};
use crate::call::streams::StreamState;
use crate::call::task::ReservationStatus;
use crate::timeline::{self, Kind, Line};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The summary of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    pub task: TaskSid,
    /// With several accounts, the name of the call's account in the configuration, else its SID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The customer's leg, once it is known.
    pub customer: Option<CallSid>,
    /// Whether the conversation is over.
    pub over: bool,
    /// The task has no call, as far as could be found.
    #[serde(default)]
    pub no_call: bool,
    /// Shadow mode: no command was sent.
    #[serde(default)]
    pub shadow: bool,
    /// "raised" or "lowered" when last read; absent while it is being changed.
    pub guard: Option<String>,
    /// Whether the customer was on hold when last read.
    pub held: Option<bool>,
    /// The agents, in the order in which they were offered the call.
    pub agents: Vec<AgentView>,
    /// The streams, in the order in which they were started.
    pub streams: Vec<StreamView>,
    /// Changes that are parked.
    pub parked: Vec<ParkedView>,
    /// How many facts there are.
    pub facts: i64,
    /// When the last of them was journaled: milliseconds since the Unix epoch.
    pub changed_ms: EpochMs,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// As in the timeline: "agent A".
    pub name: String,
    /// The WorkerSid, once an event has named it.
    pub worker: Option<WorkerSid>,
    pub reservation: ReservationSid,
    /// "offered", "on the call", "wrapping up" or "gone".
    pub status: String,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamView {
    pub name: String,
    /// Which destination it goes to: "A" is the first.
    pub destination: String,
    /// The agent it is for, as in the timeline.
    pub agent: String,
    /// Whether it runs on the customer's leg, as far as is known; in shadow mode, whether it would.
    pub live: bool,
    /// "starting", "taken" by Twilio, "running" as Twilio told, "in doubt", "stopping", "stopped" by us, "ended" without us, "failed",
    /// or "never started"; in shadow mode "would run" or "would be over". "stopped" and "ended" are proven.
    pub state: String,
    /// Twilio told that its socket is open, and not that it is over.
    pub proven: bool,
    /// It started after it had been given up, so nobody is meant to receive it.
    pub orphan: bool,
    /// Twilio's error number.
    pub error: Option<u32>,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedView {
    /// What was to be changed.
    pub change: String,
    /// Why it was given up.
    pub reason: String,
}

/// A call with its story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStory {
    pub call: CallView,
    /// What happened, oldest first.
    pub timeline: Vec<LineView>,
}

/// A line of a call's story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineView {
    /// When it was journaled: milliseconds since the Unix epoch.
    pub at_ms: EpochMs,
    /// Milliseconds since the first.
    pub after_ms: i64,
    /// "event", "stream", "warning", "step", "not-sent" (shadow mode), "failure", "parked" or "operator".
    pub kind: String,
    /// What happened; for a step, also how it ended.
    pub text: String,
    /// The purpose of a step.
    pub why: Option<String>,
}

/// A page of calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallList {
    /// The most recently changed first.
    pub calls: Vec<CallView>,
    /// `after` of the next page, if there is one.
    pub next: Option<String>,
}

/// The names of the accounts, in order. With fewer than two, none is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountNames(pub Vec<(AccountSid, String)>);

impl AccountNames {
    /// The name of a call's account; calls that name none belong to the first.
    fn name(&self, account: Option<&AccountSid>) -> Option<String> {
        let Self(names) = self;
        let (first, _) = names.first().filter(|_| names.len() > 1)?;
        let account = account.unwrap_or(first);
        let known = names.iter().find(|(sid, _)| sid == account);
        Some(known.map_or_else(|| account.to_string(), |(_, name)| name.clone()))
    }
}

impl CallView {
    /// The call that these facts are of; `None` without facts.
    pub fn of(task: &TaskSid, facts: &[Fact], accounts: &AccountNames) -> Option<Self> {
        let last = facts.last()?;
        let call = Call::fold(facts);
        let names: BTreeMap<ReservationSid, String> = timeline::agents(facts).into_iter().collect();
        let name =
            |reservation: &ReservationSid| names.get(reservation).cloned().unwrap_or_else(|| "nobody".to_owned());
        let mut agents: Vec<AgentView> = call
            .reservations()
            .map(|(sid, reservation)| AgentView {
                name: name(sid),
                worker: reservation.worker.clone(),
                reservation: sid.clone(),
                status: status(reservation.status).to_owned(),
            })
            .collect();
        agents.sort_by(|a, b| a.name.cmp(&b.name));
        let shadow = call.is_shadow();
        let streams = call.streams().iter().map(|stream| StreamView {
            name: stream.name.clone(),
            destination: timeline::letter(stream.slot).to_string(),
            agent: name(&stream.reservation),
            live: stream.may_run(),
            state: stream_state(stream.state(), shadow).to_owned(),
            proven: stream.is_proven(),
            orphan: stream.is_orphan(),
            error: stream.error(),
        });
        Some(Self {
            task: task.clone(),
            account: accounts.name(call.account()),
            customer: call.customer().cloned(),
            over: call.is_over(),
            no_call: call.has_no_call(),
            shadow,
            guard: call.guard().map(|guard| guard_word(guard).to_owned()),
            held: call.held(),
            streams: streams.collect(),
            agents,
            parked: call.parked().map(|(goal, reason)| parked(goal, reason, &name)).collect(),
            facts: i64::try_from(facts.len()).unwrap_or(i64::MAX),
            changed_ms: last.at,
        })
    }
}

impl CallStory {
    /// The call that these facts are of, with their story; `None` without facts.
    pub fn of(task: &TaskSid, facts: &[Fact], accounts: &AccountNames) -> Option<Self> {
        let call = CallView::of(task, facts, accounts)?;
        Some(Self { call, timeline: timeline::lines(facts).into_iter().map(LineView::from).collect() })
    }
}

impl From<Line> for LineView {
    fn from(line: Line) -> Self {
        let Line { at, after_ms, kind, text, why } = line;
        Self { at_ms: at, after_ms, kind: kind_word(kind).to_owned(), text, why }
    }
}

fn parked(goal: &Goal, reason: &str, name: &impl Fn(&ReservationSid) -> String) -> ParkedView {
    let change = timeline::worded(goal, name);
    ParkedView { change, reason: reason.to_owned() }
}

fn status(status: ReservationStatus) -> &'static str {
    match status {
        ReservationStatus::Pending => "offered",
        ReservationStatus::Accepted => "on the call",
        ReservationStatus::Wrapping => "wrapping up",
        ReservationStatus::Over => "gone",
    }
}

/// Twilio's word where there is one; what is only assumed says so.
fn stream_state(state: StreamState, shadow: bool) -> &'static str {
    match state {
        StreamState::Starting
        | StreamState::Taken
        | StreamState::Running
        | StreamState::Stopping
        | StreamState::InDoubt
            if shadow =>
        {
            "would run"
        }
        _ if shadow => "would be over",
        StreamState::Starting => "starting",
        StreamState::Taken => "taken",
        StreamState::Running => "running",
        StreamState::InDoubt => "in doubt",
        StreamState::Stopping => "stopping",
        StreamState::Stopped => "stopped",
        StreamState::Ended => "ended",
        StreamState::Failed => "failed",
        StreamState::NeverStarted => "never started",
    }
}

fn guard_word(guard: Guard) -> &'static str {
    match guard {
        Guard::Raised => "raised",
        Guard::Lowered => "lowered",
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Event => "event",
        Kind::Step => "step",
        Kind::NotSent => "not-sent",
        Kind::Failure => "failure",
        Kind::Stream => "stream",
        Kind::Warning => "warning",
        Kind::Parked => "parked",
        Kind::Operator => "operator",
    }
}
