//! What an operator can do. It is a fact like any other: journaled first, acted on by whoever works on the call.

use super::Console;
use super::refusal::Refusal;
use super::view::CallView;
use crate::call::fact::{Fact, What};
use crate::call::sid::TaskSid;
use crate::journal::{self, Ingested, NewFact};
use crate::telemetry::labels;

/// What is to be done about everything of a call that is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Try it again.
    Redrive,
    /// Leave it as it is.
    Dismiss,
}

impl Act {
    pub(super) fn word(self) -> &'static str {
        match self {
            Act::Redrive => "redrive",
            Act::Dismiss => "dismiss",
        }
    }

    fn what(self) -> What {
        match self {
            Act::Redrive => What::Redriven,
            Act::Dismiss => What::Dismissed,
        }
    }
}

impl Console {
    /// Does it; returns after the commit.
    pub(super) async fn act(&self, task: &TaskSid, act: Act) -> Result<(), Refusal> {
        let (facts, last) = self.facts(task).await?;
        let view = CallView::of(task, &facts, &self.settings.accounts).ok_or(Refusal::NoSuchCall)?;
        if view.parked.is_empty() {
            return Err(Refusal::NothingParked);
        }
        // Named by what the operator has seen, so that a form that is sent twice does it once.
        let identity = format!("{}:{task}:{last}", act.word());
        let fact = Fact { at: journal::now(), what: act.what() };
        let kind = labels::event(&fact.what);
        let ingested = self.journal.ingest(NewFact { call: task.clone(), identity, fact }).await;
        let verdict = match &ingested {
            Ok(Ingested::New) => "new",
            Ok(Ingested::Duplicate) => "duplicate",
            Err(_) => "refused",
        };
        self.metrics.ingress.events.get_or_create(&[("type", kind), ("verdict", verdict)]).inc();
        ingested?;
        tracing::info!(task_sid = %task, act = act.word(), "an operator took care of what was parked");
        Ok(())
    }
}
