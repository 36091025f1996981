//! The commands. Each documents its exit codes in `--help` and reports an error in one to three plain lines on standard
//! error.

mod accounts;
mod backfill;
mod calls;
mod config;
mod doctor;
mod generate;
mod health;
mod ingress_client;
mod replay;
mod running;
mod serve;
mod setup;
mod sign;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// An exit code, or an error for standard error.
pub(crate) type CommandResult = anyhow::Result<ExitCode>;

/// The arguments or the configuration are wrong, and nothing was started.
const MISUSED: u8 = 2;

#[derive(Parser)]
#[command(
    name = "taskrouter-streams",
    version = crate::telemetry::BUILD,
    about = "Stream the customer's call leg to your destination for every Twilio Flex agent, across transfers",
    long_about = "Stream the customer's call leg (Twilio Media Streams) to your destination for every Flex agent who \
                  handles the call, across transfers, from the server alone. Configure it as the TaskRouter workspace's \
                  Event Callback URL.",
    after_help = "Exit codes: 0 done; 1 failed (the reason is on standard error); 2 wrong arguments or configuration, \
                  nothing was started."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service
    Serve(serve::Serve),
    /// Check whether a running service is ready
    Health(health::Health),
    /// List and show calls of a running service; retry or dismiss parked changes
    Calls(calls::Calls),
    /// Configure the workspace's Event Callback URL (previews first)
    Setup(setup::Setup),
    /// Check configuration and connectivity; suggest fixes
    Doctor(doctor::Doctor),
    /// Fetch missed events from TaskRouter and post them to a running service
    Backfill(backfill::Backfill),
    /// Sign recorded events and post them to a running service
    Replay(replay::Replay),
    /// Print the X-Twilio-Signature of a URL and form body, for use with curl
    Sign(sign::Sign),
    /// Print the default configuration, or check yours
    Config(config::Config),
    /// Write man pages and shell completions, for packages and `make install`
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// The configuration's layers: defaults, file, environment.
#[derive(clap::Args)]
pub(crate) struct Configured {
    /// Read this TOML file over the defaults, which `config` prints
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

/// Runs the command named by the arguments.
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
        Command::Config(config) => Ok(config.run()),
        Command::Generate(generate) => generate.run(Arguments::command()),
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

/// Reports wrong arguments or a wrong configuration.
pub(crate) fn misused(error: &anyhow::Error) -> ExitCode {
    complain(error);
    ExitCode::from(MISUSED)
}

/// Prints a line on standard output; a closed pipe is not an error.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}
