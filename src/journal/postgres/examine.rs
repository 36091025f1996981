//! A look at a database that leaves it as it is.

use super::address::Address;
use super::connect::{connect, measure};
use super::error::unopened;
use super::schema;
use super::settings::PostgresSettings;
use crate::call::fact::EpochMs;
use crate::journal::{MachineTime, OpenError, TimeSource as _};
use std::time::{Duration, Instant};
use tokio_postgres::config::TargetSessionAttrs;

/// Enough for a median that one slow write does not change.
const WRITES: usize = 9;

/// A message in the write-ahead log, as long as a fact and its index entries, which nobody reads: what a commit waits for,
/// without a table to write to.
const WRITE: &str = "SET LOCAL synchronous_commit = on;
    SELECT pg_logical_emit_message(true, 'taskrouter_streams', repeat(' ', 4096))";

/// What was found of a database that can keep a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Examination {
    /// How long a connection took.
    pub connected: Duration,
    /// How far this machine's clock is ahead of the server's.
    pub clock_ahead_ms: EpochMs,
    /// How long a durable commit takes, in the median; unknown where nothing may be written.
    pub write: Option<Duration>,
    /// Whether the role may use the tables, or make them.
    pub may_write: bool,
    /// Whether the tables are of our version, or the role may bring them to it.
    pub may_migrate: bool,
    /// It takes no writes: it follows another server, or its `default_transaction_read_only` is on.
    pub is_read_only: bool,
    /// Whether what it has committed survives its machine.
    pub fsync: bool,
}

/// Looks whether a journal could be kept there, without making or migrating anything. Running workers are not disturbed.
///
/// # Errors
/// When the database cannot be reached or used, or a newer version has migrated it.
pub async fn examine(settings: &PostgresSettings) -> Result<Examination, OpenError> {
    let address = Address::new(&settings.url, TargetSessionAttrs::Any)?;
    let shown = &address.shown;
    let began = Instant::now();
    let connection = connect(&address, settings.acquire_timeout).await?;
    let client = &connection.client;
    let connected = began.elapsed();
    let server = schema::server(client, shown).await?;
    let measured = measure(client).await.map_err(|error| unopened(shown, &error))?;
    let clock_ahead_ms = MachineTime::default().wall() - measured.at;
    let (mut write, mut is_old) = (None, false);
    if server.may_write && !server.is_read_only {
        if server.has_tables {
            is_old = schema::version(client, shown).await? < schema::KNOWN_VERSION;
        }
        let mut times = Vec::new();
        for _ in 0..WRITES {
            let began = Instant::now();
            let written = client.batch_execute(WRITE).await;
            written.map_err(|error| unopened(shown, &error))?;
            times.push(began.elapsed());
        }
        times.sort();
        write = times.get(WRITES / 2).copied();
    }
    connection.close().await;
    Ok(Examination {
        connected,
        clock_ahead_ms,
        write,
        may_write: server.may_write,
        may_migrate: server.may_migrate || !is_old,
        is_read_only: server.is_read_only,
        fsync: server.fsync,
    })
}
