//! Journals facts from outside: several at a time, tracing the new ones, for the listener and the backfiller; or a single one of whoever
//! asks for something.

pub mod pause_requests;

use crate::call::fact::{Fact, FactKind, StreamChange};
use crate::call::sid::{AccountSid, TaskSid};
use crate::call::step::Goal;
use crate::journal::{Clock, Ingest, Ingested, JournalError, NewFact, Operators};
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Span, Traces};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Journals facts in batches.
#[derive(Clone)]
pub struct Ingester {
    journal: Arc<dyn Ingest>,
    traces: Traces,
    at_once: usize,
}

impl Ingester {
    /// `at_once` limits how many facts of one caller wait in the journal's queue at a time.
    pub fn new(journal: Arc<dyn Ingest>, traces: Traces, at_once: usize) -> Self {
        Self { journal, traces, at_once: at_once.max(1) }
    }

    /// What its facts are stamped by.
    pub fn clock(&self) -> &Clock {
        self.journal.clock()
    }

    /// Takes the next batch from `facts` and journals it. Returns each fact with its result, after the commit of the last.
    ///
    /// A batch shares a commit; all facts of a large delivery at once would crowd out everybody else's.
    pub async fn ingest_batch(&self, facts: &mut Vec<NewFact>) -> Vec<(NewFact, Result<Ingested, JournalError>)> {
        let rest = facts.split_off(facts.len().min(self.at_once));
        let mut batch = std::mem::replace(facts, rest);
        // Most deliveries are of one event, which needs no task of its own.
        if batch.len() == 1
            && let Some(fact) = batch.pop()
        {
            return vec![self.ingest(fact).await];
        }
        let mut ingests = JoinSet::new();
        for fact in batch {
            let ingester = self.clone();
            ingests.spawn(async move { ingester.ingest(fact).await });
        }
        ingests.join_all().await
    }

    async fn ingest(&self, fact: NewFact) -> (NewFact, Result<Ingested, JournalError>) {
        let span = self.traces.event(&fact.call, &fact.fact);
        let result = self.journal.ingest(fact.clone()).await;
        if let Ok(Ingested::New) = &result {
            log_stream(&fact);
            if let Some(span) = span {
                self.traces.record(Span { to: self.clock().now(), ..span });
            }
        }
        (fact, result)
    }
}

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestVerdict {
    New,
    Duplicate,
    Refused,
}

impl IngestVerdict {
    /// The verdict of a result.
    pub fn of(result: &Result<Ingested, JournalError>) -> Self {
        match result {
            Ok(Ingested::New) => Self::New,
            Ok(Ingested::Duplicate) => Self::Duplicate,
            Err(_) => Self::Refused,
        }
    }

    /// The label for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
        }
    }
}

/// Journals what somebody asks for about a call, and counts it; returns after the commit.
///
/// # Errors
/// When the journal does not take it.
pub async fn ingest_request(
    journal: &dyn Operators,
    metrics: &Metrics,
    fact: NewFact,
    account: Option<&AccountSid>,
) -> Result<(), JournalError> {
    let kind = labels::event(&fact.fact.kind);
    let result = journal.ingest(fact).await;
    metrics.ingress.count_event(kind, IngestVerdict::of(&result).as_str(), account);
    result.map(drop)
}

/// Twilio's own word on a stream, which is the proof of what was asked for.
fn log_stream(new: &NewFact) {
    let FactKind::Stream(event) = &new.fact.kind else { return };
    let (task_sid, call_sid, stream_sid, name) = (&new.call, &event.call, &event.stream, &event.name);
    let account = event.account.as_ref().map(|account| account.as_str());
    // A stream's name bears its reservation.
    let reservation = Goal::Stop(name.clone()).reservation();
    let reservation_sid = reservation.as_ref().map(|reservation| reservation.as_str());
    match event.change {
        StreamChange::Started => {
            tracing::info!(%task_sid, %call_sid, reservation_sid, %stream_sid, account, name, "stream started");
        }
        StreamChange::Stopped => {
            tracing::info!(%task_sid, %call_sid, reservation_sid, %stream_sid, account, name, "stream stopped");
        }
        StreamChange::Error => {
            let code = event.error;
            tracing::warn!(%task_sid, %call_sid, reservation_sid, %stream_sid, account, name, code, "stream failed");
        }
    }
}

/// A fact that becomes known now.
pub fn new_fact(clock: &Clock, task: TaskSid, identity: String, what: FactKind) -> NewFact {
    NewFact { call: task, identity, fact: Arc::new(Fact { at: clock.now(), kind: what }) }
}
