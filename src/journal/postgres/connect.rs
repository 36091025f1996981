//! A connection of its own, outside the pool.

use super::address::{Address, Connection};
use super::error::{READ_ONLY, describe, finds_no_writable, may_come};
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

/// Migrates, and asks the server what has to be known of it.
pub(super) async fn prepare(address: &Address, limit: Duration) -> Result<Prepared, OpenError> {
    let shown = &address.shown;
    let connection = connect(address, limit).await?;
    let durable = schema::migrate(&connection.client, shown).await?;
    let unopenable = |reason: String| OpenError::Unopenable { path: shown.clone(), reason };
    let measured = measure(&connection.client).await.map_err(|error| unopenable(describe(&error)))?;
    let newest = connection.client.query_typed_one(NEWEST, &[]).await.and_then(|row| row.try_get(0));
    let newest = newest.map_err(|error| unopenable(describe(&error)))?;
    connection.close().await;
    Ok(Prepared { durable, measured, newest })
}

pub(super) async fn connect(address: &Address, limit: Duration) -> Result<Connection, OpenError> {
    let unopenable = |reason: String| OpenError::Unopenable { path: address.shown.clone(), reason };
    let unreachable = |reason: String| OpenError::Unreachable { path: address.shown.clone(), reason };
    match tokio::time::timeout(limit, Connection::open(address)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) if finds_no_writable(&error) => Err(unopenable(READ_ONLY.to_owned())),
        Ok(Err(error)) if may_come(&error) => Err(unreachable(describe(&error))),
        Ok(Err(error)) => Err(unopenable(describe(&error))),
        Err(_) => Err(unreachable(format!("no connection within {} ms", limit.as_millis()))),
    }
}

/// Asks the server what time it is.
pub(super) async fn measure(client: &Client) -> Result<Measurement, Error> {
    let asked = Instant::now();
    // Not `now()`: that is when a transaction began.
    let row = client.query_typed_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[]).await?;
    Ok(Measurement::new(row.try_get(0)?, asked.elapsed()))
}
