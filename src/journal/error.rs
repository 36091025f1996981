//! What can go wrong with a journal.

use crate::call::fact::Fact;
use crate::call::sid::TaskSid;

/// A failure of the journal. No message has a fact's content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The bounded queue to the store is full: try again later, nothing was taken.
    #[error("the journal cannot keep up: its queue of {limit} writes is full")]
    Overloaded {
        /// `journal.queue_limit`.
        limit: usize,
    },
    /// The claim is no longer held: another worker has the call. Stop working on it.
    #[error("the lease of call {call} was lost")]
    LeaseLost {
        /// The call.
        call: TaskSid,
    },
    /// The store refused or could not be reached; nothing was changed. Trying again later may help.
    #[error("the journal is unavailable: {reason}")]
    Unavailable {
        /// What the store said.
        reason: String,
    },
    /// A fact of this call is damaged, or a newer version wrote it. Other calls are not affected.
    #[error("fact {seq} of call {call} cannot be read: it is damaged, or a newer version wrote it")]
    Unreadable {
        /// The call.
        call: TaskSid,
        /// The number of the first such fact.
        seq: i64,
        /// The facts that can be read, for whoever shows the call.
        readable: Vec<(i64, Fact)>,
    },
    /// What is on disk can no longer be relied on (a failed fsync), or a part of the journal has died. Stop the process.
    #[error("the journal failed and the process must stop: {reason}")]
    Fatal {
        /// What the store said.
        reason: String,
    },
}

/// A journal that cannot be opened; each message says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", self.found(), self.remedy())]
pub enum OpenError {
    /// Another process has the file.
    InUse {
        /// The file.
        path: String,
    },
    /// The file cannot be opened or created, or the database cannot be used.
    Unopenable {
        /// The file, or the database without its password.
        path: String,
        /// What the system said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It cannot be used now, and may be usable later: the database is not up yet, it is full, locked, or takes no writes.
    Unreachable {
        /// The file, or the database without its password.
        path: String,
        /// What the system or the server said.
        reason: String,
        /// What to do if it does not mend itself.
        remedy: &'static str,
    },
    /// The file is damaged.
    Damaged {
        /// The file.
        path: String,
        /// What SQLite found.
        found: String,
        /// Beside it is a write-ahead log, which may be another file's.
        has_log: bool,
    },
    /// The file or database was written by a newer version.
    TooNew {
        /// The file, or the database without its password.
        path: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
}

impl OpenError {
    /// What is wrong, without what to do.
    pub fn found(&self) -> String {
        match self {
            Self::InUse { path } => format!("journal {path} is in use by another process"),
            Self::Unopenable { path, reason, .. } | Self::Unreachable { path, reason, .. } => {
                format!("journal {path} cannot be opened: {reason}")
            }
            Self::Damaged { path, found, .. } => format!("journal {path} is damaged ({found})"),
            Self::TooNew { path, found, known } => {
                format!("journal {path} has schema version {found}, this program knows up to {known}")
            }
        }
    }

    /// What to do.
    pub fn remedy(&self) -> String {
        match self {
            Self::InUse { .. } => "stop it, or give this one a journal.url of its own".to_owned(),
            Self::Unopenable { remedy, .. } | Self::Unreachable { remedy, .. } => (*remedy).to_owned(),
            // A log that is not its own has been read into it, and that looks like damage.
            Self::Damaged { path, has_log: true, .. } => format!(
                "if it was restored, remove {path}-wal and {path}-shm, which belong to the file before it; else {RESTORE}"
            ),
            Self::Damaged { has_log: false, .. } => RESTORE.to_owned(),
            Self::TooNew { .. } => "run the newer version, or set journal.url to another journal".to_owned(),
        }
    }
}

const RESTORE: &str = "restore a backup, or move the file away and run `backfill --since`";
