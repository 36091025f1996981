//! What Twilio's Voice says of a call: how its streams fare, and who is put on hold.

use super::fact::EpochMs;
use super::sid::{AccountSid, CallSid, ConferenceSid, StreamSid};
use serde::{Deserialize, Serialize};

/// A status callback of a stream: <https://www.twilio.com/docs/voice/api/stream-resource>.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEvent {
    /// `AccountSid`: whose it is. Absent in journals written before there could be several accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountSid>,
    /// `Timestamp`, by Twilio's clock.
    pub at: EpochMs,
    /// `CallSid`: the leg.
    pub call: CallSid,
    /// `StreamSid`.
    pub stream: StreamSid,
    /// `StreamName`.
    pub name: String,
    /// `StreamEvent`.
    pub change: StreamChange,
    /// The number that `StreamError` begins with, of Twilio's error dictionary.
    pub error: Option<u32>,
}

/// `StreamEvent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamChange {
    /// The socket is open.
    Started,
    /// The stream has ended: stopped, or with the call.
    Stopped,
    /// The stream has failed, and is over.
    Error,
}

/// A conference's status callback about a participant, as Event Streams repeats it:
/// <https://www.twilio.com/docs/voice/twiml/conference#attributes-statusCallbackEvent>.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantEvent {
    /// `AccountSid`: whose it is.
    pub account: AccountSid,
    /// `Timestamp`, by Twilio's clock.
    pub at: EpochMs,
    /// `ConferenceSid`.
    pub conference: ConferenceSid,
    /// `CallSid`: the participant's leg.
    pub call: CallSid,
    /// `StatusCallbackEvent`.
    pub change: ParticipantChange,
}

/// `StatusCallbackEvent`, of those about a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParticipantChange {
    /// Put on hold.
    Hold,
    /// Taken off hold.
    Unhold,
}
