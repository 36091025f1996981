//! Changes to streams by new TwiML for the customer's leg.
//!
//! Lower the guard, read that it is lowered and that somebody stays in the conference, redirect, see the customer back. Starts
//! and stops that are due together share one. Only the first task known on a leg may do it, and only while no other is on it:
//! the rejoin of a second one would raise a guard that the first has read lowered. Never for a pause.

use super::next::{Decision, Next};
use super::plan::{Plan, PlannedStart};
use super::policy::Strategy;
use super::register::Standing;
use super::sid::CallSid;
use super::step::{Command, Goal, Guard, Read};
use super::streams::{StopDue, Stream};

/// What one redirect does.
#[derive(Debug, Default)]
pub(super) struct Shared<'a> {
    stop: Vec<&'a Stream>,
    start: Vec<&'a PlannedStart>,
}

impl Shared<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.stop.is_empty() && self.start.is_empty()
    }

    pub(super) fn stops(&self, stream: &Stream) -> bool {
        self.stop.iter().any(|stopped| stopped.name == stream.name)
    }

    pub(super) fn starts(&self, start: &PlannedStart) -> bool {
        self.start.iter().any(|started| started.stream.name == start.stream.name)
    }

    /// Stops first.
    fn goals(&self) -> Vec<Goal> {
        let stops = self.stop.iter().map(|stream| Goal::Stop(stream.name.clone()));
        stops.chain(self.start.iter().map(|start| start.goal())).collect()
    }
}

impl Decision<'_> {
    /// Whether this task may redirect the leg at all.
    pub(super) fn may_redirect(&self) -> bool {
        let mine = (self.call.first_fact_at(), self.call.task());
        let alone = self.around.neighbours.iter().all(|other| {
            let theirs = (Some(other.since), Some(&other.task));
            !other.live && mine < theirs
        });
        self.policy.strategy == Strategy::Redirect && alone
    }

    /// The changes that a redirect is to make. A stop is worth one only while an agent stays with the customer and nothing has
    /// gone wrong on the way; a start only the first time.
    pub(super) fn shared_redirect<'p>(&self, plan: &'p Plan<'p>) -> Shared<'p> {
        if !self.may_redirect() || self.call.customer().is_none() {
            return Shared::default();
        }
        let somebody_stays = !self.call.accepted().is_empty() && !self.call.is_over();
        let smooth = |stream: &&&Stream| {
            let first = matches!(stream.stop_due(self.now, self.policy), StopDue::Send { conclusive: true, .. });
            let untried = !stream.is_being_stopped() && !self.call.retries.is_tried(&Goal::Stop(stream.name.clone()));
            let is_here = Some(&stream.call) == self.call.customer() && !stream.is_orphan() && !stream.is_failing();
            first && untried && is_here && !self.is_paused(stream) && !self.is_held_back(stream)
        };
        let stop: Vec<&Stream> = plan.stop.iter().filter(|_| somebody_stays).filter(smooth).copied().collect();
        // All of them, or none: what goes another way is not waited for.
        let stop = if stop.len() == plan.stop.len() { stop } else { Vec::new() };
        let mut start: Vec<&PlannedStart> = Vec::new();
        for next in plan.start.iter().filter(|start| !start.again) {
            let together = start.iter().copied().chain([next]).map(|start| &start.stream);
            if !self.has_room(together, &stop) {
                break;
            }
            start.push(next);
        }
        Shared { stop, start }
    }

    pub(super) fn redirect(&self, shared: &Shared<'_>, customer: &CallSid) -> Next {
        self.attempt(&shared.goals(), |why| self.toward_redirect(shared, customer, why))
    }

    fn toward_redirect(&self, shared: &Shared<'_>, customer: &CallSid, why: Vec<Goal>) -> Next {
        let Some(conference) = self.call.conference() else { return self.find_conference(why) };
        if self.leg.guard().standing(Guard::Lowered, self.now, self.policy) != Standing::Proven {
            return self.set_guard(Guard::Lowered, conference, customer, why);
        }
        let Some(friendly_name) = self.leg.friendly_name() else {
            return self.step(Read::Conference { conference: conference.clone() }, why);
        };
        let reading = self.leg.reading().filter(|reading| {
            // What TaskRouter told since may have come with a hold, or with somebody's leaving.
            let told_at = self.call.task.last_event_at();
            let fresh = self.now - reading.at <= self.policy.reading_max_age_ms && Some(reading.asked_at) >= told_at;
            let guard = reading.customer.as_ref().and_then(|row| row.guard);
            fresh && guard == Some(Guard::Lowered) && reading.others > 0
        });
        let Some(reading) = reading else { return self.read_at(self.now, conference, why) };
        let redirect = Command::Redirect {
            customer: customer.clone(),
            friendly_name: friendly_name.to_owned(),
            guard: self.leg.own_guard(),
            read_at: reading.at,
            stop: shared.stop.iter().map(|stream| stream.name.clone()).collect(),
            start: shared.start.iter().map(|start| start.stream.clone()).collect(),
        };
        self.step(redirect, why)
    }
}
