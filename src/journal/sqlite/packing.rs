//! The facts of calls that are over: packed into one row a call, which takes a tenth of the room. A live call has a row for each
//! fact, so that one that hears of something after its end is unpacked first.

use super::live::{CallId, Live};
use crate::journal::Seq;
use crate::journal::packed::{StoredFact, pack_facts, unpack_facts};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

/// Packs some calls that are over, and says whether there may be more. What is lost of it is done again, so its commit needs no sync.
pub(super) fn pack_some(connection: &mut Connection, live: &Live, limit: u32) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut over: Vec<CallId> = transaction
        .prepare_cached("SELECT id FROM call WHERE over_ms IS NOT NULL AND packed = 0 LIMIT ?1")?
        .query_map([limit], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    {
        // One that memory knows is live again, and its row will say so.
        let calls = live.lock();
        over.retain(|id| calls.get(*id).is_none());
    }
    for id in &over {
        let facts = pack_facts(&rows(&transaction, *id)?)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        transaction.prepare_cached("INSERT INTO packed (call, facts) VALUES (?1, ?2)")?.execute(params![id, facts])?;
        transaction.prepare_cached("DELETE FROM fact WHERE call = ?1")?.execute([id])?;
        transaction.prepare_cached("UPDATE call SET packed = 1 WHERE id = ?1")?.execute([id])?;
    }
    transaction.commit()?;
    Ok(over.len() == limit as usize)
}

/// What became of a call that hears of something after its end.
pub(super) enum Unpacked {
    /// It has been told before: the call stays as it is.
    Duplicate,
    /// Its facts are rows, so many of which were made from this place on.
    Rows(i64),
}

/// Makes rows of a call's facts again, unless one has this identity. Facts that are damaged stay packed: the call cannot be read.
pub(super) fn unpack(connection: &Connection, call: CallId, identity: &str, place: i64) -> rusqlite::Result<Unpacked> {
    let Some(facts) = packed(connection, call)?.and_then(|packed| unpack_facts(&packed)) else {
        return Ok(Unpacked::Rows(0));
    };
    if facts.iter().any(|(known, _)| known.as_deref() == Some(identity)) {
        return Ok(Unpacked::Duplicate);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO fact (id, call, seq, task, identity, body)
         VALUES (?1, ?2, ?3, CASE WHEN ?3 = 1 THEN (SELECT task FROM call WHERE id = ?2) END, ?4, ?5)",
    )?;
    let mut made = 0;
    for (seq, (identity, body)) in (1_i64..).zip(&facts) {
        insert.execute(params![place + made, call, seq, identity, body])?;
        made += 1;
    }
    connection.prepare_cached("DELETE FROM packed WHERE call = ?1")?.execute([call])?;
    connection.prepare_cached("UPDATE call SET packed = 0 WHERE id = ?1")?.execute([call])?;
    Ok(Unpacked::Rows(made))
}

/// The JSON of a call's facts after this number, packed or not. Damage is one fact that nobody can read.
pub(super) fn facts(connection: &Connection, call: CallId, after: Seq) -> rusqlite::Result<Vec<(Seq, String)>> {
    let packed =
        packed(connection, call)?.map(|packed| unpack_facts(&packed).unwrap_or_else(|| vec![Default::default()]));
    let packed = (1..).zip(packed.unwrap_or_default()).map(|(seq, (_, body))| (seq, body));
    let mut facts: Vec<(Seq, String)> = packed.filter(|(seq, _)| *seq > after).collect();
    let mut rows = connection.prepare_cached("SELECT seq, body FROM fact WHERE call = ?1 AND seq > ?2 ORDER BY seq")?;
    for row in rows.query_map(params![call, after], |row| Ok((row.get(0)?, text(row, 1)?.to_owned())))? {
        facts.push(row?);
    }
    Ok(facts)
}

fn packed(connection: &Connection, call: CallId) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT facts FROM packed WHERE call = ?1")?
        .query_row([call], |row| row.get(0))
        .optional()
}

/// A column of text. One flipped bit is enough to make it none: then it is empty, which is neither JSON nor a SID.
pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r str> {
    Ok(str::from_utf8(row.get_ref(column)?.as_bytes().unwrap_or_default()).unwrap_or_default())
}

/// A text that is damaged is kept as far as it is one.
fn rows(connection: &Connection, call: CallId) -> rusqlite::Result<Vec<StoredFact>> {
    let kept = |value: ValueRef<'_>| {
        let bytes = value.as_bytes().unwrap_or_default();
        // What comes of it may be JSON again, and not what was meant: the mark keeps it from being read.
        str::from_utf8(bytes).map_or_else(|_| format!("\u{fffd}{}", String::from_utf8_lossy(bytes)), str::to_owned)
    };
    let fact = |row: &Row<'_>| {
        let identity = Some(row.get_ref(0)?).filter(|identity| *identity != ValueRef::Null);
        Ok((identity.map(kept), kept(row.get_ref(1)?)))
    };
    connection
        .prepare_cached("SELECT identity, body FROM fact WHERE call = ?1 ORDER BY seq")?
        .query_map([call], fact)?
        .collect()
}
