//! The pure core: facts in, steps out, all as values. No clock and no network, so thousands of calls take a moment.

mod streams_api;
mod laws;
mod mending;
mod sentences;
pub(crate) mod story;
