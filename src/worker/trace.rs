//! One trace per event, with the steps that followed from it. A change of an agent's stream belongs to the newest event of
//! their reservation; any other change belongs to the newest event of the call.

use crate::call::fact::{EpochMs, Fact, FactKind};
use crate::call::sid::{ReservationSid, TaskSid};
use crate::call::step::{Goal, Settled};
use crate::telemetry::labels;
use crate::telemetry::traces::{Span, SpanId, Traces};
use std::collections::BTreeMap;

/// The traces of one call.
pub(super) struct Trace {
    traces: Traces,
    task: TaskSid,
    /// The newest event. Its own span is recorded by whoever ingests it.
    newest: Option<SpanId>,
    newest_of: BTreeMap<ReservationSid, SpanId>,
}

impl Trace {
    pub(super) fn new(traces: Traces, task: TaskSid) -> Self {
        Self { traces, task, newest: None, newest_of: BTreeMap::new() }
    }

    /// Traces a fact. `fresh`: it was journaled after the call was claimed.
    pub(super) fn folded(&mut self, fact: &Fact, fresh: bool) {
        if !self.traces.are_wanted() {
            return;
        }
        match &fact.kind {
            FactKind::Reservation(event) => {
                let root = SpanId::of_event(&self.task, fact);
                self.newest_of.insert(event.reservation.clone(), root);
                self.newest = Some(root);
            }
            FactKind::Task(_) | FactKind::Transfer(_) | FactKind::Stream(_) | FactKind::Participant(_) => {
                self.newest = Some(SpanId::of_event(&self.task, fact));
            }
            FactKind::Settled(settled) if fresh => self.step(settled, fact.at),
            FactKind::Parked(parked) if fresh => {
                let reason = format!("{}: {}", parked.goal, parked.reason);
                let root = self.cause(std::slice::from_ref(&parked.goal));
                self.record(root, "parked", fact.at, fact.at, Vec::new(), Some(reason));
            }
            FactKind::Settled(_)
            | FactKind::Parked(_)
            | FactKind::Begun(_)
            | FactKind::Recovered(_)
            | FactKind::Noticed(_)
            | FactKind::Redriven
            | FactKind::Dismissed
            | FactKind::Operated(_)
            | FactKind::Paused(_)
            | FactKind::Resumed(_)
            | FactKind::Unparked => {}
        }
    }

    fn step(&self, settled: &Settled, at: EpochMs) {
        let Settled { step, sent_at, outcome, request_id, assumed } = settled;
        let why: Vec<String> = step.why.iter().map(ToString::to_string).collect();
        let mut attributes = vec![
            ("taskrouter_streams.step", step.id.to_string()),
            ("taskrouter_streams.why", why.join(" and ")),
            ("taskrouter_streams.outcome", labels::outcome(outcome, *assumed).to_owned()),
        ];
        attributes.extend(request_id.clone().map(|id| ("twilio.request_id", id)));
        let failure = outcome.trouble().map(|trouble| trouble.reason.clone());
        self.record(self.cause(&step.why), step.operation.name(), *sent_at, at, attributes, failure);
    }

    /// The event that these goals followed from.
    fn cause(&self, goals: &[Goal]) -> Option<SpanId> {
        let of_reservation = goals.iter().find_map(|goal| self.newest_of.get(&goal.reservation()?));
        of_reservation.copied().or(self.newest)
    }

    fn record(
        &self,
        root: Option<SpanId>,
        name: &'static str,
        from: EpochMs,
        to: EpochMs,
        mut attributes: Vec<(&'static str, String)>,
        failure: Option<String>,
    ) {
        let Some(root) = root else { return };
        attributes.push(("twilio.task_sid", self.task.to_string()));
        let below = Some(format!("{name} {from}"));
        self.traces.record(Span { root, below, name, from, to, attributes, failure });
    }
}
