//! The task as TaskRouter tells it: reservations, transfers, attributes, and whether anybody is entitled to the audio.
//!
//! Folded so that order and repetition do not matter: statuses only move forward, the newest view of the task wins by version
//! and time, and ends are remembered even when they come before their beginnings.
//!
//! ```text
//! reservation:  Pending ──▶ Accepted ──▶ Wrapping ──▶ Over        (any may be skipped; never backwards)
//! ```

use super::fact::{
    EpochMs, EventStamp, FactKind, ReservationChange, ReservationEvent, TaskChange, TaskEvent, TaskRouterEvent,
    TaskStatus, TaskView, TransferChange, TransferEvent, TransferMode, TransferTarget,
};
use super::legs::Legs;
use super::lww_register::LwwRegister;
use super::sid::{ReservationSid, TaskSid, TransferSid, WorkerSid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What TaskRouter has told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Task {
    sid: Option<TaskSid>,
    channel: Option<String>,
    fields: BTreeMap<String, LwwRegister<Vec<String>>>,
    status: LwwRegister<TaskStatus>,
    ended: bool,
    reservations: BTreeMap<ReservationSid, Reservation>,
    transfers: BTreeMap<TransferKey, Transfer>,
    last_event_at: Option<EpochMs>,
    /// Since when nobody has been entitled to the audio.
    unentitled_since: Option<EpochMs>,
}

/// One offer of the task to a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservation {
    /// The worker, once an event has named them.
    pub worker: Option<WorkerSid>,
    /// How far it has come.
    pub status: ReservationStatus,
    fields: BTreeMap<String, LwwRegister<Vec<String>>>,
    /// When it was accepted, by Twilio's clock.
    pub accepted_at: Option<EpochMs>,
    /// When it was first seen to end without having been accepted, by Twilio's clock.
    declined_at: Option<EpochMs>,
}

/// How far a reservation has come. Only ever grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
struct Transfer {
    initiated_at: Option<EpochMs>,
    ended_at: Option<EpochMs>,
    completed: bool,
    cold: bool,
    to_queue: bool,
}

impl Task {
    /// Takes an event into account, and what it says of the legs. Returns whether a transfer begins with it.
    pub(super) fn apply(&mut self, kind: &FactKind, legs: &mut Legs, at: EpochMs) -> bool {
        let Some(event) = kind.taskrouter_event() else { return false };
        let begins = match event {
            TaskRouterEvent::Reservation(event) => self.apply_reservation(event, legs),
            TaskRouterEvent::Task(event) => self.apply_task(event, legs),
            TaskRouterEvent::Transfer(event) => self.apply_transfer(event, legs),
        };
        self.last_event_at = self.last_event_at.max(Some(at));
        if self.is_entitled() {
            self.unentitled_since = None;
        } else {
            self.unentitled_since.get_or_insert(at);
        }
        begins
    }

    fn apply_reservation(&mut self, event: &ReservationEvent, legs: &mut Legs) -> bool {
        self.view(&event.task, &event.stamp, legs);
        let reservation = self.reservations.entry(event.reservation.clone()).or_default();
        if event.worker.is_some() {
            reservation.worker.clone_from(&event.worker);
        }
        let order = (event.version.unwrap_or(0), event.stamp.at);
        for (name, values) in &event.worker_fields {
            reservation.fields.entry(name.clone()).or_default().tell(order, Some(values.clone()));
        }
        let at = event.stamp.at;
        let earliest = |known: Option<EpochMs>| Some(known.map_or(at, |known| known.min(at)));
        let status = match event.change {
            ReservationChange::Created => ReservationStatus::Pending,
            ReservationChange::Accepted => {
                reservation.accepted_at = earliest(reservation.accepted_at);
                ReservationStatus::Accepted
            }
            ReservationChange::Wrapup => ReservationStatus::Wrapping,
            ReservationChange::Completed => ReservationStatus::Over,
            ReservationChange::Rejected
            | ReservationChange::Timeout
            | ReservationChange::Canceled
            | ReservationChange::Rescinded
            | ReservationChange::Failed => {
                reservation.declined_at = earliest(reservation.declined_at);
                ReservationStatus::Over
            }
        };
        reservation.status = reservation.status.max(status);
        false
    }

    fn apply_task(&mut self, event: &TaskEvent, legs: &mut Legs) -> bool {
        self.view(&event.task, &event.stamp, legs);
        match event.change {
            TaskChange::Created | TaskChange::Updated => {}
            TaskChange::Wrapup
            | TaskChange::Completed
            | TaskChange::Canceled
            | TaskChange::Deleted
            | TaskChange::SystemDeleted => self.ended = true,
        }
        false
    }

    fn apply_transfer(&mut self, event: &TransferEvent, legs: &mut Legs) -> bool {
        self.view(&event.task, &event.stamp, legs);
        let key = match &event.transfer {
            Some(transfer) => TransferKey::Transfer(transfer.clone()),
            None => TransferKey::BegunBy(event.initiating_reservation.clone()),
        };
        let transfer = self.transfers.entry(key).or_default();
        transfer.cold |= event.mode == Some(TransferMode::Cold);
        transfer.to_queue |= matches!(event.to, Some(TransferTarget::Queue(_)));
        let begins = event.change == TransferChange::Initiated
            && transfer.initiated_at.is_none_or(|known| known < event.stamp.at);
        let latest = |known: Option<EpochMs>| Some(known.map_or(event.stamp.at, |known| known.max(event.stamp.at)));
        match event.change {
            TransferChange::Initiated => transfer.initiated_at = latest(transfer.initiated_at),
            // The queue offers the task to its next worker: still open.
            TransferChange::AttemptFailed => transfer.to_queue = true,
            TransferChange::Failed | TransferChange::Canceled | TransferChange::Completed => {
                transfer.ended_at = latest(transfer.ended_at);
                transfer.completed |= event.change == TransferChange::Completed;
            }
        }
        // Not one that is told again after its end.
        begins && self.has_open_transfer()
    }

    fn view(&mut self, view: &TaskView, stamp: &EventStamp, legs: &mut Legs) {
        let order = (view.version.unwrap_or(0), stamp.at);
        if self.sid.is_none() {
            self.sid = Some(view.task.clone());
        }
        if self.channel.is_none() {
            self.channel.clone_from(&view.channel);
        }
        self.status.tell(order, view.status);
        legs.named(order, &view.attributes);
        for (name, values) in &view.fields {
            self.fields.entry(name.clone()).or_default().tell(order, Some(values.clone()));
        }
    }

    pub(super) fn sid(&self) -> Option<&TaskSid> {
        self.sid.as_ref()
    }

    pub(super) fn channel(&self) -> Option<&str> {
        self.channel.as_deref()
    }

    /// When TaskRouter last told something.
    pub(super) fn last_event_at(&self) -> Option<EpochMs> {
        self.last_event_at
    }

    pub(super) fn reservations(&self) -> &BTreeMap<ReservationSid, Reservation> {
        &self.reservations
    }

    /// Reservations whose agent is on the call, in the order in which they accepted.
    pub(super) fn accepted(&self) -> Vec<(&ReservationSid, &Reservation)> {
        let mut accepted: Vec<_> =
            self.reservations.iter().filter(|(_, r)| r.status == ReservationStatus::Accepted).collect();
        accepted.sort_by_key(|(sid, r)| (r.accepted_at, *sid));
        accepted
    }

    /// Whether an agent has the call, so that somebody is entitled to its audio.
    fn is_entitled(&self) -> bool {
        !self.is_over() && self.reservations.values().any(|r| r.status == ReservationStatus::Accepted)
    }

    pub(super) fn unentitled_since(&self) -> Option<EpochMs> {
        self.unentitled_since
    }

    /// Whether the conversation is over as far as TaskRouter knows. The customer's call may go on.
    ///
    /// `wrapping` means that the last agent has left. Without any status, no reservation that is pending or accepted means
    /// the same; with the status reserved, assigned or pending the customer is waiting for another agent.
    pub(super) fn is_over(&self) -> bool {
        let by_status = match self.status.get() {
            Some(TaskStatus::Wrapping | TaskStatus::Completed | TaskStatus::Canceled) => true,
            Some(TaskStatus::Pending | TaskStatus::Reserved | TaskStatus::Assigned | TaskStatus::Other) => false,
            None => {
                !self.reservations.is_empty()
                    && self.reservations.values().all(|r| r.status >= ReservationStatus::Wrapping)
            }
        };
        by_status || self.ended
    }

    /// The values of a field: of the worker whose reservation it is, or of the task. None when no event bore it.
    pub(super) fn field(&self, reservation: &ReservationSid, name: &str) -> &[String] {
        let of_worker = self.reservations.get(reservation).and_then(|reservation| reservation.fields.get(name));
        let newest = of_worker.or_else(|| self.fields.get(name)).and_then(LwwRegister::get);
        newest.map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a transfer has been announced that has neither ended nor led to an accepted reservation.
    pub(super) fn has_open_transfer(&self) -> bool {
        self.transfers.iter().any(|(key, transfer)| {
            let Some(initiated_at) = transfer.initiated_at else { return false };
            let ended = match key {
                TransferKey::Transfer(_) => transfer.ended_at.is_some(),
                // One agent can begin several transfers without a SID to tell them apart: the later word wins.
                TransferKey::BegunBy(_) => transfer.ended_at.is_some_and(|at| at >= initiated_at),
            };
            !ended && !self.reservations.values().any(|r| r.concludes(initiated_at, transfer.to_queue))
        })
    }

    /// The newest transfer, when it was cold and somebody has accepted it. One that begins later begins with a hold.
    pub(super) fn handed_over_cold(&self) -> Option<&TransferKey> {
        let (key, newest) = self.transfers.iter().max_by_key(|(_, t)| t.initiated_at.or(t.ended_at))?;
        let accepted = newest.initiated_at.is_some_and(|since| self.is_accepted_since(since));
        let taken = newest.completed || newest.ended_at.is_none() && accepted;
        (newest.cold && taken).then_some(key)
    }

    /// Whether one agent has the customer to themselves, and nobody is asked to join.
    pub(super) fn talks_to_one_agent(&self) -> bool {
        let asked = self.reservations.values().any(|r| r.status == ReservationStatus::Pending);
        // The word that a transfer is completed may come ahead of the word who accepted it.
        let joining = |t: &Transfer| t.completed && !t.initiated_at.is_some_and(|since| self.is_accepted_since(since));
        let joining = self.transfers.values().any(joining);
        self.accepted().len() == 1 && !asked && !joining && !self.has_open_transfer()
    }

    fn is_accepted_since(&self, since: EpochMs) -> bool {
        self.reservations.values().any(|r| r.accepted_at.is_some_and(|at| at >= since))
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
