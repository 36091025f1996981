//! `sign`: the signature that Twilio would send with a request.

use super::signing::Signing;
use super::{CommandResult, misused, note, say};
use crate::twilio::signature;
use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = "Examples: taskrouter-streams sign --url https://streams.example.com/taskrouter/events \
                  --body fixtures/taskrouter/03.reservation.accepted.a.form\n\
                  taskrouter-streams sign --url https://streams.example.com/taskrouter/event-streams --json --body delivery.json\n\
                  Exit codes: 0 printed; 1 the body cannot be read; 2 wrong arguments or no auth token.")]
pub(super) struct Sign {
    /// Sign this URL, exactly as configured at Twilio; a fragment is left out
    #[arg(long)]
    url: String,
    /// Read the body from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Sign a JSON body, byte for byte: print the URL with its bodySHA256, then the signature
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    signing: Signing,
}

impl Sign {
    pub(super) fn run(self) -> CommandResult {
        let token = match self.signing.token() {
            Ok(token) => token,
            Err(error) => return Ok(misused(&error)),
        };
        let token = token.expose_secret();
        let url = match self.url.split_once('#') {
            Some((url, fragment)) => {
                note(&format!("left out #{fragment}: Twilio does not sign the fragment of a URL"));
                url
            }
            None => self.url.as_str(),
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
        if self.json {
            let url = signature::url_with_body_hash(url, &body);
            let nothing: [(&str, &str); 0] = [];
            say(&url);
            say(&signature::sign(&url, &nothing, token));
        } else {
            // The line end of a file's last line is not part of the body.
            say(&signature::sign(url, &signature::parse_pairs(body.trim_ascii_end()), token));
        }
        Ok(ExitCode::SUCCESS)
    }
}
