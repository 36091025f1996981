//! Journals facts from outside, several at a time, and traces the new ones. Both the listener and the backfiller use it.

use crate::call::fact::{Fact, FactKind};
use crate::call::sid::TaskSid;
use crate::journal::{Clock, Ingest, Ingested, JournalError, NewFact};
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
        if let (Some(span), Ok(Ingested::New)) = (span, &result) {
            self.traces.record(Span { to: self.clock().now(), ..span });
        }
        (fact, result)
    }
}

/// A fact that becomes known now.
pub fn new_fact(clock: &Clock, task: TaskSid, identity: String, what: FactKind) -> NewFact {
    NewFact { call: task, identity, fact: Fact { at: clock.now(), kind: what } }
}
