//! TaskRouter: tasks, reservations, transfers, and the events that tell of them.

use super::agents::Agents;
use super::context::Context;
use super::event_log::EventLog;
use super::reservations::{Reservation, Reservations};
use super::status::{ReservationStatus, TaskStatus, TransferStatus};
use super::task::{ConferenceAttributes, Task, TaskKind};
use super::tasks::Tasks;
use super::transfer::{Mode, OfferFailure, Target, Transfer};
use super::{Event, InvalidAction};
use crate::sim_config::Ms;
use std::collections::{BTreeMap, VecDeque};
use taskrouter_streams::call::sid::{
    CallSid, ConferenceSid, EventSid, ReservationSid, TaskQueueSid, TaskSid, TransferSid, WorkerSid,
};

/// TaskRouter's side of the account.
#[derive(Debug)]
pub(super) struct TaskRouter {
    pub(super) agents: Agents,
    pub(super) tasks: Tasks,
    reservations: Reservations,
    pub(super) log: EventLog,
    /// The events that tell that no agent is on the call, and whether they tell of the task's end.
    ends: BTreeMap<EventSid, (TaskSid, bool)>,
}

impl TaskRouter {
    /// With the configured agents, and no task.
    pub(super) fn new(cx: &mut Context) -> Self {
        Self {
            agents: Agents::new(cx),
            tasks: Tasks::default(),
            reservations: Reservations::default(),
            log: EventLog::default(),
            ends: BTreeMap::new(),
        }
    }

    pub(super) fn task(&self, sid: &TaskSid) -> Option<&Task> {
        self.tasks.get(sid)
    }

    pub(super) fn reservations(&self) -> &Reservations {
        &self.reservations
    }

    /// The newest reservation of an agent on a task that is in one of these statuses.
    pub(super) fn reservation_of(
        &self,
        task: &TaskSid,
        agent: &str,
        statuses: &[ReservationStatus],
    ) -> Result<&Reservation, InvalidAction> {
        let worker = &self.agents.named(agent)?.sid;
        let mine = |found: &&Reservation| &found.worker == worker && statuses.contains(&found.status);
        self.reservations.of(task).into_iter().rfind(mine).ok_or_else(|| {
            let names: Vec<_> = statuses.iter().map(|status| status.as_str()).collect();
            InvalidAction(format!("{agent} has no reservation that is {}", names.join(" or ")))
        })
    }

    /// The name of a reservation's agent.
    pub(super) fn agent_of(&self, reservation: &ReservationSid) -> String {
        let worker = self.reservations.get(reservation).map(|found| &found.worker);
        worker.and_then(|worker| self.agents.with(worker)).map(|agent| agent.name.clone()).unwrap_or_default()
    }

    /// A new task for every agent, one after the other; nobody is told yet.
    pub(super) fn create_task(&mut self, cx: &mut Context, kind: TaskKind) -> TaskSid {
        self.tasks.create(cx, kind, self.agents.sids().cloned().collect())
    }

    /// Another task about the leg of this one, offered to the agents who are free. It shares the conference, or has its own.
    pub(super) fn create_next(&mut self, cx: &mut Context, task: &TaskSid, shares_conference: bool) -> Option<TaskSid> {
        let first = self.task(task)?;
        let (customer, room) = (first.customer.clone()?, first.room.clone());
        let sid = self.create_task(cx, TaskKind::Inbound);
        let busy: Vec<WorkerSid> = self.reservations.accepted().map(|found| found.worker.clone()).collect();
        self.tasks.set_customer(&sid, &customer);
        let next = self.tasks.get_mut(&sid)?;
        next.candidates.retain(|worker| !busy.contains(worker));
        if shares_conference {
            next.room = room;
        }
        Some(sid)
    }

    /// Whether an agent is on the call of this task, for a task that goes on.
    pub(super) fn is_attended(&self, task: &TaskSid) -> bool {
        self.task(task).is_some_and(|found| !found.is_ending())
            && self.reservations.has(task, ReservationStatus::Accepted)
    }

    /// Tells of a new task and offers it to the first candidate.
    pub(super) fn announce(&mut self, cx: &mut Context, task: &TaskSid) {
        self.emit(cx, task, "task.created", None);
        self.offer_next(cx, task);
    }

    /// An agent's leg has joined the task's conference; whether it is the first.
    pub(super) fn agent_joined(
        &mut self,
        task: &TaskSid,
        reservation: &ReservationSid,
        leg: &CallSid,
        conference: ConferenceSid,
    ) -> bool {
        self.reservations.set_leg(reservation, leg);
        self.tasks.get_mut(task).is_some_and(|found| found.conference.replace(conference).is_none())
    }

    /// Writes `conference` into the task's attributes, with the customer's leg once it is answered.
    pub(super) fn write_attributes(
        &mut self,
        cx: &mut Context,
        task: &TaskSid,
        customer: Option<CallSid>,
        announced: bool,
    ) {
        let accepted = |found: &&Reservation| found.status == ReservationStatus::Accepted;
        let leg = self.reservations.of(task).into_iter().rfind(accepted).and_then(|found| found.leg.clone());
        let Some(found) = self.tasks.get_mut(task) else { return };
        if let (Some(conference), Some(worker)) = (found.conference.clone(), leg) {
            found.attributes = Some(ConferenceAttributes { conference, worker, customer });
        }
        if announced {
            found.version += 1;
            self.emit(cx, task, "task.updated", None);
        }
    }

    /// Tells of the task, and of the reservation where there is one, as they are now.
    pub(super) fn emit(
        &mut self,
        cx: &mut Context,
        task: &TaskSid,
        event_type: &'static str,
        reservation: Option<&ReservationSid>,
    ) {
        let attended = self.is_attended(task);
        let Some(found) = self.tasks.get(task) else { return };
        let at = self.log.next_time(cx.now());
        let reservation = reservation.and_then(|sid| self.reservations.get(sid));
        let with_agent = reservation.map(|found| (found, self.agents.with(&found.worker)));
        let event = Event::of_task(cx, at, event_type, found, with_agent);
        if !attended {
            self.ends.insert(event.sid.clone(), (task.clone(), found.is_ending()));
        }
        self.log.push(at, event.clone());
        cx.tell(event);
    }

    /// The service has answered this event with 2xx: from now on it is supposed to know.
    pub(super) fn acknowledged(&mut self, event: &EventSid, now: Ms) {
        let Some((task, over)) = self.ends.get(event).cloned() else { return };
        let attended = self.is_attended(&task);
        let Some(task) = self.tasks.get_mut(&task) else { return };
        if over {
            task.told_over_at.get_or_insert(now);
        }
        if !attended {
            task.told_unattended_at.get_or_insert(now);
        }
    }

    /// Offers the task to the next candidate; false when there is none left.
    fn offer_next(&mut self, cx: &mut Context, task: &TaskSid) -> bool {
        let Some(worker) = self.tasks.get_mut(task).and_then(|task| task.candidates.pop_front()) else {
            return false;
        };
        let sid = self.reservations.create(cx, task, worker);
        self.tasks.set_status(task, TaskStatus::Reserved);
        self.emit(cx, task, "reservation.created", Some(&sid));
        true
    }

    /// An agent takes the offer; nobody is told yet.
    pub(super) fn accept(&mut self, task: &TaskSid, agent: &str) -> Result<ReservationSid, InvalidAction> {
        let sid = self.reservation_of(task, agent, &[ReservationStatus::Pending])?.sid.clone();
        self.reservations.set_status(&sid, ReservationStatus::Accepted);
        self.tasks.set_status(task, TaskStatus::Assigned);
        if let Some(found) = self.tasks.get_mut(task) {
            found.told_unattended_at = None;
        }
        Ok(sid)
    }

    /// An agent completes a reservation after wrapping up; with the last one the task completes.
    pub(super) fn complete(&mut self, cx: &mut Context, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        use ReservationStatus::{Accepted, Completed, Pending, Wrapping};
        let sid = self.reservation_of(task, agent, &[Wrapping])?.sid.clone();
        self.reservations.set_status(&sid, Completed);
        let open = [Pending, Accepted, Wrapping].into_iter().any(|status| self.reservations.has(task, status));
        let last = !open && self.task(task).is_some_and(|task| task.status == TaskStatus::Wrapping);
        if last {
            self.tasks.set_status(task, TaskStatus::Completed);
        }
        self.emit(cx, task, "reservation.completed", Some(&sid));
        if last {
            self.emit(cx, task, "task.completed", None);
        }
        Ok(())
    }

    /// An agent's leg is over: the accepted reservation wraps up. Observed in Twilio's own tests: the task is `wrapping` for
    /// the last agent, `assigned` or `reserved` for one who leaves others behind.
    /// Of a task that is over nothing is told any more (assumed).
    pub(super) fn wrap_up(&mut self, cx: &mut Context, task: &TaskSid, sid: &ReservationSid, customer_is_live: bool) {
        if self.task(task).is_some_and(Task::is_over) {
            return self.reservations.set_status(sid, ReservationStatus::Completed);
        }
        self.reservations.set_status(sid, ReservationStatus::Wrapping);
        let talking = self.reservations.has(task, ReservationStatus::Accepted);
        let offered = self.reservations.has(task, ReservationStatus::Pending);
        let last = !(talking || offered && customer_is_live);
        if talking {
            self.tasks.touch(task);
        } else {
            self.tasks.set_status(task, if last { TaskStatus::Wrapping } else { TaskStatus::Reserved });
        }
        self.emit(cx, task, "reservation.wrapup", Some(sid));
        if last {
            self.emit(cx, task, "task.wrapup", None);
        }
    }

    /// The customer's leg is over. Observed: a pending offer is cancelled, and the transfer stays `initiated`.
    pub(super) fn customer_gone(&mut self, cx: &mut Context, task: &TaskSid) {
        let Some(found) = self.tasks.get_mut(task).filter(|found| !found.is_ending()) else {
            return;
        };
        found.candidates.clear();
        let pending = self.reservations.with(task, ReservationStatus::Pending);
        for sid in &pending {
            self.reservations.set_status(sid, ReservationStatus::Canceled);
        }
        let talking = self.reservations.has(task, ReservationStatus::Accepted);
        let wrapping = self.reservations.has(task, ReservationStatus::Wrapping);
        if talking {
            self.tasks.touch(task);
        } else {
            self.tasks.set_status(task, if wrapping { TaskStatus::Wrapping } else { TaskStatus::Canceled });
            self.tasks.set_canceled_reason(task, "hangup");
        }
        for sid in &pending {
            self.emit(cx, task, "reservation.canceled", Some(sid));
        }
        if !talking {
            self.emit(cx, task, if wrapping { "task.wrapup" } else { "task.canceled" }, None);
        }
    }

    /// Somebody cancels the task, whatever becomes of the call. Observed: pending offers are cancelled with it. That it is
    /// possible while an agent talks, and that the agent's reservation is not told of, is assumed.
    pub(super) fn cancel(&mut self, cx: &mut Context, task: &TaskSid, reason: &str) -> Result<(), InvalidAction> {
        self.end_offers(cx, task)?;
        self.tasks.set_status(task, TaskStatus::Canceled);
        self.tasks.set_canceled_reason(task, reason);
        self.emit(cx, task, "task.canceled", None);
        Ok(())
    }

    /// A program completes the task, whatever becomes of the call. Documented: only an assigned or wrapping one.
    pub(super) fn complete_task(&mut self, cx: &mut Context, task: &TaskSid) -> Result<(), InvalidAction> {
        let found =
            self.task(task).filter(|found| [TaskStatus::Assigned, TaskStatus::Wrapping].contains(&found.status));
        found.ok_or_else(|| InvalidAction("the task is neither assigned nor wrapping".to_owned()))?;
        self.end_offers(cx, task)?;
        self.tasks.set_status(task, TaskStatus::Completed);
        self.emit(cx, task, "task.completed", None);
        Ok(())
    }

    /// A program writes the task's attributes, a JSON object, or its priority.
    pub(super) fn update_task(
        &mut self,
        cx: &mut Context,
        task: &TaskSid,
        attributes: Option<&str>,
        priority: Option<i64>,
    ) {
        if let Some(found) = self.tasks.get_mut(task) {
            found.given = attributes.and_then(|text| serde_json::from_str(text).ok()).or(found.given.take());
            found.priority = priority.unwrap_or(found.priority);
            found.version += 1;
        }
        self.emit(cx, task, "task.updated", None);
    }

    /// A program deletes the task, also one that is over (assumed).
    pub(super) fn delete_by_program(&mut self, cx: &mut Context, task: &TaskSid) -> Result<(), InvalidAction> {
        let Some(over) = self.tasks.get_mut(task).filter(|found| found.is_over()) else {
            return self.delete(cx, task);
        };
        over.deleted = true;
        self.emit(cx, task, "task.deleted", None);
        Ok(())
    }

    /// Somebody deletes the task, whatever becomes of the call. Its status stays as it was (assumed).
    pub(super) fn delete(&mut self, cx: &mut Context, task: &TaskSid) -> Result<(), InvalidAction> {
        self.end_offers(cx, task)?;
        if let Some(found) = self.tasks.get_mut(task) {
            found.deleted = true;
        }
        self.emit(cx, task, "task.deleted", None);
        Ok(())
    }

    fn end_offers(&mut self, cx: &mut Context, task: &TaskSid) -> Result<(), InvalidAction> {
        let found = self.tasks.get_mut(task).filter(|found| !found.is_over());
        let found = found.ok_or_else(|| InvalidAction("the task is over".to_owned()))?;
        found.candidates.clear();
        for sid in self.reservations.with(task, ReservationStatus::Pending) {
            self.reservations.set_status(&sid, ReservationStatus::Canceled);
            self.emit(cx, task, "reservation.canceled", Some(&sid));
        }
        Ok(())
    }

    /// An agent on the call begins a transfer, which is offered to the first candidate.
    pub(super) fn begin_transfer(
        &mut self,
        cx: &mut Context,
        task: &TaskSid,
        from: &str,
        target: &Target,
        mode: Mode,
    ) -> Result<(), InvalidAction> {
        let by = self.reservation_of(task, from, &[ReservationStatus::Accepted])?;
        let (by_reservation, by_worker) = (by.sid.clone(), by.worker.clone());
        if self.task(task).is_some_and(|task| task.open_transfer().is_some()) {
            return Err(InvalidAction("another transfer of this task is under way".to_owned()));
        }
        let (names, to_queue) = match target {
            Target::Agent(name) => (std::slice::from_ref(name), None),
            Target::Queue(names) => (names.as_slice(), Some(cx.mint::<TaskQueueSid>(TaskQueueSid::PREFIX))),
        };
        let candidates = names
            .iter()
            .map(|name| Ok(self.agents.named(name)?.sid.clone()))
            .collect::<Result<VecDeque<_>, InvalidAction>>()?;
        let transfer = Transfer {
            sid: cx.mint(TransferSid::PREFIX),
            mode,
            to_worker: if to_queue.is_none() { candidates.front().cloned() } else { None },
            to_queue,
            by_reservation,
            by_worker,
            started: cx.now(),
            status: TransferStatus::Initiated,
            failed: None,
        };
        if let Some(found) = self.tasks.get_mut(task) {
            found.transfer = Some(transfer);
            found.candidates = candidates;
            found.version += 1;
        }
        self.emit(cx, task, "task.transfer-initiated", None);
        self.offer_next(cx, task);
        Ok(())
    }

    /// The transferor calls the transfer off.
    pub(super) fn cancel_transfer(
        &mut self,
        cx: &mut Context,
        task: &TaskSid,
        agent: &str,
    ) -> Result<(), InvalidAction> {
        let mine = &self.reservation_of(task, agent, &[ReservationStatus::Accepted])?.sid;
        let open = self.task(task).and_then(Task::open_transfer);
        if open.is_none_or(|transfer| &transfer.by_reservation != mine) {
            return Err(InvalidAction(format!("{agent} has no transfer under way")));
        }
        let pending = self.reservations.with(task, ReservationStatus::Pending);
        for sid in &pending {
            self.reservations.set_status(sid, ReservationStatus::Canceled);
        }
        self.tasks.set_status(task, TaskStatus::Assigned);
        for sid in &pending {
            self.emit(cx, task, "reservation.canceled", Some(sid));
        }
        self.tasks.end_transfer(task, TransferStatus::Canceled, None);
        self.emit(cx, task, "task.transfer-canceled", None);
        Ok(())
    }

    /// An agent's offer comes to nothing: the next candidate is asked, or the transfer fails.
    pub(super) fn offer_failed(
        &mut self,
        cx: &mut Context,
        task: &TaskSid,
        agent: &str,
        failure: OfferFailure,
    ) -> Result<(), InvalidAction> {
        let sid = self.reservation_of(task, agent, &[ReservationStatus::Pending])?.sid.clone();
        let (status, event) = failure.reservation();
        self.reservations.set_status(&sid, status);
        let transfer = self.task(task).and_then(Task::open_transfer);
        let to_queue = transfer.map(|transfer| transfer.to_queue.is_some());
        let talking = self.reservations.has(task, ReservationStatus::Accepted) && to_queue != Some(true);
        self.tasks.set_status(task, if talking { TaskStatus::Assigned } else { TaskStatus::Pending });
        self.emit(cx, task, event, Some(&sid));
        match to_queue {
            None => {
                self.offer_next(cx, task);
            }
            Some(true) => {
                self.tasks.note_failed_attempt(task);
                self.emit(cx, task, "task.transfer-attempt-failed", None);
                if !self.offer_next(cx, task) {
                    self.fail_transfer(cx, task, failure);
                }
            }
            Some(false) => self.fail_transfer(cx, task, failure),
        }
        Ok(())
    }

    fn fail_transfer(&mut self, cx: &mut Context, task: &TaskSid, failure: OfferFailure) {
        let talking = self.reservations.has(task, ReservationStatus::Accepted);
        self.tasks.set_status(task, if talking { TaskStatus::Assigned } else { TaskStatus::Pending });
        self.tasks.end_transfer(task, TransferStatus::Failed, Some(failure.reason()));
        self.emit(cx, task, "task.transfer-failed", None);
    }

    /// Completes the transfer under way, if there is one, and says how it was made.
    pub(super) fn finish_transfer(&mut self, cx: &mut Context, task: &TaskSid) -> Option<Mode> {
        let mode = self.task(task)?.open_transfer()?.mode;
        self.tasks.end_transfer(task, TransferStatus::Complete, None);
        self.emit(cx, task, "task.transfer-completed", None);
        Some(mode)
    }
}
