//! The thread that owns the only writing connection.

use super::batch::{Batch, Statements};
use super::error::{reason, verdict};
use super::file::OpenFiles;
use super::live::Live;
use super::queue::{Message, Other, Write, WriteFact};
use super::turns::Turns;
use super::{packing, projection, schema};
use crate::journal::failed_writes::FailedWrites;
use crate::journal::foresight::Consulted;
use crate::journal::running::Failure;
use crate::journal::{Clock, JournalError};
use crate::telemetry::metrics::Commits;
use rusqlite::{Connection, TransactionBehavior};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Once nothing has arrived for so long, the projection catches up.
const IDLE: Duration = Duration::from_millis(20);

/// Where something always arrives, a chunk of the projection is written this often.
const PROJECTED_EVERY: Duration = Duration::from_secs(1);

/// Calls whose rows may be behind: what a start has to take in from the facts, in a second or two.
const BEHIND_LIMIT: usize = 100_000;

/// Calls that are packed at once while nothing arrives: some milliseconds.
const PACKED_IDLE: u32 = 16;

/// The same after each commit, so that where something always arrives as many calls are packed as may end: half a millisecond.
const PACKED_BUSY: u32 = 1;

/// How long a stop takes for what has ended last. The next start packs the rest.
const PACKED_LAST: Duration = Duration::from_secs(1);

/// Commits what arrives, as much as has gathered at once.
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// For the projection.
    pub(super) projecting: Connection,
    pub(super) files: Arc<OpenFiles>,
    pub(super) live: Arc<Live>,
    pub(super) clock: Arc<Clock>,
    pub(super) batch_limit: usize,
    pub(super) lease: Duration,
    pub(super) consulted: Arc<Consulted>,
    pub(super) commits: Commits,
    pub(super) hint: Arc<Notify>,
    pub(super) turns: Arc<Turns>,
    /// Told after every commit, so that the write-ahead log stays small.
    pub(super) log: Sender<Message<()>>,
    pub(super) failed_writes: Arc<FailedWrites>,
    pub(super) failing: Failure,
    /// The last write failed.
    pub(super) is_failing: bool,
    pub(super) projected: Instant,
    /// There may be calls that are over and not packed.
    pub(super) has_unpacked: bool,
    /// Nothing has arrived for [`IDLE`]: it catches up without a pause.
    pub(super) is_idle: bool,
}

impl Writer {
    /// Writes until it is told to close, or until the file can no longer be relied on. Whoever waits for what is left in the queue
    /// then learns that it is gone.
    pub(super) fn run(mut self, queue: &Receiver<Message<Write>>) {
        loop {
            match self.turn(queue) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return,
                Err(fatal) => {
                    self.failed_writes.note();
                    tracing::error!(error = %fatal, "the journal failed; the process stops");
                    self.failing.send_replace(Some(fatal));
                    return;
                }
            }
        }
    }

    /// Writes what is in the queue, or catches up while there is nothing.
    ///
    /// # Errors
    /// When the file can no longer be relied on.
    fn turn(&mut self, queue: &Receiver<Message<Write>>) -> Result<ControlFlow<()>, JournalError> {
        let is_behind = self.live.lock().is_behind() > 0;
        let patience = match is_behind || self.has_unpacked {
            true if self.is_idle => Duration::ZERO,
            true => IDLE,
            // A call that is given back falls behind without a word to this thread.
            false => PROJECTED_EVERY,
        };
        let received = queue.recv_timeout(patience);
        self.is_idle = received.is_err();
        let first = match received {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                self.files.check()?;
                if is_behind {
                    self.project();
                } else {
                    self.pack(PACKED_IDLE);
                }
                return Ok(ControlFlow::Continue(()));
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(ControlFlow::Break(())),
        };
        let Gathered { facts, other, is_closing } = self.gather(queue, first);
        if !facts.is_empty() {
            self.commit(facts)?;
        }
        if let Some(other) = other {
            self.perform(other)?;
        }
        self.tell_folder();
        if is_closing {
            self.finish();
            return Ok(ControlFlow::Break(()));
        }
        self.pack(PACKED_BUSY);
        if self.live.lock().is_behind() > BEHIND_LIMIT || self.projected.elapsed() > PROJECTED_EVERY {
            self.project();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Something was written. A thread that folds and is gone has reported so itself.
    fn tell_folder(&self) {
        let _ = self.log.send(Message::Work(()));
    }

    /// What is in the queue, up to a limit, or to what must not share a commit.
    fn gather(&self, queue: &Receiver<Message<Write>>, first: Message<Write>) -> Gathered {
        let mut gathered = Gathered::default();
        // Whoever shares a core with this thread goes first: what they hand in shares the commit, which costs more than many facts.
        std::thread::yield_now();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Work(Write::Fact(fact)) => gathered.facts.push(fact),
                Message::Work(Write::Other(other)) => gathered.other = Some(other),
                Message::Close => gathered.is_closing = true,
            }
            let is_full = gathered.facts.len() >= self.batch_limit || gathered.other.is_some() || gathered.is_closing;
            next = if is_full { None } else { queue.try_recv().ok() };
        }
        gathered
    }

    /// One transaction for all the facts. Whoever waits is answered, after the commit or with its failure.
    ///
    /// # Errors
    /// When the file can no longer be relied on.
    fn commit(&mut self, facts: Vec<WriteFact>) -> Result<(), JournalError> {
        let began = Instant::now();
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most journal.batch_limit writes")]
        self.commits.writes.observe(facts.len() as f64);
        let live = self.live.clone();
        let mut batch = Batch::new(&live, began, self.clock.now(), facts.len());
        let (connection, left) = (&mut self.connection, &mut facts.into_iter());
        let committed = self.turns.write(|| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut statements = Statements::new(&transaction)?;
            for fact in left.by_ref() {
                batch.write(&mut statements, fact)?;
            }
            batch.foresee(&mut statements, &self.consulted, self.lease)?;
            drop(statements);
            transaction.commit()
        });
        self.commits.seconds.observe(began.elapsed().as_secs_f64());
        // Before anybody is told that it is durable: what is written to a file without a name is gone with the process.
        match committed.map_err(|error| verdict(&error)).and_then(|()| self.files.check()) {
            Ok(()) => {
                self.expect(true);
                if batch.committed() {
                    self.hint.notify_one();
                }
                Ok(())
            }
            Err(error) => {
                // Before anybody is answered: who learns of it may ask whether the journal is ready.
                self.note_failure();
                left.for_each(|fact| batch.skip(fact));
                batch.failed(&error);
                Self::failed(error)
            }
        }
    }

    fn perform(&mut self, other: Other) -> Result<(), JournalError> {
        self.files.check()?;
        let (connection, live) = (&mut self.connection, &self.live);
        match self.turns.write(|| other(connection, live)) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.note_failure();
                Self::failed(error)
            }
        }
    }

    fn note_failure(&mut self) {
        self.failed_writes.note();
        self.expect(false);
    }

    /// Somebody who has held the file's lock for long goes on holding it. Whoever waits is to be told, one after the other.
    fn expect(&mut self, success: bool) {
        if self.is_failing != success {
            return;
        }
        let patience = if success { schema::PATIENCE } else { schema::PATIENCE_AFTER_A_FAILURE };
        // A timer of SQLite's, which takes any.
        let is_set = self.connection.busy_timeout(patience).is_ok();
        self.is_failing = if is_set { !success } else { self.is_failing };
    }

    /// A failure is passed on when nothing can follow it.
    fn failed(error: JournalError) -> Result<(), JournalError> {
        match error {
            JournalError::Fatal { .. } => Err(error),
            JournalError::Overloaded { .. }
            | JournalError::LeaseLost { .. }
            | JournalError::Unavailable { .. }
            | JournalError::Unreadable { .. } => Ok(()),
        }
    }

    /// Writes a chunk of the projection. One that fails is tried again: the facts say the same.
    fn project(&mut self) {
        self.projected = Instant::now();
        let (connection, live, now) = (&mut self.projecting, &self.live, self.clock.now());
        let projected = self.turns.write(|| projection::project(connection, live, now));
        // What is over by now can be packed.
        self.has_unpacked = true;
        self.tell_folder();
        if let Err(error) = projected {
            tracing::debug!(error = reason(&error), "the rows of some calls could not be written; trying again");
            std::thread::sleep(IDLE);
        }
    }

    /// Packs some of what is over. What fails is tried again: until then it takes more room.
    fn pack(&mut self, limit: u32) {
        if !self.has_unpacked {
            return;
        }
        let (connection, live) = (&mut self.projecting, &self.live);
        match self.turns.write(|| packing::pack_some(connection, live, limit)) {
            Ok(has_more) => {
                self.has_unpacked = has_more;
                self.tell_folder();
            }
            Err(error) => {
                self.has_unpacked = false;
                tracing::debug!(
                    error = reason(&error),
                    "the facts of calls that are over could not be packed; trying again"
                );
            }
        }
    }

    fn finish(&mut self) {
        let (connection, live, now) = (&mut self.projecting, &self.live, self.clock.now());
        if let Err(error) = self.turns.write(|| projection::project_all(connection, live, now)) {
            tracing::warn!(
                error = reason(&error),
                "the rows of some calls were not written; the next start makes them anew"
            );
        }
        let began = Instant::now();
        self.has_unpacked = true;
        while self.has_unpacked && began.elapsed() < PACKED_LAST {
            self.pack(PACKED_IDLE);
        }
    }
}

/// What is done at once.
#[derive(Default)]
struct Gathered {
    facts: Vec<WriteFact>,
    other: Option<Other>,
    is_closing: bool,
}
