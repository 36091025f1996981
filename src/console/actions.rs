//! What an operator can do. An action is a fact like any other: it is journaled, and the worker then acts on it.

use super::error::ConsoleError;
use super::queries::Queries;
use crate::call::fact::FactKind;
use crate::call::sid::TaskSid;
use crate::ingest::new_fact;
use crate::journal::{Ingested, Operators};
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;

/// What to do with everything of a call that is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Redrive,
    /// Leave it undone.
    Dismiss,
}

impl Action {
    pub(super) fn word(self) -> &'static str {
        match self {
            Action::Redrive => "redrive",
            Action::Dismiss => "dismiss",
        }
    }

    fn kind(self) -> FactKind {
        match self {
            Action::Redrive => FactKind::Redriven,
            Action::Dismiss => FactKind::Dismissed,
        }
    }
}
pub(super) struct Actions {
    journal: Arc<dyn Operators>,
    metrics: Arc<Metrics>,
    queries: Queries,
}

impl Actions {
    pub(super) fn new(journal: Arc<dyn Operators>, metrics: Arc<Metrics>, queries: Queries) -> Self {
        Self { journal, metrics, queries }
    }

    /// Performs an action; returns after the commit.
    pub(super) async fn perform(&self, task: &TaskSid, action: Action) -> Result<(), ConsoleError> {
        let (call, last) = self.queries.call(task).await?;
        if call.parked.is_empty() {
            return Err(ConsoleError::NothingParked);
        }
        // Named by the last fact, so that a form that is sent twice acts once.
        let identity = format!("{}:{task}:{last}", action.word());
        let fact = new_fact(self.journal.clock(), task.clone(), identity, action.kind());
        let kind = labels::event(&fact.fact.kind);
        let ingested = self.journal.ingest(fact).await;
        let verdict = match &ingested {
            Ok(Ingested::New) => "new",
            Ok(Ingested::Duplicate) => "duplicate",
            Err(_) => "refused",
        };
        self.metrics.ingress.events.get_or_create(&[("type", kind), ("verdict", verdict)]).inc();
        ingested?;
        tracing::info!(task_sid = %task, action = action.word(), "an operator handled parked changes");
        Ok(())
    }
}
