//! A call's evidence for an auditor: what was reported, what was commanded, and what proves the result.
//!
//! Facts are given as they are journaled, but for text of anybody's: of fields and of parameters only the names are given.

use super::view::{AccountNames, CallStory};
use crate::call::fact::Fact;
use crate::call::sid::TaskSid;
use crate::journal::Seq;
use crate::telemetry::{COMMIT, VERSION};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// Grows when a field changes its meaning.
const FORMAT: u32 = 1;

/// Objects of which only the keys are given.
const FIELDS: [&str; 2] = ["fields", "worker_fields"];

/// Pairs of which only the first is given.
const PARAMETERS: &str = "parameters";

/// What is exported.
#[derive(Debug, Serialize)]
pub(super) struct Evidence {
    format: u32,
    exported_at: String,
    version: &'static str,
    commit: &'static str,
    #[serde(flatten)]
    story: CallStory,
    facts: Vec<NumberedFact>,
}

/// A fact with its place in the journal.
#[derive(Debug, Serialize)]
struct NumberedFact {
    seq: Seq,
    at: String,
    kind: Value,
}

impl Evidence {
    /// Of these facts; `None` without any.
    pub(super) fn new(task: &TaskSid, facts: &[Fact], accounts: &AccountNames, now: Timestamp) -> Option<Self> {
        let story = CallStory::of(task, facts, accounts)?;
        let numbered = (1..).zip(facts).filter_map(|(seq, fact)| {
            let mut kind = serde_json::to_value(&fact.kind).ok()?;
            without_texts(&mut kind);
            let at = Timestamp::from_millisecond(fact.at).map_or_else(|_| fact.at.to_string(), |at| at.to_string());
            Some(NumberedFact { seq, at, kind })
        });
        Some(Self {
            format: FORMAT,
            exported_at: now.to_string(),
            version: VERSION,
            commit: COMMIT,
            facts: numbered.collect(),
            story,
        })
    }
}

fn without_texts(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object.iter_mut() {
                if FIELDS.contains(&key.as_str()) {
                    let names = inner.as_object().map(|fields| fields.keys().cloned().map(Value::from).collect());
                    *inner = names.unwrap_or_default();
                } else if key == PARAMETERS {
                    let first = |pair: &Value| pair.get(0).cloned();
                    let names = inner.as_array().map(|pairs| pairs.iter().filter_map(first).collect());
                    *inner = names.unwrap_or_default();
                } else {
                    without_texts(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_texts),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
