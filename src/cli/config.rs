//! `config`: the defaults with their reasons, and `config check`.

use super::{Configured, misused, say};
use crate::config::{self, JournalUrl, Settings};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Without a subcommand, prints config/default.toml: every key with its unit and reason.\n\
                  Example: taskrouter-streams config check --config /etc/taskrouter-streams/config.toml\n\
                  Exit codes: 0 printed, or the configuration is valid; 2 it is not."
)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Option<ConfigCommand>,
}

#[derive(clap::Subcommand)]
enum ConfigCommand {
    /// Validate the configuration without starting anything
    #[command(
        after_help = "Reads the same layers as `serve`: defaults, --config, environment. Connects to nothing: `doctor` \
                      checks Twilio, destinations and journal.\n\
                      Exit codes: 0 valid (there may be warnings); 2 invalid, every problem is listed."
    )]
    Check(Configured),
}

impl Config {
    pub(super) fn run(self) -> ExitCode {
        match self.command {
            None => {
                say(config::default_text());
                ExitCode::SUCCESS
            }
            Some(ConfigCommand::Check(configured)) => match configured.load() {
                Ok(settings) => {
                    say(&report(&settings));
                    ExitCode::SUCCESS
                }
                Err(error) => misused(&error.into()),
            },
        }
    }
}

/// Warnings, then what the configuration amounts to.
fn report(settings: &Settings) -> String {
    let mut lines: Vec<String> = settings.without_effect.iter().map(|key| format!("warning: {key}")).collect();
    let journal = match &settings.journal.url {
        JournalUrl::Sqlite(path) => format!("SQLite file {}", path.display()),
        JournalUrl::Postgres(_) => "PostgreSQL".to_owned(),
    };
    lines.push("The configuration is valid.".to_owned());
    lines.push(format!("mode         {}", settings.mode.as_str()));
    lines.push(format!("public URL   {}", settings.server.public_url));
    lines.push(format!("listeners    {} (public), {} (admin)", settings.server.listen, settings.admin.listen));
    lines.push(format!("journal      {journal}"));
    lines.extend(settings.twilio.proxy.as_ref().map(|proxy| format!("proxy        {proxy}")));
    for (name, own) in settings.by_account() {
        let destinations: Vec<&str> = own.streams.destinations.iter().map(|to| to.name.as_str()).collect();
        let streams = format!("strategy {}, destinations {}", own.streams.strategy.as_str(), destinations.join(", "));
        lines.push(format!("account      {name} ({}): {streams}", own.twilio.account_sid));
    }
    lines.join("\n")
}
