//! Changes to streams by new TwiML for the customer's leg.
//!
//! Lower the guard, read that it is lowered and that somebody stays in the conference, redirect, see the customer back.

use super::fact::EpochMs;
use super::leg::{GuardState, Watch};
use super::next::{Decision, Next, soonest};
use super::plan::Plan;
use super::sid::{CallSid, ConferenceSid};
use super::step::{Change, Guard, Operation};

impl Decision<'_> {
    pub(super) fn change_by_redirect(&self, plan: &Plan) -> Next {
        let orphans = self.call.customer().and_then(|customer| self.stop_orphans(plan, customer));
        let changes = plan.changes();
        let redirect = (!changes.is_empty()).then(|| self.redirect_for(plan, &changes));
        soonest(orphans.into_iter().chain(redirect)).unwrap_or(Next::Idle)
    }

    fn redirect_for(&self, plan: &Plan, changes: &[Change]) -> Next {
        self.attempt(changes, |why| {
            let Some(customer) = self.call.customer() else {
                return self.find_customer(why);
            };
            match plan.stop.first() {
                Some(stream) if !self.may_redirect_to_stop(&why) => {
                    self.stop_stream(customer, stream, vec![Change::Stop(stream.reservation.clone())])
                }
                _ => self.toward_redirect(plan, customer, why),
            }
        })
    }

    /// A stop is worth a redirect only while an agent stays with the customer and nothing has gone wrong on the way: otherwise
    /// the Streams resource stops the stream without touching the call, and starts that are due go on without it.
    fn may_redirect_to_stop(&self, why: &[Change]) -> bool {
        let somebody_stays = !self.call.accepted().is_empty();
        let mut stops = why.iter().filter(|change| matches!(change, Change::Stop(_)));
        let smooth = stops.all(|change| !self.leg.streaks.contains_key(change));
        somebody_stays && smooth
    }

    fn toward_redirect(&self, plan: &Plan, customer: &CallSid, why: Vec<Change>) -> Next {
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
        let stop = plan.stop.iter().map(|stream| stream.name.clone()).chain(unsure).collect();
        let room = room.to_owned();
        self.step(Operation::Redirect { customer: customer.clone(), room, stop, start: plan.start.clone() }, why)
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
