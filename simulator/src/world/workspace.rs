//! The workspace's own resources: its settings, and the events that it keeps for reading.

use super::rest::Page;
use super::{Event, Ms, World};
use serde_json::{Map, Value, json};

/// Documented: without dates, the events of the last 15 minutes.
const WITHOUT_DATES_MS: Ms = 15 * 60_000;

/// Another workspace of the account, which nothing happens in.
const OTHER: (&str, &str) = ("WS000000000000000000000000000000ff", "Sandbox");

/// What a workspace is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// `friendly_name`.
    pub name: String,
    /// `event_callback_url`; empty when there is none.
    pub event_callback_url: String,
    /// `events_filter`; empty means all events.
    pub events_filter: String,
}

impl Default for Workspace {
    fn default() -> Self {
        let name = "Flex Task Assignment".to_owned();
        Self { name, event_callback_url: String::new(), events_filter: String::new() }
    }
}

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// `StartDate`.
    pub since: Option<Ms>,
    /// `EndDate`.
    pub until: Option<Ms>,
    /// `EventType`.
    pub event_type: Option<String>,
    /// `TaskSid`.
    pub task: Option<String>,
    /// `PageSize` and where the page begins.
    pub page: Page,
}

impl EventQuery {
    /// Reads the parameters of a request.
    pub fn read(parameters: &[(String, String)], page: Page) -> Self {
        let get = |name: &str| parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
        let date = |name: &str| Some(get(name)?.parse::<jiff::Timestamp>().ok()?.as_millisecond());
        Self {
            since: date("StartDate"),
            until: date("EndDate"),
            event_type: get("EventType"),
            task: get("TaskSid"),
            page,
        }
    }
}

impl World {
    /// Every event so far, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &Event> {
        self.records.iter().map(|(_, event)| event)
    }

    /// What the workspace is set to.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Sets it otherwise, as somebody does in the Console.
    pub fn configure_workspace(&mut self, change: impl FnOnce(&mut Workspace)) {
        change(&mut self.workspace);
    }

    pub(super) fn workspaces_listed(&self, name: Option<&str>, page: Page, path: &str) -> Value {
        let all = [self.workspace_sid.as_str(), OTHER.0].into_iter().filter_map(|sid| self.workspace_body(sid));
        let rows = all.filter(|body| name.is_none_or(|name| body["friendly_name"] == name)).collect();
        self.listed_v1("workspaces", rows, page, path, &[])
    }

    pub(super) fn update_workspace(&mut self, sid: &str, url: Option<&str>, filter: Option<&str>) -> Option<Value> {
        if sid == self.workspace_sid.as_str() {
            let workspace = &mut self.workspace;
            for (given, place) in [(url, &mut workspace.event_callback_url), (filter, &mut workspace.events_filter)] {
                if let Some(text) = given {
                    text.clone_into(place);
                }
            }
        }
        self.workspace_body(sid)
    }

    pub(super) fn events_listed(&self, query: &EventQuery, path: &str) -> Value {
        let since = query.since.unwrap_or(self.now - WITHOUT_DATES_MS);
        let until = query.until.unwrap_or(Ms::MAX);
        let meant = |(at, event): &&(Ms, Event)| {
            (since..=until).contains(at)
                && query.event_type.as_deref().is_none_or(|name| event.event_type == name)
                && query.task.as_deref().is_none_or(|task| event.task.as_str() == task)
        };
        let rows = self.records.iter().rev().filter(meant).map(|(at, event)| self.record_body(*at, event)).collect();
        // "Pagination is not supported under this resource": whatever page is asked for, there is the first.
        let mut list = self.listed_v1("events", rows, Page { number: 0, ..query.page }, path, &[]);
        list["meta"]["next_page_url"] = Value::Null;
        list
    }

    /// Moves what happened before the last event into the past, until each event has so long to the next: for readers of the list,
    /// which has the events of a span of time.
    pub fn spread_records(&mut self, apart: Ms) {
        let newest = self.records.last().map_or(0, |(at, _)| *at);
        for ((at, _), place) in self.records.iter_mut().rev().zip(0..) {
            *at = newest - place * apart;
        }
    }

    /// The Event resource. `event_data` is documented as "data about the event"; its field names are attested.
    fn record_body(&self, at: Ms, event: &Event) -> Value {
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
        let data: Map<String, Value> = event
            .form
            .iter()
            .filter(|(name, _)| !OF_THE_RECORD.contains(&name.as_str()))
            .map(|(name, value)| (snake_case(name), json!(value)))
            .collect();
        json!({
            "account_sid": self.account.as_str(), "workspace_sid": self.workspace_sid.as_str(), "sid": event.sid.as_str(),
            "event_type": event.event_type, "event_date_ms": at, "description": get("EventDescription"),
            "event_date": jiff::Timestamp::from_millisecond(at).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "resource_type": get("ResourceType"), "resource_sid": get("ResourceSid"), "event_data": data,
            "actor_type": null, "actor_sid": null, "source": "taskrouter", "source_ip_address": null,
            "url": format!("https://taskrouter.twilio.com/v1/Workspaces/{}/Events/{}", self.workspace_sid, event.sid),
        })
    }

    pub(super) fn workspace_body(&self, sid: &str) -> Option<Value> {
        let other = Workspace { name: OTHER.1.to_owned(), ..Workspace::default() };
        let workspace = match sid {
            _ if sid == self.workspace_sid.as_str() => &self.workspace,
            _ if sid == OTHER.0 => &other,
            _ => return None,
        };
        let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        Some(json!({
            "account_sid": self.account.as_str(), "sid": sid, "friendly_name": workspace.name, "multi_task_enabled": true,
            "event_callback_url": text(&workspace.event_callback_url), "events_filter": text(&workspace.events_filter),
            "prioritize_queue_order": "FIFO", "url": format!("https://taskrouter.twilio.com/v1/Workspaces/{sid}"),
        }))
    }

    /// The envelope of TaskRouter's lists.
    pub(super) fn listed_v1(
        &self,
        key: &str,
        rows: Vec<Value>,
        page: Page,
        path: &str,
        filters: &[(&str, String)],
    ) -> Value {
        let (rows, total, size) = self.cut(rows, page);
        let address = |number: usize| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(filters);
            query.append_pair("PageSize", &size.to_string()).append_pair("Page", &number.to_string());
            format!("https://taskrouter.twilio.com{path}?{}", query.finish())
        };
        json!({
            key: rows,
            "meta": {
                "key": key, "page": page.number, "page_size": size, "url": address(page.number),
                "first_page_url": address(0), "previous_page_url": page.number.checked_sub(1).map(address),
                "next_page_url": ((page.number + 1) * size < total).then(|| address(page.number + 1)),
            },
        })
    }
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
