//! The next step: desired against observed.
//!
//! The order of the questions is the order of danger: first a redirect whose end is not known, then a customer who is on
//! his way back, then the streams that should change, then the guard, then the hold.

use super::fact::{EpochMs, Parked};
use super::leg::{GuardState, Leg, Streak, Watch};
use super::plan::Plan;
use super::policy::Policy;
use super::sid::{CallSid, ConferenceSid};
use super::state::Call;
use super::step::{Change, Guard, Operation, Step};

/// What to do about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Perform this step, journal how it ended, and ask again.
    Do(Step),
    /// Journal that this was given up, tell somebody, and ask again.
    Park(Parked),
    /// Ask again at this time, or when a fact arrives.
    WaitUntil(EpochMs),
    /// Ask again when a fact arrives.
    Idle,
    /// The call is over: nothing will be done any more.
    Over,
}

impl Call {
    /// The next step at `now`.
    pub fn next(&self, now: EpochMs, policy: &Policy) -> Next {
        if self.is_over() {
            return Next::Over;
        }
        if !self.is_eligible() {
            return Next::Idle;
        }
        Decision { call: self, leg: &self.leg, now, policy }.next()
    }
}

/// One decision: the call, the time and the limits.
struct Decision<'a> {
    call: &'a Call,
    leg: &'a Leg,
    now: EpochMs,
    policy: &'a Policy,
}

impl Decision<'_> {
    fn next(&self) -> Next {
        if let Some(next) = self.doubt() {
            return next;
        }
        if let Some(next) = self.rejoin() {
            return next;
        }
        let plan = self.call.plan(self.policy);
        if !plan.is_empty() {
            return self.change_streams(&plan);
        }
        let (Some(conference), Some(customer)) = (self.call.conference(), self.call.customer()) else {
            return Next::Idle;
        };
        if self.call.has_open_transfer() && !self.leg.parked.contains_key(&Change::LowerAhead) {
            if self.leg.guard != GuardState::Lowered {
                let lower = |why| self.lower(conference, customer, why);
                return self.attempt(&[Change::LowerAhead], lower);
            }
        } else if self.leg.guard != GuardState::Untouched && !self.leg.parked.contains_key(&Change::RaiseGuard) {
            return self.attempt(&[Change::RaiseGuard], |why| self.raise(conference, customer, why));
        }
        if self.leg.owes_hold && !self.leg.parked.contains_key(&Change::HoldAgain) {
            return self.attempt(&[Change::HoldAgain], |why| self.update(conference, customer, None, Some(true), why));
        }
        Next::Idle
    }

    /// A redirect whose end is not known: look at the customer's row until it has told, or has not changed for long enough.
    fn doubt(&self) -> Option<Next> {
        let doubt = self.leg.doubt.as_ref()?;
        let watch = doubt.watch;
        if watch.polls > 0 && watch.last_poll - watch.since >= self.policy.doubt_ms {
            return None;
        }
        let conference = self.call.conference()?;
        Some(self.attempt(&doubt.step.why, |why| self.poll(conference, watch, why)))
    }

    /// The customer is on his way back into the conference.
    fn rejoin(&self) -> Option<Next> {
        let watch = self.leg.rejoining?;
        let deadline = watch.since + self.policy.rejoin_ms;
        if self.now >= deadline {
            let reason = format!(
                "the customer was not seen back in the conference within {} ms of the redirect",
                self.policy.rejoin_ms
            );
            return Some(Next::Park(Parked { change: Change::Rejoin, reason }));
        }
        let conference = self.call.conference()?;
        Some(self.attempt(&[Change::Rejoin], |why| self.poll(conference, watch, why)))
    }

    fn change_streams(&self, plan: &Plan) -> Next {
        self.attempt(&plan.changes(), |why| {
            let Some(customer) = self.call.customer() else {
                return match self.call.task() {
                    Some(task) => self.step(Operation::FetchTask { task: task.clone() }, why),
                    None => Next::Idle,
                };
            };
            match plan.stop.first() {
                Some(stream) if plan.start.is_empty() && !self.may_redirect_to_stop(&why) => {
                    let name = stream.name.clone();
                    let why = vec![Change::Stop(stream.reservation.clone())];
                    self.step(Operation::StopStream { customer: customer.clone(), name }, why)
                }
                _ => self.toward_redirect(plan, customer, why),
            }
        })
    }

    /// A stop alone is worth a redirect only while an agent stays with the customer and nothing has gone wrong on the way:
    /// otherwise the Streams resource stops the stream without touching the call.
    fn may_redirect_to_stop(&self, why: &[Change]) -> bool {
        let somebody_stays = !self.call.accepted().is_empty();
        let smooth = why.iter().all(|change| !self.leg.streaks.contains_key(change));
        somebody_stays && smooth
    }

    fn toward_redirect(&self, plan: &Plan, customer: &CallSid, why: Vec<Change>) -> Next {
        let Some(conference) = self.call.conference() else {
            return match self.call.task() {
                Some(task) => self.step(Operation::FindConference { friendly_name: task.to_string() }, why),
                None => Next::Idle,
            };
        };
        if self.leg.guard != GuardState::Lowered {
            return self.lower(conference, customer, why);
        }
        let Some(room) = self.leg.room() else {
            return self.step(Operation::FetchConference { conference: conference.clone() }, why);
        };
        let safe = self.leg.reading.as_ref().is_some_and(|reading| {
            let fresh = self.now - reading.at <= self.policy.reading_max_age_ms;
            let guard = reading.customer.as_ref().and_then(|row| row.guard);
            fresh && guard == Some(Guard::Lowered) && reading.others > 0
        });
        if !safe {
            return self.step(Operation::ReadParticipants { conference: conference.clone() }, why);
        }
        // What a redirect of unknown outcome may have started is stopped ahead of being started again.
        let unsure = self.leg.maybe_started.iter().cloned();
        let stop = plan.stop.iter().map(|stream| stream.name.clone()).chain(unsure).collect();
        let room = room.to_owned();
        self.step(Operation::Redirect { customer: customer.clone(), room, stop, start: plan.start.clone() }, why)
    }

    /// On the way to a guard that reads lowered.
    fn lower(&self, conference: &ConferenceSid, customer: &CallSid, why: Vec<Change>) -> Next {
        match self.leg.guard {
            GuardState::Lowering(watch) if self.now < watch.since + self.policy.verify_guard_ms => {
                // The reading would come too early for Twilio's lag anyway: use the time to learn the room's name.
                if self.leg.room().is_none() && watch.polls == 0 {
                    return self.step(Operation::FetchConference { conference: conference.clone() }, why);
                }
                self.poll(conference, watch, why)
            }
            GuardState::Untouched
            | GuardState::Lowering(_)
            | GuardState::Lowered
            | GuardState::Raising(_)
            | GuardState::Unsure => self.update(conference, customer, Some(Guard::Lowered), None, why),
        }
    }

    /// On the way to a guard that reads raised.
    fn raise(&self, conference: &ConferenceSid, customer: &CallSid, why: Vec<Change>) -> Next {
        match self.leg.guard {
            GuardState::Raising(watch) if self.now < watch.since + self.policy.verify_guard_ms => {
                self.poll(conference, watch, why)
            }
            GuardState::Untouched
            | GuardState::Lowering(_)
            | GuardState::Lowered
            | GuardState::Raising(_)
            | GuardState::Unsure => self.update(conference, customer, Some(Guard::Raised), None, why),
        }
    }

    fn update(
        &self,
        conference: &ConferenceSid,
        customer: &CallSid,
        guard: Option<Guard>,
        hold: Option<bool>,
        why: Vec<Change>,
    ) -> Next {
        let conference = conference.clone();
        if self.leg.absent {
            return self.step(Operation::ReadParticipants { conference }, why);
        }
        // A guard written while the customer is held is ignored, unless the same request takes him off hold.
        let held = self.leg.was_held_since(self.now - self.policy.reading_max_age_ms);
        let hold = hold.or_else(|| (guard.is_some() && held).then_some(false));
        self.step(Operation::UpdateCustomer { conference, customer: customer.clone(), guard, hold }, why)
    }

    /// The next reading of a watch, when its time has come.
    fn poll(&self, conference: &ConferenceSid, watch: Watch, why: Vec<Change>) -> Next {
        let due = watch.last_poll + self.policy.poll_gap(watch.polls);
        if self.now < due {
            return Next::WaitUntil(due);
        }
        self.step(Operation::ReadParticipants { conference: conference.clone() }, why)
    }

    /// Tries some changes: parks those that have been tried for long enough, and waits while none may be tried yet.
    fn attempt(&self, changes: &[Change], how: impl FnOnce(Vec<Change>) -> Next) -> Next {
        let streak = |change: &Change| -> Option<&Streak> { self.leg.streaks.get(change) };
        let given_up = changes.iter().find_map(|change| {
            let streak = streak(change).filter(|streak| self.policy.is_exhausted(streak))?;
            (!self.leg.parked.contains_key(change))
                .then(|| Parked { change: change.clone(), reason: streak.reason.clone() })
        });
        if let Some(parked) = given_up {
            return Next::Park(parked);
        }
        let ready = |change: &Change| streak(change).map_or(EpochMs::MIN, |streak| self.policy.next_try(streak));
        match changes.iter().map(ready).min() {
            Some(at) if at > self.now => Next::WaitUntil(at),
            Some(_) | None => how(changes.to_vec()),
        }
    }

    fn step(&self, operation: Operation, why: Vec<Change>) -> Next {
        Next::Do(Step { id: self.leg.last_step() + 1, operation, why })
    }
}
