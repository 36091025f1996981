//! Pages of calls: of those in memory, and of those that are over from their rows.

use super::live::{CallId, LiveCall, LiveCalls};
use super::packing::text;
use crate::call::fact::EpochMs;
use crate::call::sid::{SID_LENGTH, TaskSid};
use crate::journal::calls::{self, SearchKey};
use crate::journal::packed::unpack;
use crate::journal::{CallQuery, CallRow, CallState, Cursor, PAGE_LIMIT};
use rusqlite::Error::FromSqlConversionFailure;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params};
use std::time::Duration;

/// The newest call has no call after it.
const BEYOND: (i64, &str) = (i64::MAX, "");

/// A page of the calls in memory; taken before the page of the rows, so that a call that moves from here to there is in one of them.
pub(super) fn in_memory(calls: &LiveCalls, query: &CallQuery, now: EpochMs) -> Vec<CallRow> {
    let is_asked_for = |call: &&LiveCall| {
        let in_state = match query.state {
            CallState::All => true,
            CallState::Live => call.over.is_none(),
            CallState::Parked => call.parked,
            CallState::Over => call.over.is_some(),
        };
        in_state && query.after.as_ref().is_none_or(|after| (call.changed, &call.task) < (after.changed, &after.call))
    };
    let limit = query.limit.min(PAGE_LIMIT);
    let of = |ids: Vec<CallId>| ids.into_iter().filter_map(|id| calls.get(id)).filter(is_asked_for).collect();
    let found: Vec<&LiveCall> = match (&query.find, query.state) {
        (Some(find), _) => of(found(calls, find)),
        (None, CallState::Parked) => of(calls.parked.iter().copied().collect()),
        (None, CallState::Over) => of(calls.ended.iter().copied().collect()),
        (None, CallState::All | CallState::Live) => newest(calls, query.after.as_ref(), limit, is_asked_for),
    };
    let mut rows: Vec<CallRow> = found.into_iter().map(|call| row(call, query.summaries, now)).collect();
    in_order(&mut rows, limit);
    rows
}

/// So many calls from the cursor on, and whatever else changed in the same millisecond as the last: of those, the list is in the order
/// of their tasks.
fn newest<'a>(
    calls: &'a LiveCalls,
    after: Option<&Cursor>,
    limit: usize,
    is_asked_for: impl Fn(&&LiveCall) -> bool,
) -> Vec<&'a LiveCall> {
    let last = after.map_or(EpochMs::MAX, |after| after.changed);
    let mut page = Vec::new();
    let mut oldest = EpochMs::MAX;
    for (changed, id) in calls.order.range(..=(last, CallId::MAX)).rev() {
        if page.len() >= limit && *changed != oldest {
            break;
        }
        if let Some(call) = calls.get(*id).filter(&is_asked_for) {
            page.push(call);
            oldest = *changed;
        }
    }
    page
}

fn found(calls: &LiveCalls, find: &str) -> Vec<CallId> {
    match SearchKey::parse(find) {
        Some(SearchKey::Task) => calls.of_tasks(find).map(|(id, _)| id).collect(),
        Some(SearchKey::Customer) => calls.on_legs(find).collect(),
        None => Vec::new(),
    }
}

fn row(call: &LiveCall, summaries: bool, now: EpochMs) -> CallRow {
    let left = |due: EpochMs| Duration::from_millis(u64::try_from(due - now).unwrap_or(0));
    CallRow {
        call: call.task.clone(),
        customer: call.customer.clone(),
        facts: call.last_seq,
        changed: call.changed,
        due: call.due().map(left),
        leased: call.is_leased(),
        over: call.over.is_some(),
        parked: call.parked,
        summary: call.summary.as_deref().filter(|_| summaries).and_then(calls::summary),
    }
}

/// The most recently changed first, and no more than a page.
pub(super) fn in_order(rows: &mut Vec<CallRow>, limit: usize) {
    rows.sort_by(|a, b| (b.changed, &b.call).cmp(&(a.changed, &a.call)));
    rows.truncate(limit);
}

/// A page, and so many rows more, of the calls that are over by their rows.
pub(super) fn over(connection: &Connection, query: &CallQuery, more: usize) -> rusqlite::Result<Vec<CallRow>> {
    let part = match query.state {
        CallState::All | CallState::Over => "over_ms IS NOT NULL",
        CallState::Parked => "parked = 1 AND over_ms IS NOT NULL",
        CallState::Live => return Ok(Vec::new()),
    };
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
        "SELECT task, customer, last_seq, changed_ms, parked, {summary}
         FROM call WHERE {part} AND ({sorted}changed_ms, task) < (:changed, :task) {found} AND +task GLOB :sid
         ORDER BY {sorted}changed_ms DESC, task DESC LIMIT :limit"
    );
    let (changed, task) = query.after.as_ref().map_or(BEYOND, |after| (after.changed, after.call.as_str()));
    let limit = i64::try_from(query.limit.min(PAGE_LIMIT) + more).unwrap_or(i64::MAX);
    // A row that is damaged there is left out here already, so that a page is full when there are more.
    let sid = TaskSid::PREFIX.to_owned() + &"[0-9a-fA-F]".repeat(SID_LENGTH - TaskSid::PREFIX.len());
    let mut statement = connection.prepare_cached(&sql)?;
    match &query.find {
        None => statement
            .query_map(named_params! {":changed": changed, ":task": task, ":limit": limit, ":sid": sid}, ended_row)?
            .collect(),
        Some(find) => statement
            .query_map(
                named_params! {":changed": changed, ":task": task, ":limit": limit, ":sid": sid, ":find": find},
                ended_row,
            )?
            .collect(),
    }
}

fn ended_row(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    let task = text(row, 0)?.parse().map_err(|error| FromSqlConversionFailure(0, Type::Text, Box::new(error)))?;
    Ok(CallRow {
        call: task,
        customer: text(row, 1)?.parse().ok(),
        facts: row.get(2)?,
        changed: row.get(3)?,
        due: None,
        leased: false,
        over: true,
        parked: row.get(4)?,
        summary: row.get::<_, Option<Vec<u8>>>(5)?.and_then(|packed| calls::summary(&unpack(&packed)?)),
    })
}
