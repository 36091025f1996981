//! What the public listener counts: every answer, and every fact that it receives.

use super::connections::Connection;
use crate::call::fact::Fact;
use crate::call::sid::AccountSid;
use crate::ingest::IngestVerdict;
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
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

/// Counts a fact and what became of it.
pub(super) fn count(metrics: &Metrics, fact: &Fact, verdict: IngestVerdict) {
    metrics.ingress.count_event(labels::event(&fact.kind), verdict.as_str(), fact.kind.account());
    if let (IngestVerdict::New, Some(delay)) = (verdict, delay(fact)) {
        metrics.ingress.event_delay_seconds.observe(delay.as_secs_f64());
    }
}

/// Counts an authentic event that is not about a voice task of ours.
pub(super) fn count_not_ours(metrics: &Metrics, account: &AccountSid) {
    metrics.ingress.count_event("other", "not_ours", Some(account));
}

/// Counts an element of an authentic delivery that cannot be used.
pub(super) fn count_malformed(metrics: &Metrics, account: &AccountSid) {
    metrics.ingress.count_event("other", "malformed", Some(account));
}

/// How long ago the event happened, by Twilio's clock. Never negative, because clocks differ.
pub(super) fn delay(fact: &Fact) -> Option<Duration> {
    let at = fact.kind.happened_at()?;
    Some(Duration::from_millis(u64::try_from(fact.at - at).unwrap_or(0)))
}
