//! What SQLite's failures mean.

use crate::journal::JournalError;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_WRITE;

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
        Some(failure) => failure.to_string(),
        None => "a statement could not be executed".to_owned(),
    }
}
