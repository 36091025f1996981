//! `setup`: the workspace tells its events to us, and to nobody else by mistake.

mod event_streams;
pub(super) mod plan;

use super::{CommandResult, Configured, environment, misused, say};
use crate::config::{self, ConfigError, Settings};
use crate::http::EVENTS_PATH;
use crate::http::STREAM_STATUS_PATH;
use crate::twilio::client::{Client, Unanswered, WorkspaceRow};
use anyhow::{Context as _, anyhow, bail};
use plan::{Owner, Plan};
use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

/// Nothing was changed, and something would be.
const WOULD_CHANGE: u8 = 3;

/// What only the service needs: key, variable, and what stands in for it when it is missing, so that the rest of the
/// configuration can be read before there is a workspace to name.
const STAND_INS: [(&str, &str, &str); 2] = [
    ("twilio.workspace_sid", "TRS__TWILIO__WORKSPACE_SID", "WS00000000000000000000000000000000"),
    ("streams.destinations", "TRS__STREAMS__DESTINATIONS", "wss://setup.invalid/"),
];

#[derive(clap::Args)]
#[command(
    after_help = "Needs the account (TWILIO_ACCOUNT_SID), its credentials and server.public_url. Shows what it would \
                  change in the workspace, asks (or takes --yes), changes it, and prints how to undo it.\n\
                  Exit codes: 0 done, or nothing to do; 1 Twilio did not do it, or somebody else's URL is in the way; 2 wrong \
                  arguments or configuration; 3 nothing was changed, for want of --yes."
)]
pub(super) struct Setup {
    #[command(flatten)]
    configured: Configured,
    /// The workspace, by SID or name; else the configured one, else the account's only one.
    #[arg(long, value_name = "SID|NAME")]
    workspace: Option<String>,
    /// List the account's workspaces and end.
    #[arg(long)]
    list: bool,
    /// Change it without asking.
    #[arg(long)]
    yes: bool,
    /// Take the place of another Event Callback URL, whose events end then.
    #[arg(long)]
    replace: bool,
    /// Leave the filter empty, so that every event is told: more requests, in case the filter is refused.
    #[arg(long)]
    all_events: bool,
    /// Print the calls that create an Event Streams sink and subscription instead, which leave the Event Callback URL alone.
    #[arg(long)]
    event_streams: bool,
}

impl Setup {
    pub(super) async fn run(self) -> CommandResult {
        let (settings, is_chosen) = match self.load() {
            Ok(loaded) => loaded,
            Err(error) => return Ok(misused(&error.into())),
        };
        if self.event_streams {
            say(&event_streams::calls(&settings.server.public_url));
            return Ok(ExitCode::SUCCESS);
        }
        let client = Client::new(settings.client(STREAM_STATUS_PATH))?;
        if self.list {
            say(&listed(&client.workspaces().await.map_err(asking)?));
            return Ok(ExitCode::SUCCESS);
        }
        let configured = is_chosen.then_some(&settings.twilio.workspace_sid);
        let row = match (&self.workspace, configured) {
            (None, Some(sid)) => client.workspace(sid).await.map_err(asking)?.0,
            (wanted, _) => match pick(client.workspaces().await.map_err(asking)?, wanted.as_deref()) {
                Ok(row) => row,
                Err(error) => return Ok(misused(&error)),
            },
        };
        let plan = Plan::new(&row, &format!("{}{EVENTS_PATH}", settings.server.public_url), self.all_events);
        self.carry_out(&client, &row, &plan, &settings).await
    }

    /// The settings, and whether they name the workspace.
    fn load(&self) -> Result<(Settings, bool), ConfigError> {
        let mut environment = environment();
        let mut is_chosen = true;
        loop {
            let error = match config::load(self.configured.config.as_deref(), &environment) {
                Ok(settings) => return Ok((settings, is_chosen)),
                Err(error) => error,
            };
            let ConfigError::Invalid(problems) = &error else { return Err(error) };
            let is_missing = |key: &str| problems.iter().any(|problem| problem.key == key && problem.origin.is_none());
            let stand_ins =
                STAND_INS.iter().filter(|(key, name, _)| is_missing(key) && !environment.contains_key(*name));
            let stand_ins: Vec<_> = stand_ins.collect();
            if stand_ins.is_empty() {
                return Err(error);
            }
            for (key, name, value) in stand_ins {
                is_chosen &= *key != "twilio.workspace_sid";
                environment.insert((*name).to_owned(), (*value).to_owned());
            }
        }
    }

    async fn carry_out(&self, client: &Client, row: &WorkspaceRow, plan: &Plan, settings: &Settings) -> CommandResult {
        say(&plan.to_string());
        if plan.is_done() {
            say("\nNothing to do.");
            return Ok(ExitCode::SUCCESS);
        }
        match plan.owner {
            Owner::Nobody | Owner::Us => {}
            Owner::SomebodyElse if self.replace => {}
            Owner::SomebodyElse => bail!(
                "the workspace tells its events to somebody else, and has room for one URL: use --event-streams to leave that \
                 alone, or --replace to take its place"
            ),
        }
        if !(self.yes || is_confirmed()) {
            say("\nNothing was changed: run it again with --yes.");
            return Ok(ExitCode::from(WOULD_CHANGE));
        }
        let changed = client.tell_events(&row.sid, &plan.url, &plan.filter).await.map_err(|error| match error {
            Unanswered::Refused(_) => anyhow!(error).context(
                "Twilio refused the change: if it does not know one of the event types, --all-events leaves the filter out",
            ),
            Unanswered::Later(_) | Unanswered::NotFound => {
                anyhow!(error).context("it is not known whether the workspace was changed: run setup again to see")
            }
        })?;
        if Plan::new(&changed, &plan.address, self.all_events).is_done() {
            let base = settings.twilio.taskrouter_base_url.as_str();
            say(&format!("\nChanged. To undo it:\n\n{}\n\nNext: taskrouter-streams doctor", plan.undo(base)));
            return Ok(ExitCode::SUCCESS);
        }
        bail!("Twilio answered, and yet the workspace is not set as it was asked: run setup again to see");
    }
}

fn asking(error: Unanswered) -> anyhow::Error {
    anyhow!(error).context("the account's workspaces cannot be read")
}

/// Asks on the terminal; without one the answer is no.
fn is_confirmed() -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    say("\nChange it? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).is_ok();
    read && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// The one that is wanted, else the only one.
fn pick(rows: Vec<WorkspaceRow>, wanted: Option<&str>) -> anyhow::Result<WorkspaceRow> {
    let list = listed(&rows);
    let is_meant = |row: &WorkspaceRow| wanted.is_none_or(|wanted| row.sid.as_str() == wanted || row.name == wanted);
    let mut meant = rows.into_iter().filter(is_meant);
    let none = || match wanted {
        Some(_) => format!("no workspace has that SID or name. There are:\n{list}"),
        None => "the account has no workspace: check TWILIO_ACCOUNT_SID and the region".to_owned(),
    };
    let first = meant.next().with_context(none)?;
    if meant.next().is_some() {
        bail!("several workspaces come into question: name one by its SID, with --workspace. There are:\n{list}");
    }
    Ok(first)
}

fn listed(rows: &[WorkspaceRow]) -> String {
    let line = |row: &WorkspaceRow| {
        let url = plan::shown(&row.event_callback_url);
        format!("  {}  {}  events: {url}", row.sid, plan::printable(&row.name))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
