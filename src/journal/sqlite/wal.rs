//! The write-ahead log: how large it is, and how it is folded into the file, on a thread and a connection of its own. Most of it
//! is folded while commits go on, and then what came meanwhile, until there is little left; only for that they wait.
//!
//! The next commit then begins the log anew, over what it held. Its file keeps its size: to overwrite is faster than to append
//! (sqlite.org/pragma.html#pragma_journal_size_limit), and a sync takes half as long.
//!
//! Somebody who reads the file (a backup, a replication, a forgotten prompt) keeps the log from being folded for as long as
//! their reading lasts. Events must not wait for that: what cannot be folded now is tried again later, and told.

use super::error::reason;
use super::file::OpenFiles;
use super::queue::Message;
use super::turns::Turns;
use prometheus_client::metrics::gauge::Gauge;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row};
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// sqlite.org/fileformat2.html#the_write_ahead_log
const FRAME_HEADER_BYTES: u64 = 24;

/// The log is looked at no more often, however many commits there are: a look takes as long as it takes to write a fact, and the log
/// hardly grows meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Until the next attempt after a first that a reader prevented.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// An attempt costs a look at the readers, and a sync when some of the log could be folded.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A reading that lasts for as long is none of ours.
const TOLD_AFTER: Duration = Duration::from_secs(2);

/// Between two warnings.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How often at most the log is folded while commits go on. Where each time leaves a tenth, a third time leaves a thousandth.
const PASSES: u32 = 4;

/// Commits wait for no more than this to be folded and synced, unless it comes faster than it can be: a few milliseconds.
const REST_BYTES: u64 = 256 << 10;

pub(super) struct WriteAheadLog {
    connection: Connection,
    /// The file itself, by the descriptor that locks it: to close another one would end SQLite's own locks.
    file: Arc<File>,
    files: Arc<OpenFiles>,
    /// Of a page and what the log notes of it.
    frame_bytes: u64,
    limit_bytes: u64,
    bytes: Gauge,
    turns: Arc<Turns>,
    pause: Duration,
    next: Instant,
    prevented_since: Option<Instant>,
    told: Option<Instant>,
}

impl WriteAheadLog {
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn new(
        connection: Connection,
        file: Arc<File>,
        files: Arc<OpenFiles>,
        limit_bytes: u64,
        bytes: Gauge,
        turns: Arc<Turns>,
    ) -> rusqlite::Result<Self> {
        let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let frame_bytes = u64::from(page) + FRAME_HEADER_BYTES;
        let (pause, next) = (FIRST_PAUSE, Instant::now());
        Ok(Self {
            connection,
            file,
            files,
            frame_bytes,
            limit_bytes,
            bytes,
            turns,
            pause,
            next,
            prevented_since: None,
            told: None,
        })
    }

    /// Folds the log whenever it is over its limit after a commit, as `commits` tells, and once more when told to close.
    pub(super) fn run(mut self, commits: &Receiver<Message<()>>) {
        while let Ok(Message::Work(())) = commits.recv() {
            // One look is enough for all the commits so far.
            let is_closing = commits.try_iter().any(|message| matches!(message, Message::Close));
            match self.measure() {
                Ok(Some(bytes)) if bytes <= self.limit_bytes => self.is_short_again(),
                // One that cannot be measured is folded, which tells what is wrong.
                Ok(Some(_)) | Err(_) if Instant::now() >= self.next => self.fold("RESTART"),
                Ok(_) | Err(_) => {}
            }
            if is_closing {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.fold("TRUNCATE");
        if self.files.check().is_err() {
            self.spare_what_is_there_now();
        }
    }

    /// The last connection that is closed removes the log by its name, which may be another file's by now: a backup's, say. What
    /// was in ours is in the file that it belongs to, wherever that is.
    fn spare_what_is_there_now(&self) {
        if let Err(error) = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
            tracing::warn!(error = reason(&error), "a write-ahead log beside the journal's path may be removed");
        }
    }

    /// Folds as much of the log as nobody is reading. When that is all of it, it begins anew.
    fn fold(&mut self, mode: &str) {
        match self.checkpoint(mode) {
            Ok(true) => {
                self.is_short_again();
                self.bytes.set(0);
            }
            Ok(false) => self.put_off("somebody is reading the file"),
            Err(reason) => self.put_off(&reason),
        }
    }

    fn is_short_again(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("the write-ahead log could be folded into the journal again");
        }
        (self.pause, self.prevented_since) = (FIRST_PAUSE, None);
    }

    /// Whether all of it was folded. PASSIVE waits for nobody; nor does another mode without a busy timeout.
    ///
    /// # Errors
    /// In words that can be shown.
    fn checkpoint(&self, mode: &str) -> Result<bool, String> {
        for _ in 0..PASSES {
            self.pragma("PASSIVE", |_| Ok(())).map_err(|error| reason(&error))?;
            // PASSIVE leaves the sync to whoever folds the last of it, while commits wait.
            self.file.sync_data().map_err(|error| format!("its file could not be synced: {error}"))?;
            if self.left().map_err(|error| reason(&error))? <= REST_BYTES {
                break;
            }
        }
        let is_prevented = self.turns.fold(|| self.pragma(mode, |row| row.get::<_, bool>(0)));
        is_prevented.map(|is_prevented| !is_prevented).map_err(|error| reason(&error))
    }

    fn pragma<T>(&self, mode: &str, read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?.query_row([], read)
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
                bytes = self.bytes.get(),
                limit = self.limit_bytes,
                "the write-ahead log grows and cannot be folded into the journal: end whatever reads the file for long"
            );
        }
    }

    /// The bytes of the log; 0 once the file has all of it, and nothing while it is just being written.
    fn measure(&self) -> rusqlite::Result<Option<u64>> {
        let frames = self.frames()?.map(|Frames { all, folded }| if folded < all { all } else { 0 });
        let bytes = frames.map(|frames| frames * self.frame_bytes);
        if let Some(bytes) = bytes {
            self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        Ok(bytes)
    }

    /// The bytes of the log that the file does not have.
    fn left(&self) -> rusqlite::Result<u64> {
        Ok(self.frames()?.map_or(0, |Frames { all, folded }| (all - folded) * self.frame_bytes))
    }

    /// Nothing while it is just being written.
    fn frames(&self) -> rusqlite::Result<Option<Frames>> {
        // This mode folds nothing.
        self.pragma("NOOP", |row| {
            let (is_busy, all, folded): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let frames = Frames { all: all.unsigned_abs(), folded: folded.min(all).unsigned_abs() };
            Ok((!is_busy).then_some(frames))
        })
    }
}

/// Of the log: each holds a page.
struct Frames {
    all: u64,
    folded: u64,
}
