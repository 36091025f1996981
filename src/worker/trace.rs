//! One trace per event, with the steps that followed from it. A change of an agent's stream belongs to the newest event of
//! their reservation; any other change belongs to the newest event of the call.

use crate::call::fact::{EpochMs, Fact, What};
use crate::call::sid::{ReservationSid, TaskSid};
use crate::call::step::{Change, Outcome, Settled};
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
        match &fact.what {
            What::Reservation(event) => {
                let root = SpanId::of_event(&self.task, fact);
                self.newest_of.insert(event.reservation.clone(), root);
                self.newest = Some(root);
            }
            What::Task(_) | What::Transfer(_) | What::Stream(_) => {
                self.newest = Some(SpanId::of_event(&self.task, fact));
            }
            What::Settled(settled) if fresh => self.step(settled, fact.at),
            What::Parked(parked) if fresh => {
                let reason = format!("{}: {}", parked.change, parked.reason);
                let root = self.cause(std::slice::from_ref(&parked.change));
                self.record(root, "parked", fact.at, fact.at, Vec::new(), Some(reason));
            }
            What::Settled(_)
            | What::Parked(_)
            | What::Begun(_)
            | What::Unconfirmed { .. }
            | What::Redriven
            | What::Dismissed
            | What::Unparked => {}
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
        let failure = match outcome {
            Outcome::Done(_) | Outcome::Gone => None,
            Outcome::TryLater(trouble) | Outcome::Unknown(trouble) | Outcome::Refused(trouble) => {
                Some(trouble.reason.clone())
            }
        };
        self.record(self.cause(&step.why), step.operation.name(), *sent_at, at, attributes, failure);
    }

    /// The event that these changes followed from.
    fn cause(&self, changes: &[Change]) -> Option<SpanId> {
        let of_reservation = changes.iter().find_map(|change| match change {
            Change::Start(reservation) | Change::Stop(reservation) => self.newest_of.get(reservation),
            Change::LowerAhead
            | Change::RaiseGuard
            | Change::HoldAgain
            | Change::Rejoin
            | Change::Orphan(_)
            | Change::Reconcile
            | Change::Serve => None,
        });
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
