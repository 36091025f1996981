//! `[streams]` and its list of destinations.

use super::Reader;
use super::addresses::has_userinfo;
use crate::config::layers::{Found, Raw};
use crate::config::{Strategy, Streams};
use crate::twilio::client::Destination;
use crate::twilio::twiml::{Track, is_stream_url};
use std::collections::BTreeMap;
use url::Url;

const DESTINATIONS: &str = "streams.destinations";
const REMEDY: &str = "add [[streams.destinations]] with url = \"wss://…\" for each place that streams go to";
/// Twilio's: four tracks of one call can be streamed.
const TRACKS_PER_CALL: u64 = 4;
/// A stream's name is this, a worker's SID and a reservation's SID.
const PREFIX_CHARACTERS: usize = 40;

pub(super) fn streams(reader: &mut Reader) -> Option<Streams> {
    let strategy = reader.choice("streams.strategy", &[("redirect", Strategy::Redirect)]);
    let name_prefix = name_prefix(reader);
    let track_budget = reader.count("streams.track_budget", 1..=TRACKS_PER_CALL);
    let destinations = destinations(reader);
    let dearest = destinations.iter().flatten().map(|to| to.track.cost()).max();
    if let (Some(budget), Some(dearest)) = (track_budget, dearest)
        && budget < dearest
    {
        let remedy = "make it 2 or more, or stream one track only";
        reader.problem("streams.track_budget", format!("is {budget}, less than one of the streams takes"), remedy);
    }
    Some(Streams {
        strategy: strategy?,
        name_prefix: name_prefix?,
        track_budget: track_budget?,
        destinations: destinations?,
    })
}

fn name_prefix(reader: &mut Reader) -> Option<String> {
    const KEY: &str = "streams.name_prefix";
    let remedy = "write up to 40 letters, digits, hyphens and underscores, as in \"Stream_\"";
    let prefix = reader.text(KEY, remedy)?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if prefix.len() > PREFIX_CHARACTERS || !prefix.bytes().all(is_plain) {
        reader.problem(KEY, "cannot stand in a URL's path as it is, or is too long", remedy);
        return None;
    }
    Some(prefix)
}

/// One destination's keys as they were found.
#[derive(Default)]
struct Entry {
    origin: Option<String>,
    keys: BTreeMap<String, Raw>,
}

/// A file's list of tables, or the environment's list of URLs; the environment can also set single items, as in
/// `TRS__STREAMS__DESTINATIONS__0__URL`.
fn destinations(reader: &mut Reader) -> Option<Vec<Destination>> {
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
    let all: Vec<Option<Destination>> =
        entries.into_iter().map(|(place, entry)| destination(reader, place, entry)).collect();
    all.into_iter().collect::<Option<Vec<_>>>().filter(|_| fine)
}

fn whole_list(reader: &mut Reader, found: Found, entries: &mut BTreeMap<usize, Entry>) -> bool {
    let items = match found.raw {
        Raw::List(items) => items,
        Raw::Text(text) if found.from_environment => {
            text.split(',').map(|url| url.trim().to_owned()).map(Raw::Text).collect()
        }
        Raw::Text(_) | Raw::Integer(_) | Raw::Table(_) | Raw::Other => {
            reader.problem(DESTINATIONS, "is not a list", REMEDY);
            return false;
        }
    };
    for (place, item) in items.into_iter().enumerate() {
        let keys = match item {
            Raw::Table(keys) => keys,
            Raw::Text(url) if found.from_environment => BTreeMap::from([("url".to_owned(), Raw::Text(url))]),
            Raw::Text(_) | Raw::Integer(_) | Raw::List(_) | Raw::Other => {
                reader.problem(DESTINATIONS, format!("has an item {place} that is not a table"), REMEDY);
                return false;
            }
        };
        entries.insert(place, Entry { origin: Some(found.origin.clone()), keys });
    }
    true
}

/// Items are numbered from 0 without gaps, so that a typing error makes no slot that nobody meant.
fn single_item(reader: &mut Reader, rest: &str, found: Found, entries: &mut BTreeMap<usize, Entry>) -> bool {
    let place = rest.split_once('.').and_then(|(place, key)| Some((place.parse::<usize>().ok()?, key)));
    match place {
        Some((place, key)) if place <= entries.len() => {
            let entry = entries.entry(place).or_default();
            entry.origin = Some(found.origin);
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

fn destination(reader: &mut Reader, place: usize, mut entry: Entry) -> Option<Destination> {
    let url = entry.keys.remove("url");
    let track = entry.keys.remove("track");
    let mut note = |key: &str, wrong: &str, remedy: &str| {
        reader.item_problem(format!("{DESTINATIONS}.{place}.{key}"), entry.origin.clone(), wrong, remedy);
    };
    for key in entry.keys.keys() {
        note(key, "is not a key", "the keys there are url and track");
    }
    let url = match url {
        Some(Raw::Text(url)) => match problem_of_url(&url) {
            None => Some(url),
            Some((wrong, remedy)) => {
                note("url", wrong, remedy);
                None
            }
        },
        Some(Raw::Integer(_) | Raw::List(_) | Raw::Table(_) | Raw::Other) | None => {
            note("url", "is missing or not a text", REMEDY);
            None
        }
    };
    let track = match track {
        None => Some(Track::default()),
        Some(Raw::Text(name)) => Track::from_name(&name),
        Some(Raw::Integer(_) | Raw::List(_) | Raw::Table(_) | Raw::Other) => None,
    };
    if track.is_none() {
        let names = Track::ALL.map(Track::as_str).join(", ");
        note("track", "is not a track", &format!("write one of {names}"));
    }
    Some(Destination { url: url?, track: track? })
}

/// What Twilio would not connect to: <https://www.twilio.com/docs/voice/twiml/stream>.
fn problem_of_url(text: &str) -> Option<(&'static str, &'static str)> {
    let Ok(url) = Url::parse(text) else {
        return Some(("is not a URL", "write wss:// and a host"));
    };
    if url.scheme() != "wss" {
        return Some(("does not begin with wss://, which is all that Twilio connects to", "put TLS in front of it"));
    }
    if url.query().is_some() {
        let remedy = "drop it: what the stream is about is sent as parameters in its start message";
        return Some(("has a query string, which Twilio does not support", remedy));
    }
    if url.fragment().is_some() {
        return Some(("has a fragment, which no server sees", "drop it"));
    }
    if has_userinfo(&url) {
        return Some(("has a user or password, which would stand in every call's TwiML", "drop it"));
    }
    if !is_stream_url(text) || text.contains(char::is_whitespace) || text.contains(char::is_control) {
        return Some(("is not written as wss:// and a host", "write it in lower case and without white space"));
    }
    None
}
