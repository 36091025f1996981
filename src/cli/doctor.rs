//! `doctor`: whether everything is as the worker needs it, and what to do where it is not.

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
    after_help = "Asks Twilio, the public URL, the destinations and the running worker; changes nothing and disturbs \
                  nobody. Of several accounts, all are examined unless --account names one. The self-test event that it posts is of a type that the worker passes over.\n\
                  Exit codes: 0 no failure (there may be warnings); 1 a failure; 2 wrong arguments or configuration."
)]
pub(super) struct Doctor {
    #[command(flatten)]
    configured: Configured,
    #[command(flatten)]
    chosen: Chosen,
    /// As JSON: an array of {check, verdict, found, remedy}, and of several accounts {account}.
    #[arg(long)]
    json: bool,
    /// Events come through Event Streams: its sink is looked at, and the Event Callback URL may be anybody's.
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
        // They wait for different machines.
        let (sockets, worker) = tokio::join!(sockets::checks(urls), worker::checks(settings));
        checks.extend(settings.journal.without_effect.iter().map(|key| {
            Check::warning(
                "configuration",
                key.to_string(),
                "take it out, unless a worker with the other store reads it",
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
        let (twilio, door) = asked;
        Ok(std::iter::once(configuration(settings)).chain(twilio).chain(door?).collect())
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
    let mode = match settings.mode {
        Mode::Live => "",
        Mode::Shadow => "; mode is \"shadow\", so calls that begin now are not commanded",
    };
    let found = format!("complete; Twilio reaches us at {}{mode}", settings.server.public_url);
    match settings.twilio.credentials {
        Credentials::ApiKey { .. } => Check::ok(NAME, found),
        Credentials::AuthToken(_) => Check::warning(
            NAME,
            format!("{found}; our requests use the auth token"),
            "make an API key and set TWILIO_API_KEY and TWILIO_API_SECRET: it can be revoked alone",
        ),
    }
}
