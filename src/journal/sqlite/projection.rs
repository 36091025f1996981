//! The rows of calls, in the file. They follow the facts at some distance, off the way of events: while the process runs, memory
//! says what is so. A start begins with them and takes in the facts that came later.

use super::live::{CallId, Live, LiveCalls};
use super::packing::text;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::{CallSid, TaskSid};
use crate::journal::packed::pack;
use crate::journal::retention::Opening;
use crate::journal::{Clock, MachineTime, Seq};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use std::collections::BTreeSet;

/// Rows in one transaction: some milliseconds.
pub(super) const CHUNK: usize = 256;

/// Calls deleted in one commit: a call has a few dozen facts.
const PRUNE_CHUNK: i64 = 100;

/// The row of a call.
#[derive(Debug, Clone)]
pub(super) struct Projected {
    pub(super) id: CallId,
    pub(super) task: TaskSid,
    pub(super) customer: Option<CallSid>,
    /// No row of another call that is over names this customer. It is read, and not written.
    pub(super) is_alone: bool,
    pub(super) last_seq: Seq,
    pub(super) changed: EpochMs,
    /// When it is due; a call that is claimed is due for whoever starts on the file next.
    pub(super) due: Option<EpochMs>,
    pub(super) over: Option<EpochMs>,
    pub(super) parked: bool,
    /// To be written; `None` keeps what is there. It is not read with the rest.
    pub(super) summary: Option<String>,
}

/// That no row of another call that is over names this customer. Memory knows who is on a leg of those that are live.
macro_rules! names_alone {
    ($customer:literal, $id:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM call AS other WHERE other.customer = ",
            $customer,
            " AND other.over_ms IS NOT NULL AND other.id <> ",
            $id,
            ")"
        )
    };
}

const COLUMNS: &str = concat!(
    "id, task, customer, last_seq, changed_ms, due_ms, over_ms, parked, ",
    names_alone!("call.customer", "call.id")
);

/// Writes the rows that are the longest behind. What is lost of it is made anew from the facts, so its commit needs no sync.
pub(super) fn project(connection: &mut Connection, live: &Live, now: EpochMs) -> rusqlite::Result<()> {
    let (rows, place, newest) = {
        let mut calls = live.lock();
        let (rows, place) = calls.unprojected(CHUNK, now);
        (rows, place, calls.newest_event)
    };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let written = transaction.and_then(|transaction| {
        write(&transaction, &rows, place, newest)?;
        transaction.commit()
    });
    let mut calls = live.lock();
    match written {
        Ok(()) => calls.projected(&rows, place),
        Err(_) => calls.not_projected(&rows),
    }
    written
}

/// Writes all rows that are behind.
pub(super) fn project_all(connection: &mut Connection, live: &Live, now: EpochMs) -> rusqlite::Result<()> {
    while live.lock().is_behind() > 0 {
        project(connection, live, now)?;
    }
    Ok(())
}

fn write(connection: &Connection, rows: &[Projected], place: i64, newest: Option<EpochMs>) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO call (id, task, customer, last_seq, changed_ms, due_ms, over_ms, parked, summary)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, last_seq = excluded.last_seq,
             changed_ms = excluded.changed_ms, due_ms = excluded.due_ms, over_ms = excluded.over_ms,
             parked = excluded.parked, summary = coalesce(excluded.summary, summary)",
    )?;
    for row in rows {
        let customer = row.customer.as_ref().map(|customer| customer.as_str());
        let Projected { id, task, last_seq, changed, due, over, parked, summary, .. } = row;
        // Without one, the facts are read.
        let summary = summary.as_deref().and_then(|summary| pack(summary).ok());
        insert.execute(params![id, task.as_str(), customer, last_seq, changed, due, over, parked, summary])?;
    }
    if let Some(newest) = newest {
        connection
            .prepare_cached(
                "INSERT INTO mark (name, at_ms) VALUES ('newest_event', ?1)
                 ON CONFLICT (name) DO UPDATE SET at_ms = ?1 WHERE at_ms < ?1",
            )?
            .execute([newest])?;
    }
    connection.prepare_cached("UPDATE projection SET last_fact = ?1")?.execute([place])?;
    Ok(())
}

/// The row of a call that memory does not know, and so is over.
pub(super) fn call_of(connection: &Connection, task: &TaskSid) -> rusqlite::Result<Option<Projected>> {
    found(connection, &mut finding(connection)?, task)
}

/// What [`found`] asks.
pub(super) fn finding(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(&format!("SELECT {COLUMNS} FROM call WHERE task = ?1 AND over_ms IS NOT NULL"))
}

/// As [`call_of`], by a statement that is there already.
pub(super) fn found(
    connection: &Connection,
    finding: &mut CachedStatement<'_>,
    task: &TaskSid,
) -> rusqlite::Result<Option<Projected>> {
    let row = finding.query_row([task.as_str()], |row| projected(connection, row)).optional();
    row.map(Option::flatten)
}

/// Whether no row of another call that is over names this leg.
pub(super) fn is_alone(connection: &Connection, id: CallId, leg: &CallSid) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(concat!("SELECT ", names_alone!("?1", "?2")))?
        .query_row(params![leg.as_str(), id], |row| row.get(0))
}

/// The live calls, the clock that new facts are stamped by, and what was found by it.
pub(super) fn open(connection: &Connection) -> rusqlite::Result<(LiveCalls, Clock, Opening)> {
    let mut calls = load(connection)?;
    let over =
        connection.query_row("SELECT max(changed_ms) FROM call WHERE over_ms IS NOT NULL", [], |row| row.get(0))?;
    let newest = calls.order.last().map(|(changed, _)| *changed).max(over);
    let clock = Clock::of_machine(MachineTime::default(), newest);
    if newest.is_some_and(|newest| newest > clock.now()) {
        calls.make_waiting_due();
    }
    Ok((calls, clock, Opening::now(newest)))
}

/// The live calls as they were left, with the facts that their rows do not have.
fn load(connection: &Connection) -> rusqlite::Result<LiveCalls> {
    let mut calls = LiveCalls::default();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let opened: i64 =
        connection.query_row("UPDATE projection SET opened = opened + 1 RETURNING opened", [], |row| row.get(0))?;
    // Claims of whoever had the file before are of no fence that is given from now on.
    calls.next_fence = opened << 32;
    // Also the last place that was ever given, when the facts up to it are gone.
    calls.projected_place = number("SELECT last_fact FROM projection")?.unwrap_or(0);
    calls.last_place = calls.projected_place;
    calls.newest_event =
        connection.query_row("SELECT at_ms FROM mark WHERE name = 'newest_event'", [], |row| row.get(0)).optional()?;
    let last_id = number("SELECT max(id) FROM call")?.max(number("SELECT max(call) FROM fact")?);
    calls.next_id = last_id.unwrap_or(0) + 1;
    let parked = number("SELECT count(*) FROM call WHERE parked = 1 AND over_ms IS NOT NULL")?;
    calls.parked_in_file = parked.unwrap_or(0).unsigned_abs();
    let mut live = connection.prepare(&format!("SELECT {COLUMNS} FROM call WHERE over_ms IS NULL"))?;
    let (mut rows, mut nameless) = (live.query([])?, BTreeSet::new());
    while let Some(row) = rows.next()? {
        match projected(connection, row)? {
            Some(call) => calls.load(call, 0),
            None => _ = nameless.insert(row.get(0)?),
        }
    }
    catch_up(connection, &mut calls, &mut nameless)?;
    for call in &nameless {
        tracing::error!(
            call,
            "a call cannot be taken up: the journal file is damaged where its TaskSid stands; the next event begins it anew; \
             run `doctor`, and restore the file from a backup if it says so"
        );
    }
    Ok(calls)
}

/// Takes in the facts that no row has: their calls are due, because nobody knows what was done about them.
/// Those of calls whose task nobody can tell are passed over.
fn catch_up(connection: &Connection, calls: &mut LiveCalls, nameless: &mut BTreeSet<CallId>) -> rusqlite::Result<()> {
    let mut later = connection
        .prepare("SELECT id, call, seq, task, identity IS NOT NULL, body FROM fact WHERE id > ?1 ORDER BY id")?;
    let mut rows = later.query([calls.projected_place])?;
    while let Some(row) = rows.next()? {
        let (place, id, seq): (i64, CallId, Seq) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if calls.get(id).is_none() && !nameless.contains(&id) {
            let known = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM call WHERE id = ?1"))?
                .query_row([id], |row| projected(connection, row))
                .optional()?;
            match known {
                Some(Some(call)) if call.last_seq < seq => calls.load(call, 0),
                Some(Some(_)) => {}
                Some(None) => _ = nameless.insert(id),
                None => match text(row, 3)?.parse() {
                    Ok(task) => calls.begin(id, task, 0),
                    Err(_) => _ = nameless.insert(id),
                },
            }
        }
        if calls.get(id).is_some_and(|call| call.last_seq < seq) {
            let fact: Option<Fact> = serde_json::from_str(text(row, 5)?).ok();
            calls.caught_up(id, seq, fact.as_ref(), row.get(4)?);
        }
        calls.last_place = place;
    }
    Ok(())
}

/// One chunk of [`crate::journal::Journal::prune`]: of calls that were over before a time.
pub(super) fn prune_chunk(
    connection: &mut Connection,
    live: &Live,
    before: EpochMs,
    now: EpochMs,
) -> rusqlite::Result<u64> {
    project_all(connection, live, now)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut old: Vec<(CallId, bool)> = transaction
        .prepare_cached(
            "SELECT * FROM (SELECT id, parked FROM call
                 WHERE over_ms IS NOT NULL AND changed_ms < ?1 AND over_ms < ?1 ORDER BY changed_ms LIMIT ?2)
             UNION ALL
             SELECT * FROM (SELECT id, false FROM call
                 WHERE over_ms IS NULL AND changed_ms < ?1 AND due_ms IS NULL ORDER BY changed_ms LIMIT ?2)",
        )?
        .query_map(params![before, PRUNE_CHUNK], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    {
        let calls = live.lock();
        old.retain(|(id, _)| calls.is_quiet(*id));
    }
    for (id, _) in &old {
        transaction.prepare_cached("DELETE FROM call WHERE id = ?1")?.execute([id])?;
        transaction.prepare_cached("DELETE FROM fact WHERE call = ?1")?.execute([id])?;
        transaction.prepare_cached("DELETE FROM packed WHERE call = ?1")?.execute([id])?;
    }
    transaction.commit()?;
    let mut calls = live.lock();
    for (id, parked) in &old {
        calls.forget(*id);
        calls.parked_in_file -= u64::from(*parked);
    }
    Ok(old.len() as u64)
}

/// The row of a call. A customer that is damaged is not known until the next event names them; `None` when nobody can tell the task.
fn projected(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Option<Projected>> {
    let id = row.get(0)?;
    let task = match text(row, 1)?.parse() {
        Ok(task) => Some(task),
        Err(_) => first_named(connection, id)?,
    };
    let Some(task) = task else { return Ok(None) };
    Ok(Some(Projected {
        id,
        task,
        customer: text(row, 2)?.parse().ok(),
        is_alone: row.get(8)?,
        last_seq: row.get(3)?,
        changed: row.get(4)?,
        due: row.get(5)?,
        over: row.get(6)?,
        parked: row.get(7)?,
        summary: None,
    }))
}

/// The task by the first fact of a call that is not packed.
fn first_named(connection: &Connection, id: CallId) -> rusqlite::Result<Option<TaskSid>> {
    let named = connection
        .prepare_cached("SELECT task FROM fact WHERE call = ?1 AND task IS NOT NULL")?
        .query_row([id], |row| Ok(text(row, 0)?.parse().ok()))
        .optional()?;
    Ok(named.flatten())
}
