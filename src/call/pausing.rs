//! What is due about a call's pauses: their proof, and their time.
//!
//! The worker reports the proof, and not whoever asked for the pause: only the worker knows that it decides no start any more. What it
//! begins it journals first, so that a proof in the journal has no start behind it.

use super::fact::{EpochMs, FactKind, Notice};
use super::next::{Decision, NEIGHBOUR_POLL_MS, Next};
use super::pause::{PauseOrigin, PauseScope, ProvenStop, Resumed};
use super::pauses::{ExpiryDue, Pause};
use super::plan::Plan;
use super::sid::ReservationSid;
use super::step::Resumption;
use super::streams::Stream;

impl<'a> Decision<'a> {
    /// What is to be said of a pause now, or when to look again.
    pub(super) fn pauses(&self) -> Vec<Next> {
        let open = || self.call.pauses.open();
        open().filter_map(|pause| self.proof(pause)).chain(open().filter_map(|pause| self.expiry(pause))).collect()
    }

    /// A start that can still land keeps its stream's row from being over, and with it the pause from being proven.
    fn proof(&self, pause: &Pause) -> Option<Next> {
        // Where nothing is commanded nothing is stopped.
        if self.call.is_shadow() {
            return None;
        }
        let id = pause.id.clone();
        let others = pause.scope == PauseScope::Call && self.around.neighbours.iter().any(|other| other.tracks > 0);
        let recordings = self.still_recordings(pause);
        let is_silent = !others && recordings.is_some() && self.within(pause).all(|stream| !stream.may_run());
        let due = pause.at + self.policy.pause_confirm_ms;
        match (&pause.proven, is_silent) {
            // Another task that starts a stream on the leg journals here that this is no longer so.
            (Some(_), true) => None,
            (None, true) => {
                let (stops, recordings) = (self.stops(pause), recordings.flatten());
                Some(self.notice(Notice::PauseProven { id, stops, recordings }))
            }
            (Some(_), false) => Some(self.notice(Notice::PauseUnproven { id })),
            // No fact of this task tells when another one's streams are over.
            (None, false) if pause.unproven_at.is_some() => {
                others.then_some(Next::WaitUntil(self.now + NEIGHBOUR_POLL_MS))
            }
            (None, false) if self.now >= due => Some(self.notice(Notice::PauseUnproven { id })),
            (None, false) if others => Some(Next::WaitUntil(due.min(self.now + NEIGHBOUR_POLL_MS))),
            (None, false) => Some(Next::WaitUntil(due)),
        }
    }

    fn expiry(&self, pause: &Pause) -> Option<Next> {
        // What is recorded of the leg goes on after the task.
        if self.call.is_over() && !self.keeps_recordings_paused() {
            return None;
        }
        let id = pause.id.clone();
        Some(match pause.expiry_due(self.now, self.policy)? {
            ExpiryDue::Wait(at) => Next::WaitUntil(at),
            ExpiryDue::Resume => Next::Report(FactKind::Resumed(Resumed { id, by: PauseOrigin::Expiry })),
            ExpiryDue::Tell => self.notice(Notice::PauseOverdue { id }),
        })
    }

    fn within(&self, pause: &Pause) -> impl Iterator<Item = &'a Stream> {
        self.call.streams().iter().filter(move |stream| pause.scope.covers(&stream.reservation))
    }

    /// The streams that were there when the pause was asked for, and what shows that they are over.
    fn stops(&self, pause: &Pause) -> Vec<ProvenStop> {
        let ended = self.within(pause).filter_map(|stream| {
            let (at, by) = stream.over_at().zip(stream.over_by())?;
            (at >= pause.at).then(|| ProvenStop { name: stream.name.clone(), at, by })
        });
        ended.collect()
    }

    /// Stops within a pause, which wait for nothing: they take nobody out of a conference.
    pub(super) fn paused_stops(&self, plan: &Plan<'_>) -> Vec<Next> {
        plan.stop.iter().filter(|stream| self.is_paused(stream)).filter_map(|stream| self.stop(stream)).collect()
    }

    pub(super) fn is_paused(&self, stream: &Stream) -> bool {
        self.call.pauses.cover(&stream.reservation)
    }

    /// What a stream of this reservation that starts now goes on with: the pause that ended last, and the stream that a pause or a hold
    /// stopped, unless one has run since.
    pub(super) fn resumption(&self, reservation: &ReservationSid) -> Option<Resumption> {
        let last = self.call.streams.last_run(reservation);
        let none_since = |ended_at: EpochMs| last.is_none_or(|stream| stream.is_older_than(ended_at));
        let pause = self.call.pauses.last_ended(reservation).filter(|(_, ended_at)| none_since(*ended_at));
        let held = last.is_some_and(|stream| {
            self.stops_on_hold(stream.slot) && self.call.holds.last_ended().is_some_and(|at| stream.is_older_than(at))
        });
        (pause.is_some() || held).then(|| Resumption {
            pause: pause.map(|(pause, _)| pause.id.clone()),
            of: last.map(|stream| stream.name.clone()),
        })
    }
}
