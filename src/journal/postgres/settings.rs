//! How the database is used.

use crate::journal::OpenError;
use crate::telemetry::metrics::Commits;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use std::time::Duration;

/// How the database is used.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database?sslmode=…`.
    pub url: SecretString,
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

/// Without what a session would have to keep, and without what a pooler may refuse at the beginning.
pub(super) fn options(settings: &PostgresSettings) -> Result<PgConnectOptions, OpenError> {
    let options: PgConnectOptions = settings.url.expose_secret().parse().map_err(|_| OpenError::Unopenable {
        path: "in PostgreSQL".to_owned(),
        // The parser's message may quote the address, and so the password.
        reason: "journal.url is not an address of PostgreSQL".to_owned(),
    })?;
    Ok(options
        .application_name("taskrouter-streams")
        .statement_cache_capacity(0)
        .extra_float_digits(None)
        .disable_statement_logging())
}

/// Where the database is, without user and password.
pub(super) fn shown(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("the user's own database");
    format!("{database} in PostgreSQL at {}:{}", options.get_host(), options.get_port())
}
