//! Status callbacks of conferences, of those that tell of a hold: from form parameters to facts.
//! Source: <https://www.twilio.com/docs/voice/twiml/conference#attributes-statusCallbackEvent>.
//!
//! Twilio calls them for conferences that were given a `statusCallback` and the event `hold`. What Flex gives its conferences is not
//! published; programs of others receive these events of Flex's conferences by Event Streams.

use super::event::{Malformed, Parameters};
use super::event_types::EventType;
use super::signature::Pair;
use crate::call::fact::{EpochMs, ParticipantEvent};
use crate::call::sid::TaskSid;
use jiff::fmt::rfc2822::DateTimeParser;

/// A participant was put on hold, or taken off it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldStatus {
    /// `FriendlyName`: Flex names a task's conference so.
    pub task: TaskSid,
    /// The same on every delivery.
    pub identity: String,
    pub event: ParticipantEvent,
}

/// Reads a status callback that the event `id` repeats, an id of bounded length; `None` for other events and for conferences that no
/// task has. One without a time counts as of `now`.
pub fn parse(pairs: &[Pair<'_>], id: Option<&str>, now: EpochMs) -> Result<Option<HoldStatus>, Malformed> {
    let parameters = Parameters(pairs);
    let kind = EventType::named(parameters.text("StatusCallbackEvent")?);
    let Some(EventType::Participant(change)) = kind else { return Ok(None) };
    let Some(task) = parameters.lenient::<TaskSid>("FriendlyName") else { return Ok(None) };
    let at = parameters.get("Timestamp").and_then(time).unwrap_or(now);
    let event = ParticipantEvent {
        account: parameters.strict("AccountSid")?,
        at,
        conference: parameters.strict("ConferenceSid")?,
        call: parameters.strict("CallSid")?,
        change,
    };
    // Of bounded length: the sender does not decide how long the journal's key is.
    let number = parameters.lenient::<u64>("SequenceNumber").map(|number| number.to_string());
    let number =
        number.or_else(|| id.filter(|id| !id.is_empty()).map(str::to_owned)).unwrap_or_else(|| event.at.to_string());
    let identity = format!("{}|{}|{}|{number}", EventType::Participant(change).name(), event.conference, event.call);
    Ok(Some(HoldStatus { task, identity, event }))
}

/// RFC 2822, as conferences' callbacks have it, or ISO 8601, as Event Streams does.
fn time(text: &str) -> Option<EpochMs> {
    let rfc2822 = || DateTimeParser::new().parse_timestamp(text).ok();
    text.parse::<jiff::Timestamp>().ok().or_else(rfc2822).map(jiff::Timestamp::as_millisecond)
}
