//! Event Streams: sinks, and the subscriptions that feed them.
//! Source: <https://www.twilio.com/docs/events/event-streams/sink-resource>,
//! <https://www.twilio.com/docs/events/event-streams/subscription>.

use super::unanswered::Unanswered;
use super::{Client, Form, Product, Request};
use crate::call::sid::{SinkSid, SubscriptionSid};
use crate::twilio::failure::About;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Accounts have few of either.
const ROWS_PER_PAGE: u16 = 100;

/// What they are called in Twilio's Console.
const DESCRIPTION: &str = "taskrouter-streams";

/// A sink, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SinkRow {
    /// Its SID.
    pub sid: SinkSid,
    /// `status`: "initialized", "validating", "active" or "failed".
    pub status: Option<String>,
    /// Each kind of sink has fields of its own.
    #[serde(default)]
    sink_configuration: Value,
}

/// A subscription, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubscriptionRow {
    /// Its SID.
    pub sid: SubscriptionSid,
    /// `receive_events_from_subaccounts`.
    #[serde(rename = "receive_events_from_subaccounts")]
    pub of_subaccounts: Option<bool>,
}

#[derive(Deserialize)]
struct SubscribedEvent {
    #[serde(rename = "type")]
    event_type: String,
}

impl SinkRow {
    /// Where a webhook sink delivers; other kinds have no such address.
    pub fn destination(&self) -> Option<&str> {
        self.sink_configuration.get("destination")?.as_str()
    }
}

impl Client {
    /// Every sink of the account.
    ///
    /// # Errors
    /// When Twilio does not answer with them.
    pub async fn sinks(&self) -> Result<Vec<SinkRow>, Unanswered> {
        Ok(rows(self.pages("list sinks", events(&["Sinks"], Some(page("")), None), "sinks").await?))
    }

    /// A webhook sink for `destination`, which takes many events in one delivery.
    ///
    /// # Errors
    /// When Twilio does not make it; [`Unanswered::Later`] leaves open whether it did.
    pub async fn create_sink(&self, destination: &str) -> Result<SinkRow, Unanswered> {
        let form = vec![
            ("Description".into(), DESCRIPTION.to_owned()),
            ("SinkType".into(), "webhook".to_owned()),
            ("SinkConfiguration".into(), configuration(destination)),
        ];
        self.created("create sink", events(&["Sinks"], None, Some(form))).await
    }

    /// The subscriptions that feed a sink.
    ///
    /// # Errors
    /// When Twilio does not answer with them.
    pub async fn subscriptions(&self, sink: &SinkSid) -> Result<Vec<SubscriptionRow>, Unanswered> {
        let query = page(&format!("SinkSid={sink}&"));
        let request = events(&["Subscriptions"], Some(query), None);
        Ok(rows(self.pages("list subscriptions", request, "subscriptions").await?))
    }

    /// Feeds a sink with events of these types.
    ///
    /// # Errors
    /// When Twilio does not do so; [`Unanswered::Later`] leaves open whether it did.
    pub async fn subscribe(&self, sink: &SinkSid, types: &[String]) -> Result<SubscriptionRow, Unanswered> {
        let mut form: Form = vec![("Description".into(), DESCRIPTION.to_owned()), ("SinkSid".into(), sink.to_string())];
        form.extend(types.iter().map(|name| ("Types".into(), json!({"type": name}).to_string())));
        self.created("create subscription", events(&["Subscriptions"], None, Some(form))).await
    }

    /// The event types of a subscription.
    ///
    /// # Errors
    /// When Twilio does not answer with them.
    pub async fn subscribed(&self, subscription: &SubscriptionSid) -> Result<Vec<String>, Unanswered> {
        let path = ["Subscriptions", subscription.as_str(), "SubscribedEvents"];
        let found = self.pages("list subscribed events", events(&path, Some(page("")), None), "types").await?;
        Ok(rows::<SubscribedEvent>(found).into_iter().map(|row| row.event_type).collect())
    }

    /// Adds an event type to a subscription.
    ///
    /// # Errors
    /// When Twilio does not do so; [`Unanswered::Later`] leaves open whether it did.
    pub async fn subscribe_to(&self, subscription: &SubscriptionSid, event_type: &str) -> Result<(), Unanswered> {
        let path = ["Subscriptions", subscription.as_str(), "SubscribedEvents"];
        let form = vec![("Type".into(), event_type.to_owned())];
        self.created::<SubscribedEvent>("add subscribed event", events(&path, None, Some(form))).await.map(drop)
    }

    async fn created<T: DeserializeOwned>(&self, operation: &'static str, request: Request) -> Result<T, Unanswered> {
        let (body, _) = self.asked(operation, &request).await?;
        serde_json::from_slice(&body).map_err(|_| Unanswered::unreadable())
    }
}

/// `SinkConfiguration` of a webhook sink.
pub fn configuration(destination: &str) -> String {
    json!({"destination": destination, "method": "POST", "batch_events": true}).to_string()
}

fn page(filter: &str) -> String {
    format!("{filter}PageSize={ROWS_PER_PAGE}")
}

/// The rows that have what is needed; what has not is none of ours.
fn rows<T: DeserializeOwned>(found: Vec<Value>) -> Vec<T> {
    found.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect()
}

fn events(path: &[&str], query: Option<String>, form: Option<Form>) -> Request {
    Request {
        product: Product::Events,
        path: [&["v1"], path].concat().into_iter().map(str::to_owned).collect(),
        query,
        form,
        about: About::Other,
        is_command: false,
    }
}
