use super::accounts::IngressAccount;
use super::connections::ConnectionLimits;
use super::pause_signature::PauseEntry;
use crate::journal::Outage;
use crate::telemetry::traces::Traces;
use crate::twilio::assignment::ConferenceInstruction;
use crate::twilio::witness::Witness;
use std::sync::Arc;
use std::time::Duration;

/// How the public listener works.
#[derive(Debug)]
pub struct IngressSettings {
    /// The accounts whose events are accepted. Without any, every request is rejected.
    pub accounts: Vec<IngressAccount>,
    /// The answer to assignment callbacks; without one their path does not exist.
    pub assignment: Option<ConferenceInstruction>,
    /// Takes requests to pause and resume; without one their paths do not exist.
    pub pauses: Option<PauseEntry>,
    /// Notes events that the journal refused.
    pub outage: Arc<Outage>,
    /// Is shown what comes from Twilio.
    pub witness: Option<Arc<dyn Witness>>,
    /// Where events are traced.
    pub traces: Traces,
    /// A larger body is answered with 413.
    pub body_limit_bytes: usize,
    /// A form with more parameters is answered with 413, before any of them is looked at.
    pub form_pairs_limit: usize,
    /// The largest body of a delivery of Event Streams whose URL is signed.
    pub event_streams_body_limit_bytes: usize,
    /// Bytes of such deliveries at a time, over all of them; what does not fit is answered with 503.
    pub event_streams_bytes_limit: usize,
    /// The most events of one delivery in the journal's queue at a time.
    pub ingest_at_once: usize,
    /// An event that happened longer ago may be a replay: it is counted and logged.
    pub late_after: Duration,
    /// `Retry-After` of 503 answers, in seconds.
    pub retry_after_s: u64,
    /// Threads that serve requests; at least one.
    pub threads: usize,
    /// How long a client may take to send its head, and again its body; then 408.
    pub client_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// What the connections may take, over all threads.
    pub connections: ConnectionLimits,
    /// How long requests under way may take to end when the listener stops, in seconds.
    pub shutdown_grace_s: u64,
}
