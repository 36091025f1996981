//! What follows from a call's facts, for its task; and the memory of it between two claims, so that the next task goes on from there
//! instead of reading all the facts again.

use super::call_metrics::CallMetrics;
use super::settings::WorkerSettings;
use super::shadow::Shadow;
use super::trace::Trace;
use crate::call::fact::Fact;
use crate::call::sid::TaskSid;
use crate::call::{Call, Summarizer, Summary};
use crate::journal::{Claim, GivenBack, Seq};
use crate::telemetry::metrics::Metrics;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a fold is kept. A journal deletes nothing that was heard of within an hour (`journal.retention_hours`), so that what was
/// kept is not of a call that has begun anew.
const KEPT_FOR: Duration = Duration::from_secs(1_800);

/// A call's facts, folded.
pub(super) struct Fold {
    pub(super) call: Call,
    summarizer: Summarizer,
    call_metrics: CallMetrics,
    pub(super) shadow: Shadow,
    trace: Trace,
    /// The number of the last fact.
    pub(super) seen: Seq,
}

impl Fold {
    /// Of no facts.
    pub(super) fn new(metrics: &Arc<Metrics>, settings: &WorkerSettings, task: &TaskSid) -> Self {
        Self {
            call: Call::default(),
            summarizer: Summarizer::default(),
            call_metrics: CallMetrics::new(metrics.clone()),
            shadow: Shadow::new(settings.shadow),
            trace: Trace::new(settings.traces.clone(), task.clone()),
            seen: 0,
        }
    }

    /// Takes the next facts. `fresh`: they were journaled after the call was claimed.
    pub(super) fn take(&mut self, facts: Vec<(Seq, Fact)>, fresh: bool) {
        for (seq, fact) in facts {
            self.seen = seq;
            // Shown in the timeline only.
            if self.call.is_foreign(&fact.kind) {
                continue;
            }
            self.call.apply(&fact);
            self.summarizer.folded(&fact, &self.call);
            self.call_metrics.folded(&fact, &self.call, fresh);
            self.shadow.folded(&fact, &self.call);
            self.trace.folded(&fact, fresh);
        }
    }

    pub(super) fn summary(&self) -> Option<Summary> {
        self.summarizer.summary(&self.call, self.seen)
    }
}

/// The folds of calls that were given back last and may go on.
#[derive(Default)]
pub(super) struct KeptFolds {
    limit: usize,
    folds: Mutex<Folds>,
}

#[derive(Default)]
struct Folds {
    by_call: HashMap<TaskSid, Kept>,
    /// The longest kept first.
    order: BTreeMap<u64, TaskSid>,
    next: u64,
}

struct Kept {
    fold: Box<Fold>,
    /// Under which the call was given back.
    claim: Claim,
    since: Instant,
    place: u64,
}

impl KeptFolds {
    /// Keeps no more than `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, folds: Mutex::default() }
    }

    /// The call was given back, and nobody has it.
    pub(super) fn keep(&self, claim: Claim, fold: Box<Fold>) {
        let task = claim.call.clone();
        let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        let place = folds.next;
        folds.next += 1;
        folds.order.insert(place, task.clone());
        let kept = Kept { fold, claim, since: Instant::now(), place };
        if let Some(before) = folds.by_call.insert(task, kept) {
            folds.order.remove(&before.place);
        }
        while folds.by_call.len() > self.limit
            && let Some((_, longest)) = folds.order.pop_first()
        {
            folds.by_call.remove(&longest);
        }
    }

    /// What is known of a call that was claimed, if it can be gone on from: its facts are at least those that were folded.
    pub(super) fn take(&self, claim: &Claim) -> Option<Box<Fold>> {
        let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { fold, claim: _, since, place } = folds.by_call.remove(&claim.call)?;
        folds.order.remove(&place);
        (since.elapsed() < KEPT_FOR && fold.seen <= claim.facts).then_some(fold)
    }

    /// How a call was given back whose fold is kept.
    pub(super) fn given_back(&self, task: &TaskSid) -> Option<GivenBack> {
        let folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { fold, claim: Claim { fence, alone_on, .. }, since, place: _ } = folds.by_call.get(task)?;
        let given_back = || GivenBack { fence: *fence, seen: fold.seen, alone_on: alone_on.clone() };
        (since.elapsed() < KEPT_FOR).then(given_back)
    }
}
