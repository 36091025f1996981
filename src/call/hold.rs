//! Whether a customer whom our own doing took off hold is to be held again.
//!
//! Twilio takes a change of the guard from nobody who is held, and a redirect ends a hold: so the core un-holds, and owes.
//! It pays during a consult, ahead of one, and while nobody is there to talk to the customer; it never keeps a customer held
//! with one agent.

use super::fact::EpochMs;
use super::state::{Call, ReservationStatus};

/// How long events that belong together may be apart for a hold to be remembered through them.
const HOLD_MEMORY_MS: i64 = 5_000;

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

    /// Whether one agent has the customer for himself, and nobody is asked to join.
    fn talks_to_one_agent(&self) -> bool {
        let asked = self.reservations.values().any(|r| r.status == ReservationStatus::Pending);
        // The word that a transfer is completed may come ahead of the word who accepted it.
        let accepted = |since| self.reservations.values().any(|r| r.accepted_at.is_some_and(|at| at >= since));
        let joining = self.transfers.values().any(|t| t.completed && !t.initiated_at.is_some_and(accepted));
        self.agents_on_the_call() == 1 && !asked && !joining && !self.has_open_transfer()
    }
}
