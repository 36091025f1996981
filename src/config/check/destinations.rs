//! `[[streams.destinations]]`: where streams go, and which parameters their sockets receive.

use super::addresses::has_userinfo;
use crate::call::rules::{OnHold, PARAMETER_CHARACTERS, Piece, Template, characters, is_taken};
use crate::config::DestinationConfig;
use crate::config::layers::{Found, Raw};
use crate::config::reader::Reader;
use crate::config::reader::truth_of;
use crate::twilio::client::{OWN_PARAMETERS, RESUME_PARAMETERS};
use crate::twilio::interest::{field_names, is_field};
use crate::twilio::twiml::{MAX_PARAMETERS, Track, is_stream_url};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

const DESTINATIONS: &str = "streams.destinations";
const REMEDY: &str = "add [[streams.destinations]] with url = \"wss://…\" for each destination";
/// Leaves most of Twilio's 500 characters for the value.
const LONGEST_PARAMETER_NAME: usize = 100;

/// One destination's keys as found.
#[derive(Default)]
struct Entry {
    origin: Option<String>,
    from_environment: bool,
    keys: BTreeMap<String, Raw>,
}

/// A file's list of tables, or the environment's list of URLs; the environment can also set single items, as in
/// `TRS__STREAMS__DESTINATIONS__0__URL`.
pub(super) fn destinations(reader: &mut Reader) -> Option<Vec<DestinationConfig>> {
    let mut entries: BTreeMap<usize, Entry> = BTreeMap::new();
    let mut fine = match reader.take(DESTINATIONS) {
        Some(found) => whole_list(reader, found, &mut entries),
        None => true,
    };
    for (rest, found) in reader.take_below(DESTINATIONS) {
        fine &= single_item(reader, &rest, found, &mut entries);
    }
    if entries.is_empty() && fine {
        reader.problem(DESTINATIONS, "is missing", REMEDY);
        return None;
    }
    let all: Vec<Option<DestinationConfig>> =
        entries.into_iter().map(|(place, entry)| destination(reader, place, entry)).collect();
    let all = all.into_iter().collect::<Option<Vec<_>>>().filter(|_| fine)?;
    let names: BTreeSet<&str> = all.iter().map(|destination| destination.name.as_str()).collect();
    if names.len() < all.len() {
        reader.problem(DESTINATIONS, "has two destinations of the same name", "give each its own name, or none");
        return None;
    }
    Some(all)
}

fn whole_list(reader: &mut Reader, found: Found, entries: &mut BTreeMap<usize, Entry>) -> bool {
    let items = match found.raw {
        Raw::List(items) => items,
        Raw::Text(text) if found.from_environment => {
            text.split(',').map(|url| url.trim().to_owned()).map(Raw::Text).collect()
        }
        Raw::Text(_) | Raw::Integer(_) | Raw::Truth(_) | Raw::Table(_) | Raw::Other => {
            reader.problem(DESTINATIONS, "is not a list", REMEDY);
            return false;
        }
    };
    for (place, item) in items.into_iter().enumerate() {
        let keys = match item {
            Raw::Table(keys) => keys,
            Raw::Text(url) if found.from_environment => BTreeMap::from([("url".to_owned(), Raw::Text(url))]),
            Raw::Text(_) | Raw::Integer(_) | Raw::Truth(_) | Raw::List(_) | Raw::Other => {
                reader.problem(DESTINATIONS, format!("has an item (number {place}) that is not a table"), REMEDY);
                return false;
            }
        };
        let from_environment = found.from_environment;
        entries.insert(place, Entry { origin: Some(found.origin.clone()), from_environment, keys });
    }
    true
}

/// Items are numbered from 0 without gaps, so that a typing error does not create a destination.
fn single_item(reader: &mut Reader, rest: &str, found: Found, entries: &mut BTreeMap<usize, Entry>) -> bool {
    let place = rest.split_once('.').and_then(|(place, key)| Some((place.parse::<usize>().ok()?, key)));
    match place {
        Some((place, key)) if place <= entries.len() => {
            let entry = entries.entry(place).or_default();
            entry.origin = Some(found.origin);
            entry.from_environment = true;
            entry.keys.insert(key.to_owned(), found.raw);
            true
        }
        _ => {
            let remedy = "number the destinations from 0 without gaps, as in TRS__STREAMS__DESTINATIONS__0__URL";
            let key = format!("{DESTINATIONS}.{rest}");
            reader.item_problem(key, Some(found.origin), "is not a destination's key", remedy);
            false
        }
    }
}

fn destination(reader: &mut Reader, place: usize, entry: Entry) -> Option<DestinationConfig> {
    let Entry { origin, from_environment, mut keys } = entry;
    let mut note = |key: &str, wrong: &str, remedy: &str| {
        reader.item_problem(format!("{DESTINATIONS}.{place}.{key}"), origin.clone(), wrong, remedy);
    };
    let name = match keys.remove("name") {
        None => Some(char::from(b'A' + u8::try_from(place % 26).unwrap_or(0)).to_string()),
        Some(Raw::Text(name)) if is_plain_name(&name) => Some(name),
        Some(_) => {
            note("name", "is not a name", "use letters, digits, hyphens and underscores");
            None
        }
    };
    let url = match keys.remove("url") {
        Some(Raw::Text(url)) => match problem_of_url(&url) {
            None => Some(url),
            Some((wrong, remedy)) => {
                note("url", wrong, remedy);
                None
            }
        },
        Some(_) | None => {
            note("url", "is missing or not a string", REMEDY);
            None
        }
    };
    let track = match keys.remove("track") {
        None => Some(Track::default()),
        Some(Raw::Text(name)) => Track::from_name(&name),
        Some(_) => None,
    };
    if track.is_none() {
        let names = Track::ALL.map(Track::as_str).join(", ");
        note("track", "is not a track", &format!("write one of {names}"));
    }
    let status_callback = match keys.remove("status_callback") {
        None => Some(true),
        Some(raw) => truth_of(&Found { raw, origin: String::new(), from_environment }),
    };
    if status_callback.is_none() {
        note("status_callback", "is neither true nor false", "write true or false");
    }
    let on_hold = on_hold(keys.remove("on_hold"));
    if on_hold.is_none() {
        note("on_hold", "is neither \"stream\" nor \"stop\"", "write one of them, in quotation marks");
    }
    let parameters = parameters(keys.remove("parameters"), &mut note);
    for key in keys.keys() {
        note(key, "is not a key", "the keys there are name, url, track, status_callback, on_hold and parameters");
    }
    Some(DestinationConfig {
        name: name?,
        url: url?,
        track: track?,
        status_callback: status_callback?,
        on_hold: on_hold?,
        parameters: parameters?,
    })
}

/// `on_hold`: whether streams go on while the customer is on hold.
fn on_hold(raw: Option<Raw>) -> Option<OnHold> {
    match raw {
        None => Some(OnHold::default()),
        Some(Raw::Text(text)) if text == "stream" => Some(OnHold::Stream),
        Some(Raw::Text(text)) if text == "stop" => Some(OnHold::Stop),
        Some(_) => None,
    }
}

/// `parameters`: names and templates. Twilio takes 99 of them, and a name and its value must be shorter than 500 characters.
fn parameters(raw: Option<Raw>, note: &mut impl FnMut(&str, &str, &str)) -> Option<Vec<(String, Template)>> {
    const KEY: &str = "parameters";
    let table = match raw {
        None => return Some(Vec::new()),
        Some(Raw::Table(table)) => table,
        Some(_) => {
            note(KEY, "is not a table", "write parameters = { name = \"text with {worker.name}\" }");
            return None;
        }
    };
    if table.len() > MAX_PARAMETERS - OWN_PARAMETERS.len() - RESUME_PARAMETERS.len() {
        note(KEY, "has more entries than Twilio takes besides our own five", "remove some");
        return None;
    }
    let mut parameters = Vec::new();
    for (name, raw) in table {
        let key = format!("{KEY}.{name}");
        let is_plain = !name.trim().is_empty() && name.chars().all(is_taken);
        let is_own = [&OWN_PARAMETERS[..], &RESUME_PARAMETERS].concat().contains(&name.as_str());
        if is_own || characters(&name) > LONGEST_PARAMETER_NAME || !is_plain {
            let remedy = "choose another name of at most 100 characters, without control characters";
            note(&key, "has a reserved, empty, unprintable or overlong name", remedy);
            continue;
        }
        let Raw::Text(text) = raw else {
            note(&key, "is not a string", "write it in quotation marks");
            continue;
        };
        match template(&text) {
            Ok(template) if characters(&text) + characters(&name) < PARAMETER_CHARACTERS => {
                parameters.push((name, template));
            }
            Ok(_) => note(&key, "is too long", "name and value together must be shorter than 500 characters"),
            Err(wrong) => {
                let remedy = format!("the fields are {}; write {{{{ for a brace", field_names());
                note(&key, &wrong, &remedy);
            }
        }
    }
    Some(parameters)
}

/// A text in which `{field}` stands for a field, `{{` and `}}` for braces.
fn template(text: &str) -> Result<Template, String> {
    let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            plain.push_str(from.get(..1).unwrap_or_default());
            rest = after;
            continue;
        }
        let field = from.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let Some((name, after)) = field else { return Err("has an unmatched brace".to_owned()) };
        if !is_field(name) {
            return Err(format!("names {{{name}}}, which is not a field"));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Field(name.to_owned()));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(Template(pieces))
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// URLs to which Twilio does not connect: <https://www.twilio.com/docs/voice/twiml/stream>.
fn problem_of_url(text: &str) -> Option<(&'static str, &'static str)> {
    let Ok(url) = Url::parse(text) else {
        return Some(("is not a URL", "write wss:// and a host"));
    };
    if url.scheme() != "wss" {
        return Some(("does not begin with wss://, the only scheme that Twilio connects to", "put TLS in front of it"));
    }
    if url.query().is_some() {
        let remedy = "remove it: the stream's start message carries parameters instead";
        return Some(("has a query string, which Twilio does not support", remedy));
    }
    if url.fragment().is_some() {
        return Some(("has a fragment, which no server receives", "remove it"));
    }
    if has_userinfo(&url) {
        return Some(("has a user or password, which would appear in every call's TwiML", "remove it"));
    }
    if !is_stream_url(text) || text.contains(char::is_whitespace) || text.contains(char::is_control) {
        return Some(("is not written as wss:// and a host", "write it in lower case and without white space"));
    }
    None
}
