//! The events of the workspace, as TaskRouter keeps them.
//! Source: <https://www.twilio.com/docs/taskrouter/api/event>, which says of this resource that pagination is not supported:
//! so a longer list is read span by span of time.

use super::Client;
use super::unanswered::{Unanswered, taskrouter};
use crate::call::fact::EpochMs;
use crate::twilio::event_record::{self, Record};
use jiff::Timestamp;
use serde_json::Value;

/// Twilio's default. A voice event has some five thousand bytes, and an answer must stay below `twilio.answer_limit_bytes`.
const USUAL: usize = 50;

/// Twilio's most, for a second in which much happened.
const MOST: usize = 1000;

/// A dense second with the one before it: where the whole seconds lie within which Twilio compares is not told.
const DENSE_S: i64 = 2;

/// Which of the events to read: those of a span of time. Twilio lists the newest of them, first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsPage {
    /// Seconds since the Unix epoch, as the dates of a request have them.
    since: i64,
    until: i64,
    /// Only the end of the span is asked for, and as much of it as Twilio lists.
    dense: bool,
}

/// A list that cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unlisted {
    /// More happened at once than an answer holds.
    #[error("more than {MOST} events happened within two seconds, and TaskRouter lists no more of them")]
    Crowded,
    /// What follows cannot be asked for.
    #[error("TaskRouter does not list the newest events first, with their times, as it is known to")]
    Disordered,
}

impl EventsPage {
    /// The newest events from `since` until `until`.
    pub fn first(since: EpochMs, until: EpochMs) -> Self {
        Self { since: since.div_euclid(1000), until: until.div_euclid(1000) + 1, dense: false }
    }

    fn size(&self) -> usize {
        if self.dense { MOST } else { USUAL }
    }

    fn query(&self) -> String {
        let date = |at| Timestamp::from_second(at).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let since = if self.dense { self.since.max(self.until - DENSE_S) } else { self.since };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("StartDate", &date(since)).append_pair("EndDate", &date(self.until));
        query.append_pair("PageSize", &self.size().to_string());
        query.finish()
    }

    /// What to ask for when these were answered: up to the oldest of them, which is listed again, and those of its second
    /// with it.
    fn after(&self, records: &[Record], is_full: bool) -> Result<Option<Self>, Unlisted> {
        let (since, dense) = (self.since, false);
        let next = match (is_full, self.dense) {
            (false, false) => return Ok(None),
            (true, true) => return Err(Unlisted::Crowded),
            (false, true) => Self { since, until: self.until - 1, dense },
            (true, false) => {
                let at = |record: Option<&Record>| record.and_then(event_record::at);
                let (Some(newest), Some(oldest)) = (at(records.first()), at(records.last())) else {
                    return Err(Unlisted::Disordered);
                };
                if newest < oldest {
                    return Err(Unlisted::Disordered);
                }
                let until = oldest.div_euclid(1000) + 1;
                if until < self.until { Self { since, until, dense } } else { Self { dense: true, ..self.clone() } }
            }
        };
        Ok((next.until >= next.since).then_some(next))
    }
}

impl Client {
    /// Events of the workspace, and which to ask for after them. Some come twice.
    ///
    /// # Errors
    /// When Twilio does not answer with a list.
    pub async fn events(
        &self,
        page: &EventsPage,
    ) -> Result<(Vec<Record>, Result<Option<EventsPage>, Unlisted>), Unanswered> {
        let path = ["v1", "Workspaces", self.site.workspace_sid.as_str(), "Events"];
        let request = taskrouter(&path, Some(page.query()), None);
        let (body, _) = self.asked("list events", &request).await?;
        let (records, size) = read(&body).ok_or_else(Unanswered::unreadable)?;
        let is_full = records.len() >= size.unwrap_or(page.size()).clamp(1, page.size());
        let next = page.after(&records, is_full);
        Ok((records, next))
    }
}

/// The records, and how many Twilio says that a list holds.
fn read(body: &[u8]) -> Option<(Vec<Record>, Option<usize>)> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let size = body.pointer("/meta/page_size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let Value::Array(rows) = body.get_mut("events")?.take() else { return None };
    let records: Option<Vec<Record>> = rows
        .into_iter()
        .map(|row| match row {
            Value::Object(record) => Some(record),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        })
        .collect();
    Some((records?, size))
}
