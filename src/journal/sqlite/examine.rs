//! A look at the file from outside, for `doctor`: whether a worker of this user and version could use it. Nothing is written,
//! made or locked for good, because it may be a running worker's.

use super::error::{ANOTHER_FILE, unfit};
use super::file::beside;
use super::schema::{check, open_at_rest, open_for_reading, version};
use crate::journal::OpenError;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// The file begins with this (sqlite.org/fileformat.html#the_database_header).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Whether the file is whole and can be used as it is; one that is not there yet will be made.
///
/// # Errors
/// When it, or what belongs to it, may not be written by this user, is no database, or a newer version wrote it.
pub fn examine(path: &Path) -> Result<(), OpenError> {
    let [log, index] = ["-wal", "-shm"].map(|ending| beside(path, ending));
    for file in [&path.to_owned(), &log, &index] {
        match OpenOptions::new().write(true).open(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unfit(file, &error)),
            Ok(_) | Err(_) => {}
        }
    }
    let is_in_use = std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    // SQLite would make files beside one at rest to read it, and has nothing to say of one that it has made and not yet written to.
    if !is_in_use && is_empty(path)? {
        return Ok(());
    }
    let connection = if is_in_use { open_for_reading(path)? } else { open_at_rest(path)? };
    if version(&connection, path)? > 0 {
        check(&connection, path)?;
    }
    Ok(())
}

/// Whether there is nothing in the file, or none.
fn is_empty(path: &Path) -> Result<bool, OpenError> {
    let mut header = Vec::with_capacity(MAGIC.len());
    let read = || std::fs::File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut header);
    match { read }() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(unfit(path, &error)),
        Ok(0) => Ok(true),
        Ok(_) if header == MAGIC => Ok(false),
        Ok(_) => {
            let (path, reason) = (path.display().to_string(), "file is not a database".to_owned());
            Err(OpenError::Unopenable { path, reason, remedy: ANOTHER_FILE })
        }
    }
}
