//! `health`: readiness of the running service, for images without an HTTP client.

use super::running::Admin;
use super::{CommandResult, misused, say};
use reqwest::Method;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 ready; 1 not ready or not running; 2 wrong arguments or configuration.")]
pub(super) struct Health {
    #[command(flatten)]
    admin: Admin,
}

impl Health {
    pub(super) async fn run(self) -> CommandResult {
        let service = match self.admin.running() {
            Ok(service) => service,
            Err(error) => return Ok(misused(&error)),
        };
        say(&service.ask(Method::GET, "/health").await?);
        Ok(ExitCode::SUCCESS)
    }
}
