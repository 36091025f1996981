//! What the public listener counts: every answer, and every fact that it receives.

use super::connections::Connection;
use crate::call::fact::{Fact, FactKind};
use crate::call::sid::AccountSid;
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::series::AccountLabels;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::web;
use std::time::{Duration, Instant};

/// Counts the answer to a request, whatever it is. Whoever is refused is not kept connected: it may be a stranger, and the rest of
/// its body may not have been read.
pub(super) async fn answers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let began = Instant::now();
    let metrics = request.app_data::<web::Data<Metrics>>().cloned();
    let connection = Connection::of(request.request());
    if let Some(connection) = &connection {
        connection.begun();
    }
    let mut answer = next.call(request).await?;
    let is_refused = answer.status().is_client_error();
    if is_refused {
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if let Some(connection) = connection {
        if is_refused { connection.refused() } else { connection.answered() }
    }
    if let Some(metrics) = metrics {
        let path = labels::path(answer.request().match_pattern().as_deref());
        let status = labels::status(Some(answer.status().as_u16()));
        let ingress = &metrics.ingress;
        ingress.answers.get_or_create(&[("path", path), ("status", status)]).inc();
        ingress.answer_seconds.get_or_create(&[("path", path)]).observe(began.elapsed().as_secs_f64());
    }
    Ok(answer)
}

/// What is counted of a fact once its result is known.
pub(super) struct IngestLabels {
    kind: &'static str,
    account: Option<AccountSid>,
    delay: Option<Duration>,
}

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IngestVerdict {
    New,
    Duplicate,
    Refused,
}

impl IngestLabels {
    pub(super) fn new(fact: &Fact) -> Self {
        Self { kind: labels::event(&fact.kind), account: fact.kind.account().cloned(), delay: delay(fact) }
    }

    /// How long ago the event happened.
    pub(super) fn delay(&self) -> Option<Duration> {
        self.delay
    }

    pub(super) fn count(&self, metrics: &Metrics, verdict: IngestVerdict) {
        let word = match verdict {
            IngestVerdict::New => "new",
            IngestVerdict::Duplicate => "duplicate",
            IngestVerdict::Refused => "refused",
        };
        count_event(metrics, self.kind, word, self.account.as_ref());
        if let (IngestVerdict::New, Some(delay)) = (verdict, self.delay) {
            metrics.ingress.event_delay_seconds.observe(delay.as_secs_f64());
        }
    }
}

/// Counts an authentic event that is not about a voice task of ours.
pub(super) fn count_not_ours(metrics: &Metrics, account: &AccountSid) {
    count_event(metrics, "other", "not_ours", Some(account));
}

/// Counts an element of an authentic delivery that cannot be used.
pub(super) fn count_malformed(metrics: &Metrics, account: &AccountSid) {
    count_event(metrics, "other", "malformed", Some(account));
}

fn count_event(metrics: &Metrics, kind: &'static str, verdict: &'static str, account: Option<&AccountSid>) {
    let labels = AccountLabels::new([("type", kind), ("verdict", verdict)], account);
    metrics.ingress.events.get_or_create(&labels).inc();
}

/// How long ago the event happened, by Twilio's clock. Never negative, because clocks differ.
fn delay(fact: &Fact) -> Option<Duration> {
    let at = match &fact.kind {
        FactKind::Reservation(event) => event.stamp.at,
        FactKind::Task(event) => event.stamp.at,
        FactKind::Transfer(event) => event.stamp.at,
        FactKind::Stream(event) => event.at,
        FactKind::Begun(_)
        | FactKind::Settled(_)
        | FactKind::Parked(_)
        | FactKind::Recovered(_)
        | FactKind::Noticed(_)
        | FactKind::Redriven
        | FactKind::Dismissed
        | FactKind::Operated(_)
        | FactKind::Paused(_)
        | FactKind::Resumed(_)
        | FactKind::Unparked => return None,
    };
    Some(Duration::from_millis(u64::try_from(fact.at - at).unwrap_or(0)))
}
