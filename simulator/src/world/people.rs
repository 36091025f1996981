//! What customers and agents do, and what TaskRouter makes of it.

use super::status::{ReservationStatus, TaskStatus};
use super::{Effect, InvalidAction, Mode, Ms, Note, Reservation, Role, Task, World};
use std::collections::VecDeque;
use taskrouter_streams::call::sid::{CallSid, ReservationSid, TaskSid};

impl World {
    /// A customer calls in: a voice task, offered to the first agent.
    pub fn customer_calls(&mut self, now: Ms) -> TaskSid {
        self.advance(now);
        let task = self.new_task("voice", false);
        let call = self.new_call(Role::Customer(task.clone()));
        if let Some(found) = self.tasks.get_mut(&task) {
            found.customer = Some(call);
        }
        self.emit(&task, "task.created", None);
        self.offer_next(&task);
        task
    }

    /// A customer writes: a chat task, which has no call.
    pub fn customer_writes(&mut self, now: Ms) -> TaskSid {
        self.advance(now);
        let task = self.new_task("chat", false);
        self.emit(&task, "task.created", None);
        self.offer_next(&task);
        task
    }

    /// An agent calls a customer from Flex's dial pad: accepted at once, the customer's leg comes when he answers.
    pub fn calls_out(&mut self, agent: &str, now: Ms) -> Result<TaskSid, InvalidAction> {
        self.advance(now);
        let worker = self.agent(agent)?.sid.clone();
        let task = self.new_task("voice", true);
        if let Some(found) = self.tasks.get_mut(&task) {
            found.candidates = VecDeque::from([worker]);
        }
        self.emit(&task, "task.created", None);
        self.offer_next(&task);
        self.accepts(&task, agent, now)?;
        Ok(task)
    }

    /// The customer of an outbound call picks up.
    pub fn customer_answers(&mut self, task: &TaskSid, now: Ms) -> Result<(), InvalidAction> {
        self.advance(now);
        let waiting = self.tasks.get(task).is_some_and(|task| task.outbound && task.customer.is_none());
        if !waiting || self.open_conference(task.as_str()).is_none() {
            return Err(InvalidAction("no outbound call is ringing".to_owned()));
        }
        let call = self.new_call(Role::Customer(task.clone()));
        if let Some(found) = self.tasks.get_mut(task) {
            found.customer = Some(call.clone());
        }
        self.join_customer(&call, 0);
        // Observed: an outbound task's conference attributes come by task.updated.
        self.write_attributes(task, true);
        let waiting = self.reservations.values().filter(|found| &found.task == task);
        let waiting = waiting.filter(|found| found.status == ReservationStatus::Accepted);
        for reservation in waiting.map(|found| found.sid.clone()).collect::<Vec<_>>() {
            self.start_by_itself(task, &reservation);
        }
        Ok(())
    }

    /// An agent accepts his offer: his leg joins the conference named by the TaskSid, the customer is moved in after him.
    pub fn accepts(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.advance(now);
        let sid = self.reservation_of(task, agent, &[ReservationStatus::Pending])?;
        self.set_reservation(&sid, ReservationStatus::Accepted);
        self.set_task(task, TaskStatus::Assigned);
        if self.tasks.get(task).is_some_and(|task| task.channel == "voice") {
            self.connect_agent(task, &sid);
            self.start_by_itself(task, &sid);
        }
        self.emit(task, "reservation.accepted", Some(&sid));
        if self.finish_transfer(task) == Some(Mode::Cold) {
            // In Flex the transferee's browser un-holds the customer, for a cold transfer only (Flex's own bundle).
            self.after(self.config.cold_unhold_ms, Effect::Hold { task: task.clone(), hold: false });
        }
        Ok(())
    }

    fn connect_agent(&mut self, task: &TaskSid, reservation: &ReservationSid) {
        let leg = self.new_call(Role::Worker(reservation.clone()));
        if let Some(found) = self.reservations.get_mut(reservation) {
            found.leg = Some(leg.clone());
        }
        let conference = self.join(&leg, task.as_str(), true);
        let Some(found) = self.tasks.get_mut(task) else { return };
        let first = found.conference.is_none();
        found.conference = Some(conference);
        let (customer, outbound) = (found.customer.clone(), found.outbound);
        if let Some(call) = customer.filter(|_| first) {
            self.after(self.config.customer_join_ms, Effect::JoinCustomer { call, generation: 0 });
        }
        let delay = self.config.conference_attributes_ms;
        if outbound || self.config.conference_attributes_missing {
            // An outbound task's come when the customer answers.
        } else if delay <= 0 {
            self.write_attributes(task, false);
        } else {
            self.after(delay, Effect::Attributes { task: task.clone() });
        }
    }

    pub(super) fn write_attributes(&mut self, task: &TaskSid, announced: bool) {
        let accepted = |found: &&Reservation| &found.task == task && found.status == ReservationStatus::Accepted;
        let latest = self.reservations.values().filter(accepted).max_by_key(|found| found.order);
        let leg = latest.and_then(|found| found.leg.clone());
        let Some(found) = self.tasks.get_mut(task) else { return };
        if let (Some(conference), Some(leg)) = (found.conference.clone(), leg) {
            found.attributes = Some((conference, leg));
        }
        if announced {
            found.version += 1;
            self.emit(task, "task.updated", None);
        }
    }

    /// An agent puts the customer on hold, in Flex.
    pub fn holds(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.agent_sets_hold(task, agent, true, now)
    }

    /// An agent takes the customer off hold, in Flex.
    pub fn unholds(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.agent_sets_hold(task, agent, false, now)
    }

    fn agent_sets_hold(&mut self, task: &TaskSid, agent: &str, hold: bool, now: Ms) -> Result<(), InvalidAction> {
        self.advance(now);
        self.live_leg(task, agent)?;
        if self.set_customer_hold(task, hold) {
            return Ok(());
        }
        Err(InvalidAction("the customer is not in the conference".to_owned()))
    }

    /// An agent hangs up his own leg: his reservation wraps up. An agent whose leg is over already stays so.
    pub fn leaves(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.advance(now);
        let sid = self.reservation_of(task, agent, &[ReservationStatus::Accepted, ReservationStatus::Wrapping])?;
        match self.reservations.get(&sid).and_then(|found| found.leg.clone()) {
            Some(leg) => self.hang_up(&leg),
            None => self.wrap_up(&sid),
        }
        Ok(())
    }

    /// An agent completes his reservation after wrapping up; with the last one the task completes.
    pub fn completes(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.advance(now);
        let sid = self.reservation_of(task, agent, &[ReservationStatus::Wrapping])?;
        self.set_reservation(&sid, ReservationStatus::Completed);
        let open = |found: &Reservation| {
            use ReservationStatus::{Accepted, Pending, Wrapping};
            &found.task == task && [Pending, Accepted, Wrapping].contains(&found.status)
        };
        let last = !self.reservations.values().any(open)
            && self.tasks.get(task).is_some_and(|task| task.status == TaskStatus::Wrapping);
        if last {
            self.set_task(task, TaskStatus::Completed);
        }
        self.emit(task, "reservation.completed", Some(&sid));
        if last {
            self.emit(task, "task.completed", None);
        }
        Ok(())
    }

    /// An agent's leg is over: his reservation wraps up. Observed in Twilio's own tests: the task is `wrapping` for the last
    /// agent, `assigned` or `reserved` for one who leaves others behind.
    pub(super) fn wrap_up(&mut self, sid: &ReservationSid) {
        let Some(found) = self.reservations.get(sid).filter(|found| found.status == ReservationStatus::Accepted) else {
            return;
        };
        let task = found.task.clone();
        self.set_reservation(sid, ReservationStatus::Wrapping);
        self.stop_by_itself(&task, sid);
        let talking = self.has(&task, ReservationStatus::Accepted);
        let offered = self.has(&task, ReservationStatus::Pending);
        let customer = self.tasks.get(&task).and_then(|task| task.customer.as_ref());
        let waiting = customer.and_then(|call| self.calls.get(call)).is_some_and(|call| call.live);
        let last = !(talking || offered && waiting);
        if talking {
            self.bump_task(&task);
        } else {
            self.set_task(&task, if last { TaskStatus::Wrapping } else { TaskStatus::Reserved });
        }
        self.emit(&task, "reservation.wrapup", Some(sid));
        if last {
            self.emit(&task, "task.wrapup", None);
        }
    }

    /// The customer's leg is over. Observed: a pending offer is cancelled, and the transfer stays `initiated`.
    pub(super) fn customer_gone(&mut self, task: &TaskSid) {
        let over = [TaskStatus::Wrapping, TaskStatus::Completed, TaskStatus::Canceled];
        if self.tasks.get(task).is_none_or(|found| over.contains(&found.status)) {
            return;
        }
        if let Some(found) = self.tasks.get_mut(task) {
            found.candidates.clear();
        }
        let offered = |found: &&Reservation| &found.task == task && found.status == ReservationStatus::Pending;
        let pending: Vec<_> = self.reservations.values().filter(offered).map(|found| found.sid.clone()).collect();
        let talking = self.has(task, ReservationStatus::Accepted);
        for sid in &pending {
            self.set_reservation(sid, ReservationStatus::Canceled);
        }
        if talking {
            self.bump_task(task);
        } else if self.has(task, ReservationStatus::Wrapping) {
            self.set_task(task, TaskStatus::Wrapping);
        } else {
            self.set_task(task, TaskStatus::Canceled);
        }
        for sid in &pending {
            self.emit(task, "reservation.canceled", Some(sid));
        }
        if !talking {
            let wrapping = self.has(task, ReservationStatus::Wrapping);
            self.emit(task, if wrapping { "task.wrapup" } else { "task.canceled" }, None);
        }
    }

    /// After the customer's leaving: are agents still in the conference, among themselves?
    pub(super) fn note_left_behind(&mut self, call: &CallSid, task: &TaskSid) {
        if self.open_conference(task.as_str()).is_some() {
            self.notes.push(Note::LeftBehind { at: self.now, call: call.clone() });
        }
    }

    fn new_task(&mut self, channel: &'static str, outbound: bool) -> TaskSid {
        let sid: TaskSid = self.mint(TaskSid::PREFIX);
        let task = Task {
            sid: sid.clone(),
            channel,
            outbound,
            status: TaskStatus::Pending,
            version: 0,
            created: self.now,
            customer: None,
            attributes: None,
            conference: None,
            candidates: self.agents.iter().map(|agent| agent.sid.clone()).collect(),
            transfer: None,
            told_over_at: None,
        };
        self.tasks.insert(sid.clone(), task);
        sid
    }

    /// Offers the task to the next candidate; false when there is none left.
    pub(super) fn offer_next(&mut self, task: &TaskSid) -> bool {
        let Some(worker) = self.tasks.get_mut(task).and_then(|task| task.candidates.pop_front()) else {
            return false;
        };
        let sid: ReservationSid = self.mint(ReservationSid::PREFIX);
        let reservation = Reservation {
            sid: sid.clone(),
            task: task.clone(),
            worker,
            status: ReservationStatus::Pending,
            version: 0,
            order: self.minted,
            leg: None,
            created: self.now,
        };
        self.reservations.insert(sid.clone(), reservation);
        self.set_task(task, TaskStatus::Reserved);
        self.emit(task, "reservation.created", Some(&sid));
        true
    }

    /// The newest reservation of an agent on a task that is in one of these statuses.
    pub(super) fn reservation_of(
        &self,
        task: &TaskSid,
        agent: &str,
        statuses: &[ReservationStatus],
    ) -> Result<ReservationSid, InvalidAction> {
        let worker = &self.agent(agent)?.sid;
        let mine =
            |found: &&Reservation| &found.task == task && &found.worker == worker && statuses.contains(&found.status);
        let newest = self.reservations.values().filter(mine).max_by_key(|found| found.order);
        newest.map(|found| found.sid.clone()).ok_or_else(|| {
            let names: Vec<_> = statuses.iter().map(|status| status.as_str()).collect();
            InvalidAction(format!("{agent} has no reservation that is {}", names.join(" or ")))
        })
    }

    /// The leg with which an agent is in the conference now.
    pub(super) fn live_leg(&self, task: &TaskSid, agent: &str) -> Result<CallSid, InvalidAction> {
        let sid = self.reservation_of(task, agent, &[ReservationStatus::Accepted])?;
        let leg = self.reservations.get(&sid).and_then(|found| found.leg.clone());
        let leg = leg.filter(|leg| self.conference_of(leg).is_some());
        leg.ok_or_else(|| InvalidAction(format!("{agent} is not in the conference")))
    }

    pub(super) fn has(&self, task: &TaskSid, status: ReservationStatus) -> bool {
        self.reservations.values().any(|found| &found.task == task && found.status == status)
    }

    pub(super) fn set_reservation(&mut self, sid: &ReservationSid, status: ReservationStatus) {
        if let Some(found) = self.reservations.get_mut(sid) {
            found.status = status;
            found.version += 1;
        }
    }

    pub(super) fn set_task(&mut self, sid: &TaskSid, status: TaskStatus) {
        if let Some(found) = self.tasks.get_mut(sid) {
            found.status = status;
            found.version += 1;
        }
    }

    fn bump_task(&mut self, sid: &TaskSid) {
        if let Some(found) = self.tasks.get_mut(sid) {
            found.version += 1;
        }
    }
}
