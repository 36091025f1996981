//! The embedded journal: one SQLite file, used by one process.
//!
//! One thread owns the only writing connection and commits many writes at once; another reads, so that a reader never
//! waits for an fsync. A write is answered after the commit that holds it. A lock on the file keeps a second process out.

mod error;
mod examine;
mod file;
mod journal;
mod listing;
mod ops;
mod queue;
mod reader;
mod schema;
mod settings;
mod turns;
mod wal;
mod writer;

pub use examine::examine as examine_file;
pub use journal::SqliteJournal;
pub use settings::SqliteSettings;
