//! What the two threads are sent: work as a closure, and who waits for its answer.

use crate::journal::JournalError;
use rusqlite::Connection;
use tokio::sync::oneshot;

pub(super) type Answer<T> = oneshot::Sender<Result<T, JournalError>>;

/// What a thread is sent.
pub(super) enum Message<Work> {
    Work(Work),
    Close,
}

/// A question: it reads and answers by itself.
pub(super) type Read = Box<dyn FnOnce(&Connection) + Send>;

/// What a write did inside the transaction, which may still fail to commit.
pub(super) struct Written<T> {
    pub(super) result: Result<T, JournalError>,
    /// Whether the dispatcher has something new to claim.
    pub(super) makes_due: bool,
}

impl<T> Written<T> {
    /// Done, and no call is due for it.
    pub(super) fn quietly(value: T) -> Self {
        Self::under_claim(Ok(value))
    }

    /// Done, or nothing was changed because the claim was lost.
    pub(super) fn under_claim(result: Result<T, JournalError>) -> Self {
        Self { result, makes_due: false }
    }
}

/// Answers a performed write, once its transaction is durable or has failed.
pub(super) struct Completion {
    answer: Box<dyn FnOnce(Result<(), JournalError>)>,
    pub(super) makes_due: bool,
}

impl Completion {
    /// Answers with what was done, or with the failure of the commit.
    pub(super) fn answer(self, committed: Result<(), JournalError>) {
        (self.answer)(committed);
    }
}

/// A write that SQLite refused. It still waits for an answer, which it gets when the transaction has been rolled back.
pub(super) struct Failure {
    pub(super) error: rusqlite::Error,
    pub(super) refuse: Box<dyn FnOnce(JournalError)>,
}

/// A write in the queue, of whatever answer.
pub(super) trait Write: Send {
    /// Performs it inside the open transaction.
    ///
    /// # Errors
    /// What SQLite said.
    fn perform(self: Box<Self>, connection: &Connection) -> Result<Completion, Failure>;

    /// Answers a write that was not performed.
    fn refuse(self: Box<Self>, error: JournalError);
}

/// The only kind of [`Write`]: a closure and who waits for it.
pub(super) struct Request<F, T> {
    pub(super) work: F,
    pub(super) answer: Answer<T>,
}

impl<F, T> Write for Request<F, T>
where
    F: FnOnce(&Connection) -> rusqlite::Result<Written<T>> + Send,
    T: Send + 'static,
{
    fn perform(self: Box<Self>, connection: &Connection) -> Result<Completion, Failure> {
        let Self { work, answer } = *self;
        // Whoever no longer waits needs no answer.
        match work(connection) {
            Ok(Written { result, makes_due }) => {
                let answer = Box::new(move |committed: Result<(), _>| drop(answer.send(committed.and(result))));
                Ok(Completion { answer, makes_due })
            }
            Err(error) => Err(Failure { error, refuse: Box::new(move |error| drop(answer.send(Err(error)))) }),
        }
    }

    fn refuse(self: Box<Self>, error: JournalError) {
        drop(self.answer.send(Err(error)));
    }
}
