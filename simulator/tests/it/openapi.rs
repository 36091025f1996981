//! Twilio's own specification of its API, against which answers are held: which status, which fields, of which types.
//!
//! `tests/twilio-oai.json` is the part of <https://github.com/twilio/twilio-oai> 2.6.7 (MIT, Copyright (C) 2023, Twilio, Inc.)
//! that describes what is simulated, without its prose and its request bodies.

use serde_json::Value;
use std::collections::BTreeSet;
use twilio_simulator::world::Reply;

/// Fields that Twilio's answers have and its specification has not.
const UNSPECIFIED: [&str; 1] = ["receive_events_from_subaccounts"];

pub(super) struct Spec(Value);

impl Spec {
    pub(super) fn new() -> Self {
        Self(serde_json::from_str(include_str!("../twilio-oai.json")).unwrap())
    }

    /// Every operation as a method, a path with names in braces, and what is specified of it.
    pub(super) fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let operations = self.0["operations"].as_object().unwrap().iter();
        operations.map(|(name, operation)| {
            let (method, path) = name.split_once(' ').unwrap();
            (method, path, operation)
        })
    }

    /// What is wrong with an answer of success, as lines. Answers of failure are not specified.
    pub(super) fn faults(&self, method: &str, path: &str, reply: &Reply) -> Vec<String> {
        if reply.status >= 400 {
            return Vec::new();
        }
        let found = self.operations().find(|(other, template, _)| *other == method && is_of(template, path));
        let Some((_, _, operation)) = found else { return vec![format!("{method} {path} is not specified")] };
        let mut faults = Vec::new();
        if operation["status"] != reply.status {
            faults.push(format!("the status is {}, not {}", reply.status, operation["status"]));
        }
        if !operation["body"].is_null() {
            self.compare("", &operation["body"], &reply.body, &mut faults);
        }
        faults
    }

    fn compare(&self, place: &str, schema: &Value, found: &Value, faults: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            // Enumerations are nullable where they are used, which a reference cannot say.
            let target = &self.0["schemas"][name];
            if !(found.is_null() && target["enum"].is_array()) {
                self.compare(place, target, found, faults);
            }
            return;
        }
        if found.is_null() {
            if schema["nullable"] != true {
                faults.push(format!("{place} is null"));
            }
            return;
        }
        let kind = match found {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if schema["type"].as_str().is_some_and(|specified| specified != kind) {
            return faults.push(format!("{place} is of type {kind}, not {}", schema["type"]));
        }
        match found {
            Value::String(text) if !is_valid(schema, text) => faults.push(format!("{place} is {text:?}: {schema}")),
            Value::Array(items) => {
                items.iter().for_each(|item| self.compare(&format!("{place}[]"), &schema["items"], item, faults));
            }
            Value::Object(fields) => {
                let Some(specified) = schema["properties"].as_object() else { return };
                let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<BTreeSet<_>>();
                for name in names(specified).symmetric_difference(&names(fields)) {
                    match specified.contains_key(name) {
                        true => faults.push(format!("{place}.{name} is missing")),
                        false if UNSPECIFIED.contains(&name.as_str()) => {}
                        false => faults.push(format!("{place}.{name} is not specified")),
                    }
                }
                for (name, schema) in specified.iter().filter(|(name, _)| fields.contains_key(*name)) {
                    self.compare(&format!("{place}.{name}"), schema, &fields[name], faults);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Whether the path is one of those that the template means.
fn is_of(template: &str, path: &str) -> bool {
    let (names, segments): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let fits = |(name, segment): (&&str, &&str)| match name.strip_suffix(".json") {
        Some(name) if name.starts_with('{') => segment.ends_with(".json"),
        Some(_) => name == segment,
        None => name.starts_with('{') || name == segment,
    };
    names.len() == segments.len() && names.iter().zip(&segments).all(fits)
}

fn is_valid(schema: &Value, text: &str) -> bool {
    let is_listed = schema["enum"].as_array().is_none_or(|values| values.iter().any(|value| value == text));
    // The only patterns are those of SIDs: two letters, certain or any, and 32 hexadecimal digits.
    let is_sid = schema["pattern"].as_str().is_none_or(|pattern| {
        let (prefix, digits) = text.split_at_checked(2).unwrap_or_default();
        let specified = pattern.trim_start_matches('^').split('[').next().unwrap_or_default();
        (specified.is_empty() || specified == prefix)
            && digits.len() == 32
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let has_format = match schema["format"].as_str() {
        Some("date-time-rfc-2822") => jiff::fmt::rfc2822::parse(text).is_ok(),
        Some("date-time") => text.parse::<jiff::Timestamp>().is_ok(),
        // Of the API of 2010 it is relative.
        Some("uri") => text.starts_with("http") || text.starts_with("/2010-04-01/"),
        Some(_) | None => true,
    };
    is_listed && is_sid && has_format
}
