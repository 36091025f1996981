//! Tries, and giving up: one entry per goal.
//!
//! ```text
//! (none) ──went badly──▶ tried ──for too long──▶ parked ──tried now and then──▶ reached (the entry goes)
//! ```

use super::fact::{EpochMs, Parked};
use super::policy::Policy;
use super::step::{Goal, Step, Trouble};
use std::collections::BTreeMap;

/// Tries that lie further apart are not of one kind: nobody was there to try, or clocks were set. Pauses between tries are
/// `retry.cap_ms` at most, which the configuration limits to two thirds of this.
const ABSENCE_MS: i64 = 90_000;

/// Every goal that is not reached at the first try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Retries {
    entries: BTreeMap<Goal, Entry>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    retry: Option<Retry>,
    parked: Option<ParkedGoal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ParkedGoal {
    reason: String,
    at: EpochMs,
    /// An operator has seen it and does not want it.
    dismissed: bool,
}

/// Tries of one goal that have not gone well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// What kind of difficulty the last one was.
    pub kind: RetryKind,
    /// Its description.
    pub reason: String,
    /// When the first one settled.
    pub first_at: EpochMs,
    /// When the last one settled.
    pub last_at: EpochMs,
    /// Since when nothing has failed.
    pub waiting_since: Option<EpochMs>,
    /// When something failed first, unless two tries since have found everything in order.
    pub failing_since: Option<EpochMs>,
    /// The longest time between two of them.
    pub longest_gap_ms: i64,
    /// How many there were.
    pub count: u32,
    /// How many of the last ones in a row were denied.
    pub denials: u32,
    /// The last step's number.
    pub step: u32,
    /// The last answer's `Retry-After`, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// Kinds of difficulty, which are waited out differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryKind {
    /// Nothing failed: somebody else has to do something first.
    Waiting,
    /// Twilio or the way to it failed.
    Failing,
    /// Twilio does not let us, or does not know what it should: twice more, in case it was one bad moment.
    Denied,
    /// Twilio refused; trying again would not help.
    Refused,
}

/// When a goal may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Readiness {
    Now,
    At(EpochMs),
    /// It has been tried for long enough, since that time.
    Exhausted(Parked, EpochMs),
    /// An operator does not want it.
    Never,
}

impl Retries {
    /// Somebody else has to do something first.
    pub(super) fn waits(&mut self, step: &Step, at: EpochMs, reason: &str, concerns: impl Fn(&Goal) -> bool) {
        self.note(step, at, RetryKind::Waiting, reason.to_owned(), None, concerns);
    }

    /// A request failed.
    pub(super) fn failed(&mut self, step: &Step, at: EpochMs, kind: RetryKind, trouble: &Trouble) {
        self.failed_for(step, at, kind, trouble, |_| true);
    }

    /// The same, where it says nothing about some of the goals.
    pub(super) fn failed_for(
        &mut self,
        step: &Step,
        at: EpochMs,
        kind: RetryKind,
        trouble: &Trouble,
        concerns: impl Fn(&Goal) -> bool,
    ) {
        let code = trouble.code.map(|code| format!(", Twilio error {code}")).unwrap_or_default();
        let reason = format!("{}: {}{code}", step.operation.name(), trouble.reason);
        self.note(step, at, kind, reason, trouble.retry_after_ms, concerns);
    }

    fn note(
        &mut self,
        step: &Step,
        at: EpochMs,
        kind: RetryKind,
        reason: String,
        retry_after_ms: Option<u64>,
        concerns: impl Fn(&Goal) -> bool,
    ) {
        for goal in step.why.iter().filter(|goal| concerns(goal)) {
            let entry = self.entries.entry(goal.clone()).or_default();
            entry.retry.take_if(|retry| at - retry.last_at > ABSENCE_MS);
            let retry = entry.retry.get_or_insert_with(|| Retry {
                kind,
                reason: String::new(),
                first_at: at,
                last_at: at,
                waiting_since: None,
                failing_since: None,
                longest_gap_ms: 0,
                count: 0,
                denials: 0,
                step: step.id,
                retry_after_ms: None,
            });
            let kind = softened(kind, goal);
            if entry.parked.is_some() && kind == RetryKind::Waiting && retry.kind != kind {
                // Twilio answers again: as at first.
                retry.count = 0;
            }
            retry.kind = kind;
            retry.note_kind(at);
            retry.reason.clone_from(&reason);
            retry.longest_gap_ms = retry.longest_gap_ms.max(at - retry.last_at);
            retry.last_at = at;
            retry.count += 1;
            retry.denials = if retry.kind == RetryKind::Denied { retry.denials + 1 } else { 0 };
            retry.step = step.id;
            retry.retry_after_ms = retry_after_ms;
        }
    }

    /// The goal is not in difficulties any more. What was given up stays so until it is reached for good.
    pub(super) fn went_well(&mut self, goal: &Goal) {
        if let Some(entry) = self.entries.get_mut(goal) {
            entry.retry = None;
        }
    }

    pub(super) fn parked(&mut self, parked: &Parked, at: EpochMs) {
        let entry = self.entries.entry(parked.goal.clone()).or_default();
        entry.parked = Some(ParkedGoal { reason: parked.reason.clone(), at, dismissed: false });
    }

    /// The goal is reached, moot, or to be tried as if for the first time.
    pub(super) fn forget(&mut self, goal: &Goal) {
        self.entries.remove(goal);
    }

    /// The same of all goals of a kind.
    pub(super) fn forget_all(&mut self, of: impl Fn(&Goal) -> bool) {
        self.entries.retain(|goal, _| !of(goal));
    }

    pub(super) fn dismissed(&mut self) {
        self.entries.values_mut().filter_map(|entry| entry.parked.as_mut()).for_each(|parked| parked.dismissed = true);
    }

    pub(super) fn is_parked(&self, goal: &Goal) -> bool {
        self.entries.get(goal).is_some_and(|entry| entry.parked.is_some())
    }

    /// When it was given up.
    pub(super) fn parked_at(&self, goal: &Goal) -> Option<EpochMs> {
        self.entries.get(goal).and_then(|entry| entry.parked.as_ref()).map(|parked| parked.at)
    }

    /// Whether it has been tried and did not go well.
    pub(super) fn is_tried(&self, goal: &Goal) -> bool {
        self.entries.get(goal).is_some_and(|entry| entry.retry.is_some())
    }

    /// Whether nothing failed at the last try: somebody else has to do something first.
    pub(super) fn is_waiting(&self, goal: &Goal) -> bool {
        let retry = self.entries.get(goal).and_then(|entry| entry.retry.as_ref());
        retry.is_some_and(|retry| retry.kind == RetryKind::Waiting)
    }

    /// Its tries, which have not gone well; `None` once it was given up.
    pub(super) fn tries(&self, goal: &Goal) -> Option<&Retry> {
        self.entries.get(goal).filter(|entry| entry.parked.is_none())?.retry.as_ref()
    }

    /// How often it has been tried and did not go well.
    pub(super) fn count(&self, goal: &Goal) -> u32 {
        self.entries.get(goal).and_then(|entry| entry.retry.as_ref()).map_or(0, |retry| retry.count)
    }

    /// What was given up and not dismissed, and why.
    pub(super) fn all_parked(&self) -> impl Iterator<Item = (&Goal, &str)> {
        self.entries.iter().filter_map(|(goal, entry)| {
            let parked = entry.parked.as_ref().filter(|parked| !parked.dismissed)?;
            Some((goal, parked.reason.as_str()))
        })
    }

    /// What is being tried and has not gone well so far, and why.
    pub(super) fn all_tried(&self) -> impl Iterator<Item = (&Goal, &str)> {
        self.entries.iter().filter_map(|(goal, entry)| Some((goal, entry.retry.as_ref()?.reason.as_str())))
    }

    /// When the goal may be tried. After it was given up, only now and then; a customer that could not be looked for is looked for
    /// as at first once Twilio answers again.
    pub(super) fn readiness(&self, goal: &Goal, now: EpochMs, outbound: bool, policy: &Policy) -> Readiness {
        let Some(Entry { retry, parked }) = self.entries.get(goal) else { return Readiness::Now };
        let at = match (retry, parked) {
            (_, Some(parked)) if parked.dismissed => return Readiness::Never,
            (Some(retry), parked) if parked.is_none() || retry.looks_again(goal) => {
                if policy.is_exhausted(retry, retry.counts_from(goal), outbound) {
                    let parked = Parked { goal: goal.clone(), reason: retry.reason.clone() };
                    return Readiness::Exhausted(parked, retry.first_at);
                }
                // Events tell when the customer is known; in between it is asked for now and then.
                policy.next_try(retry, outbound || *goal == Goal::FindCustomer)
            }
            (retry, Some(parked)) => {
                let last = retry.as_ref().map_or(parked.at, |retry| retry.last_at.max(parked.at));
                last + policy.slow_retry_ms
            }
            (_, None) => return Readiness::Now,
        };
        if at > now { Readiness::At(at) } else { Readiness::Now }
    }
}

impl Retry {
    /// These tries and those of another goal, which it waits for, as one row: its first was sent at `sent_at`.
    pub(super) fn followed_by(&self, later: &Retry, sent_at: EpochMs) -> Retry {
        let gaps = [later.longest_gap_ms, later.first_at - self.last_at, self.first_at - sent_at];
        let longest_gap_ms = gaps.into_iter().fold(self.longest_gap_ms, i64::max);
        Retry { kind: RetryKind::Failing, first_at: sent_at, longest_gap_ms, ..later.clone() }
    }

    fn note_kind(&mut self, at: EpochMs) {
        if self.kind != RetryKind::Waiting {
            self.waiting_since = None;
            self.failing_since.get_or_insert(at);
        } else if self.waiting_since.is_some() {
            self.failing_since = None;
        } else {
            self.waiting_since = Some(at);
        }
    }

    /// From when on the limit counts. That there is no customer is known only of a time in which nothing failed; and the places
    /// where one may be named are asked in turn, so that one of them may fail among answers of the other.
    fn counts_from(&self, goal: &Goal) -> EpochMs {
        let since = if self.kind == RetryKind::Waiting { self.waiting_since } else { self.failing_since };
        since.filter(|_| *goal == Goal::FindCustomer).unwrap_or(self.first_at)
    }

    /// Whether a goal that was given up, because the way to it failed, is tried as at first.
    fn looks_again(&self, goal: &Goal) -> bool {
        *goal == Goal::FindCustomer && self.kind == RetryKind::Waiting
    }
}

/// What mends our own doing is not left undone because of a refusal, nor is a stop.
fn softened(kind: RetryKind, goal: &Goal) -> RetryKind {
    match (kind, goal) {
        (
            RetryKind::Refused | RetryKind::Denied,
            Goal::RaiseGuard | Goal::HoldAgain | Goal::Rejoin | Goal::EndConference | Goal::ResumeRecording(_),
        )
        | (RetryKind::Refused, Goal::Stop(_) | Goal::CheckCall | Goal::CheckHold | Goal::PauseRecording(_)) => {
            RetryKind::Failing
        }
        (
            kind,
            Goal::Start(_)
            | Goal::Stop(_)
            | Goal::LowerGuard
            | Goal::RaiseGuard
            | Goal::HoldAgain
            | Goal::Rejoin
            | Goal::FindCustomer
            | Goal::CheckCall
            | Goal::CheckHold
            | Goal::VerifyLeg
            | Goal::EndConference
            | Goal::PauseRecording(_)
            | Goal::ResumeRecording(_)
            | Goal::Serve,
        ) => kind,
    }
}
