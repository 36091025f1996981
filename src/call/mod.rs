//! The pure core. A call is the fold of its facts; what should be done next is a function of it and of the time.
//!
//! No clock, no network, no disk, no log, no randomness and no error: everything comes in as a value and goes out as one.

pub mod fact;
pub mod sid;
pub mod step;
