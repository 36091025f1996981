//! Attributes of tasks and workers: only what the program reads, which is what it knows itself and what the configuration names.

use super::pseudonyms::{Pseudonyms, small_number};
use crate::twilio::attributes::{Attributes, FLAT_PAUSE};
use serde_json::{Map, Value, json};

/// Legs and what marks calls between agents, outside of `conference`.
const LEGS: [&str; 3] = ["call_sid", "worker_call_sid", "workerCallSid"];
const FLAGS: [&str; 2] = ["client_call", "internal"];
const CALLEES: [&str; 2] = ["outbound_to", "to"];
/// The participants that Flex names. A plugin may name others, by any name.
const ROLES: [&str; 3] = ["customer", "worker", "supervisor"];

/// The attributes' JSON. `paths` are those that the configuration names, with dots between.
pub(super) fn of_task(text: &str, paths: &[String], pseudonyms: &mut Pseudonyms) -> String {
    let found = Attributes::read(text).into_value();
    let mut kept = Map::new();
    let text = |name: &str| found.get(name).and_then(Value::as_str);
    if let Some(direction) = text("direction").filter(|direction| ["inbound", "outbound"].contains(direction)) {
        kept.insert("direction".to_owned(), json!(direction));
    }
    for leg in LEGS {
        if let Some(sid) = text(leg).and_then(|sid| pseudonyms.sid(sid)) {
            kept.insert(leg.to_owned(), json!(sid));
        }
    }
    for flag in FLAGS {
        match found.get(flag) {
            Some(Value::Bool(truth)) => drop(kept.insert(flag.to_owned(), json!(truth))),
            Some(Value::String(word)) if word == "true" || word == "false" => {
                kept.insert(flag.to_owned(), json!(word));
            }
            Some(_) | None => {}
        }
    }
    for callee in CALLEES {
        if let Some(address) = text(callee) {
            kept.insert(callee.to_owned(), json!(pseudonyms.address(address)));
        }
    }
    if let Some(conference) = found.get("conference") {
        kept.insert("conference".to_owned(), of_conference(conference, pseudonyms));
    }
    if let Some(paused) = found.pointer("/streams/paused") {
        kept.insert("streams".to_owned(), json!({"paused": of_pause(paused, pseudonyms)}));
    }
    if let Some(paused) = found.get(FLAT_PAUSE) {
        kept.insert(FLAT_PAUSE.to_owned(), of_pause(paused, pseudonyms));
    }
    add_configured(&mut kept, &found, paths, pseudonyms);
    Value::Object(kept).to_string()
}

/// A flag, or what is to be paused, why and for how long.
fn of_pause(found: &Value, pseudonyms: &mut Pseudonyms) -> Value {
    let Some(fields) = found.as_object() else { return found.as_bool().map_or(Value::Null, Value::Bool) };
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let mut kept = Map::new();
    for (name, kind) in [("id", "pause"), ("reason", "reason")] {
        if let Some(text) = text(name) {
            kept.insert(name.to_owned(), json!(pseudonyms.word(kind, text)));
        }
    }
    if let Some(reservation) = text("reservation").and_then(|sid| pseudonyms.sid(sid)) {
        kept.insert("reservation".to_owned(), json!(reservation));
    }
    if let Some(seconds) = fields.get("seconds").and_then(|seconds| small_number(&seconds.to_string())) {
        kept.insert("seconds".to_owned(), json!(seconds));
    }
    Value::Object(kept)
}

/// As [`of_task`]; of a worker the program reads only what the configuration names.
pub(super) fn of_worker(text: &str, paths: &[String], pseudonyms: &mut Pseudonyms) -> String {
    let (found, mut kept) = (Attributes::read(text).into_value(), Map::new());
    add_configured(&mut kept, &found, paths, pseudonyms);
    Value::Object(kept).to_string()
}

fn of_conference(found: &Value, pseudonyms: &mut Pseudonyms) -> Value {
    let mut kept = Map::new();
    if let Some(sid) = found.get("sid").and_then(Value::as_str).and_then(|sid| pseudonyms.sid(sid)) {
        kept.insert("sid".to_owned(), json!(sid));
    }
    if let Some(participants) = found.get("participants").and_then(Value::as_object) {
        let legs = participants.iter().filter_map(|(role, leg)| {
            let leg = pseudonyms.sid(leg.as_str()?)?;
            let known = ROLES.into_iter().find(|known| known == role).map(str::to_owned);
            Some((known.unwrap_or_else(|| pseudonyms.word("participant", role)), json!(leg)))
        });
        kept.insert("participants".to_owned(), Value::Object(legs.collect()));
    }
    Value::Object(kept)
}

/// Values that rules or parameters use: flags as they are, everything else replaced.
fn add_configured(kept: &mut Map<String, Value>, found: &Value, paths: &[String], pseudonyms: &mut Pseudonyms) {
    for path in paths {
        let names: Vec<&str> = path.split('.').collect();
        let value = names.iter().try_fold(found, |value, name| value.get(name));
        let Some(value) = value.and_then(|value| replaced(value, pseudonyms)) else { continue };
        let Some((last, above)) = names.split_last() else { continue };
        let place = above.iter().try_fold(&mut *kept, |object, name| {
            object.entry(*name).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
        });
        // What the program itself reads is there already.
        place.map(|object| object.entry(*last).or_insert(value));
    }
}

fn replaced(value: &Value, pseudonyms: &mut Pseudonyms) -> Option<Value> {
    match value {
        Value::Bool(truth) => Some(json!(truth)),
        Value::String(text) => Some(json!(pseudonyms.sid_or_word(text))),
        Value::Number(number) => Some(json!(pseudonyms.word("value", &number.to_string()))),
        Value::Array(items) => Some(items.iter().filter_map(|item| replaced(item, pseudonyms)).collect()),
        Value::Null | Value::Object(_) => None,
    }
}
