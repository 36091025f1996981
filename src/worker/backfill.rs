//! What happened while nobody listened: events that TaskRouter told in vain are read from its records and journaled like
//! any other. An event that had arrived after all is a duplicate.
//!
//! Events may be missing since the last one that arrived before a start, and since the first one that the journal could not take.
//! Where such a gap begins is remembered in the journal until it is filled, so that neither a stop in the middle nor a Twilio
//! that is away makes it forgotten.

use super::accounts::Account;
use crate::call::fact::{EpochMs, Fact};
use crate::journal::{self, Coverage, Ingested, JournalError, NewFact, Outage};
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Span, Traces};
use crate::twilio::client::{EventsPage, Unanswered, Unlisted};
use crate::twilio::event::Content;
use crate::twilio::event_record::{self, Record};
use crate::twilio::interest::Interest;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Events that wait for the journal at a time: few beside its queue, so that those that arrive meanwhile find room.
const INGEST_AT_ONCE: usize = 32;

/// How far back is looked, and how patiently.
#[derive(Debug, Clone)]
pub struct BackfillSettings {
    /// The longest gap that is filled.
    pub max_age: Duration,
    /// Where the events that had not arrived are traced.
    pub traces: Traces,
    /// How much of the time before the gap is read again: clocks differ, and events were on their way.
    pub overlap: Duration,
    /// The most events of a workspace that are read.
    pub max_events: usize,
    /// Before a gap that could not be filled is tried again.
    pub again: Duration,
    /// Before the first repeat of a request that failed; doubled each time.
    pub retry_first: Duration,
    /// Between repeats at most.
    pub retry_cap: Duration,
    /// After this long a request is given up, and with it what is left of the gap until it is tried again.
    pub give_up: Duration,
}

/// Whose events are fetched, and what of them is kept.
#[derive(Debug, Clone)]
pub struct Source {
    /// The account, with its client.
    pub account: Arc<Account>,
    /// What of an event is kept.
    pub interest: Interest,
}

/// What a look back found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    /// Events of any type in TaskRouter's records.
    read: usize,
    /// Of them, events that had not arrived.
    missed: usize,
}

/// Why a gap was not filled, or not to its end.
#[derive(Debug, thiserror::Error)]
enum Unfilled {
    #[error("TaskRouter's records cannot be read: {0}")]
    Twilio(#[from] Unanswered),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("there are more events than backfill.max_events = {0}")]
    TooMany(usize),
    #[error("{0}")]
    Unlisted(#[from] Unlisted),
    #[error("it was stopped")]
    Stopped,
}

/// Fills gaps until it is stopped. Nothing else waits for it.
pub struct Gaps {
    journal: Arc<dyn Coverage>,
    sources: Vec<Source>,
    outage: Arc<Outage>,
    metrics: Arc<Metrics>,
    settings: BackfillSettings,
    /// Where the gap that is open begins.
    open: Option<EpochMs>,
}

impl Gaps {
    /// Opens the gap since the newest event in the journal, if there is any. To be called before events are taken again: the
    /// first of them would be newer than the whole gap.
    pub async fn since_the_newest_event(
        journal: Arc<dyn Coverage>,
        sources: Vec<Source>,
        outage: Arc<Outage>,
        metrics: Arc<Metrics>,
        settings: BackfillSettings,
    ) -> Self {
        let opened = match journal.newest_event().await {
            Ok(Some(newest)) => journal.open_gap(newest).await.map(Some),
            // A journal without events has missed none.
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let open = opened.unwrap_or_else(|error| {
            tracing::error!(%error, "whether events were missed before the start cannot be told: run `backfill --since` with the time for which the worker was away");
            None
        });
        Self { journal, sources, outage, metrics, settings, open }
    }

    /// Fills what is open, and whatever is opened by an outage of the journal.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let filled = match self.open {
                Some(from) => self.fill(from, &shutdown).await,
                None => true,
            };
            if filled {
                self.open = None;
            }
            let outage = self.outage.clone();
            tokio::select! {
                since = outage.over() => self.reopen(since).await,
                () = tokio::time::sleep(self.settings.again), if !filled => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn reopen(&mut self, since: EpochMs) {
        let from = self.open.map_or(since, |open| open.min(since));
        tracing::warn!(
            "events were refused while the journal could not take them; those that are not sent again are fetched"
        );
        // In memory at least.
        self.open = Some(self.journal.open_gap(from).await.unwrap_or(from));
    }

    /// Whether nothing of the gap is left that another attempt could fill.
    async fn fill(&self, from: EpochMs, shutdown: &CancellationToken) -> bool {
        let now = journal::now();
        let since = (from - ms(self.settings.overlap)).max(now - ms(self.settings.max_age));
        if since > from {
            tracing::warn!(
                "nothing arrived for longer than backfill.max_age_minutes; what happened before that stays unknown"
            );
        }
        let page = EventsPage::first(since, now + ms(self.settings.overlap));
        let mut fills = JoinSet::new();
        for source in &self.sources {
            let backfill = Backfill {
                journal: self.journal.clone(),
                source: source.clone(),
                metrics: self.metrics.clone(),
                settings: self.settings.clone(),
                shutdown: shutdown.clone(),
            };
            fills.spawn(backfill.fill(page.clone()));
        }
        let is_done = fills.join_all().await.into_iter().all(|done| done);
        // One that stays open is only filled once more.
        is_done && self.journal.close_gap(from).await.is_ok()
    }
}

type Page = (Vec<Record>, Result<Option<EventsPage>, Unlisted>);

struct Backfill {
    journal: Arc<dyn Coverage>,
    source: Source,
    metrics: Arc<Metrics>,
    settings: BackfillSettings,
    shutdown: CancellationToken,
}

impl Backfill {
    /// Fills one account's gap and says so in the log; whether another attempt would be of no use.
    async fn fill(self, page: EventsPage) -> bool {
        let mut found = Found::default();
        let filled = self.run(page, &mut found).await;
        let Found { read, missed } = found;
        let account = &self.source.account.account;
        self.metrics.work.backfilled.inc_by(u64::try_from(missed).unwrap_or(u64::MAX));
        if !matches!(filled, Err(Unfilled::Stopped)) {
            self.metrics.work.round("backfill", filled.is_ok());
        }
        match filled {
            Ok(()) if missed == 0 => tracing::debug!(%account, read, "no event was missed"),
            Ok(()) => {
                tracing::warn!(%account, read, missed, "events that had not arrived were read from TaskRouter's records");
            }
            Err(Unfilled::Stopped) => {
                tracing::info!(%account, read, missed, "stopped while fetching events that may be missing; the next start goes on with it");
                return false;
            }
            Err(error @ (Unfilled::Twilio(_) | Unfilled::Journal(_))) => {
                tracing::error!(%account, %error, read, missed, again_ms = ms(self.settings.again), "events may be missing; they are asked for again");
                return false;
            }
            Err(error @ (Unfilled::TooMany(_) | Unfilled::Unlisted(_))) => {
                tracing::error!(%account, %error, read, missed, "events are missing that happened before those that were read: calls that are still live may lack a stream, or have one too many");
            }
        }
        true
    }

    async fn run(&self, first: EventsPage, found: &mut Found) -> Result<(), Unfilled> {
        let (mut page, mut facts, mut seen) = (Some(first), Vec::new(), BTreeSet::new());
        let mut whole = Ok(());
        while let Some(asked) = page {
            if found.read >= self.settings.max_events {
                whole = Err(Unfilled::TooMany(self.settings.max_events));
                break;
            }
            let (mut records, next) = match self.page(&asked).await {
                Ok(answer) => answer,
                Err(error) => {
                    whole = Err(error);
                    break;
                }
            };
            event_record::keep_new(&mut records, &mut seen);
            found.read += records.len();
            facts.extend(records.iter().filter_map(|record| self.fact(record)));
            page = match next {
                Ok(next) => next,
                Err(error) => {
                    whole = Err(error.into());
                    break;
                }
            };
        }
        // What was read is used also when there was more to read. Oldest first, as it happened.
        facts.reverse();
        found.missed = self.keep(facts).await?;
        whole
    }

    async fn page(&self, asked: &EventsPage) -> Result<Page, Unfilled> {
        let (began, mut pause) = (Instant::now(), self.settings.retry_first);
        loop {
            let answer = tokio::select! {
                answer = self.source.account.client.events(asked) => answer,
                () = self.shutdown.cancelled() => return Err(Unfilled::Stopped),
            };
            self.count(&answer);
            match answer {
                Ok(page) => return Ok(page),
                Err(Unanswered::Later(trouble)) if began.elapsed() < self.settings.give_up => {
                    let asked = trouble.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
                    self.wait(asked.max(pause).min(self.settings.retry_cap)).await?;
                    pause = pause.saturating_mul(2);
                }
                Err(error @ (Unanswered::Later(_) | Unanswered::Refused(_) | Unanswered::NotFound)) => {
                    return Err(error.into());
                }
            }
        }
    }

    fn count<T>(&self, answer: &Result<T, Unanswered>) {
        let status = match answer {
            Ok(_) => Some(200),
            Err(Unanswered::Later(trouble) | Unanswered::Refused(trouble)) => trouble.status,
            Err(Unanswered::NotFound) => Some(404),
        };
        let labels = [("operation", "list events"), ("status", labels::status(status))];
        self.metrics.steps.requests.get_or_create(&labels).inc();
    }

    /// Journals what was found and says how much of it was new. A journal that is busy with events that arrive is given
    /// time.
    async fn keep(&self, mut facts: Vec<NewFact>) -> Result<usize, Unfilled> {
        let (mut missed, began) = (0, Instant::now());
        while !facts.is_empty() {
            let rest = facts.split_off(facts.len().min(INGEST_AT_ONCE));
            let mut ingests = JoinSet::new();
            for fact in std::mem::replace(&mut facts, rest) {
                let journal = self.journal.clone();
                let span = self.settings.traces.event(&fact.call, &fact.fact);
                ingests.spawn(async move {
                    let ingested = journal.ingest(fact.clone()).await;
                    ingested.map(|ingested| (ingested, span)).map_err(|error| (fact, error))
                });
            }
            let mut busy = false;
            for ingested in ingests.join_all().await {
                match ingested {
                    Ok((Ingested::New, span)) => {
                        missed += 1;
                        if let Some(span) = span {
                            self.settings.traces.record(Span { to: journal::now(), ..span });
                        }
                    }
                    Ok((Ingested::Duplicate, _)) => {}
                    Err((fact, JournalError::Overloaded { .. } | JournalError::Unavailable { .. }))
                        if began.elapsed() < self.settings.give_up =>
                    {
                        facts.push(fact);
                        busy = true;
                    }
                    Err((_, error)) => return Err(error.into()),
                }
            }
            if busy {
                self.wait(self.settings.retry_first).await?;
            }
        }
        Ok(missed)
    }

    /// What a record tells of a call, if anything.
    fn fact(&self, record: &Record) -> Option<NewFact> {
        let envelope = event_record::parse(record, &self.source.interest).ok()?;
        // They were asked for with this account's credentials, and are not to be taken for another's.
        if envelope.account != self.source.account.account {
            return None;
        }
        match envelope.content {
            Content::Ours { task, identity, what } => {
                Some(NewFact { call: task, identity, fact: Fact { at: journal::now(), what } })
            }
            Content::NotOurs => None,
        }
    }

    async fn wait(&self, pause: Duration) -> Result<(), Unfilled> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.shutdown.cancelled() => Err(Unfilled::Stopped),
        }
    }
}

fn ms(span: Duration) -> EpochMs {
    EpochMs::try_from(span.as_millis()).unwrap_or(EpochMs::MAX)
}
