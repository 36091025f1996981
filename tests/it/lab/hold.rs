//! Who wants the customer held: the last word of Flex and of the agents, which our own requests do not change.

use taskrouter_streams::call::fact::EpochMs;

/// The customer's hold as people want it.
#[derive(Debug, Default)]
pub(super) struct Hold {
    wanted: bool,
    wanted_at: EpochMs,
    /// What Flex will do by itself.
    coming: Vec<(EpochMs, bool)>,
    /// When Twilio last told the worker that he is held.
    seen_at: EpochMs,
    /// When Twilio last told the worker anything of him.
    read_at: EpochMs,
    /// The customer was held by us against everybody's will: in a race that could not be won, or not.
    against: Option<bool>,
}

impl Hold {
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    pub(super) fn wanted(&mut self, at: EpochMs, hold: bool) {
        (self.wanted, self.wanted_at) = (hold, at);
    }

    pub(super) fn flex_will(&mut self, at: EpochMs, hold: bool) {
        self.coming.push((at, hold));
    }

    /// Flex has done what was due by now, unless the customer was not there.
    pub(super) fn flex_acted(&mut self, now: EpochMs, held: Option<bool>) {
        let due: Vec<_> = self.coming.extract_if(.., |(at, _)| *at <= now).collect();
        for (at, hold) in due {
            if held == Some(hold) {
                self.wanted(at, hold);
            } else if held.is_none() {
                // It missed him because he was on his way back: nobody can know what is wanted now.
                self.wanted(at, false);
            }
        }
    }

    /// Twilio tells the worker whether he is held.
    pub(super) fn told(&mut self, now: EpochMs, held: Option<bool>) {
        self.read_at = now;
        if held == Some(true) {
            self.seen_at = now;
        }
    }

    /// One of our requests took effect.
    pub(super) fn we_acted(&mut self, before: Option<bool>, after: Option<bool>) {
        if before == Some(false) && after == Some(true) && !self.wanted {
            // Somebody un-held him after the worker had last heard that he is held, and nothing tells the worker.
            self.against = Some(self.wanted_at >= self.seen_at);
            self.wanted = true;
        }
        if before == Some(true) && after.is_none() && self.wanted_at >= self.read_at {
            // A redirect took along a hold that began after the reading that it relied on.
            self.wanted = false;
        }
    }

    /// Whether we held him against everybody's will since the last call, and whether that could not be known.
    pub(super) fn take_against(&mut self) -> Option<bool> {
        self.against.take()
    }
}
