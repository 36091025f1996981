//! What is only read.

use super::error::Unexpected;
use super::ops::{only, sid};
use super::session::Work;
use super::sql::{Statement, Value, now_ms};
use crate::call::fact::EpochMs;
use crate::call::sid::{SID_LENGTH, TaskSid};
use crate::journal::calls::{SearchKey, summary};
use crate::journal::{Backlog, CallQuery, CallRow, CallState, PAGE_LIMIT, Seq, Storage};
use std::time::Duration;
use tokio_postgres::Row;

/// The bodies of [`crate::journal::Facts::facts`].
pub(super) struct Bodies<'a> {
    pub(super) call: &'a TaskSid,
    pub(super) after: Seq,
}

impl Work for Bodies<'_> {
    type Output = Vec<(Seq, String)>;
    const REPEATABLE: bool = true;
    const WRITES: bool = false;

    fn statements(&self) -> Vec<Statement<'_>> {
        vec![Statement::new(
            "SELECT seq, body FROM taskrouter_streams.fact
             WHERE call = (SELECT id FROM taskrouter_streams.call WHERE task = $1) AND seq > $2 ORDER BY seq",
            vec![Value::Text(self.call.as_str()), Value::Number(self.after)],
        )]
    }

    fn output(&self, rows: Vec<Row>) -> Result<Vec<(Seq, String)>, Unexpected> {
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}

/// [`crate::journal::Claims::next_due`].
pub(super) struct NextDue;

impl Work for NextDue {
    type Output = Option<Duration>;
    const REPEATABLE: bool = true;
    const WRITES: bool = false;

    fn statements(&self) -> Vec<Statement<'_>> {
        let text =
            concat!("SELECT min(due_ms) - ", now_ms!(), " FROM taskrouter_streams.call WHERE due_ms IS NOT NULL");
        vec![Statement::new(text, Vec::new())]
    }

    fn output(&self, rows: Vec<Row>) -> Result<Option<Duration>, Unexpected> {
        let left: Option<i64> = only(&rows)?.try_get(0)?;
        Ok(left.map(from_now))
    }
}

/// [`crate::journal::Coverage::newest_event`].
pub(super) struct NewestEvent;

impl Work for NewestEvent {
    type Output = Option<EpochMs>;
    const REPEATABLE: bool = true;
    const WRITES: bool = false;

    fn statements(&self) -> Vec<Statement<'_>> {
        let text = "SELECT at_ms FROM taskrouter_streams.mark WHERE name = 'newest_event' AND at_ms > 0";
        vec![Statement::new(text, Vec::new())]
    }

    fn output(&self, rows: Vec<Row>) -> Result<Option<EpochMs>, Unexpected> {
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }
}

/// [`crate::journal::Workload::backlog`]. Each count is of one index, so that calls that are over cost nothing.
pub(super) struct Count;

impl Work for Count {
    type Output = Backlog;
    const REPEATABLE: bool = true;
    const WRITES: bool = false;

    fn statements(&self) -> Vec<Statement<'_>> {
        let text = concat!(
            "SELECT count(*) FILTER (WHERE leased OR due_ms <= ",
            now_ms!(),
            "),
                    count(*) FILTER (WHERE NOT leased AND due_ms > ",
            now_ms!(),
            "),
                    (SELECT count(*) FROM taskrouter_streams.call WHERE over_ms IS NULL),
                    (SELECT count(*) FROM taskrouter_streams.call WHERE parked AND over_ms IS NULL),
                    (SELECT count(*) FROM taskrouter_streams.call WHERE parked AND over_ms IS NOT NULL)
             FROM taskrouter_streams.call WHERE due_ms IS NOT NULL"
        );
        vec![Statement::new(text, Vec::new())]
    }

    fn output(&self, rows: Vec<Row>) -> Result<Backlog, Unexpected> {
        let row = only(&rows)?;
        let count = |column: usize| Ok::<u64, Unexpected>(row.try_get::<_, i64>(column)?.unsigned_abs());
        Ok(Backlog {
            active: count(0)?,
            waiting: count(1)?,
            live: count(2)?,
            parked: count(3)?,
            parked_over: count(4)?,
        })
    }
}

/// [`crate::journal::Workload::storage`].
pub(super) struct Size;

impl Work for Size {
    type Output = Storage;
    const REPEATABLE: bool = true;
    const WRITES: bool = false;

    fn statements(&self) -> Vec<Statement<'_>> {
        let text = "SELECT (pg_total_relation_size('taskrouter_streams.call') + pg_total_relation_size('taskrouter_streams.fact'))::bigint";
        vec![Statement::new(text, Vec::new())]
    }

    fn output(&self, rows: Vec<Row>) -> Result<Storage, Unexpected> {
        Ok(Storage { bytes: only(&rows)?.try_get::<_, i64>(0)?.unsigned_abs(), free_bytes: None })
    }
}

/// [`crate::journal::Reading::calls`].
pub(super) struct Page {
    pub(super) query: CallQuery,
}

impl Page {
    fn limit(&self) -> usize {
        self.query.limit.min(PAGE_LIMIT)
    }

    /// The calls of one state, by an index that has them in order.
    fn part(&self, part: &str, key: Option<SearchKey>) -> Statement<'_> {
        // '~' comes after every digit and letter.
        let found = key.map_or(String::new(), |key| format!("AND {0} >= $4 AND {0} < $4 || '~'", key.column()));
        self.page("", "taskrouter_streams.call", &format!("{part} {found}"))
    }

    /// The few calls that a whole SID names. They are found before anything else is asked of them: together with another condition, a
    /// plan may read all of that one's index too.
    fn named(&self, part: &str, key: SearchKey) -> Statement<'_> {
        let found =
            format!("WITH named AS MATERIALIZED (SELECT * FROM taskrouter_streams.call WHERE {} = $4)", key.column());
        self.page(&found, "named", part)
    }

    fn page(&self, with: &str, table: &str, condition: &str) -> Statement<'_> {
        let (changed, task) =
            self.query.after.as_ref().map_or((i64::MAX, ""), |after| (after.changed, after.call.as_str()));
        let text = format!(
            "{with} SELECT task, customer, last_seq, changed_ms,
                    CASE WHEN NOT leased THEN due_ms - {} END,
                    leased, over_ms IS NOT NULL, coalesce(parked, false), {}
             FROM {table} WHERE {condition} AND (changed_ms, task) < ($1, $2)
             ORDER BY changed_ms DESC, task DESC LIMIT $3",
            now_ms!(),
            if self.query.summaries { "summary" } else { "NULL::text" }
        );
        let limit = i64::try_from(self.limit()).unwrap_or(i64::MAX);
        let find = self.query.find.as_deref().unwrap_or_default();
        Statement::new(text, vec![Value::Number(changed), Value::Text(task), Value::Number(limit), Value::Text(find)])
    }
}

impl Work for Page {
    type Output = Vec<CallRow>;
    const REPEATABLE: bool = true;
    const WRITES: bool = false;

    fn statements(&self) -> Vec<Statement<'_>> {
        let parts: &[&str] = match self.query.state {
            // Both are in order, so that a page of both is among a page of each.
            CallState::All => &["over_ms IS NULL", "over_ms IS NOT NULL"],
            CallState::Live => &["over_ms IS NULL"],
            CallState::Parked => &["parked"],
            CallState::Over => &["over_ms IS NOT NULL"],
        };
        let Some(find) = self.query.find.as_deref() else {
            return parts.iter().map(|part| self.part(part, None)).collect();
        };
        match SearchKey::parse(find) {
            Some(key) if find.len() == SID_LENGTH => vec![self.named(&format!("({})", parts.join(" OR ")), key)],
            Some(key) => parts.iter().map(|part| self.part(part, Some(key))).collect(),
            // It is the beginning of no SID.
            None => Vec::new(),
        }
    }

    fn output(&self, rows: Vec<Row>) -> Result<Vec<CallRow>, Unexpected> {
        let mut calls = rows.iter().map(call_row).collect::<Result<Vec<_>, _>>()?;
        calls.sort_by(|a, b| (b.changed, &b.call).cmp(&(a.changed, &a.call)));
        calls.truncate(self.limit());
        Ok(calls)
    }
}

fn call_row(row: &Row) -> Result<CallRow, Unexpected> {
    let customer: Option<&str> = row.try_get(1)?;
    let due: Option<i64> = row.try_get(4)?;
    Ok(CallRow {
        call: sid(row.try_get(0)?)?,
        customer: customer.map(sid).transpose()?,
        facts: row.try_get(2)?,
        changed: row.try_get(3)?,
        due: due.map(from_now),
        leased: row.try_get(5)?,
        over: row.try_get(6)?,
        parked: row.try_get(7)?,
        summary: row.try_get::<_, Option<&str>>(8)?.and_then(summary),
    })
}

fn from_now(left: i64) -> Duration {
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}
