//! The next step: desired against observed.
//!
//! The order of the questions is the order of danger: first a redirect whose end is not known, then a customer who is on
//! his way back, then the streams that should change, then the guard, then the hold.

use super::fact::{EpochMs, Parked, What};
use super::ledger::{Stream, StreamState};
use super::leg::{GuardState, Leg, Streak, Watch};
use super::plan::Plan;
use super::policy::{Policy, Strategy};
use super::sid::{AccountSid, CallSid, ConferenceSid};
use super::state::Call;
use super::step::{Change, Guard, Operation, Step};

/// What to do about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Perform this step, journal how it ended, and ask again.
    Do(Step),
    /// Journal that this was given up, tell somebody, and ask again.
    Park(Parked),
    /// Journal this, tell somebody, and ask again.
    Report(What),
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
        if self.said_parked && self.parked().next().is_none() {
            return Next::Report(What::Unparked);
        }
        if self.has_nothing_left() {
            return Next::Over;
        }
        if !self.is_eligible(policy) {
            return Next::Idle;
        }
        Decision { call: self, leg: &self.leg, now, policy }.next()
    }
}

impl Call {
    /// What to journal of a call whose account we have no credentials of: that it was given up, once.
    pub fn unserved(&self, policy: &Policy) -> Option<Parked> {
        if self.has_nothing_left() || !self.is_eligible(policy) || self.leg.parked.contains_key(&Change::Serve) {
            return None;
        }
        let account = self.account().map_or("its account", AccountSid::as_str);
        let reason = format!("{account} is not configured: configure it again, restart, and redrive the call");
        Some(Parked { change: Change::Serve, reason })
    }

    /// Whether nothing will be done about the call any more, whatever its account.
    pub fn has_nothing_left(&self) -> bool {
        // Of a task that no event has told of, only a late word about a stream can be there.
        self.is_over() || self.task.is_none()
    }
}

/// One decision: the call, the time and the limits.
pub(super) struct Decision<'a> {
    pub(super) call: &'a Call,
    pub(super) leg: &'a Leg,
    pub(super) now: EpochMs,
    pub(super) policy: &'a Policy,
}

impl Decision<'_> {
    fn next(&self) -> Next {
        if let Some(next) = self.doubt() {
            return next;
        }
        if let Some(next) = self.rejoin() {
            return next;
        }
        let plan = self.call.plan(self.policy, self.now);
        if let Some(parked) = plan.give_up {
            return Next::Park(parked);
        }
        let change = (!plan.is_empty()).then(|| match self.policy.strategy {
            Strategy::Redirect => self.change_by_redirect(&plan),
            Strategy::StreamsApi => self.change_by_api(&plan),
        });
        if let Some(next) = soonest(self.look(&plan).into_iter().chain(change)) {
            return next;
        }
        self.restore().unwrap_or_else(|| self.watch_over(&plan))
    }

    /// Whether the call is still there, before streams that ended are started again; `None` when there are none.
    fn look(&self, plan: &Plan) -> Option<Next> {
        let customer = self.call.customer().filter(|_| !plan.look.is_empty())?;
        Some(self.attempt(&plan.look, |why| self.step(Operation::FetchCall { customer: customer.clone() }, why)))
    }

    /// Guard and hold as they should be while no stream changes.
    fn restore(&self) -> Option<Next> {
        let (conference, customer) = (self.call.conference()?, self.call.customer()?);
        let redirects = self.policy.strategy == Strategy::Redirect;
        if redirects && self.call.has_open_transfer() && !self.is_parked(&Change::LowerAhead) {
            if self.leg.guard != GuardState::Lowered {
                let lower = |why| self.lower(conference, customer, why);
                return Some(self.attempt(&[Change::LowerAhead], lower));
            }
        } else if self.leg.guard != GuardState::Untouched && !self.is_parked(&Change::RaiseGuard) {
            return Some(self.attempt(&[Change::RaiseGuard], |why| self.raise(conference, customer, why)));
        }
        if self.call.wants_hold_again() && !self.is_parked(&Change::HoldAgain) {
            let hold = |why| self.update(conference, customer, None, Some(true), why);
            return Some(self.attempt(&[Change::HoldAgain], hold));
        }
        None
    }

    /// Nothing is to be changed: reports streams that are not confirmed in time, and looks after calls that have gone quiet.
    fn watch_over(&self, plan: &Plan) -> Next {
        let mut wake = plan.not_before;
        let mut wake_at = |at: EpochMs| wake = Some(wake.map_or(at, |known| known.min(at)));
        for stream in self.call.streams().iter().filter(|stream| stream.state == StreamState::Accepted) {
            let confirms = self.policy.destinations.get(stream.slot).is_some_and(|destination| destination.confirms);
            let due = stream.accepted_at + self.policy.confirm_ms;
            // Nobody confirms a stream that was never started.
            if !confirms || stream.unconfirmed || self.call.is_shadow() {
                continue;
            }
            if due <= self.now {
                return Next::Report(What::Unconfirmed { name: stream.name.clone() });
            }
            wake_at(due);
        }
        let live = self.call.streams().iter().any(Stream::is_live);
        if let Some(customer) = self.call.customer().filter(|_| live && !self.is_parked(&Change::Reconcile)) {
            let due = self.call.heard_at + self.policy.quiet_ms;
            if due <= self.now || self.leg.streaks.contains_key(&Change::Reconcile) {
                let look = |why| self.step(Operation::FetchCall { customer: customer.clone() }, why);
                return self.attempt(&[Change::Reconcile], look);
            }
            wake_at(due);
        }
        wake.map_or(Next::Idle, Next::WaitUntil)
    }

    pub(super) fn is_parked(&self, change: &Change) -> bool {
        self.leg.parked.contains_key(change)
    }

    /// A request whose end is not known. After a redirect, look at the customer's row until it has told, or has not changed
    /// for long enough. After a create, wait for the status callback for as long, then stop whatever has that name.
    fn doubt(&self) -> Option<Next> {
        let doubt = self.leg.doubt.as_ref()?;
        let watch = doubt.watch;
        if let Operation::CreateStream { customer, stream } = &doubt.step.operation {
            let due = watch.since + self.policy.doubt_ms;
            if self.now < due {
                return Some(Next::WaitUntil(due));
            }
            let (customer, name) = (customer.clone(), stream.name.clone());
            let stop = |why| self.step(Operation::StopStream { customer, name, sid: None }, why);
            return Some(self.attempt(&doubt.step.why, stop));
        }
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
        Some(self.attempt(&[Change::Rejoin], |why| match (self.call.conference(), self.call.task()) {
            (Some(conference), _) => self.poll(conference, watch, why),
            // It ended while he was away; TwiML leads him into whichever bears its name.
            (None, Some(task)) => self.step(Operation::FindConference { friendly_name: task.to_string() }, why),
            (None, None) => Next::Idle,
        }))
    }

    pub(super) fn update(
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
    pub(super) fn poll(&self, conference: &ConferenceSid, watch: Watch, why: Vec<Change>) -> Next {
        let due = watch.last_poll + self.policy.poll_gap(watch.polls);
        if self.now < due {
            return Next::WaitUntil(due);
        }
        self.step(Operation::ReadParticipants { conference: conference.clone() }, why)
    }

    /// Tries some changes: parks those that have been tried for long enough, and waits while none may be tried yet.
    pub(super) fn attempt(&self, changes: &[Change], how: impl FnOnce(Vec<Change>) -> Next) -> Next {
        let streak = |change: &Change| -> Option<&Streak> { self.leg.streaks.get(change) };
        let given_up = changes.iter().find_map(|change| {
            let streak = streak(change).filter(|streak| self.policy.is_exhausted(streak, self.call.is_outbound()))?;
            (!self.leg.parked.contains_key(change))
                .then(|| Parked { change: change.clone(), reason: streak.reason.clone() })
        });
        if let Some(parked) = given_up {
            return Next::Park(parked);
        }
        let ready = |change: &Change| {
            streak(change).map_or(EpochMs::MIN, |streak| self.policy.next_try(streak, self.call.is_outbound()))
        };
        match changes.iter().map(ready).min() {
            Some(at) if at > self.now => Next::WaitUntil(at),
            Some(_) | None => how(changes.to_vec()),
        }
    }

    pub(super) fn step(&self, operation: Operation, why: Vec<Change>) -> Next {
        Next::Do(Step { id: self.leg.last_step() + 1, operation, why })
    }

    /// Stops one stream without touching the call, by its SID when that is known.
    pub(super) fn stop_stream(&self, customer: &CallSid, stream: &Stream, why: Vec<Change>) -> Next {
        let (customer, name, sid) = (customer.clone(), stream.name.clone(), stream.sid.clone());
        self.step(Operation::StopStream { customer, name, sid }, why)
    }

    /// Stops the streams that outlived their purpose; `None` when there are none.
    pub(super) fn stop_orphans(&self, plan: &Plan, customer: &CallSid) -> Option<Next> {
        let stops = plan.orphans.iter().map(|stream| {
            let stop = |why| self.stop_stream(customer, stream, why);
            self.attempt(&[Change::Orphan(stream.name.clone())], stop)
        });
        soonest(stops)
    }
}

/// Of what could be done independently, what can be done first.
pub(super) fn soonest(options: impl IntoIterator<Item = Next>) -> Option<Next> {
    options.into_iter().min_by_key(|next| match next {
        Next::Do(_) | Next::Park(_) | Next::Report(_) => (0, 0),
        Next::WaitUntil(at) => (1, *at),
        Next::Idle | Next::Over => (2, 0),
    })
}
