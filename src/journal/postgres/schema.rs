//! The database's form: tables and their versions, in a schema of our own.
//!
//! Every statement names the schema, because a search path is a session's and would not survive a pooler. During a rolling
//! restart the version before still works on the same tables: a migration adds, and removes only what no version in use reads.

use super::session::{describe, plain};
use crate::journal::OpenError;
use sqlx::{Connection as _, PgConnection};

/// What `pg_advisory_xact_lock` is asked for: any number, but always the same. It ends with the transaction.
const MIGRATION_LOCK: i64 = 0x5452_5354_5245_414d;

/// SKIP LOCKED, UNNEST WITH ORDINALITY and AS MATERIALIZED together.
const OLDEST_SERVER: i32 = 120_000;

/// One script per version, applied in order.
const MIGRATIONS: [&str; 1] = [r#"
    CREATE FUNCTION taskrouter_streams.now_ms() RETURNS bigint LANGUAGE sql STABLE
        AS 'SELECT (extract(epoch FROM now()) * 1000)::bigint';
    CREATE TABLE taskrouter_streams.call (
        task text COLLATE "C" PRIMARY KEY,
        last_seq bigint NOT NULL,
        due_ms bigint,                        -- when it wants to be looked at, or its lease ends; NULL = when a fact arrives
        leased boolean NOT NULL DEFAULT false,
        fence bigint NOT NULL DEFAULT 0,
        over_ms bigint,                       -- since when it is over; NULL = live
        changed_ms bigint NOT NULL,           -- when its last fact was journaled
        parked boolean,                       -- true = a change was given up
        customer text COLLATE "C",            -- the customer's CallSid
        own_seq bigint,                       -- the number of the last fact that a worker appended, and what it was:
        own_hash bigint                       -- a repeat is known by it when the answer to the first was lost
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
    CREATE INDEX call_due ON taskrouter_streams.call (due_ms) WHERE due_ms IS NOT NULL;
    CREATE INDEX call_over ON taskrouter_streams.call (over_ms) WHERE over_ms IS NOT NULL;
    CREATE INDEX call_live ON taskrouter_streams.call (changed_ms, task) WHERE over_ms IS NULL;
    CREATE INDEX call_ended ON taskrouter_streams.call (changed_ms, task) WHERE over_ms IS NOT NULL;
    CREATE INDEX call_parked ON taskrouter_streams.call (changed_ms, task) WHERE parked;
    CREATE INDEX call_customer ON taskrouter_streams.call (customer) WHERE customer IS NOT NULL;
    CREATE TABLE taskrouter_streams.fact (
        task text COLLATE "C" NOT NULL,
        seq bigint NOT NULL,
        identity text COLLATE "C",            -- of events; NULL for what we did ourselves
        body text NOT NULL,                   -- call::fact::Fact as JSON; jsonb would refuse a NUL that Twilio may send
        PRIMARY KEY (task, seq)
    );
    CREATE UNIQUE INDEX fact_identity ON taskrouter_streams.fact (identity) WHERE identity IS NOT NULL;
    CREATE TABLE taskrouter_streams.mark (name text PRIMARY KEY, at_ms bigint NOT NULL);
    INSERT INTO taskrouter_streams.mark VALUES ('newest_event', 0);
"#];

/// Brings the database to our version, and says whether its commits wait for the disk. Processes that start at once take turns.
///
/// # Errors
/// When a newer version was here, or the server refuses.
pub(super) async fn migrate(connection: &mut PgConnection, shown: &str) -> Result<bool, OpenError> {
    let unopenable = |error: sqlx::Error| OpenError::Unopenable { path: shown.to_owned(), reason: describe(&error) };
    let refuse = |reason: String| Err(OpenError::Unopenable { path: shown.to_owned(), reason });
    let mut transaction =
        connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await.map_err(unopenable)?;
    // A statement of its own, so that the next one sees what the process before us has made.
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .persistent(false)
        .bind(MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(unopenable)?;
    let (server, encoding, schema, commit, disk): (i32, String, bool, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int4, current_setting('server_encoding'),
                EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'taskrouter_streams'),
                current_setting('synchronous_commit'), current_setting('fsync')",
    )
    .persistent(false)
    .fetch_one(&mut *transaction)
    .await
    .map_err(unopenable)?;
    if server < OLDEST_SERVER {
        return refuse(format!("its version is {server}: PostgreSQL 12 or newer is needed"));
    }
    if encoding != "UTF8" {
        return refuse(format!("its encoding is {encoding}: make a database with ENCODING 'UTF8'"));
    }
    if disk == "off" {
        tracing::warn!("fsync is off in this PostgreSQL: what was acknowledged can be lost when its machine fails");
    }
    if !schema {
        // Asked for only when missing: where an administrator made it, we may not have the right to.
        plain(&mut transaction, "CREATE SCHEMA taskrouter_streams").await.map_err(unopenable)?;
    }
    apply(&mut transaction, shown).await?;
    transaction.commit().await.map_err(unopenable)?;
    Ok(commit != "off")
}

async fn apply(connection: &mut PgConnection, shown: &str) -> Result<(), OpenError> {
    let unopenable = |error: sqlx::Error| OpenError::Unopenable { path: shown.to_owned(), reason: describe(&error) };
    let versions = "CREATE TABLE IF NOT EXISTS taskrouter_streams.version
                        (number bigint PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())";
    plain(connection, versions).await.map_err(unopenable)?;
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM taskrouter_streams.version")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .map_err(unopenable)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::TooNew { path: shown.to_owned(), found, known });
    }
    for (version, script) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        plain(connection, script).await.map_err(unopenable)?;
        sqlx::query("INSERT INTO taskrouter_streams.version (number) VALUES ($1)")
            .persistent(false)
            .bind(version)
            .execute(&mut *connection)
            .await
            .map_err(unopenable)?;
    }
    Ok(())
}
