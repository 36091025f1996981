//! Keys of the store that is not used.

use super::JournalUrl;
use super::reader::Reader;
use std::fmt;

/// A key that was set and that nothing reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutEffect {
    /// Its full name.
    pub key: &'static str,
    /// The file or the variable that set it.
    pub origin: String,
    /// Why nothing reads it.
    pub why: &'static str,
}

impl fmt::Display for WithoutEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {}) has no effect: {}", self.key, self.origin, self.why)
    }
}

/// The keys that were set for the store that is not used.
pub(super) fn without_effect(reader: &Reader, url: &JournalUrl) -> Vec<WithoutEffect> {
    let (keys, why): (&[_], _) = match url {
        JournalUrl::Sqlite(_) => (
            &["journal.pool_size", "journal.acquire_timeout_ms", "journal.statement_timeout_ms", "journal.listen"],
            "it is for PostgreSQL, and journal.url names a SQLite file",
        ),
        JournalUrl::Postgres(_) => {
            (&["journal.wal_limit_bytes"], "it is for SQLite, and journal.url names a PostgreSQL database")
        }
    };
    let set = keys.iter().filter_map(|key| Some((*key, reader.set_by(key)?)));
    set.map(|(key, origin)| WithoutEffect { key, origin: origin.to_owned(), why }).collect()
}
