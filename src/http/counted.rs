//! What the public listener counts: every answer, and every fact that is brought.

use super::routes::Door;
use crate::call::fact::{Fact, What};
use crate::telemetry::labels;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web;
use std::time::{Duration, Instant};

/// Counts the answer to a request, whatever it is.
pub(super) async fn answers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let began = Instant::now();
    let door = request.app_data::<web::Data<Door>>().cloned();
    let answer = next.call(request).await?;
    if let Some(door) = door {
        let path = labels::path(answer.request().match_pattern().as_deref());
        let status = labels::status(Some(answer.status().as_u16()));
        let counts = &door.metrics.door;
        counts.answers.get_or_create(&[("path", path), ("status", status)]).inc();
        counts.answer_seconds.get_or_create(&[("path", path)]).observe(began.elapsed().as_secs_f64());
    }
    Ok(answer)
}

/// What is counted of a fact once it is known what became of it.
pub(super) struct Brought {
    kind: &'static str,
    delay: Option<Duration>,
}

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Duplicate,
    Refused,
}

impl Brought {
    pub(super) fn new(fact: &Fact) -> Self {
        Self { kind: labels::event(&fact.what), delay: delay(fact) }
    }

    pub(super) fn count(&self, door: &Door, verdict: Verdict) {
        let word = match verdict {
            Verdict::New => "new",
            Verdict::Duplicate => "duplicate",
            Verdict::Refused => "refused",
        };
        door.metrics.door.events.get_or_create(&[("type", self.kind), ("verdict", word)]).inc();
        if let (Verdict::New, Some(delay)) = (verdict, self.delay) {
            door.metrics.door.event_delay_seconds.observe(delay.as_secs_f64());
        }
    }
}

/// An authentic event that is of no interest.
pub(super) fn not_ours(door: &Door) {
    door.metrics.door.events.get_or_create(&[("type", "other"), ("verdict", "not_ours")]).inc();
}

/// How long ago the event happened, by Twilio's clock; never negative, for clocks differ.
fn delay(fact: &Fact) -> Option<Duration> {
    let at = match &fact.what {
        What::Reservation(event) => event.stamp.at,
        What::Task(event) => event.stamp.at,
        What::Transfer(event) => event.stamp.at,
        What::Stream(event) => event.at,
        What::Begun(_)
        | What::Settled(_)
        | What::Parked(_)
        | What::Unconfirmed { .. }
        | What::Redriven
        | What::Dismissed
        | What::Unparked => return None,
    };
    Some(Duration::from_millis(u64::try_from(fact.at - at).unwrap_or(0)))
}
