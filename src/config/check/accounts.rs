//! `[accounts.NAME]`: further accounts. Each is read by the same code as `[twilio]` and `[streams]`, from layers in which its
//! own keys replace theirs; problems name the account's own keys.

use crate::config::layers::{Found, Layers, Raw};
use crate::config::names::{PREFIX, SEPARATOR, TWILIO_NAMES};
use crate::config::reader::Reader;
use crate::config::{AccountConfig, FIRST_ACCOUNT, Problem};
use std::collections::{BTreeMap, BTreeSet};

const SECTION: &str = "accounts";
const REMEDY: &str = "write [accounts.NAME] and the keys of one account below it";

/// Keys of an account that are never inherited from `[twilio]`.
const OF_TWILIO: [&str; 9] = [
    "account_sid",
    "auth_tokens",
    "workspace_sid",
    "api_key",
    "api_secret",
    "region",
    "edge",
    "api_base_url",
    "taskrouter_base_url",
];

/// Keys of an account that are inherited from `[streams]` unless it sets them.
const OF_STREAMS: [&str; 3] = ["strategy", "destinations", "rules"];

/// Values that no two accounts may share: with a shared token, either could sign for the other.
const UNIQUE: [&str; 3] = ["account_sid", "workspace_sid", "auth_tokens"];

/// Keeps a line of an error readable.
const LONGEST_NAME: usize = 40;

/// Keys that nobody has read yet, by full name.
type Keys = BTreeMap<String, Found>;

/// Every further account, by name; `before` holds all layers before any key was read.
pub(super) fn accounts(reader: &mut Reader, before: &Keys) -> Option<BTreeMap<String, AccountConfig>> {
    let (sections, mut fine) = sections(reader);
    let mut taken = Taken::default();
    taken.claim("twilio", |key| before.get(&format!("twilio.{key}")));
    let mut accounts = BTreeMap::new();
    for (name, keys) in sections {
        let section = format!("{SECTION}.{name}");
        for (key, other) in taken.claim(&section, |key| keys.get(key)) {
            let origin = keys.get(key).map(|found| found.origin.clone());
            let wrong = format!("is, or contains, one of [{other}]");
            reader.item_problem(
                format!("{section}.{key}"),
                origin,
                &wrong,
                "set this account's own, or remove one of the two accounts",
            );
            fine = false;
        }
        match account(reader, &section, keys, before) {
            Some(account) => drop(accounts.insert(name, account)),
            None => fine = false,
        }
    }
    fine.then_some(accounts)
}

/// The keys of each account, and whether all of them are valid.
fn sections(reader: &mut Reader) -> (BTreeMap<String, Keys>, bool) {
    let (mut sections, mut fine) = (BTreeMap::<String, Keys>::new(), true);
    if let Some(found) = reader.take(SECTION)
        && !is_empty_table(&found.raw)
    {
        reader.problem(SECTION, "is not a table of accounts", REMEDY);
        fine = false;
    }
    for (rest, found) in reader.take_below(SECTION) {
        let (name, key) = rest.split_once('.').unwrap_or((&rest, ""));
        if let Some(remedy) = problem_of_name(name) {
            reader.item_problem(format!("{SECTION}.{name}"), Some(found.origin), "is not an account name", remedy);
            fine = false;
            continue;
        }
        if key.is_empty() && !is_empty_table(&found.raw) {
            reader.item_problem(format!("{SECTION}.{name}"), Some(found.origin), "is not a table", REMEDY);
            fine = false;
            continue;
        }
        let keys = sections.entry(name.to_owned()).or_default();
        if is_known(key) {
            keys.insert(key.to_owned(), found);
        } else if !key.is_empty() {
            let known = [&OF_TWILIO[..], &OF_STREAMS].concat().join(", ");
            let remedy = format!("the keys of an account are {known}; all others apply to every account");
            reader.item_problem(format!("{SECTION}.{rest}"), Some(found.origin), "is not a key", &remedy);
            fine = false;
        }
    }
    (sections, fine)
}

fn problem_of_name(name: &str) -> Option<&'static str> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_plain) || name.contains(SEPARATOR) {
        return Some("use lower-case letters, digits and single underscores: environment variables contain the name");
    }
    (name == FIRST_ACCOUNT).then_some("choose another name: [twilio]'s account is called that")
}

fn is_empty_table(raw: &Raw) -> bool {
    matches!(raw, Raw::Table(table) if table.is_empty())
}

fn is_known(key: &str) -> bool {
    let (first, below) = key.split_once('.').unwrap_or((key, ""));
    // The environment can name single destinations.
    OF_TWILIO.contains(&key) || OF_STREAMS.contains(&key) || (first == "destinations" && !below.is_empty())
}

/// The section that holds each of the [`UNIQUE`] values.
#[derive(Default)]
struct Taken(BTreeMap<(&'static str, String), String>);

impl Taken {
    /// Records a section's values; returns those that another section holds, with that section.
    fn claim<'a>(
        &mut self,
        section: &str,
        found: impl Fn(&str) -> Option<&'a Found>,
    ) -> BTreeMap<&'static str, String> {
        let mut others = BTreeMap::new();
        for key in UNIQUE {
            for value in found(key).map(values).unwrap_or_default() {
                let other = self.0.entry((key, value)).or_insert_with(|| section.to_owned());
                if other != section {
                    others.insert(key, other.clone());
                }
            }
        }
        others
    }
}

fn values(found: &Found) -> Vec<String> {
    let text = |raw: &Raw| match raw {
        Raw::Text(text) => Some(text.clone()),
        Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Table(_) | Raw::Other => None,
    };
    match &found.raw {
        Raw::List(items) => items.iter().filter_map(text).collect(),
        Raw::Text(list) if found.from_environment => list.split(',').map(|item| item.trim().to_owned()).collect(),
        Raw::Text(text) => vec![text.clone()],
        Raw::Integer(_) | Raw::Truth(_) | Raw::Table(_) | Raw::Other => Vec::new(),
    }
}

fn account(reader: &mut Reader, section: &str, keys: Keys, before: &Keys) -> Option<AccountConfig> {
    let own: BTreeSet<String> = keys.keys().map(|key| key.split('.').next().unwrap_or_default().to_owned()).collect();
    let is_replaced = |key: &str| match key.split('.').collect::<Vec<_>>().as_slice() {
        ["twilio", key, ..] => OF_TWILIO.contains(key),
        ["streams", key, ..] => own.contains(*key),
        _ => true,
    };
    let mut layers = Layers::default();
    layers
        .found
        .extend(before.iter().filter(|(key, _)| !is_replaced(key)).map(|(key, found)| (key.clone(), found.clone())));
    for (key, found) in keys {
        let above = if OF_TWILIO.contains(&key.as_str()) { "twilio" } else { "streams" };
        layers.found.insert(format!("{above}.{key}"), found);
    }
    let mut alone = Reader::new(layers);
    let (twilio, streams) = (super::twilio::twilio(&mut alone), super::streams::streams(&mut alone));
    for problem in alone.into_problems() {
        if let Some(problem) = in_own_terms(problem, section, &own, reader.problems()) {
            let Problem { key, origin, wrong, remedy } = problem;
            reader.item_problem(key, origin, &wrong, &remedy);
        }
    }
    Some(AccountConfig { twilio: twilio?, streams: streams? })
}

/// A problem of an account in terms of its section; `None` for an inherited key whose problem has been reported already.
fn in_own_terms(problem: Problem, section: &str, own: &BTreeSet<String>, reported: &[Problem]) -> Option<Problem> {
    let Problem { key, origin, wrong, remedy } = problem;
    let (above, rest) = key.split_once('.')?;
    let first = rest.split('.').next().unwrap_or_default();
    if (above == "twilio" && OF_TWILIO.contains(&first)) || own.contains(first) {
        let key = format!("{section}.{rest}");
        return Some(Problem { key, origin, wrong: renamed(&wrong, section), remedy: renamed(&remedy, section) });
    }
    if reported.iter().any(|known| known.key == key && known.wrong == wrong) {
        return None;
    }
    let wrong = format!("inherits {key}, which for this account {wrong}");
    Some(Problem { key: section.to_owned(), origin, wrong, remedy: format!("{remedy}, or give {section} its own") })
}

/// A text about `[twilio]` and `[streams]`, rewritten for an account's section, as in "accounts.blue".
pub(in crate::config) fn renamed(text: &str, section: &str) -> String {
    let variable = |key: &str| {
        format!(
            "{PREFIX}{}{SEPARATOR}{}",
            section.to_ascii_uppercase().replace('.', SEPARATOR),
            key.to_ascii_uppercase()
        )
    };
    let mut text = text.to_owned();
    for (name, key) in TWILIO_NAMES {
        text = text.replace(name, &variable(key.trim_start_matches("twilio.")));
    }
    for key in OF_TWILIO {
        text = text.replace(&format!("twilio.{key}"), &format!("{section}.{key}"));
    }
    for key in OF_STREAMS {
        text = text.replace(&format!("{PREFIX}STREAMS{SEPARATOR}{}", key.to_ascii_uppercase()), &variable(key));
        text = text.replace(&format!("streams.{key}"), &format!("{section}.{key}"));
    }
    text
}
