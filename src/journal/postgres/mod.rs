//! The journal of several processes: one PostgreSQL database.
//!
//! Events go through one task that commits many at once, and so do the worker's writes. A transaction is sent at once, and so takes one
//! round trip; its values are bound. A call is claimed with `FOR UPDATE SKIP LOCKED`, so that processes share the calls without waiting
//! for one another; a claim brings along the facts that its process does not know. Every time is the database's.
//!
//! A database that is away makes [`JournalError::Unavailable`](crate::journal::JournalError::Unavailable) of everything until it is back;
//! nothing needs to be restarted.

mod address;
mod claimed_writes;
mod connect;
mod error;
mod examine;
mod foreseen;
mod handed;
mod ingest;
mod journal;
mod ops;
mod pool;
mod reader;
mod schema;
mod server_time;
mod session;
mod settings;
mod sql;
mod tls;
mod under_claims;
mod url;
mod wake;

pub use examine::{Examination, examine as examine_database};
pub use journal::PostgresJournal;
pub use settings::PostgresSettings;
pub use url::{DatabaseUrl, DatabaseUrlError};
