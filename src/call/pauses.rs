//! The pauses of a call, one row each.
//!
//! What should run is what accepted reservations are entitled to, minus these intervals. A resume ends the pause of its own id
//! only; one that arrives first ends a pause that arrives later.
//!
//! ```text
//! (asked) ──▶ awaited ──nothing of it may run──▶ proven
//!                │ not in time                     │ a stream began all the same
//!                ▼                                 ▼
//!             unproven ◀───────────────────────────┘      (and from there to proven, when all is over)
//! any of them ──resumed──▶ closed
//! ```

use super::fact::EpochMs;
use super::lww_register::LwwRegister;
use super::pause::{
    AttributePause, OnExpiry, PauseId, PauseOrigin, PauseReason, PauseScope, Paused, ProvenStop, Resumed,
};
use super::policy::Policy;
use super::recording::PausedRecording;
use super::sid::ReservationSid;
use std::collections::BTreeMap;

/// Every pause of a call, in the order in which they became known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pauses {
    rows: Vec<Pause>,
    /// Ends of pauses that are not known yet.
    resumed: BTreeMap<PauseId, PauseEnd>,
    /// What the task's attribute says.
    attribute: LwwRegister<AttributePause>,
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What its resume names.
    pub id: PauseId,
    /// Whose streams.
    pub scope: PauseScope,
    /// Why.
    pub reason: Option<PauseReason>,
    /// By whom it was asked for.
    pub by: PauseOrigin,
    /// When.
    pub at: EpochMs,
    /// Until when, as asked for.
    pub until: Option<EpochMs>,
    /// When it was proven that nothing of it runs, and by what.
    pub proven: Option<(EpochMs, Vec<ProvenStop>)>,
    /// The recordings that are paused, as of the proof; `None` where pauses leave recordings alone.
    pub recordings: Option<Vec<PausedRecording>>,
    /// When somebody was told that it was not proven in time.
    pub unproven_at: Option<EpochMs>,
    /// Somebody was told that it is still on after its time.
    overdue: bool,
    end: Option<PauseEnd>,
}

/// When a pause ended, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseEnd {
    /// When the resume was journaled.
    pub at: EpochMs,
    /// Who asked for it.
    pub by: PauseOrigin,
}

/// What is due about a pause besides its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpiryDue {
    Wait(EpochMs),
    Resume,
    /// It stays, and somebody should know.
    Tell,
}

impl Pause {
    /// Whether it is on.
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<&PauseEnd> {
        self.end.as_ref()
    }

    /// When its time is up: as asked for, and after `pause.max_s` at the latest.
    fn expires_at(&self, policy: &Policy) -> EpochMs {
        let latest = self.at + policy.pause_max_ms;
        self.until.map_or(latest, |until| until.min(latest))
    }

    /// What is due because of its time; `None` when it was said already.
    pub(super) fn expiry_due(&self, now: EpochMs, policy: &Policy) -> Option<ExpiryDue> {
        let at = self.expires_at(policy);
        match policy.pause_on_expiry {
            _ if now < at => Some(ExpiryDue::Wait(at)),
            OnExpiry::Resume => Some(ExpiryDue::Resume),
            OnExpiry::Stay => (!self.overdue).then_some(ExpiryDue::Tell),
        }
    }
}

impl Pauses {
    pub(super) fn rows(&self) -> &[Pause] {
        &self.rows
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Pause> {
        self.rows.iter().filter(|pause| pause.is_open())
    }

    /// Those of the whole call that are open and proven.
    pub(super) fn proven_of_call(&self) -> impl Iterator<Item = &PauseId> {
        let proven = self.open().filter(|pause| pause.scope == PauseScope::Call && pause.proven.is_some());
        proven.map(|pause| &pause.id)
    }

    /// Whether this reservation's streams are paused.
    pub(super) fn cover(&self, reservation: &ReservationSid) -> bool {
        self.open().any(|pause| pause.scope.covers(reservation))
    }

    /// The pause of a reservation that ended last.
    pub(super) fn last_ended(&self, reservation: &ReservationSid) -> Option<(&Pause, EpochMs)> {
        let ended = self.rows.iter().filter(|pause| pause.scope.covers(reservation));
        ended.filter_map(|pause| Some((pause, pause.end.as_ref()?.at))).max_by_key(|(_, at)| *at)
    }

    /// A pause is asked for. One that is known is not changed by another word about it.
    pub(super) fn paused(&mut self, paused: &Paused, at: EpochMs) {
        if self.rows.iter().any(|pause| pause.id == paused.id) {
            return;
        }
        let Paused { id, scope, reason, seconds, by } = paused.clone();
        let until = seconds.map(|seconds| at + 1_000 * i64::from(seconds));
        let end = self.resumed.remove(&id);
        let (proven, recordings, unproven_at, overdue) = (None, None, None, false);
        self.rows.push(Pause { id, scope, reason, by, at, until, proven, recordings, unproven_at, overdue, end });
    }

    /// The end of a pause is asked for; it may not be known yet.
    pub(super) fn resumed(&mut self, resumed: &Resumed, at: EpochMs) {
        let end = PauseEnd { at, by: resumed.by.clone() };
        match self.row(&resumed.id) {
            Some(pause) => _ = pause.end.get_or_insert(end),
            None => _ = self.resumed.entry(resumed.id.clone()).or_insert(end),
        }
    }

    /// The task's attribute, in the order of its version. Only an explicit false ends a pause: somebody who writes an old copy of the
    /// attributes does not.
    pub(super) fn attribute(&mut self, order: (u64, EpochMs), told: Option<&AttributePause>, at: EpochMs) {
        let before = self.attribute.get().cloned().filter(|told| told.paused);
        self.attribute.tell(order, told.cloned());
        let after = self.attribute.get().cloned().filter(|told| told.paused);
        if before == after {
            return;
        }
        let same_id = before.as_ref().zip(after.as_ref()).is_some_and(|(b, a)| b.id == a.id && b.scope == a.scope);
        if before.is_some() && !same_id {
            let open = self.rows.iter_mut().filter(|pause| pause.by == PauseOrigin::TaskAttribute && pause.is_open());
            open.for_each(|pause| pause.end = Some(PauseEnd { at, by: PauseOrigin::TaskAttribute }));
        }
        if let Some(AttributePause { id, scope, reason, seconds, .. }) = after.filter(|_| !same_id) {
            let Some(id) = id.filter(|id| !self.is_known(id)).or_else(|| self.own_id()) else { return };
            self.paused(&Paused { id, scope, reason, seconds, by: PauseOrigin::TaskAttribute }, at);
        }
    }

    fn is_known(&self, id: &PauseId) -> bool {
        self.rows.iter().any(|pause| pause.id == *id)
    }

    /// The id of a pause that the attribute does not name.
    fn own_id(&self) -> Option<PauseId> {
        (1..).map_while(|number: u32| format!("task-attribute-{number}").parse().ok()).find(|id| !self.is_known(id))
    }

    pub(super) fn proven(
        &mut self,
        id: &PauseId,
        stops: &[ProvenStop],
        recordings: Option<&Vec<PausedRecording>>,
        at: EpochMs,
    ) {
        if let Some(pause) = self.row(id) {
            pause.proven = Some((at, stops.to_vec()));
            pause.recordings = recordings.cloned();
        }
    }

    pub(super) fn unproven(&mut self, id: &PauseId, at: EpochMs) {
        if let Some(pause) = self.row(id) {
            (pause.proven, pause.unproven_at) = (None, Some(at));
        }
    }

    pub(super) fn overdue(&mut self, id: &PauseId) {
        if let Some(pause) = self.row(id) {
            pause.overdue = true;
        }
    }

    fn row(&mut self, id: &PauseId) -> Option<&mut Pause> {
        self.rows.iter_mut().find(|pause| pause.id == *id)
    }
}
