//! What goes into a journal and comes out of it.

use super::JournalError;
use crate::call::fact::Fact;
use crate::call::sid::{CallSid, TaskSid};
use std::sync::Arc;
use std::time::Duration;

/// The place of a fact in its call, from 1, without gaps.
pub type Seq = i64;

/// An event to be journaled.
#[derive(Debug, Clone)]
pub struct NewFact {
    /// The call that it belongs to.
    pub call: TaskSid,
    /// The event's identity: `Sid` (EV…), else (type, resource, timestamp). A second fact of the same identity is dropped.
    pub identity: String,
    /// The fact: shared, so that whoever journals it has it afterwards too.
    pub fact: Arc<Fact>,
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
    /// How many facts it had.
    pub facts: Seq,
    /// The customer's leg, where the store knew without looking further that no other call was on it.
    pub alone_on: Option<CallSid>,
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
    /// Calls that are not over with a change that was given up and neither redriven nor dismissed.
    pub parked: u64,
    /// The same of calls that are over: nothing can be done for them any more.
    pub parked_over: u64,
}

/// How much room a journal takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Storage {
    /// Bytes of all its files, or of its tables with their indices.
    pub bytes: u64,
    /// Bytes that are free where its files are; `None` where only the database's own machine knows.
    pub free_bytes: Option<u64>,
}

/// The facts in a call's rows.
pub(super) fn parse(call: &TaskSid, rows: Vec<(Seq, String)>) -> Result<Vec<(Seq, Fact)>, JournalError> {
    let (mut readable, mut unreadable) = (Vec::with_capacity(rows.len()), None);
    for (seq, body) in rows {
        // The parser's message is dropped: it may quote the fact.
        match serde_json::from_str(&body) {
            Ok(fact) => readable.push((seq, fact)),
            Err(_) => _ = unreadable.get_or_insert(seq),
        }
    }
    match unreadable {
        None => Ok(readable),
        Some(seq) => Err(JournalError::Unreadable { call: call.clone(), seq, readable }),
    }
}
