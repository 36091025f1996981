//! The customer's leg as Twilio's answers tell it: conference, guard, hold and redirects. Its streams are the ledger's.
//!
//! ```text
//! guard:     Untouched ──lower sent──▶ Lowering ──read lowered──▶ Lowered ──redirect──▶ (rejoin raises it) Untouched
//!                ▲                        │ held after all                     │
//!                └────────────────────────┘      Raising ◀──raise sent─────────┘
//!                └──────────read raised────────────┘
//! redirect:  Begun ──answered──▶ rejoining ──seen connected──▶ (none)
//!              └──answer lost──▶ in doubt ──seen absent or younger──▶ rejoining
//!                                   └──unchanged for `doubt_ms`──▶ (none: it never happened)
//! create:    Begun ──answered──▶ (in the ledger)
//!              └──answer lost──▶ in doubt ──heard started──▶ (in the ledger)
//!                                   └──silent for `doubt_ms`──▶ stopped by name; the name is burnt
//! ```
//!
//! The answer to a request that sets the guard is an echo, and a guard written while the participant is held is ignored:
//! only a reading counts (twilio-go issue 259; flex-dialpad-addon-plugin issue 60).

use super::fact::{CallAttributes, EpochMs};
use super::ledger::{Ledger, Stream};
use super::sid::{CallSid, ConferenceSid};
use super::step::{Change, Operation, ParticipantRow, Step, Trouble};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the customer's leg.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) looked_up: CallAttributes,
    /// The only connected participant besides the worker of a call that we placed.
    pub(super) deduced: Option<CallSid>,
    pub(super) conference: Option<ConferenceSid>,
    pub(super) room: Option<String>,
    pub(super) distrusted: BTreeSet<ConferenceSid>,
    pub(super) reading: Option<Reading>,
    /// The last request found no such participant: read before the next change.
    pub(super) absent: bool,
    pub(super) guard: GuardState,
    /// A request that raises the guard has been sent and not been seen to take effect: until it has, the guard may still read
    /// lowered, and be raised a moment later.
    pub(super) raise_on_its_way: Option<Raise>,
    /// The last word on whether the customer is held, and when it was heard.
    pub(super) held: Option<(bool, EpochMs)>,
    /// Since when the customer, whom we or a rejoin took off hold, is to be held again.
    pub(super) owes_hold: Option<EpochMs>,
    /// A transfer began while a redirect was under way.
    pub(super) hold_at_risk: Option<EpochMs>,
    /// Since when Flex is expected to take the customer off hold by itself.
    pub(super) flex_unholds: Option<EpochMs>,
    /// What was known ahead of a change of the customer that was begun and has not settled. Until it settles, as never after a
    /// crash, it counts as perhaps performed.
    pub(super) before_update: Option<Handle>,
    pub(super) rejoining: Option<Watch>,
    pub(super) doubt: Option<Doubt>,
    pub(super) gone: bool,
    /// When the call was last seen in progress.
    pub(super) alive_at: Option<EpochMs>,
    pub(super) ledger: Ledger,
    /// Names that a request under way or of unknown outcome may have started.
    pub(super) maybe_started: BTreeSet<String>,
    pub(super) streaks: BTreeMap<Change, Streak>,
    pub(super) parked: BTreeMap<Change, GivenUp>,
    pub(super) last_step: u32,
}

/// Who was in the conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) asked_at: EpochMs,
    pub(super) at: EpochMs,
    pub(super) customer: Option<ParticipantRow>,
    /// Connected participants besides the customer.
    pub(super) others: usize,
}

/// The guard, as far as we have touched it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum GuardState {
    /// As Flex made it, or raised by our rejoin: raised.
    #[default]
    Untouched,
    /// Asked to be lowered, not read back yet.
    Lowering(Watch),
    /// Read lowered after we lowered it.
    Lowered,
    /// Asked to be raised, not read back yet.
    Raising(Watch),
    /// Written without a known effect.
    Unsure,
}

/// A raise of the guard that has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raise {
    pub(super) sent: EpochMs,
    /// The guard read lowered ahead of it, so that one that reads raised shows its effect. Otherwise it may show the time before
    /// an earlier change.
    pub(super) shows: bool,
}

/// What we know of our hand on the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) guard: GuardState,
    pub(super) raise_on_its_way: Option<Raise>,
    pub(super) owes_hold: Option<EpochMs>,
}

/// Something that is being waited for by reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) since: EpochMs,
    pub(super) polls: u32,
    pub(super) last_poll: EpochMs,
}

/// A change that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) reason: String,
    /// An operator has seen it and does not want it.
    pub(super) dismissed: bool,
}

/// A redirect or a create whose answer is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) step: Step,
    pub(super) watch: Watch,
    pub(super) row_before: Option<ParticipantRow>,
}

/// Tries of one change that have not gone well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streak {
    /// What kind of difficulty the last one was.
    pub kind: StreakKind,
    /// Its description.
    pub reason: String,
    /// When the first one settled.
    pub first_at: EpochMs,
    /// When the last one settled.
    pub last_at: EpochMs,
    /// How many there were.
    pub count: u32,
    /// The last step's number.
    pub step: u32,
    /// The last answer's `Retry-After`, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// Kinds of difficulty, which are waited out differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreakKind {
    /// Nothing failed: somebody else has to do something first.
    Waiting,
    /// Twilio or the way to it failed.
    Failing,
    /// Twilio refused; trying again would not help.
    Refused,
}

impl Watch {
    pub(super) fn begin(at: EpochMs) -> Self {
        Self { since: at, polls: 0, last_poll: at }
    }

    pub(super) fn polled(&mut self, at: EpochMs) {
        self.polls += 1;
        self.last_poll = at;
    }
}

impl Leg {
    pub(super) fn looked_up_customer(&self) -> Option<&CallSid> {
        self.looked_up.customer.as_ref().or(self.deduced.as_ref())
    }

    pub(super) fn looked_up_conference(&self) -> Option<&ConferenceSid> {
        self.looked_up.conference.as_ref()
    }

    pub(super) fn outbound(&self) -> bool {
        self.looked_up.outbound
    }

    pub(super) fn known_conference(&self) -> Option<&ConferenceSid> {
        self.conference.as_ref()
    }

    /// The conference's own friendly name, once Twilio has told it together with "in progress".
    pub(super) fn room(&self) -> Option<&str> {
        self.room.as_deref()
    }

    pub(super) fn is_distrusted(&self, conference: &ConferenceSid) -> bool {
        self.distrusted.contains(conference)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(super) fn streams(&self) -> &[Stream] {
        self.ledger.streams()
    }

    pub(super) fn last_step(&self) -> u32 {
        self.last_step
    }

    /// Whether the customer was held at `since` or later, as far as anybody told us. Agents hold and unhold by hand,
    /// so older words do not count.
    pub(super) fn was_held_since(&self, since: EpochMs) -> bool {
        self.held.is_some_and(|(held, at)| held && at >= since)
    }
}

/// Our hand on the customer.
impl Leg {
    pub(super) fn handle(&self) -> Handle {
        Handle { guard: self.guard, raise_on_its_way: self.raise_on_its_way, owes_hold: self.owes_hold }
    }

    pub(super) fn back_to(&mut self, handle: Handle) {
        self.guard = handle.guard;
        self.raise_on_its_way = handle.raise_on_its_way;
        self.owes_hold = handle.owes_hold;
    }
}

/// Streaks.
impl Leg {
    pub(super) fn waits(&mut self, step: &Step, at: EpochMs, reason: &str) {
        self.streak(step, at, StreakKind::Waiting, reason, None, |_| true);
    }

    pub(super) fn failed(&mut self, step: &Step, at: EpochMs, kind: StreakKind, trouble: &Trouble) {
        let code = trouble.code.map(|code| format!(", Twilio error {code}")).unwrap_or_default();
        let reason = format!("{}: {}{code}", step.operation.name(), trouble.reason);
        self.streak(step, at, kind, &reason, trouble.retry_after_ms, |_| true);
    }

    /// What the step was for is not in difficulties any more.
    pub(super) fn went_well(&mut self, step: &Step) {
        for change in &step.why {
            self.streaks.remove(change);
        }
    }

    pub(super) fn streak(
        &mut self,
        step: &Step,
        at: EpochMs,
        kind: StreakKind,
        reason: &str,
        retry_after_ms: Option<u64>,
        concerns: impl Fn(&Change) -> bool,
    ) {
        for change in step.why.iter().filter(|change| concerns(change)) {
            // A refused redirect says nothing of the Streams resource, which can still stop the stream.
            let by_redirect = !matches!(step.operation, Operation::StopStream { .. });
            // What mends our own doing is not left undone because of one refusal, nor is a doubt.
            let in_doubt = self.doubt.is_some();
            let kind = match (kind, change) {
                (StreakKind::Refused, Change::Stop(_)) if by_redirect => StreakKind::Failing,
                (StreakKind::Refused, _) if in_doubt => StreakKind::Failing,
                (StreakKind::Refused, Change::RaiseGuard | Change::HoldAgain | Change::Rejoin) => StreakKind::Failing,
                (kind, _) => kind,
            };
            let streak = self.streaks.entry(change.clone()).or_insert_with(|| Streak {
                kind,
                reason: String::new(),
                first_at: at,
                last_at: at,
                count: 0,
                step: step.id,
                retry_after_ms: None,
            });
            streak.kind = kind;
            streak.reason = reason.to_owned();
            streak.last_at = at;
            streak.count += 1;
            streak.step = step.id;
            streak.retry_after_ms = retry_after_ms;
        }
    }
}
