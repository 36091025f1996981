//! Twilio's string identifiers (SIDs): two letters that name the resource, then 32 hexadecimal digits.
//!
//! Each kind is its own type, so that a worker's call can never be passed where the customer's is due.
//! Source: <https://www.twilio.com/docs/glossary/what-is-a-sid>.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text that is not a SID of the kind asked for. Carries no part of the text, which may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {kind} SID ({prefix} + 32 hex digits)")]
pub struct NotASid {
    /// The kind expected, with its article, as in "a task".
    pub kind: &'static str,
    /// Its two letters.
    pub prefix: &'static str,
}

fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

macro_rules! sid {
    ($(#[$doc:meta] $name:ident = $prefix:literal, $kind:literal;)+) => {$(
        #[$doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The two letters that every SID of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The SID as Twilio writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotASid;
            fn from_str(text: &str) -> Result<Self, NotASid> {
                if is_sid(text, $prefix) {
                    Ok(Self(text.into()))
                } else {
                    Err(NotASid { kind: $kind, prefix: $prefix })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotASid;
            fn try_from(text: String) -> Result<Self, NotASid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(sid: $name) -> String {
                sid.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
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
