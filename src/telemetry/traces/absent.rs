//! No exporter: this program was built without the feature `opentelemetry`.

use super::span::{Span, TraceSettings, TracesError};
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
#[derive(Debug)]
pub(super) enum Exporter {}

impl Exporter {
    pub(super) fn new(_: &TraceSettings, _: Arc<Metrics>) -> Result<Self, TracesError> {
        Err(TracesError { reason: "this program was built without the feature opentelemetry".to_owned() })
    }

    pub(super) fn record(&self, _: Span) {
        match *self {}
    }

    pub(super) fn close(&self) {
        match *self {}
    }
}
