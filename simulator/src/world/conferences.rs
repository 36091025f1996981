//! Conferences and their participants: who is in, who leaves, and what ends.
//!
//! ```text
//! conference   init → in-progress → completed
//! participant  absent → connecting or ringing → connected → absent (→ … as a new row, after a redirect)
//! ```

use super::calls::{Call, Calls};
use super::context::Context;
use super::status::ConferenceStatus;
use super::time::rfc2822;
use crate::sim_config::Ms;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use taskrouter_streams::call::sid::{AccountSid, CallSid, ConferenceSid};

/// How a leg comes into a conference.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) guard: bool,
    pub(super) label: Option<String>,
    /// The leg whose agent alone hears it.
    pub(super) coaches: Option<CallSid>,
    /// It has not been picked up yet.
    pub(super) rings: bool,
    /// `startConferenceOnEnter`.
    pub(super) starts: bool,
    pub(super) muted: bool,
}

impl Default for Entry {
    fn default() -> Self {
        Self { guard: false, label: None, coaches: None, rings: false, starts: true, muted: false }
    }
}

impl Entry {
    pub(super) fn guarded(guard: bool) -> Self {
        Self { guard, ..Self::default() }
    }
}

/// How far a participant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Ringing,
    Connecting,
    Connected,
}

/// A leg in a conference.
#[derive(Debug, Clone)]
pub(super) struct Participant {
    pub(super) row: u64,
    pub(super) call: CallSid,
    pub(super) guard: bool,
    pub(super) hold: bool,
    label: Option<String>,
    coaches: Option<CallSid>,
    starts: bool,
    muted: bool,
    presence: Presence,
    /// The service wrote its guard last, and not Flex.
    guard_commanded: bool,
    created: Ms,
    updated: Ms,
}

impl Participant {
    pub(super) fn is_connected(&self) -> bool {
        self.presence == Presence::Connected
    }

    /// Whether the guard is lowered by a command of the service.
    pub(super) fn is_lowered_by_command(&self) -> bool {
        !self.guard && self.guard_commanded
    }

    pub(super) fn set_hold(&mut self, hold: bool, now: Ms) {
        self.hold = hold;
        self.updated = now;
    }

    pub(super) fn set_muted(&mut self, muted: bool, now: Ms) {
        self.muted = muted;
        self.updated = now;
    }

    /// Whom it coaches from now on, if anybody.
    pub(super) fn set_coached(&mut self, coached: Option<CallSid>, now: Ms) {
        self.coaches = coached;
        self.updated = now;
    }

    /// Documented: the resource lists nobody whose conference is over, or whose call follows new TwiML; such have no row.
    pub(super) fn body(&self, account: &AccountSid, conference: &ConferenceSid) -> Value {
        let (account, call) = (account.as_str(), &self.call);
        json!({
            "account_sid": account, "call_sid": call.as_str(), "label": self.label, "conference_sid": conference.as_str(),
            "date_created": rfc2822(self.created), "date_updated": rfc2822(self.updated),
            "end_conference_on_exit": self.guard, "muted": self.muted, "hold": self.hold,
            "status": match self.presence {
                Presence::Ringing => "ringing",
                Presence::Connecting => "connecting",
                Presence::Connected => "connected",
            },
            "start_conference_on_enter": self.starts, "coaching": self.coaches.is_some(),
            "call_sid_to_coach": self.coaches.as_ref().map(|call| call.as_str()), "queue_time": null,
            "uri": format!("/2010-04-01/Accounts/{account}/Conferences/{conference}/Participants/{call}.json"),
        })
    }
}

/// A conference.
#[derive(Debug)]
pub(super) struct Conference {
    pub(super) sid: ConferenceSid,
    pub(super) name: String,
    status: ConferenceStatus,
    created: Ms,
    updated: Ms,
    rows: Vec<Participant>,
    reason_ended: Option<&'static str>,
    ended_by: Option<CallSid>,
}

impl Conference {
    pub(super) fn participants(&self) -> &[Participant] {
        &self.rows
    }

    pub(super) fn participant(&self, call: &CallSid) -> Option<&Participant> {
        self.rows.iter().find(|row| &row.call == call)
    }

    /// The participant that a path names, by call or by label (documented).
    pub(super) fn named(&self, call_or_label: &str) -> Option<&Participant> {
        let is_meant =
            |row: &&Participant| row.call.as_str() == call_or_label || row.label.as_deref() == Some(call_or_label);
        self.rows.iter().find(is_meant)
    }

    pub(super) fn participant_mut(&mut self, call: &CallSid) -> Option<&mut Participant> {
        self.rows.iter_mut().find(|row| &row.call == call)
    }

    pub(super) fn body(&self, account: &AccountSid) -> Value {
        let account = account.as_str();
        let uri = format!("/2010-04-01/Accounts/{account}/Conferences/{}", self.sid);
        json!({
            "account_sid": account, "sid": self.sid.as_str(), "friendly_name": self.name,
            "status": self.status.as_str(), "region": "us1", "api_version": "2010-04-01",
            "date_created": rfc2822(self.created), "date_updated": rfc2822(self.updated),
            "reason_conference_ended": self.reason_ended,
            "call_sid_ending_conference": self.ended_by.as_ref().map(|call| call.as_str()),
            "uri": format!("{uri}.json"),
            "subresource_uris": {
                "participants": format!("{uri}/Participants.json"), "recordings": format!("{uri}/Recordings.json"),
            },
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.status != ConferenceStatus::Completed
    }

    /// Two connected participants start a conference, of whom one has `startConferenceOnEnter` (documented). On every change
    /// Flex sets its worker's guard to "two participants or fewer" (its own bundle), so that a customer's absence raises it.
    /// That it does not count those who only listen in is assumed.
    fn changed(&mut self, calls: &Calls, now: Ms) {
        self.updated = now;
        let connected = || self.rows.iter().filter(|row| row.is_connected());
        let starts = connected().count() >= 2 && connected().any(|row| row.starts);
        if self.status == ConferenceStatus::Init && starts {
            self.status = ConferenceStatus::InProgress;
        }
        let few = self.rows.iter().filter(|row| row.coaches.is_none()).count() <= 2;
        for row in &mut self.rows {
            if calls.get(&row.call).is_some_and(Call::is_worker) {
                row.guard = few;
            }
        }
    }
}

/// Why a conference is over after somebody has left it.
pub(super) type EndReason = &'static str;

/// How a leg leaves its conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    Left,
    /// Removed through the API.
    Kicked,
}

impl Leaving {
    fn of_guarded(self) -> EndReason {
        match self {
            Self::Left => "participant-with-end-conference-on-exit-left",
            Self::Kicked => "participant-with-end-conference-on-exit-kicked",
        }
    }

    fn of_last(self) -> EndReason {
        match self {
            Self::Left => "last-participant-left",
            Self::Kicked => "last-participant-kicked",
        }
    }
}

/// Every conference so far.
#[derive(Debug, Default)]
pub(super) struct Conferences(BTreeMap<ConferenceSid, Conference>);

impl Conferences {
    pub(super) fn get_mut(&mut self, sid: &ConferenceSid) -> Option<&mut Conference> {
        self.0.get_mut(sid)
    }

    /// The conference that a path names.
    pub(super) fn find(&self, sid: &str) -> Option<&Conference> {
        self.0.get(&sid.parse().ok()?)
    }

    /// In descending order of their creation.
    pub(super) fn all(&self) -> Vec<&Conference> {
        let mut found: Vec<&Conference> = self.0.values().collect();
        found.sort_by_key(|conference| std::cmp::Reverse(conference.created));
        found
    }

    /// The one conference of that name that is not over. Documented: there is at most one.
    pub(super) fn open(&self, name: &str) -> Option<ConferenceSid> {
        let found = self.0.values().find(|conference| conference.name == name && conference.is_open());
        found.map(|conference| conference.sid.clone())
    }

    /// The conference that a leg is in.
    pub(super) fn of(&self, call: &CallSid) -> Option<&Conference> {
        self.0.values().find(|conference| conference.participant(call).is_some())
    }

    pub(super) fn of_mut(&mut self, call: &CallSid) -> Option<&mut Conference> {
        self.0.values_mut().find(|conference| conference.participant(call).is_some())
    }

    /// Lets a leg into the conference of that name, which is made when there is none; also returns the leg's row.
    pub(super) fn join(&mut self, cx: &mut Context, call: &CallSid, name: &str, entry: Entry) -> (ConferenceSid, u64) {
        let sid = self.open(name).unwrap_or_else(|| self.create(cx, name));
        let (row, now) = (cx.next_number(), cx.now());
        let Entry { guard, label, coaches, rings, starts, muted } = entry;
        let participant = Participant {
            row,
            call: call.clone(),
            guard,
            hold: false,
            label,
            coaches,
            starts,
            muted,
            presence: if rings { Presence::Ringing } else { Presence::Connecting },
            guard_commanded: false,
            created: now,
            updated: now,
        };
        if let Some(conference) = self.0.get_mut(&sid) {
            conference.rows.push(participant);
        }
        (sid, row)
    }

    fn create(&mut self, cx: &mut Context, name: &str) -> ConferenceSid {
        let sid: ConferenceSid = cx.mint(ConferenceSid::PREFIX);
        let conference = Conference {
            sid: sid.clone(),
            name: name.to_owned(),
            status: ConferenceStatus::Init,
            created: cx.now(),
            updated: cx.now(),
            rows: Vec::new(),
            reason_ended: None,
            ended_by: None,
        };
        self.0.insert(sid.clone(), conference);
        sid
    }

    /// A connecting participant is connected; nothing happens when it has left.
    pub(super) fn connect(&mut self, calls: &mut Calls, sid: &ConferenceSid, row: u64, now: Ms) {
        let Some(conference) = self.0.get_mut(sid) else { return };
        let Some(participant) = conference.rows.iter_mut().find(|participant| participant.row == row) else {
            return;
        };
        participant.presence = Presence::Connected;
        if let Some(call) = calls.get_mut(&participant.call) {
            call.connected(now);
        }
        conference.changed(calls, now);
    }

    /// Takes a leg out of its conference. Documented: a raised guard ends the conference, so does the last leaver; one
    /// remaining participant does not. Returns the conference that has to end now, and why.
    pub(super) fn leave(
        &mut self,
        calls: &Calls,
        call: &CallSid,
        way: Leaving,
        now: Ms,
    ) -> Option<(ConferenceSid, EndReason)> {
        let conference = self.of_mut(call)?;
        let place = conference.rows.iter().position(|row| &row.call == call)?;
        let row = conference.rows.remove(place);
        if row.guard {
            return Some((conference.sid.clone(), way.of_guarded()));
        }
        if conference.rows.is_empty() {
            return Some((conference.sid.clone(), way.of_last()));
        }
        conference.changed(calls, now);
        None
    }

    /// Ends a conference; returns the legs that were still in it, in the order in which they joined.
    pub(super) fn end(
        &mut self,
        sid: &ConferenceSid,
        reason: EndReason,
        by: Option<&CallSid>,
        now: Ms,
    ) -> Vec<CallSid> {
        let Some(conference) = self.0.get_mut(sid) else { return Vec::new() };
        conference.status = ConferenceStatus::Completed;
        conference.updated = now;
        conference.reason_ended = Some(reason);
        conference.ended_by = by.cloned();
        std::mem::take(&mut conference.rows).into_iter().map(|row| row.call).collect()
    }

    /// A guard that was written by command takes effect; nothing happens when the participant has left.
    pub(super) fn set_guard(&mut self, sid: &ConferenceSid, row: u64, raised: bool) {
        let rows = self.0.get_mut(sid).map(|conference| &mut conference.rows);
        if let Some(participant) = rows.and_then(|rows| rows.iter_mut().find(|participant| participant.row == row)) {
            participant.guard = raised;
            participant.guard_commanded = true;
        }
    }

    /// Flex writes a leg's guard; false when it is in no conference.
    pub(super) fn set_guard_by_flex(&mut self, call: &CallSid, raised: bool) -> bool {
        let row = self.of_mut(call).and_then(|conference| conference.participant_mut(call));
        row.map(|row| {
            row.guard = raised;
            row.guard_commanded = false;
        })
        .is_some()
    }

    /// Holds or un-holds a leg; false when it is in no conference.
    pub(super) fn set_hold(&mut self, call: &CallSid, hold: bool, now: Ms) -> bool {
        let row = self.of_mut(call).and_then(|conference| conference.participant_mut(call));
        row.map(|row| row.set_hold(hold, now)).is_some()
    }
}
