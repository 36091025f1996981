//! Logs, [`metrics`] and [`traces`]. A log line is logfmt or JSON, on standard error.

mod filter;
pub mod labels;
pub mod log_throttle;
mod logfmt;
pub mod metrics;
mod resources;
pub mod series;
pub mod traces;

pub use filter::{FILTER_EXAMPLE, UnfitFilter, check as check_filter};

use logfmt::Logfmt;
use std::io::IsTerminal as _;
use tracing_subscriber::util::SubscriberInitExt;

/// The version, as `Cargo.toml` has it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that was built, from `TRS_BUILD_COMMIT`; else "unknown".
pub const COMMIT: &str = env!("TRS_BUILD_COMMIT");

/// Version, commit and target, for people.
pub const BUILD: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("TRS_BUILD_COMMIT"), ", ", env!("TRS_BUILD_TARGET"), ")");

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be used.
    #[error("log.filter {0}: {FILTER_EXAMPLE}")]
    Filter(#[from] UnfitFilter),
    /// Logging was set up already.
    #[error("logging was set up twice in this process")]
    AlreadySet,
}

/// Sets up the process's logging; once per process. `filter` is in `tracing-subscriber`'s `EnvFilter` syntax.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = filter::read(filter)?;
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured).with_writer(std::io::stderr);
    let set = match format {
        LogFormat::Text => lines.event_format(Logfmt).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    set.map_err(|_| TelemetryError::AlreadySet)
}
