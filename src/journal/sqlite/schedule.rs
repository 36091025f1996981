//! When each call is worked on.
//!
//! ```text
//!            fact                 time
//! OnFact ───────────▶ Ready ◀─────────── Waiting
//!    ▲                │   ▲                 ▲
//!    │          claim │   │ lease ends      │
//!    │                ▼   │                 │
//!    └── release ──── Leased ── release ────┘
//! ```

use super::live::CallId;
use crate::call::fact::EpochMs;
use std::collections::BTreeSet;

/// When a call is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schedule {
    /// When a fact arrives.
    OnFact,
    /// Since this time.
    Ready(EpochMs),
    /// From this time on.
    Waiting(EpochMs),
    /// A worker has it, until this time unless the lease is renewed.
    Leased { fence: i64, until: EpochMs },
}

impl Schedule {
    pub(super) fn due(at: EpochMs, now: EpochMs) -> Self {
        if at <= now { Schedule::Ready(at) } else { Schedule::Waiting(at) }
    }
}

/// The calls of each schedule, the earliest first.
#[derive(Default)]
pub(super) struct Schedules {
    ready: BTreeSet<(EpochMs, CallId)>,
    waiting: BTreeSet<(EpochMs, CallId)>,
    leases: BTreeSet<(EpochMs, CallId)>,
}

impl Schedules {
    pub(super) fn replace(&mut self, id: CallId, before: Schedule, after: Schedule) {
        if let Some((calls, at)) = self.of(before) {
            calls.remove(&(at, id));
        }
        if let Some((calls, at)) = self.of(after) {
            calls.insert((at, id));
        }
    }

    fn of(&mut self, schedule: Schedule) -> Option<(&mut BTreeSet<(EpochMs, CallId)>, EpochMs)> {
        match schedule {
            Schedule::OnFact => None,
            Schedule::Ready(at) => Some((&mut self.ready, at)),
            Schedule::Waiting(at) => Some((&mut self.waiting, at)),
            Schedule::Leased { until, .. } => Some((&mut self.leases, until)),
        }
    }

    pub(super) fn longest_ready(&self, limit: usize) -> Vec<CallId> {
        self.ready.iter().take(limit).map(|(_, id)| *id).collect()
    }

    pub(super) fn ended_leases(&self, now: EpochMs) -> Vec<(EpochMs, CallId)> {
        self.leases.range(..=(now, CallId::MAX)).copied().collect()
    }

    /// The first call that waits for a time that has come by `now`.
    pub(super) fn first_waiting(&self, now: EpochMs) -> Option<(EpochMs, CallId)> {
        self.waiting.first().filter(|(at, _)| *at <= now).copied()
    }

    /// When the next call is due, or the next lease ends.
    pub(super) fn next(&self) -> Option<EpochMs> {
        let first = [&self.ready, &self.waiting, &self.leases].into_iter().filter_map(BTreeSet::first);
        first.map(|(at, _)| *at).min()
    }

    /// How many calls are due or leased.
    pub(super) fn active(&self) -> usize {
        self.ready.len() + self.leases.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
