//! The database's form: tables and their versions, in a schema of our own.
//!
//! Every statement names the schema, because a search path is a session's and would not survive a pooler. During a rolling
//! restart the version before still works on the same tables: a migration adds, and removes only what no version in use reads.

use super::error::{is_locked, read_only, unopened};
use super::sql::Value;
use crate::journal::{OpenError, beginning};
use std::time::Duration;
use tokio_postgres::{Client, Error};

/// What `pg_advisory_xact_lock` is asked for: any number, but always the same. It ends with the transaction.
const MIGRATION_LOCK: i64 = 0x5452_5354_5245_414d;

/// SKIP LOCKED, UNNEST WITH ORDINALITY and AS MATERIALIZED together.
const OLDEST_SERVER: i32 = 120_000;

/// How long a table is waited for that is to be changed. Whoever else wants it, such as the version before, waits behind.
const TABLE_PATIENCE: &str = "SET LOCAL lock_timeout = '3s'";

/// One script per version, applied in order.
const MIGRATIONS: [&str; 3] = [VERSION_1, VERSION_2, VERSION_3];

/// The version that this program writes, and the newest that it reads.
pub(super) const KNOWN_VERSION: i64 = MIGRATIONS.len() as i64;

/// Which process gave the call back last, and the last fact that it had taken into account: it is told only later ones.
const VERSION_3: &str = "ALTER TABLE taskrouter_streams.call ADD COLUMN kept_by bigint, ADD COLUMN kept_seq bigint";

/// A call in a list, as it was when it was last given back: call::summary::Summary as JSON.
const VERSION_2: &str = "ALTER TABLE taskrouter_streams.call ADD COLUMN summary text";

const VERSION_1: &str = r#"
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
"#;

/// Brings the database to our version, and says whether its commits wait for the disk. Processes that start at once take turns. One that
/// stalls meanwhile loses its turn, because the server ends its session.
///
/// # Errors
/// When a newer version was here, or the server refuses.
pub(super) async fn migrate(client: &Client, shown: &str, limit: Duration) -> Result<bool, OpenError> {
    let unopened = |error: Error| unopened(shown, &error);
    let limit = limit.as_millis();
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {limit};
         SET LOCAL idle_in_transaction_session_timeout = {limit}"
    );
    // What is not committed is rolled back when the connection ends.
    client.batch_execute(&begin).await.map_err(unopened)?;
    // A statement of its own, so that the next one sees what the process before us has made.
    let lock = Value::Number(MIGRATION_LOCK);
    client.query_typed("SELECT pg_advisory_xact_lock($1)", &[lock.typed()]).await.map_err(unopened)?;
    let server = server(client, shown).await?;
    if server.is_read_only {
        return Err(read_only(shown));
    }
    if !server.fsync {
        tracing::warn!("fsync is off in this PostgreSQL: what was acknowledged can be lost when its machine fails");
    }
    if !server.has_schema {
        // Asked for only when missing: where an administrator made it, we may not have the right to.
        client.batch_execute("CREATE SCHEMA taskrouter_streams").await.map_err(unopened)?;
    }
    if !server.has_tables {
        let versions = "CREATE TABLE IF NOT EXISTS taskrouter_streams.version
                            (number bigint PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())";
        client.batch_execute(versions).await.map_err(unopened)?;
    }
    apply(client, shown).await?;
    client.batch_execute("COMMIT").await.map_err(unopened)?;
    if !server.has_tables {
        beginning::tell(shown);
    }
    Ok(server.synchronous_commit)
}

/// What a server says of itself.
pub(super) struct Server {
    pub(super) synchronous_commit: bool,
    pub(super) fsync: bool,
    pub(super) has_schema: bool,
    pub(super) has_tables: bool,
    /// Whether our role may use the tables, or make them.
    pub(super) may_write: bool,
    /// It takes no writes: it follows another server, or its `default_transaction_read_only` is on.
    pub(super) is_read_only: bool,
    /// Whether our role may change the tables that are there.
    pub(super) may_migrate: bool,
}

/// Asks the server what it is.
///
/// # Errors
/// When it cannot keep a journal, being too old or of another encoding.
pub(super) async fn server(client: &Client, shown: &str) -> Result<Server, OpenError> {
    let refuse = |reason: String, remedy| Err(OpenError::Unopenable { path: shown.to_owned(), reason, remedy });
    let unopened = |error: Error| unopened(shown, &error);
    let asked = client.query_typed_one(
        "SELECT current_setting('server_version_num')::int4, current_setting('server_encoding'),
                current_setting('synchronous_commit') <> 'off', current_setting('fsync') <> 'off',
                EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'taskrouter_streams'),
                EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'taskrouter_streams' AND tablename = 'fact'),
                coalesce(
                    (SELECT has_schema_privilege(pg_namespace.oid, 'USAGE') AND bool_and(
                         has_table_privilege(pg_class.oid, 'SELECT') AND (relname = 'version'
                         OR has_table_privilege(pg_class.oid, 'INSERT') AND has_table_privilege(pg_class.oid, 'DELETE')
                            AND (relname = 'fact' OR has_table_privilege(pg_class.oid, 'UPDATE'))))
                     FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                     WHERE nspname = 'taskrouter_streams' AND relname IN ('call', 'fact', 'mark', 'version')
                     GROUP BY pg_namespace.oid),
                    (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'taskrouter_streams'),
                    has_database_privilege(current_database(), 'CREATE')),
                pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
                coalesce(
                    (SELECT pg_has_role(relowner, 'USAGE')
                     FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                     WHERE nspname = 'taskrouter_streams' AND relname = 'call'), true)",
        &[],
    );
    let row = asked.await.map_err(unopened)?;
    let is = |column: usize| row.try_get::<_, bool>(column).map_err(unopened);
    let version: i32 = row.try_get(0).map_err(unopened)?;
    let encoding: String = row.try_get(1).map_err(unopened)?;
    if version < OLDEST_SERVER {
        return refuse(format!("its version is {version}"), "PostgreSQL 12 or newer is needed");
    }
    if encoding != "UTF8" {
        return refuse(format!("its encoding is {encoding}"), "make a database with ENCODING 'UTF8'");
    }
    Ok(Server {
        synchronous_commit: is(2)?,
        fsync: is(3)?,
        has_schema: is(4)?,
        has_tables: is(5)?,
        may_write: is(6)?,
        is_read_only: is(7)?,
        may_migrate: is(8)?,
    })
}

async fn apply(client: &Client, shown: &str) -> Result<(), OpenError> {
    let unopened = |error: Error| unopened(shown, &error);
    let found = version(client, shown).await?;
    let unmigrated = |error: Error| {
        if !is_locked(&error) {
            return unopened(error);
        }
        let reason = "its tables are to be migrated, and another transaction has them locked".to_owned();
        OpenError::Unreachable { path: shown.to_owned(), reason, remedy: "end it" }
    };
    for (version, script) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        client.batch_execute(&format!("{TABLE_PATIENCE}; {script}")).await.map_err(unmigrated)?;
        let (insert, number) = ("INSERT INTO taskrouter_streams.version (number) VALUES ($1)", Value::Number(version));
        client.query_typed(insert, &[number.typed()]).await.map_err(unopened)?;
    }
    Ok(())
}

/// The version of the tables, which is none of a newer program.
pub(super) async fn version(client: &Client, shown: &str) -> Result<i64, OpenError> {
    let unopened = |error: Error| unopened(shown, &error);
    let newest = "SELECT coalesce(max(number), 0) FROM taskrouter_streams.version";
    let row = client.query_typed_one(newest, &[]).await.map_err(unopened)?;
    let found: i64 = row.try_get(0).map_err(unopened)?;
    if found > KNOWN_VERSION {
        return Err(OpenError::TooNew { path: shown.to_owned(), found, known: KNOWN_VERSION });
    }
    Ok(found)
}
