use super::accounts::IngressAccount;
use crate::journal::Outage;
use crate::telemetry::traces::Traces;
use crate::twilio::assignment::ConferenceInstruction;
use std::sync::Arc;
use std::time::Duration;

/// How the public listener works.
#[derive(Debug)]
pub struct IngressSettings {
    /// The accounts whose events are accepted. Without any, every request is rejected.
    pub accounts: Vec<IngressAccount>,
    /// The answer to assignment callbacks; without one their path does not exist.
    pub assignment: Option<ConferenceInstruction>,
    /// Notes events that the journal refused.
    pub outage: Arc<Outage>,
    /// Where events are traced.
    pub traces: Traces,
    /// A larger body is answered with 413.
    pub body_limit_bytes: usize,
    /// The same for a delivery of Event Streams whose URL is signed.
    pub event_streams_body_limit_bytes: usize,
    /// The most events of one delivery in the journal's queue at a time.
    pub ingest_at_once: usize,
    /// `Retry-After` of 503 answers, in seconds.
    pub retry_after_s: u64,
    /// Threads that serve requests; at least one.
    pub threads: usize,
    /// How long a client may take to send its head, and again its body; then 408.
    pub client_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// The most connections at a time, over all threads; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long requests under way may take to end when the listener stops, in seconds.
    pub shutdown_grace_s: u64,
}
