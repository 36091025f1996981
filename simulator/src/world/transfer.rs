//! Transfers: one task, one conference, a new reservation for each agent who is asked.

use super::status::{ReservationStatus, TaskStatus, TransferStatus};
use super::{Effect, InvalidAction, Ms, Transfer, World};
use std::collections::VecDeque;
use taskrouter_streams::call::sid::{ReservationSid, TaskQueueSid, TaskSid, TransferSid};

/// How a transfer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The transferor stays until he hangs up.
    Warm,
    /// The transferor's leg leaves at once.
    Cold,
}

/// Whom a transfer goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One agent.
    Agent(String),
    /// A queue, which asks these agents one after another.
    Queue(Vec<String>),
}

/// Why an offer came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Rejected,
    TimedOut,
    Unreachable,
}

impl World {
    /// An agent transfers the task. The server holds the customer, in both modes (Twilio's own tests); cold, the
    /// transferor's leg then leaves, so that his wrapup comes before anybody has accepted.
    pub fn transfers(
        &mut self,
        task: &TaskSid,
        from: &str,
        target: &Target,
        mode: Mode,
        now: Ms,
    ) -> Result<(), InvalidAction> {
        self.advance(now);
        let leg = self.live_leg(task, from)?;
        let by_reservation = self.reservation_of(task, from, &[ReservationStatus::Accepted])?;
        let by_worker = self.agent(from)?.sid.clone();
        if self.open_transfer(task).is_some() {
            return Err(InvalidAction("another transfer of this task is under way".to_owned()));
        }
        let (names, to_queue) = match target {
            Target::Agent(name) => (std::slice::from_ref(name), None),
            Target::Queue(names) => (names.as_slice(), Some(self.mint::<TaskQueueSid>(TaskQueueSid::PREFIX))),
        };
        let candidates = names
            .iter()
            .map(|name| Ok(self.agent(name)?.sid.clone()))
            .collect::<Result<VecDeque<_>, InvalidAction>>()?;
        let transfer = Transfer {
            sid: self.mint(TransferSid::PREFIX),
            mode,
            to_worker: if to_queue.is_none() { candidates.front().cloned() } else { None },
            to_queue,
            by_reservation,
            by_worker,
            started: self.now,
            status: TransferStatus::Initiated,
            failed: None,
        };
        if let Some(found) = self.tasks.get_mut(task) {
            found.transfer = Some(transfer);
            found.candidates = candidates;
            found.version += 1;
        }
        self.after(self.config.transfer_hold_ms, Effect::Hold { task: task.clone(), hold: true });
        self.emit(task, "task.transfer-initiated", None);
        self.offer_next(task);
        if mode == Mode::Cold {
            // Flex lowers its worker's guard before a cold transfer (its own bundle), so the customer stays.
            if let Some(conference) = self.conference_of(&leg)
                && let Some(found) = self.conferences.get_mut(&conference)
            {
                found.rows.iter_mut().filter(|row| row.call == leg).for_each(|row| row.guard = false);
            }
            self.hang_up(&leg);
        }
        Ok(())
    }

    /// An agent rejects his offer.
    pub fn rejects(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.refused(task, agent, Refusal::Rejected, now)
    }

    /// An agent lets his offer time out.
    pub fn times_out(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.refused(task, agent, Refusal::TimedOut, now)
    }

    /// An agent's leg cannot be dialled: TaskRouter cancels his reservation.
    pub fn cannot_be_reached(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.refused(task, agent, Refusal::Unreachable, now)
    }

    /// The transferor calls his transfer off.
    pub fn cancels_transfer(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.advance(now);
        let mine = self.reservation_of(task, agent, &[ReservationStatus::Accepted])?;
        if self.open_transfer(task).is_none_or(|transfer| transfer.by_reservation != mine) {
            return Err(InvalidAction(format!("{agent} has no transfer under way")));
        }
        let pending = self.pending_of(task);
        for sid in &pending {
            self.set_reservation(sid, ReservationStatus::Canceled);
        }
        self.set_task(task, TaskStatus::Assigned);
        for sid in &pending {
            self.emit(task, "reservation.canceled", Some(sid));
        }
        self.end_transfer(task, TransferStatus::Canceled, None);
        self.emit(task, "task.transfer-canceled", None);
        Ok(())
    }

    fn refused(&mut self, task: &TaskSid, agent: &str, how: Refusal, now: Ms) -> Result<(), InvalidAction> {
        self.advance(now);
        let sid = self.reservation_of(task, agent, &[ReservationStatus::Pending])?;
        let (status, event, reason) = match how {
            Refusal::Rejected => (
                ReservationStatus::Rejected,
                "reservation.rejected",
                "Transfer failed because the worker rejected the reservation",
            ),
            Refusal::TimedOut => {
                (ReservationStatus::Timeout, "reservation.timeout", "Transfer failed because the reservation timed out")
            }
            Refusal::Unreachable => (
                ReservationStatus::Canceled,
                "reservation.canceled",
                "Transfer failed because the reservation was canceled",
            ),
        };
        self.set_reservation(&sid, status);
        let to_queue = self.open_transfer(task).map(|transfer| transfer.to_queue.is_some());
        let talking = self.has(task, ReservationStatus::Accepted) && to_queue != Some(true);
        self.set_task(task, if talking { TaskStatus::Assigned } else { TaskStatus::Pending });
        self.emit(task, event, Some(&sid));
        match to_queue {
            None => {
                self.offer_next(task);
            }
            Some(true) => {
                self.note_failed_attempt(task);
                self.emit(task, "task.transfer-attempt-failed", None);
                if !self.offer_next(task) {
                    self.fail_transfer(task, reason);
                }
            }
            Some(false) => self.fail_transfer(task, reason),
        }
        Ok(())
    }

    fn fail_transfer(&mut self, task: &TaskSid, reason: &'static str) {
        let talking = self.has(task, ReservationStatus::Accepted);
        self.set_task(task, if talking { TaskStatus::Assigned } else { TaskStatus::Pending });
        self.end_transfer(task, TransferStatus::Failed, Some(reason));
        self.emit(task, "task.transfer-failed", None);
    }

    /// Completes the transfer under way, if there is one, and says how it was made.
    pub(super) fn finish_transfer(&mut self, task: &TaskSid) -> Option<Mode> {
        let mode = self.open_transfer(task)?.mode;
        self.end_transfer(task, TransferStatus::Complete, None);
        self.emit(task, "task.transfer-completed", None);
        Some(mode)
    }

    fn note_failed_attempt(&mut self, task: &TaskSid) {
        if let Some(transfer) = self.tasks.get_mut(task).and_then(|found| found.transfer.as_mut()) {
            transfer.failed =
                Some("Transfer attempt failed on reservation reject because there are no more pending reservations");
        }
    }

    fn end_transfer(&mut self, task: &TaskSid, status: TransferStatus, reason: Option<&'static str>) {
        let Some(found) = self.tasks.get_mut(task) else { return };
        found.candidates.clear();
        if let Some(transfer) = &mut found.transfer {
            transfer.status = status;
            transfer.failed = reason;
        }
    }

    fn open_transfer(&self, task: &TaskSid) -> Option<&Transfer> {
        let transfer = self.tasks.get(task)?.transfer.as_ref()?;
        (transfer.status == TransferStatus::Initiated).then_some(transfer)
    }

    fn pending_of(&self, task: &TaskSid) -> Vec<ReservationSid> {
        let pending = self.reservations.values();
        let pending = pending.filter(|found| &found.task == task && found.status == ReservationStatus::Pending);
        pending.map(|found| found.sid.clone()).collect()
    }
}
