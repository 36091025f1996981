//! `[[streams.rules]]`: the destinations that streams of certain calls or workers may go to.

use crate::call::rules::{Condition, Rule};
use crate::config::DestinationConfig;
use crate::config::layers::Raw;
use crate::config::reader::Reader;
use crate::twilio::interest::is_field;
use std::collections::BTreeMap;

const RULES: &str = "streams.rules";
const REMEDY: &str = "write [[streams.rules]] with conditions such as task_queue = \"Support\" and destinations = [\"A\"] or [] for none";
const KEYS: &str = "task_queue, workflow, channel, task_attributes, worker_attributes and destinations";

/// Conditions on a field of one or two names.
const SIMPLE: [(&str, &[&str]); 3] = [
    ("task_queue", &["task.queue.name", "task.queue.sid"]),
    ("workflow", &["workflow.name", "workflow.sid"]),
    ("channel", &["task.channel"]),
];

/// Conditions on attributes: a table of paths and values.
const ATTRIBUTES: [(&str, &str); 2] =
    [("task_attributes", "task.attributes."), ("worker_attributes", "worker.attributes.")];

pub(super) fn rules(reader: &mut Reader, destinations: Option<&[DestinationConfig]>) -> Option<Vec<Rule>> {
    let Some(found) = reader.take(RULES) else { return Some(Vec::new()) };
    let Raw::List(items) = found.raw else {
        reader.problem(RULES, "is not a list of tables", REMEDY);
        return None;
    };
    let mut rules = Some(Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        let mut note = |key: &str, wrong: &str| {
            reader.item_problem(format!("{RULES}.{place}{key}"), Some(found.origin.clone()), wrong, REMEDY);
        };
        let rule = match item {
            Raw::Table(keys) => rule(keys, destinations, &mut note),
            Raw::Text(_) | Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Other => {
                note("", "is not a table");
                None
            }
        };
        match (&mut rules, rule) {
            (Some(rules), Some(rule)) => rules.push(rule),
            (_, None) => rules = None,
            (None, Some(_)) => {}
        }
    }
    rules
}

fn rule(
    mut keys: BTreeMap<String, Raw>,
    destinations: Option<&[DestinationConfig]>,
    note: &mut impl FnMut(&str, &str),
) -> Option<Rule> {
    let slots = slots(keys.remove("destinations"), destinations, note);
    let mut when = Some(Vec::new());
    let mut add = |condition: Option<Condition>| match (&mut when, condition) {
        (Some(when), Some(condition)) => when.push(condition),
        (_, None) => when = None,
        (None, Some(_)) => {}
    };
    for (key, fields) in SIMPLE {
        if let Some(raw) = keys.remove(key) {
            let fields = fields.iter().map(|field| (*field).to_owned()).collect();
            let value = text(raw);
            if value.is_none() {
                note(&format!(".{key}"), "is not a string");
            }
            add(value.map(|equals| Condition { fields, equals }));
        }
    }
    for (key, prefix) in ATTRIBUTES {
        match keys.remove(key) {
            None => {}
            Some(Raw::Table(table)) => {
                for (path, raw) in table {
                    let field = format!("{prefix}{path}");
                    let condition = text(raw).filter(|_| is_field(&field));
                    if condition.is_none() {
                        note(
                            &format!(".{key}.{path}"),
                            "is not an attribute's path with a string, number or truth value",
                        );
                    }
                    add(condition.map(|equals| Condition { fields: vec![field], equals }));
                }
            }
            Some(Raw::Text(_) | Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Other) => {
                note(&format!(".{key}"), "is not a table of attributes and values");
                add(None);
            }
        }
    }
    for key in keys.keys() {
        note(&format!(".{key}"), &format!("is not a key; the keys there are {KEYS}"));
    }
    if !keys.is_empty() {
        return None;
    }
    Some(Rule { when: when?, slots: slots? })
}

/// The destinations that the rule allows, by name.
fn slots(
    raw: Option<Raw>,
    destinations: Option<&[DestinationConfig]>,
    note: &mut impl FnMut(&str, &str),
) -> Option<Vec<usize>> {
    const KEY: &str = ".destinations";
    let Some(Raw::List(names)) = raw else {
        note(KEY, "is missing or not a list");
        return None;
    };
    let mut slots = Some(Vec::new());
    for name in names {
        let name = text(name).unwrap_or_default();
        // When the destinations themselves are wrong, that is the problem to report.
        let slot = destinations?.iter().position(|destination| destination.name == name);
        if slot.is_none() {
            note(KEY, &format!("names the unknown destination {name:?}"));
        }
        slots = slots.zip(slot).map(|(mut slots, slot)| {
            slots.push(slot);
            slots
        });
    }
    slots
}

/// The value as a field would have it.
fn text(raw: Raw) -> Option<String> {
    match raw {
        Raw::Text(text) => Some(text),
        Raw::Integer(number) => Some(number.to_string()),
        Raw::Truth(truth) => Some(truth.to_string()),
        Raw::List(_) | Raw::Table(_) | Raw::Other => None,
    }
}
