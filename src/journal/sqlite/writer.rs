//! The thread that owns the only writing connection.

use super::error::verdict;
use super::file::beside;
use super::queue::{Completion, Message, Write};
use super::settings::SqliteSettings;
use super::turns::Turns;
use super::wal::WriteAheadLog;
use crate::journal::JournalError;
use crate::journal::running::Failure;
use crate::telemetry::metrics::Commits;
use rusqlite::{Connection, TransactionBehavior};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::{Notify, mpsc};

/// Commits what arrives, as much as has gathered at once.
pub(super) struct Writer {
    connection: Connection,
    wal: WriteAheadLog,
    batch_limit: usize,
    commits: Commits,
    hint: Arc<Notify>,
    /// Set when a commit fails.
    refusing: Arc<AtomicBool>,
    failing: Failure,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        settings: &SqliteSettings,
        hint: Arc<Notify>,
        refusing: Arc<AtomicBool>,
        turns: Arc<Turns>,
        failing: Failure,
    ) -> Self {
        let commits = settings.commits.clone();
        let wal = beside(&settings.path, "-wal");
        Self {
            connection,
            wal: WriteAheadLog::new(wal, settings.wal_limit_bytes, commits.wal_bytes.clone(), turns),
            batch_limit: settings.batch_limit,
            commits,
            hint,
            refusing,
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
                self.wal.fold(&self.connection);
                return;
            }
            self.wal.keep_small(&self.connection);
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
        if committed.is_err() {
            self.refusing.store(true, Ordering::Relaxed);
        }
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
}
