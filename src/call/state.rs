//! A call as its facts tell it: the fold.
//!
//! What TaskRouter says is folded so that order and repetition do not matter: statuses only move forward, the newest view of the
//! task wins by version and time, and ends are remembered even when they come before their beginnings. What Twilio answers is
//! folded by [`super::leg`].
//!
//! ```text
//! reservation:  Pending ──▶ Accepted ──▶ Wrapping ──▶ Over        (any may be skipped; never backwards)
//! ```

use super::fact::{
    CallAttributes, EpochMs, EventStamp, Fact, ReservationChange, ReservationEvent, TaskChange, TaskEvent, TaskStatus,
    TaskView, TransferChange, TransferEvent, TransferTarget, What,
};
use super::ledger::Stream;
use super::leg::{GuardState, Leg};
use super::newest::Newest;
use super::policy::Policy;
use super::settle::Context;
use super::sid::{AccountSid, CallSid, ConferenceSid, ReservationSid, TaskSid, TransferSid, WorkerSid};
use super::step::{Assumed, Change, Guard, Settled};
use std::collections::BTreeMap;

/// Everything known about one task's call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    account: Option<AccountSid>,
    pub(super) task: Option<TaskSid>,
    pub(super) channel: Option<String>,
    pub(super) outbound: bool,
    customer: Newest<CallSid>,
    conference_hint: Newest<ConferenceSid>,
    worker_leg: Newest<CallSid>,
    fields: BTreeMap<String, Newest<Vec<String>>>,
    status: Newest<TaskStatus>,
    task_over: bool,
    pub(super) reservations: BTreeMap<ReservationSid, Reservation>,
    pub(super) transfers: BTreeMap<TransferKey, Transfer>,
    pub(super) leg: Leg,
    /// The facts say that something was given up; it may have become due again, or moot, since.
    pub(super) said_parked: bool,
    /// A command of its was decided and not sent: all are, from the first to the last.
    shadow: bool,
    /// When the newest fact was journaled.
    pub(super) heard_at: EpochMs,
    /// When TaskRouter last told something, by our clock.
    pub(super) told_at: EpochMs,
}

/// One offer of the task to a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservation {
    /// Its worker, once an event has named him.
    pub worker: Option<WorkerSid>,
    /// How far it has come.
    pub status: ReservationStatus,
    fields: BTreeMap<String, Newest<Vec<String>>>,
    /// When it was accepted, by Twilio's clock.
    pub accepted_at: Option<EpochMs>,
    /// When it was first seen to end without having been accepted, by Twilio's clock.
    pub declined_at: Option<EpochMs>,
}

/// How far a reservation has come. Only ever grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReservationStatus {
    /// Offered.
    #[default]
    Pending,
    /// The agent is on the call.
    Accepted,
    /// The agent has left the call and is finishing up.
    Wrapping,
    /// Completed, rejected, timed out, cancelled, rescinded or failed.
    Over,
}

/// What tells two transfers of a task apart: the transfer's SID, else who began it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TransferKey {
    Transfer(TransferSid),
    BegunBy(Option<ReservationSid>),
}

/// An announced transfer. Times are Twilio's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) initiated_at: Option<EpochMs>,
    ended_at: Option<EpochMs>,
    pub(super) completed: bool,
    to_queue: bool,
}

impl Call {
    /// Folds facts, oldest first.
    pub fn fold<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Self {
        let mut call = Self::default();
        for fact in facts {
            call.apply(fact);
        }
        call
    }

    /// Takes one more fact into account.
    pub fn apply(&mut self, fact: &Fact) {
        if self.is_foreign(&fact.what) {
            return;
        }
        if let (None, Some(account)) = (&self.account, fact.what.account()) {
            self.account = Some(account.clone());
        }
        self.forget_old_hold(fact.at);
        self.heard_at = self.heard_at.max(fact.at);
        if fact.what.task_view().is_some() {
            self.told_at = self.told_at.max(fact.at);
        }
        self.said_parked = fact.what.parks().unwrap_or(self.said_parked);
        match &fact.what {
            What::Reservation(event) => self.apply_reservation(event),
            What::Task(event) => self.apply_task(event),
            What::Transfer(event) => self.apply_transfer(event),
            What::Begun(step) => {
                self.leg.served();
                self.leg.step_begun(step, fact.at);
            }
            What::Settled(settled) => {
                self.leg.served();
                self.apply_settled(settled, fact.at);
            }
            What::Stream(event) => self.leg.stream_told(event, fact.at),
            What::Parked(parked) => self.leg.change_parked(parked, fact.at),
            What::Unconfirmed { name } => self.leg.ledger.reported_unconfirmed(name),
            What::Redriven => self.leg.redriven(),
            What::Dismissed => self.leg.dismissed(),
            // Said for those who do not fold: here it was known from what happened.
            What::Unparked => {}
        }
    }

    /// Whether another account than the call's says this. Whoever has the token of one account can sign whatever he likes
    /// about a task of another.
    pub fn is_foreign(&self, what: &What) -> bool {
        self.account.as_ref().zip(what.account()).is_some_and(|(own, account)| own != account)
    }

    fn apply_settled(&mut self, settled: &Settled, at: EpochMs) {
        self.shadow |= settled.assumed == Some(Assumed::NotSent);
        let (customer, worker_leg) = (self.customer().cloned(), self.worker_leg().cloned());
        let context = Context {
            asked_at: settled.sent_at,
            at,
            customer: customer.as_ref(),
            outbound: self.is_outbound(),
            worker_leg: worker_leg.as_ref(),
        };
        self.leg.step_settled(settled, context);
    }

    fn apply_reservation(&mut self, event: &ReservationEvent) {
        self.view(&event.task, &event.stamp);
        let reservation = self.reservations.entry(event.reservation.clone()).or_default();
        if event.worker.is_some() {
            reservation.worker.clone_from(&event.worker);
        }
        let order = (event.version.unwrap_or(0), event.stamp.at);
        for (name, values) in &event.worker_fields {
            reservation.fields.entry(name.clone()).or_default().tell(order, Some(values.clone()));
        }
        let at = event.stamp.at;
        let status = match event.change {
            ReservationChange::Created => ReservationStatus::Pending,
            ReservationChange::Accepted => {
                reservation.accepted_at = Some(reservation.accepted_at.map_or(at, |known| known.min(at)));
                ReservationStatus::Accepted
            }
            ReservationChange::Wrapup => ReservationStatus::Wrapping,
            ReservationChange::Completed => ReservationStatus::Over,
            ReservationChange::Rejected
            | ReservationChange::Timeout
            | ReservationChange::Canceled
            | ReservationChange::Rescinded
            | ReservationChange::Failed => {
                reservation.declined_at = Some(reservation.declined_at.map_or(at, |known| known.min(at)));
                ReservationStatus::Over
            }
        };
        reservation.status = reservation.status.max(status);
    }

    fn apply_task(&mut self, event: &TaskEvent) {
        self.view(&event.task, &event.stamp);
        match event.change {
            TaskChange::Created | TaskChange::Updated => {}
            TaskChange::Wrapup
            | TaskChange::Completed
            | TaskChange::Canceled
            | TaskChange::Deleted
            | TaskChange::SystemDeleted => self.task_over = true,
        }
    }

    fn apply_transfer(&mut self, event: &TransferEvent) {
        self.view(&event.task, &event.stamp);
        let key = match &event.transfer {
            Some(transfer) => TransferKey::Transfer(transfer.clone()),
            None => TransferKey::BegunBy(event.initiating_reservation.clone()),
        };
        let transfer = self.transfers.entry(key).or_default();
        let latest = |known: Option<EpochMs>| Some(known.map_or(event.stamp.at, |known| known.max(event.stamp.at)));
        match event.change {
            TransferChange::Initiated => {
                transfer.initiated_at = latest(transfer.initiated_at);
                self.leg.transfer_announced();
            }
            // The queue offers the task to its next worker: still open.
            TransferChange::AttemptFailed => transfer.to_queue = true,
            TransferChange::Failed | TransferChange::Canceled | TransferChange::Completed => {
                transfer.ended_at = latest(transfer.ended_at);
                transfer.completed |= event.change == TransferChange::Completed;
            }
        }
        if let Some(TransferTarget::Queue(_)) = event.to {
            transfer.to_queue = true;
        }
    }

    fn view(&mut self, view: &TaskView, stamp: &EventStamp) {
        let order = (view.version.unwrap_or(0), stamp.at);
        if self.task.is_none() {
            self.task = Some(view.task.clone());
        }
        if self.channel.is_none() {
            self.channel.clone_from(&view.channel);
        }
        self.status.tell(order, view.status);
        self.attributes(order, &view.attributes);
        for (name, values) in &view.fields {
            self.fields.entry(name.clone()).or_default().tell(order, Some(values.clone()));
        }
    }

    fn attributes(&mut self, order: (u64, EpochMs), attributes: &CallAttributes) {
        self.outbound |= attributes.outbound;
        let was_known = self.customer().is_some();
        self.customer.tell(order, attributes.customer.clone());
        if !was_known && self.customer().is_some() {
            self.leg.customer_found();
        }
        self.conference_hint.tell(order, attributes.conference.clone());
        self.worker_leg.tell(order, attributes.worker_leg.clone());
    }

    /// The values of a field: of the worker whose reservation it is, or of the task. None when no event bore it.
    pub(super) fn field(&self, reservation: &ReservationSid, name: &str) -> &[String] {
        let of_worker = self.reservations.get(reservation).and_then(|reservation| reservation.fields.get(name));
        let newest = of_worker.or_else(|| self.fields.get(name)).and_then(Newest::get);
        newest.map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether the call is in shadow mode: its streams, guard and hold are what would be.
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Whether we placed the call.
    pub fn is_outbound(&self) -> bool {
        self.outbound || self.leg.outbound()
    }

    /// A leg that is not the customer's, as the attributes name it.
    pub(super) fn worker_leg(&self) -> Option<&CallSid> {
        self.worker_leg.get().or(self.leg.looked_up.worker_leg.as_ref())
    }

    /// The customer's leg, as the attributes name it.
    pub fn customer(&self) -> Option<&CallSid> {
        self.customer.get().or(self.leg.looked_up_customer())
    }

    /// The account whose call it is, as its first event said; none in journals written before there could be several.
    pub fn account(&self) -> Option<&AccountSid> {
        self.account.as_ref()
    }

    /// The task.
    pub fn task(&self) -> Option<&TaskSid> {
        self.task.as_ref()
    }

    /// The conference to act on: the one that Twilio confirmed, else the one that the attributes name unless it
    /// turned out not to be in progress.
    pub(super) fn conference(&self) -> Option<&ConferenceSid> {
        self.leg.known_conference().or_else(|| {
            let hint = self.conference_hint.get().or(self.leg.looked_up_conference());
            hint.filter(|hint| !self.leg.is_distrusted(hint))
        })
    }

    /// Reservations, by SID.
    pub fn reservations(&self) -> impl Iterator<Item = (&ReservationSid, &Reservation)> {
        self.reservations.iter()
    }

    /// Reservations whose agent is on the call, in the order in which they accepted.
    pub fn accepted(&self) -> Vec<(&ReservationSid, &Reservation)> {
        let mut accepted: Vec<_> =
            self.reservations.iter().filter(|(_, r)| r.status == ReservationStatus::Accepted).collect();
        accepted.sort_by_key(|(sid, r)| (r.accepted_at, *sid));
        accepted
    }

    /// The streams started so far, oldest first.
    pub fn streams(&self) -> &[Stream] {
        self.leg.streams()
    }

    /// What was given up and not dismissed, and why.
    pub fn parked(&self) -> impl Iterator<Item = (&Change, &str)> {
        let waiting = self.leg.parked.iter().filter(|(_, given_up)| !given_up.dismissed);
        waiting.map(|(change, given_up)| (change, given_up.reason.as_str()))
    }

    /// The customer's guard, by the last word on it; `None` while it is being changed.
    pub fn guard(&self) -> Option<Guard> {
        match self.leg.guard {
            GuardState::Untouched => Some(Guard::Raised),
            GuardState::Lowered => Some(Guard::Lowered),
            GuardState::Lowering(_) | GuardState::Raising(_) | GuardState::Unsure => None,
        }
    }

    /// Whether the customer is held, by the last word on it.
    pub fn held(&self) -> Option<bool> {
        self.leg.held.map(|(held, _)| held)
    }

    pub(super) fn agents_on_the_call(&self) -> usize {
        self.reservations.values().filter(|r| r.status == ReservationStatus::Accepted).count()
    }

    /// Whether this is a call that we stream: a voice task, and not one that we placed unless the policy says so.
    pub fn is_eligible(&self, policy: &Policy) -> bool {
        let voice = match &self.channel {
            Some(channel) => policy.channels.contains(channel),
            None => self.customer().is_some(),
        };
        voice && (policy.outbound || !self.is_outbound())
    }

    /// Whether the conversation is over, so that nothing may be commanded any more.
    ///
    /// `wrapping` means that the last agent has left. Without any status, no reservation that is pending or accepted means
    /// the same; with the status reserved, assigned or pending the customer is waiting for another agent.
    pub fn is_over(&self) -> bool {
        let by_status = match self.status.get() {
            Some(TaskStatus::Wrapping | TaskStatus::Completed | TaskStatus::Canceled) => true,
            Some(TaskStatus::Pending | TaskStatus::Reserved | TaskStatus::Assigned | TaskStatus::Other) => false,
            None => {
                !self.reservations.is_empty()
                    && self.reservations.values().all(|r| r.status >= ReservationStatus::Wrapping)
            }
        };
        by_status || self.task_over || self.leg.is_gone()
    }

    /// Whether a transfer has been announced that has neither ended nor led to an accepted reservation, so that
    /// the guard should be lowered ahead of the transferee's acceptance.
    pub fn has_open_transfer(&self) -> bool {
        self.transfers.iter().any(|(key, transfer)| {
            let Some(initiated_at) = transfer.initiated_at else {
                return false;
            };
            let ended = match key {
                TransferKey::Transfer(_) => transfer.ended_at.is_some(),
                // One agent can begin several transfers without a SID to tell them apart: the later word wins.
                TransferKey::BegunBy(_) => transfer.ended_at.is_some_and(|at| at >= initiated_at),
            };
            !ended && !self.reservations.values().any(|r| r.concludes(initiated_at, transfer.to_queue))
        })
    }
}

impl Reservation {
    /// Whether this reservation answers a transfer begun at `initiated_at`: it was accepted since, or declined
    /// since while no other worker of a queue can follow.
    fn concludes(&self, initiated_at: EpochMs, to_queue: bool) -> bool {
        let since = |at: Option<EpochMs>| at.is_some_and(|at| at >= initiated_at);
        since(self.accepted_at) || (!to_queue && since(self.declined_at))
    }
}
