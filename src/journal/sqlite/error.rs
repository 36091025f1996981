//! What SQLite's failures mean.

use super::file::beside;
use crate::journal::{JournalError, OpenError};
use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE};
use std::io;
use std::path::Path;

const LOCKED: &str = "another program holds the file's lock";

/// A reading that failed has changed nothing.
pub(super) fn unavailable(error: rusqlite::Error) -> JournalError {
    JournalError::Unavailable { reason: reason(&error) }
}

/// A full disk, a lock, or a write that is refused, as by a disk that has turned read-only, leaves the file as it was: what was not
/// committed is not there. After a failed fsync or a damaged page nobody can say what it holds.
pub(super) fn verdict(error: &rusqlite::Error) -> JournalError {
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
        Some(failure) if failure.code == ErrorCode::DatabaseBusy => format!("{LOCKED}: end it"),
        Some(failure) => failure.to_string(),
        None => "a statement could not be executed".to_owned(),
    }
}

/// Why a file cannot be opened. Room on its disk, and the end of whoever locks it, are waited for.
pub(super) fn unopened(path: &Path, error: &rusqlite::Error) -> OpenError {
    let shown = path.display().to_string();
    let reason = message(error);
    let extended = error.sqlite_error().map(|failure| failure.extended_code);
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => {
            return OpenError::Unreachable { path: shown, reason: LOCKED.to_owned(), remedy: "end it" };
        }
        Some(ErrorCode::DiskFull) => return full(shown, reason),
        // The index of its log needs room before anything is written.
        Some(ErrorCode::SystemIoFailure) if extended == Some(SQLITE_IOERR_SHMSIZE) => return full(shown, reason),
        Some(ErrorCode::DatabaseCorrupt) => return damaged(path, reason),
        Some(ErrorCode::NotADatabase) => ANOTHER_FILE,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => OWN_IT,
        Some(ErrorCode::SystemIoFailure) => "check its disk",
        Some(_) | None => "run `doctor`; if this stays, restore a backup, or move the file away",
    };
    OpenError::Unopenable { path: shown, reason, remedy }
}

/// Why a file, or what belongs to it, cannot be opened: the system's word.
pub(super) fn unfit(path: &Path, error: &io::Error) -> OpenError {
    let (path, reason, kind) = (path.display().to_string(), error.to_string(), error.kind());
    if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return full(path, reason);
    }
    let remedy =
        if kind == io::ErrorKind::NotFound { "create its folder, and make the service's user own it" } else { OWN_IT };
    OpenError::Unopenable { path, reason, remedy }
}

const OWN_IT: &str =
    "make the service's user own it, the files beside it and their folder, or set journal.url to another file";

pub(super) const ANOTHER_FILE: &str = "set journal.url to another file";

fn full(path: String, reason: String) -> OpenError {
    OpenError::Unreachable { path, reason, remedy: "make room on its disk" }
}

pub(super) fn damaged(path: &Path, found: String) -> OpenError {
    let has_log = beside(path, "-wal").metadata().is_ok_and(|log| log.len() > 0);
    OpenError::Damaged { path: path.display().to_string(), found, has_log }
}

/// What SQLite says, without the statement: that can be a script.
fn message(error: &rusqlite::Error) -> String {
    if let rusqlite::Error::SqlInputError { msg, .. } = error { msg.clone() } else { error.to_string() }
}
