//! What an operator can do. An action is a fact like any other: it is journaled, and the worker then acts on it.

use super::error::ConsoleError;
use super::queries::Queries;
use crate::call::fact::{FactKind, Operated, OperatorAct};
use crate::call::sid::TaskSid;
use crate::ingest::{ingest_request, new_fact};
use crate::journal::Operators;
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

    pub(super) fn named(word: &str) -> Option<Self> {
        [Action::Redrive, Action::Dismiss].into_iter().find(|action| action.word() == word)
    }

    fn kind(self, by: Option<&str>) -> FactKind {
        match (self, by) {
            (Action::Redrive, None) => FactKind::Redriven,
            (Action::Dismiss, None) => FactKind::Dismissed,
            (Action::Redrive, Some(by)) => {
                FactKind::Operated(Operated { act: OperatorAct::Redrive, by: by.to_owned() })
            }
            (Action::Dismiss, Some(by)) => {
                FactKind::Operated(Operated { act: OperatorAct::Dismiss, by: by.to_owned() })
            }
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

    /// Performs an action for an operator, by name when it is known; returns after the commit.
    pub(super) async fn perform(&self, task: &TaskSid, action: Action, by: Option<&str>) -> Result<(), ConsoleError> {
        let (call, last) = self.queries.call(task).await?;
        if call.parked.is_empty() {
            return Err(ConsoleError::NothingParked);
        }
        // Named by the last fact, so that a form that is sent twice acts once.
        let identity = format!("{}:{task}:{last}", action.word());
        let fact = new_fact(self.journal.clock(), task.clone(), identity, action.kind(by));
        let account = call.account.as_ref().and_then(|account| account.parse().ok());
        ingest_request(&*self.journal, &self.metrics, fact, account.as_ref()).await?;
        let operator = by.unwrap_or("-");
        tracing::info!(task_sid = %task, action = action.word(), operator, "an operator handled parked changes");
        Ok(())
    }
}
