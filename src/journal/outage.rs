//! Whether events were refused because the journal could not take them: whoever sent them may not send them again.

use crate::call::fact::EpochMs;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Notify;

/// Told by whoever ingests, waited for by whoever fetches what was refused.
#[derive(Debug, Default)]
pub struct Outage {
    /// When the first event was refused; 0 while none was.
    since: AtomicI64,
    over: Notify,
}

impl Outage {
    /// An event that arrived at this time was refused.
    pub fn refused(&self, at: EpochMs) {
        // Whether the first of two at once is kept, or the second, makes no difference.
        let _ = self.since.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// An event was taken.
    pub fn taken(&self) {
        if self.since.load(Ordering::Relaxed) != 0 {
            self.over.notify_one();
        }
    }

    /// Waits until events are taken again after some were refused, and says when that had begun.
    pub async fn over(&self) -> EpochMs {
        loop {
            self.over.notified().await;
            match self.since.swap(0, Ordering::Relaxed) {
                0 => {}
                since => return since,
            }
        }
    }
}
