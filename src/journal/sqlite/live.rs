//! The live calls, in memory: which are due, who has them, and what is listed of them. One process owns the file, so nothing of
//! this needs to be written for others to see; what a restart needs of it is in the projection, or follows from the facts.

use super::batch::Committed;
use super::projection::Projected;
use super::schedule::{Schedule, Schedules};
use super::sid_index::SidIndex;
use super::tail::Tail;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::{CallSid, TaskSid};
use crate::journal::calls::customer;
use crate::journal::{Backlog, Claim, Due, JournalError, Seq};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A call's number in this file.
pub(super) type CallId = i64;

/// A call that is live, or over and not yet projected.
pub(super) struct LiveCall {
    pub(super) task: TaskSid,
    pub(super) customer: Option<CallSid>,
    pub(super) last_seq: Seq,
    pub(super) changed: EpochMs,
    pub(super) over: Option<EpochMs>,
    pub(super) parked: bool,
    /// No row of a call that memory does not know names its customer.
    is_alone_in_file: bool,
    schedule: Schedule,
    /// Facts under the present claim that are being committed: until they are, the lease does not end.
    appending: u32,
    tail: Tail,
    is_dirty: bool,
    /// Its projection says that it is over.
    is_over_in_file: bool,
    /// Of a call that is over, until it is projected.
    pub(super) summary: Option<String>,
}

impl LiveCall {
    /// When an unclaimed call is due.
    pub(super) fn due(&self) -> Option<EpochMs> {
        match self.schedule {
            Schedule::Ready(at) | Schedule::Waiting(at) => Some(at),
            Schedule::OnFact | Schedule::Leased { .. } => None,
        }
    }

    /// Whether a worker has it or may have it now.
    fn is_wanted(&self) -> bool {
        matches!(self.schedule, Schedule::Ready(_) | Schedule::Leased { .. })
    }

    pub(super) fn is_leased(&self) -> bool {
        matches!(self.schedule, Schedule::Leased { .. })
    }

    /// The only place where a call changes its place in the order.
    fn change(&mut self, id: CallId, at: EpochMs, order: &mut BTreeSet<(EpochMs, CallId)>) {
        if self.changed != at {
            order.remove(&(self.changed, id));
            self.changed = at;
            order.insert((at, id));
        }
    }
}

/// All of them, for every thread. Nobody holds the lock during a commit or a reading.
pub(super) struct Live(Mutex<LiveCalls>);

impl Live {
    pub(super) fn new(calls: LiveCalls) -> Self {
        Self(Mutex::new(calls))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LiveCalls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct LiveCalls {
    /// In the order in which they began, in which most are asked for too. Each at its own place: a map that grows moves what is in it.
    calls: BTreeMap<CallId, Box<LiveCall>>,
    by_task: SidIndex,
    by_customer: SidIndex,
    /// The order of the list, but for calls that changed in the same millisecond.
    pub(super) order: BTreeSet<(EpochMs, CallId)>,
    schedules: Schedules,
    /// Over, and not yet projected.
    pub(super) ended: BTreeSet<CallId>,
    pub(super) parked: BTreeSet<CallId>,
    /// Calls that are over, projected and parked.
    pub(super) parked_in_file: u64,
    /// How many of these calls are over in the file.
    pub(super) over_in_file: usize,
    /// Calls whose projection is behind, each with the last fact before it fell behind.
    dirty: VecDeque<(CallId, i64)>,
    /// Up to this place, every fact is in the projection.
    pub(super) projected_place: i64,
    /// The place of the last fact.
    pub(super) last_place: i64,
    pub(super) newest_event: Option<EpochMs>,
    pub(super) next_id: CallId,
    pub(super) next_fence: i64,
    /// Facts in all tails together.
    in_tails: usize,
}

impl LiveCalls {
    pub(super) fn get(&self, id: CallId) -> Option<&LiveCall> {
        self.calls.get(&id).map(Box::as_ref)
    }

    pub(super) fn of_task(&self, task: &TaskSid) -> Option<(CallId, &LiveCall)> {
        self.of_tasks(task.as_str()).next()
    }

    pub(super) fn id_of(&self, task: &TaskSid) -> Option<CallId> {
        self.of_task(task).map(|(id, _)| id)
    }

    /// The calls whose task begins with this.
    pub(super) fn of_tasks(&self, beginning: &str) -> impl Iterator<Item = (CallId, &LiveCall)> {
        let calls = self.by_task.candidates(beginning).filter_map(|id| Some((id, self.get(id)?)));
        calls.filter(move |(_, call)| call.task.as_str().starts_with(beginning))
    }

    /// The calls whose customer's leg begins with this.
    pub(super) fn on_legs(&self, beginning: &str) -> impl Iterator<Item = CallId> {
        let leg = |id: &CallId| self.get(*id)?.customer.as_ref();
        let begins = move |id: &CallId| leg(id).is_some_and(|leg| leg.as_str().starts_with(beginning));
        self.by_customer.candidates(beginning).filter(begins)
    }

    /// Takes up a call as it is in the file.
    pub(super) fn load(&mut self, call: Projected, now: EpochMs) {
        let Projected { id, task, customer, is_alone, last_seq, changed, due, over, parked, .. } = call;
        self.next_id = self.next_id.max(id + 1);
        self.by_task.insert(task.as_str(), id);
        self.order.insert((changed, id));
        if let Some(customer) = &customer {
            self.by_customer.insert(customer.as_str(), id);
        }
        if parked {
            self.parked.insert(id);
            self.parked_in_file -= u64::from(over.is_some());
        }
        if over.is_some() {
            self.ended.insert(id);
            self.over_in_file += 1;
        }
        let call = LiveCall {
            task,
            customer,
            last_seq,
            changed,
            over,
            parked,
            is_alone_in_file: is_alone,
            schedule: Schedule::OnFact,
            appending: 0,
            tail: Tail::default(),
            is_dirty: false,
            is_over_in_file: over.is_some(),
            summary: None,
        };
        self.calls.insert(id, Box::new(call));
        self.schedule(id, due.map_or(Schedule::OnFact, |due| Schedule::due(due, now)));
    }

    /// A call of which nothing is in the file yet.
    pub(super) fn begin(&mut self, id: CallId, task: TaskSid, now: EpochMs) {
        let (customer, due, over, summary) = (None, None, None, None);
        let (is_alone, parked) = (false, false);
        let call = Projected { id, task, customer, is_alone, last_seq: 0, changed: now, due, over, parked, summary };
        self.load(call, now);
    }

    /// Takes a fact into account that is in the file now. Says whether its call became due.
    pub(super) fn committed(&mut self, committed: Committed, now: EpochMs) -> bool {
        let Committed { call: id, seq, fact, place, is_event, wakes } = committed;
        self.note(id, seq, Some(&*fact), is_event, now);
        self.last_place = place;
        let Some(call) = self.calls.get_mut(&id) else { return false };
        call.appending -= u32::from(!is_event && call.appending > 0);
        let becomes_due = wakes && !call.is_leased();
        if becomes_due || call.is_wanted() {
            self.in_tails = call.tail.push(seq, fact, self.in_tails);
        } else {
            self.in_tails -= call.tail.clear();
        }
        if becomes_due {
            self.schedule(id, Schedule::Ready(now));
        }
        becomes_due
    }

    /// Takes a fact into account that was in the file already, and not in the row of its call. What was done about it nobody
    /// knows, so its call is due. A fact that cannot be read parks its call once a worker has it.
    pub(super) fn caught_up(&mut self, id: CallId, seq: Seq, fact: Option<&Fact>, is_event: bool) {
        let changed = fact.map_or(0, |fact| fact.at).max(self.get(id).map_or(0, |call| call.changed));
        self.note(id, seq, fact, is_event, changed);
        self.schedule(id, Schedule::Ready(0));
    }

    /// What a fact says of its call without being folded. An event reopens a call that was over.
    fn note(&mut self, id: CallId, seq: Seq, fact: Option<&Fact>, is_event: bool, changed: EpochMs) {
        // Only TaskRouter keeps records to read from.
        let event = fact.filter(|fact| is_event && fact.kind.task_view().is_some());
        self.newest_event = self.newest_event.max(event.map(|event| event.at));
        self.dirtied(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.last_seq = seq;
        call.change(id, changed, &mut self.order);
        if let Some(parks) = fact.and_then(|fact| fact.kind.parks()) {
            call.parked = parks;
            if parks {
                self.parked.insert(id)
            } else {
                self.parked.remove(&id)
            };
        }
        let named = fact.and_then(|fact| customer(&fact.kind)).filter(|named| call.customer.as_ref() != Some(named));
        if let Some(named) = named {
            if let Some(before) = call.customer.replace(named.clone()) {
                self.by_customer.remove(before.as_str(), id);
            }
            self.by_customer.insert(named.as_str(), id);
            call.is_alone_in_file = false;
        }
        if is_event && call.over.take().is_some() {
            self.ended.remove(&id);
        }
    }

    /// The facts of a call after this number, when memory has all of them.
    pub(super) fn facts_after(&self, task: &TaskSid, after: Seq) -> Option<Vec<(Seq, Fact)>> {
        let (_, call) = self.of_task(task)?;
        call.tail.after(after, call.last_seq)
    }

    /// [`crate::journal::Claims::claim`].
    pub(super) fn claim(&mut self, limit: usize, lease: Duration, now: EpochMs) -> Vec<Claim> {
        for (until, id) in self.schedules.ended_leases(now) {
            if self.calls.get(&id).is_some_and(|call| call.appending == 0) {
                self.schedule(id, Schedule::Ready(until));
            }
        }
        self.wake(now);
        let mut claims = Vec::new();
        for id in self.schedules.longest_ready(limit) {
            let fence = self.next_fence;
            self.next_fence += 1;
            self.schedule(id, Schedule::Leased { fence, until: now + millis(lease) });
            claims.extend(self.get(id).map(|call| Claim {
                call: call.task.clone(),
                fence,
                facts: call.last_seq,
                alone_on: self.alone_on(id),
            }));
        }
        claims
    }

    /// The call whose claim this is, if it is still held.
    fn held(&self, claim: &Claim) -> Result<CallId, JournalError> {
        let id = self.id_of(&claim.call);
        let is_held = |id: &CallId| {
            self.get(*id)
                .is_some_and(|call| matches!(call.schedule, Schedule::Leased { fence, .. } if fence == claim.fence))
        };
        id.filter(is_held).ok_or_else(|| JournalError::LeaseLost { call: claim.call.clone() })
    }

    /// Claims a call of which so many events are being committed, unless a worker has it or may have it; and what its schedule was.
    pub(super) fn foresee(
        &mut self,
        id: CallId,
        events: usize,
        lease: Duration,
        now: EpochMs,
    ) -> Option<(Claim, Schedule)> {
        let call = self.calls.get_mut(&id).filter(|call| !call.is_wanted())?;
        let (before, fence) = (call.schedule, self.next_fence);
        let facts = call.last_seq + Seq::try_from(events).unwrap_or(0);
        let claim = Claim { call: call.task.clone(), fence, facts, alone_on: None };
        call.appending += 1;
        self.next_fence += 1;
        self.schedule(id, Schedule::Leased { fence, until: now + millis(lease) });
        Some((claim, before))
    }

    /// Nothing was appended under that claim; unless it holds, the call's schedule is what it was.
    pub(super) fn foreseen(&mut self, id: CallId, before: Option<Schedule>) {
        self.not_appended(id);
        if let Some(before) = before {
            self.schedule(id, before);
        }
    }

    /// Whether no other call in memory is on a leg.
    pub(super) fn is_alone(&self, id: CallId, leg: &CallSid) -> bool {
        self.on_legs(leg.as_str()).all(|other| other == id)
    }

    /// The customer's leg, where no other call is on it, in memory or in the file.
    pub(super) fn alone_on(&self, id: CallId) -> Option<CallSid> {
        let call = self.get(id).filter(|call| call.is_alone_in_file)?;
        call.customer.as_ref().filter(|leg| self.is_alone(id, leg)).cloned()
    }

    /// No row in the file names the call's customer, but its own.
    pub(super) fn found_alone(&mut self, id: CallId, leg: &CallSid) {
        if let Some(call) = self.calls.get_mut(&id).filter(|call| call.customer.as_ref() == Some(leg)) {
            call.is_alone_in_file = true;
        }
    }

    /// A fact under this claim is about to be committed.
    pub(super) fn appending(&mut self, claim: &Claim) -> Result<CallId, JournalError> {
        let id = self.held(claim)?;
        self.calls.entry(id).and_modify(|call| call.appending += 1);
        Ok(id)
    }

    /// It was not committed.
    pub(super) fn not_appended(&mut self, id: CallId) {
        self.calls.entry(id).and_modify(|call| call.appending = call.appending.saturating_sub(1));
    }

    /// [`crate::journal::Claims::renew`].
    pub(super) fn renew(&mut self, claim: &Claim, lease: Duration, now: EpochMs) -> Result<(), JournalError> {
        let id = self.held(claim)?;
        self.schedule(id, Schedule::Leased { fence: claim.fence, until: now + millis(lease) });
        Ok(())
    }

    /// [`crate::journal::Claims::release`]. Says whether the call will be due without another fact.
    pub(super) fn release(
        &mut self,
        claim: &Claim,
        seen: Seq,
        due: Due,
        summary: Option<String>,
        now: EpochMs,
    ) -> Result<bool, JournalError> {
        let id = self.held(claim)?;
        let Some(call) = self.calls.get_mut(&id) else { return Ok(false) };
        let has_more = call.last_seq > seen;
        if !has_more {
            self.in_tails -= call.tail.clear();
        }
        let schedule = match due {
            _ if has_more => Schedule::Ready(now),
            Due::After(pause) => Schedule::due(now + millis(pause), now),
            Due::OnFact | Due::Over => Schedule::OnFact,
        };
        if due == Due::Over && !has_more {
            call.over = Some(now);
            call.change(id, now, &mut self.order);
            call.summary = summary.or(call.summary.take());
            self.ended.insert(id);
        }
        self.schedule(id, schedule);
        self.dirtied(id);
        Ok(schedule != Schedule::OnFact)
    }

    /// [`crate::journal::Claims::next_due`].
    pub(super) fn next_due(&self, now: EpochMs) -> Option<Duration> {
        let at = self.schedules.next()?;
        Some(Duration::from_millis(u64::try_from(at - now).unwrap_or(0)))
    }

    /// [`crate::journal::Workload::backlog`].
    pub(super) fn backlog(&mut self, now: EpochMs) -> Backlog {
        self.wake(now);
        let ended_parked = self.ended.iter().filter(|id| self.parked.contains(id)).count() as u64;
        Backlog {
            active: self.schedules.active() as u64,
            waiting: self.schedules.waiting() as u64,
            live: (self.calls.len() - self.ended.len()) as u64,
            parked: self.parked.len() as u64 - ended_parked,
            parked_over: ended_parked + self.parked_in_file,
        }
    }

    /// Makes every call that waits for a time due: it was put off by a clock that has been set back since.
    pub(super) fn make_waiting_due(&mut self) {
        while let Some((_, id)) = self.schedules.first_waiting(EpochMs::MAX) {
            self.schedule(id, Schedule::Ready(0));
        }
    }

    /// Whether nothing is planned for the call, and its projection says so too.
    pub(super) fn is_quiet(&self, id: CallId) -> bool {
        self.get(id).is_none_or(|call| call.schedule == Schedule::OnFact && !call.is_dirty)
    }

    /// The calls of which the projection is behind, the longest behind first, as they are now; and the place up to which every
    /// fact is in it once they are.
    pub(super) fn unprojected(&mut self, limit: usize, now: EpochMs) -> (Vec<Projected>, i64) {
        let mut rows = Vec::with_capacity(limit.min(self.dirty.len()));
        while rows.len() < limit
            && let Some((id, _)) = self.dirty.pop_front()
        {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            call.is_dirty = false;
            rows.push(Projected {
                id,
                task: call.task.clone(),
                customer: call.customer.clone(),
                is_alone: call.is_alone_in_file,
                last_seq: call.last_seq,
                changed: call.changed,
                due: if call.is_leased() { Some(now) } else { call.due() },
                over: call.over,
                parked: call.parked,
                summary: call.summary.take(),
            });
        }
        (rows, self.dirty.front().map_or(self.last_place, |(_, before)| *before))
    }

    /// They are in the file. What is over needs no memory any more.
    pub(super) fn projected(&mut self, rows: &[Projected], place: i64) {
        self.projected_place = place;
        for row in rows {
            let Some(call) = self.calls.get_mut(&row.id) else { continue };
            let was_over = std::mem::replace(&mut call.is_over_in_file, row.over.is_some());
            self.over_in_file = self.over_in_file + usize::from(row.over.is_some()) - usize::from(was_over);
            if call.over.is_some() && !call.is_dirty {
                self.parked_in_file += u64::from(call.parked);
                self.forget(row.id);
            }
        }
    }

    /// They could not be written. What has changed meanwhile is on the list again already.
    pub(super) fn not_projected(&mut self, rows: &[Projected]) {
        for row in rows.iter().rev() {
            let Some(call) = self.calls.get_mut(&row.id) else { continue };
            call.is_dirty = true;
            self.dirty.push_front((row.id, self.projected_place));
        }
    }

    pub(super) fn is_behind(&self) -> usize {
        self.dirty.len()
    }

    /// Drops a call from memory.
    pub(super) fn forget(&mut self, id: CallId) {
        self.schedule(id, Schedule::OnFact);
        let Some(mut call) = self.calls.remove(&id) else { return };
        self.in_tails -= call.tail.clear();
        self.by_task.remove(call.task.as_str(), id);
        if let Some(customer) = call.customer {
            // From now on only the file says that this call was there.
            for other in self.on_legs(customer.as_str()).collect::<Vec<_>>() {
                self.calls.entry(other).and_modify(|other| other.is_alone_in_file = false);
            }
            self.by_customer.remove(customer.as_str(), id);
        }
        self.order.remove(&(call.changed, id));
        self.ended.remove(&id);
        self.parked.remove(&id);
        self.over_in_file -= usize::from(call.is_over_in_file);
    }

    /// The only place where a call's schedule changes.
    fn schedule(&mut self, id: CallId, schedule: Schedule) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let before = std::mem::replace(&mut call.schedule, schedule);
        self.schedules.replace(id, before, schedule);
    }

    /// Calls whose time has come are due.
    fn wake(&mut self, now: EpochMs) {
        while let Some((at, id)) = self.schedules.first_waiting(now) {
            self.schedule(id, Schedule::Ready(at));
        }
    }

    fn dirtied(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id).filter(|call| !call.is_dirty) {
            call.is_dirty = true;
            self.dirty.push_back((id, self.last_place));
        }
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
