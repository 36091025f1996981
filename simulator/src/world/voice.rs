//! Legs, the conferences that they are in, and the streams that they have: what moves a leg, and what ends with it.

use super::calls::{Calls, Role};
use super::conferences::{Conferences, EndReason};
use super::context::{Context, VoiceEffect};
use super::streams::Streams;
use super::{Drop, Misuse, Note};
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
    pub(super) fn join(&mut self, cx: &mut Context, call: &CallSid, name: &str, guard: bool) -> ConferenceSid {
        let (conference, row) = self.conferences.join(cx, call, name, guard);
        let effect = VoiceEffect::Connect { conference: conference.clone(), row };
        if cx.after_voice(cx.config.connecting_ms, effect).is_some() {
            self.conferences.connect(&mut self.calls, &conference, row, cx.now());
        }
        conference
    }

    /// The customer's leg goes from the queue into the task's conference, unless it was redirected meanwhile.
    pub(super) fn join_customer(&mut self, cx: &mut Context, sid: &CallSid, generation: u32) {
        let call = self.calls.get(sid).filter(|call| call.is_at(generation) && call.is_customer());
        let Some(task) = call.map(|call| call.task.clone()) else { return };
        // Flex accepts with endConferenceOnCustomerExit=true (its own bundle), so the customer's guard starts raised.
        self.join(cx, sid, task.as_str(), true);
    }

    fn rejoin(&mut self, cx: &mut Context, sid: &CallSid, generation: u32, dial: &ConferenceVerb) -> Ended {
        let Some(call) = self.calls.get(sid).filter(|call| call.is_at(generation)) else {
            return Ended::default();
        };
        let astray = call.is_doomed() || !call.is_customer() || call.task.as_str() != dial.room;
        let found = self.conferences.open(&dial.room).is_some();
        self.join(cx, sid, &dial.room, dial.end_conference_on_exit);
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
        let (task, role) = (call.task.clone(), call.role.clone());
        self.complete(cx, sid);
        let others = self.leave(cx, sid);
        match role {
            Role::Customer => {
                if self.conferences.open(task.as_str()).is_some() {
                    // The agents stay among themselves.
                    cx.note(Note::LeftBehind { at: cx.now(), call: sid.clone() });
                }
                Ended::one(sid).and(others)
            }
            Role::Worker(_) => others.and(Ended::one(sid)),
        }
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

    /// Ends a conference: every leg still in it runs out of TwiML and hangs up. TaskRouter notices only when all of them are
    /// over: the customer first, then the agents as they joined.
    pub(super) fn end_conference(
        &mut self,
        cx: &mut Context,
        sid: &ConferenceSid,
        reason: EndReason,
        by: Option<&CallSid>,
    ) -> Ended {
        let calls = self.conferences.end(sid, reason, by, cx.now());
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
