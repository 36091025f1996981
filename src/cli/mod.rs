//! The commands. Each documents its exit codes in `--help` and reports an error in one to three plain lines on standard
//! error.

mod accounts;
mod backfill;
mod calls;
mod command;
mod config;
mod doctor;
mod generate;
mod health;
mod ingress_client;
mod probe;
mod replay;
mod running;
mod serve;
mod setup;
mod sign;
mod signing;

pub(crate) use command::{CommandResult, Configured, MISUSED, complain, environment, misused, note, say};

use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

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
    /// Try on your account what is assumed of Twilio, with calls of its own
    Probe(probe::Probe),
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

/// Runs the command named by the arguments.
pub async fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(serve) => serve.run().await,
        Command::Health(health) => health.run().await,
        Command::Calls(calls) => calls.run().await,
        Command::Setup(setup) => setup.run().await,
        Command::Doctor(doctor) => doctor.run().await,
        Command::Probe(probe) => probe.run().await,
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
