//! The events of the workspace, as TaskRouter keeps them.
//! Source: <https://www.twilio.com/docs/taskrouter/api/event>.

use super::Client;
use super::unanswered::{Unanswered, taskrouter};
use crate::call::fact::EpochMs;
use crate::twilio::event_record::Record;
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

/// Twilio's default. A voice event has some five thousand bytes, and a page must stay below `twilio.answer_limit_bytes`.
const EVENTS_PER_PAGE: u16 = 50;

/// Which page of the events to read. Twilio lists the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsPage(String);

impl EventsPage {
    /// The first page of the events from `since` until `until`.
    pub fn first(since: EpochMs, until: EpochMs) -> Self {
        let date = |at| Timestamp::from_millisecond(at).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("StartDate", &date(since)).append_pair("EndDate", &date(until));
        query.append_pair("PageSize", &EVENTS_PER_PAGE.to_string());
        Self(query.finish())
    }
}

impl Client {
    /// One page of the workspace's events, and which one comes after it.
    ///
    /// # Errors
    /// When Twilio does not answer with a page.
    pub async fn events(&self, page: &EventsPage) -> Result<(Vec<Record>, Option<EventsPage>), Unanswered> {
        let path = ["v1", "Workspaces", self.site.workspace_sid.as_str(), "Events"];
        let request = taskrouter(&path, Some(page.0.clone()), None);
        let (body, _) = self.asked("list events", &request).await?;
        read(&body, &request.url(&self.taskrouter_base_url)).ok_or_else(Unanswered::unreadable)
    }
}

fn read(body: &[u8], asked: &Url) -> Option<(Vec<Record>, Option<EventsPage>)> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let next = body.pointer("/meta/next_page_url").and_then(Value::as_str).and_then(|next| asked.join(next).ok());
    let Value::Array(rows) = body.get_mut("events")?.take() else { return None };
    let records: Option<Vec<Record>> = rows
        .into_iter()
        .map(|row| match row {
            Value::Object(record) => Some(record),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        })
        .collect();
    // Only the query is taken over: whatever host the list names, our credentials go where they went before.
    let next = next.filter(|next| next.path().ends_with("/Events")).and_then(|next| next.query().map(str::to_owned));
    Some((records?, next.map(EventsPage)))
}
