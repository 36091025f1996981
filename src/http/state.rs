//! What the handlers of the public listener share.

use super::metrics;
use super::responses::Rejection;
use super::settings::IngressSettings;
use crate::ingest::{IngestVerdict, Ingester};
use crate::journal::{Clock, Ingest, Ingested, JournalError, NewFact};
use crate::telemetry::log_throttle::LogThrottle;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Takes facts into the journal and counts what became of them.
pub(super) struct IngestState {
    pub(super) settings: IngressSettings,
    pub(super) metrics: Arc<Metrics>,
    /// A permit for every byte of the deliveries of Event Streams that are received or handled.
    pub(super) delivery_bytes: Arc<Semaphore>,
    /// Of requests without a valid signature.
    pub(super) forgeries: LogThrottle,
    /// Of requests that ask for nearly one of our paths, or for another one than they are meant for.
    pub(super) astray: LogThrottle,
    /// Of requests that are larger than a limit.
    pub(super) oversized: LogThrottle,
    ingester: Ingester,
    /// Of events that the journal refused.
    failures: LogThrottle,
    /// Of events that happened long ago.
    late: LogThrottle,
}

impl IngestState {
    pub(super) fn new(settings: IngressSettings, journal: Arc<dyn Ingest>, metrics: Arc<Metrics>) -> Self {
        let ingester = Ingester::new(journal, settings.traces.clone(), settings.ingest_at_once);
        let delivery_bytes = Arc::new(Semaphore::new(settings.event_streams_bytes_limit));
        let [forgeries, astray, oversized, failures, late] = [(); 5].map(|()| LogThrottle::default());
        Self { settings, metrics, delivery_bytes, forgeries, astray, oversized, ingester, failures, late }
    }

    /// What facts are stamped by.
    pub(super) fn clock(&self) -> &Clock {
        self.ingester.clock()
    }

    /// Journals every fact; returns after the commit of the last. If one fails, the sender must repeat all. Those that were
    /// journaled are then duplicates.
    pub(super) async fn ingest_all(&self, mut facts: Vec<NewFact>) -> Result<(), Rejection> {
        while !facts.is_empty() {
            for (fact, result) in self.ingester.ingest_batch(&mut facts).await {
                self.note(&fact, result)?;
            }
        }
        Ok(())
    }

    /// Twilio should try again.
    pub(super) fn unavailable(&self) -> Rejection {
        Rejection::Unavailable { retry_after_s: self.settings.retry_after_s }
    }

    fn note(&self, fact: &NewFact, result: Result<Ingested, JournalError>) -> Result<(), Rejection> {
        let (call, verdict) = (&fact.call, IngestVerdict::of(&result));
        metrics::count(&self.metrics, &fact.fact, verdict);
        match result {
            Ok(_) => {
                self.settings.outage.taken();
                if metrics::delay(&fact.fact).is_some_and(|delay| delay > self.settings.late_after) {
                    self.note_late(fact, verdict);
                }
                tracing::debug!(task_sid = %call, duplicate = verdict == IngestVerdict::Duplicate, "event journaled");
                Ok(())
            }
            Err(error) => {
                self.settings.outage.refused(self.clock().now());
                self.failures.log(|suppressed| {
                    tracing::error!(task_sid = %call, %error, suppressed, "cannot journal an event; it was answered with 503");
                });
                Err(self.unavailable())
            }
        }
    }

    /// Its signature is valid, so it is acted on like any other: what was handled before is a duplicate by its identity. But whoever
    /// has recorded a request can send it again.
    fn note_late(&self, fact: &NewFact, verdict: IngestVerdict) {
        let duplicate = verdict == IngestVerdict::Duplicate;
        let word = if duplicate { "duplicate" } else { "new" };
        self.metrics.ingress.late_events.get_or_create(&[("verdict", word)]).inc();
        self.late.log(|suppressed| {
            tracing::warn!(
                task_sid = %fact.call,
                duplicate,
                suppressed,
                "an authentic event is older than backfill.max_age_minutes: sent again by Twilio after an outage, or replayed by somebody"
            );
        });
    }
}
