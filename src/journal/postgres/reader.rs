//! What is only read.

use super::ops::sid;
use super::session::Work;
use crate::call::fact::EpochMs;
use crate::call::sid::TaskSid;
use crate::journal::calls::Column;
use crate::journal::{Backlog, CallQuery, CallRow, CallState, PAGE_LIMIT, Seq};
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::Duration;

/// The bodies of [`crate::journal::Journal::facts`].
pub(super) struct Bodies<'a> {
    pub(super) call: &'a TaskSid,
    pub(super) after: Seq,
}

impl Work for Bodies<'_> {
    type Output = Vec<(Seq, String)>;
    const REPEATABLE: bool = true;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Vec<(Seq, String)>, sqlx::Error> {
        sqlx::query_as("SELECT seq, body FROM taskrouter_streams.fact WHERE task = $1 AND seq > $2 ORDER BY seq")
            .persistent(false)
            .bind(self.call.as_str())
            .bind(self.after)
            .fetch_all(connection)
            .await
    }
}

/// [`crate::journal::Journal::next_due`].
pub(super) struct NextDue;

impl Work for NextDue {
    type Output = Option<Duration>;
    const REPEATABLE: bool = true;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Option<Duration>, sqlx::Error> {
        let left: Option<i64> = sqlx::query_scalar(
            "SELECT min(due_ms) - taskrouter_streams.now_ms() FROM taskrouter_streams.call WHERE due_ms IS NOT NULL",
        )
        .persistent(false)
        .fetch_one(connection)
        .await?;
        Ok(left.map(from_now))
    }
}

/// [`crate::journal::Journal::newest_event`].
pub(super) struct NewestEvent;

impl Work for NewestEvent {
    type Output = Option<EpochMs>;
    const REPEATABLE: bool = true;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Option<EpochMs>, sqlx::Error> {
        sqlx::query_scalar("SELECT at_ms FROM taskrouter_streams.mark WHERE name = 'newest_event' AND at_ms > 0")
            .persistent(false)
            .fetch_optional(connection)
            .await
    }
}

/// [`crate::journal::Journal::backlog`]. Each count is of one index, so that calls that are over cost nothing.
pub(super) struct Count;

impl Work for Count {
    type Output = Backlog;
    const REPEATABLE: bool = true;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Backlog, sqlx::Error> {
        let (active, waiting, live, parked): (i64, i64, i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE leased OR due_ms <= taskrouter_streams.now_ms()),
                    count(*) FILTER (WHERE NOT leased AND due_ms > taskrouter_streams.now_ms()),
                    (SELECT count(*) FROM taskrouter_streams.call WHERE over_ms IS NULL),
                    (SELECT count(*) FROM taskrouter_streams.call WHERE parked)
             FROM taskrouter_streams.call WHERE due_ms IS NOT NULL",
        )
        .persistent(false)
        .fetch_one(connection)
        .await?;
        Ok(Backlog {
            active: active.unsigned_abs(),
            waiting: waiting.unsigned_abs(),
            live: live.unsigned_abs(),
            parked: parked.unsigned_abs(),
        })
    }
}

/// [`crate::journal::Journal::calls`].
pub(super) struct Page {
    pub(super) query: CallQuery,
}

type Row = (String, Option<String>, i64, i64, Option<i64>, bool, bool, bool);

impl Work for Page {
    type Output = Vec<CallRow>;
    const REPEATABLE: bool = true;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Vec<CallRow>, sqlx::Error> {
        let query = &self.query;
        let limit = query.limit.min(PAGE_LIMIT);
        let parts: &[&str] = match query.state {
            // Both are in order, so that a page of both is among a page of each.
            CallState::All => &["over_ms IS NULL", "over_ms IS NOT NULL"],
            CallState::Live => &["over_ms IS NULL"],
            CallState::Parked => &["parked"],
            CallState::Over => &["over_ms IS NOT NULL"],
        };
        let column = match query.find.as_deref().map(Column::of) {
            None => None,
            Some(Some(column)) => Some(column),
            Some(None) => return Ok(Vec::new()),
        };
        let mut calls = Vec::new();
        for part in parts {
            for row in page(connection, query, part, column, limit).await? {
                calls.push(call_row(row)?);
            }
        }
        calls.sort_by(|a, b| (b.changed, &b.call).cmp(&(a.changed, &a.call)));
        calls.truncate(limit);
        Ok(calls)
    }
}

async fn page(
    connection: &mut PgConnection,
    query: &CallQuery,
    part: &str,
    column: Option<Column>,
    limit: usize,
) -> Result<Vec<Row>, sqlx::Error> {
    // '~' comes after every digit and letter.
    let found = column.map_or(String::new(), |column| format!("AND {0} >= $4 AND {0} < $4 || '~'", column.name()));
    let sql = format!(
        "SELECT task, customer, last_seq, changed_ms,
                CASE WHEN NOT leased THEN due_ms - taskrouter_streams.now_ms() END,
                leased, over_ms IS NOT NULL, coalesce(parked, false)
         FROM taskrouter_streams.call WHERE {part} AND (changed_ms, task) < ($1, $2) {found}
         ORDER BY changed_ms DESC, task DESC LIMIT $3"
    );
    let (changed, task) = query.after.as_ref().map_or((i64::MAX, ""), |after| (after.changed, after.call.as_str()));
    let mut rows = sqlx::query_as(AssertSqlSafe(sql))
        .persistent(false)
        .bind(changed)
        .bind(task)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    if column.is_some() {
        rows = rows.bind(query.find.as_deref());
    }
    rows.fetch_all(connection).await
}

fn call_row((task, customer, facts, changed, due, leased, over, parked): Row) -> Result<CallRow, sqlx::Error> {
    let customer = customer.map(|customer| sid(&customer)).transpose()?;
    Ok(CallRow { call: sid(&task)?, customer, facts, changed, due: due.map(from_now), leased, over, parked })
}

fn from_now(left: i64) -> Duration {
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}
