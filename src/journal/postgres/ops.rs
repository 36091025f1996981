//! What is claimed, pruned and marked. Times are the database's, so that the clocks of several machines do not matter.

use super::error::Unexpected;
use super::session::{BY_KEY, Work};
use super::sql::{Statement, Value, now_ms};
use crate::call::fact::{EpochMs, Fact};
use crate::journal::{Claim, JournalError, Seq};
use sha2::{Digest as _, Sha256};
use std::str::FromStr;
use std::time::Duration;
use tokio_postgres::Row;

/// Calls deleted in one commit: a call has a few dozen facts.
const PRUNE_CHUNK: i64 = 500;

/// A call is looked at again after so long at the latest. One that is due later was put off before the server's clock was set
/// back, whether or not [`ServerTime`](super::server_time::ServerTime) has noticed, and the next claim puts that right.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// [`crate::journal::Claims::claim`], with the facts of each call: those after the last that the same process gave it back with, which it
/// remembers probably, or all. Durable, or a server that forgot it would give the same fence to somebody else. When the server's clock
/// was set back, what waits is made due, and leases last for their length from then on: the next claim finds them.
pub(super) struct TakeLeases {
    pub(super) limit: i64,
    pub(super) lease: Duration,
    /// Which process claims.
    pub(super) keeper: i64,
    /// [`ServerTime::earliest`](super::server_time::ServerTime::earliest).
    pub(super) earliest: EpochMs,
}

/// A claim and what it brings along.
pub(super) struct Claimed {
    pub(super) claim: Claim,
    /// The number after which the facts begin.
    pub(super) from: Seq,
    pub(super) facts: Vec<(Seq, String)>,
}

impl Work for TakeLeases {
    /// With the server's time.
    type Output = (EpochMs, Vec<Claimed>);
    /// A claim whose answer is lost runs out, whether or not others are claimed then.
    const REPEATABLE: bool = true;

    fn settings(&self) -> &'static str {
        BY_KEY
    }

    fn statements(&self) -> Vec<Statement<'_>> {
        let values = vec![
            Value::Number(self.limit),
            Value::Number(millis(self.lease)),
            Value::Number(millis(self.lease.max(LONGEST_PAUSE))),
            Value::Number(self.keeper),
            Value::Number(self.earliest),
        ];
        let told = Statement::new(concat!("SELECT ", now_ms!()), Vec::new());
        let claimed = Statement::new(
            concat!(
                "WITH mended AS (
                     UPDATE taskrouter_streams.call SET due_ms = ",
                now_ms!(),
                " + CASE WHEN leased THEN $2 ELSE 0 END
                     WHERE due_ms > ",
                now_ms!(),
                " + CASE WHEN ",
                now_ms!(),
                " < $5 THEN 0 ELSE $3 END
                       AND (NOT leased OR due_ms > ",
                now_ms!(),
                " + $2)),
                 due AS MATERIALIZED (
                     SELECT id FROM taskrouter_streams.call
                     WHERE due_ms <= ",
                now_ms!(),
                "
                     ORDER BY due_ms LIMIT $1 FOR UPDATE SKIP LOCKED),
                 claimed AS (
                     UPDATE taskrouter_streams.call
                     SET leased = true, fence = fence + 1, due_ms = ",
                now_ms!(),
                " + $2
                     FROM due WHERE call.id = due.id
                     RETURNING call.id, task, fence, last_seq, CASE WHEN kept_by = $4 THEN kept_seq ELSE 0 END AS known, customer)
                 SELECT task, fence, seq, body, last_seq, known,
                     CASE WHEN NOT EXISTS (
                         SELECT FROM taskrouter_streams.call AS other
                         WHERE other.customer = claimed.customer AND other.id <> claimed.id)
                     THEN claimed.customer END
                 FROM claimed
                 LEFT JOIN LATERAL (
                     SELECT seq, body FROM taskrouter_streams.fact
                     WHERE fact.call = claimed.id AND seq > known OFFSET 0) AS facts ON true
                 ORDER BY claimed.id, seq"
            ),
            values,
        );
        vec![told, claimed]
    }

    fn output(&self, rows: Vec<Row>) -> Result<Self::Output, Unexpected> {
        let now = only(&rows)?.try_get(0)?;
        let mut claims: Vec<Claimed> = Vec::new();
        for row in rows.iter().skip(1) {
            let call: &str = row.try_get(0)?;
            if claims.last().is_none_or(|claimed| claimed.claim.call.as_str() != call) {
                let alone_on = row.try_get::<_, Option<&str>>(6)?.map(sid).transpose()?;
                let claim = Claim { call: sid(call)?, fence: row.try_get(1)?, facts: row.try_get(4)?, alone_on };
                claims.push(Claimed { claim, from: row.try_get(5)?, facts: Vec::new() });
            }
            if let (Some(claimed), Some(seq)) = (claims.last_mut(), row.try_get::<_, Option<Seq>>(2)?) {
                claimed.facts.push((seq, row.try_get(3)?));
            }
        }
        Ok((now, claims))
    }
}

/// One chunk of [`crate::journal::Journal::prune`].
pub(super) struct PruneChunk {
    pub(super) retention: Duration,
    /// [`Opening::oldest_kept`](crate::journal::retention::Opening::oldest_kept).
    pub(super) oldest_kept: EpochMs,
}

impl Work for PruneChunk {
    type Output = u64;
    const REPEATABLE: bool = true;

    fn statements(&self) -> Vec<Statement<'_>> {
        vec![Statement::new(
            concat!(
                "WITH ended AS MATERIALIZED (
                     SELECT id FROM taskrouter_streams.call
                     WHERE over_ms < least($3, ",
                now_ms!(),
                " - $1) AND NOT leased
                     ORDER BY over_ms LIMIT $2 FOR UPDATE SKIP LOCKED),
                 forgotten AS MATERIALIZED (
                     SELECT id FROM taskrouter_streams.call
                     WHERE over_ms IS NULL AND changed_ms < least($3, ",
                now_ms!(),
                " - $1) AND due_ms IS NULL AND NOT leased
                     ORDER BY changed_ms, task LIMIT $2 FOR UPDATE SKIP LOCKED),
                 old AS MATERIALIZED (SELECT id FROM ended UNION ALL SELECT id FROM forgotten),
                 calls AS (DELETE FROM taskrouter_streams.call USING old WHERE call.id = old.id),
                 facts AS (DELETE FROM taskrouter_streams.fact USING old WHERE fact.call = old.id)
                 SELECT count(*) FROM old"
            ),
            vec![Value::Number(millis(self.retention)), Value::Number(PRUNE_CHUNK), Value::Number(self.oldest_kept)],
        )]
    }

    fn output(&self, rows: Vec<Row>) -> Result<u64, Unexpected> {
        Ok(only(&rows)?.try_get::<_, i64>(0)?.unsigned_abs())
    }
}

/// [`crate::journal::Coverage::open_gap`].
pub(super) struct OpenGap {
    pub(super) from: EpochMs,
}

impl Work for OpenGap {
    type Output = EpochMs;
    const REPEATABLE: bool = true;

    fn statements(&self) -> Vec<Statement<'_>> {
        vec![Statement::new(
            "INSERT INTO taskrouter_streams.mark AS known (name, at_ms) VALUES ('gap', $1)
             ON CONFLICT (name) DO UPDATE SET at_ms = least(known.at_ms, EXCLUDED.at_ms) RETURNING at_ms",
            vec![Value::Number(self.from)],
        )]
    }

    fn output(&self, rows: Vec<Row>) -> Result<EpochMs, Unexpected> {
        Ok(only(&rows)?.try_get(0)?)
    }
}

/// [`crate::journal::Coverage::close_gap`].
pub(super) struct CloseGap {
    pub(super) from: EpochMs,
}

impl Work for CloseGap {
    type Output = ();
    const REPEATABLE: bool = true;

    fn statements(&self) -> Vec<Statement<'_>> {
        let text = "DELETE FROM taskrouter_streams.mark WHERE name = 'gap' AND at_ms = $1";
        vec![Statement::new(text, vec![Value::Number(self.from)])]
    }

    fn output(&self, _: Vec<Row>) -> Result<(), Unexpected> {
        Ok(())
    }
}

/// Writes something that nobody reads: [`crate::journal::Workload::ready`].
pub(super) struct TryOut;

impl Work for TryOut {
    type Output = ();
    const REPEATABLE: bool = true;

    fn statements(&self) -> Vec<Statement<'_>> {
        vec![Statement::new("UPDATE taskrouter_streams.mark SET at_ms = at_ms WHERE name = 'newest_event'", Vec::new())]
    }

    fn output(&self, _: Vec<Row>) -> Result<(), Unexpected> {
        Ok(())
    }
}

/// The row of a statement that always has one.
pub(super) fn only(rows: &[Row]) -> Result<&Row, Unexpected> {
    rows.first().ok_or(Unexpected)
}

pub(super) fn hash(body: &str) -> i64 {
    let digest = Sha256::digest(body.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | i64::from(*byte))
}

/// A SID out of the database.
pub(super) fn sid<T: FromStr>(text: &str) -> Result<T, Unexpected> {
    text.parse().map_err(|_| Unexpected)
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
