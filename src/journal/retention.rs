//! What is past retention, although the clock of a machine may start far ahead.
//!
//! Whatever a journal held when it was opened is at least as old as its distance from the newest stamp that was found, and the time that
//! has passed since. Until that has been for the whole retention, no call is deleted that is not old by this count too.

use crate::call::fact::EpochMs;
use std::time::{Duration, Instant};

/// When this process opened the journal, and the newest stamp that it found.
pub(super) struct Opening {
    newest: Option<EpochMs>,
    at: Instant,
}

impl Opening {
    pub(super) fn now(newest: Option<EpochMs>) -> Self {
        Self { newest, at: Instant::now() }
    }

    /// What was over later than this is kept, whatever a clock says.
    pub(super) fn oldest_kept(&self, retention: Duration) -> EpochMs {
        let left = retention.saturating_sub(self.at.elapsed());
        let left = EpochMs::try_from(left.as_millis()).unwrap_or(EpochMs::MAX);
        self.newest.filter(|_| left > 0).map_or(EpochMs::MAX, |newest| newest.saturating_sub(left))
    }
}
