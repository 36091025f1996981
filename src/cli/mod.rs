//! The commands. Each says what it does in `--help`, ends with a documented exit code, and reports an error in one to
//! three plain lines on standard error.

mod accounts;
mod backfill;
mod calls;
mod doctor;
mod health;
mod ingress_client;
mod replay;
mod running;
mod serve;
mod setup;
mod sign;

use clap::{Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a command ends with.
pub(crate) type CommandResult = anyhow::Result<ExitCode>;

/// Something was wrong with the arguments or the configuration: nothing was begun.
const MISUSED: u8 = 2;

#[derive(Parser)]
#[command(
    name = "taskrouter-streams",
    version = crate::telemetry::BUILD,
    about = "Live audio of the customer's call leg for every Twilio Flex agent, across transfers.",
    long_about = "Live audio of the customer's call leg for every Twilio Flex agent who handles the call, across \
                  transfers, from the server alone. Configure it as the TaskRouter workspace's Event Callback URL.",
    after_help = "Exit codes: 0 done; 1 it failed (the reason is on standard error); 2 the arguments or the \
                  configuration are wrong and nothing was begun."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take TaskRouter's events and keep the streams right.
    Serve(serve::Serve),
    /// Ask a running service whether it is ready.
    Health(health::Health),
    /// List the calls of a running service, show one's story, try again or dismiss what was given up.
    Calls(calls::Calls),
    /// Make the workspace tell its events to the worker, after showing what that changes.
    Setup(setup::Setup),
    /// See whether everything is as the worker needs it, and what to do where it is not.
    Doctor(doctor::Doctor),
    /// Post events that did not arrive, from TaskRouter's records, to a running worker.
    Backfill(backfill::Backfill),
    /// Sign recorded events and post them to a running worker.
    Replay(replay::Replay),
    /// Print the X-Twilio-Signature of a URL and a form body, to debug with curl.
    Sign(sign::Sign),
    /// Print the default configuration: every key, with its unit and reason.
    Config,
}

/// Where the settings come from.
#[derive(clap::Args)]
pub(crate) struct Configured {
    /// Configuration file (TOML), read over the defaults. `config` prints the defaults.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl Configured {
    fn load(&self) -> Result<crate::config::Settings, crate::config::ConfigError> {
        crate::config::load(self.config.as_deref(), &environment())
    }

    fn load_admin(&self) -> Result<crate::config::Admin, crate::config::ConfigError> {
        crate::config::load_admin(self.config.as_deref(), &environment())
    }
}

fn environment() -> BTreeMap<String, String> {
    // A variable that is not Unicode cannot be one of ours.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Runs the command that the arguments name.
pub async fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(serve) => serve.run().await,
        Command::Health(health) => health.run().await,
        Command::Calls(calls) => calls.run().await,
        Command::Setup(setup) => setup.run().await,
        Command::Doctor(doctor) => doctor.run().await,
        Command::Backfill(backfill) => backfill.run().await,
        Command::Replay(replay) => replay.run().await,
        Command::Sign(sign) => sign.run(),
        Command::Config => {
            say(crate::config::default_text());
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// Reports an error on standard error.
#[expect(clippy::print_stderr, reason = "a command's errors belong there")]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("taskrouter-streams: {error:#}");
}

/// Reports arguments or a configuration that cannot be used.
pub(crate) fn misused(error: &anyhow::Error) -> ExitCode {
    complain(error);
    ExitCode::from(MISUSED)
}

/// Prints text and a line's end on standard output; a reader who has gone away is no error.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}
