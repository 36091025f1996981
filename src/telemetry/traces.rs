//! Traces: of each event, what was done about it, to the last step. For collectors that speak OTLP.
//!
//! A span's identity is told from the fact that it is about, so that the steps of an event find their trace after a restart,
//! or in another process, without a word of it in the journal. Spans hold SIDs, times and our own sentences, never attributes,
//! names or phone numbers.

#[cfg(not(feature = "opentelemetry"))]
mod absent;
#[cfg(feature = "opentelemetry")]
mod otlp;

#[cfg(not(feature = "opentelemetry"))]
use absent::Exporter;
#[cfg(feature = "opentelemetry")]
use otlp::Exporter;

use super::labels;
use super::metrics::Metrics;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::TaskSid;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Whether this program was built with the feature `opentelemetry`.
pub const SUPPORTED: bool = cfg!(feature = "opentelemetry");

/// Where traces go, and how patiently.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// OTLP over HTTP, binary protobuf: the whole address, with its path.
    pub otlp_url: String,
    /// For one request to the collector.
    pub timeout: Duration,
    /// Between requests to the collector.
    pub export_every: Duration,
    /// Spans that wait for the collector; further ones are dropped.
    pub queue_limit: usize,
}

/// Traces that cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be exported: {reason}; correct traces.otlp_url, or remove it")]
pub struct TracesError {
    reason: String,
}

/// The identity of a span: 16 bytes of its trace, 8 of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId {
    trace: [u8; 16],
    span: [u8; 8],
}

impl SpanId {
    /// The root span of an event, as it was journaled.
    pub fn of_event(task: &TaskSid, fact: &Fact) -> Self {
        // A fact always has a JSON form; without one all facts of a moment would share a trace.
        let what = serde_json::to_vec(fact).unwrap_or_default();
        let digest = Sha256::new().chain_update(task.as_str()).chain_update(what).finalize();
        let mut bytes = digest.iter().copied();
        let mut next = || bytes.next().unwrap_or_default();
        Self { trace: std::array::from_fn(|_| next()), span: std::array::from_fn(|_| next()) }
    }
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its trace's root.
    pub root: SpanId,
    /// Below the root, what tells it from its siblings; the root itself has none.
    pub below: Option<String>,
    /// What it is: one of a few.
    pub name: &'static str,
    /// Its beginning.
    pub from: EpochMs,
    /// Its end.
    pub to: EpochMs,
    /// What is known of it.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it went wrong, in our own words.
    pub failure: Option<String>,
}

/// Where spans are handed in. Cheap to clone.
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

    /// Whether anybody wants spans.
    pub fn are_wanted(&self) -> bool {
        self.exporter.is_some()
    }

    /// The root of an event's trace, from its arrival to whenever it is handed in; `None` when nobody wants it.
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

    /// Hands a span in. Never waits.
    pub fn record(&self, span: Span) {
        if let Some(exporter) = &self.exporter {
            exporter.record(span);
        }
    }

    /// Exports what waits, within the time for one request, and ends.
    pub async fn close(self) {
        if let Some(exporter) = self.exporter {
            // Waits for a thread of its own.
            let closed = tokio::task::spawn_blocking(move || exporter.close());
            if closed.await.is_err() {
                tracing::warn!("the last traces were not exported");
            }
        }
    }
}
