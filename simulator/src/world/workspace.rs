//! The workspace's own settings, and those of a second workspace in which nothing happens.

use super::context::Context;
use super::time::iso8601;
use serde_json::{Value, json};

/// Another workspace of the account: SID and name.
const OTHER: (&str, &str) = ("WS000000000000000000000000000000ff", "Sandbox");

/// The one queue: SID and name.
pub(super) const QUEUE: (&str, &str) = ("WQ00000000000000000000000000000009", "Everyone");
/// The one workflow.
pub(super) const WORKFLOW: (&str, &str) = ("WW0000000000000000000000000000000f", "Assign to Anyone");
/// The one activity.
pub(super) const ACTIVITY: (&str, &str) = ("WA00000000000000000000000000000001", "Available");
/// The one channel's SID.
pub(super) const CHANNEL: &str = "TC0000000000000000000000000000007c";

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
        Self::named("Flex Task Assignment")
    }
}

impl Workspace {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), event_callback_url: String::new(), events_filter: String::new() }
    }

    pub(super) fn all(&self, cx: &Context) -> Vec<Value> {
        [cx.workspace.as_str(), OTHER.0].into_iter().filter_map(|sid| self.fetch(cx, sid)).collect()
    }

    /// Changes what is given; the other workspace stays as it is.
    pub(super) fn update(&mut self, cx: &Context, sid: &str, url: Option<&str>, filter: Option<&str>) -> Option<Value> {
        if sid == cx.workspace.as_str() {
            for (given, place) in [(url, &mut self.event_callback_url), (filter, &mut self.events_filter)] {
                if let Some(text) = given {
                    text.clone_into(place);
                }
            }
        }
        self.fetch(cx, sid)
    }

    /// The workspace with this SID: this one or the other.
    pub(super) fn fetch(&self, cx: &Context, sid: &str) -> Option<Value> {
        match sid {
            _ if sid == cx.workspace.as_str() => Some(self.body(cx, sid)),
            _ if sid == OTHER.0 => Some(Self::named(OTHER.1).body(cx, sid)),
            _ => None,
        }
    }

    fn body(&self, cx: &Context, sid: &str) -> Value {
        let url = format!("{}/v1/Workspaces/{sid}", cx.base);
        let below = |name: &str| format!("{url}/{name}");
        let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        json!({
            "account_sid": cx.account.as_str(), "sid": sid, "friendly_name": self.name, "multi_task_enabled": true,
            "event_callback_url": text(&self.event_callback_url), "events_filter": text(&self.events_filter),
            "prioritize_queue_order": "FIFO", "default_activity_name": ACTIVITY.1, "default_activity_sid": ACTIVITY.0,
            "timeout_activity_name": ACTIVITY.1, "timeout_activity_sid": ACTIVITY.0,
            "date_created": iso8601(cx.began()), "date_updated": iso8601(cx.began()), "url": url,
            "links": {
                "activities": below("Activities"), "events": below("Events"), "tasks": below("Tasks"),
                "task_channels": below("TaskChannels"), "task_queues": below("TaskQueues"),
                "workers": below("Workers"), "workflows": below("Workflows"), "statistics": below("Statistics"),
                "cumulative_statistics": below("CumulativeStatistics"),
                "real_time_statistics": below("RealTimeStatistics"),
            },
        })
    }
}
