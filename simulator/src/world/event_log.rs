//! The events that TaskRouter keeps for reading.

use super::context::Context;
use super::time::iso8601;
use super::{Event, PageQuery};
use crate::sim_config::Ms;
use serde_json::{Map, Value, json};
use taskrouter_streams::call::sid::TaskSid;

/// Filters, and the parameters of an event that they are compared with.
const EQUAL: [(&str, &str); 8] = [
    ("EventType", "EventType"),
    ("TaskSid", "TaskSid"),
    ("ReservationSid", "ReservationSid"),
    ("WorkerSid", "WorkerSid"),
    ("TaskQueueSid", "TaskQueueSid"),
    ("WorkflowSid", "WorkflowSid"),
    ("TaskChannel", "TaskChannelUniqueName"),
    ("Sid", "Sid"),
];

/// Documented: without dates, the events of the last 15 minutes.
const WITHOUT_DATES_MS: Ms = 15 * 60_000;

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// `StartDate`.
    pub since: Option<Ms>,
    /// `EndDate`.
    pub until: Option<Ms>,
    /// `Minutes`.
    pub minutes: Option<Ms>,
    /// The other filters: what a parameter of the event must be.
    equal: Vec<(&'static str, String)>,
    /// `PageSize` and where the page begins.
    pub page: PageQuery,
}

impl EventQuery {
    /// Reads the parameters of a request.
    pub fn read(parameters: &[(String, String)], page: PageQuery) -> Self {
        let get = |name: &str| parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
        let date = |name: &str| Some(get(name)?.parse::<jiff::Timestamp>().ok()?.as_millisecond());
        let equal = EQUAL.into_iter().filter_map(|(filter, parameter)| Some((parameter, get(filter)?)));
        let minutes = get("Minutes").and_then(|minutes| minutes.parse::<Ms>().ok());
        Self { since: date("StartDate"), until: date("EndDate"), minutes, equal: equal.collect(), page }
    }
}

/// Every event of TaskRouter so far and when it happened, oldest first.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    records: Vec<(Ms, Event)>,
    last_at: Ms,
}

impl EventLog {
    /// When the next event happens. Recorded events of one task are 1 ms apart.
    pub(super) fn next_time(&mut self, now: Ms) -> Ms {
        self.last_at = now.max(self.last_at + 1);
        self.last_at
    }

    pub(super) fn push(&mut self, at: Ms, event: Event) {
        self.records.push((at, event));
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.records.iter().map(|(_, event)| event)
    }

    /// When the newest event about the task happened.
    pub(super) fn last_about(&self, task: &TaskSid) -> Option<Ms> {
        self.records.iter().rev().find(|(_, event)| event.task == *task).map(|(at, _)| *at)
    }

    /// Moves what happened before the last event into the past, until each event has so long to the next: for readers of the
    /// list, which has the events of a span of time.
    pub(super) fn spread(&mut self, apart: Ms) {
        let newest = self.records.last().map_or(0, |(at, _)| *at);
        for ((at, _), place) in self.records.iter_mut().rev().zip(0..) {
            *at = newest - place * apart;
        }
    }

    /// The list of those that the query means, newest first.
    pub(super) fn list(&self, cx: &Context, query: &EventQuery, path: &str) -> Value {
        let span = query.minutes.map_or(WITHOUT_DATES_MS, |minutes| minutes.saturating_mul(60_000));
        let since = query.since.unwrap_or(cx.now().saturating_sub(span));
        let until = query.until.unwrap_or(Ms::MAX);
        let meant = |(at, event): &&(Ms, Event)| {
            let is_in = |(name, wanted): &(&str, String)| {
                event.form.iter().any(|(found, value)| found == name && value == wanted)
            };
            (since..=until).contains(at) && query.equal.iter().all(is_in)
        };
        let rows = self.records.iter().rev().filter(meant).map(|(at, event)| body(cx, *at, event)).collect();
        // "Pagination is not supported under this resource": whatever page is asked for, there is the first.
        let page = PageQuery { number: 0, ..query.page };
        let url = format!("{}{path}", cx.base);
        let mut list = page.list_v1("events", rows, cx.config.page_size_limit, &url, &[]);
        list["meta"]["next_page_url"] = Value::Null;
        list
    }
}

/// The Event resource. `event_data` is documented as "data about the event"; its field names are attested.
fn body(cx: &Context, at: Ms, event: &Event) -> Value {
    const OF_THE_RECORD: [&str; 9] = [
        "EventType",
        "AccountSid",
        "WorkspaceSid",
        "Sid",
        "Timestamp",
        "TimestampMs",
        "EventDescription",
        "ResourceType",
        "ResourceSid",
    ];
    let get = |name: &str| event.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let data = event.form.iter().filter(|(name, _)| !OF_THE_RECORD.contains(&name.as_str()));
    let data: Map<String, Value> = data.map(|(name, value)| (snake_case(name), json!(value))).collect();
    json!({
        "account_sid": cx.account.as_str(), "workspace_sid": cx.workspace.as_str(), "sid": event.sid.as_str(),
        "event_type": event.event_type, "event_date_ms": at, "description": get("EventDescription"),
        "event_date": iso8601(at),
        "resource_type": get("ResourceType"), "resource_sid": get("ResourceSid"), "event_data": data,
        "actor_url": null, "resource_url": null, "actor_type": null, "actor_sid": null, "source": "taskrouter",
        "source_ip_address": null,
        "url": format!("{}/v1/Workspaces/{}/Events/{}", cx.base, cx.workspace, event.sid),
    })
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
