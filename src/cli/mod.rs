//! The commands. Each says what it does in `--help`, ends with a documented exit code, and reports an error in one to
//! three plain lines on standard error.

mod accounts;
mod backfill;
mod calls;
mod command;
mod doctor;
mod health;
mod ingress_client;
mod replay;
mod running;
mod serve;
mod setup;
mod sign;

pub(crate) use command::{CommandResult, Configured, MISUSED, complain, environment, misused, say};

use clap::{Parser, Subcommand};
use std::process::ExitCode;

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
    /// Run the service.
    Serve(serve::Serve),
    /// Ask a running service whether it is ready.
    Health(health::Health),
    /// List and show calls of a running service; redrive or dismiss parked changes.
    Calls(calls::Calls),
    /// Configure the workspace's Event Callback URL (previews first).
    Setup(setup::Setup),
    /// Check configuration and connectivity; suggest fixes.
    Doctor(doctor::Doctor),
    /// Fetch missed events from TaskRouter's records and post them to a running worker.
    Backfill(backfill::Backfill),
    /// Sign recorded events and post them to a running worker.
    Replay(replay::Replay),
    /// Print the X-Twilio-Signature of a URL and a form body, to debug with curl.
    Sign(sign::Sign),
    /// Print the default configuration: every key, with its unit and reason.
    Config,
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
