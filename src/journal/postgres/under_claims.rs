//! What the worker writes under its claims: facts, renewals and releases of many calls share a transaction, and so a round trip
//! and a commit.
//!
//! ```text
//! append, renew, release ─▶ queue ─▶ lane ─▶ one transaction for what has gathered
//!                              └───▶ lane
//! ```

use super::claimed_writes::ClaimedWrites;
use super::error::objects_to_a_value;
use super::ops::{body, hash};
use super::session::Sessions;
use crate::call::fact::Fact;
use crate::call::sid::{CallSid, TaskSid};
use crate::journal::calls::customer;
use crate::journal::{Claim, Due, JournalError, Seq};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Transactions at a time. With one, a row that somebody else has locked would keep every call waiting.
pub(super) const LANES: usize = 2;

/// What is done to a call under a claim.
pub(super) enum Change {
    Append(OwnFact),
    Renew,
    Release { seen: Seq, due: Due, summary: Option<String> },
}

/// A fact that a worker appends, in columns.
pub(super) struct OwnFact {
    pub(super) body: String,
    /// A repetition is known by it.
    pub(super) hash: i64,
    pub(super) parks: Option<bool>,
    pub(super) customer: Option<CallSid>,
}

impl OwnFact {
    /// # Errors
    /// When it could not be written as JSON.
    pub(super) fn new(fact: &Fact) -> Result<Self, JournalError> {
        let body = body(fact)?;
        let hash = hash(&body);
        Ok(Self { body, hash, parks: fact.kind.parks(), customer: customer(&fact.kind).cloned() })
    }
}

impl Change {
    /// A release holds no fact. A server that forgets it, when its machine fails within a moment, finds the call leased until the
    /// lease ends; then the call is folded again and given back as it was here.
    fn is_durable(&self) -> bool {
        match self {
            Change::Append(_) | Change::Renew => true,
            Change::Release { .. } => false,
        }
    }
}

/// A change and who waits for it.
pub(super) struct ClaimedWrite {
    pub(super) claim: Claim,
    pub(super) change: Change,
    answer: oneshot::Sender<Result<Done, JournalError>>,
}

/// Of a call that was given back and is due at no time.
pub(super) const WAITS_FOR_A_FACT: Seq = 0;

/// What became of a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// That of the fact that was appended; of a release [`WAITS_FOR_A_FACT`], unless the call is due at some time; of a renewal some number.
    /// `None` when the claim was lost.
    pub(super) number: Option<Seq>,
    /// It may have been done before, an answer having been lost.
    pub(super) asked_before: bool,
}

/// The queue, and what its lanes share.
pub(super) struct UnderClaims {
    sessions: Arc<Sessions>,
    lease: Duration,
    keeper: i64,
    batch_limit: usize,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    writes: VecDeque<ClaimedWrite>,
    is_closed: bool,
}

impl UnderClaims {
    pub(super) fn new(sessions: Arc<Sessions>, lease: Duration, keeper: i64, batch_limit: usize) -> Self {
        Self { sessions, lease, keeper, batch_limit, queue: Mutex::default(), arrived: Notify::new() }
    }

    /// Does it together with what others ask for at the same time.
    pub(super) async fn write(&self, claim: &Claim, change: Change) -> Result<Done, JournalError> {
        let closed = || JournalError::Unavailable { reason: "it has been closed".to_owned() };
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.is_closed {
                return Err(closed());
            }
            queue.writes.push_back(ClaimedWrite { claim: claim.clone(), change, answer });
        }
        self.arrived.notify_one();
        answered.await.map_err(|_| closed())?
    }

    /// What is in the queue is still done.
    pub(super) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.arrived.notify_one();
    }

    /// One lane: commits until closed.
    pub(super) async fn run(&self) {
        loop {
            let arrived = self.arrived.notified();
            match self.gather() {
                Some(batch) if batch.is_empty() => arrived.await,
                Some(batch) => self.commit(batch).await,
                None => {
                    // The other lanes as well.
                    self.arrived.notify_one();
                    return;
                }
            }
        }
    }

    /// What has arrived, each call once; `None` when there is nothing more and will be nothing.
    fn gather(&self) -> Option<Vec<ClaimedWrite>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.is_closed && queue.writes.is_empty() {
            return None;
        }
        let (mut batch, mut left, mut calls) = (Vec::new(), VecDeque::new(), HashSet::<TaskSid>::new());
        while let Some(write) = queue.writes.pop_front() {
            if batch.len() < self.batch_limit && calls.insert(write.claim.call.clone()) {
                batch.push(write);
            } else {
                left.push_back(write);
            }
        }
        queue.writes = left;
        if !queue.writes.is_empty() {
            self.arrived.notify_one();
        }
        Some(batch)
    }

    async fn commit(&self, batch: Vec<ClaimedWrite>) {
        match self.perform(&batch.iter().collect::<Vec<_>>()).await {
            Ok(done) => {
                for (write, done) in batch.into_iter().zip(done) {
                    // Whoever no longer waits needs no answer.
                    drop(write.answer.send(Ok(done)));
                }
            }
            // One fact must not take the others down with it.
            Err(JournalError::Unavailable { reason }) if batch.len() > 1 && objects_to_a_value(&reason) => {
                for write in batch {
                    let alone = self.perform(&[&write]).await;
                    let none = Done { number: None, asked_before: false };
                    drop(write.answer.send(alone.map(|done| done.first().copied().unwrap_or(none))));
                }
            }
            Err(error) => {
                for write in batch {
                    drop(write.answer.send(Err(error.clone())));
                }
            }
        }
    }

    async fn perform(&self, writes: &[&ClaimedWrite]) -> Result<Vec<Done>, JournalError> {
        let (lease, keeper) = (self.lease, self.keeper);
        let is_durable = writes.iter().any(|write| write.change.is_durable());
        let (numbers, asked_before) = if is_durable {
            self.sessions.insist(&ClaimedWrites::<true> { writes, lease, keeper }).await?
        } else {
            self.sessions.insist(&ClaimedWrites::<false> { writes, lease, keeper }).await?
        };
        Ok((0..writes.len()).map(|place| Done { number: numbers.get(&place).copied(), asked_before }).collect())
    }
}
