//! Recordings of legs and of conferences: started by people or through the API, paused, resumed, and over with what they are of.
//!
//! Documented: the resources, their fields, `PauseBehavior`, and that `Twilio.CURRENT` means the active recording. Assumed: that this is
//! the newest one that is not over, that a change to what is already so is answered 200, and 404/20404 for what is over or never was.

use super::context::Context;
use super::time::rfc2822;
use super::{Misuse, Reply, World};
use crate::sim_config::Ms;
use serde_json::{Value, json};
use std::fmt;
use taskrouter_streams::call::sid::{CallSid, ConferenceSid, RecordingSid};

/// What stands for the active recording in a path.
const CURRENT: &str = "Twilio.CURRENT";

/// What a recording is of, as a path names it or as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded<C, F> {
    /// A leg.
    Call(C),
    /// A conference.
    Conference(F),
}

/// As a path names it.
pub type RecordedPath = Recorded<String, String>;

/// A leg or a conference that there is.
pub type RecordedSid = Recorded<CallSid, ConferenceSid>;

/// How far a recording has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is Twilio's own word")]
pub enum RecordingStatus {
    InProgress,
    Paused,
    Completed,
}

/// A recording and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingReport {
    /// Its SID.
    pub sid: RecordingSid,
    /// What it is of.
    pub of: RecordedSid,
    /// How far it has come.
    pub status: RecordingStatus,
    /// When that changed.
    pub changed_at: Ms,
    /// A request changed it, and not a person or the end of the call.
    pub by_request: bool,
    created: Ms,
    source: &'static str,
}

/// Every recording so far, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Recordings(Vec<RecordingReport>);

impl fmt::Display for RecordedSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => call.fmt(f),
            Self::Conference(conference) => conference.fmt(f),
        }
    }
}

impl RecordingStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in-progress",
            Self::Paused => "paused",
            Self::Completed => "completed",
        }
    }
}

impl RecordingReport {
    fn is_active(&self) -> bool {
        self.status != RecordingStatus::Completed
    }

    fn body(&self, account: &str) -> Value {
        let (place, call, conference) = match &self.of {
            RecordedSid::Call(call) => (format!("Calls/{call}"), Some(call.as_str()), None),
            RecordedSid::Conference(sid) => (format!("Conferences/{sid}"), None, Some(sid.as_str())),
        };
        let over = !self.is_active();
        let mut body = json!({
            "account_sid": account, "sid": self.sid.as_str(), "api_version": "2010-04-01", "status": self.status.as_str(),
            "call_sid": call, "conference_sid": conference, "source": self.source, "channels": 1,
            "date_created": rfc2822(self.created), "date_updated": rfc2822(self.changed_at),
            "start_time": rfc2822(self.created),
            "duration": over.then(|| ((self.changed_at - self.created) / 1_000).to_string()),
            "price": null, "price_unit": "USD", "error_code": null, "encryption_details": null,
            "uri": format!("/2010-04-01/Accounts/{account}/{place}/Recordings/{}.json", self.sid),
        });
        if call.is_some() {
            body["track"] = json!("both");
        }
        body
    }
}

impl Recordings {
    /// Of a leg or a conference, the newest first.
    fn of(&self, of: &RecordedSid) -> impl Iterator<Item = &RecordingReport> {
        self.0.iter().rev().filter(move |recording| recording.of == *of)
    }

    /// Those of a leg and of conferences.
    pub(super) fn about(&self, is_about: impl Fn(&RecordedSid) -> bool) -> Vec<RecordingReport> {
        self.0.iter().filter(|recording| is_about(&recording.of)).cloned().collect()
    }

    pub(super) fn start(
        &mut self,
        cx: &mut Context,
        of: RecordedSid,
        source: &'static str,
        by_request: bool,
    ) -> &RecordingReport {
        let (sid, created) = (cx.mint(RecordingSid::PREFIX), cx.now());
        let status = RecordingStatus::InProgress;
        self.0.push(RecordingReport { sid, of, status, changed_at: created, by_request, created, source });
        &self.0[self.0.len() - 1]
    }

    /// Changes a recording that is not over, by its SID or as the active one; `None` where there is no such.
    pub(super) fn change(
        &mut self,
        of: &RecordedSid,
        which: &str,
        status: RecordingStatus,
        now: Ms,
        by_request: bool,
    ) -> Option<&RecordingReport> {
        let is_meant = |recording: &&mut RecordingReport| {
            recording.of == *of && recording.is_active() && (which == CURRENT || recording.sid.as_str() == which)
        };
        let recording = self.0.iter_mut().rev().find(is_meant)?;
        if recording.status != status {
            (recording.status, recording.changed_at, recording.by_request) = (status, now, by_request);
        }
        Some(recording)
    }

    /// The leg or the conference is over.
    pub(super) fn end(&mut self, of: &RecordedSid, now: Ms) {
        for recording in self.0.iter_mut().filter(|recording| recording.of == *of && recording.is_active()) {
            (recording.status, recording.changed_at, recording.by_request) = (RecordingStatus::Completed, now, false);
        }
    }
}

/// What a person, Flex or a plugin does with a recording.
pub(super) fn by_others(world: &mut World, of: RecordedSid, status: Option<RecordingStatus>) -> bool {
    let World { cx, voice, .. } = world;
    match status {
        None => {
            let source = if matches!(of, RecordedSid::Call(_)) { "StartCallRecordingAPI" } else { "Conference" };
            voice.recordings.start(cx, of, source, false);
            true
        }
        Some(status) => voice.recordings.change(&of, CURRENT, status, cx.now(), false).is_some(),
    }
}

/// `GET …/Recordings.json`.
pub(super) fn rows(world: &World, of: &RecordedPath) -> Option<Vec<Value>> {
    let of = found(world, of)?;
    Some(world.voice.recordings.of(&of).map(|recording| recording.body(world.cx.account.as_str())).collect())
}

/// `GET …/Recordings/{RE}.json`.
pub(super) fn body(world: &World, of: &RecordedPath, recording: &str) -> Option<Value> {
    let of = found(world, of)?;
    let recording = world.voice.recordings.of(&of).find(|found| found.sid.as_str() == recording)?;
    Some(recording.body(world.cx.account.as_str()))
}

/// `POST …/Calls/{CA}/Recordings.json`: of a call in progress (21220 is documented).
pub(super) fn create(world: &mut World, call: &str, path: &str) -> Reply {
    let Some((call, is_answered)) = world.voice.calls.find(call).map(|call| (call.sid.clone(), call.is_answered()))
    else {
        return Reply::not_found(path);
    };
    if !is_answered {
        return Reply::error(400, 21220, "Requested resource is not eligible for recording");
    }
    let World { cx, voice, .. } = world;
    let account = cx.account.to_string();
    let recording = voice.recordings.start(cx, Recorded::Call(call), "StartCallRecordingAPI", true);
    Reply { status: 200, body: recording.body(&account) }
}

/// `POST …/Recordings/{RE or Twilio.CURRENT}.json`. The recording of another leg than the customer's is nobody's to change.
pub(super) fn update(
    world: &mut World,
    of: &RecordedPath,
    recording: &str,
    change: &RecordingChange,
    path: &str,
) -> Reply {
    let status = match change.status.as_deref() {
        Some("paused") => RecordingStatus::Paused,
        Some("in-progress") => RecordingStatus::InProgress,
        Some("stopped") => RecordingStatus::Completed,
        Some(_) | None => return Reply::error(400, 20001, "Status must be paused, in-progress or stopped"),
    };
    if change.pause_behavior.as_deref().is_some_and(|behavior| !["skip", "silence"].contains(&behavior)) {
        return Reply::error(400, 20001, "PauseBehavior must be skip or silence");
    }
    let Some(of) = found(world, of) else { return Reply::not_found(path) };
    let World { cx, voice, .. } = world;
    if let RecordedSid::Call(call) = &of
        && let Some(leg) = voice.calls.get(call)
        && !leg.may_be_commanded()
    {
        cx.violated(Misuse::OtherLegTouched { call: call.clone(), whose: leg.role.whose() });
    }
    match voice.recordings.change(&of, recording, status, cx.now(), true) {
        Some(changed) => Reply { status: 200, body: changed.body(cx.account.as_str()) },
        None => Reply::not_found(path),
    }
}

/// How a recording is to be changed, as it came over the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a parameter of the resource")]
pub struct RecordingChange {
    pub status: Option<String>,
    pub pause_behavior: Option<String>,
}

fn found(world: &World, of: &RecordedPath) -> Option<RecordedSid> {
    Some(match of {
        Recorded::Call(call) => Recorded::Call(world.voice.calls.find(call)?.sid.clone()),
        Recorded::Conference(sid) => Recorded::Conference(world.voice.conferences.find(sid)?.sid.clone()),
    })
}
