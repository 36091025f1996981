//! `doctor`: whether everything is as the worker needs it, and what to do where it is not.

mod check;
mod door;
mod journal;
mod probe;
mod sockets;
mod twilio;
mod worker;

use super::{CommandResult, Configured, say};
use crate::call::sid::CallSid;
use crate::config::{ConfigError, Settings};
use crate::http::STREAM_STATUS_PATH;
use crate::twilio::client::{Client, Credentials};
use check::{Check, Verdict};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(
    after_help = "Asks Twilio, the public URL, the destinations and the running worker; changes nothing and disturbs \
                  nobody. The self-test event that it posts is of a type that the worker passes over.\n\
                  Exit codes: 0 no failure (there may be warnings); 1 a failure; 2 wrong arguments or configuration."
)]
pub(super) struct Doctor {
    #[command(flatten)]
    configured: Configured,
    /// As JSON: an array of {check, verdict, found, remedy}.
    #[arg(long)]
    json: bool,
    /// Events come through Event Streams: the workspace's Event Callback URL may be anybody's.
    #[arg(long)]
    event_streams: bool,
    /// Start and stop a stream on this live call (CA…, the customer's leg) by the Streams API, and see whether the leg stays in its
    /// conference: whether streams.strategy = "streams-api" works for this account. The first destination hears it for
    /// two seconds.
    #[arg(long, value_name = "CA…")]
    probe_call: Option<CallSid>,
}

impl Doctor {
    pub(super) async fn run(self) -> CommandResult {
        let settings = match self.configured.load() {
            Ok(settings) => settings,
            Err(error) => {
                self.show(&of_configuration(&error))?;
                return Ok(ExitCode::from(super::MISUSED));
            }
        };
        let checks = self.examine(&settings).await?;
        self.show(&checks)?;
        let failed = checks.iter().any(|check| check.verdict == Verdict::Failure);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn examine(&self, settings: &Settings) -> anyhow::Result<Vec<Check>> {
        let client = Client::new(settings.client(STREAM_STATUS_PATH))?;
        // They wait for different machines.
        let (twilio, door, sockets, worker) = tokio::join!(
            twilio::checks(settings, &client, self.event_streams),
            door::checks(settings),
            sockets::checks(settings),
            worker::checks(settings),
        );
        let mut checks = vec![configuration(settings)];
        checks.extend(settings.journal.without_effect.iter().map(|key| {
            Check::warning(
                "configuration",
                key.to_string(),
                "take it out, unless a worker with the other store reads it",
            )
        }));
        checks.extend(twilio);
        checks.extend(door?);
        checks.extend(sockets?);
        checks.extend(worker);
        checks.extend(journal::checks(settings).await);
        if let Some(call) = &self.probe_call {
            checks.push(probe::check(settings, &client, call).await);
        }
        Ok(checks)
    }

    fn show(&self, checks: &[Check]) -> anyhow::Result<()> {
        if self.json {
            say(&serde_json::to_string_pretty(checks)?);
        } else {
            say(&check::table(checks));
        }
        Ok(())
    }
}

fn of_configuration(error: &ConfigError) -> Vec<Check> {
    match error {
        ConfigError::Invalid(problems) => problems
            .iter()
            .map(|problem| {
                let place = problem.origin.as_ref().map(|origin| format!(" (from {origin})")).unwrap_or_default();
                Check::failure("configuration", format!("{}{place} {}", problem.key, problem.wrong), &problem.remedy)
            })
            .collect(),
        ConfigError::Unreadable { .. } | ConfigError::Syntax { .. } => {
            vec![Check::failure("configuration", error.to_string(), "mend the file, or name another with --config")]
        }
    }
}

fn configuration(settings: &Settings) -> Check {
    const NAME: &str = "configuration";
    let url = &settings.server.public_url;
    match settings.twilio.credentials {
        Credentials::ApiKey { .. } => Check::ok(NAME, format!("complete; Twilio reaches us at {url}")),
        Credentials::AuthToken(_) => Check::warning(
            NAME,
            format!("complete; Twilio reaches us at {url}; our requests use the auth token"),
            "make an API key and set TWILIO_API_KEY and TWILIO_API_SECRET: it can be revoked alone",
        ),
    }
}
