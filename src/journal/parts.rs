//! What a journal does, split by who needs it.

use super::{Backlog, CallQuery, CallRow, Claim, Clock, Due, Ingested, JournalError, NewFact, Seq, Storage};
use crate::call::Summary;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::{CallSid, TaskSid};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What a journal method returns: boxed, so that a store can be chosen at run time.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// Says what time it is: for whatever stamps facts, or compares their stamps with now.
pub trait Timekeeping: Send + Sync + 'static {
    /// The journal's clock.
    fn clock(&self) -> &Clock;
}

/// Takes events: for whatever listens for them or fetches them.
pub trait Ingest: Timekeeping {
    /// Makes an event durable and its call due. Returns after the commit.
    fn ingest(&self, fact: NewFact) -> Promise<'_, Ingested>;
}

/// Tells a call's facts.
pub trait Facts: Send + Sync + 'static {
    /// The facts of a call with a number greater than `after`, in order. Needs no claim.
    fn facts<'a>(&'a self, call: &'a TaskSid, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>>;
}

/// Decides what is done first about a call before its events are committed, so that both share the commit.
pub trait Foresight: Send + Sync + 'static {
    /// Takes a claim that holds once these events, the call's newest facts, are durable; `None` leaves the call to whoever claims it
    /// then. The lease lasts from `claimed`. `is_alone` tells whether no other call is known on a leg. Others wait for the commit:
    /// nothing may wait here.
    fn foresee(
        &self,
        claim: &Claim,
        claimed: Instant,
        news: Vec<(Seq, Fact)>,
        is_alone: &dyn Fn(&CallSid) -> bool,
    ) -> Option<Foreseen>;

    /// The events are durable, and so is what was foreseen, and the claim holds; or what was foreseen is not, and there is no claim.
    fn settled(&self, claim: &Claim, is_durable: bool);

    /// How a call was last given back here, if it can be gone on from there. Asked by a store that others write to as well, which does
    /// not know a call's facts itself.
    fn given_back(&self, call: &TaskSid) -> Option<GivenBack>;
}

/// A call as it was given back. Whoever finds it like this in the store knows all its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenBack {
    /// That of the claim.
    pub fence: i64,
    /// The number of the last fact that was taken into account.
    pub seen: Seq,
    /// The customer's leg, where no other call was known on it when the call was claimed.
    pub alone_on: Option<CallSid>,
}

/// A call that was taken before its events were committed.
#[derive(Debug)]
pub struct Foreseen {
    /// What is appended under the claim, in the same commit.
    pub first: Option<Fact>,
}

/// Hands out the right to work on calls: for the worker, which also looks for other tasks on the same leg, and tells them what bears on
/// them.
pub trait Claims: Reading + Ingest {
    /// Takes the leases of up to `limit` calls that are due, the longest due first.
    fn claim(&self, limit: usize) -> Promise<'_, Vec<Claim>>;

    /// The facts of a claimed call with a number greater than `after`, in order; perhaps not those that arrived since the last
    /// answer to its holder. A release finds out about them.
    fn news<'a>(&'a self, claim: &'a Claim, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>> {
        self.facts(&claim.call, after)
    }

    /// Appends a fact under a claim and returns its number. Returns after the commit.
    fn append<'a>(&'a self, claim: &'a Claim, fact: Fact) -> Promise<'a, Seq>;

    /// Extends the lease to its full length from now.
    fn renew<'a>(&'a self, claim: &'a Claim) -> Promise<'a, ()>;

    /// Gives the claim back. `seen` is the number of the last fact that was taken into account: when a later one has
    /// arrived meanwhile, the call is due at once, whatever `due` says.
    fn release<'a>(&'a self, claim: &'a Claim, seen: Seq, due: Due) -> Promise<'a, ()> {
        self.release_summed_up(claim, seen, due, None)
    }

    /// The same, and keeps what a list is to show of the call. Without a summary the one before is kept.
    fn release_summed_up<'a>(
        &'a self,
        claim: &'a Claim,
        seen: Seq,
        due: Due,
        summary: Option<Summary>,
    ) -> Promise<'a, ()>;

    /// How long until the next call is due or the next lease expires; `None` when there is none.
    fn next_due(&self) -> Promise<'_, Option<Duration>>;

    /// From now on, this is asked before events are committed.
    fn consult(&self, foresight: Weak<dyn Foresight>);

    /// Notified after every commit that made a call due. A hint: polling is the truth.
    fn hint(&self) -> Arc<Notify>;

    /// How long a claim lasts unless renewed.
    fn lease(&self) -> Duration;
}

/// Remembers how far TaskRouter's events are covered: for whatever fetches those that were missed.
pub trait Coverage: Ingest {
    /// [`Fact::at`] of the newest event of TaskRouter's ever ingested, pruned or not; a store may answer with up to a second
    /// less. Events that were missed since then may have to be fetched.
    fn newest_event(&self) -> Promise<'_, Option<EpochMs>>;

    /// Remembers, also through a restart, that events since `from` may be missing, and says since when they may: a gap that is
    /// open and begins earlier is kept.
    fn open_gap(&self, from: EpochMs) -> Promise<'_, EpochMs>;

    /// Forgets the gap that begins at `from`. One that begins elsewhere is kept.
    fn close_gap(&self, from: EpochMs) -> Promise<'_, ()>;
}

/// Says how much work there is: for readiness and metrics.
pub trait Workload: Send + Sync + 'static {
    /// How much work there is.
    fn backlog(&self) -> Promise<'_, Backlog>;

    /// How much room it takes.
    fn storage(&self) -> Promise<'_, Storage>;

    /// Whether facts can be written, as far as the last commit tells. When that failed, something is written to see.
    fn ready(&self) -> Promise<'_, ()>;
}

/// Lists calls.
pub trait Reading: Facts + Timekeeping {
    /// A page of calls.
    fn calls(&self, query: CallQuery) -> Promise<'_, Vec<CallRow>>;
}

/// What operators need: they look at calls, and ingest facts of their own, such as that a call is to be redriven.
pub trait Operators: Reading + Workload + Ingest {}

impl<T: Reading + Workload + Ingest> Operators for T {}

/// The whole of a store, for the composition root: each part of the program is handed the part it needs.
pub trait Journal: Claims + Coverage + Operators {
    /// One commit of [`Journal::prune`]: deletes a few calls and returns how many.
    fn prune_chunk(&self, retention: Duration) -> Promise<'_, u64>;

    /// Deletes facts of calls that have been over for longer than `retention`; returns how many calls went. A call whose end
    /// was never told is deleted when nothing is planned for it and nothing was heard of it for as long.
    fn prune(&self, retention: Duration) -> Promise<'_, u64> {
        Box::pin(async move {
            let mut pruned = 0;
            loop {
                // In chunks, so that neither events nor other processes wait for a long deletion.
                match self.prune_chunk(retention).await? {
                    0 => return Ok(pruned),
                    chunk => pruned += chunk,
                }
            }
        })
    }

    /// Resolves with the reason once the journal has failed for good ([`JournalError::Fatal`]): the process must stop.
    fn failed(&self) -> Pin<Box<dyn Future<Output = JournalError> + Send + '_>>;

    /// Finishes what was accepted, checkpoints and lets go of the store.
    fn close(&self) -> Promise<'_, ()>;
}
