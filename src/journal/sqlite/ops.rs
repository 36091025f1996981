//! What can be written, each inside a transaction that may hold many of them.

use crate::call::fact::{EpochMs, Fact};
use crate::journal::calls::customer;
use crate::journal::{self, Claim, Due, Ingested, JournalError, NewFact, Seq};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::time::Duration;
use tokio::sync::oneshot;

/// Calls deleted in one commit: a call has a few dozen facts.
const PRUNE_CHUNK: i64 = 20;

type Answer<T> = oneshot::Sender<Result<T, JournalError>>;

/// A write and who waits for it.
pub(super) enum Write {
    Ingest { fact: NewFact, answer: Answer<Ingested> },
    Claim { limit: usize, answer: Answer<Vec<Claim>> },
    Append { claim: Claim, fact: Fact, answer: Answer<Seq> },
    Renew { claim: Claim, answer: Answer<()> },
    Release { claim: Claim, seen: Seq, due: Due, answer: Answer<()> },
    Prune { retention: Duration, answer: Answer<u64> },
    OpenGap { from: EpochMs, answer: Answer<EpochMs> },
    CloseGap { from: EpochMs, answer: Answer<()> },
    Close,
}

/// A performed write, to be answered once its transaction is durable.
pub(super) enum Done {
    Ingest(Answer<Ingested>, Ingested),
    Claim(Answer<Vec<Claim>>, Vec<Claim>),
    Append(Answer<Seq>, Result<Seq, JournalError>),
    Renew(Answer<()>, Result<(), JournalError>),
    Release(Answer<()>, Result<(), JournalError>),
    Prune(Answer<u64>, u64),
    OpenGap(Answer<EpochMs>, EpochMs),
    CloseGap(Answer<()>),
}

impl Done {
    /// Answers with what was done, or with the failure of the commit.
    pub(super) fn answer(self, committed: Result<(), JournalError>) {
        // Whoever no longer waits needs no answer.
        match self {
            Done::Ingest(answer, ingested) => drop(answer.send(committed.map(|()| ingested))),
            Done::Claim(answer, claims) => drop(answer.send(committed.map(|()| claims))),
            Done::Append(answer, result) => drop(answer.send(committed.and(result))),
            Done::Renew(answer, result) | Done::Release(answer, result) => drop(answer.send(committed.and(result))),
            Done::Prune(answer, calls) => drop(answer.send(committed.map(|()| calls))),
            Done::OpenGap(answer, from) => drop(answer.send(committed.map(|()| from))),
            Done::CloseGap(answer) => drop(answer.send(committed)),
        }
    }

    /// Whether it made a call due.
    pub(super) fn wakes(&self) -> bool {
        match self {
            Done::Ingest(_, ingested) => *ingested == Ingested::New,
            Done::Release(_, result) => result.is_ok(),
            Done::Claim(..)
            | Done::Append(..)
            | Done::Renew(..)
            | Done::Prune(..)
            | Done::OpenGap(..)
            | Done::CloseGap(..) => false,
        }
    }
}

impl Write {
    /// Answers a write that was not performed.
    pub(super) fn refuse(self, error: JournalError) {
        match self {
            Write::Ingest { answer, .. } => drop(answer.send(Err(error))),
            Write::Claim { answer, .. } => drop(answer.send(Err(error))),
            Write::Append { answer, .. } => drop(answer.send(Err(error))),
            Write::Renew { answer, .. } | Write::Release { answer, .. } | Write::CloseGap { answer, .. } => {
                drop(answer.send(Err(error)));
            }
            Write::OpenGap { answer, .. } => drop(answer.send(Err(error))),
            Write::Prune { answer, .. } => drop(answer.send(Err(error))),
            Write::Close => {}
        }
    }
}

/// Performs one write inside the open transaction; `None` for [`Write::Close`], which writes nothing.
///
/// # Errors
/// What SQLite said, with the write itself, which still waits for an answer.
pub(super) fn perform(
    connection: &Connection,
    write: Write,
    lease: Duration,
) -> Result<Option<Done>, Box<(Write, rusqlite::Error)>> {
    let now = journal::now();
    let held = |claim: Claim, held: bool| held.then_some(()).ok_or(JournalError::LeaseLost { call: claim.call });
    Ok(Some(match write {
        Write::Ingest { fact, answer } => match ingest(connection, &fact, now) {
            Ok(ingested) => Done::Ingest(answer, ingested),
            Err(error) => return Err(Box::new((Write::Ingest { fact, answer }, error))),
        },
        Write::Claim { limit, answer } => match claim(connection, limit, now, lease) {
            Ok(claims) => Done::Claim(answer, claims),
            Err(error) => return Err(Box::new((Write::Claim { limit, answer }, error))),
        },
        Write::Append { claim, fact, answer } => match append(connection, &claim, &fact, now) {
            Ok(seq) => Done::Append(answer, seq.ok_or(JournalError::LeaseLost { call: claim.call })),
            Err(error) => return Err(Box::new((Write::Append { claim, fact, answer }, error))),
        },
        Write::Renew { claim, answer } => match renew(connection, &claim, now + millis(lease)) {
            Ok(still) => Done::Renew(answer, held(claim, still)),
            Err(error) => return Err(Box::new((Write::Renew { claim, answer }, error))),
        },
        Write::Release { claim, seen, due, answer } => match release(connection, &claim, seen, due, now) {
            Ok(still) => Done::Release(answer, held(claim, still)),
            Err(error) => return Err(Box::new((Write::Release { claim, seen, due, answer }, error))),
        },
        Write::Prune { retention, answer } => match prune(connection, now - millis(retention)) {
            Ok(calls) => Done::Prune(answer, calls),
            Err(error) => return Err(Box::new((Write::Prune { retention, answer }, error))),
        },
        Write::OpenGap { from, answer } => match open_gap(connection, from) {
            Ok(from) => Done::OpenGap(answer, from),
            Err(error) => return Err(Box::new((Write::OpenGap { from, answer }, error))),
        },
        Write::CloseGap { from, answer } => match close_gap(connection, from) {
            Ok(()) => Done::CloseGap(answer),
            Err(error) => return Err(Box::new((Write::CloseGap { from, answer }, error))),
        },
        Write::Close => return Ok(None),
    }))
}

fn ingest(connection: &Connection, new: &NewFact, now: i64) -> rusqlite::Result<Ingested> {
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
             ON CONFLICT (task) DO UPDATE SET last_seq = last_seq + 1, due_ms = ?2, changed_ms = ?2, over_ms = NULL
             RETURNING last_seq",
        )?
        .query_row(params![new.call.as_str(), now], |row| row.get(0))?;
    insert(connection, new.call.as_str(), seq, Some(&new.identity), &new.fact)?;
    // Only TaskRouter keeps records to read from.
    if new.fact.what.task_view().is_some() {
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
    if let Some(parked) = fact.what.parks() {
        connection
            .prepare_cached("UPDATE call SET parked = ?2 WHERE task = ?1 AND parked <> ?2")?
            .execute(params![task, parked])?;
    }
    if let Some(customer) = customer(&fact.what) {
        connection
            .prepare_cached("UPDATE call SET customer = ?2 WHERE task = ?1 AND customer IS NOT ?2")?
            .execute(params![task, customer.as_str()])?;
    }
    Ok(())
}

fn claim(connection: &Connection, limit: usize, now: i64, lease: Duration) -> rusqlite::Result<Vec<Claim>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "UPDATE call SET fence = fence + 1, lease_ms = ?2, due_ms = NULL
         WHERE task IN (
             SELECT task FROM call
             WHERE (lease_ms IS NULL AND due_ms <= ?1) OR lease_ms <= ?1
             ORDER BY coalesce(due_ms, lease_ms) LIMIT ?3)
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

fn append(connection: &Connection, claim: &Claim, fact: &Fact, now: i64) -> rusqlite::Result<Option<Seq>> {
    let seq: Option<Seq> = connection
        .prepare_cached(
            "UPDATE call SET last_seq = last_seq + 1, changed_ms = ?3
             WHERE task = ?1 AND fence = ?2 AND lease_ms IS NOT NULL
             RETURNING last_seq",
        )?
        .query_row(params![claim.call.as_str(), claim.fence, now], |row| row.get(0))
        .optional()?;
    if let Some(seq) = seq {
        insert(connection, claim.call.as_str(), seq, None, fact)?;
    }
    Ok(seq)
}

fn renew(connection: &Connection, claim: &Claim, until: i64) -> rusqlite::Result<bool> {
    let changed = connection
        .prepare_cached("UPDATE call SET lease_ms = ?3 WHERE task = ?1 AND fence = ?2 AND lease_ms IS NOT NULL")?
        .execute(params![claim.call.as_str(), claim.fence, until])?;
    Ok(changed == 1)
}

fn release(connection: &Connection, claim: &Claim, seen: Seq, due: Due, now: i64) -> rusqlite::Result<bool> {
    let (due_ms, over_ms) = match due {
        Due::After(pause) => (Some(now + millis(pause)), None),
        Due::OnFact => (None, None),
        Due::Over => (None, Some(now)),
    };
    let changed = connection
        .prepare_cached(
            "UPDATE call SET lease_ms = NULL,
                 due_ms = CASE WHEN last_seq > ?3 THEN ?6 ELSE ?4 END,
                 over_ms = CASE WHEN last_seq > ?3 THEN NULL ELSE ?5 END
             WHERE task = ?1 AND fence = ?2 AND lease_ms IS NOT NULL",
        )?
        .execute(params![claim.call.as_str(), claim.fence, seen, due_ms, over_ms, now])?;
    Ok(changed == 1)
}

fn prune(connection: &Connection, before: i64) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM call WHERE task IN (
             SELECT task FROM call WHERE over_ms < ?1 AND lease_ms IS NULL
             UNION ALL
             SELECT task FROM call
             WHERE over_ms IS NULL AND changed_ms < ?1 AND due_ms IS NULL AND lease_ms IS NULL
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

fn open_gap(connection: &Connection, from: EpochMs) -> rusqlite::Result<EpochMs> {
    connection
        .prepare_cached(
            "INSERT INTO mark (name, at_ms) VALUES ('gap', ?1)
             ON CONFLICT (name) DO UPDATE SET at_ms = min(at_ms, ?1) RETURNING at_ms",
        )?
        .query_row([from], |row| row.get(0))
}

fn close_gap(connection: &Connection, from: EpochMs) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM mark WHERE name = 'gap' AND at_ms = ?1")?.execute([from])?;
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
