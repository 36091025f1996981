//! Who wants the customer held: the last word of Flex and of the agents, which our own requests do not change; and what of it
//! the worker could know.
//!
//! Twilio tells the worker nothing of a hold but in answers, and an answer tells only whether they are held, not who wants it. So
//! there are races that no server can win:
//!
//! - People un-hold them after the last answer that told of a hold and before we take them off hold ourselves: from then on every
//!   answer looks the same.
//! - People un-hold them whom we have already taken off hold: nothing changes that could be read.
//! - They do while our request that holds them is on its way.
//!
//! An un-hold that the events foretell is none of them: Flex un-holds by itself whoever is handed over cold.

use taskrouter_streams::call::fact::EpochMs;

/// Twilio's answers lag behind its own writes by so much at most, as the guard does in the roughest weather of a plan. One that
/// was asked for sooner after our taking them off hold may be from before.
const LAG_MS: i64 = 1_500;

/// So long after the acceptance Flex may still un-hold whoever was handed over cold: an agent's browser may be slow, and the
/// event late.
const HANDOVER_MS: i64 = 20_000;

/// The customer's hold as people want it.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// `None` when nobody can know.
    wanted: Option<bool>,
    wanted_at: EpochMs,
    /// They were held when people last un-held them, so that it could be read until we took them off hold ourselves.
    visible: bool,
    /// Flex did it by itself.
    by_flex: bool,
    /// When the worker heard what the un-hold of Flex's follows from.
    foretold_at: Option<EpochMs>,
    /// What Flex will do by itself; `None`: something of which nobody can know the meaning.
    coming: Vec<(EpochMs, Option<bool>)>,
    /// When Twilio gave the newest answer that reached the worker and told of the customer; the newest that told that they were
    /// held; and the one that told that people had taken them off hold.
    word_at: EpochMs,
    held_word_at: EpochMs,
    free_word_at: EpochMs,
    /// When a request of ours last took them off hold, or would or might have; and when the worker heard how it ended.
    ours_at: EpochMs,
    ours_told_at: EpochMs,
    against: Option<Against>,
    /// A redirect of ours has taken them out of the conference.
    away: bool,
    /// When a cold transfer was last accepted.
    handed_over_at: Option<EpochMs>,
    unknowable: u32,
}

/// The customer was held by us against everybody's will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Against {
    /// In a race that no server can win.
    Raced,
    /// Although this could be known.
    Knowingly(&'static str),
}

/// A request of ours that took effect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed {
    pub(super) sent_at: EpochMs,
    /// It takes the customer off hold, whether they are held or not.
    pub(super) takes_off: bool,
    /// Whether they were held before and after, unless they were not there.
    pub(super) before: Option<bool>,
    pub(super) after: Option<bool>,
}

impl Hold {
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted == Some(true)
    }

    /// People hold them or un-hold them, who was held or not.
    pub(super) fn wanted(&mut self, at: EpochMs, hold: bool, was_held: bool) {
        (self.wanted, self.wanted_at, self.visible, self.by_flex) = (Some(hold), at, was_held, false);
        self.foretold_at = None;
        if hold && self.handed_over_at.is_some_and(|since| at - since <= HANDOVER_MS) {
            // In an answer it looks like the hold that Flex is about to lift.
            self.wanted = None;
            self.unknowable += 1;
        }
    }

    pub(super) fn flex_will(&mut self, at: EpochMs, hold: bool) {
        self.coming.push((at, Some(hold)));
    }

    /// Somebody accepts a cold transfer, and Flex un-holds the customer in a while.
    pub(super) fn handed_over_cold(&mut self, now: EpochMs, unhold_at: EpochMs) {
        self.handed_over_at = Some(now);
        // The hold with which the transfer began may be slower than its acceptance.
        let slow = self.coming.iter().any(|(_, hold)| *hold == Some(true));
        self.coming.push((unhold_at, Some(false)));
        if slow {
            self.coming.iter_mut().for_each(|(_, hold)| *hold = None);
        }
    }

    /// The worker has heard what foretells that Flex un-holds them.
    pub(super) fn foretold(&mut self, now: EpochMs) {
        self.foretold_at = Some(now);
    }

    /// A transfer begins, and with it a hold: what was foretold of an earlier one says nothing any more.
    pub(super) fn transfer_begins(&mut self) {
        (self.foretold_at, self.handed_over_at) = (None, None);
    }

    /// The worker has heard that a transfer begins: with a hold, whatever an answer told before.
    pub(super) fn transfer_told(&mut self) {
        self.free_word_at = 0;
    }

    /// Flex has done what was due by now. `before` and `after`: whether they were held, unless they were not there.
    pub(super) fn flex_acted(&mut self, now: EpochMs, before: Option<bool>, after: Option<bool>) {
        self.away &= after.is_none();
        let due: Vec<_> = self.coming.extract_if(.., |(at, _)| *at <= now).collect();
        for (at, hold) in due {
            let Some(hold) = hold else {
                self.wanted = None;
                continue;
            };
            if after == Some(hold) || after.is_none() && !hold {
                // An un-hold that misses them is meant all the same: they are not held when they come back.
                let foretold_at = self.foretold_at.filter(|_| !hold);
                self.wanted(at, hold, before == Some(true));
                (self.by_flex, self.foretold_at) = (true, foretold_at);
            } else if after.is_none() {
                // A hold that misses them is told by nothing: they may be held when they are back, or not.
                self.wanted = None;
                self.unknowable += u32::from(self.away);
            }
        }
    }

    /// The worker has heard how a request of ours ended that takes them off hold; `perhaps` it was not even performed.
    pub(super) fn told_of_ours(&mut self, now: EpochMs, given_at: EpochMs, perhaps: bool) {
        self.ours_told_at = now;
        if perhaps {
            self.ours_at = self.ours_at.max(given_at);
        }
    }

    /// An answer has reached the worker: when it was asked for and given, and whether they were held, unless they were not there.
    pub(super) fn told(&mut self, asked_at: EpochMs, given_at: EpochMs, held: Option<bool>) {
        self.word_at = given_at;
        let knew = self.visible && self.held_word_at > self.ours_at;
        match held {
            // A sooner one may be from before our taking them off.
            Some(true) if asked_at >= self.ours_told_at + LAG_MS => self.held_word_at = given_at,
            Some(false) if knew && self.ours_at < self.wanted_at && self.wanted_at < given_at => {
                self.free_word_at = given_at;
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn we_acted(&mut self, now: EpochMs, deed: Deed) {
        let Deed { sent_at, takes_off, before, after } = deed;
        if before == Some(true) && after.is_none() && self.wanted_at >= self.word_at {
            // A redirect took along a hold that began after the reading that it relied on.
            self.wanted = None;
        }
        if takes_off {
            (self.ours_at, self.away) = (self.ours_at.max(now), after.is_none());
        }
        let foreseen = self.coming.iter().any(|(_, hold)| *hold != Some(false));
        if before == Some(false) && after == Some(true) && self.wanted == Some(false) && !foreseen {
            self.against = Some(if self.wanted_at >= sent_at {
                Against::Raced
            } else if self.by_flex && self.foretold_at.is_some_and(|at| at < sent_at) {
                Against::Knowingly("the events foretold that Flex takes the customer off hold")
            } else if self.free_word_at > self.wanted_at {
                Against::Knowingly("an answer told that the customer had been taken off hold")
            } else {
                Against::Raced
            });
            self.wanted = None;
        }
    }

    /// Whether we held them against everybody's will since the last call.
    pub(super) fn take_against(&mut self) -> Option<Against> {
        self.against.take()
    }

    /// How many holds missed them because of us, or cannot be told from another.
    pub(super) fn unknowable(&self) -> u32 {
        self.unknowable
    }
}
