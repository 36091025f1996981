//! The census: now and then every live call is folded, and its streams are counted.
//!
//! A lane knows the streams of its own call only, and after a restart a call that waits for a fact has no lane.

use crate::call::Call;
use crate::call::state::ReservationStatus;
use crate::journal::{CallQuery, CallState, Journal, JournalError, PAGE_LIMIT};
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The streams of all live calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Census {
    live: i64,
    orphaned: i64,
}

/// Counts every so often, until `stop`.
pub async fn census(journal: Arc<dyn Journal>, metrics: Arc<Metrics>, every: Duration, stop: CancellationToken) {
    let mut last = Instant::now();
    loop {
        let counted = tokio::select! {
            counted = count(&*journal) => counted,
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

async fn count(journal: &dyn Journal) -> Result<Census, JournalError> {
    let mut census = Census::default();
    let mut query = CallQuery { state: CallState::Live, limit: PAGE_LIMIT, ..CallQuery::default() };
    loop {
        let page = journal.calls(query.clone()).await?;
        for row in &page {
            let facts = journal.facts(&row.call, 0).await?;
            census.add(&Call::fold(facts.iter().map(|(_, fact)| fact)));
        }
        match page.last() {
            // A call that changes meanwhile moves to the front, where it was counted already or is counted next time.
            Some(last) if page.len() == PAGE_LIMIT => query.after = Some(last.cursor()),
            Some(_) | None => return Ok(census),
        }
    }
}

impl Census {
    fn add(&mut self, call: &Call) {
        if call.is_over() {
            return;
        }
        for stream in call.streams().iter().filter(|stream| stream.is_live()) {
            self.live += 1;
            let served = call
                .reservations()
                .any(|(sid, r)| *sid == stream.reservation && r.status == ReservationStatus::Accepted);
            self.orphaned += i64::from(stream.orphan || !served);
        }
    }
}
