//! The embedded journal: one SQLite file, used by one process.
//!
//! ```text
//! ingest, append ─▶ writer ─▶ facts, many to a commit ─▶ live calls, in memory ─▶ claim, release, list
//!                        └──▶ rows of calls; the facts of those that are over, packed; when it is quiet
//! ```
//!
//! The facts are a log. Which calls are live, due or claimed is in memory; the rows of calls are a projection, which a start
//! reads instead of all the facts. One thread owns the only writing connection, one reads, and one folds the write-ahead log.
//! A write is answered after the commit that holds it. A lock on the file keeps a second process out.
//!
//! | module | what it does |
//! |---|---|
//! | `journal` | what each part of a journal is for this store |
//! | `writer`, `batch` | facts that share a commit |
//! | `live`, `schedule`, `sid_index`, `tail` | the live calls, when each is worked on, how they are found, and their newest facts |
//! | `projection` | the rows of calls: written, read at a start, pruned |
//! | `packing` | the facts of calls that are over, in one row each |
//! | `reader`, `listing` | facts and pages of calls |
//! | `wal`, `turns` | folds the write-ahead log without a commit waiting for a reader |
//! | `schema`, `file`, `examine` | the file's form, its lock, and a look at it from outside |

mod batch;
mod error;
mod examine;
mod file;
mod journal;
mod listing;
mod live;
mod packing;
mod projection;
mod queue;
mod reader;
mod schedule;
mod schema;
mod settings;
mod sid_index;
mod tail;
mod turns;
mod wal;
mod writer;

pub use examine::examine as examine_file;
pub use journal::SqliteJournal;
pub use settings::SqliteSettings;
