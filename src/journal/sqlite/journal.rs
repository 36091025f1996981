//! [`SqliteJournal`]: what each part of a journal is for this store.

use super::error::unavailable;
use super::file::{JournalFile, held_during, lock};
use super::queue::{Message, Read, Request, Write, Written};
use super::settings::SqliteSettings;
use super::turns::Turns;
use super::{listing, ops, reader, schema, writer};
use crate::call::Summary;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::TaskSid;
use crate::journal::running::{Failure, failed, watched};
use crate::journal::{
    Backlog, CallQuery, CallRow, Claim, Claims, Clock, Coverage, Due, Facts, Ingest, Ingested, Journal, JournalError,
    MachineTime, NewFact, OpenError, Promise, Reading, Seq, Storage, Timekeeping, Workload,
};
use rusqlite::Connection;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

/// A journal in a SQLite file.
pub struct SqliteJournal {
    writes: mpsc::UnboundedSender<Message<Box<dyn Write>>>,
    reads: mpsc::UnboundedSender<Message<Read>>,
    permits: Arc<Semaphore>,
    queue_limit: usize,
    lease: Duration,
    clock: Arc<Clock>,
    hint: Arc<Notify>,
    /// A commit has failed since something was last written to see.
    refusing: Arc<AtomicBool>,
    failure: Failure,
    threads: Mutex<Option<Threads>>,
    file: JournalFile,
}

struct Threads {
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
}

impl SqliteJournal {
    /// Opens the file, or makes it. Leases found in it belong to a process that is gone: those calls are due.
    ///
    /// # Errors
    /// When another process has the file, or it cannot be opened, or a newer version wrote it.
    pub fn open(settings: SqliteSettings) -> Result<Self, OpenError> {
        let lock = Arc::new(lock(&settings.path)?);
        let connection = schema::open_for_writing(&settings.path)?;
        let reading = schema::open_for_reading(&settings.path)?;
        let newest = schema::newest_stamp(&connection, &settings.path)?;
        let clock = Arc::new(Clock::of_machine(MachineTime::default(), newest));
        if newest.is_some_and(|newest| newest > clock.now()) {
            schema::make_waiting_due(&connection, &settings.path)?;
        }
        let hint = Arc::new(Notify::new());
        let failure = Failure::new(None);
        let (writes, write_queue) = mpsc::unbounded_channel();
        let (reads, read_queue) = mpsc::unbounded_channel();
        let unopenable = |reason: std::io::Error| OpenError::Unopenable {
            path: settings.path.display().to_string(),
            reason: reason.to_string(),
        };
        let turns = Arc::new(Turns::default());
        let refusing = Arc::new(AtomicBool::new(false));
        let writer =
            writer::Writer::new(connection, &settings, hint.clone(), refusing.clone(), turns.clone(), failure.clone());
        let writer = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(held_during(
                lock.clone(),
                watched("journal-writer", failure.clone(), move || writer.run(write_queue)),
            ))
            .map_err(unopenable)?;
        let reader = std::thread::Builder::new()
            .name("journal-reader".to_owned())
            .spawn(held_during(
                lock,
                watched("journal-reader", failure.clone(), move || reader::run(reading, &turns, read_queue)),
            ))
            .map_err(unopenable)?;
        Ok(Self {
            writes,
            reads,
            permits: Arc::new(Semaphore::new(settings.queue_limit)),
            queue_limit: settings.queue_limit,
            lease: settings.lease,
            clock,
            hint,
            refusing,
            failure,
            threads: Mutex::new(Some(Threads { writer, reader })),
            file: JournalFile(settings.path),
        })
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Written<T>> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (answer, answered) = oneshot::channel();
        self.writes.send(Message::Work(Box::new(Request { work, answer }))).map_err(|_| self.is_gone())?;
        answered.await.map_err(|_| self.is_gone())?
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (answer, answered) = oneshot::channel();
        // Whoever no longer waits needs no answer.
        let read: Read = Box::new(move |connection| drop(answer.send(work(connection))));
        self.reads.send(Message::Work(read)).map_err(|_| self.is_gone())?;
        answered.await.map_err(|_| self.is_gone())?
    }

    fn is_gone(&self) -> JournalError {
        let failure = self.failure.borrow().clone();
        failure.unwrap_or_else(|| JournalError::Unavailable { reason: "it has been closed".to_owned() })
    }
}

impl Timekeeping for SqliteJournal {
    fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Ingest for SqliteJournal {
    fn ingest(&self, fact: NewFact) -> Promise<'_, Ingested> {
        Box::pin(async move {
            let Ok(_permit) = self.permits.try_acquire() else {
                return Err(JournalError::Overloaded { limit: self.queue_limit });
            };
            let clock = self.clock.clone();
            self.write(move |connection| {
                let ingested = ops::ingest(connection, &fact, clock.now())?;
                Ok(Written { result: Ok(ingested), makes_due: ingested == Ingested::New })
            })
            .await
        })
    }
}

impl Facts for SqliteJournal {
    fn facts<'a>(&'a self, call: &'a TaskSid, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>> {
        let call = call.clone();
        Box::pin(self.read(move |connection| reader::facts(connection, &call, after)))
    }
}

impl Claims for SqliteJournal {
    fn claim(&self, limit: usize) -> Promise<'_, Vec<Claim>> {
        let (lease, clock) = (self.lease, self.clock.clone());
        Box::pin(self.write(move |connection| ops::claim(connection, limit, lease, clock.now()).map(Written::quietly)))
    }

    fn append<'a>(&'a self, claim: &'a Claim, fact: Fact) -> Promise<'a, Seq> {
        let (claim, clock) = (claim.clone(), self.clock.clone());
        Box::pin(
            self.write(move |connection| ops::append(connection, &claim, &fact, clock.now()).map(Written::under_claim)),
        )
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> Promise<'a, ()> {
        let (claim, lease, clock) = (claim.clone(), self.lease, self.clock.clone());
        Box::pin(
            self.write(move |connection| ops::renew(connection, &claim, lease, clock.now()).map(Written::under_claim)),
        )
    }

    fn release_summed_up<'a>(
        &'a self,
        claim: &'a Claim,
        seen: Seq,
        due: Due,
        summary: Option<Summary>,
    ) -> Promise<'a, ()> {
        let (claim, clock) = (claim.clone(), self.clock.clone());
        Box::pin(self.write(move |connection| {
            let result = ops::release(connection, &claim, seen, due, summary.as_ref(), clock.now())?;
            Ok(Written { makes_due: result.is_ok(), result })
        }))
    }

    fn next_due(&self) -> Promise<'_, Option<Duration>> {
        let clock = self.clock.clone();
        Box::pin(self.read(move |connection| reader::next_due(connection, clock.now()).map_err(unavailable)))
    }

    fn hint(&self) -> Arc<Notify> {
        self.hint.clone()
    }

    fn lease(&self) -> Duration {
        self.lease
    }
}

impl Coverage for SqliteJournal {
    fn newest_event(&self) -> Promise<'_, Option<EpochMs>> {
        Box::pin(self.read(|connection| reader::newest_event(connection).map_err(unavailable)))
    }

    fn open_gap(&self, from: EpochMs) -> Promise<'_, EpochMs> {
        Box::pin(self.write(move |connection| ops::open_gap(connection, from).map(Written::quietly)))
    }

    fn close_gap(&self, from: EpochMs) -> Promise<'_, ()> {
        Box::pin(self.write(move |connection| ops::close_gap(connection, from).map(Written::quietly)))
    }
}

impl Workload for SqliteJournal {
    fn backlog(&self) -> Promise<'_, Backlog> {
        let clock = self.clock.clone();
        Box::pin(self.read(move |connection| reader::backlog(connection, clock.now()).map_err(unavailable)))
    }

    fn storage(&self) -> Promise<'_, Storage> {
        Box::pin(async move { self.file.storage() })
    }

    fn ready(&self) -> Promise<'_, ()> {
        Box::pin(async move {
            // A claim of nothing is committed also on a disk that takes no writes, and proves nothing.
            if self.refusing.swap(false, Ordering::Relaxed) {
                let clock = self.clock.clone();
                return self.write(move |connection| ops::try_out(connection, clock.now()).map(Written::quietly)).await;
            }
            Ok(())
        })
    }
}

impl Reading for SqliteJournal {
    fn calls(&self, query: CallQuery) -> Promise<'_, Vec<CallRow>> {
        let clock = self.clock.clone();
        Box::pin(self.read(move |connection| listing::calls(connection, &query, clock.now()).map_err(unavailable)))
    }
}

impl Journal for SqliteJournal {
    fn prune_chunk(&self, retention: Duration) -> Promise<'_, u64> {
        let clock = self.clock.clone();
        Box::pin(
            self.write(move |connection| ops::prune_chunk(connection, retention, clock.now()).map(Written::quietly)),
        )
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = JournalError> + Send + '_>> {
        failed(&self.failure)
    }

    fn close(&self) -> Promise<'_, ()> {
        Box::pin(async move {
            let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(Threads { writer, reader }) = threads else { return Ok(()) };
            let writes = self.writes.clone();
            // A thread that is gone already needs no word.
            let _ = self.reads.send(Message::Close);
            let ended = tokio::task::spawn_blocking(move || {
                // First, so that no reading of ours keeps the log from being folded.
                let reader = reader.join();
                let _ = writes.send(Message::Close);
                reader.is_ok() && writer.join().is_ok()
            });
            match ended.await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(JournalError::Fatal { reason: "a journal thread panicked".to_owned() }),
            }
        })
    }
}
