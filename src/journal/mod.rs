//! The journal: durable facts, and which call is due for work.
//!
//! Facts are rows, and on disk before the method that writes them returns. A fact from outside makes its call due. A call is
//! worked on by the holder of its *claim* only: the claim is a lease that expires unless renewed, and carries a fencing number
//! that every later write is checked against, so that a holder that was stalled past its lease can do no harm. Where several
//! processes share a store, due times and leases are rows too; where one owns it, they are in memory.
//!
//! What the rest of the program knows of a store is split by who needs it: see [`Journal`]. All times in it are relative:
//! each store uses one clock, its own, which facts are stamped by: see [`Clock`].

mod answers;
mod beginning;
mod calls;
mod clock;
mod error;
mod failed_writes;
mod foresight;
mod neighbours;
mod outage;
mod packed;
mod parts;
mod postgres;
mod retention;
mod running;
mod sqlite;
mod values;

pub use answers::hand_out_answers;
pub use calls::{CallQuery, CallRow, CallState, Cursor, PAGE_LIMIT};
pub(crate) use clock::TOLERANCE_MS;
pub use clock::{Clock, MachineTime, Measurement, TimeSource};
pub use error::{JournalError, OpenError};
pub use neighbours::neighbours;
pub use outage::Outage;
pub use parts::{
    Claims, Coverage, Facts, Foreseen, Foresight, GivenBack, Ingest, Journal, Operators, Promise, Reading, Timekeeping,
    Workload,
};
pub use postgres::{DatabaseUrl, DatabaseUrlError, Examination, PostgresJournal, PostgresSettings, examine_database};
pub use sqlite::{SqliteJournal, SqliteSettings, examine_file};
pub use values::{Backlog, Claim, Due, Ingested, NewFact, Seq, Storage};
