//! The events of the workspace, as TaskRouter keeps them.
//! Source: <https://www.twilio.com/docs/taskrouter/api/event>. It says that this resource has no pagination, so a longer list
//! is read in spans of time.

use super::api_error::ApiError;
use super::hosts::Product;
use super::request::Request;
use super::transport::Transport;
use crate::call::fact::EpochMs;
use crate::call::sid::WorkspaceSid;
use crate::twilio::event_record::{self, Record};
use crate::twilio::lenient_json;
use jiff::Timestamp;
use serde_json::Value;

/// Twilio's default. A voice event has some five thousand bytes, and an answer must stay below `twilio.answer_limit_bytes`.
const DEFAULT_SIZE: usize = 50;

/// Twilio's maximum, for a second with many events.
const MAX_SIZE: usize = 1000;

/// A dense second and the one before it: Twilio does not document how it rounds the dates that it compares.
const DENSE_S: i64 = 2;

/// However slow our clock is, nothing that Twilio has recorded is from after its own day.
const CLOCK_MARGIN_MS: EpochMs = 24 * 60 * 60 * 1000;

/// Reads the workspace's events.
#[derive(Debug, Clone, Copy)]
pub struct EventLog<'a> {
    pub(super) transport: &'a Transport,
    pub(super) workspace: &'a WorkspaceSid,
}

/// A span of time whose events to read. Twilio lists the newest of them, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsPage {
    /// Seconds since the Unix epoch, as the dates of a request have them.
    since: i64,
    until: i64,
    /// Requests only the end of the span, with the maximum size.
    dense: bool,
}

/// Why a list cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PagingError {
    /// One answer cannot hold all events of a second.
    #[error("more than {MAX_SIZE} events happened within two seconds, and TaskRouter does not list the rest")]
    Crowded,
    /// The next span cannot be determined.
    #[error("TaskRouter did not list events newest first with their times, so older ones cannot be requested")]
    Disordered,
}

impl EventsPage {
    /// The newest events from `since` until `until`.
    pub fn first(since: EpochMs, until: EpochMs) -> Self {
        Self { since: since.div_euclid(1000), until: until.div_euclid(1000) + 1, dense: false }
    }

    /// The newest events since `since`, when it is `now` by a clock that may be slow.
    pub fn newest(since: EpochMs, now: EpochMs) -> Self {
        Self::first(since, now + CLOCK_MARGIN_MS)
    }

    /// The same from an earlier time on.
    pub fn since_earlier(self, by: EpochMs) -> Self {
        Self { since: self.since - by.div_euclid(1000) - 1, ..self }
    }

    fn size(&self) -> usize {
        if self.dense { MAX_SIZE } else { DEFAULT_SIZE }
    }

    fn query(&self) -> String {
        let date = |at| Timestamp::from_second(at).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let since = if self.dense { self.since.max(self.until - DENSE_S) } else { self.since };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("StartDate", &date(since)).append_pair("EndDate", &date(self.until));
        query.append_pair("PageSize", &self.size().to_string());
        query.finish()
    }

    /// The next span after these records. It ends with the second of the oldest one, whose events are listed again. A record
    /// without a time says nothing of where the list is.
    fn after(&self, records: &[Record], is_full: bool) -> Result<Option<Self>, PagingError> {
        let (since, dense) = (self.since, false);
        let next = match (is_full, self.dense) {
            (false, false) => return Ok(None),
            (true, true) => return Err(PagingError::Crowded),
            (false, true) => Self { since, until: self.until - 1, dense },
            (true, false) => {
                let mut times = records.iter().filter_map(event_record::at);
                let newest = times.next();
                let (Some(newest), Some(oldest)) = (newest, times.next_back().or(newest)) else {
                    return Err(PagingError::Disordered);
                };
                if newest < oldest {
                    return Err(PagingError::Disordered);
                }
                let until = oldest.div_euclid(1000) + 1;
                if until < self.until { Self { since, until, dense } } else { Self { dense: true, ..self.clone() } }
            }
        };
        Ok((next.until >= next.since).then_some(next))
    }
}

/// One span's events.
#[derive(Debug)]
pub struct RecordsPage {
    /// Sorted by time, descending.
    pub records: Vec<Record>,
    /// How many more rows there were that cannot be read.
    pub unreadable: usize,
    /// When Twilio answered, by its own clock.
    pub answered_at: Option<EpochMs>,
    /// Which span to read next.
    pub next: Result<Option<EventsPage>, PagingError>,
}

impl EventLog<'_> {
    /// Reads one span's events. Some events are read twice.
    pub async fn page(self, page: &EventsPage) -> Result<RecordsPage, ApiError> {
        let path = ["v1", "Workspaces", self.workspace.as_str(), "Events"];
        let request = Request::get(Product::TaskRouter, &path).with_query(page.query());
        let (body, answered_at) = self.transport.fetch("list events", &request).await?;
        let (rows, size) = read(&body).ok_or_else(ApiError::unreadable)?;
        let is_full = rows.len() >= size.unwrap_or(page.size()).clamp(1, page.size());
        let listed = rows.len();
        let records: Vec<Record> = rows.into_iter().flatten().collect();
        let next = page.after(&records, is_full);
        Ok(RecordsPage { unreadable: listed - records.len(), records, answered_at, next })
    }
}

/// The rows, each with its record if it can be read, and the page size that Twilio states.
fn read(body: &[u8]) -> Option<(Vec<Option<Record>>, Option<usize>)> {
    let text = String::from_utf8_lossy(body);
    let members = lenient_json::members(&text)?;
    let member = |name: &str| members.iter().find(|(found, _)| found == name).map(|(_, text)| *text);
    let meta = member("meta").and_then(lenient_json::read);
    let size = meta.and_then(|meta| meta.get("page_size").and_then(Value::as_u64));
    let rows = lenient_json::elements(member("events")?)?;
    let record = |row: &str| match lenient_json::read(row)? {
        Value::Object(record) => Some(record),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    };
    Some((rows.into_iter().map(record).collect(), size.and_then(|size| usize::try_from(size).ok())))
}
