//! Reservations: an agent's part in a task.
//!
//! ```text
//! pending → accepted → wrapping → completed        (or rejected | timeout | canceled)
//! ```

use super::context::Context;
use super::status::ReservationStatus;
use crate::sim_config::Ms;
use std::collections::BTreeMap;
use taskrouter_streams::call::sid::{CallSid, ReservationSid, TaskSid, WorkerSid};

/// A reservation.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) sid: ReservationSid,
    pub(super) task: TaskSid,
    pub(super) worker: WorkerSid,
    pub(super) status: ReservationStatus,
    pub(super) version: u32,
    pub(super) leg: Option<CallSid>,
    /// Grows from one reservation to the next.
    order: u64,
    pub(super) created: Ms,
}

/// Every reservation so far.
#[derive(Debug, Default)]
pub(super) struct Reservations(BTreeMap<ReservationSid, Reservation>);

impl Reservations {
    /// An offer of the task to an agent.
    pub(super) fn create(&mut self, cx: &mut Context, task: &TaskSid, worker: WorkerSid) -> ReservationSid {
        let sid: ReservationSid = cx.mint(ReservationSid::PREFIX);
        let reservation = Reservation {
            sid: sid.clone(),
            task: task.clone(),
            worker,
            status: ReservationStatus::Pending,
            version: 0,
            leg: None,
            order: cx.next_number(),
            created: cx.now(),
        };
        self.0.insert(sid.clone(), reservation);
        sid
    }

    pub(super) fn get(&self, sid: &ReservationSid) -> Option<&Reservation> {
        self.0.get(sid)
    }

    /// Oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Reservation> {
        let mut all: Vec<_> = self.0.values().collect();
        all.sort_by_key(|found| found.order);
        all.into_iter()
    }

    /// The reservation that a path names.
    pub(super) fn find(&self, sid: &str) -> Option<&Reservation> {
        self.0.get(&sid.parse().ok()?)
    }

    pub(super) fn set_status(&mut self, sid: &ReservationSid, status: ReservationStatus) {
        if let Some(found) = self.0.get_mut(sid) {
            found.status = status;
            found.version += 1;
        }
    }

    pub(super) fn set_leg(&mut self, sid: &ReservationSid, leg: &CallSid) {
        if let Some(found) = self.0.get_mut(sid) {
            found.leg = Some(leg.clone());
        }
    }

    /// Those of agents who talk at present.
    pub(super) fn accepted(&self) -> impl Iterator<Item = &Reservation> {
        self.0.values().filter(|found| found.status == ReservationStatus::Accepted)
    }

    /// A task's reservations, oldest first.
    pub(super) fn of(&self, task: &TaskSid) -> Vec<&Reservation> {
        let mut found: Vec<_> = self.0.values().filter(|found| &found.task == task).collect();
        found.sort_by_key(|found| found.order);
        found
    }

    /// An agent's newest reservation of a task.
    pub(super) fn newest_of(&self, task: &TaskSid, worker: &WorkerSid) -> Option<&Reservation> {
        self.of(task).into_iter().rfind(|found| &found.worker == worker)
    }

    /// A task's reservations of this status.
    pub(super) fn with(&self, task: &TaskSid, status: ReservationStatus) -> Vec<ReservationSid> {
        let found = self.0.values().filter(|found| &found.task == task && found.status == status);
        found.map(|found| found.sid.clone()).collect()
    }

    pub(super) fn has(&self, task: &TaskSid, status: ReservationStatus) -> bool {
        self.0.values().any(|found| &found.task == task && found.status == status)
    }
}
