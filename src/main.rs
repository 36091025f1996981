//! The `taskrouter-streams` program: see `--help`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    taskrouter_streams::cli::run().await
}
