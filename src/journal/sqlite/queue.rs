//! What the threads are sent: work, and who waits for its answer. Work that is dropped unanswered tells them so.

use super::live::Live;
use crate::call::fact::Fact;
use crate::journal::answers::Waiting;
use crate::journal::{Claim, JournalError, NewFact, Seq};
use rusqlite::Connection;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(super) type Answer<T> = oneshot::Sender<Result<T, JournalError>>;

/// What a thread is sent.
pub(super) enum Message<Work> {
    Work(Work),
    Close,
}

/// A question: it reads and answers by itself.
pub(super) type Read = Box<dyn FnOnce(&Connection) + Send>;

/// What is written.
pub(super) enum Write {
    /// A fact, which shares its commit with others.
    Fact(WriteFact),
    /// Anything else, in a transaction of its own: it answers by itself.
    Other(Other),
}

/// Says what the file said.
pub(super) type Other = Box<dyn FnOnce(&mut Connection, &Live) -> Result<(), JournalError> + Send>;

/// A fact to be written.
pub(super) enum WriteFact {
    Ingest(NewFact, Waiting),
    Append(Claim, Arc<Fact>, Answer<Seq>),
}
