//! Attributes of tasks and workers: JSON objects that TaskRouter, Flex and the customer's own Studio flow write to.
//! Source: <https://www.twilio.com/docs/taskrouter/contact-center-blueprint/call-control-concepts>.

use super::lenient_json;
use crate::call::fact::CallAttributes;
use crate::call::pause::{AttributePause, PauseScope};
use crate::call::sid::CallSid;
use serde_json::Value;

/// `streams.paused` as one name: a dot is a letter to JSON, and whoever reads of `streams.paused` may write it so.
pub(crate) const FLAT_PAUSE: &str = "streams.paused";

/// Attributes, as far as they can be read. Nothing fails: whatever is missing, of another type or not a SID is unknown.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Value);

impl Attributes {
    /// Reads a JSON text, also where it is not quite JSON. What cannot be repaired has no attributes.
    pub fn read(json: &str) -> Self {
        Self(lenient_json::read(json).unwrap_or_default())
    }

    /// The attributes themselves; null where they cannot be read.
    pub(crate) fn into_value(self) -> Value {
        self.0
    }

    /// What a task's attributes say about the call.
    pub fn call(&self) -> CallAttributes {
        let text = |name: &str| self.0.get(name).and_then(Value::as_str);
        let call = |sid: &str| sid.parse::<CallSid>().ok();
        let is_customer = |role: &str| is(role, "customer");
        let conference = self.0.get("conference");
        // Whoever is named in the conference and is not the customer: "worker", "supervisor", whatever a plugin adds.
        let participants = conference.and_then(|conference| conference.get("participants")).and_then(Value::as_object);
        let customers = participants.into_iter().flatten().filter(|(role, _)| is_customer(role));
        let customer = customers.filter_map(|(_, sid)| call(sid.as_str()?)).next();
        let named = participants.into_iter().flatten().filter(|(role, _)| !is_customer(role));
        let named = named.filter_map(|(_, sid)| sid.as_str()?.parse().ok());
        let workers = ["worker_call_sid", "workerCallSid"].into_iter().filter_map(|name| call(text(name)?));
        CallAttributes {
            outbound: self.is_outbound(),
            internal: self.is_internal(),
            call_sid: text("call_sid").and_then(call),
            conference: conference.and_then(|conference| conference.get("sid")?.as_str()?.parse().ok()),
            paused: self.paused(),
            other_legs: named.chain(workers).filter(|leg| Some(leg) != customer.as_ref()).collect(),
            customer,
        }
    }

    /// `streams.paused`, nested or as one name; of two that disagree the one that pauses. What cannot be understood pauses: only false
    /// resumes, and null says nothing.
    fn paused(&self) -> Option<Box<AttributePause>> {
        let nested = self.0.get("streams").and_then(|streams| streams.get("paused"));
        let forms = [nested, self.0.get(FLAT_PAUSE)].into_iter().flatten().filter(|told| !told.is_null());
        let told = forms.min_by_key(|told| **told == Value::Bool(false))?;
        let text = |name: &str| told.get(name).and_then(Value::as_str);
        let reservation = text("reservation").and_then(|sid| sid.parse().ok());
        Some(Box::new(AttributePause {
            paused: *told != Value::Bool(false),
            id: text("id").and_then(|id| id.parse().ok()),
            scope: reservation.map_or(PauseScope::Call, PauseScope::Reservation),
            reason: text("reason").and_then(|reason| reason.parse().ok()),
            seconds: told.get("seconds").and_then(Value::as_u64).and_then(|seconds| u32::try_from(seconds).ok()),
        }))
    }

    /// Whether an agent placed the call. Whatever is not said to be so counts as inbound.
    fn is_outbound(&self) -> bool {
        self.0.get("direction").and_then(Value::as_str).is_some_and(|direction| is(direction, "outbound"))
    }

    /// Whether agents call one another, as plugins for internal calls write it (lehel-twilio/plugin-dialpad and its kin): a
    /// mark of its own, or an outbound call to an address that is no telephone.
    fn is_internal(&self) -> bool {
        let text = |name: &str| self.0.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty());
        let is_true = |name: &str| match self.0.get(name) {
            Some(Value::Bool(truth)) => *truth,
            Some(Value::String(text)) => is(text, "true"),
            Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
        };
        let callee = || text("outbound_to").or_else(|| text("to"));
        let scheme = || callee()?.split_once(':').map(|(scheme, _)| scheme);
        let to_client =
            || scheme().is_some_and(|scheme| ["client", "sip"].iter().any(|own| scheme.eq_ignore_ascii_case(own)));
        is_true("client_call") || is_true("internal") || self.is_outbound() && to_client()
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

/// Whether a person or a program of others wrote this word: whatever its case, and with white space around it or not.
fn is(text: &str, word: &str) -> bool {
    text.trim().eq_ignore_ascii_case(word)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
