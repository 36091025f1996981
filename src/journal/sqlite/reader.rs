//! What is only read, on a thread of its own.

use super::error::unavailable;
use super::queue::{Message, Read};
use super::turns::Turns;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::TaskSid;
use crate::journal::values::parse;
use crate::journal::{Backlog, JournalError, Seq};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::time::Duration;
use tokio::sync::mpsc;

/// Answers until told to close.
pub(super) fn run(connection: Connection, turns: &Turns, mut queue: mpsc::UnboundedReceiver<Message<Read>>) {
    while let Some(Message::Work(read)) = queue.blocking_recv() {
        turns.read(|| read(&connection));
    }
}

pub(super) fn facts(connection: &Connection, call: &TaskSid, after: Seq) -> Result<Vec<(Seq, Fact)>, JournalError> {
    let rows = || -> rusqlite::Result<Vec<(Seq, String)>> {
        connection
            .prepare_cached("SELECT seq, body FROM fact WHERE task = ?1 AND seq > ?2 ORDER BY seq")?
            .query_map(params![call.as_str(), after], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    parse(call, rows().map_err(unavailable)?)
}

pub(super) fn next_due(connection: &Connection, now: EpochMs) -> rusqlite::Result<Option<Duration>> {
    let at: Option<i64> = connection
        .prepare_cached("SELECT min(due_ms) FROM call WHERE due_ms IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(at.map(|at| Duration::from_millis(u64::try_from(at - now).unwrap_or(0))))
}

pub(super) fn newest_event(connection: &Connection) -> rusqlite::Result<Option<EpochMs>> {
    connection
        .prepare_cached("SELECT at_ms FROM mark WHERE name = 'newest_event'")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// Each count is of one index, so that calls that are over cost nothing.
pub(super) fn backlog(connection: &Connection, now: EpochMs) -> rusqlite::Result<Backlog> {
    connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE leased OR due_ms <= ?1),
                    count(*) FILTER (WHERE NOT leased AND due_ms > ?1),
                    (SELECT count(*) FROM call WHERE over_ms IS NULL),
                    (SELECT count(*) FROM call WHERE parked = 1 AND over_ms IS NULL),
                    (SELECT count(*) FROM call WHERE parked = 1 AND over_ms IS NOT NULL)
             FROM call WHERE due_ms IS NOT NULL",
        )?
        .query_row([now], |row| {
            let count = |index| row.get(index).map(|count: i64| count.unsigned_abs());
            Ok(Backlog {
                active: count(0)?,
                waiting: count(1)?,
                live: count(2)?,
                parked: count(3)?,
                parked_over: count(4)?,
            })
        })
}
