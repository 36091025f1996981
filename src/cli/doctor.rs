//! `doctor`: checks of configuration and connectivity, each with a remedy.

mod check;
mod ingress;
mod journal;
mod probe;
mod sockets;
mod twilio;
mod worker;

use super::accounts::Chosen;
use super::{CommandResult, Configured, misused, say};
use crate::call::sid::CallSid;
use crate::config::{ConfigError, Mode, Settings};
use crate::http::STREAM_STATUS_PATH;
use crate::twilio::client::{Client, Credentials};
use check::{Check, Verdict};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(
    after_help = "Checks Twilio, the public URL, the destinations, the journal and the running service. Changes nothing: \
                  the service ignores the self-test event. Checks every account unless --account names one.\n\
                  Exit codes: 0 no failure (there may be warnings); 1 a failure; 2 wrong arguments or configuration."
)]
pub(super) struct Doctor {
    #[command(flatten)]
    configured: Configured,
    #[command(flatten)]
    chosen: Chosen,
    /// Print JSON: an array of {check, account (if several), verdict, found, remedy}
    #[arg(long)]
    json: bool,
    /// Check the Event Streams sink instead of the Event Callback URL
    #[arg(long)]
    event_streams: bool,
    /// Start and stop a stream on this live call (CA…, the customer's leg) and check that the leg stays in its conference
    ///
    /// Shows whether streams.strategy = "streams-api", the default, works for this account. The first destination receives two seconds
    /// of audio. A leg that is on hold is tried so: this never holds anybody. `probe` tries more, with calls of its own.
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
        let accounts = match self.chosen.each(&settings) {
            Ok(accounts) => accounts,
            Err(error) => return Ok(misused(&error)),
        };
        let probed = match self.probe_call.as_ref().map(|_| self.chosen.one(&settings)).transpose() {
            Ok(probed) => probed,
            Err(error) => return Ok(misused(&error)),
        };
        let is_alone = settings.accounts.is_empty();
        let mut checks = self.examine(&settings, &accounts, is_alone).await?;
        if let (Some(call), Some((name, own))) = (&self.probe_call, &probed) {
            let probe = probe::check(own, &Client::new(own.client(STREAM_STATUS_PATH))?, call).await;
            checks.push(if is_alone { probe } else { probe.of(name) });
        }
        self.show(&checks)?;
        let failed = checks.iter().any(|check| check.verdict == Verdict::Failure);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn examine(
        &self,
        settings: &Settings,
        accounts: &[(String, Settings)],
        is_alone: bool,
    ) -> anyhow::Result<Vec<Check>> {
        let mut checks = Vec::new();
        for (name, own) in accounts {
            let of_account = self.account(own).await?;
            checks.extend(of_account.into_iter().map(|check| if is_alone { check } else { check.of(name) }));
        }
        let mut urls: Vec<&str> = Vec::new();
        for destination in accounts.iter().flat_map(|(_, own)| &own.streams.destinations) {
            if !urls.contains(&destination.url.as_str()) {
                urls.push(&destination.url);
            }
        }
        // Each waits for different machines.
        let (sockets, worker) = tokio::join!(sockets::checks(urls), worker::checks(settings));
        checks.extend(settings.without_effect.iter().map(|key| {
            Check::warning(
                "configuration",
                key.to_string(),
                "remove it, unless a service with another journal or environment reads the same file",
            )
        }));
        checks.extend(sockets?);
        checks.extend(worker);
        checks.extend(journal::checks(settings).await);
        Ok(checks)
    }

    async fn account(&self, settings: &Settings) -> anyhow::Result<Vec<Check>> {
        let client = Client::new(settings.client(STREAM_STATUS_PATH))?;
        let asked = tokio::join!(twilio::checks(settings, &client, self.event_streams), ingress::checks(settings));
        let (twilio, ingress) = asked;
        Ok(std::iter::once(configuration(settings)).chain(twilio).chain(ingress?).collect())
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
            vec![Check::failure("configuration", error.to_string(), "correct the file, or name another with --config")]
        }
    }
}

fn configuration(settings: &Settings) -> Check {
    const NAME: &str = "configuration";
    let mode = match settings.mode {
        Mode::Live => "",
        Mode::Shadow => "; mode is \"shadow\", so new calls are observed, not commanded",
    };
    let found = format!("complete; the public URL is {}{mode}", settings.server.public_url);
    match settings.twilio.credentials {
        Credentials::ApiKey { .. } => Check::ok(NAME, found),
        Credentials::AuthToken(_) => Check::warning(
            NAME,
            format!("{found}; requests use the auth token"),
            "create an API key and set TWILIO_API_KEY and TWILIO_API_SECRET: a key can be revoked on its own",
        ),
    }
}
