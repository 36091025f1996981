//! [`SqliteJournal`]: what each part of a journal is for this store.

use super::error::{unavailable, unfit, unopened, verdict};
use super::file::{JournalFile, OpenFiles, held_during, lock};
use super::live::{Live, millis};
use super::queue::{Message, Read, Write, WriteFact};
use super::settings::SqliteSettings;
use super::turns::Turns;
use super::wal::WriteAheadLog;
use super::writer::Writer;
use super::{listing, projection, reader, schema};
use crate::call::Summary;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::TaskSid;
use crate::journal::answers::Waiting;
use crate::journal::calls::text;
use crate::journal::failed_writes::FailedWrites;
use crate::journal::foresight::Consulted;
use crate::journal::retention::Opening;
use crate::journal::running::{Failure, failed, watched};
use crate::journal::{
    Backlog, CallQuery, CallRow, CallState, Claim, Claims, Clock, Coverage, Due, Facts, Foresight, Ingest, Ingested,
    Journal, JournalError, NewFact, OpenError, PAGE_LIMIT, Promise, Reading, Seq, Storage, Timekeeping, Workload,
};
use rusqlite::Connection;
use std::collections::HashSet;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

/// A journal in a SQLite file.
pub struct SqliteJournal {
    writes: Sender<Message<Write>>,
    reads: mpsc::UnboundedSender<Message<Read>>,
    live: Arc<Live>,
    permits: Arc<Semaphore>,
    queue_limit: usize,
    lease: Duration,
    clock: Arc<Clock>,
    opening: Opening,
    hint: Arc<Notify>,
    consulted: Arc<Consulted>,
    failed_writes: Arc<FailedWrites>,
    failure: Failure,
    threads: Mutex<Option<Threads>>,
    file: JournalFile,
}

struct Threads {
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
    folder: JoinHandle<()>,
    log: Sender<Message<()>>,
}

impl SqliteJournal {
    /// Opens the file, or makes it. Calls that were claimed by a process that is gone are due.
    ///
    /// # Errors
    /// When another process has the file, or it cannot be opened, or a newer version wrote it.
    pub fn open(settings: SqliteSettings) -> Result<Self, OpenError> {
        let unopened = |error: rusqlite::Error| unopened(&settings.path, &error);
        let unfit = |reason: std::io::Error| unfit(&settings.path, &reason);
        let lock = Arc::new(lock(&settings.path)?);
        let connection = schema::open_for_writing(&settings.path, settings.wal_limit_bytes)?;
        let reading = schema::open_for_reading(&settings.path)?;
        let projecting = schema::open_for_projecting(&settings.path, settings.wal_limit_bytes)?;
        let folding = schema::open_for_folding(&settings.path)?;
        let (live, clock, opening) = projection::open(&connection).map_err(unopened)?;
        let resolved = connection.path().map_or(settings.path.as_path(), Path::new);
        let files = Arc::new(OpenFiles::new(&settings.path, &lock, resolved).map_err(unfit)?);
        let (live, clock) = (Arc::new(Live::new(live)), Arc::new(clock));
        let (hint, failed_writes, turns) =
            (Arc::new(Notify::new()), Arc::new(FailedWrites::default()), Arc::new(Turns::default()));
        let (failure, consulted) = (Failure::new(None), Arc::new(Consulted::default()));
        let (writes, write_queue) = std::sync::mpsc::channel();
        let (log, commits) = std::sync::mpsc::channel();
        let (reads, read_queue) = mpsc::unbounded_channel();
        let writer = Writer {
            connection,
            projecting,
            files: files.clone(),
            live: live.clone(),
            clock: clock.clone(),
            batch_limit: settings.batch_limit,
            lease: settings.lease,
            consulted: consulted.clone(),
            commits: settings.commits.clone(),
            hint: hint.clone(),
            turns: turns.clone(),
            log: log.clone(),
            failed_writes: failed_writes.clone(),
            failing: failure.clone(),
            is_failing: false,
            projected: Instant::now(),
            has_unpacked: true,
            is_idle: false,
        };
        let wal_bytes = settings.commits.wal_bytes.clone();
        let limit = settings.wal_limit_bytes;
        let wal = WriteAheadLog::new(folding, lock.clone(), files, limit, wal_bytes, turns.clone());
        let wal = wal.map_err(unopened)?;
        let spawn = |name: &'static str, work: Box<dyn FnOnce() + Send>| {
            let work = held_during(lock.clone(), watched(name, failure.clone(), work));
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
            let remedy = "raise the limit of threads";
            let path = || settings.path.display().to_string();
            thread.map_err(|error| OpenError::Unopenable { path: path(), reason: error.to_string(), remedy })
        };
        let threads = Threads {
            writer: spawn("journal-writer", Box::new(move || writer.run(&write_queue)))?,
            reader: spawn("journal-reader", Box::new(move || reader::run(reading, &turns, read_queue)))?,
            folder: spawn("journal-folder", Box::new(move || wal.run(&commits)))?,
            log,
        };
        Ok(Self {
            writes,
            reads,
            live,
            permits: Arc::new(Semaphore::new(settings.queue_limit)),
            queue_limit: settings.queue_limit,
            lease: settings.lease,
            clock,
            opening,
            hint,
            consulted,
            failed_writes,
            failure,
            threads: Mutex::new(Some(threads)),
            file: JournalFile(settings.path),
        })
    }

    async fn write_fact<T>(
        &self,
        fact: WriteFact,
        answered: oneshot::Receiver<Result<T, JournalError>>,
    ) -> Result<T, JournalError> {
        self.send(Write::Fact(fact))?;
        answered.await.map_err(|_| self.is_gone())?
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &Live) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (answer, answered) = oneshot::channel();
        self.send(Write::Other(Box::new(move |connection, live| {
            let done = work(connection, live).map_err(|error| verdict(&error));
            let ended = done.as_ref().map(drop).map_err(Clone::clone);
            // Whoever no longer waits needs no answer.
            drop(answer.send(done));
            ended
        })))?;
        answered.await.map_err(|_| self.is_gone())?
    }

    fn send(&self, write: Write) -> Result<(), JournalError> {
        self.writes.send(Message::Work(write)).map_err(|_| self.is_gone())
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

    /// What memory says, unless the file can no longer be relied on.
    fn in_memory<T>(&self, ask: impl FnOnce(&mut super::live::LiveCalls, EpochMs) -> T) -> Result<T, JournalError> {
        if let Some(failure) = self.failure.borrow().clone() {
            return Err(failure);
        }
        let now = self.clock.now();
        Ok(ask(&mut self.live.lock(), now))
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
            let (waiting, answered) = Waiting::begin();
            self.write_fact(WriteFact::Ingest(fact, waiting), answered).await
        })
    }
}

impl Facts for SqliteJournal {
    fn facts<'a>(&'a self, call: &'a TaskSid, after: Seq) -> Promise<'a, Vec<(Seq, Fact)>> {
        Box::pin(async move {
            let (newest, id) = {
                let calls = self.live.lock();
                (calls.facts_after(call, after), calls.id_of(call))
            };
            match newest {
                Some(facts) => Ok(facts),
                None => {
                    let call = call.clone();
                    self.read(move |connection| reader::facts(connection, &call, id, after)).await
                }
            }
        })
    }
}

impl Claims for SqliteJournal {
    fn claim(&self, limit: usize) -> Promise<'_, Vec<Claim>> {
        Box::pin(async move { self.in_memory(|calls, now| calls.claim(limit, self.lease, now)) })
    }

    fn append<'a>(&'a self, claim: &'a Claim, fact: Fact) -> Promise<'a, Seq> {
        let (answer, answered) = oneshot::channel();
        Box::pin(self.write_fact(WriteFact::Append(claim.clone(), Arc::new(fact), answer), answered))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> Promise<'a, ()> {
        Box::pin(async move { self.in_memory(|calls, now| calls.renew(claim, self.lease, now))? })
    }

    fn release_summed_up<'a>(
        &'a self,
        claim: &'a Claim,
        seen: Seq,
        due: Due,
        summary: Option<Summary>,
    ) -> Promise<'a, ()> {
        Box::pin(async move {
            // That of a live call is out of date before anybody asks for it.
            let summary = summary.as_ref().filter(|_| due == Due::Over).and_then(text);
            if self.in_memory(|calls, now| calls.release(claim, seen, due, summary, now))?? {
                self.hint.notify_one();
            }
            Ok(())
        })
    }

    fn next_due(&self) -> Promise<'_, Option<Duration>> {
        Box::pin(async move { self.in_memory(|calls, now| calls.next_due(now)) })
    }

    fn consult(&self, foresight: Weak<dyn Foresight>) {
        self.consulted.consult(foresight);
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
        Box::pin(async move { self.in_memory(|calls, _| calls.newest_event) })
    }

    fn open_gap(&self, from: EpochMs) -> Promise<'_, EpochMs> {
        Box::pin(self.write(move |connection, _| {
            let opened = "INSERT INTO mark (name, at_ms) VALUES ('gap', ?1)
                          ON CONFLICT (name) DO UPDATE SET at_ms = min(at_ms, ?1) RETURNING at_ms";
            connection.query_row(opened, [from], |row| row.get(0))
        }))
    }

    fn close_gap(&self, from: EpochMs) -> Promise<'_, ()> {
        Box::pin(self.write(move |connection, _| {
            connection.execute("DELETE FROM mark WHERE name = 'gap' AND at_ms = ?1", [from]).map(drop)
        }))
    }
}

impl Workload for SqliteJournal {
    fn backlog(&self) -> Promise<'_, Backlog> {
        Box::pin(async move { self.in_memory(|calls, now| calls.backlog(now)) })
    }

    fn storage(&self) -> Promise<'_, Storage> {
        Box::pin(async move { self.file.storage() })
    }

    fn ready(&self) -> Promise<'_, ()> {
        Box::pin(async move {
            let now = self.clock.now();
            let asking = Arc::new(());
            let asked = Arc::downgrade(&asking);
            // Nobody reads it. Whoever asked may have gone while it waited for its turn: then it only delays what waits behind it.
            let trial = self.write(move |connection, _| {
                if asked.strong_count() == 0 {
                    return Ok(());
                }
                let tried = "INSERT INTO mark (name, at_ms) VALUES ('tried_out', ?1)
                             ON CONFLICT (name) DO UPDATE SET at_ms = ?1";
                connection.execute(tried, [now]).map(drop)
            });
            let tried_out = self.failed_writes.tried_out(trial).await;
            drop(asking);
            tried_out
        })
    }
}

impl Reading for SqliteJournal {
    fn calls(&self, query: CallQuery) -> Promise<'_, Vec<CallRow>> {
        Box::pin(async move {
            let (mut rows, more) = {
                let calls = self.live.lock();
                (listing::in_memory(&calls, &query, self.clock.now()), calls.over_in_file)
            };
            if query.state == CallState::Live {
                return Ok(rows);
            }
            let limit = query.limit.min(PAGE_LIMIT);
            let mut over =
                self.read(move |connection| listing::over(connection, &query, more).map_err(unavailable)).await?;
            let known: HashSet<TaskSid> = rows.iter().map(|row| row.call.clone()).collect();
            {
                let calls = self.live.lock();
                over.retain(|row| calls.id_of(&row.call).is_none() && !known.contains(&row.call));
            }
            rows.append(&mut over);
            listing::in_order(&mut rows, limit);
            Ok(rows)
        })
    }
}

impl Journal for SqliteJournal {
    fn prune_chunk(&self, retention: Duration) -> Promise<'_, u64> {
        let (clock, oldest_kept) = (self.clock.clone(), self.opening.oldest_kept(retention));
        Box::pin(self.write(move |connection, live| {
            let now = clock.now();
            projection::prune_chunk(connection, live, oldest_kept.min(now - millis(retention)), now)
        }))
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = JournalError> + Send + '_>> {
        failed(&self.failure)
    }

    fn close(&self) -> Promise<'_, ()> {
        Box::pin(async move {
            let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(Threads { writer, reader, folder, log }) = threads else { return Ok(()) };
            let writes = self.writes.clone();
            // A thread that is gone already needs no word.
            let _ = self.reads.send(Message::Close);
            let ended = tokio::task::spawn_blocking(move || {
                // In this order, so that what is written last is folded too, and no reading of ours prevents it.
                let reader = reader.join();
                let _ = writes.send(Message::Close);
                let writer = writer.join();
                let _ = log.send(Message::Close);
                reader.is_ok() && writer.is_ok() && folder.join().is_ok()
            });
            match ended.await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(JournalError::Fatal { reason: "a journal thread panicked".to_owned() }),
            }
        })
    }
}
