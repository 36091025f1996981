//! What is due about recordings: paused while any pause of the call is open, and those that we paused in progress again after the
//! last one.
//!
//! A reading tells what there is, before anything is written and after it. A worker's leg is never asked about: what it hears is in the
//! conference.

use super::fact::EpochMs;
use super::next::{Decision, NEIGHBOUR_POLL_MS, Next};
use super::pauses::Pause;
use super::recording::{PausedRecording, Recorded, RecordedKind};
use super::recordings::{Recording, RecordingDue};
use super::step::{Command, Goal, Read};

impl Decision<'_> {
    /// Recordings within a pause.
    pub(super) fn pause_recordings(&self) -> Vec<Next> {
        let Some(since) = self.paused_since().filter(|_| self.pauses_cover_recordings()) else { return Vec::new() };
        RecordedKind::ALL.into_iter().filter_map(|kind| self.pause_recording(kind, since)).collect()
    }

    fn pause_recording(&self, kind: RecordedKind, since: EpochMs) -> Option<Next> {
        let (goal, of) = (Goal::PauseRecording(kind), self.recorded(kind));
        let shared = !self.around.neighbours.is_empty();
        let mut look_at = self.call.recordings.look_due(kind, of.as_ref(), since, shared);
        // What was read before the pause may have changed since.
        if self.call.recordings.is_read_since(kind, of.as_ref(), since) {
            for row in of.iter().flat_map(|of| self.call.recordings.of(of)) {
                match row.pause_due(self.now, self.policy) {
                    RecordingDue::Nothing => {}
                    RecordingDue::LookAt(at) => look_at = look_at.min(at),
                    RecordingDue::Write => return Some(self.attempt(&[goal], |why| self.pause_now(row, why))),
                }
            }
        }
        match of {
            _ if look_at > self.now => Some(Next::WaitUntil(look_at)),
            Some(of) => Some(self.attempt(&[goal], |why| self.step(Read::Recordings { of }, why))),
            None if self.call.accepted().is_empty() => None,
            None => match kind {
                // With every stream paused nothing else looks for them.
                RecordedKind::Call => self.find_customer(),
                RecordedKind::Conference => Some(self.attempt(&[goal], |why| self.find_conference(why))),
            },
        }
    }

    fn pause_now(&self, row: &Recording, why: Vec<Goal>) -> Next {
        let current = self.call.recordings.is_current(row);
        self.step(Command::PauseRecording { of: row.of.clone(), recording: row.sid.clone(), current }, why)
    }

    /// Recordings that we paused, once no pause is open. What Twilio was told is undone also when the task is over.
    pub(super) fn resume_recordings(&self) -> Vec<Next> {
        if self.paused_since().is_some() {
            return Vec::new();
        }
        let due = self.call.recordings.rows().iter().filter_map(|row| self.resume_recording(row));
        due.collect()
    }

    fn resume_recording(&self, row: &Recording) -> Option<Next> {
        let due = row.resume_due(self.now, self.policy);
        // Another task on the leg keeps it paused.
        if due != RecordingDue::Nothing && self.around.neighbours.iter().any(|other| other.paused) {
            return Some(Next::WaitUntil(self.now + NEIGHBOUR_POLL_MS));
        }
        let (goal, of) = (Goal::ResumeRecording(row.of.kind()), row.of.clone());
        match due {
            RecordingDue::Nothing => None,
            RecordingDue::LookAt(at) if at > self.now => Some(Next::WaitUntil(at)),
            RecordingDue::LookAt(_) => Some(self.attempt(&[goal], |why| self.step(Read::Recordings { of }, why))),
            RecordingDue::Write => {
                Some(self.attempt(&[goal], |why| {
                    self.step(Command::ResumeRecording { of, recording: row.sid.clone() }, why)
                }))
            }
        }
    }

    /// The recordings that are paused within this pause, `Some(None)` where none is looked for, or `None` while one may record.
    pub(super) fn still_recordings(&self, pause: &Pause) -> Option<Option<Vec<PausedRecording>>> {
        if !self.pauses_cover_recordings() {
            return Some(None);
        }
        let mut all = Vec::new();
        for kind in RecordedKind::ALL {
            let of = self.recorded(kind);
            let is_read = self.call.recordings.is_read_since(kind, of.as_ref(), pause.at);
            match of {
                _ if !is_read && (of.is_some() || self.may_have(kind)) => return None,
                Some(of) => all.extend(self.call.recordings.paused(&of, self.now, self.policy)?),
                None => {}
            }
        }
        Some(Some(all))
    }

    /// Whether a pause that could not be carried out is, or is of no use any more.
    pub(super) fn needs_no_recording_pause(&self, kind: RecordedKind) -> bool {
        let Some(since) = self.paused_since().filter(|_| self.pauses_cover_recordings()) else { return true };
        let of = self.recorded(kind);
        // What was read before it was given up does not show that it can be read again.
        let since = since.max(self.call.retries.parked_at(&Goal::PauseRecording(kind)).unwrap_or(since));
        let is_read = self.call.recordings.is_read_since(kind, of.as_ref(), since);
        is_read && of.is_none_or(|of| self.call.recordings.paused(&of, self.now, self.policy).is_some())
    }

    /// Whether a recording on the customer's leg or in the conference is kept paused by us.
    pub(super) fn keeps_recordings_paused(&self) -> bool {
        self.call.recordings.rows().iter().any(|row| row.resume_due(self.now, self.policy) != RecordingDue::Nothing)
    }

    /// Whether a resume that could not be carried out is, or is of no use any more.
    pub(super) fn needs_no_recording_resume(&self, kind: RecordedKind) -> bool {
        let is_due = |row: &Recording| row.resume_due(self.now, self.policy) != RecordingDue::Nothing;
        let rows = self.call.recordings.rows();
        self.paused_since().is_some()
            || self.leg.is_gone()
            || !rows.iter().any(|row| row.of.kind() == kind && is_due(row))
    }

    /// After the end of a task only what we did is undone.
    fn pauses_cover_recordings(&self) -> bool {
        self.policy.pause_recording && !self.call.is_over()
    }

    /// When the newest pause that is open was asked for.
    fn paused_since(&self) -> Option<EpochMs> {
        self.call.pauses.open().map(|pause| pause.at).max()
    }

    fn recorded(&self, kind: RecordedKind) -> Option<Recorded> {
        match kind {
            RecordedKind::Call => self.call.customer().cloned().map(Recorded::Call),
            RecordedKind::Conference => self.call.conference().cloned().map(Recorded::Conference),
        }
    }

    /// Whether there may be one that is not known yet: with an agent there is a conference, and a customer's leg unless nobody who may
    /// be the customer was found.
    fn may_have(&self, kind: RecordedKind) -> bool {
        let nobody = || self.call.has_no_call() && !self.call.legs.has_candidates();
        !self.call.accepted().is_empty() && (kind == RecordedKind::Conference || !nobody())
    }
}
