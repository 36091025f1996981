//! The journal: durable facts, and which call is due for work.
//!
//! Facts are rows; a call is a row with its next due time, its lease and whether it is over. A fact and the due time
//! of its call are written in one transaction, and what is written is on disk before the method returns. A call is worked
//! on by the holder of its *claim* only: the claim is a lease that expires unless renewed, and carries a fencing number
//! that every later write is checked against, so that a holder that was stalled past its lease can do no harm.
//!
//! [`Journal`] is the whole of what the rest of the program knows of a store. All times in it are relative: each store
//! uses one clock, its own.

mod calls;
mod outage;
mod postgres;
mod sqlite;

pub use calls::{CallQuery, CallRow, CallState, Cursor, PAGE_LIMIT};
pub use outage::Outage;
pub use postgres::{Examination, PostgresJournal, PostgresSettings};
pub use sqlite::{SqliteJournal, SqliteSettings};

use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::TaskSid;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// What a journal method returns: boxed, so that a store can be chosen at run time.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// The place of a fact in its call, from 1, without gaps.
pub type Seq = i64;

/// An event to be journaled.
#[derive(Debug, Clone)]
pub struct NewFact {
    /// The call that it belongs to.
    pub call: TaskSid,
    /// The event's identity: `Sid` (EV…), else (type, resource, timestamp). A second fact of the same identity is dropped.
    pub identity: String,
    /// The fact.
    pub fact: Fact,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingested {
    /// Durable, and its call is due.
    New,
    /// Already journaled: nothing was changed.
    Duplicate,
}

/// The right to work on a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The call.
    pub call: TaskSid,
    /// Grows with every claim of this call.
    pub fence: i64,
}

/// When a call wants to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// After this long, or when a fact arrives.
    After(Duration),
    /// When a fact arrives.
    OnFact,
    /// Never, unless a fact arrives after all; its facts may be deleted after the retention.
    Over,
}

/// How much work there is, for readiness, metrics and tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Calls that are due now or leased.
    pub active: u64,
    /// Calls that wait for a time to come.
    pub waiting: u64,
    /// Calls that are not over.
    pub live: u64,
    /// Calls with a change that was given up and neither redriven nor dismissed, over or not.
    pub parked: u64,
}

/// A failure of the journal. None carries a fact's content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The bounded queue to the store is full: try again later, nothing was taken.
    #[error("the journal cannot keep up: its queue of {limit} writes is full")]
    Overloaded {
        /// `journal.queue_limit`.
        limit: usize,
    },
    /// The claim is no longer held: another worker has the call. Stop working on it.
    #[error("the lease of call {call} was lost")]
    LeaseLost {
        /// The call.
        call: TaskSid,
    },
    /// The store refused or could not be reached; nothing was changed. Trying again later may help.
    #[error("the journal is unavailable: {reason}")]
    Unavailable {
        /// What the store said.
        reason: String,
    },
    /// What is on disk can no longer be relied on (a failed fsync, a fact that cannot be read). Stop the process.
    #[error("the journal failed and the process must stop: {reason}")]
    Fatal {
        /// What the store said.
        reason: String,
    },
}

/// A journal that cannot be opened; each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the file.
    #[error("journal {path} is in use by another process: stop it, or give this one a journal.url of its own")]
    InUse {
        /// The file.
        path: String,
    },
    /// The file cannot be opened or created, or the database cannot be used.
    #[error("journal {path} cannot be opened: {reason}")]
    Unopenable {
        /// The file, or the database without its password.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The file or database was written by a newer version.
    #[error("journal {path} has schema version {found}, this program knows up to {known}: run the newer version")]
    TooNew {
        /// The file, or the database without its password.
        path: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
}

/// When a fact is learned: now, by this machine's clock.
pub fn now() -> EpochMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EpochMs::try_from(since.as_millis()).unwrap_or(EpochMs::MAX)
}

/// A store of facts.
pub trait Journal: Send + Sync + 'static {
    /// Makes an event durable and its call due. Returns after the commit.
    fn ingest(&self, fact: NewFact) -> Promise<'_, Ingested>;

    /// Takes the leases of up to `limit` calls that are due, the longest due first.
    fn claim(&self, limit: usize) -> Promise<'_, Vec<Claim>>;

    /// The facts of a call with a number greater than `after`, in order. Needs no claim.
    fn facts<'a>(&'a self, call: &'a TaskSid, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>>;

    /// Appends a fact under a claim and returns its number. Returns after the commit.
    fn append<'a>(&'a self, claim: &'a Claim, fact: Fact) -> Promise<'a, Seq>;

    /// Extends the lease to its full length from now.
    fn renew<'a>(&'a self, claim: &'a Claim) -> Promise<'a, ()>;

    /// Gives the claim back. `seen` is the number of the last fact that was taken into account: when a later one has
    /// arrived meanwhile, the call is due at once, whatever `due` says.
    fn release<'a>(&'a self, claim: &'a Claim, seen: Seq, due: Due) -> Promise<'a, ()>;

    /// How long until the next call is due or the next lease expires; `None` when there is none.
    fn next_due(&self) -> Promise<'_, Option<Duration>>;

    /// A page of calls, for operators.
    fn calls(&self, query: CallQuery) -> Promise<'_, Vec<CallRow>>;

    /// [`Fact::at`] of the newest event of TaskRouter's ever ingested, pruned or not; a store may answer with up to a second less. Events
    /// that were missed since then may have to be fetched.
    fn newest_event(&self) -> Promise<'_, Option<EpochMs>>;

    /// Remembers, also through a restart, that events since `from` may be missing, and says since when they may: a gap that is open
    /// and begins earlier is kept.
    fn open_gap(&self, from: EpochMs) -> Promise<'_, EpochMs>;

    /// Forgets the gap that begins at `from`. One that begins elsewhere is kept.
    fn close_gap(&self, from: EpochMs) -> Promise<'_, ()>;

    /// How much work there is.
    fn backlog(&self) -> Promise<'_, Backlog>;

    /// Deletes facts of calls that have been over for longer than `retention`, in chunks; returns how many calls went. A call
    /// whose end was never told is deleted when nothing is planned for it and nothing was heard of it for as long.
    fn prune(&self, retention: Duration) -> Promise<'_, u64>;

    /// Notified after every commit that made a call due. A hint: polling is the truth.
    fn hint(&self) -> Arc<Notify>;

    /// How long a claim lasts unless renewed.
    fn lease(&self) -> Duration;

    /// Resolves with the reason once the journal has failed for good ([`JournalError::Fatal`]): the process must stop.
    fn failed(&self) -> Pin<Box<dyn Future<Output = JournalError> + Send + '_>>;

    /// Finishes what was accepted, checkpoints and lets go of the store.
    fn close(&self) -> Promise<'_, ()>;
}
