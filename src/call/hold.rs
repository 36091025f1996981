//! Whether a customer whom our own doing took off hold is to be held again.
//!
//! Twilio takes a change of the guard from nobody who is held, and a redirect ends a hold: so the core un-holds, and owes.
//! It pays during a consult, ahead of one, and while nobody is there to talk to the customer; it never keeps a customer held
//! with one agent.
//!
//! A debt is also settled by others: a customer who reads held has been held by somebody, and whoever is handed over cold is
//! taken off hold by Flex in the transferee's browser, for everybody.

use super::fact::EpochMs;
use super::leg::Leg;
use super::state::{Call, ReservationStatus, TransferKey};
use super::step::Operation;

/// How long events that belong together may be apart for a hold to be remembered through them.
const HOLD_MEMORY_MS: i64 = 5_000;

/// For how long after a cold transfer was accepted Flex may take to un-hold, a request or two that hang included.
const HANDOVER_MS: i64 = 15_000;

/// How old the news of our taking him off hold must be for a reading that shows him held to be newer.
const STALE_HOLD_MS: i64 = 1_000;

impl Call {
    /// Whether the hold that we owe is due.
    pub(super) fn wants_hold_again(&self) -> bool {
        self.leg.owes_hold.is_some() && (self.agents_on_the_call() != 1 || self.has_open_transfer())
    }

    /// A hold that has not been due for a while is nobody's wish any more. Not at once: that an agent is alone with the customer
    /// may be told ahead of the transfer that he has begun.
    pub(super) fn forget_old_hold(&mut self, now: EpochMs) {
        if self.talks_to_one_agent() {
            self.leg.owes_hold.take_if(|since| now - *since > HOLD_MEMORY_MS);
        }
    }

    /// Whoever is handed over cold is taken off hold by Flex, a while after the acceptance is heard of.
    pub(super) fn expect_flex_to_unhold(&mut self, now: EpochMs) {
        let handed_over = self.handed_over_cold().cloned();
        if handed_over.is_none() {
            self.leg.flex_unholds = None;
        } else if handed_over != self.handed_over {
            self.leg.flex_unholds = Some(now);
        }
        self.handed_over = handed_over;
        self.leg.forget_hold_of_a_handover(now);
    }

    /// The newest transfer, when it was cold and somebody has accepted it. One that begins later begins with a hold.
    fn handed_over_cold(&self) -> Option<&TransferKey> {
        let accepted = |since| self.reservations.values().any(|r| r.accepted_at.is_some_and(|at| at >= since));
        let (key, newest) = self.transfers.iter().max_by_key(|(_, t)| t.initiated_at.or(t.ended_at))?;
        let taken = newest.completed || newest.ended_at.is_none() && newest.initiated_at.is_some_and(accepted);
        (newest.cold && taken).then_some(key)
    }

    fn agents_on_the_call(&self) -> usize {
        self.reservations.values().filter(|r| r.status == ReservationStatus::Accepted).count()
    }

    /// Whether one agent has the customer for himself, and nobody is asked to join.
    fn talks_to_one_agent(&self) -> bool {
        let asked = self.reservations.values().any(|r| r.status == ReservationStatus::Pending);
        // The word that a transfer is completed may come ahead of the word who accepted it.
        let accepted = |since| self.reservations.values().any(|r| r.accepted_at.is_some_and(|at| at >= since));
        let joining = self.transfers.values().any(|t| t.completed && !t.initiated_at.is_some_and(accepted));
        self.agents_on_the_call() == 1 && !asked && !joining && !self.has_open_transfer()
    }
}

impl Leg {
    /// A transfer begins with a hold. It finds nobody while he is on his way back; and a redirect under way, if it takes effect,
    /// takes it along.
    pub(super) fn transfer_begins(&mut self, at: EpochMs) {
        let redirecting =
            self.doubt.as_ref().is_some_and(|doubt| matches!(doubt.step.operation, Operation::Redirect { .. }));
        if let Some(away) = self.rejoining {
            // As of the redirect, which is what keeps him from being held: a reading that shows him held is newer.
            self.owes_hold = Some(away.since);
        } else if redirecting {
            self.hold_at_risk = Some(at);
        }
    }

    /// He reads held: somebody else has held him, and nothing is owed any more.
    pub(super) fn reads_held(&mut self, asked_at: EpochMs) {
        let back = self.rejoining.is_some();
        self.owes_hold.take_if(|since| back || asked_at - *since >= STALE_HOLD_MS);
    }

    /// While Flex is expected to take him off hold, no hold is owed. A word soon after the acceptance that he is off hold does not
    /// say that Flex has done it: the hold that began the transfer may come later still.
    pub(super) fn forget_hold_of_a_handover(&mut self, now: EpochMs) {
        let Some(since) = self.flex_unholds else { return };
        let off = self.held.is_some_and(|(held, at)| !held && at - since >= HOLD_MEMORY_MS);
        if now - since > HANDOVER_MS {
            self.flex_unholds = None;
            return;
        }
        self.owes_hold = None;
        if off && self.rejoining.is_none() {
            self.flex_unholds = None;
        }
    }
}
