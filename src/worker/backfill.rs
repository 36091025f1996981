//! What happened while nobody listened: events that TaskRouter told in vain are read from its records and journaled like
//! any other. An event that had arrived after all is a duplicate.

use crate::call::fact::{EpochMs, Fact};
use crate::journal::{self, Ingested, Journal, JournalError, NewFact};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Span, Traces};
use crate::twilio::client::{Client, EventsPage, Unanswered};
use crate::twilio::event::Content;
use crate::twilio::event_record::{self, Record};
use crate::twilio::interest::Interest;
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
    /// What of an event is kept.
    pub interest: Interest,
    /// How much of the time before the gap is read again: clocks differ, and events were on their way.
    pub overlap: Duration,
    /// The most events of the workspace that are read.
    pub max_events: usize,
    /// Before the first repeat of a request that failed; doubled each time.
    pub retry_first: Duration,
    /// Between repeats at most.
    pub retry_cap: Duration,
    /// After this long a request is given up, and with it what is left of the gap.
    pub give_up: Duration,
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
    #[error("it was stopped")]
    Stopped,
}

/// Fills the gap since the `newest` event in the journal and says so in the log. Nothing else waits for it.
///
/// `newest` must have been asked for before events were taken again: the first of them would be newer than the whole gap.
pub async fn fill_gap(
    newest: Result<Option<EpochMs>, JournalError>,
    journal: Arc<dyn Journal>,
    client: Arc<Client>,
    metrics: Arc<Metrics>,
    settings: BackfillSettings,
    shutdown: CancellationToken,
) {
    let newest = match newest {
        Ok(Some(newest)) => newest,
        // A journal without events has missed none.
        Ok(None) => return,
        Err(error) => return tracing::error!(%error, "whether events were missed cannot be told"),
    };
    let now = journal::now();
    let since = (newest - ms(settings.overlap)).max(now - ms(settings.max_age));
    if since > newest {
        tracing::warn!(
            "nothing arrived for longer than backfill.max_age_minutes; what happened before that stays unknown"
        );
    }
    let page = EventsPage::first(since, now + ms(settings.overlap));
    let account = client.account().clone();
    let backfill = Backfill { journal, client, settings, shutdown };
    let mut found = Found::default();
    let filled = backfill.run(page, &mut found).await;
    metrics.work.round("backfill", filled.is_ok());
    metrics.work.backfilled.inc_by(u64::try_from(found.missed).unwrap_or(u64::MAX));
    match filled {
        Ok(()) if found.missed == 0 => tracing::debug!(%account, read = found.read, "no event was missed"),
        Ok(()) => {
            tracing::warn!(%account, found.read, found.missed, "events that had not arrived were read from TaskRouter's records")
        }
        Err(Unfilled::Stopped) => {}
        Err(error) => {
            tracing::error!(%account, %error, found.read, found.missed, "events may be missing: run `backfill --since` once the cause is mended");
        }
    }
}

struct Backfill {
    journal: Arc<dyn Journal>,
    client: Arc<Client>,
    settings: BackfillSettings,
    shutdown: CancellationToken,
}

impl Backfill {
    async fn run(&self, first: EventsPage, found: &mut Found) -> Result<(), Unfilled> {
        let (mut page, mut facts) = (Some(first), Vec::new());
        let mut whole = Ok(());
        while let Some(asked) = page {
            if found.read >= self.settings.max_events {
                whole = Err(Unfilled::TooMany(self.settings.max_events));
                break;
            }
            let (records, next) = match self.page(&asked).await {
                Ok(answer) => answer,
                Err(error) => {
                    whole = Err(error);
                    break;
                }
            };
            found.read += records.len();
            facts.extend(records.iter().filter_map(|record| self.fact(record)));
            page = next;
        }
        // What was read is used also when there was more to read. Oldest first, as it happened.
        facts.reverse();
        found.missed = self.keep(facts).await?;
        whole
    }

    async fn page(&self, asked: &EventsPage) -> Result<(Vec<Record>, Option<EventsPage>), Unfilled> {
        let (began, mut pause) = (Instant::now(), self.settings.retry_first);
        loop {
            let answer = tokio::select! {
                answer = self.client.events(asked) => answer,
                () = self.shutdown.cancelled() => return Err(Unfilled::Stopped),
            };
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
        let envelope = event_record::parse(record, &self.settings.interest).ok()?;
        // They were asked for with this account's credentials, and are not to be taken for another's.
        if envelope.account != *self.client.account() {
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
