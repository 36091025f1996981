//! What is said of recordings. Twilio keeps those of a leg and those of a conference apart: Flex records the conference, plugins
//! record the customer's leg.

use super::fact::EpochMs;
use super::sid::{CallSid, ConferenceSid, RecordingSid};
use serde::{Deserialize, Serialize};

/// What a recording is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// The customer's leg.
    Call(CallSid),
    /// The task's conference.
    Conference(ConferenceSid),
}

/// The same without its SID: goals outlive a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedKind {
    /// The customer's leg.
    Call,
    /// The task's conference.
    Conference,
}

/// A recording's `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingStatus {
    /// In progress, or a word that this version does not know: what is believed to be over is left alone.
    InProgress,
    /// Paused.
    Paused,
    /// Stopped, processing, completed or absent.
    Over,
}

/// A recording as Twilio reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingRow {
    /// Its SID.
    pub sid: RecordingSid,
    /// How far it has come.
    pub status: RecordingStatus,
}

/// A recording that was paused when a pause was proven, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedRecording {
    /// Its SID.
    pub sid: RecordingSid,
    /// What it is of.
    pub of: Recorded,
    /// Since when it is known.
    pub at: EpochMs,
    /// What shows it.
    pub by: RecordingProof,
}

/// What shows that a recording is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingProof {
    /// Twilio's documented answer to our request.
    Answered,
    /// A reading made after our request.
    Read,
    /// A reading, and nobody here has paused it: it stays paused.
    PausedByOthers,
}

impl Recorded {
    /// Which of the two it is.
    pub fn kind(&self) -> RecordedKind {
        match self {
            Recorded::Call(_) => RecordedKind::Call,
            Recorded::Conference(_) => RecordedKind::Conference,
        }
    }
}

impl RecordedKind {
    /// Both, the customer's leg first.
    pub const ALL: [RecordedKind; 2] = [RecordedKind::Call, RecordedKind::Conference];

    /// As in "pause the recording of the call".
    pub fn as_str(self) -> &'static str {
        match self {
            RecordedKind::Call => "the call",
            RecordedKind::Conference => "the conference",
        }
    }
}

impl RecordingProof {
    /// What shows it, in words that follow "is paused:".
    pub fn as_str(self) -> &'static str {
        match self {
            RecordingProof::Answered => "Twilio answered that it is paused",
            RecordingProof::Read => "Twilio lists it as paused",
            RecordingProof::PausedByOthers => "somebody else had paused it, and it stays so",
        }
    }
}
