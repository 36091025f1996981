//! Event Streams' sinks and subscriptions. They are kept and listed; nothing is delivered through them.
//! Documented: <https://www.twilio.com/docs/events/event-streams/sink-resource>, …/subscription, and Twilio's OpenAPI document.

use super::World;
use super::rest::{OpName, Page, Reply};
use serde_json::{Map, Value, json};

/// A request to the Events API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is one endpoint, named in OpName, with its parameters")]
pub enum SinkRequest {
    ListSinks { page: Page },
    CreateSink { configuration: Option<String> },
    ListSubscriptions { sink: Option<String>, page: Page },
    CreateSubscription { sink: Option<String>, types: Vec<String> },
    ListSubscribedEvents { subscription: String, page: Page },
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
    pub fn read(write: bool, path: &[&str], parameters: &[(String, String)], page: Page) -> Option<Self> {
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

impl World {
    /// What Event Streams is set to.
    pub fn event_streams(&self) -> &EventStreams {
        &self.event_streams
    }

    /// Sets it otherwise, as somebody does in the Console.
    pub fn configure_event_streams(&mut self, change: impl FnOnce(&mut EventStreams)) {
        change(&mut self.event_streams);
    }

    pub(super) fn perform_on_sinks(&mut self, request: &SinkRequest, path: &str) -> Reply {
        let reply = match request {
            SinkRequest::ListSinks { page } => Some(self.sinks_listed(*page, path)),
            SinkRequest::CreateSink { configuration } => self.create_sink(configuration.as_deref()),
            SinkRequest::ListSubscriptions { sink, page } => {
                Some(self.subscriptions_listed(sink.as_deref(), *page, path))
            }
            SinkRequest::CreateSubscription { sink, types } => self.create_subscription(sink.as_deref(), types),
            SinkRequest::ListSubscribedEvents { subscription, page } => self.types_listed(subscription, *page, path),
            SinkRequest::AddSubscribedEvent { subscription, event_type } => {
                self.add_type(subscription, event_type.as_deref())
            }
        };
        reply.unwrap_or_else(|| Reply::error(400, 20001, "Invalid parameter"))
    }

    fn sinks_listed(&self, page: Page, path: &str) -> Reply {
        let rows = self.event_streams.sinks.iter().map(sink_body).collect();
        Reply { status: 200, body: self.listed_v1("sinks", rows, page, path, &[]) }
    }

    fn create_sink(&mut self, configuration: Option<&str>) -> Option<Reply> {
        let configuration: Map<String, Value> = serde_json::from_str(configuration?).ok()?;
        let (sid, status) = (self.mint_text("DG"), "active".to_owned());
        let sink = Sink { sid, status, configuration: configuration.into() };
        let body = sink_body(&sink);
        self.event_streams.sinks.push(sink);
        Some(Reply { status: 201, body })
    }

    fn subscriptions_listed(&self, sink: Option<&str>, page: Page, path: &str) -> Reply {
        let meant = |found: &&Subscription| sink.is_none_or(|sink| found.sink == sink);
        let rows =
            self.event_streams.subscriptions.iter().filter(meant).map(|found| self.subscription_body(found)).collect();
        let filters: Vec<_> = sink.map(|sink| ("SinkSid", sink.to_owned())).into_iter().collect();
        Reply { status: 200, body: self.listed_v1("subscriptions", rows, page, path, &filters) }
    }

    /// Documented: "Sink must be active for the subscription to be created."
    fn create_subscription(&mut self, sink: Option<&str>, types: &[String]) -> Option<Reply> {
        let sink = self
            .event_streams
            .sinks
            .iter()
            .find(|found| Some(found.sid.as_str()) == sink && found.status == "active")?;
        let name = |text: &String| Some(serde_json::from_str::<Value>(text).ok()?.get("type")?.as_str()?.to_owned());
        let types = types.iter().map(name).collect::<Option<Vec<_>>>().filter(|types| !types.is_empty())?;
        let sink = sink.sid.clone();
        let subscription = Subscription { sid: self.mint_text("DF"), sink, types, of_subaccounts: false };
        let body = self.subscription_body(&subscription);
        self.event_streams.subscriptions.push(subscription);
        Some(Reply { status: 201, body })
    }

    fn types_listed(&self, subscription: &str, page: Page, path: &str) -> Option<Reply> {
        let found = self.event_streams.subscriptions.iter().find(|found| found.sid == subscription);
        let Some(found) = found else { return Some(Reply::not_found(path)) };
        let rows = found.types.iter().map(|name| self.type_body(subscription, name)).collect();
        Some(Reply { status: 200, body: self.listed_v1("types", rows, page, path, &[]) })
    }

    fn add_type(&mut self, subscription: &str, event_type: Option<&str>) -> Option<Reply> {
        let event_type = event_type?.to_owned();
        let body = self.type_body(subscription, &event_type);
        let found = self.event_streams.subscriptions.iter_mut().find(|found| found.sid == subscription)?;
        found.types.push(event_type);
        Some(Reply { status: 201, body })
    }

    fn subscription_body(&self, subscription: &Subscription) -> Value {
        let Subscription { sid, sink, of_subaccounts, .. } = subscription;
        json!({
            "account_sid": self.account.as_str(), "sid": sid, "sink_sid": sink, "description": "a subscription",
            "receive_events_from_subaccounts": of_subaccounts,
            "url": format!("https://events.twilio.com/v1/Subscriptions/{sid}"),
        })
    }

    fn type_body(&self, subscription: &str, event_type: &str) -> Value {
        json!({
            "account_sid": self.account.as_str(), "subscription_sid": subscription, "type": event_type,
            "schema_version": 1,
        })
    }
}

fn sink_body(sink: &Sink) -> Value {
    let Sink { sid, status, configuration } = sink;
    json!({
        "sid": sid, "status": status, "sink_configuration": configuration, "sink_type": "webhook",
        "description": "a sink", "url": format!("https://events.twilio.com/v1/Sinks/{sid}"),
    })
}
