//! The worker's writes. Times are the database's, so that the clocks of several machines do not matter.

use super::session::Work;
use super::sql::{Value, filled, now_ms};
use crate::call::fact::{EpochMs, Fact};
use crate::journal::calls::customer;
use crate::journal::{Claim, Due, JournalError, Seq};
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use std::time::Duration;

/// Calls deleted in one commit: a call has a few dozen facts.
const PRUNE_CHUNK: i64 = 20;

/// A call is looked at again after so long at the latest. One that is due later was put off before the server's clock was set
/// back, and the next claim puts that right.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// [`crate::journal::Claims::claim`]. Durable, or a server that forgot it would give the same fence to somebody else.
pub(super) struct TakeLeases {
    pub(super) limit: i64,
    pub(super) lease: Duration,
}

impl Work for TakeLeases {
    type Output = Vec<Claim>;
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
                     ORDER BY due_ms LIMIT $1 FOR UPDATE SKIP LOCKED)
                 UPDATE taskrouter_streams.call
                 SET leased = true, fence = fence + 1, due_ms = ",
                now_ms!(),
                " + $2
                 FROM due WHERE call.task = due.task
                 RETURNING call.task, fence"
            ),
            &[self.limit.into(), millis(self.lease).into(), millis(self.lease.max(LONGEST_PAUSE)).into()],
        )
    }

    fn output(&self, rows: Vec<PgRow>) -> Result<Vec<Claim>, sqlx::Error> {
        rows.iter().map(|row| Ok(Claim { call: sid(row.try_get(0)?)?, fence: row.try_get(1)? })).collect()
    }
}

/// [`crate::journal::Claims::append`]; `None` when the lease was lost.
pub(super) struct Append<'a> {
    pub(super) claim: &'a Claim,
    pub(super) fact: &'a Fact,
    pub(super) body: String,
}

impl Work for Append<'_> {
    type Output = Option<Seq>;
    const REPEATABLE: bool = true;

    /// A fact equal to the last that was appended is that one: its answer was lost, and the second statement finds it. The
    /// first has its condition on the row, and the second is one of its own, because a statement that had to wait for the
    /// row's lock sees nothing else that was committed meanwhile.
    fn statements(&self) -> String {
        filled(
            concat!(
                "WITH held AS (
                     UPDATE taskrouter_streams.call
                     SET last_seq = last_seq + 1, own_seq = last_seq + 1, own_hash = $3,
                         changed_ms = ", now_ms!(), ",
                         parked = coalesce($4, parked), customer = coalesce($5, customer)
                     WHERE task = $1 AND fence = $2 AND leased AND own_hash IS DISTINCT FROM $3
                     RETURNING last_seq)
                 INSERT INTO taskrouter_streams.fact (task, seq, body) SELECT $1, last_seq, $6 FROM held;
                 SELECT own_seq FROM taskrouter_streams.call WHERE task = $1 AND fence = $2 AND leased AND own_hash = $3"
            ),
            &[
                self.claim.call.as_str().into(),
                self.claim.fence.into(),
                hash(&self.body).into(),
                self.fact.kind.parks().into(),
                customer(&self.fact.kind).map(|sid| sid.as_str()).into(),
                self.body.as_str().into(),
            ],
        )
    }

    fn output(&self, rows: Vec<PgRow>) -> Result<Option<Seq>, sqlx::Error> {
        rows.first().map(|row| row.try_get(0)).transpose()
    }
}

/// [`crate::journal::Claims::renew`]; false when the lease was lost. Durable: the holder goes on in the belief that nobody
/// else has the call, which a server that forgot the renewal would give away.
pub(super) struct Renew<'a> {
    pub(super) claim: &'a Claim,
    pub(super) lease: Duration,
}

impl Work for Renew<'_> {
    type Output = bool;
    const REPEATABLE: bool = true;

    fn statements(&self) -> String {
        filled(
            concat!(
                "UPDATE taskrouter_streams.call SET due_ms = ",
                now_ms!(),
                " + $3
                 WHERE task = $1 AND fence = $2 AND leased RETURNING true"
            ),
            &[self.claim.call.as_str().into(), self.claim.fence.into(), millis(self.lease).into()],
        )
    }

    fn output(&self, rows: Vec<PgRow>) -> Result<bool, sqlx::Error> {
        Ok(!rows.is_empty())
    }
}

/// [`crate::journal::Claims::release`]; false when the lease was lost.
pub(super) struct Release<'a> {
    pub(super) claim: &'a Claim,
    pub(super) seen: Seq,
    pub(super) due: Due,
    pub(super) summary: Option<String>,
}

impl Work for Release<'_> {
    type Output = bool;
    /// What was done before is not found again; whoever asked knows that there was a before.
    const REPEATABLE: bool = true;
    /// It holds no fact. A server that forgets it, when its machine fails within a moment, finds the call leased until the
    /// lease ends; then the call is folded again and given back as it was here. Whatever is committed later, such as the next
    /// claim, makes it durable with itself.
    const DURABLE: bool = false;

    fn statements(&self) -> String {
        let (pause, over) = match self.due {
            Due::After(pause) => (Some(millis(pause.min(LONGEST_PAUSE))), false),
            Due::OnFact => (None, false),
            Due::Over => (None, true),
        };
        filled(
            concat!(
                "UPDATE taskrouter_streams.call SET leased = false,
                     due_ms = ",
                now_ms!(),
                " + CASE WHEN last_seq > $3 THEN 0 ELSE $4 END,
                     over_ms = CASE WHEN $5 AND last_seq <= $3 THEN ",
                now_ms!(),
                " END,
                     summary = coalesce($6, summary)
                 WHERE task = $1 AND fence = $2 AND leased RETURNING true"
            ),
            &[
                self.claim.call.as_str().into(),
                self.claim.fence.into(),
                self.seen.into(),
                Value::from(pause),
                over.into(),
                Value::from(self.summary.as_deref()),
            ],
        )
    }

    fn output(&self, rows: Vec<PgRow>) -> Result<bool, sqlx::Error> {
        Ok(!rows.is_empty())
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

fn hash(body: &str) -> i64 {
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
