//! A connection of its own, outside the pool.

use super::error::describe;
use super::schema;
use crate::journal::OpenError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;

/// Migrates, and finds out whether the server's commits wait for the disk.
pub(super) async fn prepare(options: &PgConnectOptions, shown: &str, limit: Duration) -> Result<bool, OpenError> {
    let mut connection = connect(options, shown, limit).await?;
    let durable = schema::migrate(&mut connection, shown).await?;
    // Whatever is wrong with it now no longer matters.
    drop(connection.close().await);
    Ok(durable)
}

pub(super) async fn connect(
    options: &PgConnectOptions,
    shown: &str,
    limit: Duration,
) -> Result<PgConnection, OpenError> {
    let unopenable = |reason: String| OpenError::Unopenable { path: shown.to_owned(), reason };
    match tokio::time::timeout(limit, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(unopenable(describe(&error))),
        Err(_) => Err(unopenable(format!("no connection within {} ms", limit.as_millis()))),
    }
}
