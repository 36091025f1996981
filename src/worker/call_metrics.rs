//! What a call task counts: the facts of its call as they are folded.

use crate::call::Call;
use crate::call::fact::{EpochMs, Fact, FactKind, Notice};
use crate::call::step::{Command, Goal, Operation, Outcome, Settled, Step};
use crate::call::streams::Stream;
use crate::telemetry::labels;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::series::AccountLabels;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Counts the facts of one call. Facts that were there when the call was claimed were counted before.
pub(super) struct CallMetrics {
    metrics: Arc<Metrics>,
    /// How far each stream had come, by name. Those that are over are kept, so that they are not taken for new.
    streams: BTreeMap<String, Progress>,
    /// Operations that failed at the last attempt, with the goal that they were for.
    failing: BTreeSet<(&'static str, Goal)>,
    newest_event: Option<EpochMs>,
}

/// What has been counted of a stream.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    taken: bool,
    proven: bool,
    over: bool,
}

impl Progress {
    fn of(stream: &Stream) -> Self {
        Self {
            taken: stream.taken_at().is_some() || stream.started_at().is_some(),
            proven: stream.started_at().is_some(),
            over: !stream.may_run(),
        }
    }
}

impl CallMetrics {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, streams: BTreeMap::new(), failing: BTreeSet::new(), newest_event: None }
    }

    /// Counts a fact that `call` has just folded. `fresh`: it was journaled after the call was claimed.
    pub(super) fn folded(&mut self, fact: &Fact, call: &Call, fresh: bool) {
        if fact.kind.task_view().is_some() {
            self.newest_event = Some(fact.at);
        }
        match &fact.kind {
            FactKind::Settled(settled) => self.settled(settled, fact.at, fresh),
            FactKind::Parked(parked) if fresh => {
                let labels = AccountLabels::new([("change", labels::goal(&parked.goal))], call.account());
                self.metrics.steps.parked.get_or_create(&labels).inc();
            }
            FactKind::Noticed(notice) if fresh => self.noticed(notice),
            FactKind::Parked(_)
            | FactKind::Begun(_)
            | FactKind::Redriven
            | FactKind::Reservation(_)
            | FactKind::Task(_)
            | FactKind::Transfer(_)
            | FactKind::Stream(_)
            | FactKind::Participant(_)
            | FactKind::Recovered(_)
            | FactKind::Noticed(_)
            | FactKind::Dismissed
            | FactKind::Operated(_)
            | FactKind::Paused(_)
            | FactKind::Resumed(_)
            | FactKind::Unparked => {}
        }
        self.compare_streams(call, fact.at, fresh);
    }

    fn settled(&mut self, settled: &Settled, at: EpochMs, fresh: bool) {
        let Settled { step, outcome, assumed, .. } = settled;
        let operation = step.operation.name();
        let tried = self.failing.len();
        self.failing.retain(|(failed, goal)| *failed != operation || !step.why.contains(goal));
        let again = self.failing.len() < tried;
        if outcome.trouble().is_some() {
            self.failing.extend(step.why.iter().map(|goal| (operation, goal.clone())));
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
        if let (true, Some(event)) = (step.operation.command().is_some(), self.newest_event) {
            steps.settle_delay_seconds.observe(seconds(event, at));
        }
        if matches!(step.operation, Operation::Command(Command::UpdateCustomer { .. })) {
            for goal in step.why.iter().filter(|why| matches!(why, Goal::RaiseGuard | Goal::HoldAgain)) {
                steps.compensations.get_or_create(&[("change", labels::goal(goal))]).inc();
            }
        }
    }

    fn compare_streams(&mut self, call: &Call, at: EpochMs, fresh: bool) {
        if call.is_shadow() {
            return;
        }
        for stream in call.streams() {
            let now = Progress::of(stream);
            let before = self.streams.insert(stream.name.clone(), now).unwrap_or_default();
            if !fresh {
                continue;
            }
            let streams = &self.metrics.streams;
            if now.taken && !before.taken {
                streams.started.get_or_create(&AccountLabels::new([], call.account())).inc();
                let accepted = call.reservations().find(|(sid, _)| **sid == stream.reservation);
                if let Some(accepted_at) = accepted.and_then(|(_, reservation)| reservation.accepted_at) {
                    streams.start_delay_seconds.observe(seconds(accepted_at, at));
                }
            }
            streams.proven.inc_by(u64::from(now.proven && !before.proven));
            streams.stopped.inc_by(u64::from(now.over && !before.over && now.taken));
        }
    }

    fn noticed(&self, notice: &Notice) {
        let streams = &self.metrics.streams;
        match notice {
            Notice::StartUnproven { .. } => streams.unconfirmed.inc(),
            Notice::StopUnproven { .. } => streams.stops_unproven.inc(),
            Notice::LegMoved { .. } => streams.leg_checks.get_or_create(&[("outcome", "moved")]).inc(),
            Notice::LegStayed { .. } => streams.leg_checks.get_or_create(&[("outcome", "stayed")]).inc(),
            Notice::LegUnverified { .. } => streams.leg_checks.get_or_create(&[("outcome", "unverified")]).inc(),
            Notice::NoCall => self.metrics.work.tasks_without_call.inc(),
            Notice::PauseProven { .. } => streams.pauses.get_or_create(&[("outcome", "proven")]).inc(),
            Notice::PauseUnproven { .. } => streams.pauses.get_or_create(&[("outcome", "unproven")]).inc(),
            Notice::PauseOverdue { .. } => streams.pauses.get_or_create(&[("outcome", "overdue")]).inc(),
            Notice::GuardLeft { .. } | Notice::OnHold | Notice::OffHold | Notice::RedirectVoid => 0,
        };
    }
}

/// Never negative: the two times may come from different clocks.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a call have far fewer than 52 bits")]
fn seconds(from: EpochMs, to: EpochMs) -> f64 {
    (to - from).max(0) as f64 / 1000.0
}
