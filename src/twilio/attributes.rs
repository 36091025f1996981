//! Attributes of tasks and workers: JSON objects that TaskRouter, Flex and the customer's own Studio flow write to.
//! Source: <https://www.twilio.com/docs/taskrouter/contact-center-blueprint/call-control-concepts>.

use crate::call::fact::CallAttributes;
use serde_json::Value;

/// Attributes, as far as they can be read. Nothing fails: whatever is missing, of another type or not a SID is unknown.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Value);

impl Attributes {
    /// Reads a JSON text. Invalid JSON has no attributes.
    pub fn read(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap_or_default())
    }

    /// What a task's attributes say about the call.
    pub fn call(&self) -> CallAttributes {
        let text = |pointer: &str| self.0.pointer(pointer).and_then(Value::as_str);
        CallAttributes {
            outbound: text("/direction") == Some("outbound"),
            customer: text("/conference/participants/customer")
                .and_then(|sid| sid.parse().ok())
                .or_else(|| text("/call_sid").and_then(|sid| sid.parse().ok())),
            conference: text("/conference/sid").and_then(|sid| sid.parse().ok()),
            worker_leg: text("/conference/participants/worker").and_then(|sid| sid.parse().ok()),
        }
    }

    /// The values at a path of names separated by dots: a string, number or boolean, or each of a list of them; else none.
    pub fn values(&self, path: &str) -> Vec<String> {
        let found = path.split('.').try_fold(&self.0, |value, name| value.get(name));
        match found {
            Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
            Some(value) => scalar(value).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
