//! What is due about a hold, where a destination has `on_hold = "stop"`: to notice it, and to look whether there is one.

use super::fact::{EpochMs, Notice};
use super::leg::Whereabouts;
use super::next::{Decision, Next};
use super::rules::OnHold;
use super::sid::ReservationSid;
use super::step::Goal;
use super::streams::Stream;

impl Decision<'_> {
    /// A hold that began or ended is noticed before anything is done about it.
    pub(super) fn hold_changed(&self) -> Option<Next> {
        if self.call.is_over() || !self.goes_by_holds() {
            return None;
        }
        let on = self.is_on_hold();
        (on != self.call.holds.is_on()).then(|| self.notice(if on { Notice::OnHold } else { Notice::OffHold }))
    }

    /// Whether the customer is on hold. One whom we took off hold for a moment stays so, unless holding them again was given up.
    fn is_on_hold(&self) -> bool {
        let given_up = self.call.retries.is_parked(&Goal::HoldAgain);
        self.leg.is_on_hold(self.now, &self.call.task) && !(given_up && self.leg.hold().is() != Some(true))
    }

    /// Whether a hold makes a difference to anybody's stream.
    fn goes_by_holds(&self) -> bool {
        let stops = (0..self.policy.destinations.len()).any(|slot| self.stops_on_hold(slot));
        stops && self.call.is_eligible(self.policy) && (self.call.holds.is_on() || !self.call.accepted().is_empty())
    }

    pub(super) fn stops_on_hold(&self, slot: usize) -> bool {
        self.policy.destinations.get(slot).is_some_and(|destination| destination.on_hold == OnHold::Stop)
    }

    /// Whether this stream is not to run because of a hold.
    pub(super) fn is_held_back(&self, stream: &Stream) -> bool {
        self.call.holds.is_on() && self.stops_on_hold(stream.slot)
    }

    /// Of the destinations that a reservation's stream may go to, those that a hold leaves it. None when its last stream went to one
    /// that stops; nor when it has had no stream yet and one of them stops, which may be its turn.
    pub(super) fn left_by_hold(&self, reservation: &ReservationSid, mut slots: Vec<usize>) -> Vec<usize> {
        if !self.call.holds.is_on() {
            return slots;
        }
        let last = self.call.streams().iter().rfind(|stream| stream.reservation == *reservation);
        let stops = |slot: &usize| self.stops_on_hold(*slot);
        let rests = last.map_or_else(|| slots.iter().any(stops), |stream| stops(&stream.slot));
        slots.retain(|slot| !rests && !stops(slot));
        slots
    }

    /// Looks whether the customer is on hold: an event says that it changed, or it is time to look.
    pub(super) fn look_at_hold(&self) -> Option<Next> {
        if self.call.is_over() || *self.leg.whereabouts() != Whereabouts::There || !self.goes_by_holds() {
            return None;
        }
        let due = [self.call.holds.look_due(), self.poll_due()].into_iter().flatten().min()?;
        if due > self.now && !self.call.retries.is_tried(&Goal::CheckHold) {
            return Some(Next::WaitUntil(due));
        }
        // One look tells both.
        let stray = self.leg.hold().look_at(&self.call.task, self.policy).filter(|at| *at <= self.now);
        let goals: Vec<Goal> = [Goal::CheckHold].into_iter().chain(stray.map(|_| Goal::HoldAgain)).collect();
        Some(self.attempt(&goals, |why| self.read_or_find(due, why)))
    }

    /// Where nobody is asked regularly, only a hold is looked at: an event of its end may be lost, or never have been sent.
    fn poll_due(&self) -> Option<EpochMs> {
        let gap = match self.policy.hold_poll_ms {
            0 => self.call.holds.is_on().then_some(self.policy.slow_retry_ms)?,
            poll_ms => poll_ms,
        };
        Some(self.call.holds.read_at().or(self.call.first_fact_at())? + gap)
    }

    /// When a hold that we owe and do not pay does not count any more.
    pub(super) fn hold_forgotten(&self) -> Option<Next> {
        let at = self.leg.hold().forgotten_at(&self.call.task).filter(|at| *at > self.now && self.call.holds.is_on());
        at.map(Next::WaitUntil)
    }
}
