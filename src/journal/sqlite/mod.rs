//! The embedded journal: one SQLite file, used by one process.
//!
//! One thread owns the only writing connection and commits many writes at once; another reads, so that a reader never
//! waits for an fsync. A write is answered after the commit that holds it. A file lock beside the file keeps a second process out.

mod examine;
mod listing;
mod ops;
mod queue;
mod reader;
mod schema;
mod writer;

use super::running::{self, Failure, Running};
use super::{
    Backlog, CallQuery, CallRow, Claim, Claims, Coverage, Due, Facts, Ingest, Ingested, Journal, JournalError, NewFact,
    OpenError, Promise, Reading, Seq, Workload,
};
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::TaskSid;
use crate::telemetry::metrics::Commits;
use queue::{Message, Read, Request, Write, Written};
use reader::unavailable;
use rusqlite::Connection;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

/// How the file is used.
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// The file; made when missing.
    pub path: PathBuf,
    /// Events that may wait for the disk; more are answered with [`JournalError::Overloaded`]. The worker's own writes are
    /// not counted: they are bounded by the calls that it works on, and work in flight must be able to finish.
    pub queue_limit: usize,
    /// Writes in one commit.
    pub batch_limit: usize,
    /// How long a claim lasts unless renewed.
    pub lease: Duration,
    /// Bytes of the write-ahead log before it is folded into the file.
    pub wal_limit_bytes: u64,
    /// Counts commits.
    pub commits: Commits,
}

/// A journal in a SQLite file.
pub struct SqliteJournal {
    writes: mpsc::UnboundedSender<Message<Box<dyn Write>>>,
    reads: mpsc::UnboundedSender<Message<Read>>,
    permits: Arc<Semaphore>,
    queue_limit: usize,
    lease: Duration,
    hint: Arc<Notify>,
    failure: Failure,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
    lock: File,
}

impl SqliteJournal {
    /// Opens the file, or makes it. Leases found in it belong to a process that is gone: those calls are due.
    ///
    /// # Errors
    /// When another process has the file, or it cannot be opened, or a newer version wrote it.
    pub fn open(settings: SqliteSettings) -> Result<Self, OpenError> {
        let lock = lock(&settings.path)?;
        let connection = schema::open_for_writing(&settings.path)?;
        let reading = schema::open_for_reading(&settings.path)?;
        let hint = Arc::new(Notify::new());
        let failure = Failure::new(None);
        let (writes, write_queue) = mpsc::unbounded_channel();
        let (reads, read_queue) = mpsc::unbounded_channel();
        let unopenable = |reason: std::io::Error| OpenError::Unopenable {
            path: settings.path.display().to_string(),
            reason: reason.to_string(),
        };
        let writer = writer::Writer::new(connection, &settings, hint.clone(), failure.clone());
        let thread = |name: &'static str, work: Box<dyn FnOnce() + Send>| {
            let running = Running::new(name, failure.clone());
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                work();
                running.ended();
            })
        };
        let writer = thread("journal-writer", Box::new(move || writer.run(write_queue))).map_err(unopenable)?;
        let reader =
            thread("journal-reader", Box::new(move || reader::run(&reading, read_queue))).map_err(unopenable)?;
        Ok(Self {
            writes,
            reads,
            permits: Arc::new(Semaphore::new(settings.queue_limit)),
            queue_limit: settings.queue_limit,
            lease: settings.lease,
            hint,
            failure,
            threads: Mutex::new(Some(Threads { writer, reader, lock })),
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

/// A file that belongs to the journal's: its name with this at the end.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A lock on a file beside the journal: SQLite's own locks would let a second process in, whose leases we would not see.
fn lock(path: &Path) -> Result<File, OpenError> {
    let shown = path.display().to_string();
    let unopenable = |reason: std::io::Error| OpenError::Unopenable { path: shown.clone(), reason: reason.to_string() };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, ".lock")).map_err(unopenable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: shown }),
        Err(TryLockError::Error(reason)) => Err(unopenable(reason)),
    }
}

impl Ingest for SqliteJournal {
    fn ingest(&self, fact: NewFact) -> Promise<'_, Ingested> {
        Box::pin(async move {
            let Ok(_permit) = self.permits.try_acquire() else {
                return Err(JournalError::Overloaded { limit: self.queue_limit });
            };
            self.write(move |connection| {
                let ingested = ops::ingest(connection, &fact)?;
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
        let lease = self.lease;
        Box::pin(self.write(move |connection| ops::claim(connection, limit, lease).map(Written::quietly)))
    }

    fn append<'a>(&'a self, claim: &'a Claim, fact: Fact) -> Promise<'a, Seq> {
        let claim = claim.clone();
        Box::pin(self.write(move |connection| ops::append(connection, &claim, &fact).map(Written::under_claim)))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> Promise<'a, ()> {
        let (claim, lease) = (claim.clone(), self.lease);
        Box::pin(self.write(move |connection| ops::renew(connection, &claim, lease).map(Written::under_claim)))
    }

    fn release<'a>(&'a self, claim: &'a Claim, seen: Seq, due: Due) -> Promise<'a, ()> {
        let claim = claim.clone();
        Box::pin(self.write(move |connection| {
            let result = ops::release(connection, &claim, seen, due)?;
            Ok(Written { makes_due: result.is_ok(), result })
        }))
    }

    fn next_due(&self) -> Promise<'_, Option<Duration>> {
        Box::pin(self.read(|connection| reader::next_due(connection).map_err(unavailable)))
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
        Box::pin(self.read(|connection| reader::backlog(connection).map_err(unavailable)))
    }
}

impl Reading for SqliteJournal {
    fn calls(&self, query: CallQuery) -> Promise<'_, Vec<CallRow>> {
        Box::pin(self.read(move |connection| listing::calls(connection, &query).map_err(unavailable)))
    }
}

impl Journal for SqliteJournal {
    fn prune_chunk(&self, retention: Duration) -> Promise<'_, u64> {
        Box::pin(self.write(move |connection| ops::prune_chunk(connection, retention).map(Written::quietly)))
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = JournalError> + Send + '_>> {
        running::failed(&self.failure)
    }

    fn close(&self) -> Promise<'_, ()> {
        Box::pin(async move {
            let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(Threads { writer, reader, lock }) = threads else { return Ok(()) };
            // A thread that is gone already needs no word.
            let _ = self.reads.send(Message::Close);
            let _ = self.writes.send(Message::Close);
            let ended = tokio::task::spawn_blocking(move || {
                let ended = (reader.join(), writer.join());
                drop(lock);
                ended.0.is_ok() && ended.1.is_ok()
            });
            match ended.await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(JournalError::Fatal { reason: "a journal thread panicked".to_owned() }),
            }
        })
    }
}
