//! How many starts are still checked whatever the sample says: the first ones after the process has started.

use std::sync::atomic::{AtomicU32, Ordering};

/// Starts that are checked after a start of the process.
const FIRST_STARTS: u32 = 20;

/// Counts them down.
#[derive(Debug)]
pub(super) struct LegChecks {
    left: AtomicU32,
}

impl Default for LegChecks {
    fn default() -> Self {
        Self { left: AtomicU32::new(FIRST_STARTS) }
    }
}

impl LegChecks {
    /// Whether the next start is one of them.
    pub(super) fn are_due(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// A stream is started.
    pub(super) fn started(&self) {
        // Fails when none is left.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }
}
