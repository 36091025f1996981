//! The file's form: pragmas, tables and their versions.

use super::error::{ANOTHER_FILE, damaged, unopened};
use super::file::beside;
use crate::journal::{OpenError, beginning};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::time::{Duration, Instant};

/// Before 3.51.3 two connections that write and checkpoint at once can corrupt a file (sqlite.org/wal.html#walresetbug).
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long a connection waits for somebody else's lock, such as a backup's. Whoever sent an event waits as long for its 503.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The same where the write before has failed.
pub(super) const PATIENCE_AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// Each connection that writes keeps 16 MiB of the file in memory. A new task is looked for in an index without any order, and with
/// SQLite's 2 MB every look would be a reading of the file once it has some ten thousand calls that are over.
const PAGES_KEPT: &str = "PRAGMA cache_size = -16384;";

/// So many times `journal.wal_limit_bytes` are kept of a log that has been folded.
const KEPT_FACTOR: u64 = 2;

/// The tables, and the version that first has each.
const TABLES: [(&str, i64); 5] = [("call", 1), ("fact", 1), ("mark", 2), ("projection", 4), ("packed", 6)];

/// One script per version, applied in order; the version is kept in `user_version`.
const MIGRATIONS: [&str; 7] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7];

/// The version that this program writes, and the newest that it reads.
pub(super) const KNOWN_VERSION: i64 = MIGRATIONS.len() as i64;

const VERSION_1: &str = "
    CREATE TABLE call (
        task TEXT PRIMARY KEY,
        last_seq INTEGER NOT NULL DEFAULT 0,
        due_ms INTEGER,                       -- when it wants to be looked at; NULL = when a fact arrives
        lease_ms INTEGER,                     -- until when it is claimed; NULL = not claimed
        fence INTEGER NOT NULL DEFAULT 0,
        over_ms INTEGER                       -- since when it is over; NULL = live
    ) STRICT;
    CREATE INDEX call_due ON call (due_ms) WHERE due_ms IS NOT NULL;
    CREATE INDEX call_lease ON call (lease_ms) WHERE lease_ms IS NOT NULL;
    CREATE INDEX call_over ON call (over_ms) WHERE over_ms IS NOT NULL;
    CREATE TABLE fact (
        task TEXT NOT NULL,
        seq INTEGER NOT NULL,
        identity TEXT UNIQUE,                 -- of events; NULL for what we did ourselves
        body TEXT NOT NULL,                   -- call::fact::Fact as JSON
        PRIMARY KEY (task, seq)
    ) STRICT;
";

/// What operators ask for. Each fact moves its call in one index: a call is in that of the live or in that of those over.
const VERSION_2: &str = "
    ALTER TABLE call ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0;  -- when its last fact was journaled
    ALTER TABLE call ADD COLUMN parked INTEGER NOT NULL DEFAULT 0;      -- 1 = a change was given up
    ALTER TABLE call ADD COLUMN customer TEXT;                          -- the customer's CallSid
    UPDATE call SET
        changed_ms = coalesce((SELECT body ->> '$.at' FROM fact WHERE fact.task = call.task AND seq = last_seq), 0),
        parked = coalesce((
            SELECT body -> '$.kind.parked' IS NOT NULL FROM fact
            WHERE fact.task = call.task AND (body -> '$.kind.parked' IS NOT NULL OR body ->> '$.kind' = 'redriven')
            ORDER BY seq DESC LIMIT 1), 0),
        customer = (
            SELECT coalesce(body ->> '$.kind.reservation.task.attributes.customer',
                            body ->> '$.kind.task.task.attributes.customer',
                            body ->> '$.kind.transfer.task.attributes.customer',
                            body ->> '$.kind.settled.outcome.done.task.customer') AS named
            FROM fact WHERE fact.task = call.task AND named IS NOT NULL ORDER BY seq DESC LIMIT 1);
    CREATE INDEX call_live ON call (changed_ms, task) WHERE over_ms IS NULL;
    CREATE INDEX call_ended ON call (changed_ms, task) WHERE over_ms IS NOT NULL;
    CREATE INDEX call_parked ON call (changed_ms, task) WHERE parked = 1;
    CREATE INDEX call_customer ON call (customer) WHERE customer IS NOT NULL;
    CREATE TABLE mark (
        name TEXT PRIMARY KEY,                -- newest_event, and gap: since when events may be missing
        at_ms INTEGER NOT NULL
    ) STRICT;
    INSERT INTO mark (name, at_ms)
        SELECT 'newest_event', at_ms FROM (SELECT max(body ->> '$.at') AS at_ms FROM fact WHERE identity IS NOT NULL)
        WHERE at_ms IS NOT NULL;
";

/// One time and one index for what a claim looks for: a choice between two of them had every due call sorted at each claim.
const VERSION_3: &str = "
    ALTER TABLE call ADD COLUMN leased INTEGER NOT NULL DEFAULT 0;      -- 1 = a worker has it until due_ms
    UPDATE call SET leased = 1, due_ms = lease_ms WHERE lease_ms IS NOT NULL;
    DROP INDEX call_lease;
    ALTER TABLE call DROP COLUMN lease_ms;
";

/// A log: facts in the order of their commits, each call by a number, and one index of them by call. Rows of calls follow it.
const VERSION_4: &str = "
    DROP INDEX call_due;
    DROP INDEX call_over;
    DROP INDEX call_live;
    DROP INDEX call_ended;
    DROP INDEX call_parked;
    DROP INDEX call_customer;
    ALTER TABLE call RENAME TO call_3;
    ALTER TABLE fact RENAME TO fact_3;
    CREATE TABLE call (
        id INTEGER PRIMARY KEY,
        task TEXT NOT NULL UNIQUE,
        customer TEXT,                        -- the customer's CallSid
        last_seq INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL,          -- when its last fact was journaled
        due_ms INTEGER,                       -- when it wants to be looked at; NULL = when a fact arrives
        over_ms INTEGER,                      -- since when it is over; NULL = live
        parked INTEGER NOT NULL               -- 1 = a change was given up
    ) STRICT;
    INSERT INTO call
        SELECT rowid, task, customer, last_seq, changed_ms, CASE WHEN leased THEN 0 ELSE due_ms END, over_ms, parked
        FROM call_3;
    CREATE INDEX call_live ON call (changed_ms) WHERE over_ms IS NULL;
    CREATE INDEX call_ended ON call (changed_ms, task) WHERE over_ms IS NOT NULL;
    CREATE INDEX call_parked ON call (changed_ms, task) WHERE parked = 1;
    CREATE INDEX call_customer ON call (customer) WHERE customer IS NOT NULL;
    CREATE TABLE fact (
        id INTEGER PRIMARY KEY,               -- the order of commits
        call INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        task TEXT,                            -- of a call's first fact
        identity TEXT,                        -- of events; NULL for what we did ourselves
        body TEXT NOT NULL                    -- call::fact::Fact as JSON
    ) STRICT;
    INSERT INTO fact (call, seq, task, identity, body)
        SELECT call.id, seq, CASE WHEN seq = 1 THEN task END, identity, body FROM fact_3 JOIN call USING (task)
        ORDER BY call.id, seq;
    -- The same event is always of the same task, so an identity needs to be looked for in its own call only.
    CREATE UNIQUE INDEX fact_of_call ON fact (call, identity);
    CREATE TABLE projection (
        last_fact INTEGER NOT NULL,           -- the rows of calls hold every fact up to this one
        opened INTEGER NOT NULL               -- how often the file was opened
    ) STRICT;
    INSERT INTO projection SELECT coalesce(max(id), 0), 0 FROM fact;
    DROP TABLE fact_3;
    DROP TABLE call_3;
";

/// A call in a list, as it was when it was last given back.
const VERSION_5: &str = "
    ALTER TABLE call ADD COLUMN summary TEXT;                           -- call::summary::Summary as JSON
";

/// What is kept of a call that is over takes a tenth of the room. A summary that is lost here is made anew from the facts.
const VERSION_6: &str = "
    ALTER TABLE call DROP COLUMN summary;
    ALTER TABLE call ADD COLUMN summary BLOB;                           -- call::summary::Summary as JSON, packed
    ALTER TABLE call ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;      -- 1 = its facts are in packed, and in no rows
    CREATE INDEX call_unpacked ON call (id) WHERE over_ms IS NOT NULL AND packed = 0;
    CREATE TABLE packed (
        call INTEGER PRIMARY KEY,
        facts BLOB NOT NULL                   -- of a call that is over, with their identities: see journal::packed
    ) STRICT;
";

/// Memory knows the tasks and customers of live calls. In an index each has a place of its own, and so every new call had two pages written.
const VERSION_7: &str = "
    ALTER TABLE call RENAME TO call_6;
    CREATE TABLE call (
        id INTEGER PRIMARY KEY,
        task TEXT NOT NULL,
        customer TEXT,                        -- the customer's CallSid
        last_seq INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL,          -- when its last fact was journaled, or later, when it was over
        due_ms INTEGER,                       -- when it wants to be looked at; NULL = when a fact arrives
        over_ms INTEGER,                      -- since when it is over; NULL = live
        parked INTEGER NOT NULL,              -- 1 = a change was given up
        summary BLOB,                         -- call::summary::Summary as JSON, packed
        packed INTEGER NOT NULL DEFAULT 0     -- 1 = its facts are in packed, and in no rows
    ) STRICT;
    INSERT INTO call (id, task, customer, last_seq, changed_ms, due_ms, over_ms, parked, summary, packed)
        SELECT id, task, customer, last_seq, changed_ms, due_ms, over_ms, parked, summary, packed FROM call_6;
    DROP TABLE call_6;
    CREATE UNIQUE INDEX call_task ON call (task) WHERE over_ms IS NOT NULL;
    CREATE INDEX call_customer ON call (customer) WHERE customer IS NOT NULL AND over_ms IS NOT NULL;
    CREATE INDEX call_live ON call (changed_ms) WHERE over_ms IS NULL;
    CREATE INDEX call_ended ON call (changed_ms, task) WHERE over_ms IS NOT NULL;
    CREATE INDEX call_parked ON call (changed_ms, task) WHERE parked = 1;
    CREATE INDEX call_unpacked ON call (id) WHERE over_ms IS NOT NULL AND packed = 0;
";

/// What a reader has made of the log is given back as soon as it can be. More than `log_bytes` is kept, because commits go on while so
/// much is folded: what is cut off each time has to be appended each time.
fn writing(log_bytes: u64) -> String {
    let kept = log_bytes.saturating_mul(KEPT_FACTOR);
    format!("PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {kept}; {PAGES_KEPT}")
}

pub(super) fn open_for_writing(path: &Path, log_bytes: u64) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        let reason = format!("SQLite {} is too old", rusqlite::version());
        return Err(OpenError::Unopenable { path: path.display().to_string(), reason, remedy: "3.51.3 is needed" });
    }
    // What a process that ended in order leaves is folded into the file, and the log is gone.
    let was_killed = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let pragmas = format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {}", writing(log_bytes));
    let opened = Connection::open(path);
    let connection = opened.and_then(|opened| set_up(opened, PATIENCE, &pragmas));
    let mut connection = connection.map_err(|error| unopened(path, &error))?;
    if was_killed {
        let began = Instant::now();
        let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
        tracing::info!(bytes, "the last process was not stopped in order; its journal is being checked, all of it");
        check(&connection, path)?;
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(seconds, "the journal was checked and is whole");
    }
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// A connection that writes the rows of calls, whose commits need no sync: what is lost of them is made anew. It waits for nobody: events
/// would wait behind it.
pub(super) fn open_for_projecting(path: &Path, log_bytes: u64) -> Result<Connection, OpenError> {
    open_beside(path, Duration::ZERO, &format!("PRAGMA synchronous = NORMAL; {}", writing(log_bytes)))
}

/// A connection that folds the write-ahead log. It waits for nobody; what could not be folded is tried again.
pub(super) fn open_for_folding(path: &Path) -> Result<Connection, OpenError> {
    open_beside(path, Duration::ZERO, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")
}

fn open_beside(path: &Path, patience: Duration, pragmas: &str) -> Result<Connection, OpenError> {
    let opened = Connection::open(path).and_then(|opened| set_up(opened, patience, pragmas));
    opened.map_err(|error| unopened(path, &error))
}

pub(super) fn open_for_reading(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|opened| set_up(opened, PATIENCE, ""));
    opened.map_err(|error| unopened(path, &error))
}

fn set_up(connection: Connection, patience: Duration, pragmas: &str) -> rusqlite::Result<Connection> {
    connection.busy_timeout(patience)?;
    connection.execute_batch(pragmas)?;
    // A statement's plan no longer depends on the values that are bound. Without this SQLite prepares one with a bound LIMIT anew each
    // time, which takes longer than to run it (sqlite.org/c3ref/c_dbconfig_defensive.html#sqlitedbconfigenableqpsg).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Whether the file is whole: reads all of it.
///
/// # Errors
/// When it is damaged, or cannot be read.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found: rusqlite::Result<String> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match found {
        Ok(found) if found == "ok" => Ok(()),
        // Of several lines, the first names the place and the others are more of the same.
        Ok(found) => Err(damaged(path, found.lines().take(2).collect::<Vec<_>>().join(" "))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(damaged(path, error.to_string()))
        }
        Err(error) => Err(unopened(path, &error)),
    }
}

/// Opens a file that nobody uses, and makes none beside it.
pub(super) fn open_at_rest(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let shown = path.display().to_string();
    // Only these three mean something in a URI's path (sqlite.org/uri.html).
    let escaped = shown.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags).map_err(|error| unopened(path, &error))
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let unopened = |error: rusqlite::Error| unopened(path, &error);
    let found = version(connection, path)?;
    for (version, script) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        let transaction = connection.transaction().map_err(unopened)?;
        transaction.execute_batch(script).map_err(unopened)?;
        transaction.pragma_update(None, "user_version", version).map_err(unopened)?;
        transaction.commit().map_err(unopened)?;
    }
    if found == 0 {
        beginning::tell(&path.display().to_string());
    }
    Ok(())
}

/// The version of the file's tables, which is none of a newer program, and whose tables are ours.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let unopened = |error: rusqlite::Error| unopened(path, &error);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unopened)?;
    if found > KNOWN_VERSION {
        return Err(OpenError::TooNew { path: path.display().to_string(), found, known: KNOWN_VERSION });
    }
    for (table, version) in TABLES.into_iter().filter(|(_, version)| *version > found) {
        let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE)";
        if connection.query_row(is_there, [table], |row| row.get(0)).map_err(unopened)? {
            let reason = format!(
                "it has schema version {found} and a table named {table}, which version {version} makes: another program uses it, \
                 or its user_version was changed"
            );
            return Err(OpenError::Unopenable { path: path.display().to_string(), reason, remedy: ANOTHER_FILE });
        }
    }
    Ok(found)
}
