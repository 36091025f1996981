//! Legs and conferences: who is in, who leaves, and what ends.

use super::status::ConferenceStatus;
use super::{Call, Conference, Drop, Effect, InvalidAction, Misuse, Ms, Note, Participant, Role, World};
use taskrouter_streams::call::sid::{CallSid, ConferenceSid, StreamSid, TaskSid};
use taskrouter_streams::twilio::twiml::{self, ConferenceVerb};

impl World {
    pub(super) fn new_call(&mut self, role: Role) -> CallSid {
        let sid: CallSid = self.mint(CallSid::PREFIX);
        let call = Call {
            sid: sid.clone(),
            role,
            live: true,
            created: self.now,
            generation: 0,
            outside_since: None,
            outside_ms: 0,
            redirects: 0,
            streams: Vec::new(),
            doomed: false,
        };
        self.calls.insert(sid.clone(), call);
        sid
    }

    /// The one conference of that name that is not over. Documented: there is at most one.
    pub(super) fn open_conference(&self, name: &str) -> Option<ConferenceSid> {
        let open =
            |conference: &&Conference| conference.name == name && conference.status != ConferenceStatus::Completed;
        self.conferences.values().find(open).map(|conference| conference.sid.clone())
    }

    pub(super) fn conference_of(&self, call: &CallSid) -> Option<ConferenceSid> {
        let holds = |conference: &&Conference| conference.rows.iter().any(|row| &row.call == call);
        self.conferences.values().find(holds).map(|conference| conference.sid.clone())
    }

    pub(super) fn row_mut(&mut self, conference: &ConferenceSid, row: u64) -> Option<&mut Participant> {
        self.conferences.get_mut(conference)?.rows.iter_mut().find(|participant| participant.row == row)
    }

    /// Lets a leg into the conference of that name, which is made when there is none.
    pub(super) fn join(&mut self, call: &CallSid, name: &str, guard: bool) -> ConferenceSid {
        let sid = self.open_conference(name).unwrap_or_else(|| self.new_conference(name));
        self.minted += 1;
        let (row, now) = (self.minted, self.now);
        let participant =
            Participant { row, call: call.clone(), created: now, updated: now, guard, hold: false, connected: false };
        if let Some(conference) = self.conferences.get_mut(&sid) {
            conference.rows.push(participant);
        }
        self.after(self.config.connecting_ms, Effect::Connect { conference: sid.clone(), row });
        sid
    }

    fn new_conference(&mut self, name: &str) -> ConferenceSid {
        let sid: ConferenceSid = self.mint(ConferenceSid::PREFIX);
        let conference = Conference {
            sid: sid.clone(),
            name: name.to_owned(),
            status: ConferenceStatus::Init,
            created: self.now,
            updated: self.now,
            rows: Vec::new(),
            reason_ended: None,
            ended_by: None,
        };
        self.conferences.insert(sid.clone(), conference);
        sid
    }

    pub(super) fn connect(&mut self, conference: &ConferenceSid, row: u64) {
        let now = self.now;
        let Some(participant) = self.row_mut(conference, row) else {
            return;
        };
        participant.connected = true;
        let call = participant.call.clone();
        if let Some(call) = self.calls.get_mut(&call)
            && let Some(since) = call.outside_since.take()
        {
            call.outside_ms += now - since;
        }
        self.changed(conference);
    }

    /// Two connected participants start a conference (documented). On every change Flex sets its worker's guard to "two
    /// participants or fewer" (its own bundle), so that a customer's absence raises it.
    fn changed(&mut self, sid: &ConferenceSid) {
        let Some(conference) = self.conferences.get_mut(sid) else {
            return;
        };
        conference.updated = self.now;
        if conference.status == ConferenceStatus::Init
            && conference.rows.iter().filter(|row| row.connected).count() >= 2
        {
            conference.status = ConferenceStatus::InProgress;
        }
        let few = conference.rows.len() <= 2;
        for row in &mut conference.rows {
            let of_a_worker = self.calls.get(&row.call).is_some_and(|call| matches!(call.role, Role::Worker(_)));
            if of_a_worker {
                row.guard = few;
            }
        }
    }

    /// Takes a leg out of its conference. Documented: a raised guard ends the conference, so does the last leaver; one
    /// remaining participant does not.
    fn leave(&mut self, call: &CallSid) {
        let Some(sid) = self.conference_of(call) else { return };
        let Some(conference) = self.conferences.get_mut(&sid) else {
            return;
        };
        let Some(place) = conference.rows.iter().position(|row| &row.call == call) else {
            return;
        };
        let row = conference.rows.remove(place);
        if row.guard {
            self.end_conference(&sid, "participant-with-end-conference-on-exit-left", Some(call));
        } else if conference.rows.is_empty() {
            self.end_conference(&sid, "last-participant-left", Some(call));
        } else {
            self.changed(&sid);
        }
    }

    /// Ends a conference: every leg still in it runs out of TwiML and hangs up.
    pub(super) fn end_conference(&mut self, sid: &ConferenceSid, reason: &'static str, by: Option<&CallSid>) {
        let now = self.now;
        let Some(conference) = self.conferences.get_mut(sid) else {
            return;
        };
        conference.status = ConferenceStatus::Completed;
        conference.updated = now;
        conference.reason_ended = Some(reason);
        conference.ended_by = by.cloned();
        let calls: Vec<CallSid> = std::mem::take(&mut conference.rows).into_iter().map(|row| row.call).collect();
        for call in &calls {
            self.complete_call(call);
        }
        // TaskRouter notices only now, when every leg is over: the customer first, then the agents as they joined.
        let (customers, workers): (Vec<_>, Vec<_>) = calls
            .into_iter()
            .partition(|call| self.calls.get(call).is_some_and(|c| matches!(c.role, Role::Customer(_))));
        for call in customers.iter().chain(&workers) {
            self.leg_ended(call);
        }
    }

    fn complete_call(&mut self, sid: &CallSid) {
        let now = self.now;
        if let Some(call) = self.calls.get_mut(sid) {
            call.live = false;
            if let Some(since) = call.outside_since.take() {
                call.outside_ms += now - since;
            }
            let running = call.streams.iter_mut().filter(|stream| stream.stopped_at.is_none());
            let ended: Vec<StreamSid> = running
                .map(|stream| {
                    stream.stopped_at = Some(now);
                    stream.ended_with_call = true;
                    stream.sid.clone()
                })
                .collect();
            for stream in &ended {
                self.stream_stopped(sid, stream);
            }
        }
    }

    fn leg_ended(&mut self, sid: &CallSid) {
        match self.calls.get(sid).map(|call| call.role.clone()) {
            Some(Role::Customer(task)) => self.customer_gone(&task),
            Some(Role::Worker(reservation)) => self.wrap_up(&reservation),
            None => {}
        }
    }

    /// A leg hangs up, wherever it is. A leg that is over stays so.
    pub(super) fn hang_up(&mut self, sid: &CallSid) {
        if !self.calls.get(sid).is_some_and(|call| call.live) {
            return;
        }
        self.complete_call(sid);
        match self.calls.get(sid).map(|call| call.role.clone()) {
            Some(Role::Customer(task)) => {
                self.customer_gone(&task);
                self.leave(sid);
                self.note_left_behind(sid, &task);
            }
            Some(Role::Worker(reservation)) => {
                self.leave(sid);
                self.wrap_up(&reservation);
            }
            None => {}
        }
    }

    pub(super) fn join_customer(&mut self, sid: &CallSid, generation: u32) {
        let Some(call) = self.calls.get(sid).filter(|call| call.live && call.generation == generation) else {
            return;
        };
        let Role::Customer(task) = call.role.clone() else {
            return;
        };
        // Flex accepts with endConferenceOnCustomerExit=true (its own bundle), so the customer's guard starts raised.
        self.join(sid, task.as_str(), true);
    }

    pub(super) fn rejoin(&mut self, sid: &CallSid, generation: u32, dial: &ConferenceVerb) {
        let Some(call) = self.calls.get(sid).filter(|call| call.live && call.generation == generation) else {
            return;
        };
        let (doomed, role) = (call.doomed, call.role.clone());
        let found = self.open_conference(&dial.room);
        self.join(sid, &dial.room, dial.end_conference_on_exit);
        if found.is_none() {
            if doomed || !matches!(&role, Role::Customer(task) if task.as_str() == dial.room) {
                self.violated(Misuse::RejoinedNewConference { call: sid.clone() });
            } else {
                self.notes.push(Note::Stranded { at: self.now, call: sid.clone() });
            }
            self.after(self.config.patience_ms, Effect::GiveUp { call: sid.clone() });
        }
    }

    /// New TwiML for a leg (documented: the leg leaves its conference at once). The caller has seen that it is live.
    pub(super) fn redirect(&mut self, sid: &CallSid, text: &str) {
        let Some(role) = self.calls.get(sid).map(|call| call.role.clone()) else {
            return;
        };
        let customer = matches!(role, Role::Customer(_));
        let document = match twiml::parse(text) {
            Ok(document) => document,
            Err(error) => {
                self.violated(Misuse::BadTwiml { call: sid.clone(), reason: error.to_string() });
                return self.dropped(sid, customer);
            }
        };
        let doom = self.doom(sid, &document.conference.room);
        if let Some(how) = doom
            && customer
        {
            self.violated(Misuse::CustomerDropped { call: sid.clone(), how });
        }
        if document.conference.beep {
            self.violated(Misuse::Beep { call: sid.clone() });
        }
        let now = self.now;
        let Some(call) = self.calls.get_mut(sid) else { return };
        call.redirects += 1;
        call.generation += 1;
        call.doomed = doom.is_some();
        call.outside_since.get_or_insert(now);
        let generation = call.generation;
        self.leave(sid);
        for name in &document.stop {
            self.stop_stream(sid, name);
        }
        for verb in document.start {
            // TwiML has no answer: what is refused shows as a violation only.
            let stream = self.mint(StreamSid::PREFIX);
            let _ = self.start_stream(sid, stream, verb);
        }
        let effect = Effect::Rejoin { call: sid.clone(), generation, dial: document.conference };
        self.after(self.config.rejoin_ms, effect);
    }

    /// Why a redirect at this moment cannot lead back, if it cannot.
    fn doom(&self, sid: &CallSid, room: &str) -> Option<Drop> {
        let Some(conference) = self.conference_of(sid).and_then(|found| self.conferences.get(&found)) else {
            // Already outside: the way back is open as long as the room is.
            return self.open_conference(room).is_none().then_some(Drop::Alone);
        };
        let row = conference.rows.iter().find(|row| &row.call == sid)?;
        if row.guard {
            Some(Drop::GuardRaised)
        } else if conference.rows.len() == 1 {
            Some(Drop::Alone)
        } else {
            None
        }
    }

    /// A command ends a leg.
    pub(super) fn dropped(&mut self, sid: &CallSid, customer: bool) {
        if customer {
            self.violated(Misuse::CustomerDropped { call: sid.clone(), how: Drop::HungUp });
        }
        self.hang_up(sid);
    }

    /// Holds or un-holds the task's customer; false when the customer is in no conference.
    pub(super) fn set_customer_hold(&mut self, task: &TaskSid, hold: bool) -> bool {
        let Some(customer) = self.tasks.get(task).and_then(|task| task.customer.clone()) else {
            return false;
        };
        let Some(conference) = self.conference_of(&customer) else {
            return false;
        };
        let now = self.now;
        let Some(found) = self.conferences.get_mut(&conference) else {
            return false;
        };
        for row in found.rows.iter_mut().filter(|row| row.call == customer) {
            row.hold = hold;
            row.updated = now;
        }
        true
    }

    /// The customer hangs up.
    pub fn customer_hangs_up(&mut self, task: &TaskSid, now: Ms) -> Result<(), InvalidAction> {
        self.advance(now);
        let customer = self.tasks.get(task).and_then(|task| task.customer.clone());
        let customer = customer.ok_or_else(|| InvalidAction("the task has no customer on the phone".to_owned()))?;
        self.hang_up(&customer);
        Ok(())
    }

    /// The task's conference is ended from outside, as by a supervisor. Nothing happens when there is none open.
    pub fn conference_ends(&mut self, task: &TaskSid, now: Ms) {
        self.advance(now);
        if let Some(conference) = self.open_conference(task.as_str()) {
            self.end_conference(&conference, "conference-ended-via-api", None);
        }
    }
}
