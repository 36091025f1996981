//! What can be written, each inside a transaction that may hold many of them.

use crate::call::Summary;
use crate::call::fact::{EpochMs, Fact};
use crate::journal::calls::{customer, text};
use crate::journal::{Claim, Due, Ingested, JournalError, NewFact, Seq};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::time::Duration;

/// Calls deleted in one commit: a call has a few dozen facts.
const PRUNE_CHUNK: i64 = 20;

/// [`crate::journal::Ingest::ingest`].
pub(super) fn ingest(connection: &Connection, new: &NewFact, now: EpochMs) -> rusqlite::Result<Ingested> {
    let known = connection
        .prepare_cached("SELECT 1 FROM fact WHERE identity = ?1")?
        .query_row([&new.identity], |_| Ok(()))
        .optional()?;
    if known.is_some() {
        return Ok(Ingested::Duplicate);
    }
    let seq: Seq = connection
        .prepare_cached(
            "INSERT INTO call (task, last_seq, due_ms, changed_ms) VALUES (?1, 1, ?2, ?2)
             ON CONFLICT (task) DO UPDATE SET last_seq = last_seq + 1,
                 due_ms = CASE WHEN leased THEN due_ms ELSE ?2 END, changed_ms = ?2, over_ms = NULL
             RETURNING last_seq",
        )?
        .query_row(params![new.call.as_str(), now], |row| row.get(0))?;
    insert(connection, new.call.as_str(), seq, Some(&new.identity), &new.fact)?;
    // Only TaskRouter keeps records to read from.
    if new.fact.kind.task_view().is_some() {
        connection
            .prepare_cached(
                "INSERT INTO mark (name, at_ms) VALUES ('newest_event', ?1)
                 ON CONFLICT (name) DO UPDATE SET at_ms = ?1 WHERE at_ms < ?1",
            )?
            .execute([new.fact.at])?;
    }
    Ok(Ingested::New)
}

fn insert(connection: &Connection, task: &str, seq: Seq, identity: Option<&str>, fact: &Fact) -> rusqlite::Result<()> {
    let body = serde_json::to_string(fact).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached("INSERT INTO fact (task, seq, identity, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![task, seq, identity, body])?;
    mark(connection, task, fact)
}

/// What operators look for: once per call rather than with every fact.
fn mark(connection: &Connection, task: &str, fact: &Fact) -> rusqlite::Result<()> {
    if let Some(parked) = fact.kind.parks() {
        connection
            .prepare_cached("UPDATE call SET parked = ?2 WHERE task = ?1 AND parked <> ?2")?
            .execute(params![task, parked])?;
    }
    if let Some(customer) = customer(&fact.kind) {
        connection
            .prepare_cached("UPDATE call SET customer = ?2 WHERE task = ?1 AND customer IS NOT ?2")?
            .execute(params![task, customer.as_str()])?;
    }
    Ok(())
}

/// [`crate::journal::Claims::claim`].
pub(super) fn claim(
    connection: &Connection,
    limit: usize,
    lease: Duration,
    now: EpochMs,
) -> rusqlite::Result<Vec<Claim>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "UPDATE call SET fence = fence + 1, leased = 1, due_ms = ?2
         WHERE task IN (SELECT task FROM call WHERE due_ms <= ?1 ORDER BY due_ms LIMIT ?3)
         RETURNING task, fence",
    )?;
    let rows = statement.query_map(params![now, now + millis(lease), limit], |row| {
        let task: String = row.get(0)?;
        let call = task.parse().map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
        })?;
        Ok(Claim { call, fence: row.get(1)? })
    })?;
    rows.collect()
}

/// [`crate::journal::Claims::append`].
pub(super) fn append(
    connection: &Connection,
    claim: &Claim,
    fact: &Fact,
    now: EpochMs,
) -> rusqlite::Result<Result<Seq, JournalError>> {
    let seq: Option<Seq> = connection
        .prepare_cached(
            "UPDATE call SET last_seq = last_seq + 1, changed_ms = ?3
             WHERE task = ?1 AND fence = ?2 AND leased
             RETURNING last_seq",
        )?
        .query_row(params![claim.call.as_str(), claim.fence, now], |row| row.get(0))
        .optional()?;
    if let Some(seq) = seq {
        insert(connection, claim.call.as_str(), seq, None, fact)?;
    }
    Ok(seq.ok_or_else(|| lost(claim)))
}

/// [`crate::journal::Claims::renew`].
pub(super) fn renew(
    connection: &Connection,
    claim: &Claim,
    lease: Duration,
    now: EpochMs,
) -> rusqlite::Result<Result<(), JournalError>> {
    let until = now + millis(lease);
    let changed = connection
        .prepare_cached("UPDATE call SET due_ms = ?3 WHERE task = ?1 AND fence = ?2 AND leased")?
        .execute(params![claim.call.as_str(), claim.fence, until])?;
    Ok(held(claim, changed))
}

/// [`crate::journal::Claims::release`].
pub(super) fn release(
    connection: &Connection,
    claim: &Claim,
    seen: Seq,
    due: Due,
    summary: Option<&Summary>,
    now: EpochMs,
) -> rusqlite::Result<Result<(), JournalError>> {
    let (due_ms, over_ms) = match due {
        Due::After(pause) => (Some(now + millis(pause)), None),
        Due::OnFact => (None, None),
        Due::Over => (None, Some(now)),
    };
    let changed = connection
        .prepare_cached(
            "UPDATE call SET leased = 0,
                 due_ms = CASE WHEN last_seq > ?3 THEN ?6 ELSE ?4 END,
                 over_ms = CASE WHEN last_seq > ?3 THEN NULL ELSE ?5 END,
                 summary = coalesce(?7, summary)
             WHERE task = ?1 AND fence = ?2 AND leased",
        )?
        .execute(params![claim.call.as_str(), claim.fence, seen, due_ms, over_ms, now, summary.and_then(text)])?;
    Ok(held(claim, changed))
}

/// One chunk of [`crate::journal::Journal::prune`].
pub(super) fn prune_chunk(connection: &Connection, retention: Duration, now: EpochMs) -> rusqlite::Result<u64> {
    let before = now - millis(retention);
    let mut statement = connection.prepare_cached(
        "DELETE FROM call WHERE task IN (
             SELECT task FROM call WHERE over_ms < ?1 AND NOT leased
             UNION ALL
             SELECT task FROM call
             WHERE over_ms IS NULL AND changed_ms < ?1 AND due_ms IS NULL AND NOT leased
             LIMIT ?2)
         RETURNING task",
    )?;
    let tasks: Vec<String> =
        statement.query_map(params![before, PRUNE_CHUNK], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut facts = connection.prepare_cached("DELETE FROM fact WHERE task = ?1")?;
    for task in &tasks {
        facts.execute([task])?;
    }
    Ok(tasks.len() as u64)
}

/// [`crate::journal::Coverage::open_gap`].
pub(super) fn open_gap(connection: &Connection, from: EpochMs) -> rusqlite::Result<EpochMs> {
    connection
        .prepare_cached(
            "INSERT INTO mark (name, at_ms) VALUES ('gap', ?1)
             ON CONFLICT (name) DO UPDATE SET at_ms = min(at_ms, ?1) RETURNING at_ms",
        )?
        .query_row([from], |row| row.get(0))
}

/// [`crate::journal::Coverage::close_gap`].
pub(super) fn close_gap(connection: &Connection, from: EpochMs) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM mark WHERE name = 'gap' AND at_ms = ?1")?.execute([from])?;
    Ok(())
}

/// Writes something that nobody reads: [`crate::journal::Workload::ready`].
pub(super) fn try_out(connection: &Connection, now: EpochMs) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO mark (name, at_ms) VALUES ('tried_out', ?1) ON CONFLICT (name) DO UPDATE SET at_ms = ?1",
        )?
        .execute([now])?;
    Ok(())
}

/// A write under a claim changes the claim's row, or none when the lease was lost.
fn held(claim: &Claim, changed: usize) -> Result<(), JournalError> {
    if changed == 1 { Ok(()) } else { Err(lost(claim)) }
}

fn lost(claim: &Claim) -> JournalError {
    JournalError::LeaseLost { call: claim.call.clone() }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
