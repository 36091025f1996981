//! What TaskRouter's events say, kept by simpler means than the core's: the measure that the core is held to.

use std::collections::BTreeMap;
use taskrouter_streams::call::fact::{FactKind, ReservationChange, TaskChange, TaskStatus, TransferChange};
use taskrouter_streams::call::sid::{ReservationSid, WorkerSid};

/// What a set of events amounts to, in whatever order they come.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seats: BTreeMap<ReservationSid, Seat>,
    newest: (u64, i64),
    over: bool,
    ended: bool,
    transfers: BTreeMap<String, (bool, bool)>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seat {
    accepted_at: Option<i64>,
    left: bool,
    worker: Option<WorkerSid>,
}

impl Ledger {
    pub(super) fn learn(&mut self, what: &FactKind) {
        if let Some(view) = what.task_view() {
            let order = (view.version.unwrap_or(0), stamp(what));
            if order >= self.newest {
                self.newest = order;
                let ends = [TaskStatus::Wrapping, TaskStatus::Completed, TaskStatus::Canceled];
                self.over = view.status.is_some_and(|status| ends.contains(&status));
            }
        }
        match what {
            FactKind::Reservation(event) => {
                let seat = self.seats.entry(event.reservation.clone()).or_default();
                seat.worker.clone_from(&event.worker);
                match event.change {
                    ReservationChange::Created => {}
                    ReservationChange::Accepted => seat.accepted_at = Some(event.stamp.at),
                    ReservationChange::Wrapup
                    | ReservationChange::Completed
                    | ReservationChange::Rejected
                    | ReservationChange::Timeout
                    | ReservationChange::Canceled
                    | ReservationChange::Rescinded
                    | ReservationChange::Failed => seat.left = true,
                }
            }
            FactKind::Task(event) => match event.change {
                TaskChange::Created | TaskChange::Updated => {}
                TaskChange::Wrapup
                | TaskChange::Completed
                | TaskChange::Canceled
                | TaskChange::Deleted
                | TaskChange::SystemDeleted => self.ended = true,
            },
            FactKind::Transfer(event) => {
                let key = event.transfer.as_ref().map(ToString::to_string).unwrap_or_default();
                let (begun, ended) = self.transfers.entry(key).or_default();
                match event.change {
                    TransferChange::Initiated => *begun = true,
                    TransferChange::AttemptFailed => {}
                    TransferChange::Failed | TransferChange::Canceled | TransferChange::Completed => *ended = true,
                }
            }
            FactKind::Begun(_)
            | FactKind::Settled(_)
            | FactKind::Parked(_)
            | FactKind::Redriven
            | FactKind::Dismissed
            | FactKind::Operated(_)
            | FactKind::Paused(_)
            | FactKind::Resumed(_)
            | FactKind::Unparked
            | FactKind::Stream(_)
            | FactKind::Participant(_)
            | FactKind::Recovered(_)
            | FactKind::Noticed(_) => {}
        }
    }

    /// The agents who should be on the call, in the order in which they accepted.
    pub(super) fn on_the_call(&self) -> Vec<&ReservationSid> {
        let on = self.seats.iter().filter(|(_, seat)| !seat.left);
        let mut on: Vec<_> = on.filter_map(|(sid, seat)| Some((seat.accepted_at?, sid))).collect();
        on.sort();
        on.into_iter().map(|(_, sid)| sid).collect()
    }

    /// Whether this agent is on the call or being asked.
    pub(super) fn is_busy(&self, worker: &WorkerSid) -> bool {
        self.seats.values().any(|seat| !seat.left && seat.worker.as_ref() == Some(worker))
    }

    pub(super) fn is_over(&self) -> bool {
        self.over || self.ended
    }

    /// A transfer that has begun and not ended.
    pub(super) fn has_open_transfer(&self) -> bool {
        self.transfers.values().any(|(begun, ended)| *begun && !*ended)
    }
}

fn stamp(what: &FactKind) -> i64 {
    match what {
        FactKind::Reservation(event) => event.stamp.at,
        FactKind::Task(event) => event.stamp.at,
        FactKind::Transfer(event) => event.stamp.at,
        FactKind::Begun(_)
        | FactKind::Settled(_)
        | FactKind::Parked(_)
        | FactKind::Redriven
        | FactKind::Dismissed
        | FactKind::Operated(_)
        | FactKind::Paused(_)
        | FactKind::Resumed(_)
        | FactKind::Unparked
        | FactKind::Stream(_)
        | FactKind::Participant(_)
        | FactKind::Recovered(_)
        | FactKind::Noticed(_) => 0,
    }
}
