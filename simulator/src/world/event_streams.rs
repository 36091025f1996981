//! Event Streams' sinks and subscriptions. They are kept and listed; nothing is delivered through them.
//! Documented: <https://www.twilio.com/docs/events/event-streams/sink-resource>, …/subscription, and Twilio's OpenAPI document.

use super::context::Context;
use super::list::{Compare, Filter};
use super::time::iso8601;
use super::{ListQuery, OpName, Reply};
use crate::sim_config::Ms;
use serde_json::{Map, Value, json};

/// A request to the Events API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is one endpoint, named in OpName, with its parameters")]
pub enum SinkRequest {
    ListSinks { query: ListQuery },
    CreateSink { configuration: Option<String>, description: String, sink_type: Option<String> },
    FetchSink { sink: String },
    UpdateSink { sink: String, description: Option<String> },
    DeleteSink { sink: String },
    ListSubscriptions { query: ListQuery },
    CreateSubscription { sink: Option<String>, description: String, types: Vec<String> },
    FetchSubscription { subscription: String },
    UpdateSubscription { subscription: String, description: Option<String>, sink: Option<String> },
    DeleteSubscription { subscription: String },
    ListSubscribedEvents { subscription: String, query: ListQuery },
    AddSubscribedEvent { subscription: String, event_type: Option<String>, schema_version: Option<u32> },
    FetchSubscribedEvent { subscription: String, event_type: String },
    RemoveSubscribedEvent { subscription: String, event_type: String },
}

/// A sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sink {
    /// Its SID.
    pub sid: String,
    /// "initialized", "validating", "active" or "failed".
    pub status: String,
    /// `sink_configuration`.
    pub configuration: Value,
    /// `description`.
    pub description: String,
    /// `sink_type`; empty means `webhook`.
    pub sink_type: String,
    /// When it was made or changed.
    pub changed_at: Ms,
}

/// A subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Its SID.
    pub sid: String,
    /// The sink that it feeds.
    pub sink: String,
    /// Its event types.
    pub types: Vec<String>,
    /// It brings events of subaccounts as well.
    pub of_subaccounts: bool,
    /// `description`.
    pub description: String,
    /// When it was made or changed.
    pub changed_at: Ms,
}

/// What Event Streams is set to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventStreams {
    /// Oldest first.
    pub sinks: Vec<Sink>,
    /// Oldest first.
    pub subscriptions: Vec<Subscription>,
}

/// Documented for the Sinks resource; `InUse` is not simulated.
const SINK_FILTERS: [Filter; 1] = [Filter("Status", "status", Compare::Text)];
const SUBSCRIPTION_FILTERS: [Filter; 1] = [Filter("SinkSid", "sink_sid", Compare::Text)];

impl SinkRequest {
    /// The endpoint.
    pub(super) fn op(&self) -> OpName {
        match self {
            Self::ListSinks { .. } => OpName::ListSinks,
            Self::CreateSink { .. } => OpName::CreateSink,
            Self::FetchSink { .. } => OpName::FetchSink,
            Self::UpdateSink { .. } => OpName::UpdateSink,
            Self::DeleteSink { .. } => OpName::DeleteSink,
            Self::ListSubscriptions { .. } => OpName::ListSubscriptions,
            Self::CreateSubscription { .. } => OpName::CreateSubscription,
            Self::FetchSubscription { .. } => OpName::FetchSubscription,
            Self::UpdateSubscription { .. } => OpName::UpdateSubscription,
            Self::DeleteSubscription { .. } => OpName::DeleteSubscription,
            Self::ListSubscribedEvents { .. } => OpName::ListSubscribedEvents,
            Self::AddSubscribedEvent { .. } => OpName::AddSubscribedEvent,
            Self::FetchSubscribedEvent { .. } => OpName::FetchSubscribedEvent,
            Self::RemoveSubscribedEvent { .. } => OpName::RemoveSubscribedEvent,
        }
    }

    /// The request that method, path below the version, and parameters mean.
    pub fn read(method: &str, path: &[&str], parameters: &[(String, String)]) -> Option<Self> {
        let all = |name: &str| -> Vec<String> {
            parameters.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone()).collect()
        };
        let get = |name: &str| all(name).into_iter().next();
        let query = || ListQuery::read(parameters);
        let own = |text: &&str| (*text).to_owned();
        Some(match (path, method) {
            (["Sinks"], "GET") if get("InUse").is_none() => Self::ListSinks { query: query() },
            (["Sinks"], "POST") => Self::CreateSink {
                configuration: get("SinkConfiguration"),
                description: get("Description").unwrap_or_default(),
                sink_type: get("SinkType"),
            },
            (["Sinks", sink], "GET") => Self::FetchSink { sink: own(sink) },
            (["Sinks", sink], "POST") => Self::UpdateSink { sink: own(sink), description: get("Description") },
            (["Sinks", sink], "DELETE") => Self::DeleteSink { sink: own(sink) },
            (["Subscriptions"], "GET") => Self::ListSubscriptions { query: query() },
            (["Subscriptions"], "POST") => Self::CreateSubscription {
                sink: get("SinkSid"),
                description: get("Description").unwrap_or_default(),
                types: all("Types"),
            },
            (["Subscriptions", found], "GET") => Self::FetchSubscription { subscription: own(found) },
            (["Subscriptions", found], "POST") => Self::UpdateSubscription {
                subscription: own(found),
                description: get("Description"),
                sink: get("SinkSid"),
            },
            (["Subscriptions", found], "DELETE") => Self::DeleteSubscription { subscription: own(found) },
            (["Subscriptions", found, "SubscribedEvents"], "GET") => {
                Self::ListSubscribedEvents { subscription: own(found), query: query() }
            }
            (["Subscriptions", found, "SubscribedEvents"], "POST") => Self::AddSubscribedEvent {
                subscription: own(found),
                event_type: get("Type"),
                schema_version: get("SchemaVersion").and_then(|version| version.parse().ok()),
            },
            (["Subscriptions", found, "SubscribedEvents", event_type], "GET") => {
                Self::FetchSubscribedEvent { subscription: own(found), event_type: own(event_type) }
            }
            (["Subscriptions", found, "SubscribedEvents", event_type], "DELETE") => {
                Self::RemoveSubscribedEvent { subscription: own(found), event_type: own(event_type) }
            }
            _ => return None,
        })
    }
}

impl Sink {
    fn body(&self, cx: &Context) -> Value {
        let Self { sid, status, configuration, description, sink_type, changed_at } = self;
        let (changed, url) = (iso8601(*changed_at), format!("{}/v1/Sinks/{sid}", cx.base));
        let sink_type = if sink_type.is_empty() { "webhook" } else { sink_type };
        json!({
            "sid": sid, "status": status, "sink_configuration": configuration, "sink_type": sink_type,
            "description": description, "date_created": changed, "date_updated": changed,
            "links": {"sink_test": format!("{url}/Test"), "sink_validate": format!("{url}/Validate")}, "url": url,
        })
    }
}

impl Subscription {
    fn body(&self, cx: &Context) -> Value {
        let Self { sid, sink, of_subaccounts, description, changed_at, .. } = self;
        let (changed, url) = (iso8601(*changed_at), format!("{}/v1/Subscriptions/{sid}", cx.base));
        json!({
            "account_sid": cx.account.as_str(), "sid": sid, "sink_sid": sink, "description": description,
            "receive_events_from_subaccounts": of_subaccounts, "date_created": changed, "date_updated": changed,
            "links": {"subscribed_events": format!("{url}/SubscribedEvents")}, "url": url,
        })
    }
}

impl EventStreams {
    pub(super) fn perform(&mut self, cx: &mut Context, request: &SinkRequest, path: &str) -> Reply {
        let invalid = || Reply::error(400, 20001, "Invalid parameter");
        match request {
            SinkRequest::ListSinks { query } => {
                let rows = self.sinks.iter().map(|sink| sink.body(cx)).collect();
                listed(cx, query, "sinks", rows, (&SINK_FILTERS, path))
            }
            SinkRequest::CreateSink { configuration, description, sink_type } => {
                let sink_type = sink_type.clone().unwrap_or_default();
                self.create_sink(cx, configuration.as_deref(), description, sink_type).unwrap_or_else(invalid)
            }
            SinkRequest::FetchSink { sink } => Reply::found(self.sink(sink).map(|sink| sink.body(cx)), path),
            SinkRequest::UpdateSink { sink, description } => {
                let found = self.sinks.iter_mut().find(|found| found.sid == *sink);
                let updated = found.map(|found| {
                    found.description = description.clone().unwrap_or_else(|| found.description.clone());
                    found.changed_at = cx.now();
                    found.body(cx)
                });
                Reply::found(updated, path)
            }
            SinkRequest::DeleteSink { sink } => removed(&mut self.sinks, |found| found.sid == *sink, path),
            SinkRequest::ListSubscriptions { query } => {
                let rows = self.subscriptions.iter().map(|found| found.body(cx)).collect();
                listed(cx, query, "subscriptions", rows, (&SUBSCRIPTION_FILTERS, path))
            }
            SinkRequest::CreateSubscription { sink, description, types } => {
                self.create_subscription(cx, sink.as_deref(), description, types).unwrap_or_else(invalid)
            }
            SinkRequest::FetchSubscription { subscription } => {
                Reply::found(self.subscription(subscription).map(|found| found.body(cx)), path)
            }
            SinkRequest::UpdateSubscription { subscription, description, sink } => {
                let updated = self.subscription(subscription).map(|found| {
                    found.description = description.clone().unwrap_or_else(|| found.description.clone());
                    found.sink = sink.clone().unwrap_or_else(|| found.sink.clone());
                    found.changed_at = cx.now();
                    found.body(cx)
                });
                Reply::found(updated, path)
            }
            SinkRequest::DeleteSubscription { subscription } => {
                removed(&mut self.subscriptions, |found| found.sid == *subscription, path)
            }
            SinkRequest::ListSubscribedEvents { subscription, query } => {
                let Some(found) = self.subscription(subscription) else { return Reply::not_found(path) };
                let rows = found.types.iter().map(|name| type_body(cx, subscription, name, 1)).collect();
                listed(cx, query, "types", rows, (&[], path))
            }
            SinkRequest::AddSubscribedEvent { subscription, event_type, schema_version } => {
                let Some(found) = self.subscription(subscription) else { return Reply::not_found(path) };
                let Some(name) = event_type else { return invalid() };
                found.types.push(name.clone());
                let body = type_body(cx, subscription, name, schema_version.unwrap_or(1));
                Reply { status: 201, body }
            }
            SinkRequest::FetchSubscribedEvent { subscription, event_type } => {
                let found = self.subscription(subscription).filter(|found| found.types.contains(event_type));
                Reply::found(found.map(|_| type_body(cx, subscription, event_type, 1)), path)
            }
            SinkRequest::RemoveSubscribedEvent { subscription, event_type } => {
                let Some(found) = self.subscription(subscription) else { return Reply::not_found(path) };
                removed(&mut found.types, |found| found == event_type, path)
            }
        }
    }

    fn sink(&self, sid: &str) -> Option<&Sink> {
        self.sinks.iter().find(|found| found.sid == sid)
    }

    fn subscription(&mut self, sid: &str) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|found| found.sid == sid)
    }

    fn create_sink(
        &mut self,
        cx: &mut Context,
        configuration: Option<&str>,
        description: &str,
        sink_type: String,
    ) -> Option<Reply> {
        let configuration: Map<String, Value> = serde_json::from_str(configuration?).ok()?;
        let sink = Sink {
            sid: cx.mint_text("DG"),
            status: "active".to_owned(),
            configuration: configuration.into(),
            description: description.to_owned(),
            sink_type,
            changed_at: cx.now(),
        };
        let body = sink.body(cx);
        self.sinks.push(sink);
        Some(Reply { status: 201, body })
    }

    /// Documented: "Sink must be active for the subscription to be created."
    fn create_subscription(
        &mut self,
        cx: &mut Context,
        sink: Option<&str>,
        description: &str,
        types: &[String],
    ) -> Option<Reply> {
        let sink = self.sink(sink?).filter(|found| found.status == "active")?.sid.clone();
        let name = |text: &String| Some(serde_json::from_str::<Value>(text).ok()?.get("type")?.as_str()?.to_owned());
        let types = types.iter().map(name).collect::<Option<Vec<_>>>().filter(|types| !types.is_empty())?;
        let subscription = Subscription {
            sid: cx.mint_text("DF"),
            sink,
            types,
            of_subaccounts: false,
            description: description.to_owned(),
            changed_at: cx.now(),
        };
        let body = subscription.body(cx);
        self.subscriptions.push(subscription);
        Some(Reply { status: 201, body })
    }
}

/// Removes the first that is meant, if there is one.
fn removed<T>(from: &mut Vec<T>, is_meant: impl Fn(&T) -> bool, path: &str) -> Reply {
    let Some(place) = from.iter().position(is_meant) else { return Reply::not_found(path) };
    from.remove(place);
    Reply::no_content()
}

fn type_body(cx: &Context, subscription: &str, event_type: &str, schema_version: u32) -> Value {
    json!({
        "account_sid": cx.account.as_str(), "subscription_sid": subscription, "type": event_type,
        "schema_version": schema_version,
        "url": format!("{}/v1/Subscriptions/{subscription}/SubscribedEvents/{event_type}", cx.base),
    })
}

fn listed(cx: &Context, query: &ListQuery, key: &str, rows: Vec<Value>, (known, path): (&[Filter], &str)) -> Reply {
    let url = format!("{}{path}", cx.base);
    match query.select(rows, known) {
        Ok(rows) => Reply { status: 200, body: query.list_v1(key, rows, cx.config.page_size_limit, &url) },
        Err(refusal) => refusal,
    }
}
