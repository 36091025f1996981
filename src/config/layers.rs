//! Layers of configuration, flattened to full key names, the later winning key by key.

use super::problem::ConfigError;
use config::{File, FileFormat, Source, Value, ValueKind};
use std::collections::BTreeMap;

/// The origin of the keys in `config/default.toml`.
pub(super) const DEFAULT_ORIGIN: &str = "the defaults";

/// The prefix of our own environment variables, and what stands between a section and a key.
pub(super) const PREFIX: &str = "TRS__";
pub(super) const SEPARATOR: &str = "__";

/// The names that every Twilio tool uses, and our keys for them.
pub(super) const TWILIO_NAMES: [(&str, &str); 7] = [
    ("TWILIO_ACCOUNT_SID", "twilio.account_sid"),
    ("TWILIO_AUTH_TOKEN", "twilio.auth_tokens"),
    ("TWILIO_API_KEY", "twilio.api_key"),
    ("TWILIO_API_SECRET", "twilio.api_secret"),
    ("TWILIO_WORKSPACE_SID", "twilio.workspace_sid"),
    ("TWILIO_REGION", "twilio.region"),
    ("TWILIO_EDGE", "twilio.edge"),
];

/// A value as it was written; without `Debug`, because it may be a secret. The environment writes text only, which the reader takes for what the key wants.
#[derive(Clone, PartialEq)]
pub(super) enum Raw {
    Text(String),
    Integer(i128),
    Truth(bool),
    List(Vec<Raw>),
    Table(BTreeMap<String, Raw>),
    /// A fraction, a date: no key wants one.
    Other,
}

/// A value and where it came from.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) raw: Raw,
    pub(super) origin: String,
    /// Came as an environment variable's text: lists are separated by commas.
    pub(super) from_environment: bool,
}

/// What all layers say together.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) found: BTreeMap<String, Found>,
}

impl Layers {
    /// Adds a file's keys.
    pub(super) fn add_toml(&mut self, origin: &str, text: &str) -> Result<(), ConfigError> {
        let table = File::from_str(text, FileFormat::Toml).collect().map_err(|error| syntax(origin, &error))?;
        for (key, value) in table {
            self.add_value(origin, key, raw(value));
        }
        Ok(())
    }

    /// Adds the environment's keys: Twilio's own names below ours. An empty one of Twilio's is as good as unset, which is
    /// how container tools pass on what they have not got.
    pub(super) fn add_environment(&mut self, environment: &BTreeMap<String, String>) {
        for (name, key) in TWILIO_NAMES {
            if let Some(text) = environment.get(name).filter(|text| !text.is_empty()) {
                self.add_variable(name, key.to_owned(), text);
            }
        }
        for (name, text) in environment {
            if let Some(rest) = name.strip_prefix(PREFIX) {
                self.add_variable(name, rest.to_ascii_lowercase().replace(SEPARATOR, "."), text);
            }
        }
    }

    fn add_variable(&mut self, name: &str, key: String, text: &str) {
        let found = Found { raw: Raw::Text(text.to_owned()), origin: name.to_owned(), from_environment: true };
        self.found.insert(key, found);
    }

    /// An empty table is kept as it is, so that a misspelt section without keys is noticed too.
    fn add_value(&mut self, origin: &str, key: String, value: Raw) {
        match value {
            Raw::Table(table) if !table.is_empty() => {
                for (name, value) in table {
                    self.add_value(origin, format!("{key}.{name}"), value);
                }
            }
            raw @ (Raw::Table(_) | Raw::Text(_) | Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Other) => {
                // A copy of the defaults sets nothing.
                if self.found.get(&key).is_none_or(|found| found.origin != DEFAULT_ORIGIN || found.raw != raw) {
                    self.found.insert(key, Found { raw, origin: origin.to_owned(), from_environment: false });
                }
            }
        }
    }
}

fn raw(value: Value) -> Raw {
    match value.kind {
        ValueKind::String(text) => Raw::Text(text),
        ValueKind::I64(number) => Raw::Integer(number.into()),
        ValueKind::U64(number) => Raw::Integer(number.into()),
        ValueKind::I128(number) => Raw::Integer(number),
        ValueKind::U128(number) => i128::try_from(number).map_or(Raw::Other, Raw::Integer),
        ValueKind::Array(list) => Raw::List(list.into_iter().map(raw).collect()),
        ValueKind::Table(table) => Raw::Table(table.into_iter().map(|(key, value)| (key, raw(value))).collect()),
        ValueKind::Boolean(truth) => Raw::Truth(truth),
        ValueKind::Nil | ValueKind::Float(_) => Raw::Other,
    }
}

/// The parser's message quotes the offending line, which may hold a token: only the place is taken from it.
fn syntax(origin: &str, error: &config::ConfigError) -> ConfigError {
    let message = error.to_string();
    let place = message.lines().next().and_then(|first| first.split_once("at line ")).map(|(_, place)| place);
    let is_place = |text: &&str| text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase() || ", ".contains(c));
    let place = place.filter(is_place).map_or_else(|| "check its syntax".to_owned(), |p| format!("see line {p}"));
    ConfigError::Syntax { origin: origin.to_owned(), place }
}
