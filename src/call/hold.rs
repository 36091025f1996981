//! The customer's hold: what was last heard of it, and whether it is to be put back.
//!
//! Twilio takes a change of the guard from nobody who is held, and a redirect ends a hold: so the core un-holds, and owes.
//! It pays during a consult, ahead of one, and while nobody is there to talk to the customer; it never keeps a customer held
//! with one agent.
//!
//! A debt is also settled by others: a customer who reads held has been held by somebody, and whoever is handed over cold is
//! taken off hold by Flex in the transferee's browser, for everybody.

use super::fact::EpochMs;
use super::policy::Policy;
use super::task::{Task, TransferKey};

/// How long events that belong together may be apart for a hold to be remembered through them.
const HOLD_MEMORY_MS: i64 = 5_000;

/// For how long after a cold transfer was accepted Flex may take to un-hold, a request or two that hang included.
const HANDOVER_MS: i64 = 15_000;

/// How old the news of our un-hold must be for a reading that shows the customer held to be newer.
const STALE_HOLD_MS: i64 = 1_000;

/// A hold that is seen so long after an un-hold of ours whose answer was lost is not undone by that any more: the defaults of
/// `twilio.request_timeout_ms` and `retry.landing_margin_ms` together. Longer, an agent's un-hold would be taken for ours.
const STRAY_MS: i64 = 5_000;

/// What is known of the hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hold {
    /// The last word on it, and when it was heard.
    last: Option<(bool, EpochMs)>,
    /// Since when the customer, whom we or a rejoin took off hold, is to be held again.
    owed_since: Option<EpochMs>,
    /// When an un-hold was sent whose answer was lost: it may land after a later hold.
    stray_sent_at: Option<EpochMs>,
    /// A transfer, which begins with a hold, began while a redirect was under way.
    at_risk: bool,
    /// Since when Flex is expected to take the customer off hold by itself.
    flex_unholds_since: Option<EpochMs>,
    /// The newest transfer, when it was cold and has been accepted.
    handed_over: Option<TransferKey>,
}

/// What a redirect does to the customer at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// There is none.
    None,
    /// One is under way, or may have taken effect.
    Perhaps,
    /// One took effect then, and the customer is on the way back.
    Since(EpochMs),
}

impl Hold {
    /// The hold that should be: whether one that is owed is due.
    pub(super) fn should_be(&self, task: &Task) -> bool {
        self.owed_since.is_some() && !task.is_over() && (task.accepted().len() != 1 || task.has_open_transfer())
    }

    /// By the last word.
    pub(super) fn is(&self) -> Option<bool> {
        self.last.map(|(held, _)| held)
    }

    /// Whether people have the customer on hold, though we may have taken them off it for a moment.
    pub(super) fn is_peoples(&self, now: EpochMs, task: &Task) -> bool {
        let owed = self.owed_since.is_some() && self.forgotten_at(task).is_none_or(|at| now < at);
        self.is() == Some(true) || owed
    }

    /// From when on a hold that is owed and not due does not count as one.
    pub(super) fn forgotten_at(&self, task: &Task) -> Option<EpochMs> {
        self.owed_since.filter(|_| !self.should_be(task)).map(|since| since + HOLD_MEMORY_MS + 1)
    }

    /// Whether the customer was held at `since` or later, as far as anybody told us. Agents hold and unhold by hand, so older
    /// words do not count.
    pub(super) fn was_since(&self, since: EpochMs) -> bool {
        self.last.is_some_and(|(held, at)| held && at >= since)
    }

    /// A reading, or an answer that tells of it. One that shows a hold settles a debt that is older, or that a rejoin made.
    pub(super) fn told(&mut self, held: bool, asked_at: EpochMs, at: EpochMs, back: bool) {
        let was_held = self.is() == Some(true);
        if was_held && !held && self.stray_sent_at.take().is_some() {
            self.owed_since = Some(at);
        }
        self.outlives_stray(held, asked_at);
        self.last = Some((held, at));
        if held {
            self.owed_since.take_if(|since| back || asked_at - *since >= STALE_HOLD_MS);
        }
    }

    /// Somebody looked when nothing could land any more.
    pub(super) fn looked(&mut self) {
        self.stray_sent_at = None;
    }

    fn outlives_stray(&mut self, held: bool, at: EpochMs) {
        self.stray_sent_at.take_if(|sent_at| held && at - *sent_at > STRAY_MS);
    }

    /// Our request set it.
    pub(super) fn set_by_us(&mut self, held: bool, at: EpochMs) {
        self.outlives_stray(held, at);
        self.last = Some((held, at));
        self.owed_since = (!held).then_some(at);
    }

    /// Our request perhaps took the customer off hold.
    pub(super) fn perhaps_unheld(&mut self, at: EpochMs) {
        self.owed_since = Some(at);
    }

    /// The answer to such a request was lost, so that it may land late. Whoever is handed over cold is not to stay held.
    pub(super) fn may_be_unheld_late(&mut self, sent_at: EpochMs) {
        self.stray_sent_at = Some(sent_at).filter(|_| self.handed_over.is_none());
    }

    /// When to look whether a customer who is to stay held was taken off hold by a request whose answer was lost.
    pub(super) fn look_at(&self, task: &Task, policy: &Policy) -> Option<EpochMs> {
        let lands_by = self.stray_sent_at? + policy.landing_ms;
        let (held, at) = self.last?;
        (held && at < lands_by && !task.is_over()).then_some(lands_by)
    }

    /// A redirect took effect, and with it ended a hold.
    pub(super) fn redirected(&mut self, at: EpochMs) {
        if std::mem::take(&mut self.at_risk) || self.is() == Some(true) {
            self.owed_since = Some(at);
        }
    }

    /// The redirect under way did not take effect.
    pub(super) fn spared(&mut self) {
        self.at_risk = false;
    }

    /// Nothing can be done for a customer who is not there.
    pub(super) fn forget(&mut self) {
        (self.owed_since, self.stray_sent_at) = (None, None);
    }

    /// A transfer begins with a hold. It finds nobody while the customer is on the way back; and a redirect under way, if it
    /// takes effect, takes it along.
    pub(super) fn transfer_begins(&mut self, absence: Absence) {
        match absence {
            // As of the redirect, which is what keeps the customer from being held: a reading that shows a hold is newer.
            Absence::Since(redirect) => self.owed_since = Some(redirect),
            Absence::Perhaps => self.at_risk = true,
            Absence::None => {}
        }
    }

    /// Time has come to `now`, before a fact of that time is taken into account: drops a hold that has not been due for a while.
    /// Not at once, because that an agent is alone with the customer may be told ahead of the transfer that they have begun.
    pub(super) fn grow_old(&mut self, now: EpochMs, task: &Task) {
        if task.talks_to_one_agent() {
            self.owed_since.take_if(|since| now - *since > HOLD_MEMORY_MS);
        }
    }

    /// Whoever is handed over cold is taken off hold by Flex, a while after the acceptance is heard of. While that is expected,
    /// no hold is owed. A word soon after the acceptance that the customer is off hold does not say that Flex has done it: the hold
    /// that began the transfer may come later still.
    pub(super) fn expect_flex_to_unhold(&mut self, now: EpochMs, task: &Task, away: bool) {
        let handed_over = task.handed_over_cold().cloned();
        if handed_over.is_none() {
            self.flex_unholds_since = None;
        } else if handed_over != self.handed_over {
            self.flex_unholds_since = Some(now);
            self.stray_sent_at = None;
        }
        self.handed_over = handed_over;
        let Some(since) = self.flex_unholds_since else { return };
        if now - since > HANDOVER_MS {
            self.flex_unholds_since = None;
            return;
        }
        self.owed_since = None;
        if self.last.is_some_and(|(held, at)| !held && at - since >= HOLD_MEMORY_MS) && !away {
            self.flex_unholds_since = None;
        }
    }
}
