//! The census: now and then the streams of all live calls are counted.
//!
//! A lane knows the streams of its own call only, and after a restart a call that waits for a fact has no lane. The first count
//! folds every live call; the later ones fold those that have changed since, which the journal lists first. What is kept
//! between counts is an entry for each call with a stream, and one for each that has changed lately.

use crate::call::Call;
use crate::call::fact::EpochMs;
use crate::call::sid::TaskSid;
use crate::call::state::ReservationStatus;
use crate::journal::{CallQuery, CallRow, CallState, JournalError, PAGE_LIMIT, Reading, Seq};
use crate::telemetry::metrics::Metrics;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A change shows in the list when it is committed, with the time at which its transaction began: longer before than any
/// transaction may take, which `journal.statement_timeout_ms` limits to a minute.
const LATELY_MS: EpochMs = 90_000;

/// Everything is counted anew every so often: calls that nobody heard of for the retention are deleted without a word, and a
/// store's clock can be set back.
const ANEW: Duration = Duration::from_secs(3600);

/// Streams, of a call or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Census {
    live: i64,
    orphaned: i64,
}

/// Counts every so often, until `stop`.
pub async fn census(journal: Arc<dyn Reading>, metrics: Arc<Metrics>, every: Duration, stop: CancellationToken) {
    let (mut last, mut books) = (Instant::now(), Books::default());
    loop {
        let counted = tokio::select! {
            counted = books.count(&*journal) => counted,
            () = stop.cancelled() => return,
        };
        metrics.work.round("census", counted.is_ok());
        match counted {
            Ok(Census { live, orphaned }) => {
                let since = std::mem::replace(&mut last, Instant::now()).elapsed();
                #[expect(clippy::cast_precision_loss, reason = "streams are counted in thousands")]
                metrics.streams.seconds.inc_by(live as f64 * since.as_secs_f64());
                metrics.streams.live.set(live);
                metrics.streams.orphaned.set(orphaned);
            }
            Err(error) => tracing::warn!(%error, "the streams could not be counted; trying again later"),
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What was counted, call by call.
#[derive(Default)]
struct Books {
    /// Calls with a stream.
    streams: BTreeMap<TaskSid, Census>,
    /// How many facts a call had when it was folded, and when the last of them was journaled.
    lately: BTreeMap<TaskSid, (Seq, EpochMs)>,
    /// The newest change of any call, once there has been a whole count.
    newest: Option<EpochMs>,
    /// When the last count of everything was begun.
    begun: Option<Instant>,
}

impl Books {
    /// The streams of all live calls. What a count that failed had learned stays.
    async fn count(&mut self, journal: &dyn Reading) -> Result<Census, JournalError> {
        if self.begun.is_none_or(|begun| begun.elapsed() >= ANEW) {
            *self = Self { begun: Some(Instant::now()), ..Self::default() };
        }
        let since = self.newest.map(|newest| newest - LATELY_MS);
        // A call that is over has changed shortly before.
        let state = if since.is_some() { CallState::All } else { CallState::Live };
        let mut query = CallQuery { state, limit: PAGE_LIMIT, ..CallQuery::default() };
        let mut newest = self.newest.unwrap_or(EpochMs::MIN);
        loop {
            let page = journal.calls(query.clone()).await?;
            for row in page.iter().take_while(|row| since.is_none_or(|since| row.changed >= since)) {
                newest = newest.max(row.changed);
                self.look_at(journal, row).await?;
            }
            match page.last() {
                // A call that changes meanwhile moves to the front, where it was counted already or is counted next time.
                Some(last) if page.len() == PAGE_LIMIT && since.is_none_or(|since| last.changed >= since) => {
                    query.after = Some(last.cursor());
                }
                Some(_) | None => break,
            }
        }
        self.newest = (newest > EpochMs::MIN).then_some(newest);
        self.lately.retain(|_, (_, changed)| *changed >= newest - LATELY_MS);
        Ok(self.streams.values().fold(Census::default(), Census::plus))
    }

    /// Folds the call, unless it is as it was.
    async fn look_at(&mut self, journal: &dyn Reading, row: &CallRow) -> Result<(), JournalError> {
        if row.over {
            self.streams.remove(&row.call);
            return Ok(());
        }
        if self.lately.get(&row.call).is_some_and(|(facts, _)| *facts == row.facts) {
            return Ok(());
        }
        let facts = journal.facts(&row.call, 0).await?;
        let census = Census::of(&Call::fold(facts.iter().map(|(_, fact)| fact)));
        if census == Census::default() {
            self.streams.remove(&row.call);
        } else {
            self.streams.insert(row.call.clone(), census);
        }
        // Facts that came in since the row was read are folded again next time, and no harm is done.
        self.lately.insert(row.call.clone(), (row.facts, row.changed));
        Ok(())
    }
}

impl Census {
    fn of(call: &Call) -> Self {
        let mut census = Self::default();
        if call.is_over() || call.is_shadow() {
            return census;
        }
        for stream in call.streams().iter().filter(|stream| stream.is_live()) {
            census.live += 1;
            let served = call
                .reservations()
                .any(|(sid, r)| *sid == stream.reservation && r.status == ReservationStatus::Accepted);
            census.orphaned += i64::from(stream.orphan || !served);
        }
        census
    }

    fn plus(self, other: &Self) -> Self {
        Self { live: self.live + other.live, orphaned: self.orphaned + other.orphaned }
    }
}
