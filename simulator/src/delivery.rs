//! Deliveries of events: where they go, how often they are tried, what becomes of them on the way, and how they ended.

use super::sim_config::{Ms, Route};
use super::world::Event;
use taskrouter_streams::call::sid::{EventSid, TaskSid};
use tokio::sync::oneshot;

/// Where the service is told things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The events URL as it is configured in the workspace. The fragment holds connection overrides; what stands before it
    /// is signed.
    pub events_url: String,
    /// Where the service's public addresses are, seen from this machine: requests to them are signed for the public address
    /// and sent to the local one. What lies elsewhere is posted to as it stands.
    pub route: Route,
}

/// One address to post to.
pub(super) struct Address {
    pub(super) signed: String,
    pub(super) sent_to: String,
    pub(super) overrides: Overrides,
}

impl Destination {
    pub(super) fn address(&self, event: &Event) -> Address {
        let url = event.callback_url.as_ref().unwrap_or(&self.events_url);
        let (signed, fragment) = url.split_once('#').unwrap_or((url, ""));
        Address {
            signed: signed.to_owned(),
            sent_to: self.route.leads(signed).unwrap_or_else(|| signed.to_owned()),
            overrides: Overrides::from_fragment(fragment),
        }
    }
}

/// Twilio's webhook connection overrides, written into the URL's fragment as in `#rc=3&rp=5xx,ct,rt`.
/// Source: <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overrides {
    /// `rc`: how often a request is tried again, 0 to 5.
    pub retries: u32,
    /// `rp` has `4xx`.
    pub on_4xx: bool,
    /// `rp` has `5xx`.
    pub on_5xx: bool,
    /// `rp` has `ct`: no connection.
    pub on_connect: bool,
    /// `rp` has `rt`: no answer in time.
    pub on_read: bool,
    /// `rt`: how long an answer may take, ms.
    pub read_timeout_ms: u64,
    /// `tt`: how long all attempts may take together, ms.
    pub total_timeout_ms: u64,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            retries: 1,
            on_4xx: false,
            on_5xx: false,
            on_connect: true,
            on_read: false,
            read_timeout_ms: 15_000,
            total_timeout_ms: 15_000,
        }
    }
}

impl Overrides {
    /// Reads a fragment. Unknown keys, and values that are no numbers, leave the default, as with Twilio.
    pub fn from_fragment(fragment: &str) -> Self {
        let mut overrides = Self::default();
        for (key, value) in form_urlencoded::parse(fragment.as_bytes()) {
            let number = value.parse::<u64>().ok();
            match (key.as_ref(), number) {
                ("rc", Some(count)) => overrides.retries = u32::try_from(count.min(5)).unwrap_or(5),
                ("rt", Some(span)) => overrides.read_timeout_ms = span.clamp(100, 15_000),
                ("tt", Some(span)) => overrides.total_timeout_ms = span.clamp(100, 15_000),
                ("rp", None) => {
                    let named = |name: &str| value.split(',').any(|policy| policy == name || policy == "all");
                    overrides.on_4xx = named("4xx");
                    overrides.on_5xx = named("5xx");
                    overrides.on_connect = named("ct");
                    overrides.on_read = named("rt");
                }
                _ => {}
            }
        }
        overrides
    }
}

/// What becomes of an event on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryFault {
    /// It never arrives.
    Dropped,
    /// It arrives twice, one after the other.
    Duplicated,
    /// It arrives that much later, ms, while others go ahead.
    Delayed(u64),
    /// It arrives right after the task's next event of its kind; never, when there is none.
    Swapped,
}

/// One attempt to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The event.
    pub event: EventSid,
    /// Its type: TaskRouter's, or as in "stream-started".
    pub event_type: &'static str,
    /// Its task.
    pub task: TaskSid,
    /// From 1.
    pub attempt: u32,
    /// When it was sent; for a dropped event, when it would have been.
    pub at: Ms,
    /// How it ended.
    pub outcome: Delivered,
    /// From sending to the answer's head, ms.
    pub latency_ms: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// Answered with this status.
    Answered(u16),
    /// No connection.
    NoConnection,
    /// No answer in time, or none that can be read.
    NoAnswer,
    /// Lost by script.
    Dropped,
    /// Nobody to post to was configured.
    Nowhere,
}

/// An event to deliver, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) event: Event,
    pub(super) done: oneshot::Sender<()>,
}
