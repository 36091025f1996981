//! The worker's writes. Times are the database's, so that the clocks of several machines do not matter.

use super::session::Work;
use super::sql::{Value, filled, now_ms, rows};
use super::under_claims::{Change, ClaimedWrite};
use crate::call::fact::{EpochMs, Fact};
use crate::journal::{Claim, Due, JournalError, Seq};
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use std::time::Duration;

/// Calls deleted in one commit: a call has a few dozen facts.
const PRUNE_CHUNK: i64 = 100;

/// A call is looked at again after so long at the latest. One that is due later was put off before the server's clock was set
/// back, and the next claim puts that right.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// [`crate::journal::Claims::claim`], with the facts of each call. Durable, or a server that forgot it would give the same fence to somebody else.
pub(super) struct TakeLeases {
    pub(super) limit: i64,
    pub(super) lease: Duration,
}

impl Work for TakeLeases {
    type Output = Vec<(Claim, Vec<(Seq, String)>)>;
    /// A claim whose answer is lost runs out, whether or not others are claimed then.
    const REPEATABLE: bool = true;

    fn statements(&self) -> String {
        filled(
            concat!(
                "WITH mended AS (
                     UPDATE taskrouter_streams.call SET due_ms = ",
                now_ms!(),
                " + CASE WHEN leased THEN $2 ELSE 0 END
                     WHERE due_ms > ",
                now_ms!(),
                " + $3),
                 due AS MATERIALIZED (
                     SELECT task FROM taskrouter_streams.call
                     WHERE due_ms <= ",
                now_ms!(),
                "
                     ORDER BY due_ms LIMIT $1 FOR UPDATE SKIP LOCKED),
                 claimed AS (
                     UPDATE taskrouter_streams.call
                     SET leased = true, fence = fence + 1, due_ms = ",
                now_ms!(),
                " + $2
                     FROM due WHERE call.task = due.task
                     RETURNING call.task, fence, last_seq)
                 SELECT claimed.task, fence, seq, body, last_seq FROM claimed
                 LEFT JOIN LATERAL (
                     SELECT seq, body FROM taskrouter_streams.fact WHERE fact.task = claimed.task OFFSET 0) AS facts ON true
                 ORDER BY claimed.task, seq"
            ),
            &[self.limit.into(), millis(self.lease).into(), millis(self.lease.max(LONGEST_PAUSE)).into()],
        )
    }

    fn output(&self, rows: Vec<PgRow>) -> Result<Self::Output, sqlx::Error> {
        let mut claims: Self::Output = Vec::new();
        for row in &rows {
            let call: &str = row.try_get(0)?;
            if claims.last().is_none_or(|(claim, _)| claim.call.as_str() != call) {
                claims.push((Claim { call: sid(call)?, fence: row.try_get(1)?, facts: row.try_get(4)? }, Vec::new()));
            }
            if let (Some((_, facts)), Some(seq)) = (claims.last_mut(), row.try_get::<Option<Seq>, _>(2)?) {
                facts.push((seq, row.try_get(3)?));
            }
        }
        Ok(claims)
    }
}

/// Changes under claims, of each call once: [`crate::journal::Claims::append`], `renew` and `release`. Says of each that was done,
/// by its place, the number of its fact or 0; what is left out had lost its claim.
///
/// A renewal is durable: the holder goes on in the belief that nobody else has the call, which a server that forgot the renewal
/// would give away.
pub(super) struct ClaimedWrites<'a, const DURABLE: bool> {
    pub(super) writes: &'a [&'a ClaimedWrite],
    pub(super) lease: Duration,
}

impl<const DURABLE: bool> ClaimedWrites<'_, DURABLE> {
    fn placed(&self) -> impl Iterator<Item = (i64, &Claim, &Change)> {
        (0..).zip(self.writes).map(|(place, write)| (place, &write.claim, &write.change))
    }

    /// Rows are locked in the order of their keys, so that two transactions do not wait for each other.
    fn locks(&self) -> String {
        let mut tasks: Vec<&str> = self.writes.iter().map(|write| write.claim.call.as_str()).collect();
        tasks.sort_unstable();
        let tasks = rows(tasks.into_iter().map(|task| [task.into()]));
        format!("SELECT FROM taskrouter_streams.call WHERE task IN ({tasks}) ORDER BY task FOR UPDATE")
    }

    /// A fact equal to the last that was appended is that one: its answer was lost, and the second statement finds it. The
    /// first has its condition on the row, and the second is one of its own, because a statement that had to wait for the
    /// row's lock sees nothing else that was committed meanwhile.
    fn appends(&self) -> Option<[String; 2]> {
        let asked = |change| -> Option<[Value<'_>; 7]> {
            let (place, claim, Change::Append { body, hash, parks, customer }): (i64, &Claim, &Change) = change else {
                return None;
            };
            let customer = customer.as_ref().map(|sid| sid.as_str());
            let (task, fence) = (claim.call.as_str(), claim.fence);
            Some([
                place.into(),
                task.into(),
                fence.into(),
                (*hash).into(),
                (*parks).into(),
                customer.into(),
                body.as_str().into(),
            ])
        };
        let whole = rows(self.placed().filter_map(asked));
        if whole.is_empty() {
            return None;
        }
        let known =
            rows(self.placed().filter_map(asked).map(|[place, task, fence, hash, ..]| [place, task, fence, hash]));
        let appended = format!(
            "WITH asked (place, task, fence, hash, parked, customer, body) AS (VALUES {whole}),
             held AS (
                 UPDATE taskrouter_streams.call
                 SET last_seq = last_seq + 1, own_seq = last_seq + 1, own_hash = asked.hash, changed_ms = {now},
                     parked = coalesce(asked.parked::bool, call.parked),
                     customer = coalesce(asked.customer, call.customer)
                 FROM asked
                 WHERE call.task = asked.task AND call.fence = asked.fence AND leased
                   AND own_hash IS DISTINCT FROM asked.hash
                 RETURNING call.task, last_seq, body)
             INSERT INTO taskrouter_streams.fact (task, seq, body) SELECT task, last_seq, body FROM held",
            now = now_ms!()
        );
        let found = format!(
            "SELECT place::bigint, own_seq FROM taskrouter_streams.call
             JOIN (VALUES {known}) AS asked (place, task, fence, hash)
             ON call.task = asked.task AND call.fence = asked.fence AND leased AND own_hash = asked.hash"
        );
        Some([appended, found])
    }

    fn renewals(&self) -> Option<String> {
        let asked = rows(self.placed().filter_map(|(place, claim, change)| match change {
            Change::Renew => Some([place.into(), claim.call.as_str().into(), claim.fence.into()]),
            Change::Append { .. } | Change::Release { .. } => None,
        }));
        (!asked.is_empty()).then(|| {
            let until = filled(concat!(now_ms!(), " + $1"), &[millis(self.lease).into()]);
            format!(
                "UPDATE taskrouter_streams.call SET due_ms = {until}
                 FROM (VALUES {asked}) AS asked (place, task, fence)
                 WHERE call.task = asked.task AND call.fence = asked.fence AND leased
                 RETURNING place::bigint, 0::bigint"
            )
        })
    }

    fn releases(&self) -> Option<String> {
        let asked = rows(self.placed().filter_map(|(place, claim, change)| {
            let Change::Release { seen, due, summary } = change else { return None };
            let (pause, over) = match due {
                Due::After(pause) => (Some(millis((*pause).min(LONGEST_PAUSE))), false),
                Due::OnFact => (None, false),
                Due::Over => (None, true),
            };
            let (task, fence) = (claim.call.as_str(), claim.fence);
            let summary = Value::from(summary.as_deref());
            Some([place.into(), task.into(), fence.into(), (*seen).into(), pause.into(), over.into(), summary])
        }));
        (!asked.is_empty()).then(|| {
            format!(
                "UPDATE taskrouter_streams.call SET leased = false,
                     due_ms = {now} + CASE WHEN last_seq > seen THEN 0 ELSE pause::bigint END,
                     over_ms = CASE WHEN is_over AND last_seq <= seen THEN {now} END,
                     summary = coalesce(asked.summary::text, call.summary)
                 FROM (VALUES {asked}) AS asked (place, task, fence, seen, pause, is_over, summary)
                 WHERE call.task = asked.task AND call.fence = asked.fence AND leased
                 RETURNING place::bigint, 0::bigint",
                now = now_ms!()
            )
        })
    }
}

impl<const DURABLE: bool> Work for ClaimedWrites<'_, DURABLE> {
    type Output = HashMap<usize, Seq>;
    /// A release that was done before is not found again; whoever asked knows that there was a before.
    const REPEATABLE: bool = true;
    const DURABLE: bool = DURABLE;

    fn statements(&self) -> String {
        // Each row is found by its key, whatever a plan for so many rows of a table of such a size would be.
        let mut statements = vec![
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
                .to_owned(),
        ];
        if self.writes.len() > 1 {
            statements.push(self.locks());
        }
        statements.extend(self.appends().into_iter().flatten());
        statements.extend(self.renewals());
        statements.extend(self.releases());
        statements.join("; ")
    }

    fn output(&self, rows: Vec<PgRow>) -> Result<HashMap<usize, Seq>, sqlx::Error> {
        // A row that was only locked has no columns.
        let done = rows.iter().filter(|row| row.len() == 2);
        done.map(|row| {
            let place = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
            Ok((place, row.try_get(1)?))
        })
        .collect()
    }
}

/// One chunk of [`crate::journal::Journal::prune`].
pub(super) struct PruneChunk {
    pub(super) retention: Duration,
}

impl Work for PruneChunk {
    type Output = u64;
    const REPEATABLE: bool = true;

    fn statements(&self) -> String {
        filled(
            concat!(
                "WITH ended AS MATERIALIZED (
                     SELECT task FROM taskrouter_streams.call
                     WHERE over_ms < ",
                now_ms!(),
                " - $1 AND NOT leased
                     ORDER BY over_ms LIMIT $2 FOR UPDATE SKIP LOCKED),
                 forgotten AS MATERIALIZED (
                     SELECT task FROM taskrouter_streams.call
                     WHERE over_ms IS NULL AND changed_ms < ",
                now_ms!(),
                " - $1 AND due_ms IS NULL AND NOT leased
                     ORDER BY changed_ms, task LIMIT $2 FOR UPDATE SKIP LOCKED),
                 old AS MATERIALIZED (SELECT task FROM ended UNION ALL SELECT task FROM forgotten),
                 calls AS (DELETE FROM taskrouter_streams.call USING old WHERE call.task = old.task),
                 facts AS (DELETE FROM taskrouter_streams.fact USING old WHERE fact.task = old.task)
                 SELECT count(*) FROM old"
            ),
            &[millis(self.retention).into(), PRUNE_CHUNK.into()],
        )
    }

    fn output(&self, rows: Vec<PgRow>) -> Result<u64, sqlx::Error> {
        Ok(only(&rows)?.try_get::<i64, _>(0)?.unsigned_abs())
    }
}

/// [`crate::journal::Coverage::open_gap`].
pub(super) struct OpenGap {
    pub(super) from: EpochMs,
}

impl Work for OpenGap {
    type Output = EpochMs;
    const REPEATABLE: bool = true;

    fn statements(&self) -> String {
        filled(
            "INSERT INTO taskrouter_streams.mark AS known (name, at_ms) VALUES ('gap', $1)
             ON CONFLICT (name) DO UPDATE SET at_ms = least(known.at_ms, EXCLUDED.at_ms) RETURNING at_ms",
            &[self.from.into()],
        )
    }

    fn output(&self, rows: Vec<PgRow>) -> Result<EpochMs, sqlx::Error> {
        only(&rows)?.try_get(0)
    }
}

/// [`crate::journal::Coverage::close_gap`].
pub(super) struct CloseGap {
    pub(super) from: EpochMs,
}

impl Work for CloseGap {
    type Output = ();
    const REPEATABLE: bool = true;

    fn statements(&self) -> String {
        filled("DELETE FROM taskrouter_streams.mark WHERE name = 'gap' AND at_ms = $1", &[self.from.into()])
    }

    fn output(&self, _: Vec<PgRow>) -> Result<(), sqlx::Error> {
        Ok(())
    }
}

/// Writes something that nobody reads: [`crate::journal::Workload::ready`].
pub(super) struct TryOut;

impl Work for TryOut {
    type Output = ();
    const REPEATABLE: bool = true;

    fn statements(&self) -> String {
        "UPDATE taskrouter_streams.mark SET at_ms = at_ms WHERE name = 'newest_event'".to_owned()
    }

    fn output(&self, _: Vec<PgRow>) -> Result<(), sqlx::Error> {
        Ok(())
    }
}

/// The row of a statement that always has one.
pub(super) fn only(rows: &[PgRow]) -> Result<&PgRow, sqlx::Error> {
    rows.first().ok_or(sqlx::Error::RowNotFound)
}

pub(super) fn hash(body: &str) -> i64 {
    let digest = Sha256::digest(body.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | i64::from(*byte))
}

/// A SID out of the database.
pub(super) fn sid<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    text: &str,
) -> Result<T, sqlx::Error> {
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

pub(super) fn millis(duration: Duration) -> i64 {
    // A hundred years: the sum with any clock's time is still a number.
    const FAR: i64 = 100 * 366 * 24 * 3_600_000;
    i64::try_from(duration.as_millis()).map_or(FAR, |ms| ms.min(FAR))
}

/// A fact as it is stored.
pub(super) fn body(fact: &Fact) -> Result<String, JournalError> {
    serde_json::to_string(fact)
        .map_err(|_| JournalError::Unavailable { reason: "a fact could not be written as JSON".to_owned() })
}
