//! Events as Event Streams delivers them: an array of CloudEvents. Today it has one element; that is not promised.
//! Source: <https://www.twilio.com/docs/events/webhook-quickstart>.
//!
//! A subscription may hold events of any product. TaskRouter's are ours, and Voice's that tell of streams and of participants on
//! hold; those of others are not. An event has the same identity here and as a callback. Each element is judged alone: one that cannot be read costs
//! nothing but itself.

use super::conference_status::{self, HoldStatus};
use super::event::{self, Envelope, Malformed};
use super::interest::Interest;
use super::lenient_json;
use super::payload;
use super::signature::Pair;
use super::stream_status::{self, Status};
use crate::call::fact::{EpochMs, ParticipantEvent};
use crate::call::sid::{AccountSid, TaskSid};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The prefix of a TaskRouter event's type; the rest is the callback's `EventType`.
pub const TYPE_PREFIX: &str = "com.twilio.taskrouter.";

/// The type of Voice's event that a stream's status callback was sent. It holds the callback's address and parameters
/// (<https://www.twilio.com/docs/events/event-types/voice/status-callback>); which parameters is not published, and taken
/// to be the callback's own.
pub const STREAM_TYPE: &str = "com.twilio.voice.status-callback.stream.updated";

/// The type of Voice's event that a conference's status callback about a participant was sent. It holds that callback's parameters, among
/// them `FriendlyName`, which in Flex is the TaskSid.
pub const PARTICIPANT_TYPE: &str = "com.twilio.voice.status-callback.conference.participant.updated";

/// The type of a sink's test event.
const TEST_TYPE: &str = "com.twilio.eventstreams.test-event";

/// The longest id that is used. A test's is a UUID and an event's a SID, which are shorter.
const ID_CHARS: usize = 64;

/// Data is packed once, by what it goes through.
const MOST_WRAPPINGS: usize = 4;

/// Padded, as CloudEvents have it, or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A body that is neither a JSON array nor an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a JSON array of events")]
pub struct NotEvents;

/// One element of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "they are consumed one by one, as soon as the array is read")]
pub enum DeliveryElement {
    /// A TaskRouter event of a type that matters here.
    Event(Envelope),
    /// A word about a stream, and the task that our own address for it names.
    Stream {
        status: Status,
        task: Option<TaskSid>,
    },
    /// A participant of a task's conference was put on hold, or taken off it.
    Participant {
        task: TaskSid,
        /// The same on every delivery of the event.
        identity: String,
        event: ParticipantEvent,
    },
    /// An event of ours that cannot be used.
    Unusable(Malformed),
    /// Not an object, or not readable as JSON.
    Unreadable,
    /// An object without a type. In the binary mode of CloudEvents it stands in a header, which nobody has signed.
    Untyped,
    /// A sink's test; the Sink Validate resource requires its id.
    Test {
        /// `data.test_id`, when it looks like an id.
        id: Option<String>,
    },
    NotOurs,
}

impl DeliveryElement {
    /// The account that an element of ours is about.
    pub fn account(&self) -> Option<&AccountSid> {
        match self {
            Self::Event(envelope) => Some(&envelope.account),
            Self::Stream { status, .. } => Some(&status.account),
            Self::Participant { event, .. } => Some(&event.account),
            Self::Unusable(_) | Self::Unreadable | Self::Untyped | Self::Test { .. } | Self::NotOurs => None,
        }
    }

    /// Nothing can be told of what it is.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable | Self::Untyped)
    }
}

/// Reads a delivery. A single object counts as an array of one. A stream's status without a time counts as of `now`.
pub fn parse(body: &[u8], interest: &Interest, now: EpochMs) -> Result<Vec<DeliveryElement>, NotEvents> {
    let text = String::from_utf8_lossy(body);
    let elements = lenient_json::elements(&text);
    let alone = || lenient_json::members(&text).map(|_| vec![text.as_ref()]);
    let elements = elements.or_else(alone).ok_or(NotEvents)?;
    Ok(elements.into_iter().map(|element| read(element, interest, now)).collect())
}

/// The elements of a delivery that are objects, each with its data taken out of whatever it was packed into.
pub fn cloud_events(body: &[u8]) -> Vec<Map<String, Value>> {
    let text = String::from_utf8_lossy(body);
    let elements = lenient_json::elements(&text).unwrap_or_else(|| vec![text.as_ref()]);
    let objects = elements.into_iter().filter_map(|element| match lenient_json::read(element) {
        Some(Value::Object(mut cloud_event)) => {
            unpack_data(&mut cloud_event);
            Some(cloud_event)
        }
        Some(_) | None => None,
    });
    objects.collect()
}

fn read(element: &str, interest: &Interest, now: EpochMs) -> DeliveryElement {
    let Some(Value::Object(mut cloud_event)) = lenient_json::read(element) else { return DeliveryElement::Unreadable };
    let cloud_type = cloud_event.get("type").and_then(Value::as_str).unwrap_or_default().trim().to_ascii_lowercase();
    unpack_data(&mut cloud_event);
    match cloud_type.as_str() {
        "" => DeliveryElement::Untyped,
        TEST_TYPE => DeliveryElement::Test { id: cloud_event.get("data").and_then(test_id) },
        STREAM_TYPE => read_stream(&cloud_event, now),
        PARTICIPANT_TYPE if interest.holds => read_participant(&cloud_event, now),
        PARTICIPANT_TYPE => DeliveryElement::NotOurs,
        _ => read_taskrouter(&cloud_event, &cloud_type, interest),
    }
}

/// Whatever an event went through on its way may have made a text of its data, or of the payload within: JSON, or that in base64.
fn unpack_data(cloud_event: &mut Map<String, Value>) {
    let is_given = cloud_event.get("data").is_some_and(|data| !data.is_null() && data != "");
    if let Some(Value::String(base64)) = cloud_event.remove("data_base64")
        && let Some(text) = decoded(&base64)
        && !is_given
    {
        cloud_event.insert("data".to_owned(), Value::String(text));
    }
    if let Some(data) = cloud_event.get_mut("data") {
        unpack(data);
        data.get_mut("payload").map(unpack);
    }
}

/// Puts an object in the place of its text, which may be the text of a text.
fn unpack(value: &mut Value) {
    let Value::String(text) = value else { return };
    let mut text = std::mem::take(text);
    for _ in 0..MOST_WRAPPINGS {
        let inner = match lenient_json::read(&text) {
            Some(object @ Value::Object(_)) => {
                *value = object;
                return;
            }
            Some(Value::String(inner)) => Some(inner),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => decoded(&text),
        };
        let Some(inner) = inner else { return };
        text = inner;
    }
}

/// What stands in base64, in lines or not, of either alphabet.
fn decoded(base64: &str) -> Option<String> {
    let digits = base64.chars().filter(|c| !c.is_whitespace());
    let digits: String = digits
        .map(|c| {
            if c == '-' {
                '+'
            } else if c == '_' {
                '/'
            } else {
                c
            }
        })
        .collect();
    let bytes = BASE64.decode(digits).ok().filter(|bytes| !bytes.is_empty())?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_stream(cloud_event: &Map<String, Value>, now: EpochMs) -> DeliveryElement {
    let address = within(cloud_event, "/request/url").and_then(Value::as_str);
    match stream_status::parse(&callback_pairs(cloud_event), now) {
        Ok(status) => DeliveryElement::Stream { status, task: address.and_then(stream_status::task_of_address) },
        Err(malformed) => DeliveryElement::Unusable(malformed),
    }
}

fn read_participant(cloud_event: &Map<String, Value>, now: EpochMs) -> DeliveryElement {
    let id = cloud_event.get("id").and_then(plain_id);
    match conference_status::parse(&callback_pairs(cloud_event), id, now) {
        Ok(Some(HoldStatus { task, identity, event })) => DeliveryElement::Participant { task, identity, event },
        Ok(None) => DeliveryElement::NotOurs,
        Err(malformed) => DeliveryElement::Unusable(malformed),
    }
}

fn within<'a>(cloud_event: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    cloud_event.get("data").and_then(|data| data.pointer(pointer))
}

/// The parameters of the status callback that the event repeats.
fn callback_pairs(cloud_event: &Map<String, Value>) -> Vec<Pair<'_>> {
    let parameters = within(cloud_event, "/request/parameters").and_then(Value::as_object);
    let mut pairs: Vec<Pair<'_>> = parameters.map(payload::verbatim).unwrap_or_default();
    // For what the parameters lack: of a repeated one the first counts.
    let time = within(cloud_event, "/timestamp").and_then(Value::as_str);
    pairs.extend(time.map(|time| (Cow::from("Timestamp"), Cow::from(time))));
    pairs
}

fn read_taskrouter(cloud_event: &Map<String, Value>, cloud_type: &str, interest: &Interest) -> DeliveryElement {
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

fn test_id(data: &Value) -> Option<String> {
    data.get("test_id").and_then(plain_id).map(str::to_owned)
}

/// A text that looks like an id: short, and fit to be logged or to be part of a key.
fn plain_id(value: &Value) -> Option<&str> {
    let id = value.as_str()?;
    let is_id = id.len() <= ID_CHARS && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_id.then_some(id)
}
