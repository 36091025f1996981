//! Spans, and where they are sent.

use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::TaskSid;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Where traces are sent.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// OTLP over HTTP, binary protobuf: the address with its path.
    pub otlp_url: String,
    /// For one export.
    pub timeout: Duration,
    /// The pause between exports.
    pub export_every: Duration,
    /// Spans that wait for the collector; further ones are dropped.
    pub queue_limit: usize,
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be exported: {reason}; correct traces.otlp_url, or remove it")]
pub struct TracesError {
    pub(super) reason: String,
}

/// The identity of a span: 16 bytes of its trace, 8 of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
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

/// One operation of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The root of its trace.
    pub root: SpanId,
    /// Identifies it among its siblings; absent on the root.
    pub below: Option<String>,
    /// One of a few words.
    pub name: &'static str,
    pub from: EpochMs,
    pub to: EpochMs,
    /// SIDs, times and our own sentences.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed, in our own words.
    pub failure: Option<String>,
}
