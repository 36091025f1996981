//! The journal of several processes: one PostgreSQL database.
//!
//! Events go through one task that commits many at once, and so do the worker's writes. A transaction is one message, and so one
//! round trip. A claim brings the facts of its call along. A call is claimed with `FOR UPDATE SKIP LOCKED`, so that processes share the calls without
//! waiting for one another. Every time is the database's.
//! A database that is away makes [`JournalError::Unavailable`](crate::journal::JournalError::Unavailable) of everything until it is back; nothing needs to be restarted.

mod connect;
mod error;
mod examine;
mod handed;
mod ingest;
mod journal;
mod ops;
mod reader;
mod schema;
mod session;
mod settings;
mod sql;
mod under_claims;
mod wake;

pub use examine::{Examination, examine as examine_database};
pub use journal::PostgresJournal;
pub use settings::PostgresSettings;
