//! Changes that are given up, and what makes them due again.

use super::fact::{EpochMs, Parked};
use super::leg::{GivenUp, Leg};
use super::step::Change;

impl Leg {
    pub(super) fn change_parked(&mut self, parked: &Parked, at: EpochMs) {
        let given_up = GivenUp { reason: parked.reason.clone(), dismissed: false };
        self.parked.insert(parked.change.clone(), given_up);
        self.streaks.remove(&parked.change);
        if parked.change == Change::Rejoin {
            self.rejoining = None;
        }
        if let Some(doubt) = self.doubt.take_if(|doubt| doubt.step.why.iter().all(|why| self.parked.contains_key(why)))
        {
            // Nobody will ever know; what may be running must be stopped one day.
            self.streams_applied(&doubt.step, None, at);
            for start in doubt.step.operation.starts() {
                self.ledger.assume(&start.name);
            }
        }
    }

    /// The customer's leg is known at last: what was given up for want of it is due again.
    pub(super) fn customer_found(&mut self) {
        self.parked.retain(|change, _| !matches!(change, Change::Start(_)));
        self.streaks.retain(|change, _| !matches!(change, Change::Start(_)));
    }

    pub(super) fn transfer_announced(&mut self) {
        self.parked.remove(&Change::LowerAhead);
        self.streaks.remove(&Change::LowerAhead);
    }

    /// Somebody works on the call, so that its account is configured again.
    pub(super) fn served(&mut self) {
        self.parked.remove(&Change::Serve);
    }

    pub(super) fn redriven(&mut self) {
        self.parked.clear();
        self.streaks.clear();
        self.ledger.forgive();
        self.ledger.disown_assumed();
    }

    pub(super) fn dismissed(&mut self) {
        self.parked.values_mut().for_each(|given_up| given_up.dismissed = true);
    }
}
