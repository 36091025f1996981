//! The worker: claims calls that are due, asks the core for the next step, performs it and journals how it ended.
//!
//! Calls run in parallel; within a call there is one step at a time.
//!
//! | module | what it does |
//! |---|---|
//! | `settings` | how much is done at once |
//! | `accounts` | credentials and policy, per account |
//! | `dispatcher` | claims calls that are due |
//! | `call_tasks` | runs a task for each call that was claimed, or is as its event is committed |
//! | `call_task` | one call's loop: fold, ask, perform, journal |
//! | `tools` | what call tasks work with |
//! | `fold` | what follows from a call's facts, kept between its tasks |
//! | `belied_pauses` | what is journaled of other tasks on the leg |
//! | `call_clock` | the time that a call sees |
//! | `call_metrics`, `trace` | what a call task counts and traces |
//! | `outage_log` | says once that Twilio is away, whatever the number of calls |
//! | `quarantine` | parks a call that cannot be read |
//! | `shadow` | stands in for Twilio where nothing may be commanded |
//! | `stream_gauges` | counts the streams of all live calls |
//! | `backfill` | fetches events that were not delivered |

mod accounts;
mod backfill;
mod belied_pauses;
mod call_clock;
mod call_log;
mod call_metrics;
mod call_task;
mod call_tasks;
mod dispatcher;
mod fold;
mod leg_checks;
mod outage_log;
mod quarantine;
mod settings;
mod shadow;
mod stream_gauges;
mod tools;
mod trace;

pub use accounts::{Accounts, WorkerAccount};
pub use backfill::{BackfillSettings, Backfiller, Source};
pub use dispatcher::Worker;
pub use settings::WorkerSettings;
pub use stream_gauges::StreamGauges;
