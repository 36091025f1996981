//! Traces for OTLP collectors: one per event, with every step that followed from it.
//!
//! A span's identity is derived from the fact that it is about. So the steps of an event find their trace after a restart or in
//! another process, although the journal holds nothing of it. Spans hold SIDs, times and our own sentences, never attributes,
//! names or phone numbers.

#[cfg(not(feature = "opentelemetry"))]
mod absent;
#[cfg(feature = "opentelemetry")]
mod otlp;
mod span;

#[cfg(not(feature = "opentelemetry"))]
use absent::Exporter;
#[cfg(feature = "opentelemetry")]
use otlp::Exporter;

pub use span::{Span, SpanId, TraceSettings, TracesError};

use super::labels;
use super::metrics::Metrics;
use crate::call::fact::Fact;
use crate::call::sid::TaskSid;
use std::sync::Arc;

/// Whether this program was built with the feature `opentelemetry`.
pub const SUPPORTED: bool = cfg!(feature = "opentelemetry");

/// Takes spans. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    exporter: Option<Arc<Exporter>>,
}

impl Traces {
    /// Exports spans as the settings say; nothing without settings.
    ///
    /// # Errors
    /// When the exporter cannot be made.
    pub fn new(settings: Option<&TraceSettings>, metrics: &Arc<Metrics>) -> Result<Self, TracesError> {
        let exporter = settings.map(|settings| Exporter::new(settings, metrics.clone()).map(Arc::new)).transpose()?;
        Ok(Self { exporter })
    }

    /// Whether spans are exported.
    pub fn are_wanted(&self) -> bool {
        self.exporter.is_some()
    }

    /// The root span of an event, from its arrival on; `None` if spans are not exported.
    pub fn event(&self, task: &TaskSid, fact: &Fact) -> Option<Span> {
        self.are_wanted().then(|| Span {
            root: SpanId::of_event(task, fact),
            below: None,
            name: labels::event(&fact.kind),
            from: fact.at,
            to: fact.at,
            attributes: vec![("twilio.task_sid", task.to_string())],
            failure: None,
        })
    }

    /// Queues a span. Never waits.
    pub fn record(&self, span: Span) {
        if let Some(exporter) = &self.exporter {
            exporter.record(span);
        }
    }

    /// Exports queued spans, within the time for one export, and ends.
    pub async fn close(self) {
        if let Some(exporter) = self.exporter {
            // Waits for the exporter's own thread.
            let closed = tokio::task::spawn_blocking(move || exporter.close());
            if closed.await.is_err() {
                tracing::warn!("could not export the last traces");
            }
        }
    }
}
