//! The worker: takes calls that are due, asks the core for the next step, performs it, journals how it ended.
//!
//! Calls run in parallel; within a call there is one step at a time. The `dispatcher` claims calls and owns the lanes; a
//! `lane` is one call's loop and its `meter` counts what happens there; the `census` counts what runs on all calls;
//! `accounts` holds what is needed for each account's calls; `shadow` stands in for Twilio where nothing may be commanded; a
//! lane's `trace` goes to a collector; `backfill` fetches the events that did not arrive.

mod accounts;
mod backfill;
mod census;
mod dispatcher;
mod lane;
mod meter;
mod shadow;
mod trace;

pub use accounts::{Account, Accounts};
pub use backfill::{BackfillSettings, Gaps, Source};
pub use census::census;
pub use dispatcher::{Worker, WorkerSettings};
