//! Every test that needs more than one module, in one binary so that it links once.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod accounts;
mod architecture;
mod assignment;
mod attributes;
mod audio;
mod audit;
mod backfill;
mod client;
mod clock;
mod config;
mod config_accounts;
mod config_files;
mod config_streams;
mod console;
mod core;
mod deploy;
mod disk;
mod docs;
mod doctor;
mod event;
mod event_stream;
mod faults;
mod holds;
mod http2;
mod ingress;
mod journal;
mod kill;
mod kill_under_load;
mod lab;
mod metrics;
mod pace;
mod pause_recordings;
mod pauses;
mod ports;
mod postgres;
mod probe;
mod program;
mod proxy;
mod queue;
mod recording;
mod setup;
mod several;
mod shadow;
mod signature;
mod skew;
mod stalled;
mod starting;
mod stories;
mod strangers;
mod stream_gauges;
mod stream_status;
mod streams;
mod supervision;
#[cfg(feature = "opentelemetry")]
mod traces;
mod twiml;
mod worker;
