//! Reading single keys: each method takes one key out of the layers, and records a problem instead of stopping at it.

use super::layers::{DEFAULT_ORIGIN, Found, Layers, Raw};
use super::names::{PREFIX, SEPARATOR};
use super::problem::{ConfigError, Problem};
use crate::call::sid::NotASid;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Lists and tables whose parts the environment can name too.
const WITH_PARTS: [&str; 2] = ["streams.destinations", "accounts"];

/// An hour: longer than any wait for a call, and far below where sums overflow.
pub(super) const HOUR_MS: u64 = 3_600_000;

/// The keys that were not read yet, and the problems of those that were.
pub(super) struct Reader {
    left: BTreeMap<String, Found>,
    miswritten: Vec<String>,
    repeated: BTreeSet<String>,
    known: BTreeSet<&'static str>,
    origins: BTreeMap<&'static str, String>,
    numbers: BTreeMap<&'static str, u64>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Reader {
        Reader {
            left: layers.found,
            miswritten: layers.miswritten,
            repeated: layers.repeated,
            known: BTreeSet::new(),
            origins: BTreeMap::new(),
            numbers: BTreeMap::new(),
            problems: layers.problems,
        }
    }

    /// The problems of the keys that were read; other keys are left to other readers.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The problems so far.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The settings if nothing was wrong, else every problem, unknown keys included.
    pub(super) fn finish<T>(mut self, settings: Option<T>) -> Result<T, ConfigError> {
        for (key, found) in std::mem::take(&mut self.left) {
            if !(found.from_environment && self.report_miswritten(&found.origin)) {
                self.unknown(key, found);
            }
        }
        for variable in std::mem::take(&mut self.miswritten) {
            self.report_miswritten(&variable);
        }
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            Some(_) | None => Err(ConfigError::Invalid(self.problems)),
        }
    }

    /// Reports a variable with one underscore where two belong, if the name would be one of our keys: others may be for another program.
    /// Returns whether it is one.
    fn report_miswritten(&mut self, variable: &str) -> bool {
        let words = |name: &str| name.to_ascii_lowercase().replace('.', "_").replace(SEPARATOR, "_");
        let written = words(variable);
        let Some(written) = written.strip_prefix("trs_") else { return false };
        let (written, ending) = written.strip_suffix("_file").map_or((written, ""), |plain| (plain, "_FILE"));
        let is_meant = |key: &&&str| {
            let rest = written.strip_prefix(&words(key));
            rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('_') && WITH_PARTS.contains(key)))
        };
        let Some(key) = self.known.iter().find(is_meant).map(|key| (*key).to_owned()) else { return false };
        let remedy = format!("rename it to {PREFIX}{}{ending}", key.to_ascii_uppercase().replace('.', SEPARATOR));
        let remedy = if WITH_PARTS.contains(&key.as_str()) {
            format!("{remedy}{SEPARATOR}…, with two underscores throughout")
        } else {
            remedy
        };
        let wrong = "is not read, because it has one underscore where two belong".to_owned();
        self.problems.push(Problem { key, origin: Some(variable.to_owned()), wrong, remedy });
        true
    }

    fn unknown(&mut self, key: String, found: Found) {
        let section = key.split('.').next().unwrap_or_default();
        let prefix = format!("{section}.");
        let siblings: Vec<&str> = self.known.iter().filter(|known| known.starts_with(&prefix)).copied().collect();
        let is_section = key == section && !siblings.is_empty();
        if is_section && matches!(found.raw, Raw::Table(_)) {
            return;
        }
        let (wrong, remedy) = if is_section {
            ("is a section, not a key".to_owned(), format!("the keys in it are {}", siblings.join(", ")))
        } else if siblings.is_empty() {
            let sections: BTreeSet<&str> =
                self.known.iter().filter_map(|known| known.split_once('.')).map(|(section, _)| section).collect();
            let sections: Vec<&str> = sections.into_iter().collect();
            (format!("is in the unknown section {section}"), format!("the sections are {}", sections.join(", ")))
        } else {
            ("is not a key".to_owned(), format!("the keys there are {}", siblings.join(", ")))
        };
        self.problems.push(Problem { key, origin: Some(found.origin), wrong, remedy });
    }

    /// Records a problem of a key that was read or is missing.
    pub(super) fn problem(&mut self, key: &'static str, wrong: impl Into<String>, remedy: impl Into<String>) {
        let origin = self.origins.get(key).cloned();
        self.problems.push(Problem { key: key.to_owned(), origin, wrong: wrong.into(), remedy: remedy.into() });
    }

    /// Takes a key; `None` when no layer has it.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Found> {
        self.known.insert(key);
        let found = self.left.remove(key)?;
        self.origins.insert(key, found.origin.clone());
        Some(found)
    }

    /// The file or the variable that set a key that was read; `None` when only the defaults did.
    pub(super) fn set_by(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(String::as_str).filter(|origin| *origin != DEFAULT_ORIGIN)
    }

    /// Whether a file or a variable names a key that was read, perhaps with its default.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.set_by(key).is_some() || self.repeated.contains(key)
    }

    /// Takes a key that must be there.
    pub(super) fn required(&mut self, key: &'static str, remedy: &str) -> Option<Found> {
        let found = self.take(key);
        let is_unread = self.problems.iter().any(|problem| problem.key == key);
        if found.is_none() && !is_unread {
            self.problem(key, "is missing", remedy);
        }
        found
    }

    /// A text that may be missing, which an empty one is as well.
    pub(super) fn optional_text(&mut self, key: &'static str) -> Option<String> {
        let found = self.take(key)?;
        self.text_of(key, found).filter(|text| !text.is_empty())
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, key: &'static str, remedy: &str) -> Option<String> {
        let found = self.required(key, remedy)?;
        let text = self.text_of(key, found)?;
        if text.is_empty() {
            self.problem(key, "is empty", remedy);
            return None;
        }
        Some(text)
    }

    fn text_of(&mut self, key: &'static str, found: Found) -> Option<String> {
        match found.raw {
            Raw::Text(text) => Some(text),
            Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Table(_) | Raw::Other => {
                self.problem(key, "is not a string", "write it in quotation marks");
                None
            }
        }
    }

    /// A SID, which is never quoted.
    pub(super) fn sid<T: FromStr<Err = NotASid>>(&mut self, key: &'static str, remedy: &str) -> Option<T> {
        let text = self.text(key, remedy)?;
        let lower_case =
            |text: &str| text.get(2..).is_some_and(|digits| !digits.contains(|c: char| c.is_ascii_uppercase()));
        match text.parse() {
            Ok(sid) if lower_case(&text) => Some(sid),
            Ok(_) => {
                let wrong = "has digits in upper case, and SIDs are compared as written";
                self.problem(key, wrong, "copy it from the Twilio Console, which shows it in lower case");
                None
            }
            Err(error) => {
                self.problem(key, format!("is {error}"), remedy);
                None
            }
        }
    }

    /// An address to listen on.
    pub(super) fn address(&mut self, key: &'static str) -> Option<SocketAddr> {
        let remedy = "write an IP address and a port, as in \"127.0.0.1:9090\"";
        let parsed = self.text(key, remedy)?.parse().ok();
        if parsed.is_none() {
            self.problem(key, "is not an address", remedy);
        }
        parsed
    }

    /// A whole number within the range.
    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let found = self.required(key, "write a whole number")?;
        let number = self.number_of(key, found.raw, &range)?;
        self.numbers.insert(key, number);
        Some(number)
    }

    /// A number that was read before and was within its range.
    pub(super) fn read(&self, key: &'static str) -> Option<u64> {
        self.numbers.get(key).copied()
    }

    /// A count within the range.
    pub(super) fn count(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<usize> {
        // Every range in use ends below 2³², so nothing is lost.
        usize::try_from(self.number(key, range)?).ok()
    }

    /// A time; the key's name and the range are in milliseconds.
    pub(super) fn millis(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<Duration> {
        self.number(key, range).map(Duration::from_millis)
    }

    /// A list of times, not empty.
    pub(super) fn millis_list(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<Vec<Duration>> {
        let remedy = "list milliseconds, as in [0, 50, 100, 200]";
        let items = self.list(key, remedy)?;
        let times: Option<Vec<_>> =
            items.into_iter().map(|item| self.number_of(key, item, &range).map(Duration::from_millis)).collect();
        let times = times?;
        if times.is_empty() {
            self.problem(key, "is empty", remedy);
            return None;
        }
        Some(times)
    }

    fn number_of(&mut self, key: &'static str, raw: Raw, range: &RangeInclusive<u64>) -> Option<u64> {
        let remedy = format!("write a whole number from {} to {}", range.start(), range.end());
        let number = match raw {
            Raw::Integer(number) => Some(number),
            Raw::Text(text) => text.trim().parse().ok(),
            Raw::Truth(_) | Raw::List(_) | Raw::Table(_) | Raw::Other => None,
        };
        let Some(number) = number else {
            self.problem(key, "is not a whole number", remedy);
            return None;
        };
        let within = u64::try_from(number).ok().filter(|number| range.contains(number));
        if within.is_none() {
            self.problem(key, format!("is {number}"), remedy);
        }
        within
    }

    /// A list; a text from the environment is split at its commas.
    pub(super) fn list(&mut self, key: &'static str, remedy: &str) -> Option<Vec<Raw>> {
        let found = self.required(key, remedy)?;
        match found.raw {
            Raw::List(items) => Some(items),
            Raw::Text(text) if found.from_environment => {
                Some(text.split(',').map(|item| Raw::Text(item.trim().to_owned())).collect())
            }
            Raw::Text(_) | Raw::Integer(_) | Raw::Truth(_) | Raw::Table(_) | Raw::Other => {
                self.problem(key, "is not a list", remedy);
                None
            }
        }
    }

    /// A list of secrets, of which there must be one and none may be empty.
    pub(super) fn secrets(&mut self, key: &'static str, remedy: &str) -> Option<Vec<SecretString>> {
        let items = self.list(key, remedy)?;
        if items.is_empty() {
            self.problem(key, "is an empty list", remedy);
            return None;
        }
        let mut secrets = Vec::new();
        for (place, item) in items.into_iter().enumerate() {
            match item {
                Raw::Text(text) if is_secret(&text) => secrets.push(SecretString::from(text)),
                Raw::Text(_) | Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Table(_) | Raw::Other => {
                    let wrong =
                        format!("has an item {} that is empty, contains white space or is not a string", place + 1);
                    self.problem(key, wrong, remedy);
                    return None;
                }
            }
        }
        Some(secrets)
    }

    /// A secret that may be missing.
    pub(super) fn optional_secret(&mut self, key: &'static str) -> Option<SecretString> {
        let text = self.optional_text(key)?;
        if !is_secret(&text) {
            self.problem(key, "contains white space", "copy it again");
            return None;
        }
        Some(SecretString::from(text))
    }

    /// One of several names.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let remedy = format!("write {}", names.join(" or "));
        let text = self.text(key, &remedy)?;
        let choice = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if choice.is_none() {
            self.problem(key, format!("is {:?}", shortened(&text)), remedy);
        }
        choice
    }

    pub(super) fn truth(&mut self, key: &'static str) -> Option<bool> {
        let found = self.required(key, "write true or false")?;
        let truth = truth_of(&found);
        if truth.is_none() {
            self.problem(key, "is neither true nor false", "write true or false");
        }
        truth
    }

    /// A list of texts, none of them empty.
    pub(super) fn texts(&mut self, key: &'static str, remedy: &str) -> Option<Vec<String>> {
        let items = self.list(key, remedy)?;
        let texts: Option<Vec<String>> = items.into_iter().map(nonempty_text).collect();
        let texts = texts.filter(|texts| !texts.is_empty());
        if texts.is_none() {
            self.problem(key, "is empty or has an item that is not a string", remedy);
        }
        texts
    }

    /// Takes all keys below a key, as (rest of the name, value): how the environment sets single items of a list.
    pub(super) fn take_below(&mut self, key: &str) -> Vec<(String, Found)> {
        let prefix = format!("{key}.");
        let names: Vec<String> = self.left.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
        let entry = |name: String| {
            let found = self.left.remove(&name)?;
            Some((name.strip_prefix(&prefix)?.to_owned(), found))
        };
        names.into_iter().filter_map(entry).collect()
    }

    /// Records a problem of an item of a list, by its full name.
    pub(super) fn item_problem(&mut self, key: String, origin: Option<String>, wrong: &str, remedy: &str) {
        let (wrong, remedy) = (wrong.to_owned(), remedy.to_owned());
        self.problems.push(Problem { key, origin, wrong, remedy });
    }
}

/// A truth value, which the environment holds as text.
pub(super) fn truth_of(found: &Found) -> Option<bool> {
    match &found.raw {
        Raw::Truth(truth) => Some(*truth),
        Raw::Text(text) if found.from_environment => text.trim().parse().ok(),
        Raw::Text(_) | Raw::Integer(_) | Raw::List(_) | Raw::Table(_) | Raw::Other => None,
    }
}

fn nonempty_text(raw: Raw) -> Option<String> {
    match raw {
        Raw::Text(text) if !text.is_empty() => Some(text),
        Raw::Text(_) | Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Table(_) | Raw::Other => None,
    }
}

/// Twilio's secrets contain no white space; one pasted with a line end would fail every signature check.
fn is_secret(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

fn shortened(text: &str) -> String {
    text.chars().take(32).collect()
}
