//! TaskRouter's events as Event Streams delivers them: an array of CloudEvents. Today it has one element; that is not promised.
//! Source: <https://www.twilio.com/docs/events/webhook-quickstart>.
//!
//! A subscription may hold events of any product; those of others are not ours. An event has the same `Sid` here and as a
//! callback, and so has one identity.

use super::event::{self, Envelope, Malformed};
use super::interest::Interest;
use super::payload;
use super::signature::Pair;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The prefix of a TaskRouter event's type; the rest is the callback's `EventType`.
pub const TYPE_PREFIX: &str = "com.twilio.taskrouter.";

/// The type of a sink's test event.
const TEST_TYPE: &str = "com.twilio.eventstreams.test-event";

/// A test's id is a UUID, which is shorter.
const TEST_ID_CHARS: usize = 64;

/// A body that is not a JSON array of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a JSON array of events")]
pub struct NotEvents;

/// One element of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "they are consumed one by one, as soon as the array is read")]
pub enum DeliveryElement {
    /// A TaskRouter event of a type that matters here.
    Event(Envelope),
    /// A TaskRouter event that cannot be used.
    Unusable(Malformed),
    /// A sink's test; the Sink Validate resource requires its id.
    Test {
        /// `data.test_id`, when it looks like an id.
        id: Option<String>,
    },
    NotOurs,
}

/// Reads a delivery. A single object counts as an array of one.
pub fn parse(body: &[u8], interest: &Interest) -> Result<Vec<DeliveryElement>, NotEvents> {
    let elements = match serde_json::from_slice(body) {
        Ok(Value::Array(elements)) => elements,
        Ok(object @ Value::Object(_)) => vec![object],
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | Err(_) => return Err(NotEvents),
    };
    elements.iter().map(|element| element.as_object().map(|event| read(event, interest)).ok_or(NotEvents)).collect()
}

fn read(cloud_event: &Map<String, Value>, interest: &Interest) -> DeliveryElement {
    let cloud_type = cloud_event.get("type").and_then(Value::as_str).unwrap_or_default();
    if cloud_type == TEST_TYPE {
        return DeliveryElement::Test { id: cloud_event.get("data").and_then(test_id) };
    }
    let Some(event_type) = cloud_type.strip_prefix(TYPE_PREFIX).filter(|name| event::matters(name)) else {
        return DeliveryElement::NotOurs;
    };
    let data = cloud_event.get("data").and_then(Value::as_object);
    match event::parse(&pairs(cloud_event, data, event_type), interest) {
        Ok(envelope) => DeliveryElement::Event(envelope),
        Err(malformed) => DeliveryElement::Unusable(malformed),
    }
}

/// The parameters of the callback of the same event. Of a repeated parameter the first counts. The envelope's own come last,
/// for what the payload lacks.
fn pairs<'a>(
    cloud_event: &'a Map<String, Value>,
    data: Option<&'a Map<String, Value>>,
    event_type: &'a str,
) -> Vec<Pair<'a>> {
    let payload = data.and_then(|data| data.get("payload")).and_then(Value::as_object);
    let within = |object: Option<&'a Map<String, Value>>, name| object?.get(name).and_then(payload::epoch_ms);
    let at = within(payload, "timestamp")
        .or_else(|| within(data, "timestamp"))
        .or_else(|| within(Some(cloud_event), "time"));
    // Every source documents `type`; the payload's `eventtype` has the same value.
    let mut pairs = vec![(Cow::from("EventType"), Cow::from(event_type))];
    pairs.extend(at.map(payload::moment).into_iter().flatten());
    pairs.extend(payload.map(payload::pairs).into_iter().flatten());
    let text = |name: &str| data?.get(name).and_then(Value::as_str);
    pairs.extend(text("sid").map(|sid| (Cow::from("Sid"), Cow::from(sid))));
    pairs.extend(text("account_sid").map(|sid| (Cow::from("AccountSid"), Cow::from(sid))));
    pairs
}

/// Seen as an object and, through Kinesis, as JSON within a string.
fn test_id(data: &Value) -> Option<String> {
    let nested = data.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let id = nested.as_ref().unwrap_or(data).get("test_id")?.as_str()?;
    let is_id = id.len() <= TEST_ID_CHARS && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_id.then(|| id.to_owned())
}
