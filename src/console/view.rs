//! What is shown of a call: SIDs, states, times, our own sentences, and the names of agents and queues where they are kept. There are
//! no fields for attributes and phone numbers.

pub use super::pause_view::{PauseView, RecordingView, StopView};
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::{AccountSid, CallSid, ReservationSid, TaskSid, WorkerSid};
use crate::call::step::Guard;
use crate::call::streams::StreamState;
use crate::call::summary::{AgentSummary, ParkedSummary, StreamOutcome, StreamSummary};
use crate::call::task::ReservationStatus;
use crate::call::{Summary, summarize};
use crate::timeline::{self, Kind, Line};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The summary of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    pub task: TaskSid,
    /// With several accounts, the name of the call's account in the configuration, else its SID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The queue's name, where it is kept.
    #[serde(default)]
    pub queue: Option<String>,
    /// When its first fact was journaled: milliseconds since the Unix epoch.
    #[serde(default)]
    pub began_ms: EpochMs,
    /// When the conversation was over.
    #[serde(default)]
    pub ended_ms: Option<EpochMs>,
    /// From the first acceptance until its agent's stream.
    #[serde(default)]
    pub audio_after_ms: Option<i64>,
    /// The worst of its agents' outcomes: see [`outcome_word`].
    #[serde(default)]
    pub outcome: String,
    /// Why an agent had no stream, or a late one.
    #[serde(default)]
    pub reason: Option<String>,
    /// Twilio's error codes, and HTTP statuses of answers that bore none.
    #[serde(default)]
    pub errors: BTreeSet<u32>,
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
    /// The pauses, in the order in which they were asked for.
    #[serde(default)]
    pub pauses: Vec<PauseView>,
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
    /// The worker's name, where it is kept.
    #[serde(default)]
    pub worker_name: Option<String>,
    /// The WorkerSid, once an event has named it.
    pub worker: Option<WorkerSid>,
    pub reservation: ReservationSid,
    /// "offered", "on the call", "wrapping up" or "gone".
    pub status: String,
    /// When the agent accepted, by Twilio's clock.
    #[serde(default)]
    pub accepted_ms: Option<EpochMs>,
    /// From then until Twilio told that a socket is open; until it took the start, when it did not tell.
    #[serde(default)]
    pub audio_after_ms: Option<i64>,
    /// What became of the agent's stream: see [`outcome_word`].
    #[serde(default)]
    pub outcome: String,
    /// Why there was none, or a late one.
    #[serde(default)]
    pub reason: Option<String>,
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
    /// When its socket opened; when its start was taken, where Twilio does not tell.
    #[serde(default)]
    pub from_ms: Option<EpochMs>,
    /// When it was over.
    #[serde(default)]
    pub to_ms: Option<EpochMs>,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedView {
    /// What was to be changed.
    pub change: String,
    /// Why it was given up.
    pub reason: String,
    /// Trying again can still help: the call is not over.
    #[serde(default)]
    pub helpable: bool,
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
    /// When it happened: milliseconds since the Unix epoch. Of a step when it was sent.
    pub at_ms: EpochMs,
    /// Milliseconds since the first.
    pub after_ms: i64,
    /// Milliseconds from when a step was sent until it settled.
    #[serde(default)]
    pub took_ms: Option<i64>,
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
    /// The search stopped before this page was full: `next` goes on with it.
    #[serde(default)]
    pub unfinished: bool,
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
        Some(Self::new(task, &summarize(facts)?, accounts))
    }

    /// The call that was summed up.
    pub fn new(task: &TaskSid, summary: &Summary, accounts: &AccountNames) -> Self {
        let name = |reservation: &ReservationSid| {
            let place = summary.agents.iter().position(|agent| agent.reservation == *reservation);
            place.map_or("nobody".to_owned(), agent_name)
        };
        Self {
            task: task.clone(),
            account: accounts.name(summary.account.as_ref()),
            queue: summary.queue.clone(),
            began_ms: summary.began_at,
            ended_ms: summary.over_at,
            audio_after_ms: summary.audio_after_ms(),
            outcome: outcome_word(summary.outcome).to_owned(),
            reason: summary.reason().map(str::to_owned),
            errors: summary.errors.clone(),
            customer: summary.customer.clone(),
            over: summary.over_at.is_some(),
            no_call: summary.no_call,
            shadow: summary.shadow,
            guard: summary.guard.map(|guard| guard_word(guard).to_owned()),
            held: summary.held,
            agents: summary.agents.iter().enumerate().map(|(place, agent)| agent_view(place, agent)).collect(),
            streams: summary
                .streams
                .iter()
                .map(|stream| stream_view(stream, name(&stream.reservation), summary.shadow))
                .collect(),
            pauses: summary.pauses.iter().map(|pause| PauseView::of(pause, &name)).collect(),
            parked: summary.parked.iter().map(|parked| parked_view(parked, &name)).collect(),
            facts: summary.facts,
            changed_ms: summary.changed_at,
        }
    }

    /// Whether trying again can still help with something that is parked.
    pub fn is_helpable(&self) -> bool {
        self.parked.iter().any(|parked| parked.helpable)
    }

    /// Why an operator should look at it: what is parked, else why an agent had no stream or a late one.
    pub fn trouble(&self) -> Option<String> {
        let parked = self.parked.first().map(|parked| format!("{}: {}", parked.change, parked.reason));
        parked.or_else(|| self.reason.clone())
    }
}

impl AgentView {
    /// The worker's name, else the one of the timeline.
    pub fn shown(&self) -> &str {
        self.worker_name.as_deref().unwrap_or(&self.name)
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
        let Line { at, after_ms, took_ms, kind, text, why } = line;
        Self { at_ms: at, after_ms, took_ms, kind: kind_word(kind).to_owned(), text, why }
    }
}

/// As the timeline names agents.
fn agent_name(place: usize) -> String {
    format!("agent {}", timeline::letter(place))
}

fn agent_view(place: usize, agent: &AgentSummary) -> AgentView {
    AgentView {
        name: agent_name(place),
        worker_name: agent.name.clone(),
        worker: agent.worker.clone(),
        reservation: agent.reservation.clone(),
        status: status(agent.status).to_owned(),
        accepted_ms: agent.accepted_at,
        audio_after_ms: agent.audio_after_ms,
        outcome: outcome_word(agent.outcome).to_owned(),
        reason: agent.reason.clone(),
    }
}

fn stream_view(stream: &StreamSummary, agent: String, shadow: bool) -> StreamView {
    StreamView {
        name: stream.name.clone(),
        destination: timeline::letter(stream.slot).to_string(),
        agent,
        live: stream.live,
        state: stream_state(stream.state, shadow).to_owned(),
        proven: stream.proven,
        orphan: stream.orphan,
        error: stream.error,
        from_ms: stream.from,
        to_ms: stream.to,
    }
}

fn parked_view(parked: &ParkedSummary, name: &impl Fn(&ReservationSid) -> String) -> ParkedView {
    let change = timeline::worded(&parked.goal, name);
    ParkedView { change, reason: parked.reason.clone(), helpable: parked.helpable }
}

/// Every outcome under the word that lists show and filters take.
pub const OUTCOMES: [(StreamOutcome, &str); 9] = [
    (StreamOutcome::Streamed, "streamed"),
    (StreamOutcome::Late, "late"),
    (StreamOutcome::Missing, "missing"),
    (StreamOutcome::Interrupted, "interrupted"),
    (StreamOutcome::Unproven, "unproven"),
    (StreamOutcome::Pending, "pending"),
    (StreamOutcome::NotAccepted, "unanswered"),
    (StreamOutcome::NoCall, "no-call"),
    (StreamOutcome::NotSent, "not-sent"),
];

/// The word for an outcome.
pub fn outcome_word(outcome: StreamOutcome) -> &'static str {
    OUTCOMES.iter().find(|(known, _)| *known == outcome).map_or("", |(_, word)| word)
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
