//! What a reading of the conference's participants tells: who is there, how the guard stands, and whether a redirect of
//! unknown end took effect.

use super::fact::EpochMs;
use super::leg::{GuardState, Leg, Reading, StreakKind};
use super::settle::Context;
use super::sid::ConferenceSid;
use super::step::{Change, Guard, Operation, ParticipantRow, Step};

/// How often a reading may contradict a hold that we have just lifted before we believe that somebody held the customer again.
const STALE_READINGS: u32 = 3;

impl Leg {
    pub(super) fn participants_read(
        &mut self,
        step: &Step,
        conference: &ConferenceSid,
        rows: &[ParticipantRow],
        context: Context<'_>,
    ) {
        if context.customer.is_none() {
            self.deduce_customer(rows, context);
        }
        let customer = context.customer.cloned().or_else(|| self.deduced.clone());
        let is_customer = |row: &&ParticipantRow| Some(&row.call) == customer.as_ref();
        let customer = rows.iter().find(is_customer).filter(|row| row.connected).cloned();
        let others = rows.iter().filter(|row| row.connected && !is_customer(row)).count();
        self.absent = customer.is_none();
        // First: a redirect that turns out to have taken effect took a hold with it that only the earlier word knows of.
        if self.doubt.as_ref().is_some_and(|doubt| matches!(doubt.step.operation, Operation::Redirect { .. })) {
            self.doubt_read(customer.as_ref(), context.at);
        }
        if let Some(row) = &customer {
            self.held = Some((row.hold == Some(true), context.at));
            if row.hold == Some(true) {
                self.reads_held(context.asked_at);
            }
        }
        match (&mut self.rejoining, &customer) {
            (Some(_), Some(_)) => self.rejoined(),
            (Some(watch), None) => {
                watch.polled(context.at);
                if rows.is_empty() {
                    self.conference_lost(Some(conference));
                }
            }
            (None, Some(row)) => self.guard_read(row, context.at),
            (None, None) => {
                if rows.is_empty() && self.doubt.is_none() {
                    self.conference_lost(Some(conference));
                }
                self.customer_absent(step, context.at);
            }
        }
        if self.rejoining.is_none() && customer.is_some() && others == 0 {
            let reason = "the customer is alone in the conference";
            self.streak(step, context.at, StreakKind::Waiting, reason, None, |change| {
                matches!(change, Change::Start(_) | Change::Stop(_))
            });
        }
        self.reading = Some(Reading { asked_at: context.asked_at, at: context.at, customer, others });
    }

    /// The customer of a call that we placed is whoever is connected besides the worker, if that is one.
    fn deduce_customer(&mut self, rows: &[ParticipantRow], context: Context<'_>) {
        let Some(worker) = context.worker_leg.filter(|_| context.outbound) else { return };
        let mut others = rows.iter().filter(|row| row.connected && row.call != *worker);
        if let (Some(row), None) = (others.next(), others.next()) {
            self.deduced = Some(row.call.clone());
        }
    }

    /// A redirect pulls the leg out at once and puts a younger row in its place, whose guard our TwiML has raised.
    fn doubt_read(&mut self, customer: Option<&ParticipantRow>, at: EpochMs) {
        let Some(doubt) = &mut self.doubt else { return };
        let took_effect = customer.is_none_or(|row| {
            let before = doubt.row_before.as_ref();
            let younger = before.is_some_and(|before| before.date_created != row.date_created);
            younger || (self.guard == GuardState::Lowered && row.guard == Some(Guard::Raised))
        });
        if took_effect {
            let step = doubt.step.clone();
            self.redirected(&step, at);
        } else {
            doubt.watch.polled(at);
            self.hold_at_risk = None;
        }
    }

    fn guard_read(&mut self, row: &ParticipantRow, at: EpochMs) {
        let held = row.hold == Some(true);
        if row.guard == Some(Guard::Raised) {
            self.raise_on_its_way.take_if(|raise| raise.shows);
        }
        match &mut self.guard {
            GuardState::Lowering(_) if row.guard == Some(Guard::Lowered) => {
                self.guard = GuardState::Lowered;
                self.streaks.remove(&Change::LowerAhead);
            }
            GuardState::Raising(_) if row.guard == Some(Guard::Raised) => {
                self.guard = GuardState::Untouched;
                self.streaks.remove(&Change::RaiseGuard);
            }
            GuardState::Lowering(watch) | GuardState::Raising(watch) => {
                watch.polled(at);
                if held && watch.polls >= STALE_READINGS {
                    self.guard = GuardState::Unsure;
                }
            }
            // Somebody else raised it.
            GuardState::Lowered if row.guard != Some(Guard::Lowered) => self.guard = GuardState::Untouched,
            GuardState::Lowered | GuardState::Untouched | GuardState::Unsure => {}
        }
    }
}
