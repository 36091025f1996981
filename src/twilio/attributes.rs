//! A task's attributes: a JSON object that TaskRouter, Flex and the customer's own Studio flow all write into.
//! Source: <https://www.twilio.com/docs/taskrouter/contact-center-blueprint/call-control-concepts>.

use crate::call::fact::CallAttributes;
use serde_json::Value;

/// What the attributes say of the call. Never fails: attributes are written by anybody, so whatever is missing, of another
/// type or not a SID is simply not known.
pub fn call_attributes(json: &str) -> CallAttributes {
    let attributes: Value = serde_json::from_str(json).unwrap_or_default();
    let text = |pointer: &str| attributes.pointer(pointer).and_then(Value::as_str);
    CallAttributes {
        outbound: text("/direction") == Some("outbound"),
        customer: text("/conference/participants/customer")
            .and_then(|sid| sid.parse().ok())
            .or_else(|| text("/call_sid").and_then(|sid| sid.parse().ok())),
        conference: text("/conference/sid").and_then(|sid| sid.parse().ok()),
    }
}
