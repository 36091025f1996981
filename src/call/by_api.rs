//! Changes to streams by requests to the leg's Streams resource, which leave the leg where it is: no guard, no hold, no
//! conference is asked for, and each stream is started and stopped on its own.

use super::next::{Decision, Next, soonest};
use super::plan::Plan;
use super::step::{Change, Operation, StreamStart};

impl Decision<'_> {
    pub(super) fn change_by_api(&self, plan: &Plan) -> Next {
        let Some(customer) = self.call.customer() else {
            return self.without_customer(plan);
        };
        let orphans = self.stop_orphans(plan, customer);
        let stops = plan.stop.iter().map(|stream| {
            let stop = |why| self.stop_stream(customer, stream, why);
            self.attempt(&[Change::Stop(stream.reservation.clone())], stop)
        });
        let starts = plan.start.iter().filter(|start| self.has_room_for(start)).map(|start| {
            let operation = Operation::CreateStream { customer: customer.clone(), stream: start.clone() };
            self.attempt(&[Change::Start(start.reservation.clone())], |why| self.step(operation, why))
        });
        // Stops before starts, of those that can be done now.
        soonest(orphans.into_iter().chain(stops).chain(starts)).unwrap_or(Next::Idle)
    }

    /// Whether the tracks are free already: what is to be stopped for it may still be running.
    fn has_room_for(&self, start: &StreamStart) -> bool {
        let live = self.call.streams().iter().filter(|stream| stream.is_live());
        let used: usize = live.map(|stream| self.policy.tracks(stream.slot)).sum();
        used + self.policy.tracks(start.slot) <= self.policy.track_budget
    }

    /// The customer's leg is not known yet.
    pub(super) fn without_customer(&self, plan: &Plan) -> Next {
        let changes = plan.changes();
        if changes.is_empty() { Next::Idle } else { self.attempt(&changes, |why| self.find_customer(why)) }
    }

    /// Of a call that we placed the customer's leg may only show in the conference.
    fn find_customer(&self, why: Vec<Change>) -> Next {
        let placed = self.call.is_outbound() && self.call.worker_leg().is_some();
        if let Some(conference) = self.call.conference().filter(|_| placed) {
            return self.step(Operation::ReadParticipants { conference: conference.clone() }, why);
        }
        match self.call.task() {
            Some(task) => self.step(Operation::FetchTask { task: task.clone() }, why),
            None => Next::Idle,
        }
    }
}
