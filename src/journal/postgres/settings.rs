//! How the database is used.

use super::url::DatabaseUrl;
use crate::telemetry::metrics::Commits;
use std::time::Duration;

/// How the database is used.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// Which database.
    pub url: DatabaseUrl,
    /// Connections, besides the one that listens.
    pub pool_size: u32,
    /// How long a connection may take to be had, and to be made.
    pub acquire_timeout: Duration,
    /// How long a transaction may take.
    pub statement_timeout: Duration,
    /// Whether processes wake one another by NOTIFY. It needs a session, which a transaction pooler does not give.
    pub listen: bool,
    /// Events that may wait for the database; more are answered with [`JournalError::Overloaded`](crate::journal::JournalError::Overloaded).
    pub queue_limit: usize,
    /// Events in one commit.
    pub batch_limit: usize,
    /// How long a claim lasts unless renewed.
    pub lease: Duration,
    /// Counts the commits of events.
    pub commits: Commits,
}
