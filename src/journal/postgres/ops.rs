//! The worker's writes. Times are the database's, so that the clocks of several machines do not matter.

use super::session::Work;
use crate::call::fact::Fact;
use crate::journal::calls::{customer, parks};
use crate::journal::{Claim, Due, Seq};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use std::time::Duration;

/// Calls deleted in one commit: a call has a few dozen facts.
const PRUNE_CHUNK: i64 = 20;

/// [`crate::journal::Journal::claim`]. A claim whose answer is lost runs out.
pub(super) struct TakeLeases {
    pub(super) limit: i64,
    pub(super) lease: Duration,
}

impl Work for TakeLeases {
    type Output = Vec<Claim>;
    const REPEATABLE: bool = false;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Vec<Claim>, sqlx::Error> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "WITH due AS MATERIALIZED (
                 SELECT task FROM taskrouter_streams.call
                 WHERE due_ms <= taskrouter_streams.now_ms()
                 ORDER BY due_ms LIMIT $1 FOR UPDATE SKIP LOCKED)
             UPDATE taskrouter_streams.call
             SET leased = true, fence = fence + 1, due_ms = taskrouter_streams.now_ms() + $2
             FROM due WHERE call.task = due.task
             RETURNING call.task, fence",
        )
        .persistent(false)
        .bind(self.limit)
        .bind(millis(self.lease))
        .fetch_all(connection)
        .await?;
        rows.into_iter().map(|(task, fence)| Ok(Claim { call: sid(&task)?, fence })).collect()
    }
}

/// [`crate::journal::Journal::append`]; `None` when the lease was lost.
pub(super) struct Append<'a> {
    pub(super) claim: &'a Claim,
    pub(super) fact: &'a Fact,
    pub(super) body: String,
}

impl Work for Append<'_> {
    type Output = Option<Seq>;
    const REPEATABLE: bool = true;

    /// A fact equal to the last that was appended is that one: its answer was lost, and here it is. The condition is on the
    /// row, because a statement that had to wait for the row's lock sees nothing else that was committed meanwhile.
    async fn perform(&self, connection: &mut PgConnection) -> Result<Option<Seq>, sqlx::Error> {
        let hash = hash(&self.body);
        let appended = sqlx::query_scalar(
            "WITH held AS (
                 UPDATE taskrouter_streams.call
                 SET last_seq = last_seq + 1, own_seq = last_seq + 1, own_hash = $3,
                     changed_ms = taskrouter_streams.now_ms(),
                     parked = coalesce($4, parked), customer = coalesce($5, customer)
                 WHERE task = $1 AND fence = $2 AND leased AND own_hash IS DISTINCT FROM $3
                 RETURNING last_seq)
             INSERT INTO taskrouter_streams.fact (task, seq, body) SELECT $1, last_seq, $6 FROM held
             RETURNING seq",
        )
        .persistent(false)
        .bind(self.claim.call.as_str())
        .bind(self.claim.fence)
        .bind(hash)
        .bind(parks(&self.fact.what))
        .bind(customer(&self.fact.what).map(|sid| sid.as_str()))
        .bind(&self.body)
        .fetch_optional(&mut *connection)
        .await?;
        if appended.is_some() {
            return Ok(appended);
        }
        sqlx::query_scalar(
            "SELECT own_seq FROM taskrouter_streams.call WHERE task = $1 AND fence = $2 AND leased AND own_hash = $3",
        )
        .persistent(false)
        .bind(self.claim.call.as_str())
        .bind(self.claim.fence)
        .bind(hash)
        .fetch_optional(connection)
        .await
    }
}

/// [`crate::journal::Journal::renew`]; false when the lease was lost.
pub(super) struct Renew<'a> {
    pub(super) claim: &'a Claim,
    pub(super) lease: Duration,
}

impl Work for Renew<'_> {
    type Output = bool;
    const REPEATABLE: bool = true;

    async fn perform(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let renewed = sqlx::query(
            "UPDATE taskrouter_streams.call SET due_ms = taskrouter_streams.now_ms() + $3
             WHERE task = $1 AND fence = $2 AND leased",
        )
        .persistent(false)
        .bind(self.claim.call.as_str())
        .bind(self.claim.fence)
        .bind(millis(self.lease))
        .execute(connection)
        .await?;
        Ok(renewed.rows_affected() == 1)
    }
}

/// [`crate::journal::Journal::release`]; false when the lease was lost.
pub(super) struct Release<'a> {
    pub(super) claim: &'a Claim,
    pub(super) seen: Seq,
    pub(super) due: Due,
}

impl Work for Release<'_> {
    type Output = bool;
    const REPEATABLE: bool = false;

    async fn perform(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let (pause, over) = match self.due {
            Due::After(pause) => (Some(millis(pause)), false),
            Due::OnFact => (None, false),
            Due::Over => (None, true),
        };
        let released = sqlx::query(
            "UPDATE taskrouter_streams.call SET leased = false,
                 due_ms = taskrouter_streams.now_ms() + CASE WHEN last_seq > $3 THEN 0 ELSE $4 END,
                 over_ms = CASE WHEN $5 AND last_seq <= $3 THEN taskrouter_streams.now_ms() END
             WHERE task = $1 AND fence = $2 AND leased",
        )
        .persistent(false)
        .bind(self.claim.call.as_str())
        .bind(self.claim.fence)
        .bind(self.seen)
        .bind(pause)
        .bind(over)
        .execute(connection)
        .await?;
        Ok(released.rows_affected() == 1)
    }
}

/// One chunk of [`crate::journal::Journal::prune`].
pub(super) struct PruneChunk {
    pub(super) retention: Duration,
}

impl Work for PruneChunk {
    type Output = u64;
    const REPEATABLE: bool = true;

    async fn perform(&self, connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let pruned: i64 = sqlx::query_scalar(
            "WITH old AS MATERIALIZED (
                 SELECT task FROM taskrouter_streams.call
                 WHERE over_ms < taskrouter_streams.now_ms() - $1 AND NOT leased
                 ORDER BY over_ms LIMIT $2 FOR UPDATE SKIP LOCKED),
             calls AS (DELETE FROM taskrouter_streams.call USING old WHERE call.task = old.task),
             facts AS (DELETE FROM taskrouter_streams.fact USING old WHERE fact.task = old.task)
             SELECT count(*) FROM old",
        )
        .persistent(false)
        .bind(millis(self.retention))
        .bind(PRUNE_CHUNK)
        .fetch_one(connection)
        .await?;
        Ok(pruned.unsigned_abs())
    }
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
