//! What a list shows of a call, so that its facts need not be read for that: who was on it, what was streamed, and when not, why.
//!
//! Everything follows from facts, so that a summary can be made anew at any time. It holds SIDs, times, our own sentences, and the
//! names of agents and of the queue where the configuration keeps them; no phone number and no other text of anybody's.

use super::fact::EpochMs;
use super::pause::{PauseId, PauseOrigin, PauseReason, PauseScope, ProvenStop};
use super::pauses::Pause;
use super::recording::{PausedRecording, Recorded, RecordingProof};
use super::sid::{AccountSid, CallSid, RecordingSid, ReservationSid, WorkerSid};
use super::state::Call;
use super::step::{Goal, Guard};
use super::streams::StreamState;
use super::task::ReservationStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An agent who waits for longer than this has a late stream.
pub const LATE_MS: i64 = 3_000;

/// A call in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many facts it is made of. When the call has more, it is out of date.
    pub facts: i64,
    /// The account that the first event named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountSid>,
    /// The customer's leg, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CallSid>,
    /// The queue's name, where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// When its first fact was journaled.
    pub began_at: EpochMs,
    /// When its last fact was journaled.
    pub changed_at: EpochMs,
    /// Since when the conversation is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_at: Option<EpochMs>,
    /// The task has no call, as far as could be found.
    #[serde(default)]
    pub no_call: bool,
    /// No command was sent.
    #[serde(default)]
    pub shadow: bool,
    /// The guard when it was last read; `None` while it is being changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Whether the customer was held when last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<bool>,
    /// The worst of its agents' outcomes.
    pub outcome: StreamOutcome,
    /// In the order in which they were offered the call.
    pub agents: Vec<AgentSummary>,
    /// In the order in which they were begun.
    pub streams: Vec<StreamSummary>,
    /// In the order in which they became known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<PauseSummary>,
    /// Changes that are parked.
    pub parked: Vec<ParkedSummary>,
    /// Twilio's error codes, and HTTP statuses of answers that bore none.
    pub errors: BTreeSet<u32>,
}

/// One offer of the call to an agent, and what became of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSummary {
    /// The reservation.
    pub reservation: ReservationSid,
    /// The worker, once an event has named them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerSid>,
    /// The worker's name, where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far the reservation has come.
    pub status: ReservationStatus,
    /// When it was accepted, by Twilio's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<EpochMs>,
    /// From the acceptance until Twilio told that a socket is open; until it took the start, when it did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_after_ms: Option<i64>,
    /// What became of it.
    pub outcome: StreamOutcome,
    /// Why there was no stream, or a late one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSummary {
    /// Its name.
    pub name: String,
    /// The destination's index.
    pub slot: usize,
    /// The reservation that it is for.
    pub reservation: ReservationSid,
    /// How it stands.
    pub state: StreamState,
    /// It may run on the leg.
    pub live: bool,
    /// Twilio told that its socket is open, and not that it is over.
    pub proven: bool,
    /// Nobody is meant to receive it.
    pub orphan: bool,
    /// Twilio's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<u32>,
    /// When its socket opened; when its start was taken, where Twilio does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EpochMs>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<EpochMs>,
}

/// A pause: asked for, proven, ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseSummary {
    /// What its resume names.
    pub id: PauseId,
    /// Whose streams.
    pub scope: PauseScope,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<PauseReason>,
    /// Who asked for it.
    pub by: PauseOrigin,
    /// When.
    pub at: EpochMs,
    /// Until when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<EpochMs>,
    /// When it was proven that nothing of it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<EpochMs>,
    /// What it stopped, and what proves that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<ProvenStop>,
    /// What became of the call's recordings, where pauses cover them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingSummary>,
    /// When it was told that it is not proven in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven_at: Option<EpochMs>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<EpochMs>,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_by: Option<PauseOrigin>,
}

/// What became of the call's recordings within a pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingSummary {
    /// How they stand.
    pub state: RecordingState,
    /// Those that were paused when the pause was proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<RecordingEvidence>,
}

/// A recording within a pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingEvidence {
    /// Its SID.
    pub sid: RecordingSid,
    /// What it is of.
    pub of: Recorded,
    /// Since when it is known to be paused.
    pub paused_at: EpochMs,
    /// What shows it.
    pub by: RecordingProof,
    /// When it was in progress again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<EpochMs>,
}

/// A change that is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedSummary {
    /// What was given up.
    pub goal: Goal,
    /// Why.
    pub reason: String,
    /// Whether trying again can still help; false once the call is over.
    pub helpable: bool,
}

/// What became of an agent's stream. The later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamOutcome {
    /// No agent accepted, so that no stream was due.
    #[serde(rename = "unanswered")]
    NotAccepted,
    /// The task has no call.
    NoCall,
    /// Shadow mode: no command was sent.
    NotSent,
    /// It ran, and in time.
    Streamed,
    /// The agent accepted, and the stream is under way.
    Pending,
    /// Twilio took it and did not tell that its socket is open.
    Unproven,
    /// It began more than [`LATE_MS`] after the acceptance.
    Late,
    /// It ran, and failed while the agent was on the call.
    Interrupted,
    /// There was none.
    Missing,
}

/// How a pause stands, as a person is shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseState {
    /// Asked for; not proven yet.
    Waiting,
    /// It is proven that no stream within it runs.
    Paused,
    /// Not proven in time.
    Unproven,
    /// It ended.
    Resumed,
}

impl PauseState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            PauseState::Waiting => "waiting",
            PauseState::Paused => "paused",
            PauseState::Unproven => "not proven",
            PauseState::Resumed => "resumed",
        }
    }
}

/// How the call's recordings stand within a pause, as a person is shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// One may be in progress.
    Unproven,
    /// There is none to pause.
    None,
    /// Paused; also after the pause, by others or while another pause is open.
    Paused,
    /// In progress again.
    Resumed,
    /// Not in progress again, as far as is known.
    NotResumed,
    /// Over without being resumed.
    Over,
}

impl RecordingState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordingState::Unproven => "not proven",
            RecordingState::None => "none",
            RecordingState::Paused => "paused",
            RecordingState::Resumed => "resumed",
            RecordingState::NotResumed => "not resumed",
            RecordingState::Over => "over",
        }
    }
}

impl RecordingSummary {
    fn of(call: &Call, pause: &Pause) -> Option<Self> {
        let Some(paused) = &pause.recordings else {
            let is_asked = pause.is_open() && pause.proven.is_none() && call.recordings.were_looked_for();
            let state = match call.recordings.are_still_since(pause.at) {
                true if call.recordings.rows().iter().all(|row| row.is_over()) => RecordingState::None,
                true => RecordingState::Paused,
                false => RecordingState::Unproven,
            };
            return is_asked.then(|| Self { state, recordings: Vec::new() });
        };
        let ended_at = pause.end().map(|end| end.at);
        let recordings: Vec<RecordingEvidence> = paused.iter().map(|row| evidence(call, row, ended_at)).collect();
        let ours = || recordings.iter().filter(|row| row.by != RecordingProof::PausedByOthers);
        let is_over = |row: &RecordingEvidence| {
            call.is_call_over() || call.recordings.find(&row.sid).is_none_or(|found| found.is_over())
        };
        let state = match ended_at {
            _ if recordings.is_empty() => RecordingState::None,
            None if pause.proven.is_none() && !call.recordings.are_still_since(pause.at) => RecordingState::Unproven,
            None => RecordingState::Paused,
            Some(_) if ours().next().is_none() => RecordingState::Paused,
            Some(_) if ours().all(|row| row.resumed_at.is_some()) => RecordingState::Resumed,
            Some(_) if ours().any(is_over) => RecordingState::Over,
            Some(_) if call.pauses().iter().any(Pause::is_open) => RecordingState::Paused,
            Some(_) => RecordingState::NotResumed,
        };
        Some(Self { state, recordings })
    }
}

fn evidence(call: &Call, paused: &PausedRecording, ended_at: Option<EpochMs>) -> RecordingEvidence {
    let row = call.recordings.find(&paused.sid);
    RecordingEvidence {
        sid: paused.sid.clone(),
        of: paused.of.clone(),
        paused_at: paused.at,
        by: paused.by,
        resumed_at: row.zip(ended_at).and_then(|(row, at)| row.resumed_since(at)),
    }
}

impl PauseSummary {
    /// The pause, as `call` knows it.
    pub fn of(call: &Call, pause: &Pause) -> Self {
        let (proven_at, stops) = pause.proven.clone().unzip();
        Self {
            id: pause.id.clone(),
            scope: pause.scope.clone(),
            reason: pause.reason.clone(),
            by: pause.by.clone(),
            at: pause.at,
            until: pause.until,
            proven_at,
            stops: stops.unwrap_or_default(),
            recording: RecordingSummary::of(call, pause),
            unproven_at: pause.unproven_at,
            resumed_at: pause.end().map(|end| end.at),
            resumed_by: pause.end().map(|end| end.by.clone()),
        }
    }
}

impl PauseSummary {
    /// How it stands.
    pub fn state(&self) -> PauseState {
        match (self.resumed_at, self.proven_at, self.unproven_at) {
            (Some(_), _, _) => PauseState::Resumed,
            (None, Some(_), _) => PauseState::Paused,
            (None, None, Some(_)) => PauseState::Unproven,
            (None, None, None) => PauseState::Waiting,
        }
    }
}

impl Summary {
    /// From the first acceptance until its agent's stream.
    pub fn audio_after_ms(&self) -> Option<i64> {
        self.agents.iter().filter(|agent| agent.accepted_at.is_some()).find_map(|agent| agent.audio_after_ms)
    }

    /// Why an agent had no stream or a late one: of the worst outcome.
    pub fn reason(&self) -> Option<&str> {
        let worst = self.agents.iter().filter(|agent| agent.reason.is_some()).max_by_key(|agent| agent.outcome)?;
        worst.reason.as_deref()
    }
}
