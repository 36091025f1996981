//! What the core reports by itself: no request failed, and yet a person should know.

use super::pause::{PauseId, ProvenStop};
use super::recording::PausedRecording;
use super::sid::CallSid;
use serde::{Deserialize, Serialize};

/// Something that a person should know, and that nothing else says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The task has no call, as far as can be found: a callback, a voicemail, a call between agents.
    NoCall,
    /// Twilio took a stream and never said that its socket is open.
    StartUnproven {
        /// The stream's name.
        name: String,
        /// It is stopped, and the next one started in its place.
        replace: bool,
    },
    /// Twilio took a stop twice and never said that the stream is over.
    StopUnproven {
        /// The stream's name.
        name: String,
    },
    /// The redirect whose answer was lost never happened: nothing of it can land any more.
    RedirectVoid,
    /// A stream was started without touching the call, and the customer's leg is not where it was.
    LegMoved {
        /// The stream's name.
        name: String,
    },
    /// The leg was read before and after a start, and it is where it was.
    LegStayed {
        /// The stream's name.
        name: String,
    },
    /// The leg was read before a start, and could not be read after it.
    LegUnverified {
        /// The stream's name.
        name: String,
    },
    /// No stream within a pause runs, and none can start any more; and where pauses cover recordings, none is in progress.
    PauseProven {
        /// Which pause.
        id: PauseId,
        /// The streams that it stopped.
        stops: Vec<ProvenStop>,
        /// The recordings that are paused; empty where there is none to pause. Absent where pauses leave recordings alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recordings: Option<Vec<PausedRecording>>,
    },
    /// Not proven within `pause.confirm_within_ms`; or a stream or a recording began all the same.
    PauseUnproven {
        /// Which pause.
        id: PauseId,
    },
    /// A pause's time is up, and it stays.
    PauseOverdue {
        /// Which pause.
        id: PauseId,
    },
    /// The task names another customer's leg. The one before has a guard that we lowered, and whoever it is leaves agents behind.
    GuardLeft {
        /// The leg before.
        call: CallSid,
    },
    /// The customer is on hold: streams whose destination has `on_hold = "stop"` rest.
    OnHold,
    /// The customer is no longer on hold: those streams start again.
    OffHold,
}
