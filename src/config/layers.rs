//! Layers of configuration, flattened to full key names, the later winning key by key.

use super::files::{self, FileValue, FileValues};
use super::names::{MISWRITTEN_PREFIX, PREFIX, PROXY_NAMES, SEPARATOR, TWILIO_NAMES};
use super::problem::{ConfigError, Problem};
use config::{File, FileFormat, Source, Value, ValueKind};
use std::collections::{BTreeMap, BTreeSet};

/// The reference of every key, and the lowest layer.
pub(super) const DEFAULT: &str = include_str!("../../config/default.toml");

/// The origin of the keys in [`DEFAULT`].
pub(super) const DEFAULT_ORIGIN: &str = "the defaults";

/// A value as it was written; without `Debug`, because it may be a secret. The environment holds text only; the reader
/// converts it to what the key needs.
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

/// All layers merged.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) found: BTreeMap<String, Found>,
    /// Keys that a file sets to their default.
    pub(super) repeated: BTreeSet<String>,
    /// A file's lists of tables that an environment variable replaced as a whole, by key.
    pub(super) replaced: BTreeMap<String, Replaced>,
    /// Variables that begin like ours and have one underscore where two belong.
    pub(super) miswritten: Vec<String>,
    /// Files of single values that could not be read.
    pub(super) problems: Vec<Problem>,
}

/// A file's list of tables that an environment variable replaced.
#[derive(Clone)]
pub(super) struct Replaced {
    /// How many tables the file had.
    pub(super) tables: usize,
    /// The file.
    pub(super) origin: String,
    /// The variable that replaced them.
    pub(super) by: String,
}

impl Layers {
    /// Leaves only the keys that are asked for, and what is wrong with them.
    pub(super) fn retain(&mut self, is_asked_for: impl Fn(&str) -> bool) {
        self.found.retain(|key, _| is_asked_for(key));
        self.problems.retain(|problem| is_asked_for(&problem.key));
    }

    /// Adds a file's keys.
    pub(super) fn add_toml(&mut self, origin: &str, text: &str) -> Result<(), ConfigError> {
        let table = File::from_str(text, FileFormat::Toml).collect().map_err(|error| syntax(origin, text, &error))?;
        for (key, value) in table {
            self.add_value(origin, key, raw(value));
        }
        Ok(())
    }

    /// Adds the environment's keys: systemd's credentials, then the names that others know, then ours. An empty one of theirs is as
    /// good as unset, which is how container tools pass on what they have not got.
    pub(super) fn add_environment(&mut self, environment: &BTreeMap<String, String>) {
        let FileValues { credentials, twilio, own, problems } = files::values(environment);
        self.problems.extend(problems);
        self.add_files(credentials);
        for (name, key) in PROXY_NAMES.into_iter().chain(TWILIO_NAMES) {
            if let Some(text) = environment.get(name).filter(|text| !text.is_empty()) {
                self.add_variable(name, key.to_owned(), text);
            }
        }
        self.add_files(twilio);
        self.add_files(own);
        for (name, text) in environment.iter().filter(|(name, _)| files::key_of(name).is_none()) {
            if let Some(rest) = name.strip_prefix(PREFIX) {
                self.add_variable(name, rest.to_ascii_lowercase().replace(SEPARATOR, "."), text);
            } else if name.starts_with(MISWRITTEN_PREFIX) {
                self.miswritten.push(name.clone());
            }
        }
    }

    fn add_files(&mut self, values: Vec<FileValue>) {
        for FileValue { key, origin, text } in values {
            self.add_variable(&origin, key, &text);
        }
    }

    fn add_variable(&mut self, name: &str, key: String, text: &str) {
        let found = Found { raw: Raw::Text(text.to_owned()), origin: name.to_owned(), from_environment: true };
        let before = self.found.insert(key.clone(), found);
        if let Some(Found { raw: Raw::List(items), origin, .. }) = before
            && items.iter().any(|item| matches!(item, Raw::Table(_)))
        {
            self.replaced.insert(key, Replaced { tables: items.len(), origin, by: name.to_owned() });
        }
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
                if self.found.get(&key).is_some_and(|found| found.origin == DEFAULT_ORIGIN && found.raw == raw) {
                    self.repeated.insert(key);
                } else {
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

/// The parser's message quotes the offending line, which may hold a token: its place and its reason are taken over, and the
/// line with its value left out.
fn syntax(origin: &str, text: &str, error: &config::ConfigError) -> ConfigError {
    let message = error.to_string();
    let mut lines = message.lines();
    let place = lines.next().and_then(|first| first.split_once("at line ")).map(|(_, place)| place);
    let place = place.filter(|place| place.chars().all(|c| c.is_ascii_alphanumeric() || ", ".contains(c)));
    let Some(place) = place else {
        let (place, reason) = match line_out_of_range(text) {
            Some((number, line)) => (
                format!("line {number}"),
                format!(": its number is out of range\n  {number} | {}", without_value(line)),
            ),
            None => ("its syntax".to_owned(), String::new()),
        };
        return ConfigError::Syntax { origin: origin.to_owned(), place, reason };
    };
    let number: usize = place.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let line = text.lines().nth(number.saturating_sub(1)).unwrap_or_default();
    // The reason follows the line that marks the column.
    let reason = lines.next_back().filter(|reason| !reason.contains('|') && !quotes_from(reason, line));
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    ConfigError::Syntax {
        origin: origin.to_owned(),
        place: format!("line {place}"),
        reason: format!("{reason}\n  {number} | {}", without_value(line)),
    }
}

/// The line that is TOML and has a number that no key can have: the parser does not say where.
fn line_out_of_range(text: &str) -> Option<(usize, &str)> {
    let is_out_of_range = |line: &str| {
        let read = File::from_str(line, FileFormat::Toml).collect();
        read.is_err_and(|error| !error.to_string().contains("at line "))
    };
    (1..).zip(text.lines()).find(|(_, line)| is_out_of_range(line))
}

/// Whether a message repeats a word of a line that may hold a secret.
fn quotes_from(message: &str, line: &str) -> bool {
    const SHORTEST_SECRET: usize = 6;
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.len() >= SHORTEST_SECRET).any(|word| message.contains(word))
}

/// A line of which only the key, if it is one of ours, and the brackets and quotation marks around the value are left.
fn without_value(line: &str) -> String {
    const MARKS: &[char] = &['[', ']', '{', '}', '"', '\'', ',', ' '];
    let Some((key, value)) = line.split_once('=').filter(|(key, _)| is_known(key.trim())) else {
        return "…".to_owned();
    };
    let opening: String = value.chars().take_while(|c| MARKS.contains(c)).collect();
    let rest = value.strip_prefix(&opening).unwrap_or_default();
    let inside = rest.trim_end_matches(MARKS);
    let closing = rest.strip_prefix(inside).unwrap_or_default();
    let hidden = if inside.is_empty() { "" } else { "…" };
    format!("{}={opening}{hidden}{closing}", key)
}

/// Whether the default file shows a key of this name in any section.
fn is_known(key: &str) -> bool {
    let shown = DEFAULT.lines().map(|line| line.trim_start_matches("# "));
    !key.is_empty() && shown.filter_map(|line| line.split_once(" = ")).any(|(known, _)| known == key)
}
