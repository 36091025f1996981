//! A look at the file from outside, for `doctor`: whether a worker of this user and version could use it. Nothing is written,
//! made or locked for good, because it may be a running worker's.

use super::file::beside;
use super::schema::{KNOWN_VERSION, check, open_at_rest, open_for_reading};
use crate::journal::OpenError;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// The file begins with this (sqlite.org/fileformat.html#the_database_header).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Where the header has `user_version`, four bytes, the highest first.
const USER_VERSION_AT: usize = 60;

/// Up to the end of `user_version`.
const HEADER: usize = USER_VERSION_AT + 4;

/// Whether the file is whole and can be used as it is; one that is not there yet will be made.
///
/// # Errors
/// When it, or what belongs to it, may not be written by this user, is no database, or a newer version wrote it.
pub fn examine(path: &Path) -> Result<(), OpenError> {
    let [log, index] = ["-wal", "-shm"].map(|ending| beside(path, ending));
    for file in [&path.to_owned(), &log, &index] {
        match OpenOptions::new().write(true).open(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unopenable(file, &error)),
            Ok(_) | Err(_) => {}
        }
    }
    let is_in_use = std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let found = if is_in_use { version_in_use(path)? } else { version_at_rest(path)? };
    if found > KNOWN_VERSION {
        return Err(OpenError::TooNew { path: path.display().to_string(), found, known: KNOWN_VERSION });
    }
    if found > 0 {
        let connection = if is_in_use { open_for_reading(path)? } else { open_at_rest(path)? };
        check(&connection, &path.display().to_string())?;
    }
    Ok(())
}

/// The schema's version with what the write-ahead log says of it, read as the worker's own reader does.
fn version_in_use(path: &Path) -> Result<i64, OpenError> {
    let connection = open_for_reading(path)?;
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|error| unopenable(path, &error))
}

/// The schema's version in the file's header. SQLite would make files beside it to read it.
fn version_at_rest(path: &Path) -> Result<i64, OpenError> {
    let mut header = Vec::with_capacity(HEADER);
    let read = || std::fs::File::open(path)?.take(HEADER as u64).read_to_end(&mut header);
    match { read }() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(unopenable(path, &error)),
        // As SQLite leaves a file that it has made and not yet written to.
        Ok(0) => return Ok(0),
        Ok(_) => {}
    }
    let version = header.get(USER_VERSION_AT..HEADER).and_then(|bytes| bytes.try_into().ok());
    match version.filter(|_| header.starts_with(MAGIC)) {
        Some(version) => Ok(i64::from(i32::from_be_bytes(version))),
        None => Err(unopenable(path, &"file is not a database")),
    }
}

fn unopenable(path: &Path, reason: &impl ToString) -> OpenError {
    OpenError::Unopenable { path: path.display().to_string(), reason: reason.to_string() }
}
