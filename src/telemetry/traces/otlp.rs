//! The exporter: OTLP over HTTP, on its own thread.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/>. `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_RESOURCE_ATTRIBUTES` are
//! read from the environment, as everywhere.

use super::span::{Span, TraceSettings, TracesError};
use crate::call::fact::EpochMs;
use crate::telemetry::VERSION;
use crate::telemetry::metrics::Metrics;
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The service name, unless `OTEL_SERVICE_NAME` is set.
const NAME: &str = "taskrouter-streams";

/// Spans in one request.
const BATCH: usize = 512;

#[derive(Debug)]
pub(super) struct Exporter {
    processor: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    queue_limit: usize,
    metrics: Arc<Metrics>,
    timeout: Duration,
}

impl Exporter {
    pub(super) fn new(settings: &TraceSettings, metrics: Arc<Metrics>) -> Result<Self, TracesError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(&settings.otlp_url)
            .with_timeout(settings.timeout)
            .build()
            .map_err(|error| TracesError { reason: error.to_string() })?;
        let config = BatchConfigBuilder::default()
            // `record` drops and counts spans before this limit is reached.
            .with_max_queue_size(settings.queue_limit + BATCH)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(settings.export_every)
            .build();
        let waiting: Arc<AtomicUsize> = Arc::default();
        let counted = Counted {
            inner: exporter,
            metrics: metrics.clone(),
            waiting: waiting.clone(),
            failing: AtomicBool::new(false),
        };
        let mut processor = BatchSpanProcessor::new(counted, config);
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(NAME);
        }
        processor.set_resource(&resource.with_attribute(KeyValue::new("service.version", VERSION)).build());
        Ok(Self { processor, waiting, queue_limit: settings.queue_limit, metrics, timeout: settings.timeout })
    }

    pub(super) fn record(&self, span: Span) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue_limit {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.metrics.work.spans_dropped.inc();
            return;
        }
        self.processor.on_end(data(span));
    }

    pub(super) fn close(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(self.timeout) {
            tracing::warn!(%error, "could not export the last traces");
        }
    }
}

fn data(span: Span) -> SpanData {
    let Span { root, below, name, from, to, attributes, failure } = span;
    let root_span = SpanId::from_bytes(root.span);
    let (own, parent) = match below {
        Some(below) => (child(root.span, &below), root_span),
        None => (root_span, SpanId::INVALID),
    };
    let trace = TraceId::from_bytes(root.trace);
    SpanData {
        span_context: SpanContext::new(trace, own, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: parent,
        parent_span_is_remote: false,
        span_kind: if parent == SpanId::INVALID { SpanKind::Consumer } else { SpanKind::Client },
        name: name.into(),
        start_time: time(from),
        end_time: time(to),
        attributes: attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: failure.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder(NAME).with_version(VERSION).build(),
    }
}

/// The identity of a span below the root; `name` tells it from its siblings.
fn child(root: [u8; 8], name: &str) -> SpanId {
    let digest = Sha256::new().chain_update(root).chain_update(name).finalize();
    let mut bytes = digest.iter().copied();
    SpanId::from_bytes(std::array::from_fn(|_| bytes.next().unwrap_or_default()))
}

fn time(at: EpochMs) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0))
}

/// An exporter whose requests are counted.
#[derive(Debug)]
struct Counted {
    inner: SpanExporter,
    metrics: Arc<Metrics>,
    /// Spans that were queued and not exported yet.
    waiting: Arc<AtomicUsize>,
    failing: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        let exported = self.inner.export(batch).await;
        self.metrics.work.round("traces", exported.is_ok());
        let failed_before = self.failing.swap(exported.is_err(), Ordering::Relaxed);
        match (&exported, failed_before) {
            // Logged once per outage.
            (Err(error), false) => {
                tracing::warn!(%error, "cannot export traces; they are lost until the collector accepts them: check traces.otlp_url");
            }
            (Ok(()), true) => tracing::info!("exporting traces works again"),
            (Ok(()), false) | (Err(_), true) => {}
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
