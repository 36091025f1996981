//! Holds, as streams whose destination has `on_hold = "stop"` go by them: a row each, from when it was noticed until its end was.
//!
//! An event of Twilio's says that a hold began or ended, and late; our own doings make such events too. So an event only asks for
//! a look, and what is read decides (`Leg::is_on_hold`). What is noticed is a fact, and nothing is
//! done about a hold before it is one.

use super::fact::{EpochMs, ParticipantChange};

/// Pauses before the looks after an event. What is read may be older than the event for a while; after the last one it counts.
const LOOKS_MS: [i64; 5] = [0, 250, 500, 1_000, 2_000];

/// The holds of a call that its streams went by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holds {
    rows: Vec<HoldSpan>,
    heard: Option<Heard>,
    /// When the conference was last read.
    read_at: Option<EpochMs>,
}

/// A hold: no stream ran whose destination has `on_hold = "stop"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldSpan {
    /// When it was noticed.
    pub from: EpochMs,
    /// When its end was.
    pub to: Option<EpochMs>,
}

/// The newest word of an event, until what is read agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    held: bool,
    /// By Twilio's clock.
    happened_at: EpochMs,
    at: EpochMs,
    looks: usize,
}

impl Holds {
    pub(super) fn rows(&self) -> &[HoldSpan] {
        &self.rows
    }

    /// Whether the customer is on hold, as far as was noticed.
    pub(super) fn is_on(&self) -> bool {
        self.rows.last().is_some_and(|span| span.to.is_none())
    }

    /// The hold that ended last.
    pub(super) fn last_ended(&self) -> Option<EpochMs> {
        self.rows.last().and_then(|span| span.to)
    }

    /// An event tells that the customer was held, or taken off hold. Of two the one that happened later counts.
    pub(super) fn heard(&mut self, change: ParticipantChange, happened_at: EpochMs, at: EpochMs) {
        if self.heard.is_none_or(|heard| heard.happened_at <= happened_at) {
            self.heard = Some(Heard { held: change == ParticipantChange::Hold, happened_at, at, looks: 0 });
        }
    }

    /// The conference was read, and by that the customer is on hold or not.
    pub(super) fn read(&mut self, on_hold: bool, asked_at: EpochMs, at: EpochMs) {
        self.read_at = Some(at);
        if let Some(heard) = self.heard.as_mut().filter(|heard| asked_at >= heard.at) {
            heard.looks += 1;
        }
        self.heard.take_if(|heard| heard.looks > 0 && (heard.held == on_hold || heard.looks >= LOOKS_MS.len()));
    }

    pub(super) fn noticed(&mut self, on: bool, at: EpochMs) {
        match self.rows.last_mut().filter(|span| span.to.is_none()) {
            Some(span) if !on => span.to = Some(at),
            None if on => self.rows.push(HoldSpan { from: at, to: None }),
            Some(_) | None => {}
        }
    }

    /// What was said of a leg says nothing of another one.
    pub(super) fn forget_leg(&mut self) {
        (self.heard, self.read_at) = (None, None);
    }

    /// When to look because of an event.
    pub(super) fn look_due(&self) -> Option<EpochMs> {
        let heard = self.heard?;
        let gap = LOOKS_MS.get(heard.looks).copied().unwrap_or_default();
        Some(self.read_at.filter(|_| heard.looks > 0).unwrap_or(heard.at) + gap)
    }

    /// When the conference was last read, whatever for.
    pub(super) fn read_at(&self) -> Option<EpochMs> {
        self.read_at
    }
}
