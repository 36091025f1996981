//! What time it is for one call.

use crate::call::fact::EpochMs;
use std::time::Instant;

/// The clock of one call. It never goes back, is never behind the call's newest fact, and runs on from there however the
/// machine's own clock is set.
pub(super) struct CallClock {
    base: EpochMs,
    since: Instant,
}

impl CallClock {
    pub(super) fn new(now: EpochMs) -> Self {
        Self { base: now, since: Instant::now() }
    }

    pub(super) fn now(&self) -> EpochMs {
        self.base.saturating_add(i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    pub(super) fn not_before(&mut self, at: EpochMs) {
        if self.now() < at {
            *self = Self::new(at);
        }
    }
}
