//! What is shown of a pause: the evidence that no audio left.

use crate::call::fact::EpochMs;
use crate::call::pause::{PauseScope, ProvenStop};
use crate::call::sid::ReservationSid;
use crate::call::summary::{PauseSummary, RecordingEvidence};
use crate::timeline;
use serde::{Deserialize, Serialize};

/// A pause: asked for when and by whom, proven when and by what, resumed when and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    pub id: String,
    /// The agent whose streams are paused, as in the timeline; all agents' where absent.
    #[serde(default)]
    pub agent: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    pub asked_ms: EpochMs,
    pub asked_by: String,
    /// Until when it was asked for.
    #[serde(default)]
    pub until_ms: Option<EpochMs>,
    /// "waiting", "paused" (which is proven), "not proven" in time, or "resumed".
    pub state: String,
    /// When it was proven that no stream within it runs.
    #[serde(default)]
    pub proven_ms: Option<EpochMs>,
    /// The streams that it stopped, and what proves that they are over.
    #[serde(default)]
    pub stops: Vec<StopView>,
    /// How the call's recordings stand, where pauses cover them: "not proven" paused, "none" to pause, "paused", "resumed",
    /// "not resumed", or "over".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// The recordings that were paused when the pause was proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<RecordingView>,
    /// When it was alarmed that it is not proven.
    #[serde(default)]
    pub unproven_ms: Option<EpochMs>,
    #[serde(default)]
    pub resumed_ms: Option<EpochMs>,
    #[serde(default)]
    pub resumed_by: Option<String>,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopView {
    pub stream: String,
    pub over_ms: EpochMs,
    /// What proves it.
    pub proof: String,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingView {
    pub recording: String,
    /// "the call" or "the conference".
    pub of: String,
    pub paused_ms: EpochMs,
    /// What proves it.
    pub proof: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_ms: Option<EpochMs>,
}

impl RecordingView {
    pub(super) fn of(recording: &RecordingEvidence) -> Self {
        Self {
            recording: recording.sid.to_string(),
            of: recording.of.kind().as_str().to_owned(),
            paused_ms: recording.paused_at,
            proof: recording.by.as_str().to_owned(),
            resumed_ms: recording.resumed_at,
        }
    }
}

impl PauseView {
    /// With agents under the names that `name` gives them.
    pub(super) fn of(pause: &PauseSummary, name: &impl Fn(&ReservationSid) -> String) -> Self {
        let stop = |stop: &ProvenStop| StopView {
            stream: stop.name.clone(),
            over_ms: stop.at,
            proof: stop.by.as_str().to_owned(),
        };
        Self {
            id: pause.id.to_string(),
            agent: match &pause.scope {
                PauseScope::Reservation(reservation) => Some(name(reservation)),
                PauseScope::Call => None,
            },
            reason: pause.reason.as_ref().map(ToString::to_string),
            asked_ms: pause.at,
            asked_by: timeline::origin(&pause.by),
            until_ms: pause.until,
            state: pause.state().as_str().to_owned(),
            proven_ms: pause.proven_at,
            stops: pause.stops.iter().map(stop).collect(),
            recording: pause.recording.as_ref().map(|told| told.state.as_str().to_owned()),
            recordings: pause.recording.iter().flat_map(|told| &told.recordings).map(RecordingView::of).collect(),
            unproven_ms: pause.unproven_at,
            resumed_ms: pause.resumed_at,
            resumed_by: pause.resumed_by.as_ref().map(timeline::origin),
        }
    }
}
