use crate::telemetry::traces::Traces;
use std::time::Duration;

/// How the worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Calls worked on in parallel.
    pub max_calls: usize,
    /// Calls whose folded facts are kept in memory from one look at them to the next.
    pub kept_calls: usize,
    /// The pause between polls of the journal when no commit wakes the worker. A call task keeps its claim through a pause
    /// that is no longer than this.
    pub poll: Duration,
    /// In shadow mode, new calls are decided and shown, and Twilio is only read.
    pub shadow: bool,
    /// Where steps are traced.
    pub traces: Traces,
}
