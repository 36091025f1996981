//! The thread that owns the only writing connection.

use super::SqliteSettings;
use super::queue::{Completion, Message, Write};
use crate::journal::JournalError;
use crate::journal::running::Failure;
use crate::telemetry::metrics::Commits;
use rusqlite::ffi::SQLITE_IOERR_WRITE;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Notify, mpsc};

/// Commits what arrives, as much as has gathered at once.
pub(super) struct Writer {
    connection: Connection,
    wal: PathBuf,
    wal_limit_bytes: u64,
    batch_limit: usize,
    commits: Commits,
    hint: Arc<Notify>,
    failing: Failure,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        settings: &SqliteSettings,
        hint: Arc<Notify>,
        failing: Failure,
    ) -> Self {
        let mut wal = settings.path.as_os_str().to_owned();
        wal.push("-wal");
        Self {
            connection,
            wal: wal.into(),
            wal_limit_bytes: settings.wal_limit_bytes,
            batch_limit: settings.batch_limit,
            commits: settings.commits.clone(),
            hint,
            failing,
        }
    }

    /// Writes until it is told to close, or until the file can no longer be relied on.
    pub(super) fn run(mut self, mut queue: mpsc::UnboundedReceiver<Message<Box<dyn Write>>>) {
        while let Some(first) = queue.blocking_recv() {
            let (mut batch, mut closing) = (Vec::new(), false);
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Work(write) => batch.push(write),
                    Message::Close => closing = true,
                }
                next = if batch.len() < self.batch_limit { queue.try_recv().ok() } else { None };
            }
            if !batch.is_empty()
                && let Err(fatal) = self.commit(batch)
            {
                tracing::error!(error = %fatal, "the journal failed; the process stops and recovers from the file when it starts again");
                self.failing.send_replace(Some(fatal.clone()));
                queue.close();
                while let Some(message) = queue.blocking_recv() {
                    match message {
                        Message::Work(write) => write.refuse(fatal.clone()),
                        Message::Close => {}
                    }
                }
                return;
            }
            if closing {
                self.checkpoint();
                return;
            }
            if self.wal.metadata().is_ok_and(|wal| wal.len() > self.wal_limit_bytes) {
                self.checkpoint();
            }
        }
    }

    /// One transaction for the whole batch. Every write is answered, after the commit or with its failure.
    ///
    /// # Errors
    /// When the file can no longer be relied on.
    fn commit(&mut self, batch: Vec<Box<dyn Write>>) -> Result<(), JournalError> {
        let began = Instant::now();
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most journal.batch_limit writes")]
        self.commits.writes.observe(batch.len() as f64);
        let mut completions: Vec<Completion> = Vec::with_capacity(batch.len());
        let mut left = batch.into_iter();
        let mut refused = None;
        let committed = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                for write in left.by_ref() {
                    match write.perform(&transaction) {
                        Ok(completion) => completions.push(completion),
                        Err(failure) => {
                            refused = Some(failure.refuse);
                            return Err(failure.error);
                        }
                    }
                }
                transaction.commit()
            })
            .map_err(|error| verdict(&error));
        self.commits.seconds.observe(began.elapsed().as_secs_f64());
        let makes_due = committed.is_ok() && completions.iter().any(|completion| completion.makes_due);
        for completion in completions {
            completion.answer(committed.clone());
        }
        if let Err(error) = &committed {
            if let Some(refuse) = refused {
                refuse(error.clone());
            }
            for write in left {
                write.refuse(error.clone());
            }
        }
        if makes_due {
            self.hint.notify_one();
        }
        match committed {
            Err(fatal @ JournalError::Fatal { .. }) => Err(fatal),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Folds the write-ahead log into the file. A reader in the middle of something makes it incomplete; the next one goes on.
    fn checkpoint(&self) {
        let done = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = done {
            tracing::warn!(%error, "the write-ahead log could not be folded into the journal; trying again later");
        }
    }
}

/// A full disk, a lock, or a write that is refused, as by a disk that has turned read-only, leaves the file as it was: what was not
/// committed is not there. After a failed fsync or a damaged page nobody can say what it holds.
fn verdict(error: &rusqlite::Error) -> JournalError {
    let reason = reason(error);
    let extended = error.sqlite_error().map(|failure| failure.extended_code);
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) if extended == Some(SQLITE_IOERR_WRITE) => {
            JournalError::Unavailable { reason }
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            JournalError::Fatal { reason }
        }
        Some(_) | None => JournalError::Unavailable { reason },
    }
}

/// What went wrong, by SQLite's code only: its messages can hold values.
pub(super) fn reason(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(failure) => failure.to_string(),
        None => "a statement could not be executed".to_owned(),
    }
}
