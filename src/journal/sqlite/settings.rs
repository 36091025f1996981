//! How the file is used.

use crate::telemetry::metrics::Commits;
use std::path::PathBuf;
use std::time::Duration;

/// How the file is used.
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// The file; made when missing.
    pub path: PathBuf,
    /// Events that may wait for the disk; more are answered with [`JournalError::Overloaded`](crate::journal::JournalError::Overloaded). The worker's own writes are
    /// not counted: they are bounded by the calls that it works on, and work in flight must be able to finish.
    pub queue_limit: usize,
    /// Writes in one commit.
    pub batch_limit: usize,
    /// How long a claim lasts unless renewed.
    pub lease: Duration,
    /// Bytes of the write-ahead log before it is folded into the file.
    pub wal_limit_bytes: u64,
    /// Counts commits.
    pub commits: Commits,
}
