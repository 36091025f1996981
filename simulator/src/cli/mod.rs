//! The commands. Each says what it does in `--help`, ends with a documented exit code, and reports an error in one to
//! three plain lines on standard error.

mod audio;
mod compare;
mod demo;
mod replay;
mod scenario_run;
mod serve;
mod ways;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What a command ends with.
type CommandResult = anyhow::Result<ExitCode>;

/// Something was wrong with the arguments: nothing was begun.
const MISUSED: u8 = 2;

#[derive(Parser)]
#[command(
    name = "twilio-simulator",
    version,
    about = "Simulate Twilio's TaskRouter, conferences, calls and media streams, without an account.",
    after_help = "Exit codes: 0 done; 1 it failed (the reason is on standard error); 2 the arguments are wrong and \
                  nothing was begun."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve Twilio's APIs, play scenarios, and open the streams' sockets.
    Serve(serve::Serve),
    /// Run taskrouter-streams against the simulator on loopback ports, and print what happens.
    Demo(demo::Demo),
    /// Tell taskrouter-streams a call that it has recorded, and check what it does.
    Replay(replay::Replay),
}

/// Runs the command that the arguments name.
pub(crate) async fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(serve) => serve.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::Replay(replay) => replay.run().await,
    };
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// Reports an error on standard error.
#[expect(clippy::print_stderr, reason = "a command's errors belong there")]
fn complain(error: &anyhow::Error) {
    eprintln!("twilio-simulator: {error:#}");
}

/// Reports arguments that cannot be used.
fn misused(error: &anyhow::Error) -> ExitCode {
    complain(error);
    ExitCode::from(MISUSED)
}

/// Prints text and a line's end on standard output; a reader who has gone away is no error.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}
