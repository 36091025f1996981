//! Fetches events that were not delivered from TaskRouter's records and journals them like any other. An event that was
//! delivered after all is a duplicate.
//!
//! A gap opens at a start, since the last event before it, and in an outage of the journal, since the first event that was
//! refused. The journal remembers where a gap begins until it is filled. So it survives a restart and an outage of Twilio.
//!
//! When no event arrives for a while the records are read as well: only they tell a quiet workspace from one whose events go
//! somewhere else.

mod account;

pub use account::{BackfillSettings, Source};

use crate::call::fact::EpochMs;
use crate::ingest::Ingester;
use crate::journal::{Coverage, Outage, TOLERANCE_MS};
use crate::telemetry::metrics::Metrics;
use crate::twilio::client::EventsPage;
use account::{AccountBackfill, Cause, ms};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Events in the journal's queue at a time: few beside its size, so that events that arrive meanwhile find room.
const INGEST_AT_ONCE: usize = 32;

/// A time of which events may be missing.
#[derive(Debug, Clone, Copy)]
struct Gap {
    from: EpochMs,
    cause: Cause,
}

/// Fills gaps in the background.
pub struct Backfiller {
    journal: Arc<dyn Coverage>,
    sources: Vec<Source>,
    outage: Arc<Outage>,
    metrics: Arc<Metrics>,
    settings: BackfillSettings,
    open: Option<Gap>,
    /// Until when the records have been read, or events could arrive.
    read_until: EpochMs,
}

impl Backfiller {
    /// Opens a gap since the newest event in the journal, if there is one. Call it before the listeners start: the first new
    /// event would hide the gap.
    pub async fn since_the_newest_event(
        journal: Arc<dyn Coverage>,
        sources: Vec<Source>,
        outage: Arc<Outage>,
        metrics: Arc<Metrics>,
        settings: BackfillSettings,
    ) -> Self {
        let now = journal.clock().now();
        let opened = match journal.newest_event().await {
            Ok(Some(newest)) => journal.open_gap(gap_start(newest, now, &settings)).await.map(Some),
            // A new journal has no gap.
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let open = opened.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot determine whether events were missed while stopped; run `backfill --since` with the time of the stop");
            None
        });
        let open = open.map(|from| Gap { from, cause: Cause::Stop });
        Self { journal, sources, outage, metrics, settings, open, read_until: now }
    }

    /// Fills the open gap, and those that outages of the journal or silence open, until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let filled = match self.open {
                Some(gap) => self.fill(gap, &shutdown).await,
                None => true,
            };
            if filled {
                self.open = None;
            }
            let outage = self.outage.clone();
            let silence = self.settings.silence;
            tokio::select! {
                since = outage.over() => self.reopen(since).await,
                () = tokio::time::sleep(self.settings.again), if !filled => {}
                () = tokio::time::sleep(silence), if filled && !silence.is_zero() => self.listen().await,
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn reopen(&mut self, since: EpochMs) {
        let from = self.open.map_or(since, |open| open.from.min(since));
        tracing::warn!(
            "events were refused while the journal was unavailable; fetching those that Twilio does not send again"
        );
        // Kept in memory if the journal fails again.
        let from = self.journal.open_gap(from).await.unwrap_or(from);
        self.open = Some(Gap { from, cause: Cause::Outage });
    }

    /// Opens a gap when no event has arrived for a while.
    async fn listen(&mut self) {
        let now = self.journal.clock().now();
        // An outage of the journal is told by whoever writes.
        let Ok(newest) = self.journal.newest_event().await else { return };
        let from = newest.map_or(self.read_until, |newest| newest.max(self.read_until));
        if now - from >= ms(self.settings.silence) {
            let from = self.journal.open_gap(from).await.unwrap_or(from);
            self.open = Some(Gap { from, cause: Cause::Silence });
        }
    }

    /// Returns whether the gap is closed: another attempt would find nothing more.
    async fn fill(&mut self, gap: Gap, shutdown: &CancellationToken) -> bool {
        let now = self.journal.clock().now();
        let since = (gap.from - ms(self.settings.overlap)).max(now - ms(self.settings.max_age));
        if since > gap.from {
            tracing::warn!("the gap is longer than backfill.max_age_minutes; events before that are not fetched");
        }
        let page = EventsPage::newest(since, now);
        let mut fills = JoinSet::new();
        for source in &self.sources {
            let backfill = AccountBackfill {
                ingester: Ingester::new(self.journal.clone(), self.settings.traces.clone(), INGEST_AT_ONCE),
                source: source.clone(),
                cause: gap.cause,
                metrics: self.metrics.clone(),
                settings: self.settings.clone(),
                shutdown: shutdown.clone(),
            };
            fills.spawn(backfill.fill(page.clone()));
        }
        let is_done = fills.join_all().await.into_iter().all(|done| done);
        if is_done {
            self.read_until = now;
        }
        // A gap that cannot be closed is filled once more, which does no harm.
        is_done && self.journal.close_gap(gap.from).await.is_ok()
    }
}

/// Since when events may be missing. A newest event in the future was stamped by a clock that was set back since, so that nobody
/// can tell how long ago that was.
fn gap_start(newest: EpochMs, now: EpochMs, settings: &BackfillSettings) -> EpochMs {
    if newest > now + TOLERANCE_MS { now - ms(settings.max_age) } else { newest }
}
