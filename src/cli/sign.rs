//! `sign`: the signature that Twilio would send with a request.

use super::{CommandResult, misused, say};
use crate::twilio::signature;
use anyhow::{Context as _, anyhow};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = "Example: taskrouter-streams sign --url https://streams.example.com/taskrouter/events \
                  --body fixtures/taskrouter/03.reservation.accepted.a.form\n\
                  Exit codes: 0 printed; 1 the body cannot be read; 2 wrong arguments or no auth token.")]
pub(super) struct Sign {
    /// Sign this URL, exactly as configured at Twilio, without a fragment
    #[arg(long)]
    url: String,
    /// Read the form body from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Sign with this auth token
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
}

impl Sign {
    pub(super) fn run(self) -> CommandResult {
        let Some(token) = self.auth_token.filter(|token| !token.is_empty()) else {
            return Ok(misused(&anyhow!("no auth token: set TWILIO_AUTH_TOKEN (or pass --auth-token)")));
        };
        let body = match &self.body {
            Some(path) => std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?,
            None => {
                let mut body = Vec::new();
                std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut body)
                    .context("standard input cannot be read")?;
                body
            }
        };
        // The line end of a file's last line is not part of the body.
        let body = body.trim_ascii_end();
        say(&signature::sign(&self.url, &signature::parse_pairs(body), &token));
        Ok(ExitCode::SUCCESS)
    }
}
