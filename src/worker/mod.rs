//! The worker: takes calls that are due, asks the core for the next step, performs it, journals how it ended.
//!
//! Calls run in parallel; within a call there is one step at a time. The `dispatcher` claims calls and owns the lanes; a
//! `lane` is one call's loop; `backfill` fetches the events that did not arrive.

mod backfill;
mod dispatcher;
mod lane;

pub use backfill::{BackfillSettings, fill_gap};
pub use dispatcher::{Worker, WorkerSettings};
