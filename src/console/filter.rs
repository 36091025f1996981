//! Which calls of a list are shown: by time, agent, queue, destination, outcome, error, account and text.

use super::error::ConsoleError;
use super::view::{CallView, OUTCOMES};
use crate::call::fact::EpochMs;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};
use serde::Deserialize;

/// What `outcome` can be besides the word of one: every outcome that somebody should look into.
pub(super) const PROBLEM: &str = "problem";

/// The outcomes that [`PROBLEM`] stands for.
const PROBLEMS: [&str; 4] = ["missing", "late", "interrupted", "unproven"];

/// A longer text is none that a person looks for.
const LONGEST: usize = 100;

/// With so many digits and no letter, a text is a phone number.
const PHONE_DIGITS: usize = 5;

/// The part of a query string that filters, as it was written. Empty is anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) agent: String,
    pub(super) queue: String,
    pub(super) destination: String,
    pub(super) outcome: String,
    pub(super) error: String,
    pub(super) account: String,
}

/// What a call must be to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// It began then or later.
    pub(super) from: Option<EpochMs>,
    /// It began before.
    to: Option<EpochMs>,
    agent: Option<String>,
    queue: Option<String>,
    destination: Option<String>,
    outcome: Option<String>,
    error: Option<u32>,
    account: Option<String>,
    text: Option<String>,
}

impl Wanted {
    /// Whether it filters at all.
    pub(super) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Each parameter under its name.
    pub(super) fn pairs(&self) -> [(&'static str, &str); 8] {
        [
            ("from", &self.from),
            ("to", &self.to),
            ("agent", &self.agent),
            ("queue", &self.queue),
            ("destination", &self.destination),
            ("outcome", &self.outcome),
            ("error", &self.error),
            ("account", &self.account),
        ]
    }

    /// The filter that this and a text ask for.
    ///
    /// # Errors
    /// When one of them cannot be understood.
    pub(super) fn filter(&self, text: &str, now: Timestamp) -> Result<Filter, ConsoleError> {
        let known = |word: &str| word == PROBLEM || OUTCOMES.iter().any(|(_, known)| *known == word);
        if !self.outcome.is_empty() && !known(&self.outcome) {
            return Err(ConsoleError::InvalidQuery("outcome must be one of the list's words, or \"problem\""));
        }
        let error = match self.error.trim() {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                ConsoleError::InvalidQuery("error must be one of Twilio's error codes, as in 31920, or an HTTP status")
            })?),
        };
        Ok(Filter {
            from: time(&self.from, now)?.map(|span| span.0),
            to: time(&self.to, now)?.map(|span| span.1),
            agent: needle(&self.agent)?,
            queue: needle(&self.queue)?,
            destination: needle(&self.destination)?,
            outcome: Some(self.outcome.clone()).filter(|outcome| !outcome.is_empty()),
            error,
            account: needle(&self.account)?,
            text: needle(text)?,
        })
    }
}

impl Filter {
    /// Whether it lets every call through.
    pub(super) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn fits(&self, call: &CallView) -> bool {
        let fits = |needle: &Option<String>, fits: &dyn Fn(&str) -> bool| needle.as_deref().is_none_or(fits);
        self.from.is_none_or(|from| call.began_ms >= from)
            && self.to.is_none_or(|to| call.began_ms < to)
            && fits(&self.agent, &|needle| has_agent(call, needle))
            && fits(&self.queue, &|needle| call.queue.as_deref().is_some_and(|queue| holds(queue, needle)))
            && fits(&self.destination, &|needle| has_destination(call, needle))
            && fits(&self.outcome, &|outcome| has_outcome(call, outcome))
            && self.error.is_none_or(|error| call.errors.contains(&error))
            && fits(&self.account, &|needle| call.account.as_deref().is_some_and(|name| holds(name, needle)))
            && fits(&self.text, &|needle| has_text(call, needle))
    }
}

fn holds(text: &str, needle: &str) -> bool {
    text.to_lowercase().contains(needle)
}

fn has_agent(call: &CallView, needle: &str) -> bool {
    call.agents.iter().any(|agent| {
        let worker = agent.worker.as_ref().map_or("", |worker| worker.as_str());
        holds(agent.shown(), needle) || holds(worker, needle) || holds(agent.reservation.as_str(), needle)
    })
}

fn has_destination(call: &CallView, needle: &str) -> bool {
    let mut ran = call.streams.iter().filter(|stream| stream.from_ms.is_some());
    ran.any(|stream| stream.destination.eq_ignore_ascii_case(needle))
}

fn has_outcome(call: &CallView, outcome: &str) -> bool {
    if outcome == PROBLEM {
        return !call.parked.is_empty() || call.agents.iter().any(|agent| PROBLEMS.contains(&agent.outcome.as_str()));
    }
    call.outcome == outcome || call.agents.iter().any(|agent| agent.outcome == outcome)
}

/// In whatever a list shows of it.
fn has_text(call: &CallView, needle: &str) -> bool {
    let texts = call.queue.iter().chain(&call.account).chain(&call.reason);
    let parked = call.parked.iter().flat_map(|parked| [&parked.change, &parked.reason]);
    let streams = call.streams.iter().map(|stream| &stream.name);
    has_agent(call, needle)
        || holds(&call.outcome, needle)
        || texts.chain(parked).chain(streams).any(|text| holds(text, needle))
}

/// A text to look for, in lower case.
fn needle(text: &str) -> Result<Option<String>, ConsoleError> {
    let text = text.trim();
    if text.chars().count() > LONGEST {
        return Err(ConsoleError::InvalidQuery("a text to find has at most 100 characters"));
    }
    if !text.chars().all(|c| c.is_alphanumeric() || " .,:;-_@'&/()+#=".contains(c)) {
        return Err(ConsoleError::InvalidQuery(
            "a text to find has letters, digits, spaces and simple punctuation only",
        ));
    }
    let digits = text.chars().filter(|c| c.is_numeric()).count();
    if digits >= PHONE_DIGITS && !text.chars().any(char::is_alphabetic) {
        return Err(ConsoleError::InvalidQuery(
            "phone numbers are not kept, so no call is found by one: use a SID, an agent, a queue or a reason",
        ));
    }
    Ok(Some(text.to_lowercase()).filter(|text| !text.is_empty()))
}

/// The beginning and the end of a time as people write it: `2026-11-26`, `2026-11-26T08:30` (UTC), with an offset, `today`,
/// `yesterday`, or how long ago, as in `24h`.
fn time(text: &str, now: Timestamp) -> Result<Option<(EpochMs, EpochMs)>, ConsoleError> {
    let text = text.trim();
    let invalid = || {
        ConsoleError::InvalidQuery(
            "a time must be as in 2026-11-26, 2026-11-26T08:30 (UTC), 2026-11-26T08:30+01:00, today, yesterday or 24h",
        )
    };
    let moment = |at: Timestamp| Some((at.as_millisecond(), at.as_millisecond()));
    let today = now.to_zoned(TimeZone::UTC).date();
    let day = |date: Date| {
        let begins = |date: Date| date.to_zoned(TimeZone::UTC).map(|at| at.timestamp().as_millisecond());
        begins(date).and_then(|from| Ok(Some((from, begins(date.tomorrow()?)?)))).map_err(|_| invalid())
    };
    match text {
        "" => return Ok(None),
        "today" => return day(today),
        "yesterday" => return day(today.yesterday().map_err(|_| invalid())?),
        _ => {}
    }
    if let Some(ago) = ago(text) {
        return Ok(moment(now.checked_sub(ago).map_err(|_| invalid())?));
    }
    // A bare date also reads as its first moment.
    if let (10, Ok(date)) = (text.len(), text.parse::<Date>()) {
        return day(date);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(moment(at));
    }
    let civil: DateTime = text.parse().map_err(|_| invalid())?;
    Ok(moment(civil.to_zoned(TimeZone::UTC).map_err(|_| invalid())?.timestamp()))
}

/// As in 30m, 24h and 7d.
fn ago(text: &str) -> Option<Span> {
    let count: i64 = text.get(..text.len().checked_sub(1)?)?.parse().ok()?;
    // A longer one is a mistake.
    let count = Some(count).filter(|count| (0..=100_000).contains(count))?;
    match text.get(text.len() - 1..)? {
        "m" => Some(count.minutes()),
        "h" => Some(count.hours()),
        "d" => Some((count * 24).hours()),
        _ => None,
    }
}
