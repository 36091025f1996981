//! Legs, the conferences that they are in, and the streams that they have: what moves a leg, and what ends with it.

use super::calls::{Calls, Role};
use super::conferences::{Conferences, EndReason, Entry, Participant};
use super::context::{Context, VoiceEffect};
use super::streams::Streams;
use super::{Drop, Misuse, Note};
use crate::sim_config::Ms;
use std::collections::BTreeMap;
use taskrouter_streams::call::sid::{CallSid, ConferenceSid, StreamSid};
use taskrouter_streams::twilio::twiml::{self, ConferenceVerb};

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
    /// Conferences that a customer has left while a command had lowered the guard, and when.
    left_behind: BTreeMap<CallSid, (ConferenceSid, Ms)>,
}

impl Voice {
    pub(super) fn happen(&mut self, cx: &mut Context, effect: VoiceEffect) -> Ended {
        match effect {
            VoiceEffect::JoinCustomer { call, generation } => self.join_customer(cx, &call, generation),
            VoiceEffect::Rejoin { call, generation, dial } => return self.rejoin(cx, &call, generation, &dial),
            VoiceEffect::Connect { conference, row } => {
                self.conferences.connect(&mut self.calls, &conference, row, cx.now());
            }
            VoiceEffect::Guard { conference, row, raised } => self.conferences.set_guard(&conference, row, raised),
            VoiceEffect::SocketOpens { stream } => self.streams.opened(cx, &stream),
            VoiceEffect::SocketFails { stream, failure } => self.streams.failed(cx, &stream, failure),
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

    fn rejoin(&mut self, cx: &mut Context, sid: &CallSid, generation: u32, dial: &ConferenceVerb) -> Ended {
        let Some(call) = self.calls.get(sid).filter(|call| call.is_at(generation)) else {
            return Ended::default();
        };
        let astray = call.is_doomed() || !call.is_customer() || call.room != dial.room;
        let found = self.conferences.open(&dial.room).is_some();
        self.join(cx, sid, &dial.room, Entry::guarded(dial.end_conference_on_exit));
        if found {
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
            Role::Worker(_) | Role::Colleague | Role::External | Role::Supervisor => others.and(Ended::one(sid)),
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
    }

    fn leave(&mut self, cx: &mut Context, call: &CallSid) -> Ended {
        match self.conferences.leave(&self.calls, call, cx.now()) {
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
        Ended(customers).and(Ended(workers))
    }

    /// New TwiML for a leg (documented: the leg leaves its conference at once). The caller has seen that it is live.
    pub(super) fn redirect(&mut self, cx: &mut Context, sid: &CallSid, text: &str) -> Ended {
        let document = match twiml::parse(text) {
            Ok(document) => document,
            Err(error) => {
                cx.violated(Misuse::BadTwiml { call: sid.clone(), reason: error.to_string() });
                return self.end_by_command(cx, sid);
            }
        };
        let doom = self.doom(sid, &document.conference.room);
        if let Some(how) = doom
            && self.calls.is_customer(sid)
        {
            cx.violated(Misuse::CustomerDropped { call: sid.clone(), how });
        }
        if document.conference.beep {
            cx.violated(Misuse::Beep { call: sid.clone() });
        }
        let Some(call) = self.calls.get_mut(sid) else { return Ended::default() };
        let generation = call.redirected(cx.now(), doom.is_some());
        let ended = self.leave(cx, sid);
        if !cx.config.streams_survive_redirects {
            self.streams.end_at_redirect(cx, sid);
        }
        for name in &document.stop {
            self.streams.stop(cx, sid, name);
        }
        for verb in document.start {
            // TwiML has no answer: what is refused shows as a violation only.
            let stream = cx.mint(StreamSid::PREFIX);
            if let Some(call) = self.calls.get(sid) {
                let _ = self.streams.start(cx, call, stream, verb);
            }
        }
        let effect = VoiceEffect::Rejoin { call: sid.clone(), generation, dial: document.conference };
        match cx.after_voice(cx.config.rejoin_ms, effect) {
            Some(effect) => ended.and(self.happen(cx, effect)),
            None => ended,
        }
    }

    /// Why a redirect at this moment cannot lead back, if it cannot.
    fn doom(&self, sid: &CallSid, room: &str) -> Option<Drop> {
        let Some(conference) = self.conferences.of(sid) else {
            // Already outside: the way back is open as long as the room is.
            return self.conferences.open(room).is_none().then_some(Drop::Alone);
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
