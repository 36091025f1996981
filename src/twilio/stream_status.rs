//! Status callbacks of streams: from form parameters to facts.
//! Source: <https://www.twilio.com/docs/voice/api/stream-resource#statuscallback-parameters>.

use super::event::{Malformed, Parameters};
use super::event_types::EventType;
use super::signature::Pair;
use crate::call::fact::{EpochMs, StreamEvent};
use crate::call::sid::{AccountSid, StreamSid, TaskSid};
use url::form_urlencoded;

/// The longest name that one of our streams can have: a prefix of 40, two SIDs of 34 and a number.
const NAME_CHARACTERS: usize = 128;
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub account: AccountSid,
    /// What it is about.
    pub content: StatusContent,
}

/// The content of a status callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusContent {
    /// A stream started, ended or failed.
    Stream {
        /// The same on every delivery of the callback.
        identity: String,
        event: StreamEvent,
    },
    /// Another event, or a name that is not of our form.
    NotOurs,
}

/// Reads a status callback. One without a time counts as of `now`.
pub fn parse(pairs: &[Pair<'_>], now: EpochMs) -> Result<Status, Malformed> {
    let parameters = Parameters(pairs);
    let account: AccountSid = parameters.strict("AccountSid")?;
    let call = parameters.strict("CallSid")?;
    let stream: StreamSid = parameters.strict("StreamSid")?;
    let kind = parameters.text("StreamEvent")?;
    let name = parameters.get("StreamName").unwrap_or(stream.as_str()).to_owned();
    let change = match EventType::named(kind) {
        Some(EventType::Stream(change)) => Some(change),
        Some(EventType::Reservation(_) | EventType::Task(_) | EventType::Transfer(_) | EventType::Participant(_))
        | None => None,
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let is_ours = name.len() <= NAME_CHARACTERS && name.bytes().all(is_plain);
    let content = match change.filter(|_| is_ours) {
        None => StatusContent::NotOurs,
        Some(change) => {
            let at = parameters.lenient::<jiff::Timestamp>("Timestamp").map(jiff::Timestamp::as_millisecond);
            // A stream starts and ends once.
            let identity = format!("{kind}|{stream}");
            let error = parameters.get("StreamError").and_then(leading_number);
            let event = StreamEvent {
                account: Some(account.clone()),
                at: at.unwrap_or(now),
                call,
                stream,
                name,
                change,
                error,
            };
            StatusContent::Stream { identity, event }
        }
    };
    Ok(Status { account, content })
}

/// The task that our address for a stream's status names.
pub fn task_of_address(address: &str) -> Option<TaskSid> {
    let (_, rest) = address.split_once('?')?;
    task_of_query(rest.split('#').next().unwrap_or_default())
}

/// The task that the query of that address names.
pub fn task_of_query(query: &str) -> Option<TaskSid> {
    let (_, sid) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "task")?;
    sid.parse().ok()
}

/// Twilio's error number at the beginning of its message. The rest may be any text.
fn leading_number(message: &str) -> Option<u32> {
    let message = message.trim_start();
    let end = message.find(|c: char| !c.is_ascii_digit()).unwrap_or(message.len());
    message.get(..end)?.parse().ok()
}
