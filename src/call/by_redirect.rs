//! Changes to streams by new TwiML for the customer's leg.
//!
//! Lower the guard, read that it is lowered and that somebody stays in the conference, redirect, see the customer back.

use super::fact::EpochMs;
use super::ledger::Stream;
use super::leg::{GuardState, Watch};
use super::next::{Decision, Next, soonest};
use super::plan::Plan;
use super::sid::{CallSid, ConferenceSid};
use super::step::{Change, Guard, Operation, StreamStart};

impl Decision<'_> {
    pub(super) fn change_by_redirect(&self, plan: &Plan) -> Next {
        let Some(customer) = self.call.customer() else {
            return self.without_customer(plan);
        };
        let orphans = self.stop_orphans(plan, customer);
        let (by_resource, by_redirect) =
            if self.may_redirect_to_stop(plan) { (&[][..], &plan.stop[..]) } else { (&plan.stop[..], &[][..]) };
        let stops = by_resource.iter().map(|stream| {
            let stop = |why| self.stop_stream(customer, stream, why);
            self.attempt(&[Change::Stop(stream.reservation.clone())], stop)
        });
        let starts = self.with_room(plan, by_redirect);
        let stopped = by_redirect.iter().map(|stream| Change::Stop(stream.reservation.clone()));
        let started = starts.iter().map(|start| Change::Start(start.reservation.clone()));
        let changes: Vec<Change> = stopped.chain(started).collect();
        let toward = |why| self.toward_redirect(by_redirect, starts, customer, why);
        let redirect = (!changes.is_empty()).then(|| self.attempt(&changes, toward));
        // Stops before starts, of those that can be done now.
        soonest(orphans.into_iter().chain(stops).chain(redirect)).unwrap_or(Next::Idle)
    }

    /// A stop is worth a redirect only while an agent stays with the customer and nothing has gone wrong on the way: otherwise
    /// the Streams resource stops the stream without touching the call, and starts that there is room for go on without it.
    fn may_redirect_to_stop(&self, plan: &Plan) -> bool {
        let somebody_stays = !self.call.accepted().is_empty();
        let smooth = |stream: &Stream| {
            let streak = self.leg.streaks.contains_key(&Change::Stop(stream.reservation.clone()));
            stream.stop_in_doubt.is_none() && !streak
        };
        somebody_stays && plan.stop.iter().all(smooth)
    }

    /// The starts for which there are tracks, once these streams are stopped.
    fn with_room(&self, plan: &Plan, stop: &[Stream]) -> Vec<StreamStart> {
        let stays = |stream: &&Stream| stream.is_live() && !stop.iter().any(|stopped| stopped.name == stream.name);
        let tracks = |stream: &Stream| self.policy.tracks(stream.slot);
        let mut used: usize = self.call.streams().iter().filter(stays).map(tracks).sum();
        let fits = |start: &&StreamStart| {
            used += self.policy.tracks(start.slot);
            used <= self.policy.track_budget
        };
        plan.start.iter().take_while(fits).cloned().collect()
    }

    fn toward_redirect(&self, stop: &[Stream], start: Vec<StreamStart>, customer: &CallSid, why: Vec<Change>) -> Next {
        let Some(conference) = self.call.conference() else {
            return match self.call.task() {
                Some(task) => self.step(Operation::FindConference { friendly_name: task.to_string() }, why),
                None => Next::Idle,
            };
        };
        if self.leg.guard != GuardState::Lowered {
            return self.lower(conference, customer, why);
        }
        let Some(room) = self.leg.room() else {
            return self.step(Operation::FetchConference { conference: conference.clone() }, why);
        };
        // A guard that still reads lowered while a raise is on its way would be up when the redirect comes.
        let certain_from =
            self.leg.raise_on_its_way.map_or(EpochMs::MIN, |raise| raise.sent + self.policy.verify_guard_ms);
        if let Some(reading) = self.leg.reading.as_ref().filter(|_| self.now < certain_from) {
            return self.poll(conference, Watch { since: reading.at, polls: u32::MAX, last_poll: reading.at }, why);
        }
        let safe = self.leg.reading.as_ref().is_some_and(|reading| {
            // What TaskRouter told since may have come with a hold, or with somebody's leaving.
            let fresh =
                self.now - reading.at <= self.policy.reading_max_age_ms && reading.asked_at >= self.call.told_at;
            let guard = reading.customer.as_ref().and_then(|row| row.guard);
            fresh && reading.at >= certain_from && guard == Some(Guard::Lowered) && reading.others > 0
        });
        if !safe {
            return self.step(Operation::ReadParticipants { conference: conference.clone() }, why);
        }
        // What a redirect of unknown outcome may have started is stopped ahead of being started again.
        let unsure = self.leg.maybe_started.iter().cloned();
        let stop = stop.iter().map(|stream| stream.name.clone()).chain(unsure).collect();
        self.step(Operation::Redirect { customer: customer.clone(), room: room.to_owned(), stop, start }, why)
    }

    /// On the way to a guard that reads lowered.
    pub(super) fn lower(&self, conference: &ConferenceSid, customer: &CallSid, why: Vec<Change>) -> Next {
        match self.leg.guard {
            GuardState::Lowering(watch) if self.now < watch.since + self.policy.verify_guard_ms => {
                // The reading would come too early for Twilio's lag anyway: use the time to learn the room's name.
                if self.leg.room().is_none() && watch.polls == 0 {
                    return self.step(Operation::FetchConference { conference: conference.clone() }, why);
                }
                self.poll(conference, watch, why)
            }
            GuardState::Untouched
            | GuardState::Lowering(_)
            | GuardState::Lowered
            | GuardState::Raising(_)
            | GuardState::Unsure => self.update(conference, customer, Some(Guard::Lowered), None, why),
        }
    }

    /// On the way to a guard that reads raised.
    pub(super) fn raise(&self, conference: &ConferenceSid, customer: &CallSid, why: Vec<Change>) -> Next {
        match self.leg.guard {
            GuardState::Raising(watch) if self.now < watch.since + self.policy.verify_guard_ms => {
                self.poll(conference, watch, why)
            }
            GuardState::Untouched
            | GuardState::Lowering(_)
            | GuardState::Lowered
            | GuardState::Raising(_)
            | GuardState::Unsure => self.update(conference, customer, Some(Guard::Raised), None, why),
        }
    }
}
