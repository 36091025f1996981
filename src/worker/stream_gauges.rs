//! Counts the streams of all live calls at regular intervals, for the metrics.
//!
//! A call task knows only its own call's streams, and after a restart a call that waits for a fact has no task. The first count
//! folds every live call. Later ones fold only the calls that have changed since, which the journal lists first. Between counts,
//! memory holds one entry for each call with a stream, and one for each that has changed recently.

use crate::call::Call;
use crate::call::fact::EpochMs;
use crate::call::sid::TaskSid;
use crate::call::streams::StreamState;
use crate::call::task::ReservationStatus;
use crate::journal::{CallQuery, CallRow, CallState, JournalError, PAGE_LIMIT, Reading, Seq};
use crate::telemetry::metrics::Metrics;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A change is listed once it is committed, under the time at which its transaction began. `journal.statement_timeout_ms`
/// limits a transaction to a minute; this is longer.
const RECENT_MS: EpochMs = 90_000;

/// Everything is recounted this often: calls past retention are deleted without a fact, and a store's clock can be set back.
const RECOUNT_AFTER: Duration = Duration::from_secs(3600);

/// Keeps the gauges of running and orphaned streams up to date.
pub struct StreamGauges {
    journal: Arc<dyn Reading>,
    metrics: Arc<Metrics>,
    every: Duration,
    /// Calls with a stream.
    streams: BTreeMap<TaskSid, StreamCount>,
    /// Calls with a fact that cannot be read.
    unreadable: BTreeSet<TaskSid>,
    /// Calls that changed recently: how many facts they had when folded, and when they had changed.
    recent: BTreeMap<TaskSid, (Seq, EpochMs)>,
    /// When the last count began that succeeded, by the journal's clock.
    counted: Option<EpochMs>,
    /// When everything was last counted.
    recounted: Option<Instant>,
}

/// The streams of one call, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct StreamCount {
    /// They may run, as far as anybody knows.
    live: i64,
    /// Twilio told that they run.
    proven: i64,
    /// Nobody knows whether they run.
    in_doubt: i64,
    /// Nobody is entitled to them.
    orphaned: i64,
}

impl StreamGauges {
    /// Nothing is counted before [`StreamGauges::run`].
    pub fn new(journal: Arc<dyn Reading>, metrics: Arc<Metrics>, every: Duration) -> Self {
        Self {
            journal,
            metrics,
            every,
            streams: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            recent: BTreeMap::new(),
            counted: None,
            recounted: None,
        }
    }

    /// Counts at every interval until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut last = Instant::now();
        loop {
            let counted = tokio::select! {
                counted = self.count() => counted,
                () = stop.cancelled() => return,
            };
            self.metrics.work.round("stream_gauges", counted.is_ok());
            match counted {
                Ok(StreamCount { live, proven, in_doubt, orphaned }) => {
                    let since = std::mem::replace(&mut last, Instant::now()).elapsed();
                    let streams = &self.metrics.streams;
                    #[expect(clippy::cast_precision_loss, reason = "streams are counted in thousands")]
                    streams.seconds.inc_by(live as f64 * since.as_secs_f64());
                    streams.live.set(live);
                    streams.running.set(proven);
                    streams.in_doubt.set(in_doubt);
                    streams.orphaned.set(orphaned);
                    self.metrics.work.unreadable_calls.set(i64::try_from(self.unreadable.len()).unwrap_or(i64::MAX));
                }
                Err(error) => tracing::warn!(%error, "cannot count the running streams; will retry"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// The streams of all live calls. What a failed count has learned is kept for the next one.
    async fn count(&mut self) -> Result<StreamCount, JournalError> {
        if self.recounted.is_none_or(|at| at.elapsed() >= RECOUNT_AFTER) {
            self.streams.clear();
            self.unreadable.clear();
            self.recent.clear();
            (self.counted, self.recounted) = (None, Some(Instant::now()));
        }
        let begun = self.journal.clock().now();
        let since = self.counted.map(|counted| counted - RECENT_MS);
        // A call that has ended changed shortly before.
        let state = if since.is_some() { CallState::All } else { CallState::Live };
        let mut query = CallQuery { state, limit: PAGE_LIMIT, ..CallQuery::default() };
        loop {
            let page = self.journal.calls(query.clone()).await?;
            for row in page.iter().take_while(|row| since.is_none_or(|since| row.changed >= since)) {
                self.update(row).await?;
            }
            match page.last() {
                // A call that changes meanwhile moves to the front. It was counted already or is counted next time.
                Some(last) if page.len() == PAGE_LIMIT && since.is_none_or(|since| last.changed >= since) => {
                    query.after = Some(last.cursor());
                }
                Some(_) | None => break,
            }
        }
        self.counted = Some(begun);
        self.recent.retain(|_, (_, changed)| *changed >= begun - RECENT_MS);
        Ok(self.streams.values().fold(StreamCount::default(), StreamCount::plus))
    }

    /// Folds the call if it has changed.
    async fn update(&mut self, row: &CallRow) -> Result<(), JournalError> {
        if row.over {
            self.streams.remove(&row.call);
            self.unreadable.remove(&row.call);
            return Ok(());
        }
        // A stream takes the event that it is for and the request that starts it.
        let is_too_young = row.facts < 2;
        if is_too_young || self.recent.get(&row.call).is_some_and(|(facts, _)| *facts == row.facts) {
            return Ok(());
        }
        let facts = match self.journal.facts(&row.call, 0).await {
            Ok(facts) => facts,
            // It is shown as parked; what can be read of it is counted like any other.
            Err(JournalError::Unreadable { readable, .. }) => {
                self.unreadable.insert(row.call.clone());
                readable
            }
            Err(error) => return Err(error),
        };
        let count = StreamCount::of(&Call::fold(facts.iter().map(|(_, fact)| fact)));
        if count == StreamCount::default() {
            self.streams.remove(&row.call);
        } else {
            self.streams.insert(row.call.clone(), count);
        }
        // Facts journaled after the row was read are folded again next time, which does no harm.
        self.recent.insert(row.call.clone(), (row.facts, row.changed));
        Ok(())
    }
}

impl StreamCount {
    fn of(call: &Call) -> Self {
        let mut count = Self::default();
        if call.is_shadow() {
            return count;
        }
        for stream in call.streams().iter().filter(|stream| stream.may_run()) {
            count.live += 1;
            count.proven += i64::from(stream.is_proven());
            count.in_doubt += i64::from(stream.state() == StreamState::InDoubt);
            let entitled = !call.is_over()
                && call
                    .reservations()
                    .any(|(sid, r)| *sid == stream.reservation && r.status == ReservationStatus::Accepted);
            count.orphaned += i64::from(stream.is_orphan() || !entitled);
        }
        count
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            live: self.live + other.live,
            proven: self.proven + other.proven,
            in_doubt: self.in_doubt + other.in_doubt,
            orphaned: self.orphaned + other.orphaned,
        }
    }
}
