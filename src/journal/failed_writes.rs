//! What readiness knows of writes: whether the last ones failed.

use super::JournalError;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes that failed, and how many of them were followed by one that was made to see.
#[derive(Debug, Default)]
pub(super) struct FailedWrites {
    all: AtomicU64,
    outlived: AtomicU64,
}

impl FailedWrites {
    pub(super) fn note(&self) {
        self.all.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether writes succeed: by `trial`, where one has failed. A trial that is dropped, because its end takes too long, says nothing;
    /// and what fails beside one is left for the next.
    pub(super) async fn tried_out(
        &self,
        trial: impl Future<Output = Result<(), JournalError>>,
    ) -> Result<(), JournalError> {
        let failed = self.all.load(Ordering::Acquire);
        if self.outlived.load(Ordering::Acquire) == failed {
            return Ok(());
        }
        trial.await?;
        self.outlived.fetch_max(failed, Ordering::AcqRel);
        Ok(())
    }
}
