//! Event Streams' sinks and subscriptions. They are kept and listed; nothing is delivered through them.
//! Documented: <https://www.twilio.com/docs/events/event-streams/sink-resource>, …/subscription, and Twilio's OpenAPI document.

use super::context::Context;
use super::{OpName, PageQuery, Reply};
use serde_json::{Map, Value, json};
use taskrouter_streams::call::sid::AccountSid;

/// A request to the Events API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is one endpoint, named in OpName, with its parameters")]
pub enum SinkRequest {
    ListSinks { page: PageQuery },
    CreateSink { configuration: Option<String> },
    ListSubscriptions { sink: Option<String>, page: PageQuery },
    CreateSubscription { sink: Option<String>, types: Vec<String> },
    ListSubscribedEvents { subscription: String, page: PageQuery },
    AddSubscribedEvent { subscription: String, event_type: Option<String> },
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// Its SID.
    pub sid: String,
    /// "initialized", "validating", "active" or "failed".
    pub status: String,
    /// `sink_configuration`.
    pub configuration: Value,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its SID.
    pub sid: String,
    /// The sink that it feeds.
    pub sink: String,
    /// Its event types.
    pub types: Vec<String>,
    /// It brings events of subaccounts as well.
    pub of_subaccounts: bool,
}

/// What Event Streams is set to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventStreams {
    /// Oldest first.
    pub sinks: Vec<Sink>,
    /// Oldest first.
    pub subscriptions: Vec<Subscription>,
}

impl SinkRequest {
    /// The endpoint.
    pub(super) fn op(&self) -> OpName {
        match self {
            SinkRequest::ListSinks { .. } => OpName::ListSinks,
            SinkRequest::CreateSink { .. } => OpName::CreateSink,
            SinkRequest::ListSubscriptions { .. } => OpName::ListSubscriptions,
            SinkRequest::CreateSubscription { .. } => OpName::CreateSubscription,
            SinkRequest::ListSubscribedEvents { .. } => OpName::ListSubscribedEvents,
            SinkRequest::AddSubscribedEvent { .. } => OpName::AddSubscribedEvent,
        }
    }

    /// The request that method, path below the version, and parameters mean.
    pub fn read(write: bool, path: &[&str], parameters: &[(String, String)], page: PageQuery) -> Option<Self> {
        let all = |name: &str| -> Vec<String> {
            parameters.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone()).collect()
        };
        let get = |name: &str| all(name).into_iter().next();
        Some(match (path, write) {
            (["Sinks"], false) => SinkRequest::ListSinks { page },
            (["Sinks"], true) => SinkRequest::CreateSink { configuration: get("SinkConfiguration") },
            (["Subscriptions"], false) => SinkRequest::ListSubscriptions { sink: get("SinkSid"), page },
            (["Subscriptions"], true) => SinkRequest::CreateSubscription { sink: get("SinkSid"), types: all("Types") },
            (["Subscriptions", subscription, "SubscribedEvents"], false) => {
                SinkRequest::ListSubscribedEvents { subscription: (*subscription).to_owned(), page }
            }
            (["Subscriptions", subscription, "SubscribedEvents"], true) => {
                SinkRequest::AddSubscribedEvent { subscription: (*subscription).to_owned(), event_type: get("Type") }
            }
            _ => return None,
        })
    }
}

impl Sink {
    fn body(&self) -> Value {
        let Self { sid, status, configuration } = self;
        json!({
            "sid": sid, "status": status, "sink_configuration": configuration, "sink_type": "webhook",
            "description": "a sink", "url": format!("https://events.twilio.com/v1/Sinks/{sid}"),
        })
    }
}

impl Subscription {
    fn body(&self, account: &AccountSid) -> Value {
        let Self { sid, sink, of_subaccounts, .. } = self;
        json!({
            "account_sid": account.as_str(), "sid": sid, "sink_sid": sink, "description": "a subscription",
            "receive_events_from_subaccounts": of_subaccounts,
            "url": format!("https://events.twilio.com/v1/Subscriptions/{sid}"),
        })
    }
}

impl EventStreams {
    pub(super) fn perform(&mut self, cx: &mut Context, request: &SinkRequest, path: &str) -> Reply {
        let reply = match request {
            SinkRequest::ListSinks { page } => Some(self.list_sinks(cx, *page, path)),
            SinkRequest::CreateSink { configuration } => self.create_sink(cx, configuration.as_deref()),
            SinkRequest::ListSubscriptions { sink, page } => {
                Some(self.list_subscriptions(cx, sink.as_deref(), *page, path))
            }
            SinkRequest::CreateSubscription { sink, types } => self.create_subscription(cx, sink.as_deref(), types),
            SinkRequest::ListSubscribedEvents { subscription, page } => self.list_types(cx, subscription, *page, path),
            SinkRequest::AddSubscribedEvent { subscription, event_type } => {
                self.add_type(cx, subscription, event_type.as_deref())
            }
        };
        reply.unwrap_or_else(|| Reply::error(400, 20001, "Invalid parameter"))
    }

    fn list_sinks(&self, cx: &Context, page: PageQuery, path: &str) -> Reply {
        let rows = self.sinks.iter().map(Sink::body).collect();
        Reply { status: 200, body: listed(cx, "sinks", rows, page, path, &[]) }
    }

    fn create_sink(&mut self, cx: &mut Context, configuration: Option<&str>) -> Option<Reply> {
        let configuration: Map<String, Value> = serde_json::from_str(configuration?).ok()?;
        let (sid, status) = (cx.mint_text("DG"), "active".to_owned());
        let sink = Sink { sid, status, configuration: configuration.into() };
        let body = sink.body();
        self.sinks.push(sink);
        Some(Reply { status: 201, body })
    }

    fn list_subscriptions(&self, cx: &Context, sink: Option<&str>, page: PageQuery, path: &str) -> Reply {
        let meant = |found: &&Subscription| sink.is_none_or(|sink| found.sink == sink);
        let rows = self.subscriptions.iter().filter(meant).map(|found| found.body(&cx.account)).collect();
        let filters: Vec<_> = sink.map(|sink| ("SinkSid", sink)).into_iter().collect();
        Reply { status: 200, body: listed(cx, "subscriptions", rows, page, path, &filters) }
    }

    /// Documented: "Sink must be active for the subscription to be created."
    fn create_subscription(&mut self, cx: &mut Context, sink: Option<&str>, types: &[String]) -> Option<Reply> {
        let sink = self.sinks.iter().find(|found| Some(found.sid.as_str()) == sink && found.status == "active")?;
        let name = |text: &String| Some(serde_json::from_str::<Value>(text).ok()?.get("type")?.as_str()?.to_owned());
        let types = types.iter().map(name).collect::<Option<Vec<_>>>().filter(|types| !types.is_empty())?;
        let sink = sink.sid.clone();
        let subscription = Subscription { sid: cx.mint_text("DF"), sink, types, of_subaccounts: false };
        let body = subscription.body(&cx.account);
        self.subscriptions.push(subscription);
        Some(Reply { status: 201, body })
    }

    fn list_types(&self, cx: &Context, subscription: &str, page: PageQuery, path: &str) -> Option<Reply> {
        let found = self.subscriptions.iter().find(|found| found.sid == subscription);
        let Some(found) = found else { return Some(Reply::not_found(path)) };
        let rows = found.types.iter().map(|name| type_body(&cx.account, subscription, name)).collect();
        Some(Reply { status: 200, body: listed(cx, "types", rows, page, path, &[]) })
    }

    fn add_type(&mut self, cx: &Context, subscription: &str, event_type: Option<&str>) -> Option<Reply> {
        let event_type = event_type?.to_owned();
        let body = type_body(&cx.account, subscription, &event_type);
        let found = self.subscriptions.iter_mut().find(|found| found.sid == subscription)?;
        found.types.push(event_type);
        Some(Reply { status: 201, body })
    }
}

fn type_body(account: &AccountSid, subscription: &str, event_type: &str) -> Value {
    json!({
        "account_sid": account.as_str(), "subscription_sid": subscription, "type": event_type, "schema_version": 1,
    })
}

fn listed(cx: &Context, key: &str, rows: Vec<Value>, page: PageQuery, path: &str, filters: &[(&str, &str)]) -> Value {
    let url = format!("https://taskrouter.twilio.com{path}");
    page.list_v1(key, rows, cx.config.page_size_limit, &url, filters)
}
