//! What a call task counts: the facts of its call as they are folded.

use crate::call::Call;
use crate::call::fact::{EpochMs, Fact, What};
use crate::call::step::{Change, Operation, Outcome, Settled, Step};
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Counts the facts of one call. Facts that were there when the call was claimed were counted before.
pub(super) struct CallMetrics {
    metrics: Arc<Metrics>,
    /// Whether each stream runs, by name. Stopped ones are kept, so that they are not taken for new.
    streams: BTreeMap<String, bool>,
    /// Operations that failed at the last attempt, with the change that they were for.
    failing: BTreeSet<(&'static str, Change)>,
    newest_event: Option<EpochMs>,
}

impl CallMetrics {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, streams: BTreeMap::new(), failing: BTreeSet::new(), newest_event: None }
    }

    /// Counts a fact that `call` has just folded. `fresh`: it was journaled after the call was claimed.
    pub(super) fn folded(&mut self, fact: &Fact, call: &Call, fresh: bool) {
        if fact.what.task_view().is_some() {
            self.newest_event = Some(fact.at);
        }
        match &fact.what {
            What::Settled(settled) => self.settled(settled, fact.at, fresh),
            What::Parked(parked) if fresh => {
                self.metrics.steps.parked.get_or_create(&[("change", labels::change(&parked.change))]).inc();
            }
            What::Unconfirmed { .. } if fresh => {
                self.metrics.streams.unconfirmed.inc();
            }
            What::Parked(_)
            | What::Begun(_)
            | What::Redriven
            | What::Reservation(_)
            | What::Task(_)
            | What::Transfer(_)
            | What::Stream(_)
            | What::Unconfirmed { .. }
            | What::Dismissed
            | What::Unparked => {}
        }
        self.compare_streams(call, fact.at, fresh);
    }

    fn settled(&mut self, settled: &Settled, at: EpochMs, fresh: bool) {
        let Settled { step, outcome, assumed, .. } = settled;
        let operation = step.operation.name();
        let tried = self.failing.len();
        self.failing.retain(|(failed, change)| *failed != operation || !step.why.contains(change));
        let again = self.failing.len() < tried;
        match outcome {
            Outcome::Done(_) | Outcome::Gone => {}
            Outcome::TryLater(_) | Outcome::Unknown(_) | Outcome::Refused(_) => {
                self.failing.extend(step.why.iter().map(|change| (operation, change.clone())));
            }
        }
        if !fresh {
            return;
        }
        let steps = &self.metrics.steps;
        steps.settled.get_or_create(&[("operation", operation), ("outcome", labels::outcome(outcome, *assumed))]).inc();
        if again {
            steps.retries.get_or_create(&[("operation", operation)]).inc();
        }
        if let Outcome::Done(_) = outcome {
            self.done(step, at);
        }
    }

    fn done(&self, step: &Step, at: EpochMs) {
        let steps = &self.metrics.steps;
        if let (true, Some(event)) = (step.operation.is_command(), self.newest_event) {
            steps.settle_delay_seconds.observe(seconds(event, at));
        }
        if matches!(step.operation, Operation::UpdateCustomer { .. }) {
            for change in step.why.iter().filter(|why| matches!(why, Change::RaiseGuard | Change::HoldAgain)) {
                steps.compensations.get_or_create(&[("change", labels::change(change))]).inc();
            }
        }
    }

    fn compare_streams(&mut self, call: &Call, at: EpochMs, fresh: bool) {
        if call.is_shadow() {
            return;
        }
        for stream in call.streams() {
            let before = self.streams.insert(stream.name.clone(), stream.is_live());
            match before {
                None if fresh => {
                    self.metrics.streams.started.inc();
                    let accepted = call.reservations().find(|(sid, _)| **sid == stream.reservation);
                    if let Some(accepted_at) = accepted.and_then(|(_, reservation)| reservation.accepted_at) {
                        self.metrics.streams.start_delay_seconds.observe(seconds(accepted_at, at));
                    }
                }
                Some(true) if fresh && !stream.is_live() => {
                    self.metrics.streams.stopped.inc();
                }
                None | Some(_) => {}
            }
        }
    }
}

/// Never negative: the two times may come from different clocks.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a call have far fewer than 52 bits")]
fn seconds(from: EpochMs, to: EpochMs) -> f64 {
    (to - from).max(0) as f64 / 1000.0
}
