//! Fills one account's gap from its workspace's records, as the settings say.

use crate::call::fact::EpochMs;
use crate::ingest::{Ingester, new_fact};
use crate::journal::{Ingested, JournalError, NewFact};
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::series::AccountLabels;
use crate::telemetry::traces::Traces;
use crate::twilio::client::{ApiError, EventsPage, PagingError, RecordsPage};
use crate::twilio::event::Content;
use crate::twilio::event_record::{self, Record};
use crate::twilio::interest::Interest;
use crate::worker::accounts::WorkerAccount;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How far back and how persistently events are fetched.
#[derive(Debug, Clone)]
pub struct BackfillSettings {
    /// The longest gap that is filled.
    pub max_age: Duration,
    /// Where fetched events are traced.
    pub traces: Traces,
    /// How much of the time before the gap is read too: clocks differ, and events were on their way.
    pub overlap: Duration,
    /// The most events that are read of a workspace.
    pub max_events: usize,
    /// The pause before a gap that could not be filled is retried.
    pub again: Duration,
    /// How long no event arrives until the records are read; zero for never.
    pub silence: Duration,
    /// The pause before the first retry of a failed request; doubled each time.
    pub retry_first: Duration,
    /// The longest pause between retries.
    pub retry_cap: Duration,
    /// A request that fails for longer than this ends the attempt to fill the gap.
    pub give_up: Duration,
}

/// An account whose events are fetched.
#[derive(Debug, Clone)]
pub struct Source {
    /// Has the client that fetches them.
    pub account: Arc<WorkerAccount>,
    /// Which parts of an event are kept.
    pub interest: Interest,
}

/// Why events may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The service was not running.
    Stop,
    /// The journal could not take events.
    Outage,
    /// No event came for a while, which may be right.
    Silence,
}

impl Cause {
    fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Outage => "outage",
            Self::Silence => "silence",
        }
    }
}

/// How many events were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct EventCount {
    /// Events of any type in TaskRouter's records.
    read: usize,
    /// Of them, events that had not been delivered.
    missed: usize,
}

/// Why a gap was not filled completely.
#[derive(Debug, thiserror::Error)]
enum BackfillError {
    #[error("cannot read TaskRouter's records: {0}")]
    Twilio(#[from] ApiError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the gap has more events than backfill.max_events = {0}")]
    TooMany(usize),
    #[error("{0}")]
    Paging(#[from] PagingError),
    #[error("the worker was stopped")]
    Stopped,
}

pub(super) struct AccountBackfill {
    pub(super) ingester: Ingester,
    pub(super) source: Source,
    pub(super) cause: Cause,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: BackfillSettings,
    pub(super) shutdown: CancellationToken,
}

impl AccountBackfill {
    /// Fills one account's gap and logs the result. Returns whether another attempt would find nothing more.
    pub(super) async fn fill(self, page: EventsPage) -> bool {
        let mut found = EventCount::default();
        let filled = self.run(page, &mut found).await;
        let EventCount { read, missed } = found;
        let account = &self.source.account.account;
        let after = [("after", self.cause.word())];
        self.metrics.work.backfilled.get_or_create(&after).inc_by(u64::try_from(missed).unwrap_or(u64::MAX));
        if !matches!(filled, Err(BackfillError::Stopped)) {
            self.metrics.work.round("backfill", filled.is_ok());
        }
        match filled {
            Ok(()) if missed == 0 => tracing::debug!(%account, read, "no events were missed"),
            Ok(()) if self.cause == Cause::Silence => {
                tracing::error!(%account, read, missed, "Twilio has events that did not arrive here, and sent none that did: fetched them. Check the workspace's Event Callback URL (`doctor` does)");
            }
            Ok(()) => {
                tracing::warn!(%account, read, missed, "fetched events that had not been delivered");
            }
            Err(BackfillError::Stopped) => {
                tracing::info!(%account, read, missed, "stopped while fetching missed events; the next start continues");
                return false;
            }
            Err(error @ (BackfillError::Twilio(_) | BackfillError::Journal(_))) => {
                tracing::error!(%account, %error, read, missed, again_ms = ms(self.settings.again), "cannot fetch missed events; will retry");
                return false;
            }
            Err(error @ (BackfillError::TooMany(_) | BackfillError::Paging(_))) => {
                tracing::error!(%account, %error, read, missed, "older events of the gap were not fetched: calls that are still live may lack a stream or have one too many");
            }
        }
        true
    }

    async fn run(&self, first: EventsPage, found: &mut EventCount) -> Result<(), BackfillError> {
        let (mut page, mut facts, mut seen) = (Some(first.clone()), Vec::new(), BTreeSet::new());
        let mut complete = Ok(());
        let mut clocks_compared = false;
        while let Some(asked) = page {
            if found.read >= self.settings.max_events {
                complete = Err(BackfillError::TooMany(self.settings.max_events));
                break;
            }
            let asked_at = self.ingester.clock().now();
            let RecordsPage { mut records, unreadable, answered_at, next } = match self.page(&asked).await {
                Ok(answer) => answer,
                Err(error) => {
                    complete = Err(error);
                    break;
                }
            };
            if !std::mem::replace(&mut clocks_compared, true) {
                let ahead_ms = self.ahead_of_twilio(asked_at, answered_at);
                if ahead_ms > 0 {
                    // The gap began earlier than its stamp says.
                    page = Some(first.clone().since_earlier(ahead_ms));
                    continue;
                }
            }
            event_record::keep_new(&mut records, &mut seen);
            found.read += records.len() + unreadable;
            self.skipped(unreadable, &"it is not a JSON object");
            records.retain(|record| self.should_have_arrived(record, asked_at));
            facts.extend(records.iter().filter_map(|record| self.fact(record)));
            page = match next {
                Ok(next) => next,
                Err(error) => {
                    complete = Err(error.into());
                    break;
                }
            };
        }
        // What was read is used even if there is more to read. Oldest first, as it happened.
        facts.reverse();
        found.missed = self.ingest_all(facts).await?;
        complete
    }

    /// By how much the journal's clock is ahead of Twilio's, when that is more than the spans overlap.
    fn ahead_of_twilio(&self, asked_at: EpochMs, answered_at: Option<EpochMs>) -> EpochMs {
        // Dates in headers have whole seconds.
        let ahead_ms = answered_at.map_or(0, |at| asked_at - at - 1_000);
        if ahead_ms <= ms(self.settings.overlap) {
            return 0;
        }
        tracing::warn!(
            ahead_ms,
            "the journal's clock is ahead of Twilio's, so that missed events are fetched from earlier on: synchronise it (NTP)"
        );
        ahead_ms
    }

    async fn page(&self, asked: &EventsPage) -> Result<RecordsPage, BackfillError> {
        let (began, mut pause) = (Instant::now(), self.settings.retry_first);
        loop {
            let answer = tokio::select! {
                answer = self.source.account.client.event_log().page(asked) => answer,
                () = self.shutdown.cancelled() => return Err(BackfillError::Stopped),
            };
            self.count(&answer);
            match answer {
                Ok(page) => return Ok(page),
                Err(ApiError::Later(trouble)) if began.elapsed() < self.settings.give_up => {
                    let asked = trouble.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
                    self.wait(asked.max(pause).min(self.settings.retry_cap)).await?;
                    pause = pause.saturating_mul(2);
                }
                Err(error @ (ApiError::Later(_) | ApiError::Refused(_) | ApiError::NotFound)) => {
                    return Err(error.into());
                }
            }
        }
    }

    fn count<T>(&self, answer: &Result<T, ApiError>) {
        let status = match answer {
            Ok(_) => Some(200),
            Err(ApiError::Later(trouble) | ApiError::Refused(trouble)) => trouble.status,
            Err(ApiError::NotFound) => Some(404),
        };
        let labels = [("operation", "list events"), ("status", labels::status(status))];
        let labels = AccountLabels::new(labels, Some(&self.source.account.account));
        self.metrics.steps.requests.get_or_create(&labels).inc();
    }

    /// Journals the events and returns how many were new. An overloaded journal is retried.
    async fn ingest_all(&self, mut facts: Vec<NewFact>) -> Result<usize, BackfillError> {
        let (mut missed, began) = (0, Instant::now());
        while !facts.is_empty() {
            let mut busy = false;
            for (fact, result) in self.ingester.ingest_batch(&mut facts).await {
                match result {
                    Ok(Ingested::New) => missed += 1,
                    Ok(Ingested::Duplicate) => {}
                    Err(JournalError::Overloaded { .. } | JournalError::Unavailable { .. })
                        if began.elapsed() < self.settings.give_up =>
                    {
                        facts.push(fact);
                        busy = true;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if busy {
                self.wait(self.settings.retry_first).await?;
            }
        }
        Ok(missed)
    }

    /// Whether the event can no longer be on its way: one that happens just when a silence ends has not been missed.
    fn should_have_arrived(&self, record: &Record, now: EpochMs) -> bool {
        let overlap = ms(self.settings.overlap);
        self.cause != Cause::Silence || event_record::at(record).is_none_or(|at| at + overlap <= now)
    }

    /// The fact that a record holds, if it is about a voice task.
    fn fact(&self, record: &Record) -> Option<NewFact> {
        let envelope = match event_record::parse(record, &self.source.interest) {
            Ok(envelope) => envelope,
            Err(malformed) => {
                self.skipped(1, &malformed);
                return None;
            }
        };
        // Fetched with this account's credentials, so another account's event is not to be trusted.
        if envelope.account != self.source.account.account {
            return None;
        }
        match envelope.content {
            Content::Ours { task, identity, what } => Some(new_fact(self.ingester.clock(), task, identity, what)),
            Content::NotOurs => None,
        }
    }

    /// Says that records cannot be used. The others are.
    fn skipped(&self, records: usize, reason: &dyn std::fmt::Display) {
        if records > 0 {
            let account = &self.source.account.account;
            tracing::warn!(%account, records, %reason, "skipped records of TaskRouter's events; the others are taken");
            self.metrics.work.records_unusable.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
        }
    }

    async fn wait(&self, pause: Duration) -> Result<(), BackfillError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.shutdown.cancelled() => Err(BackfillError::Stopped),
        }
    }
}

pub(super) fn ms(span: Duration) -> EpochMs {
    EpochMs::try_from(span.as_millis()).unwrap_or(EpochMs::MAX)
}
