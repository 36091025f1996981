//! How answers and status callbacks change what is known of the streams: the transitions that touch [`super::ledger`].

use super::fact::{EpochMs, StreamChange, StreamEvent};
use super::leg::{Doubt, Leg};
use super::sid::StreamSid;
use super::step::{Operation, Step};

impl Leg {
    pub(super) fn streams_applied(&mut self, step: &Step, sid: Option<&StreamSid>, at: EpochMs) {
        if let Operation::Redirect { stop, .. } = &step.operation {
            for name in stop {
                self.ledger.stopped(name, at);
                self.maybe_started.remove(name);
            }
        }
        let starts = step.operation.starts();
        self.ledger.accepted(starts, sid, at);
        for start in starts {
            self.maybe_started.remove(&start.name);
        }
        self.went_well(step);
    }

    pub(super) fn created(&mut self, step: &Step, sid: Option<&StreamSid>, at: EpochMs) {
        self.streams_applied(step, sid, at);
        self.doubt = None;
    }

    pub(super) fn stream_stopped(&mut self, step: &Step, name: &str, at: EpochMs) {
        self.ledger.stopped(name, at);
        // Whether it was ever started nobody will know, and now it does not matter.
        if let Some(Operation::CreateStream { stream, .. }) = self.doubt.as_ref().map(|doubt| &doubt.step.operation)
            && stream.name == name
        {
            self.ledger.burn(stream);
            self.doubt = None;
        }
        self.maybe_started.remove(name);
        self.went_well(step);
    }

    /// A status callback. One that says "started" is the proof that a request whose answer is not known took effect.
    pub(super) fn stream_told(&mut self, event: &StreamEvent, at: EpochMs) {
        let expected = self.maybe_started.contains(&event.name);
        self.ledger.hear(event, expected, at);
        if event.change != StreamChange::Started {
            return;
        }
        let starts_it = |doubt: &&Doubt| doubt.step.operation.starts().iter().any(|start| start.name == event.name);
        let Some(step) = self.doubt.as_ref().filter(starts_it).map(|doubt| doubt.step.clone()) else { return };
        if let Operation::CreateStream { .. } = step.operation {
            self.created(&step, Some(&event.stream), at);
        } else {
            self.redirected(&step, at);
        }
    }
}
