//! The recordings of the customer's leg and of the task's conference, one row each, as far as they were read.
//!
//! They hold everybody, so that they are paused while any pause of the call is open, whatever its scope. Only what we paused is
//! resumed: a recording that others had paused stays so.
//!
//! ```text
//! theirs ──our pause is sent──▶ ours ──our resume is taken, and it is read in progress──▶ theirs
//! ```
//!
//! Twilio tells of a recording by callbacks to whoever started it, and to nobody else: so what runs is read.

use super::fact::EpochMs;
use super::policy::Policy;
use super::recording::{PausedRecording, Recorded, RecordedKind, RecordingProof, RecordingRow, RecordingStatus};
use super::register::{Register, Standing};
use super::sid::RecordingSid;

/// How often a call within a pause is looked at for recordings that have begun meanwhile.
const LOOK_EVERY_MS: i64 = 30_000;

/// Looks after somebody has joined: plugins start their recording a few seconds after the acceptance.
const LOOKS_AFTER_JOINING_MS: [i64; 3] = [0, 2_000, 8_000];

/// From a change that Twilio took until the reading that proves it, and between two such readings.
const CHECK_AFTER_MS: i64 = 1_000;

/// A command whose answer was lost so long ago does not land any more. The default of `twilio.request_timeout_ms` and its margin are
/// less.
const STRAY_MS: i64 = 10_000;

/// Every recording that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Recordings {
    rows: Vec<Recording>,
    of_call: Option<Look>,
    of_conference: Option<Look>,
    /// When an agent last accepted.
    joined_at: Option<EpochMs>,
    /// Something was asked because of a pause.
    looked_for: bool,
}

/// A reading of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    /// Of what; nothing where there was no conference.
    of: Option<Recorded>,
    asked_at: EpochMs,
}

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) sid: RecordingSid,
    pub(super) of: Recorded,
    /// [`RecordingStatus::InProgress`] or [`RecordingStatus::Paused`].
    status: Register<RecordingStatus>,
    read: Option<(RecordingStatus, EpochMs)>,
    over: bool,
    /// We have paused it, or may have, and not seen it in progress since we resumed it.
    ours: bool,
    /// As it was ahead of a command that was begun and has not settled.
    before: Option<Box<(Register<RecordingStatus>, bool)>>,
    /// When Twilio took our pause.
    paused_at: Option<EpochMs>,
    /// When it ran again after our pauses.
    resumed: Vec<EpochMs>,
    /// A command was answered as if there were no such recording: what the list says decides.
    doubted_at: Option<EpochMs>,
    /// Shadow mode: no command was sent, and no reading shows one.
    assumed: bool,
}

/// What is due about a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordingDue {
    Nothing,
    /// The list is to be read then.
    LookAt(EpochMs),
    /// Its status is to be written.
    Write,
}

impl Recording {
    fn new(sid: RecordingSid, of: Recorded) -> Self {
        Self {
            sid,
            of,
            status: Register::default(),
            read: None,
            over: false,
            ours: false,
            before: None,
            paused_at: None,
            resumed: Vec::new(),
            doubted_at: None,
            assumed: false,
        }
    }

    /// When it first ran again since `at`.
    pub(super) fn resumed_since(&self, at: EpochMs) -> Option<EpochMs> {
        self.resumed.iter().copied().find(|resumed| *resumed >= at)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    fn is_read_paused(&self) -> bool {
        matches!(self.read, Some((RecordingStatus::Paused, _)))
    }

    /// By the last word on it.
    fn reads_paused(&self) -> bool {
        let taken = self.ours && self.status.is_taken(RecordingStatus::Paused);
        taken || self.is_read_paused() && self.status.written() != Some(RecordingStatus::InProgress)
    }

    fn asked_at(&self) -> EpochMs {
        self.read.map_or(EpochMs::MIN, |(_, asked_at)| asked_at)
    }

    /// What is due so that it is paused.
    pub(super) fn pause_due(&self, now: EpochMs, policy: &Policy) -> RecordingDue {
        if self.over || self.assumed && self.status.written() == Some(RecordingStatus::Paused) {
            return RecordingDue::Nothing;
        }
        if !self.ours && self.is_read_paused() {
            // A resume of ours from before may still land.
            let stray = self.status.strays_land_by(RecordingStatus::Paused, policy);
            return stray.filter(|at| self.asked_at() < *at).map_or(RecordingDue::Nothing, RecordingDue::LookAt);
        }
        self.due(RecordingStatus::Paused, now, policy)
    }

    /// What is due so that it runs again, if we paused it; and then until nothing of ours can pause it any more.
    pub(super) fn resume_due(&self, now: EpochMs, policy: &Policy) -> RecordingDue {
        if self.over || !self.ours || self.assumed && self.status.written() == Some(RecordingStatus::InProgress) {
            return RecordingDue::Nothing;
        }
        match (self.due(RecordingStatus::InProgress, now, policy), self.stray_until()) {
            (RecordingDue::Nothing, Some(until)) if self.asked_at() < until => RecordingDue::LookAt(until),
            (due, _) => due,
        }
    }

    fn is_seen_resumed(&self) -> bool {
        self.status.written() == Some(RecordingStatus::InProgress) && self.status.is_shown(RecordingStatus::InProgress)
    }

    /// Until when a command of ours whose answer was lost may land, as far as the fold can tell.
    fn stray_until(&self) -> Option<EpochMs> {
        self.status.unknown_sent_at().map(|sent_at| sent_at + STRAY_MS)
    }

    fn due(&self, status: RecordingStatus, now: EpochMs, policy: &Policy) -> RecordingDue {
        if let Some(at) = self.doubted_at.filter(|at| self.asked_at() < *at) {
            return RecordingDue::LookAt(at);
        }
        match self.status.standing(status, now, policy) {
            Standing::Proven => RecordingDue::Nothing,
            _ if self.status.is_read_for_good(status, policy) => RecordingDue::Nothing,
            Standing::Awaited(poll) => RecordingDue::LookAt(poll.last_at + CHECK_AFTER_MS),
            Standing::Missing => RecordingDue::Write,
        }
    }

    /// Since when it is known that it is paused, and by what; `None` while it may record.
    fn proof(&self, now: EpochMs, policy: &Policy) -> Option<(EpochMs, RecordingProof)> {
        if !self.ours {
            let is_still = self.pause_due(now, policy) == RecordingDue::Nothing;
            return is_still.then_some((self.asked_at(), RecordingProof::PausedByOthers));
        }
        let paused_at = self.paused_at.unwrap_or(self.asked_at());
        if self.due(RecordingStatus::Paused, now, policy) == RecordingDue::Nothing {
            return Some((paused_at, RecordingProof::Read));
        }
        let answered = self.status.is_claimed(RecordingStatus::Paused, policy);
        answered.then_some((paused_at, RecordingProof::Answered))
    }

    fn begun(&mut self, status: RecordingStatus, at: EpochMs) {
        self.before = Some(Box::new((self.status.clone(), self.ours)));
        self.status.begun(status, at);
        self.ours |= status == RecordingStatus::Paused;
    }

    fn taken(&mut self, at: EpochMs) {
        self.before = None;
        self.status.taken(at);
        match self.status.written() {
            Some(RecordingStatus::InProgress) => self.resumed.push(at),
            Some(RecordingStatus::Paused | RecordingStatus::Over) | None => self.paused_at = Some(at),
        }
    }

    fn not_performed(&mut self) {
        if let Some(before) = self.before.take() {
            (self.status, self.ours) = *before;
        }
    }

    fn read(&mut self, status: RecordingStatus, asked_at: EpochMs, at: EpochMs) {
        self.over = status == RecordingStatus::Over;
        if self.over || self.assumed {
            return;
        }
        self.read = Some((status, asked_at));
        self.status.read(status, asked_at, at);
        // Seen running after our resume, and nothing of ours can land any more: whoever pauses it from now on is somebody else.
        if self.ours && self.is_seen_resumed() && self.stray_until().is_none_or(|until| asked_at >= until) {
            self.ours = false;
        }
    }
}

/// What is read and written.
impl Recordings {
    /// An agent has accepted.
    pub(super) fn joined(&mut self, at: EpochMs) {
        self.joined_at = Some(at);
    }

    /// The leg is another one: of the old one only what we paused is ours, until it is resumed.
    pub(super) fn leg_changed(&mut self) {
        self.rows.retain(|row| row.of.kind() == RecordedKind::Conference || row.ours && !row.over);
        self.of_call = None;
    }

    /// Something was asked because of a pause, however it ended.
    pub(super) fn looked_for(&mut self) {
        self.looked_for = true;
    }

    /// The list was read. What it does not hold is over.
    pub(super) fn read(&mut self, of: &Recorded, listed: &[RecordingRow], asked_at: EpochMs, at: EpochMs) {
        let active: Vec<_> = listed.iter().filter(|row| row.status != RecordingStatus::Over).collect();
        for RecordingRow { sid, status } in &active {
            self.row(sid, of).read(*status, asked_at, at);
        }
        let is_active = |sid: &RecordingSid| active.iter().any(|row| row.sid == *sid);
        for row in self.rows.iter_mut().filter(|row| row.of == *of && !is_active(&row.sid)) {
            row.read(RecordingStatus::Over, asked_at, at);
        }
        *self.look_mut(of.kind()) = Some(Look { of: Some(of.clone()), asked_at });
    }

    /// No conference of the task is in progress, so that none is recorded.
    pub(super) fn no_conference(&mut self, asked_at: EpochMs) {
        self.of_conference = Some(Look { of: None, asked_at });
    }

    pub(super) fn begun(&mut self, sid: &RecordingSid, of: &Recorded, status: RecordingStatus, at: EpochMs) {
        self.row(sid, of).begun(status, at);
    }

    /// Twilio took a change of the recording that it names, which `Twilio.CURRENT` may have made another one. Whether the same had been
    /// taken before, and was not seen.
    pub(super) fn taken(
        &mut self,
        sid: &RecordingSid,
        of: &Recorded,
        told: &RecordingRow,
        sent_at: EpochMs,
        at: EpochMs,
    ) -> bool {
        if told.sid != *sid {
            self.row(sid, of).not_performed();
            self.row(&told.sid, of).begun(told.status, sent_at);
        }
        let row = self.row(&told.sid, of);
        row.taken(at);
        row.status.is_rewritten()
    }

    pub(super) fn perhaps_taken(&mut self, sid: &RecordingSid, of: &Recorded, at: EpochMs) {
        let row = self.row(sid, of);
        row.before = None;
        row.status.perhaps_taken(at);
    }

    /// It was certainly not performed; `doubted` where the answer speaks as if there were no such recording.
    pub(super) fn not_performed(&mut self, sid: &RecordingSid, of: &Recorded, doubted: bool, at: EpochMs) {
        let row = self.row(sid, of);
        row.not_performed();
        if doubted {
            row.doubted_at = Some(at);
        }
    }

    /// The command was not sent, and counts as done.
    pub(super) fn assumed(&mut self, sid: &RecordingSid, of: &Recorded) {
        self.row(sid, of).assumed = true;
    }

    fn row(&mut self, sid: &RecordingSid, of: &Recorded) -> &mut Recording {
        let place = self.rows.iter().position(|row| row.sid == *sid).unwrap_or_else(|| {
            self.rows.push(Recording::new(sid.clone(), of.clone()));
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    fn look_mut(&mut self, kind: RecordedKind) -> &mut Option<Look> {
        match kind {
            RecordedKind::Call => &mut self.of_call,
            RecordedKind::Conference => &mut self.of_conference,
        }
    }
}

/// What is known.
impl Recordings {
    pub(super) fn rows(&self) -> &[Recording] {
        &self.rows
    }

    /// Whether a pause has been a reason to ask for recordings.
    pub(super) fn were_looked_for(&self) -> bool {
        self.looked_for
    }

    /// The recordings of a leg or a conference that are not over.
    pub(super) fn of(&self, of: &Recorded) -> impl Iterator<Item = &Recording> {
        self.rows.iter().filter(move |row| row.of == *of && !row.over)
    }

    /// Whether this is the only recording of its leg or conference, so that `Twilio.CURRENT` means it.
    pub(super) fn is_current(&self, recording: &Recording) -> bool {
        self.of(&recording.of).count() == 1
    }

    pub(super) fn find(&self, sid: &RecordingSid) -> Option<&Recording> {
        self.rows.iter().find(|row| row.sid == *sid)
    }

    fn look(&self, kind: RecordedKind, of: Option<&Recorded>) -> Option<EpochMs> {
        let look = match kind {
            RecordedKind::Call => self.of_call.as_ref(),
            RecordedKind::Conference => self.of_conference.as_ref(),
        };
        look.filter(|look| look.of.as_ref() == of).map(|look| look.asked_at)
    }

    /// Whether the list was read since.
    pub(super) fn is_read_since(&self, kind: RecordedKind, of: Option<&Recorded>, since: EpochMs) -> bool {
        self.look(kind, of).is_some_and(|asked_at| asked_at >= since)
    }

    /// When the list is to be read, within a pause that began at `since`; `shared` where another task may have paused what it shows.
    pub(super) fn look_due(&self, kind: RecordedKind, of: Option<&Recorded>, since: EpochMs, shared: bool) -> EpochMs {
        let Some(asked_at) = self.look(kind, of) else { return since };
        let restless = self.joined_at.into_iter().chain(shared.then_some(since));
        let joined = restless.flat_map(|at| LOOKS_AFTER_JOINING_MS.map(|pause| at + pause));
        let missed = joined.chain([since]).filter(|moment| *moment > asked_at).min();
        // Counted from the pause, so that both lists are read together.
        let looks = (asked_at - since).div_euclid(LOOK_EVERY_MS) + 1;
        let again = since + looks * LOOK_EVERY_MS;
        missed.map_or(again, |moment| moment.min(again))
    }

    /// The recordings of a leg or a conference that are paused, or `None` while one may record.
    pub(super) fn paused(&self, of: &Recorded, now: EpochMs, policy: &Policy) -> Option<Vec<PausedRecording>> {
        let paused = self.of(of).map(|row| {
            let (at, by) = row.proof(now, policy)?;
            Some(PausedRecording { sid: row.sid.clone(), of: row.of.clone(), at, by })
        });
        paused.collect()
    }

    /// By the last words on them, which may be overtaken: whether both lists were read since, and nothing is in progress.
    pub(super) fn are_still_since(&self, since: EpochMs) -> bool {
        let is_read = |look: &Option<Look>| look.as_ref().is_some_and(|look| look.asked_at >= since);
        // An old leg's recording is nobody's here any more.
        let leg = self.of_call.as_ref().and_then(|look| look.of.as_ref());
        let counts = |row: &&Recording| row.of.kind() == RecordedKind::Conference || Some(&row.of) == leg;
        is_read(&self.of_call)
            && is_read(&self.of_conference)
            && self.rows.iter().filter(counts).all(|row| row.over || row.reads_paused())
    }
}
