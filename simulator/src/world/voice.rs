//! Legs, the conferences that they are in, and the streams that they have: what moves a leg, and what ends with it.

use super::calls::{Call, Calls, Role};
use super::conferences::{Conferences, EndReason, Entry, Leaving, Participant};
use super::context::{Context, VoiceEffect};
use super::recordings::{Recorded, Recordings};
use super::streams::{StreamOrder, Streams};
use super::twiml::{Conference, DocumentUrl, Verb};
use super::{DocumentOrder, Drop, Misuse, Note};
use crate::sim_config::Ms;
use std::collections::BTreeMap;
use taskrouter_streams::call::sid::{CallSid, ConferenceSid, StreamSid};

/// Legs that have ended, in the order in which TaskRouter notices.
#[must_use = "TaskRouter has to notice"]
#[derive(Debug, Default)]
pub(super) struct Ended(pub(super) Vec<CallSid>);

impl Ended {
    fn one(call: &CallSid) -> Self {
        Self(vec![call.clone()])
    }

    fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }
}

/// The voice side of the account.
#[derive(Debug, Default)]
pub(super) struct Voice {
    pub(super) calls: Calls,
    pub(super) conferences: Conferences,
    pub(super) streams: Streams,
    pub(super) recordings: Recordings,
    /// Conferences that a customer has left while a command had lowered the guard, and when.
    left_behind: BTreeMap<CallSid, (ConferenceSid, Ms)>,
}

impl Voice {
    pub(super) fn happen(&mut self, cx: &mut Context, effect: VoiceEffect) -> Ended {
        match effect {
            VoiceEffect::JoinCustomer { call, generation } => self.join_customer(cx, &call, generation),
            VoiceEffect::Follow { call, generation } => return self.follow(cx, &call, generation),
            VoiceEffect::Dial { call, generation, dial } => return self.dial(cx, &call, generation, &dial),
            VoiceEffect::Answer { call } => return self.picked_up(cx, &call),
            VoiceEffect::Connect { conference, row } => {
                self.conferences.connect(&mut self.calls, &conference, row, cx.now());
            }
            VoiceEffect::Guard { conference, row, raised } => self.conferences.set_guard(&conference, row, raised),
            VoiceEffect::SocketOpens { stream } => self.streams.opened(cx, &stream),
            VoiceEffect::SocketFails { stream, failure } => {
                self.streams.failed(cx, &stream, failure);
                return self.resume(cx);
            }
            VoiceEffect::GiveUp { call } => return self.hang_up(cx, &call),
        }
        Ended::default()
    }

    /// Lets a leg into the conference of that name, connecting.
    pub(super) fn join(&mut self, cx: &mut Context, call: &CallSid, name: &str, entry: Entry) -> ConferenceSid {
        let delay = if entry.rings { cx.config.ringing_ms } else { cx.config.connecting_ms };
        if entry.rings
            && let Some(leg) = self.calls.get_mut(call)
        {
            leg.rings();
        }
        let (conference, row) = self.conferences.join(cx, call, name, entry);
        let effect = VoiceEffect::Connect { conference: conference.clone(), row };
        if cx.after_voice(delay, effect).is_some() {
            self.conferences.connect(&mut self.calls, &conference, row, cx.now());
        }
        conference
    }

    /// Lets a leg ring in the conference of that name until it is answered.
    pub(super) fn ring(&mut self, cx: &mut Context, call: &CallSid, name: &str, guard: bool) {
        if let Some(leg) = self.calls.get_mut(call) {
            leg.rings();
        }
        self.conferences.join(cx, call, name, Entry { guard, rings: true, ..Entry::default() });
    }

    /// A ringing leg is answered; false when it is in no conference.
    pub(super) fn answer(&mut self, cx: &mut Context, call: &CallSid) -> bool {
        let found = self.conferences.of(call).and_then(|found| Some((found.sid.clone(), found.participant(call)?.row)));
        let Some((conference, row)) = found else { return false };
        self.conferences.connect(&mut self.calls, &conference, row, cx.now());
        true
    }

    /// The customer's leg goes from the queue into the task's conference, unless it was redirected meanwhile.
    pub(super) fn join_customer(&mut self, cx: &mut Context, sid: &CallSid, generation: u32) {
        let call = self.calls.get(sid).filter(|call| call.is_at(generation) && call.is_customer());
        // A second task may share the conference in which the customer is already.
        let call = call.filter(|_| self.conferences.of(sid).is_none());
        let Some(room) = call.map(|call| call.room.clone()) else { return };
        // Flex accepts with endConferenceOnCustomerExit=true (its own bundle), so the customer's guard starts raised.
        self.join(cx, sid, &room, Entry::guarded(true));
    }

    /// A leg is in the conference that its TwiML names.
    fn dial(&mut self, cx: &mut Context, sid: &CallSid, generation: u32, dial: &Conference) -> Ended {
        let Some(call) = self.calls.get_mut(sid).filter(|call| call.is_at(generation)) else {
            return Ended::default();
        };
        call.dials();
        let astray = call.is_doomed() || !call.is_customer() || call.room != dial.room;
        let (found, is_program) = (self.conferences.open(&dial.room).is_some(), call.role == Role::Program);
        let entry = Entry {
            guard: dial.guard,
            label: dial.label.clone(),
            starts: dial.starts,
            muted: dial.muted,
            ..Entry::default()
        };
        self.join(cx, sid, &dial.room, entry);
        if found || is_program {
            return Ended::default();
        }
        if astray {
            cx.violated(Misuse::RejoinedNewConference { call: sid.clone() });
        } else {
            cx.note(Note::Stranded { at: cx.now(), call: sid.clone() });
        }
        let gives_up = VoiceEffect::GiveUp { call: sid.clone() };
        cx.after_voice(cx.config.patience_ms, gives_up).map(|effect| self.happen(cx, effect)).unwrap_or_default()
    }

    /// A leg hangs up, wherever it is. A leg that is over stays so.
    pub(super) fn hang_up(&mut self, cx: &mut Context, sid: &CallSid) -> Ended {
        let Some(call) = self.calls.get(sid).filter(|call| call.is_live()) else {
            return Ended::default();
        };
        let (room, role) = (call.room.clone(), call.role.clone());
        let row = self.conferences.of(sid).and_then(|conference| conference.participant(sid));
        let by_command = call.is_outside() || row.is_some_and(Participant::is_lowered_by_command);
        self.complete(cx, sid);
        let others = self.leave(cx, sid);
        match role {
            Role::Customer => {
                if let Some(conference) = self.conferences.open(&room) {
                    if by_command {
                        self.left_behind.insert(sid.clone(), (conference, cx.now()));
                    }
                    // The agents stay among themselves.
                    cx.note(Note::LeftBehind { at: cx.now(), call: sid.clone() });
                }
                Ended::one(sid).and(others)
            }
            Role::Worker(_) | Role::Colleague | Role::External | Role::Supervisor | Role::Program => {
                others.and(Ended::one(sid))
            }
        }
    }

    /// Takes the customers who left such a conference, which is still open, too long ago: by their call and when they left.
    pub(super) fn take_left_behind(&mut self, is_overdue: impl Fn(&CallSid, Ms) -> bool) -> Vec<CallSid> {
        let Self { conferences, left_behind, .. } = self;
        left_behind.retain(|_, (conference, _)| conferences.get_mut(conference).is_some_and(|found| found.is_open()));
        let overdue = left_behind.extract_if(.., |call, (_, since)| is_overdue(call, *since));
        overdue.map(|(call, _)| call).collect()
    }

    /// A leg goes on with TwiML of somebody else than the service, such as a survey: it leaves its conference and lives on.
    pub(super) fn move_on(&mut self, cx: &mut Context, sid: &CallSid) -> Ended {
        let Some(call) = self.calls.get_mut(sid).filter(|call| call.is_live()) else {
            return Ended::default();
        };
        call.moved_on(cx.now());
        self.leave(cx, sid)
    }

    /// Whether there is TwiML behind the leg's conference, as of a survey. A redirect has put it out of the way.
    fn has_more_twiml(&self, cx: &Context, sid: &CallSid) -> bool {
        cx.config.survey && self.calls.get(sid).is_some_and(|call| call.is_customer() && call.redirects() == 0)
    }

    fn complete(&mut self, cx: &mut Context, sid: &CallSid) {
        self.calls.complete(sid, cx.now());
        self.streams.end_with_call(cx, sid);
        self.recordings.end(&Recorded::Call(sid.clone()), cx.now());
    }

    fn leave(&mut self, cx: &mut Context, call: &CallSid) -> Ended {
        self.leave_by(cx, call, Leaving::Left)
    }

    fn leave_by(&mut self, cx: &mut Context, call: &CallSid, way: Leaving) -> Ended {
        match self.conferences.leave(&self.calls, call, way, cx.now()) {
            Some((conference, reason)) => self.end_conference(cx, &conference, reason, Some(call)),
            None => Ended::default(),
        }
    }

    /// Ends a conference: every leg still in it goes on with its TwiML, or runs out of it and hangs up. TaskRouter notices only when all of them are
    /// over: the customer first, then the agents as they joined.
    pub(super) fn end_conference(
        &mut self,
        cx: &mut Context,
        sid: &ConferenceSid,
        reason: EndReason,
        by: Option<&CallSid>,
    ) -> Ended {
        let calls = self.conferences.end(sid, reason, by, cx.now());
        self.recordings.end(&Recorded::Conference(sid.clone()), cx.now());
        let has_script = |call: &CallSid| self.calls.get(call).is_some_and(Call::has_script);
        let (scripted, calls): (Vec<_>, Vec<_>) = calls.into_iter().partition(has_script);
        let (live_on, calls): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| self.has_more_twiml(cx, call));
        for call in live_on {
            if let Some(leg) = self.calls.get_mut(&call) {
                leg.moved_on(cx.now());
            }
        }
        for call in &calls {
            self.complete(cx, call);
        }
        let (customers, workers): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| self.calls.is_customer(call));
        let mut ended = Ended(customers).and(Ended(workers));
        for call in scripted {
            let generation = self.calls.get(&call).map_or(0, Call::generation);
            ended = ended.and(self.follow(cx, &call, generation));
        }
        ended
    }

    /// New TwiML for a leg (documented: the leg leaves its conference at once). The caller has seen that it is live.
    pub(super) fn redirect(&mut self, cx: &mut Context, sid: &CallSid, script: Vec<Verb>) -> Ended {
        let room = script.iter().find_map(|verb| if let Verb::Dial(dial) = verb { Some(dial) } else { None });
        let doom = self.doom(sid, room.map(|dial| dial.room.as_str()));
        if self.calls.is_customer(sid) {
            if let Some(how) = doom {
                cx.violated(Misuse::CustomerDropped { call: sid.clone(), how });
            }
            if room.is_some_and(|dial| dial.beeps_on_enter) {
                cx.violated(Misuse::Beep { call: sid.clone() });
            }
        }
        let Some(call) = self.calls.get_mut(sid) else { return Ended::default() };
        let generation = call.redirected(cx.now(), script, doom.is_some());
        let ended = self.leave(cx, sid);
        self.streams.end_at_redirect(cx, sid);
        ended.and(self.follow(cx, sid, generation))
    }

    /// A leg follows its script until a verb takes time; at the end of it the leg hangs up.
    fn follow(&mut self, cx: &mut Context, sid: &CallSid, generation: u32) -> Ended {
        loop {
            let Some(call) = self.calls.get_mut(sid).filter(|call| call.is_at(generation)) else {
                return Ended::default();
            };
            let wait = match call.next_verb() {
                None | Some(Verb::Hangup) => return self.end_of_script(cx, sid),
                Some(Verb::Start(order)) => {
                    self.start_by_script(cx, sid, order, false);
                    continue;
                }
                Some(Verb::Stop(name)) => {
                    self.streams.stop(cx, sid, &name);
                    continue;
                }
                Some(Verb::Connect(order)) => {
                    if self.start_by_script(cx, sid, order, true) {
                        return Ended::default();
                    }
                    continue;
                }
                Some(Verb::Redirect(document)) => {
                    self.ask_for_document(cx, sid, document);
                    return Ended::default();
                }
                Some(Verb::Dial(dial)) => {
                    let effect = VoiceEffect::Dial { call: sid.clone(), generation, dial };
                    let effect = cx.after_voice(cx.config.rejoin_ms, effect);
                    return effect.map(|effect| self.happen(cx, effect)).unwrap_or_default();
                }
                Some(Verb::Prompt(times)) => cx.config.prompt_ms.saturating_mul(times),
                Some(Verb::Pause(ms)) => ms,
            };
            if cx.after_voice(wait, VoiceEffect::Follow { call: sid.clone(), generation }).is_none() {
                return Ended::default();
            }
        }
    }

    /// TwiML has no answer: what is refused shows as a violation only, and the call goes on.
    fn start_by_script(&mut self, cx: &mut Context, sid: &CallSid, order: StreamOrder, connects: bool) -> bool {
        let stream: StreamSid = cx.mint(StreamSid::PREFIX);
        let verb = match order.verb(&stream) {
            Ok(verb) => verb,
            Err(reason) => {
                cx.violated(Misuse::BadStream { call: sid.clone(), reason });
                return false;
            }
        };
        let Some(call) = self.calls.get_mut(sid) else { return false };
        let started = self.streams.start(cx, call, stream.clone(), verb, connects).is_ok();
        if started && connects {
            call.waits_for(&stream);
        }
        started
    }

    /// The scripts go on whose streams are over.
    pub(super) fn resume(&mut self, cx: &mut Context) -> Ended {
        let Self { calls, streams, .. } = self;
        let is_over = |call: &CallSid, stream: &StreamSid| !streams.running(call).any(|found| &found.sid == stream);
        let over = calls.waiting().filter(|(call, stream)| is_over(call, stream)).map(|(call, _)| call.clone());
        let mut ended = Ended::default();
        for sid in over.collect::<Vec<_>>() {
            let Some(call) = self.calls.get_mut(&sid) else { continue };
            call.goes_on();
            let generation = call.generation();
            ended = ended.and(self.follow(cx, &sid, generation));
        }
        ended
    }

    /// A customer who never came back into a conference was dropped.
    fn end_of_script(&mut self, cx: &mut Context, sid: &CallSid) -> Ended {
        let is_dropped = self.calls.get(sid).is_some_and(|call| call.is_customer() && !call.has_dialled());
        if is_dropped { self.end_by_command(cx, sid) } else { self.hang_up(cx, sid) }
    }

    /// The leg goes on with TwiML from elsewhere, and stays where it is until that is there (assumed).
    pub(super) fn ask_for_document(&mut self, cx: &mut Context, sid: &CallSid, document: DocumentUrl) {
        let Some(call) = self.calls.get(sid) else { return };
        let (form, generation) = (call.document_form(&cx.account), call.generation());
        cx.fetch(DocumentOrder { call: sid.clone(), generation, document, form });
    }

    /// A call that was created through the API rings until it is answered, and then follows its TwiML.
    pub(super) fn call_out(&mut self, cx: &mut Context, sid: &CallSid, script: Vec<Verb>) -> Ended {
        if let Some(call) = self.calls.get_mut(sid) {
            call.given(script);
            call.rings();
        }
        let effect = cx.after_voice(cx.config.ringing_ms, VoiceEffect::Answer { call: sid.clone() });
        effect.map(|effect| self.happen(cx, effect)).unwrap_or_default()
    }

    fn picked_up(&mut self, cx: &mut Context, sid: &CallSid) -> Ended {
        let Some(call) = self.calls.get_mut(sid).filter(|call| call.is_live()) else { return Ended::default() };
        call.answers(cx.now());
        let generation = call.generation();
        self.follow(cx, sid, generation)
    }

    /// A participant is removed through the API: the leg goes on with its TwiML, or hangs up.
    pub(super) fn kick(&mut self, cx: &mut Context, sid: &CallSid) -> Ended {
        let ended = self.leave_by(cx, sid, Leaving::Kicked);
        let Some(call) = self.calls.get(sid).filter(|call| call.is_live()) else { return ended };
        let generation = call.generation();
        if call.has_script() {
            return ended.and(self.follow(cx, sid, generation));
        }
        ended.and(self.end_by_command(cx, sid))
    }

    /// Why a redirect at this moment cannot lead back, if it cannot.
    fn doom(&self, sid: &CallSid, room: Option<&str>) -> Option<Drop> {
        let Some(conference) = self.conferences.of(sid) else {
            // Already outside: the way back is open as long as the room is.
            return self.conferences.open(room?).is_none().then_some(Drop::Alone);
        };
        if conference.participant(sid)?.guard {
            Some(Drop::GuardRaised)
        } else if conference.participants().len() == 1 {
            Some(Drop::Alone)
        } else {
            None
        }
    }

    /// A command ends a leg.
    pub(super) fn end_by_command(&mut self, cx: &mut Context, sid: &CallSid) -> Ended {
        if self.calls.is_customer(sid) {
            cx.violated(Misuse::CustomerDropped { call: sid.clone(), how: Drop::HungUp });
        }
        self.hang_up(cx, sid)
    }
}
