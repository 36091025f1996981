//! Event Streams: sinks, and the subscriptions that feed them.
//! Source: <https://www.twilio.com/docs/events/event-streams/sink-resource>,
//! <https://www.twilio.com/docs/events/event-streams/subscription>.

use super::api_error::ApiError;
use super::hosts::Product;
use super::request::{Form, Request};
use super::transport::Transport;
use crate::call::sid::{SinkSid, SubscriptionSid};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

/// Accounts have few sinks and few subscriptions.
const ROWS_PER_PAGE: u16 = 100;

/// The description in Twilio's Console.
const DESCRIPTION: &str = "taskrouter-streams";

/// Reads and creates the account's sinks and subscriptions.
#[derive(Debug, Clone, Copy)]
pub struct EventStreams<'a>(pub(super) &'a Transport);

/// The properties of a sink that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SinkRow {
    /// Begins with DG.
    pub sid: SinkSid,
    /// `status`: "initialized", "validating", "active" or "failed".
    pub status: Option<String>,
    /// Each kind of sink has its own fields.
    #[serde(default)]
    sink_configuration: Value,
}

/// The properties of a subscription that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubscriptionRow {
    /// Begins with DF.
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
    /// The address that a webhook sink delivers to; other kinds have none.
    pub fn destination(&self) -> Option<&str> {
        self.sink_configuration.get("destination")?.as_str()
    }
}

impl<'a> EventStreams<'a> {
    /// The base URL of the Events API.
    pub fn base_url(self) -> &'a Url {
        self.0.base_url(Product::Events)
    }

    /// Lists every sink of the account.
    pub async fn sinks(self) -> Result<Vec<SinkRow>, ApiError> {
        let request = get(&["Sinks"]).with_query(page_of(""));
        Ok(rows(self.0.fetch_all("list sinks", request, "sinks").await?))
    }

    /// Creates a webhook sink for `destination` that takes many events in one delivery.
    ///
    /// # Errors
    /// After [`ApiError::Later`] the sink may have been created.
    pub async fn create_sink(self, destination: &str) -> Result<SinkRow, ApiError> {
        let form = vec![
            ("Description".into(), DESCRIPTION.to_owned()),
            ("SinkType".into(), "webhook".to_owned()),
            ("SinkConfiguration".into(), sink_configuration(destination)),
        ];
        self.0.fetch_json("create sink", &get(&["Sinks"]).with_form(form)).await
    }

    /// Lists the subscriptions that feed a sink.
    pub async fn subscriptions(self, sink: &SinkSid) -> Result<Vec<SubscriptionRow>, ApiError> {
        let request = get(&["Subscriptions"]).with_query(page_of(&format!("SinkSid={sink}&")));
        Ok(rows(self.0.fetch_all("list subscriptions", request, "subscriptions").await?))
    }

    /// Creates a subscription that feeds a sink with events of these types.
    ///
    /// # Errors
    /// After [`ApiError::Later`] the subscription may have been created.
    pub async fn subscribe(self, sink: &SinkSid, types: &[String]) -> Result<SubscriptionRow, ApiError> {
        let mut form: Form = vec![("Description".into(), DESCRIPTION.to_owned()), ("SinkSid".into(), sink.to_string())];
        form.extend(types.iter().map(|name| ("Types".into(), json!({"type": name}).to_string())));
        self.0.fetch_json("create subscription", &get(&["Subscriptions"]).with_form(form)).await
    }

    /// Lists the event types of a subscription.
    pub async fn event_types(self, subscription: &SubscriptionSid) -> Result<Vec<String>, ApiError> {
        let request = subscribed_events(subscription).with_query(page_of(""));
        let found = self.0.fetch_all("list subscribed events", request, "types").await?;
        Ok(rows::<SubscribedEvent>(found).into_iter().map(|row| row.event_type).collect())
    }

    /// Adds an event type to a subscription.
    ///
    /// # Errors
    /// After [`ApiError::Later`] the type may have been added.
    pub async fn add_event_type(self, subscription: &SubscriptionSid, event_type: &str) -> Result<(), ApiError> {
        let form = vec![("Type".into(), event_type.to_owned())];
        let request = subscribed_events(subscription).with_form(form);
        self.0.fetch_json::<SubscribedEvent>("add subscribed event", &request).await.map(drop)
    }
}

/// `SinkConfiguration` of a webhook sink.
pub fn sink_configuration(destination: &str) -> String {
    json!({"destination": destination, "method": "POST", "batch_events": true}).to_string()
}

fn page_of(filter: &str) -> String {
    format!("{filter}PageSize={ROWS_PER_PAGE}")
}

/// The rows that can be read; others were not made by us.
fn rows<T: DeserializeOwned>(found: Vec<Value>) -> Vec<T> {
    found.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect()
}

fn subscribed_events(subscription: &SubscriptionSid) -> Request {
    get(&["Subscriptions", subscription.as_str(), "SubscribedEvents"])
}

fn get(path: &[&str]) -> Request {
    Request::get(Product::Events, &[&["v1"], path].concat())
}
