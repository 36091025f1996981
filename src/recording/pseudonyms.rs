use crate::call::fact::EpochMs;
use crate::call::sid::SID_LENGTH;
use std::collections::BTreeMap;

/// When a recording begins, in its own time: 2026-01-01T00:00:00Z.
const BEGINNING_MS: EpochMs = 1_767_225_600_000;

/// What streams' names begin with by default: a configured prefix may name its owner.
const NAME_PREFIX: &str = "Stream_";

/// Kinds of SIDs that an event, an answer or an address may name.
const SIDS: [&str; 21] = [
    "AC", "CA", "CF", "CH", "DF", "DG", "EV", "MZ", "OU", "PN", "RE", "TC", "TT", "WA", "WF", "WK", "WQ", "WR", "WS",
    "WT", "WW",
];

/// The longest number that is kept: an age, a version, an error code. A telephone number has more digits.
const NUMBER_DIGITS: usize = 6;

/// Replacements, and which value has which. They count up, so that they tell nothing of the value.
pub(super) struct Pseudonyms {
    given: BTreeMap<(&'static str, String), u64>,
    counts: BTreeMap<&'static str, u64>,
    /// What is added to every time.
    shift_ms: EpochMs,
    /// The configured prefixes of streams' names.
    name_prefixes: Vec<String>,
}

impl Pseudonyms {
    /// For a recording that begins at `now`.
    pub(super) fn new(now: EpochMs, name_prefixes: Vec<String>) -> Self {
        Self { given: BTreeMap::new(), counts: BTreeMap::new(), shift_ms: BEGINNING_MS - now, name_prefixes }
    }

    /// How many values have one.
    pub(super) fn len(&self) -> usize {
        self.given.len()
    }

    fn number(&mut self, kind: &'static str, value: &str) -> u64 {
        let count = self.counts.entry(kind).or_default();
        *self.given.entry((kind, value.to_owned())).or_insert_with(|| {
            *count += 1;
            *count
        })
    }

    /// Another SID of the same kind; nothing for what is none.
    pub(super) fn sid(&mut self, text: &str) -> Option<String> {
        let (prefix, digits) = text.split_at_checked(2)?;
        let prefix = SIDS.into_iter().find(|known| *known == prefix)?;
        if text.len() != SID_LENGTH || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = self.number(prefix, text);
        Some(format!("{prefix}7a5c{number:028x}"))
    }

    /// As in "worker-3" for a name.
    pub(super) fn word(&mut self, kind: &'static str, value: &str) -> String {
        if value.is_empty() { String::new() } else { format!("{kind}-{}", self.number(kind, value)) }
    }

    /// A SID, or a word in the place of anything else.
    pub(super) fn sid_or_word(&mut self, value: &str) -> String {
        self.sid(value).unwrap_or_else(|| self.word("value", value))
    }

    /// A telephone number, a client or a SIP address.
    pub(super) fn address(&mut self, value: &str) -> String {
        if value.starts_with("client:") {
            format!("client:{}", self.word("client", value))
        } else if value.starts_with("sip:") {
            format!("sip:{}@example.com", self.word("user", value))
        } else if value.is_empty() {
            String::new()
        } else {
            // 555-01xx is nobody's.
            format!("+1555010{:04}", self.number("number", value))
        }
    }

    /// The name of one of our streams, of its SIDs' replacements; another in whole.
    pub(super) fn stream_name(&mut self, name: &str) -> String {
        if let Some(sid) = self.sid(name) {
            return sid;
        }
        let rest = self.name_prefixes.iter().find_map(|prefix| name.strip_prefix(prefix.as_str()));
        let parts = rest.map(|rest| rest.split('_').collect::<Vec<_>>());
        match parts.as_deref() {
            Some([worker, reservation, number @ ..]) if number.iter().all(|number| small_number(number).is_some()) => {
                let (worker, reservation) = (self.sid_or_word(worker), self.sid_or_word(reservation));
                let number: String = number.iter().map(|number| format!("_{number}")).collect();
                format!("{NAME_PREFIX}{worker}_{reservation}{number}")
            }
            Some(_) | None => self.word("stream", name),
        }
    }

    /// A point in time, in the recording's own time.
    pub(super) fn moment(&self, at: EpochMs) -> EpochMs {
        at.saturating_add(self.shift_ms)
    }

    /// A point in time, in the form in which it came: seconds or milliseconds since 1970, ISO 8601 or RFC 2822.
    pub(super) fn time(&self, text: &str) -> Option<String> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number: EpochMs = text.parse().ok()?;
            // Milliseconds have 13 digits from 2001 on, seconds 10 until 2286.
            let moved = match text.len() {
                10 => self.moment(number.checked_mul(1_000)?).div_euclid(1_000),
                13 => self.moment(number),
                _ => return None,
            };
            return Some(moved.to_string());
        }
        let iso = |at: jiff::Timestamp| jiff::Timestamp::from_millisecond(self.moment(at.as_millisecond())).ok();
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Some(iso(at)?.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
        }
        let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(iso(at)?.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string())
    }
}

/// A number that is too short to be anybody's.
pub(super) fn small_number(text: &str) -> Option<u64> {
    let is_small = (1..=NUMBER_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_small)
}
