//! The file, what is beside it, and the lock that keeps other processes out.

use super::error::unfit;
use crate::journal::{JournalError, OpenError, Storage};
use rustix::fs::statvfs;
#[cfg(target_os = "linux")]
use rustix::{
    fs::{AtFlags, CWD, StatxFlags, makedev, statx},
    io::Errno,
};
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever has closed the file may have just started a program, which has it too until it runs: flock(2) is of an open file, and a
/// child has its parent's until execve(2).
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks whether it is free.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A file that belongs to the journal's: its name with this at the end.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Makes the file, which only its owner may read, or finds it, and locks it: SQLite's own locks would let a second process in,
/// whose leases we would not see. The lock is `flock`'s, which does not meet SQLite's and holds by whatever name the file is
/// opened. It lasts until the last connection is closed: closing any descriptor of the file ends SQLite's locks.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    let file = opened.map_err(|error| unfit(path, &error))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.display().to_string() }),
            Err(TryLockError::Error(error)) => return Err(unfit(path, &error)),
        }
    }
}

/// The work of a thread that uses the file, which stays locked until it has ended.
pub(super) fn held_during(lock: Arc<File>, work: impl FnOnce()) -> impl FnOnce() {
    move || {
        work();
        drop(lock);
    }
}

/// The open files and their names. A file that is removed or replaced goes on taking what is written, and is gone with the process.
pub(super) struct OpenFiles(Vec<(PathBuf, FileId)>);

/// What the system knows a file by: its device and its number there, which no other file gets while this one is open.
type FileId = (u64, u64);

/// Of the file at this path. Its times are not asked for: those that somebody has seen a file system sets anew at the next commit, and
/// writes with it (docs.kernel.org/filesystems/multigrain-ts.html).
fn id_at(path: &Path) -> std::io::Result<FileId> {
    #[cfg(target_os = "linux")]
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
        Ok(found) => return Ok((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino)),
        // An old kernel, or a sandbox that knows no such call.
        Err(Errno::NOSYS) => {}
        Err(error) => return Err(error.into()),
    }
    path.metadata().map(|found| id(&found))
}

fn id(file: &Metadata) -> FileId {
    (file.dev(), file.ino())
}

impl OpenFiles {
    /// `path` leads to the file that is locked. SQLite has made those beside `resolved`, where no link leads any further.
    pub(super) fn new(path: &Path, locked: &File, resolved: &Path) -> std::io::Result<Self> {
        let mut files = vec![(path.to_owned(), id(&locked.metadata()?))];
        for beside in ["-wal", "-shm"].map(|ending| beside(resolved, ending)) {
            if let Ok(found) = id_at(&beside) {
                files.push((beside, found));
            }
        }
        Ok(Self(files))
    }

    /// # Errors
    /// When a name leads to another file, or to none.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        match self.0.iter().find(|(path, open)| leads_elsewhere(path, *open)) {
            None => Ok(()),
            Some((path, _)) => Err(JournalError::Fatal {
                reason: format!(
                    "{} was removed, moved or replaced while in use: put the journal's file where journal.url says, or start with \
                     a new one, and run `backfill --since` with the time of that",
                    path.display()
                ),
            }),
        }
    }
}

/// Whoever cannot look does not know.
fn leads_elsewhere(path: &Path, open: FileId) -> bool {
    match id_at(path) {
        Ok(found) => found != open,
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// The journal's file, for whatever asks how much room it takes.
pub(super) struct JournalFile(pub(super) PathBuf);

impl JournalFile {
    pub(super) fn storage(&self) -> Result<Storage, JournalError> {
        let unavailable =
            |error: std::io::Error| JournalError::Unavailable { reason: format!("its size cannot be read: {error}") };
        let bytes = std::fs::metadata(&self.0).map_err(unavailable)?.len();
        // Gone while nobody has the file open; else it keeps the size that it once had, up to twice journal.wal_limit_bytes.
        let log = std::fs::metadata(beside(&self.0, "-wal")).map_or(0, |log| log.len());
        let disk = statvfs(&self.0).map_err(|error| unavailable(error.into()))?;
        Ok(Storage { bytes: bytes + log, free_bytes: Some(disk.f_bavail.saturating_mul(disk.f_frsize)) })
    }
}
