//! Signs TaskRouter's events and the streams' status callbacks and posts them to the service. Each of the two kinds is in
//! order within a task unless told otherwise; between them Twilio promises none.

use super::delivery::{Address, Job};
pub use super::delivery::{Delivered, Delivery, DeliveryFault, Destination, Overrides};
use super::shared::Shared;
use super::world::Event;
use secrecy::ExposeSecret as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::twilio::signature::sign;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
