//! A connection of its own, outside the pool.

use super::error::{describe, may_come};
use super::schema;
use crate::journal::{Measurement, OpenError};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};
use std::time::{Duration, Instant};

/// Migrates, and finds out whether the server's commits wait for the disk, and what time it is there.
pub(super) async fn prepare(
    options: &PgConnectOptions,
    shown: &str,
    limit: Duration,
) -> Result<(bool, Measurement), OpenError> {
    let mut connection = connect(options, shown, limit).await?;
    let durable = schema::migrate(&mut connection, shown).await?;
    let unopenable = |reason: String| OpenError::Unopenable { path: shown.to_owned(), reason };
    let measured = measure(&mut connection).await.map_err(|error| unopenable(describe(&error)))?;
    // Whatever is wrong with it now no longer matters.
    drop(connection.close().await);
    Ok((durable, measured))
}

pub(super) async fn connect(
    options: &PgConnectOptions,
    shown: &str,
    limit: Duration,
) -> Result<PgConnection, OpenError> {
    let unopenable = |reason: String| OpenError::Unopenable { path: shown.to_owned(), reason };
    let unreachable = |reason: String| OpenError::Unreachable { path: shown.to_owned(), reason };
    match tokio::time::timeout(limit, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) if may_come(&error) => Err(unreachable(describe(&error))),
        Ok(Err(error)) => Err(unopenable(describe(&error))),
        Err(_) => Err(unreachable(format!("no connection within {} ms", limit.as_millis()))),
    }
}

/// Asks the server what time it is.
pub(super) async fn measure(connection: &mut PgConnection) -> Result<Measurement, sqlx::Error> {
    let asked = Instant::now();
    // Not `now()`: that is when a transaction began.
    let row =
        sqlx::raw_sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").fetch_one(connection).await?;
    Ok(Measurement::new(row.try_get(0)?, asked.elapsed()))
}
