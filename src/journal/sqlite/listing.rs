//! Pages of calls.

use crate::call::fact::EpochMs;
use crate::journal::calls::{self, SearchKey};
use crate::journal::{CallQuery, CallRow, CallState, PAGE_LIMIT};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params};
use std::str::FromStr;
use std::time::Duration;

/// The newest call has no call after it.
const BEYOND: (i64, &str) = (i64::MAX, "");

pub(super) fn calls(connection: &Connection, query: &CallQuery, now: EpochMs) -> rusqlite::Result<Vec<CallRow>> {
    let limit = query.limit.min(PAGE_LIMIT);
    let parts: &[&str] = match query.state {
        // Both are in order, so that a page of both is among a page of each.
        CallState::All => &["over_ms IS NULL", "over_ms IS NOT NULL"],
        CallState::Live => &["over_ms IS NULL"],
        CallState::Parked => &["parked = 1"],
        CallState::Over => &["over_ms IS NOT NULL"],
    };
    let mut rows = Vec::new();
    for part in parts {
        rows.extend(page(connection, query, part, limit, now)?);
    }
    rows.sort_by(|a, b| (b.changed, &b.call).cmp(&(a.changed, &a.call)));
    rows.truncate(limit);
    Ok(rows)
}

fn page(
    connection: &Connection,
    query: &CallQuery,
    part: &str,
    limit: usize,
    now: EpochMs,
) -> rusqlite::Result<Vec<CallRow>> {
    // A plus keeps SQLite from walking the whole list in order, when an index leads to the few that are looked for.
    let (found, sorted) = match &query.find {
        None => (String::new(), ""),
        Some(find) => match SearchKey::parse(find) {
            // '~' comes after every digit and letter.
            Some(key) => (format!("AND {0} >= :find AND {0} < :find || '~'", key.column()), "+"),
            None => return Ok(Vec::new()),
        },
    };
    let summary = if query.summaries { "summary" } else { "NULL" };
    let sql = format!(
        "SELECT task, customer, last_seq, changed_ms, CASE WHEN NOT leased THEN due_ms END,
                leased, over_ms IS NOT NULL, parked, {summary}
         FROM call WHERE {part} AND ({sorted}changed_ms, task) < (:changed, :task) {found}
         ORDER BY {sorted}changed_ms DESC, task DESC LIMIT :limit"
    );
    let (changed, task) = query.after.as_ref().map_or(BEYOND, |after| (after.changed, after.call.as_str()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let read = |row: &Row<'_>| call_row(row, now);
    match &query.find {
        None => {
            statement.query_map(named_params! {":changed": changed, ":task": task, ":limit": limit}, read)?.collect()
        }
        Some(find) => statement
            .query_map(named_params! {":changed": changed, ":task": task, ":limit": limit, ":find": find}, read)?
            .collect(),
    }
}

fn call_row(row: &Row<'_>, now: i64) -> rusqlite::Result<CallRow> {
    let due: Option<i64> = row.get(4)?;
    let customer: Option<String> = row.get(1)?;
    Ok(CallRow {
        call: sid(0, &row.get::<_, String>(0)?)?,
        customer: customer.map(|customer| sid(1, &customer)).transpose()?,
        facts: row.get(2)?,
        changed: row.get(3)?,
        due: due.map(|due| Duration::from_millis(u64::try_from(due - now).unwrap_or(0))),
        leased: row.get(5)?,
        over: row.get(6)?,
        parked: row.get(7)?,
        summary: row.get::<_, Option<String>>(8)?.and_then(|text| calls::summary(&text)),
    })
}

fn sid<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(column: usize, text: &str) -> rusqlite::Result<T> {
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
