//! Signs TaskRouter's events and the streams' status callbacks and posts them to the service. Each of the two kinds is in
//! order within a task unless told otherwise; between them Twilio promises none.

use super::shared::Shared;
use super::sim_config::{Ms, Route};
use super::world::Event;
use secrecy::ExposeSecret as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taskrouter_streams::call::sid::{EventSid, TaskSid};
use taskrouter_streams::twilio::signature::sign;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
struct Address {
    signed: String,
    sent_to: String,
    overrides: Overrides,
}

impl Destination {
    fn address(&self, event: &Event) -> Address {
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

pub(super) struct Job {
    pub(super) event: Event,
    pub(super) done: oneshot::Sender<()>,
}

/// A task, and whether the lane is that of its streams' callbacks.
type LaneKey = (TaskSid, bool);

/// Carries jobs to a task's two lanes until cancelled.
pub(super) async fn dispatch(
    shared: Arc<Shared>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    client: reqwest::Client,
    tracker: TaskTracker,
    cancel: CancellationToken,
) {
    let mut lanes: BTreeMap<LaneKey, mpsc::UnboundedSender<Job>> = BTreeMap::new();
    let mut held: BTreeMap<LaneKey, Event> = BTreeMap::new();
    loop {
        let job = tokio::select! {
            () = cancel.cancelled() => return,
            job = jobs.recv() => match job { Some(job) => job, None => return },
        };
        let key = (job.event.task.clone(), job.event.callback_url.is_some());
        let lane = lanes.entry(key.clone()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            tracker.spawn(run_lane(shared.clone(), receiver, client.clone(), cancel.clone()));
            sender
        });
        let send = |event: Event| {
            shared.expect_delivery();
            // A lane ends only with the whole simulator.
            let _ = lane.send(Job { event, done: oneshot::channel().0 });
        };
        let delivery_fault = shared.delivery_fault_for(&job.event);
        let released = if delivery_fault == Some(DeliveryFault::Swapped) { None } else { held.remove(&key) };
        match delivery_fault {
            Some(DeliveryFault::Dropped) => {
                shared.note_delivery(not_sent(&shared, &job.event, Delivered::Dropped));
                shared.delivery_done();
            }
            Some(DeliveryFault::Swapped) => {
                held.insert(key, job.event);
                shared.delivery_done();
            }
            Some(DeliveryFault::Delayed(span)) => {
                let (lane, cancel, event) = (lane.clone(), cancel.clone(), job.event);
                tracker.spawn(async move {
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = tokio::time::sleep(Duration::from_millis(span)) => {
                            let _ = lane.send(Job { event, done: oneshot::channel().0 });
                        }
                    }
                });
            }
            Some(DeliveryFault::Duplicated) => {
                send(job.event.clone());
                let _ = lane.send(job);
            }
            None => {
                let _ = lane.send(job);
            }
        }
        released.into_iter().for_each(send);
    }
}

async fn run_lane(
    shared: Arc<Shared>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    client: reqwest::Client,
    cancel: CancellationToken,
) {
    loop {
        let job = tokio::select! {
            () = cancel.cancelled() => return,
            job = jobs.recv() => match job { Some(job) => job, None => return },
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = deliver(&shared, &client, &job.event) => {}
        }
        shared.delivery_done();
        // Nobody may wait for it, as with a duplicate.
        let _ = job.done.send(());
    }
}

/// Posts an event until it is answered or the overrides say to stop.
async fn deliver(shared: &Shared, client: &reqwest::Client, event: &Event) {
    let Some(destination) = shared.destination() else {
        return shared.note_delivery(not_sent(shared, event, Delivered::Nowhere));
    };
    let Address { signed, sent_to, overrides } = destination.address(event);
    let signature = sign(&signed, &event.form, shared.auth_token().expose_secret());
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&event.form).finish();
    let began = Instant::now();
    for attempt in 1..=overrides.retries.saturating_add(1) {
        let left = overrides.total_timeout_ms.saturating_sub(millis(began.elapsed()));
        let limit = Duration::from_millis(overrides.read_timeout_ms.min(left));
        let (at, sent) = (shared.now(), Instant::now());
        let answer = client
            .post(&sent_to)
            .header("X-Twilio-Signature", &signature)
            .header("I-Twilio-Idempotency-Token", event.sid.as_str())
            .header("User-Agent", "TwilioProxy/1.1")
            .header("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
            .timeout(limit)
            .body(body.clone())
            .send()
            .await;
        let (outcome, again) = match answer {
            Ok(answer) => {
                let status = answer.status().as_u16();
                if answer.status().is_success() {
                    shared.acknowledged(&event.sid);
                }
                let again = match status {
                    400..=499 => overrides.on_4xx,
                    500..=599 => overrides.on_5xx,
                    _ => false,
                };
                (Delivered::Answered(status), again)
            }
            Err(error) if error.is_connect() => (Delivered::NoConnection, overrides.on_connect),
            Err(_) => (Delivered::NoAnswer, overrides.on_read),
        };
        let latency_ms = millis(sent.elapsed());
        let event_type = event.event_type;
        let (event, task) = (event.sid.clone(), event.task.clone());
        shared.note_delivery(Delivery { event, event_type, task, attempt, at, outcome, latency_ms });
        if !again || millis(began.elapsed()) >= overrides.total_timeout_ms {
            return;
        }
    }
}

fn not_sent(shared: &Shared, event: &Event, outcome: Delivered) -> Delivery {
    Delivery {
        event: event.sid.clone(),
        event_type: event.event_type,
        task: event.task.clone(),
        attempt: 1,
        at: shared.now(),
        outcome,
        latency_ms: 0,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
