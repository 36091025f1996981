//! Deliveries of Event Streams: the events that are of use, as CloudEvents with the fields that are kept.

use super::forms::{self, Paths};
use super::pseudonyms::Pseudonyms;
use crate::twilio::event_stream::{PARTICIPANT_TYPE, STREAM_TYPE, TYPE_PREFIX, cloud_events};
use crate::twilio::payload::form_name;
use crate::twilio::signature::Pair;
use crate::twilio::stream_status::task_of_address;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The delivery's body without what is not kept; nothing when no event is left.
pub(super) fn kept(body: &[u8], callback_url: &str, paths: &Paths, pseudonyms: &mut Pseudonyms) -> Option<Value> {
    let events = cloud_events(body);
    let kept: Vec<Value> = events.iter().filter_map(|event| of_event(event, callback_url, paths, pseudonyms)).collect();
    (!kept.is_empty()).then_some(Value::Array(kept))
}

fn of_event(
    event: &Map<String, Value>,
    callback_url: &str,
    paths: &Paths,
    pseudonyms: &mut Pseudonyms,
) -> Option<Value> {
    let cloud_type = event.get("type")?.as_str()?.to_ascii_lowercase();
    let data = event.get("data")?;
    let data = match cloud_type.as_str() {
        STREAM_TYPE => of_stream(data, callback_url, paths, pseudonyms)?,
        PARTICIPANT_TYPE => of_callback(data, callback_url.to_owned(), paths, pseudonyms)?,
        _ => of_taskrouter(data.as_object()?, cloud_type.strip_prefix(TYPE_PREFIX)?, paths, pseudonyms)?,
    };
    let mut kept = json!({
        "specversion": "1.0", "type": cloud_type, "source": "/recorded", "datacontenttype": "application/json",
        "id": pseudonyms.sid_or_word(event.get("id").and_then(Value::as_str).unwrap_or_default()), "data": data,
    });
    if let Some(time) = event.get("time").and_then(Value::as_str).and_then(|time| pseudonyms.time(time)) {
        kept["time"] = json!(time);
    }
    Some(kept)
}

/// The payload has an Event Callback's parameters, in snake case.
fn of_taskrouter(
    data: &Map<String, Value>,
    event_type: &str,
    paths: &Paths,
    pseudonyms: &mut Pseudonyms,
) -> Option<Value> {
    // Of a type that is not known, the payload's fields would not say what they are.
    crate::twilio::event_types::EventType::named(event_type)?;
    let payload = data.get("payload")?.as_object()?;
    let mut kept = Map::new();
    for (name, value) in payload {
        let form_name = form_name(name);
        let time = value.as_str().filter(|_| form_name == "Timestamp").and_then(|time| pseudonyms.time(time));
        let replaced = match time {
            Some(time) => Some(time),
            None => one(&form_name, &text(value), paths, pseudonyms),
        };
        if let Some(replaced) = replaced {
            kept.insert(name.clone(), json!(replaced));
        }
    }
    let mut of_event = json!({"payload": kept});
    for field in ["sid", "account_sid", "workspace_sid"] {
        if let Some(sid) = data.get(field).and_then(Value::as_str).and_then(|sid| pseudonyms.sid(sid)) {
            of_event[field] = json!(sid);
        }
    }
    if let Some(time) = data.get("timestamp").and_then(Value::as_str).and_then(|time| pseudonyms.time(time)) {
        of_event["timestamp"] = json!(time);
    }
    Some(of_event)
}

/// Voice's event that a stream's status callback was sent.
fn of_stream(data: &Value, callback_url: &str, paths: &Paths, pseudonyms: &mut Pseudonyms) -> Option<Value> {
    let task = task_of_address(data.pointer("/request/url")?.as_str()?)?;
    let url = format!("{callback_url}?task={}", pseudonyms.sid(task.as_str())?);
    of_callback(data, url, paths, pseudonyms)
}

/// Voice's event that a status callback was sent to `url`.
fn of_callback(data: &Value, url: String, paths: &Paths, pseudonyms: &mut Pseudonyms) -> Option<Value> {
    let parameters = data.pointer("/request/parameters")?.as_object()?;
    let pairs: Vec<Pair<'_>> =
        parameters.iter().map(|(name, value)| (Cow::from(name.as_str()), Cow::from(text(value)))).collect();
    let kept: Map<String, Value> = forms::kept(&pairs, paths, pseudonyms)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let mut of_event = json!({"request": {"url": url, "method": "POST", "parameters": kept}});
    if let Some(time) = data.get("timestamp").and_then(Value::as_str).and_then(|time| pseudonyms.time(time)) {
        of_event["timestamp"] = json!(time);
    }
    Some(of_event)
}

fn one(name: &str, value: &str, paths: &Paths, pseudonyms: &mut Pseudonyms) -> Option<String> {
    let pair = [(Cow::from(name), Cow::from(value))];
    forms::kept(&pair, paths, pseudonyms).into_iter().next().map(|(_, value)| value)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
