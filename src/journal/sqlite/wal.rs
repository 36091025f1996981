//! The write-ahead log: how large it is, and how it is folded into the file, on a thread and a connection of its own. Most of it
//! is folded while commits go on; they wait only for the rest, which came meanwhile.
//!
//! Somebody who reads the file (a backup, a replication, a forgotten prompt) keeps the log from being folded for as long as
//! their reading lasts. Events must not wait for that: what cannot be folded now is tried again later, and told.

use super::error::reason;
use super::queue::Message;
use super::turns::Turns;
use prometheus_client::metrics::gauge::Gauge;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Until the next attempt after a first that a reader prevented.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// An attempt costs a look at the readers, and a sync when some of the log could be folded.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A reading that lasts for as long is none of ours.
const TOLD_AFTER: Duration = Duration::from_secs(2);

/// Between two warnings.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

pub(super) struct WriteAheadLog {
    connection: Connection,
    path: PathBuf,
    limit_bytes: u64,
    bytes: Gauge,
    turns: Arc<Turns>,
    pause: Duration,
    next: Instant,
    prevented_since: Option<Instant>,
    told: Option<Instant>,
}

impl WriteAheadLog {
    pub(super) fn new(
        connection: Connection,
        path: PathBuf,
        limit_bytes: u64,
        bytes: Gauge,
        turns: Arc<Turns>,
    ) -> Self {
        let (pause, next) = (FIRST_PAUSE, Instant::now());
        Self { connection, path, limit_bytes, bytes, turns, pause, next, prevented_since: None, told: None }
    }

    /// Folds the log whenever it is over its limit after a commit, as `commits` tells, and once more when told to close.
    pub(super) fn run(mut self, commits: &Receiver<Message<()>>) {
        while let Ok(Message::Work(())) = commits.recv() {
            // One look is enough for all the commits so far.
            let is_closing = commits.try_iter().any(|message| matches!(message, Message::Close));
            if self.measure() > self.limit_bytes && Instant::now() >= self.next {
                self.fold();
            }
            if is_closing {
                break;
            }
        }
        self.fold();
    }

    /// Folds as much of the log as nobody is reading, and empties it when that is all of it.
    fn fold(&mut self) {
        match self.checkpoint() {
            Ok(true) => {
                if self.told.take().is_some() {
                    tracing::info!("the write-ahead log could be folded into the journal again");
                }
                (self.pause, self.prevented_since) = (FIRST_PAUSE, None);
            }
            Ok(false) => self.put_off("somebody is reading the file"),
            Err(error) => self.put_off(&reason(&error)),
        }
        self.measure();
    }

    /// Whether all of it was folded. PASSIVE waits for nobody; nor does TRUNCATE without a busy timeout.
    fn checkpoint(&self) -> rusqlite::Result<bool> {
        let folds = |mode: &str| {
            let sql = format!("PRAGMA wal_checkpoint({mode})");
            self.connection.query_row(&sql, [], |row| row.get::<_, bool>(0)).map(|prevented| !prevented)
        };
        folds("PASSIVE")?;
        self.turns.fold(|| folds("TRUNCATE"))
    }

    fn put_off(&mut self, reason: &str) {
        let now = Instant::now();
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let since = *self.prevented_since.get_or_insert(now);
        if now - since >= TOLD_AFTER && self.told.is_none_or(|told| now - told >= TOLD_AGAIN) {
            self.told = Some(now);
            tracing::warn!(
                reason,
                bytes = self.measure(),
                limit = self.limit_bytes,
                "the write-ahead log grows and cannot be folded into the journal: end whatever reads the file for long"
            );
        }
    }

    fn measure(&self) -> u64 {
        let bytes = self.path.metadata().map_or(0, |log| log.len());
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        bytes
    }
}
