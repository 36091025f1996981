//! Status callbacks of streams: from form parameters to facts.
//! Source: <https://www.twilio.com/docs/voice/api/stream-resource#statuscallback-parameters>.

use super::event::{Malformed, Parameters};
use super::event_types::EventType;
use super::signature::Pair;
use crate::call::fact::{EpochMs, StreamEvent};
use crate::call::sid::{AccountSid, ReservationSid, SID_LENGTH, StreamSid, TaskSid, WorkerSid};
use url::form_urlencoded;

/// The longest prefix that the names of our streams can have.
const PREFIX_CHARACTERS: usize = 40;

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
    let name = parameters.get("StreamName");
    let change = match EventType::named(kind) {
        Some(EventType::Stream(change)) => Some(change),
        Some(EventType::Reservation(_) | EventType::Task(_) | EventType::Transfer(_) | EventType::Participant(_))
        | None => None,
    };
    let content = match change.filter(|_| name.is_none_or(may_be_ours)) {
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
                name: name.unwrap_or(stream.as_str()).to_owned(),
                stream,
                change,
                error,
            };
            StatusContent::Stream { identity, event }
        }
    };
    Ok(Status { account, content })
}

/// Whether a stream of ours can have this name: a prefix, the worker's SID, the reservation's, and perhaps a number. Others may call the
/// same address, and their names are shown nowhere.
fn may_be_ours(name: &str) -> bool {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let name = name.rsplit_once('_').filter(|(_, end)| is_number(end)).map_or(name, |(name, _)| name);
    let Some((name, reservation)) = name.rsplit_once('_') else { return false };
    let parts = name.len().checked_sub(SID_LENGTH).and_then(|prefix| name.split_at_checked(prefix));
    let Some((prefix, worker)) = parts else { return false };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    reservation.parse::<ReservationSid>().is_ok()
        && worker.parse::<WorkerSid>().is_ok()
        && prefix.len() <= PREFIX_CHARACTERS
        && prefix.bytes().all(is_plain)
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
