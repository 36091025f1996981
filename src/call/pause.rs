//! What is said of a pause: an interval in which no audio of some streams may leave, such as while a customer reads out a card
//! number.
//!
//! Everything here is bounded and of few characters, so that no number of anybody's comes in by accident and nothing has to be
//! escaped where it is shown.

use super::fact::EpochMs;
use super::sid::ReservationSid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest id and the longest reason, in bytes.
const LONGEST: usize = 64;

/// A reason with so many digits may hold a phone number, or a part of a card's.
const TOO_MANY_DIGITS: usize = 7;

/// A text that cannot be an id or a reason. Carries no part of the text, which may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAllowed(&'static str);

macro_rules! bounded_text {
    ($(#[$doc:meta] $name:ident, $check:path;)+) => {$(
        #[$doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// As it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAllowed;
            fn from_str(text: &str) -> Result<Self, NotAllowed> {
                $check(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAllowed;
            fn try_from(text: String) -> Result<Self, NotAllowed> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

bounded_text! {
    /// What tells two pauses of a call apart; a resume names the pause that it ends.
    PauseId, check_id;
    /// Why the streams are paused, in a word or two.
    PauseReason, check_reason;
}

fn check_id(text: &str) -> Result<(), NotAllowed> {
    let is_safe = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let fits = is_safe && (1..=LONGEST).contains(&text.len());
    if fits { Ok(()) } else { Err(NotAllowed("must be 1 to 64 letters, digits, dots, hyphens or underscores")) }
}

fn check_reason(text: &str) -> Result<(), NotAllowed> {
    let is_safe = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ._-".contains(&byte));
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if is_safe && (1..=LONGEST).contains(&text.len()) && digits < TOO_MANY_DIGITS {
        Ok(())
    } else {
        Err(NotAllowed(
            "must be 1 to 64 letters, digits, spaces, dots, hyphens or underscores, with at most 6 digits: it is no place for personal data",
        ))
    }
}

/// Whose streams are paused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseScope {
    /// Those of one reservation.
    Reservation(ReservationSid),
    /// Those of all agents, also of those who join later.
    Call,
}

impl PauseScope {
    /// Whether this reservation's streams are meant.
    pub fn covers(&self, reservation: &ReservationSid) -> bool {
        match self {
            PauseScope::Reservation(own) => own == reservation,
            PauseScope::Call => true,
        }
    }
}

/// Who asked for a pause, or for its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseOrigin {
    /// The task's attribute `streams.paused`.
    TaskAttribute,
    /// A request signed with `pause.secret`.
    SignedRequest,
    /// An operator, by name where a proxy gave it.
    Operator(Option<String>),
    /// Its time was up, and `pause.on_expiry` is "resume".
    Expiry,
}

/// A pause was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Which pause.
    pub id: PauseId,
    /// Whose streams.
    pub scope: PauseScope,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<PauseReason>,
    /// For how long, unless it is resumed earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// By whom.
    pub by: PauseOrigin,
}

/// The end of a pause was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Which pause.
    pub id: PauseId,
    /// By whom.
    pub by: PauseOrigin,
}

/// What the task's attribute `streams.paused` says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttributePause {
    /// False ends the pause.
    pub paused: bool,
    /// Which pause, where the attribute says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PauseId>,
    /// Whose streams.
    pub scope: PauseScope,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<PauseReason>,
    /// For how long, from when it was first heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// What to do when a pause's time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExpiry {
    /// It stays paused until it is resumed, and somebody is told.
    Stay,
    /// It ends.
    Resume,
}

/// A stream within a pause, and what shows that it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenStop {
    /// The stream's name.
    pub name: String,
    /// When it was over.
    pub at: EpochMs,
    /// What shows it.
    pub by: StopProof,
}

/// What shows that a stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopProof {
    /// Twilio reported its end, by status callback or event.
    Reported,
    /// Twilio does not know it any more: a 404 after a stop that it took, or two.
    NotFound,
    /// The call is over, or not in progress (21220).
    CallOver,
    /// The customer was seen back from the redirect that stopped it.
    Rejoined,
    /// Twilio's documented answer, which is all there is where a destination has no status callbacks.
    Answer,
    /// It never started, and nothing of its start can land any more.
    NeverStarted,
}

impl StopProof {
    /// What shows it, in words that follow "is over:".
    pub fn as_str(self) -> &'static str {
        match self {
            StopProof::Reported => "Twilio reported its end",
            StopProof::NotFound => "Twilio does not know it any more",
            StopProof::CallOver => "the call is over",
            StopProof::Rejoined => "the customer is back from the redirect that stopped it",
            StopProof::Answer => "Twilio answered that it is stopped (its destination has no status callbacks)",
            StopProof::NeverStarted => "it never started",
        }
    }
}
