//! The worker's writes, of many calls in one transaction. Times are the database's, so that the clocks of several machines do not matter.

use super::error::Unexpected;
use super::ops::{LONGEST_PAUSE, millis};
use super::session::{BY_KEY, Work};
use super::sql::{Statement, Value, now_ms};
use super::under_claims::{Change, ClaimedWrite, OwnFact};
use crate::journal::{Claim, Due, Seq};
use std::collections::HashMap;
use std::time::Duration;
use tokio_postgres::Row;

/// Changes under claims, of each call once: [`crate::journal::Claims::append`], `renew` and `release`. Says of each that was done,
/// by its place, a number as [`Done`](super::under_claims::Done) tells it; what is left out had lost its claim.
///
/// A renewal is durable: the holder goes on in the belief that nobody else has the call, which a server that forgot the renewal
/// would give away.
pub(super) struct ClaimedWrites<'a, const DURABLE: bool> {
    pub(super) writes: &'a [&'a ClaimedWrite],
    pub(super) lease: Duration,
    /// Which process has the claims.
    pub(super) keeper: i64,
}

impl<const DURABLE: bool> ClaimedWrites<'_, DURABLE> {
    fn placed(&self) -> impl Iterator<Item = (i64, &Claim, &Change)> {
        (0..).zip(self.writes).map(|(place, write)| (place, &write.claim, &write.change))
    }

    /// Rows are locked in the order of their keys, so that two transactions do not wait for each other.
    fn locks(&self) -> Statement<'_> {
        let tasks = self.writes.iter().map(|write| write.claim.call.as_str()).collect();
        Statement::new(
            "SELECT FROM taskrouter_streams.call WHERE task = ANY($1) ORDER BY task FOR UPDATE",
            vec![Value::Texts(tasks)],
        )
    }

    /// A fact equal to the last that was appended is that one: its answer was lost, and the second statement finds it. The
    /// first has its condition on the row, and the second is one of its own, because a statement that had to wait for the
    /// row's lock sees nothing else that was committed meanwhile.
    fn appends(&self) -> Option<[Statement<'_>; 2]> {
        let (mut asked, mut hashes) = (Asked::default(), Vec::new());
        let (mut parks, mut customers, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        for (place, claim, change) in self.placed() {
            let Change::Append(OwnFact { body, hash, parks: parked, customer }) = change else { continue };
            asked.push(place, claim);
            hashes.push(*hash);
            parks.push(*parked);
            customers.push(customer.as_ref().map(|sid| sid.as_str()));
            bodies.push(body.as_str());
        }
        let [places, tasks, fences] = asked.clone().columns()?;
        let hashes = || Value::Numbers(hashes.clone());
        let found = Statement::new(
            "SELECT place, own_seq FROM taskrouter_streams.call
             JOIN unnest($1, $2, $3, $4) AS asked (place, task, fence, hash)
             ON call.task = asked.task AND call.fence = asked.fence AND leased AND own_hash = asked.hash",
            vec![places, tasks, fences, hashes()],
        );
        let [_, tasks, fences] = asked.columns()?;
        let appended = Statement::new(
            concat!(
                "WITH held AS (
                     UPDATE taskrouter_streams.call
                     SET last_seq = last_seq + 1, own_seq = last_seq + 1, own_hash = asked.hash, changed_ms = ",
                now_ms!(),
                ", parked = coalesce(asked.parked, call.parked), customer = coalesce(asked.customer, call.customer)
                     FROM unnest($1, $2, $3, $4, $5, $6) AS asked (task, fence, hash, parked, customer, body)
                     WHERE call.task = asked.task AND call.fence = asked.fence AND leased
                       AND own_hash IS DISTINCT FROM asked.hash
                     RETURNING id, last_seq, body)
                 INSERT INTO taskrouter_streams.fact (call, seq, body) SELECT id, last_seq, body FROM held"
            ),
            vec![
                tasks,
                fences,
                hashes(),
                Value::OptionalTruths(parks),
                Value::OptionalTexts(customers),
                Value::Texts(bodies),
            ],
        );
        Some([appended, found])
    }

    fn renewals(&self) -> Option<Statement<'_>> {
        let mut asked = Asked::default();
        for (place, claim, change) in self.placed() {
            match change {
                Change::Renew => asked.push(place, claim),
                Change::Append(_) | Change::Release { .. } => {}
            }
        }
        let [places, tasks, fences] = asked.columns()?;
        Some(Statement::new(
            concat!(
                "UPDATE taskrouter_streams.call SET due_ms = ",
                now_ms!(),
                " + $4
                 FROM unnest($1, $2, $3) AS asked (place, task, fence)
                 WHERE call.task = asked.task AND call.fence = asked.fence AND leased
                 RETURNING place, 0::bigint"
            ),
            vec![places, tasks, fences, Value::Number(millis(self.lease))],
        ))
    }

    fn releases(&self) -> Option<Statement<'_>> {
        let (mut asked, mut seen_ones, mut pauses) = (Asked::default(), Vec::new(), Vec::new());
        let (mut overs, mut summaries) = (Vec::new(), Vec::new());
        for (place, claim, change) in self.placed() {
            let Change::Release { seen, due, summary } = change else { continue };
            let (pause, is_over) = match due {
                Due::After(pause) => (Some(millis((*pause).min(LONGEST_PAUSE))), false),
                Due::OnFact => (None, false),
                Due::Over => (None, true),
            };
            asked.push(place, claim);
            seen_ones.push(*seen);
            pauses.push(pause);
            overs.push(is_over);
            summaries.push(summary.as_deref());
        }
        let [places, tasks, fences] = asked.columns()?;
        Some(Statement::new(
            concat!(
                "UPDATE taskrouter_streams.call SET leased = false,
                     due_ms = ",
                now_ms!(),
                " + CASE WHEN last_seq > seen THEN 0 ELSE pause END,
                     over_ms = CASE WHEN is_over AND last_seq <= seen THEN ",
                now_ms!(),
                " END,
                     changed_ms = CASE WHEN is_over AND last_seq <= seen THEN ",
                now_ms!(),
                " ELSE changed_ms END,
                     summary = coalesce(asked.summary, call.summary), kept_by = $8, kept_seq = least(seen, last_seq)
                 FROM unnest($1, $2, $3, $4, $5, $6, $7) AS asked (place, task, fence, seen, pause, is_over, summary)
                 WHERE call.task = asked.task AND call.fence = asked.fence AND leased
                 RETURNING place, (due_ms IS NOT NULL)::int::bigint"
            ),
            vec![
                places,
                tasks,
                fences,
                Value::Numbers(seen_ones),
                Value::OptionalNumbers(pauses),
                Value::Truths(overs),
                Value::OptionalTexts(summaries),
                Value::Number(self.keeper),
            ],
        ))
    }
}

/// Claims that something is asked under: the place of each in the batch, its call and its fence.
#[derive(Default, Clone)]
struct Asked<'a> {
    places: Vec<i64>,
    tasks: Vec<&'a str>,
    fences: Vec<i64>,
}

impl<'a> Asked<'a> {
    fn push(&mut self, place: i64, claim: &'a Claim) {
        self.places.push(place);
        self.tasks.push(claim.call.as_str());
        self.fences.push(claim.fence);
    }

    /// `None` when nothing is asked.
    fn columns(self) -> Option<[Value<'a>; 3]> {
        let Self { places, tasks, fences } = self;
        (!places.is_empty()).then_some([Value::Numbers(places), Value::Texts(tasks), Value::Numbers(fences)])
    }
}

impl<const DURABLE: bool> Work for ClaimedWrites<'_, DURABLE> {
    type Output = HashMap<usize, Seq>;
    /// A release that was done before is not found again; whoever asked knows that there was a before.
    const REPEATABLE: bool = true;
    const DURABLE: bool = DURABLE;

    fn settings(&self) -> &'static str {
        BY_KEY
    }

    fn statements(&self) -> Vec<Statement<'_>> {
        let mut statements = Vec::new();
        if self.writes.len() > 1 {
            statements.push(self.locks());
        }
        statements.extend(self.appends().into_iter().flatten());
        statements.extend(self.renewals());
        statements.extend(self.releases());
        statements
    }

    fn output(&self, rows: Vec<Row>) -> Result<HashMap<usize, Seq>, Unexpected> {
        // A row that was only locked has no columns.
        let done = rows.iter().filter(|row| row.len() == 2);
        done.map(|row| {
            let place = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(usize::MAX);
            Ok((place, row.try_get(1)?))
        })
        .collect()
    }
}
