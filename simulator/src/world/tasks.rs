//! Every task so far, and the changes that concern one task alone.

use super::context::Context;
use super::status::{TaskStatus, TransferStatus};
use super::task::{Task, TaskKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use taskrouter_streams::call::sid::{CallSid, TaskSid, WorkerSid};

/// Every task so far.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    all: BTreeMap<TaskSid, Task>,
    /// Asked for at every step, of every leg that is streamed.
    of_customers: BTreeMap<CallSid, BTreeSet<TaskSid>>,
}

impl Tasks {
    pub(super) fn create(&mut self, cx: &mut Context, kind: TaskKind, candidates: VecDeque<WorkerSid>) -> TaskSid {
        let sid: TaskSid = cx.mint(TaskSid::PREFIX);
        let task = Task {
            sid: sid.clone(),
            kind,
            room: sid.to_string(),
            status: TaskStatus::Pending,
            version: 0,
            created: cx.now(),
            customer: None,
            attributes: None,
            conference: None,
            candidates,
            transfer: None,
            told_over_at: None,
            told_unattended_at: None,
            canceled_reason: None,
            priority: 0,
            given: None,
            deleted: false,
        };
        self.all.insert(sid.clone(), task);
        sid
    }

    pub(super) fn get(&self, sid: &TaskSid) -> Option<&Task> {
        self.all.get(sid)
    }

    pub(super) fn get_mut(&mut self, sid: &TaskSid) -> Option<&mut Task> {
        self.all.get_mut(sid)
    }

    pub(super) fn customer(&self, task: &TaskSid) -> Option<&CallSid> {
        self.get(task)?.customer.as_ref()
    }

    /// The task that a path names.
    pub(super) fn find(&self, sid: &str) -> Option<&Task> {
        self.all.get(&sid.parse().ok()?)
    }

    /// Oldest first.
    pub(super) fn all(&self) -> Vec<TaskSid> {
        Self::oldest_first(self.all.values())
    }

    /// Those about a customer's leg, oldest first.
    pub(super) fn of(&self, customer: &CallSid) -> Vec<TaskSid> {
        let tasks = self.of_customers.get(customer).into_iter().flatten();
        Self::oldest_first(tasks.filter_map(|sid| self.all.get(sid)))
    }

    fn oldest_first<'a>(tasks: impl Iterator<Item = &'a Task>) -> Vec<TaskSid> {
        let mut found: Vec<_> = tasks.collect();
        found.sort_by_key(|task| task.created);
        found.into_iter().map(|task| task.sid.clone()).collect()
    }

    pub(super) fn offer_only_to(&mut self, task: &TaskSid, worker: WorkerSid) {
        if let Some(found) = self.all.get_mut(task) {
            found.candidates = VecDeque::from([worker]);
        }
    }

    /// Writes attributes, a JSON object, and the priority.
    pub(super) fn give(&mut self, task: &TaskSid, attributes: &str, priority: i64) {
        if let Some(found) = self.all.get_mut(task) {
            found.given = serde_json::from_str(attributes).ok();
            found.priority = priority;
        }
    }

    pub(super) fn set_customer(&mut self, task: &TaskSid, call: &CallSid) {
        let Some(found) = self.all.get_mut(task) else { return };
        if let Some(before) = found.customer.replace(call.clone()).and_then(|call| self.of_customers.get_mut(&call)) {
            before.remove(task);
        }
        self.of_customers.entry(call.clone()).or_default().insert(task.clone());
    }

    pub(super) fn set_canceled_reason(&mut self, task: &TaskSid, reason: &str) {
        if let Some(found) = self.all.get_mut(task) {
            found.canceled_reason = Some(reason.to_owned());
        }
    }

    pub(super) fn note_failed_attempt(&mut self, task: &TaskSid) {
        if let Some(transfer) = self.all.get_mut(task).and_then(|found| found.transfer.as_mut()) {
            transfer.failed =
                Some("Transfer attempt failed on reservation reject because there are no more pending reservations");
        }
    }

    pub(super) fn end_transfer(&mut self, task: &TaskSid, status: TransferStatus, reason: Option<&'static str>) {
        let Some(found) = self.all.get_mut(task) else { return };
        found.candidates.clear();
        if let Some(transfer) = &mut found.transfer {
            transfer.status = status;
            transfer.failed = reason;
        }
    }

    pub(super) fn set_status(&mut self, task: &TaskSid, status: TaskStatus) {
        if let Some(found) = self.all.get_mut(task) {
            found.set_status(status);
        }
    }

    /// A change that shows in the version only.
    pub(super) fn touch(&mut self, task: &TaskSid) {
        if let Some(found) = self.all.get_mut(task) {
            found.version += 1;
        }
    }
}
