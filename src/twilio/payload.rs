//! Events as JSON, from Event Streams and from the Events resource: the fields of a callback's form in snake_case. They are
//! converted into the form's parameters, so that only [`super::event`] knows what events mean.
//!
//! The fields are those of `TaskRouter.WDSEvent`; only the names below do not follow the rule.
//! Source: <https://www.twilio.com/docs/events/event-types/taskrouter/task>.

use super::signature::Pair;
use crate::call::fact::EpochMs;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A form's parameters from an object's fields. A null is left out; other values that are not strings become their JSON, as
/// in a form.
pub(super) fn pairs(object: &Map<String, Value>) -> Vec<Pair<'_>> {
    object.iter().filter_map(|(name, value)| Some((Cow::from(form_name(name)), text(value)?))).collect()
}

/// A form's parameters from an object that has them under the form's own names.
pub(super) fn verbatim(object: &Map<String, Value>) -> Vec<Pair<'_>> {
    object.iter().filter_map(|(name, value)| Some((Cow::from(name.as_str()), text(value)?))).collect()
}

/// `Timestamp` and `TimestampMs`, from a point in time.
pub(super) fn moment(at: EpochMs) -> [Pair<'static>; 2] {
    let pair = |name, number: EpochMs| (Cow::from(name), Cow::from(number.to_string()));
    [pair("Timestamp", at.div_euclid(1000)), pair("TimestampMs", at)]
}

/// A point in time as in "2025-10-09T08:53:29.000Z".
pub(super) fn epoch_ms(iso8601: &Value) -> Option<EpochMs> {
    Some(iso8601.as_str()?.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

/// As in "TaskSid" for "task_sid".
pub(crate) fn form_name(name: &str) -> String {
    match name {
        "eventtype" => "EventType".to_owned(),
        "task_add_on_attributes" => "TaskAddons".to_owned(),
        _ => name.split('_').map(capitalised).collect(),
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::from(text.as_str())),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(Cow::from(value.to_string())),
    }
}
