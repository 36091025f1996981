//! A connection of its own, outside the pool.

use super::address::{Address, Connection};
use super::error::unopened;
use super::schema;
use crate::call::fact::EpochMs;
use crate::journal::{Measurement, OpenError};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Error};

/// What a server that was made ready says.
pub(super) struct Prepared {
    /// Its commits wait for the disk.
    pub(super) durable: bool,
    /// What time it is there.
    pub(super) measured: Measurement,
    /// When the newest fact was journaled, by the clock of whichever server did it; `None` when there is none.
    pub(super) newest: Option<EpochMs>,
}

/// Each of an index of its own.
const NEWEST: &str = "SELECT greatest(
    (SELECT max(changed_ms) FROM taskrouter_streams.call WHERE over_ms IS NULL),
    (SELECT max(changed_ms) FROM taskrouter_streams.call WHERE over_ms IS NOT NULL))";

/// Times as long as a connection a server may take to be made ready: longer than a migration, which mostly adds columns, on a slow disk.
/// One that answers no more is then asked anew by another connection.
const PREPARATION: u32 = 10;

/// Migrates, and asks the server what has to be known of it.
pub(super) async fn prepare(address: &Address, limit: Duration) -> Result<Prepared, OpenError> {
    let connection = connect(address, limit).await?;
    let limit = limit * PREPARATION;
    let prepared = tokio::time::timeout(limit, ask(&connection.client, &address.shown, limit)).await;
    let prepared = prepared.unwrap_or_else(|_| Err(silent(address, limit)))?;
    connection.close().await;
    Ok(prepared)
}

async fn ask(client: &Client, shown: &str, limit: Duration) -> Result<Prepared, OpenError> {
    let unopened = |error: Error| unopened(shown, &error);
    let durable = schema::migrate(client, shown, limit).await?;
    let measured = measure(client).await.map_err(unopened)?;
    let newest = client.query_typed_one(NEWEST, &[]).await.and_then(|row| row.try_get(0));
    Ok(Prepared { durable, measured, newest: newest.map_err(unopened)? })
}

pub(super) async fn connect(address: &Address, limit: Duration) -> Result<Connection, OpenError> {
    match tokio::time::timeout(limit, Connection::open(address)).await {
        Ok(opened) => opened.map_err(|error| unopened(&address.shown, &error)),
        Err(_) => Err(silent(address, limit)),
    }
}

fn silent(address: &Address, limit: Duration) -> OpenError {
    OpenError::Unreachable {
        path: address.shown.clone(),
        reason: format!("no answer within {} ms", limit.as_millis()),
        remedy: "check that the database is running, and that journal.url leads to it",
    }
}

/// Asks the server what time it is.
pub(super) async fn measure(client: &Client) -> Result<Measurement, Error> {
    let asked = Instant::now();
    // Not `now()`: that is when a transaction began.
    let row = client.query_typed_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[]).await?;
    Ok(Measurement::new(row.try_get(0)?, asked.elapsed()))
}
