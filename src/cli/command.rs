//! What every command needs: its result, its output, and its configuration.

use crate::config::{AdminConfig, ConfigError, Settings};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// An exit code, or an error for standard error.
pub(crate) type CommandResult = anyhow::Result<ExitCode>;

/// The arguments or the configuration are wrong, and nothing was started.
pub(crate) const MISUSED: u8 = 2;

/// The configuration's layers: defaults, file, environment.
#[derive(clap::Args)]
pub(crate) struct Configured {
    /// Read this TOML file over the defaults, which `config` prints
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
}

impl Configured {
    pub(super) fn load(&self) -> Result<Settings, ConfigError> {
        crate::config::load(self.config.as_deref(), &environment())
    }

    pub(super) fn load_admin(&self) -> Result<AdminConfig, ConfigError> {
        crate::config::load_admin(self.config.as_deref(), &environment())
    }
}

pub(crate) fn environment() -> BTreeMap<String, String> {
    // A variable that is not Unicode cannot be one of ours.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reports an error on standard error.
#[expect(clippy::print_stderr, reason = "a command's errors belong there")]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("taskrouter-streams: {error:#}");
}

/// Reports wrong arguments or a wrong configuration.
pub(crate) fn misused(error: &anyhow::Error) -> ExitCode {
    complain(error);
    ExitCode::from(MISUSED)
}

/// Tells a person something beside what a command prints.
#[expect(clippy::print_stderr, reason = "it is not what the command was asked for")]
pub(crate) fn note(text: &str) {
    eprintln!("taskrouter-streams: {text}");
}

/// Prints a line on standard output; a closed pipe is not an error.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}
