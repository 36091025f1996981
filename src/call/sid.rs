//! Twilio's string identifiers (SIDs): two letters that name the resource, then 32 hexadecimal digits.
//!
//! Each kind is its own type, so that a worker's call can never be passed where the customer's is due.
//! Source: <https://www.twilio.com/docs/glossary/what-is-a-sid>.

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// Two letters and 32 digits.
pub const SID_LENGTH: usize = 34;

/// A text that is not a SID of the kind asked for. Carries no part of the text, which may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {kind} SID ({prefix} + 32 hex digits)")]
pub struct NotASid {
    /// The kind expected, with its article, as in "a task".
    pub kind: &'static str,
    /// Its two letters.
    pub prefix: &'static str,
}

/// The bytes of a SID that begins with `prefix`.
fn bytes(text: &str, prefix: &str) -> Option<[u8; SID_LENGTH]> {
    let digits = text.strip_prefix(prefix)?;
    text.as_bytes().try_into().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Reads a SID without a copy of its text.
struct SidVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err = NotASid>> Visitor<'_> for SidVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SID")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! sid {
    ($(#[$doc:meta] $name:ident = $prefix:literal, $kind:literal;)+) => {$(
        // Its text is kept in place: an event names half a dozen, which are copied and compared at every turn.
        #[$doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; SID_LENGTH]);

        impl $name {
            /// The two letters that every SID of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The SID as Twilio writes it.
            pub fn as_str(&self) -> &str {
                // ASCII, as `bytes` has checked.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl FromStr for $name {
            type Err = NotASid;
            fn from_str(text: &str) -> Result<Self, NotASid> {
                bytes(text, $prefix).map(Self).ok_or(NotASid { kind: $kind, prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(SidVisitor(PhantomData))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

sid! {
    /// A Twilio account or subaccount.
    AccountSid = "AC", "an account";
    /// A TaskRouter workspace.
    WorkspaceSid = "WS", "a workspace";
    /// A TaskRouter event; the same on every delivery of it.
    EventSid = "EV", "an event";
    /// A task: one contact of one customer. It keeps its SID through transfers.
    TaskSid = "WT", "a task";
    /// A reservation: one offer of a task to one worker. A transfer makes a new one.
    ReservationSid = "WR", "a reservation";
    /// A worker: the agent.
    WorkerSid = "WK", "a worker";
    /// A task queue.
    TaskQueueSid = "WQ", "a task queue";
    /// A transfer of a task.
    TransferSid = "TT", "a transfer";
    /// One leg of a phone call.
    CallSid = "CA", "a call";
    /// A conference.
    ConferenceSid = "CF", "a conference";
    /// A media stream.
    StreamSid = "MZ", "a stream";
    /// A recording.
    RecordingSid = "RE", "a recording";
    /// A sink of Event Streams.
    SinkSid = "DG", "a sink";
    /// A subscription of Event Streams.
    SubscriptionSid = "DF", "a subscription";
}
