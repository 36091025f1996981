//! What the handlers of the public listener share.

use super::log_throttle::LogThrottle;
use super::metrics::{IngestLabels, IngestVerdict};
use super::responses::Rejection;
use super::settings::IngressSettings;
use crate::ingest::Ingester;
use crate::journal::{Clock, Ingest, Ingested, JournalError, NewFact};
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;

/// Takes facts into the journal and counts what became of them.
pub(super) struct IngestState {
    pub(super) settings: IngressSettings,
    pub(super) metrics: Arc<Metrics>,
    /// Of requests without a valid signature.
    pub(super) forgeries: LogThrottle,
    ingester: Ingester,
    /// Of events that the journal refused.
    failures: LogThrottle,
}

impl IngestState {
    pub(super) fn new(settings: IngressSettings, journal: Arc<dyn Ingest>, metrics: Arc<Metrics>) -> Self {
        let ingester = Ingester::new(journal, settings.traces.clone(), settings.ingest_at_once);
        Self { settings, metrics, forgeries: LogThrottle::default(), ingester, failures: LogThrottle::default() }
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

    fn note(&self, fact: &NewFact, result: Result<Ingested, JournalError>) -> Result<(), Rejection> {
        let (call, labels) = (&fact.call, IngestLabels::new(&fact.fact));
        match result {
            Ok(ingested) => {
                self.settings.outage.taken();
                let verdict = match ingested {
                    Ingested::New => IngestVerdict::New,
                    Ingested::Duplicate => IngestVerdict::Duplicate,
                };
                labels.count(&self.metrics, verdict);
                tracing::debug!(task_sid = %call, duplicate = verdict == IngestVerdict::Duplicate, "event journaled");
                Ok(())
            }
            Err(error) => {
                self.settings.outage.refused(self.clock().now());
                labels.count(&self.metrics, IngestVerdict::Refused);
                self.failures.log(|suppressed| {
                    tracing::error!(task_sid = %call, %error, suppressed, "cannot journal an event; it was answered with 503");
                });
                Err(Rejection::Unavailable { retry_after_s: self.settings.retry_after_s })
            }
        }
    }
}
