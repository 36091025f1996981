//! A connection of its own, outside the pool.

use super::address::{Address, Connection};
use super::error::{READ_ONLY, describe, finds_no_writable, may_come};
use super::schema;
use crate::journal::{Measurement, OpenError};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Error};

/// Migrates, and finds out whether the server's commits wait for the disk, and what time it is there.
pub(super) async fn prepare(address: &Address, limit: Duration) -> Result<(bool, Measurement), OpenError> {
    let shown = &address.shown;
    let connection = connect(address, limit).await?;
    let durable = schema::migrate(&connection.client, shown).await?;
    let unopenable = |reason: String| OpenError::Unopenable { path: shown.clone(), reason };
    let measured = measure(&connection.client).await.map_err(|error| unopenable(describe(&error)))?;
    connection.close().await;
    Ok((durable, measured))
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
