//! `setup`: sets the workspace's Event Callback URL, never over another one by mistake.

pub(super) mod event_streams;
pub(super) mod plan;

use super::accounts::{Chosen, Login};
use super::{CommandResult, Configured, environment, misused, say};
use crate::config::{self, ConfigError, Settings};
use crate::http::EVENTS_PATH;
use crate::http::STREAM_STATUS_PATH;
use crate::twilio::client::{ApiError, Client, WorkspaceRow};
use anyhow::{Context as _, anyhow, bail};
use event_streams::Delivery;
use plan::{Owner, Plan};
use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

/// Changes are needed and were not confirmed.
const WOULD_CHANGE: u8 = 3;

/// Stands in for destinations, which only the service needs.
const NOWHERE: &str = "wss://setup.invalid/";

#[derive(clap::Args)]
#[command(
    after_help = "Needs TWILIO_ACCOUNT_SID, its credentials and server.public_url. Shows the change, asks for confirmation \
                  (or takes --yes), makes the change, and prints how to undo it.\n\
                  Exit codes: 0 done, or nothing to do; 1 Twilio refused or did not answer, or another URL is set; 2 wrong \
                  arguments or configuration; 3 nothing was changed: confirmation required (--yes)."
)]
pub(super) struct Setup {
    #[command(flatten)]
    configured: Configured,
    #[command(flatten)]
    chosen: Chosen,
    /// Configure this workspace, by SID or name [default: the configured one, else the account's only one]
    #[arg(long, value_name = "SID|NAME")]
    workspace: Option<String>,
    /// List the account's workspaces and exit
    #[arg(long)]
    list: bool,
    /// Make the change without asking
    #[arg(long)]
    yes: bool,
    /// Replace another Event Callback URL, which then receives no more events
    #[arg(long)]
    replace: bool,
    /// Leave the filter empty, so that every event is sent: more requests, for when Twilio refuses the filter
    #[arg(long)]
    all_events: bool,
    /// Print the requests that create an Event Streams sink and subscription, unless there is nothing to do; with --yes, make the
    /// missing ones
    ///
    /// Leaves the Event Callback URL as it is.
    #[arg(long)]
    event_streams: bool,
}

impl Setup {
    pub(super) async fn run(self) -> CommandResult {
        let (settings, stood_in) = match self.load() {
            Ok(loaded) => loaded,
            Err(error) => return Ok(misused(&error.into())),
        };
        let (account, settings) = match self.chosen.one(&settings) {
            Ok(one) => one,
            Err(error) => return Ok(misused(&error)),
        };
        let client = Client::new(settings.client(STREAM_STATUS_PATH))?;
        if self.event_streams {
            let login = Login::new(&account, &settings, &environment());
            let delivery = Delivery::new(&client, &settings, &login);
            return if self.yes { delivery.carry_out().await } else { delivery.preview().await };
        }
        if self.list {
            say(&listed(&client.workspaces().list().await.map_err(asking)?));
            return Ok(ExitCode::SUCCESS);
        }
        let configured = Some(&settings.twilio.workspace_sid).filter(|sid| !stood_in.contains(sid.as_str()));
        let row = match (&self.workspace, configured) {
            (None, Some(sid)) => client.workspaces().fetch(sid).await.map_err(asking)?.0,
            (wanted, _) => match pick(client.workspaces().list().await.map_err(asking)?, wanted.as_deref()) {
                Ok(row) => row,
                Err(error) => return Ok(misused(&error)),
            },
        };
        let plan = Plan::new(&row, &format!("{}{EVENTS_PATH}", settings.server.public_url), self.all_events);
        let base = settings.twilio.taskrouter_base_url.as_str();
        let login = Login::new(&account, &settings, &environment());
        self.carry_out(&client, &row, &plan, &plan.undo(base, &login)).await
    }

    /// The settings, and the workspace SIDs in them that are placeholders: the rest can be read before a workspace is chosen.
    fn load(&self) -> Result<(Settings, BTreeSet<String>), ConfigError> {
        let mut environment = environment();
        let mut stood_in = BTreeSet::new();
        loop {
            let error = match config::load(self.configured.config.as_deref(), &environment) {
                Ok(settings) => return Ok((settings, stood_in)),
                Err(error) => error,
            };
            let ConfigError::Invalid(problems) = &error else { return Err(error) };
            let before = environment.len();
            for problem in problems.iter().filter(|problem| problem.origin.is_none()) {
                let value = match problem.key.rsplit_once('.') {
                    Some((_, "workspace_sid")) => format!("WS{:032}", stood_in.len()),
                    Some(("streams", "destinations")) => NOWHERE.to_owned(),
                    Some(_) | None => continue,
                };
                let name = format!("TRS__{}", problem.key.to_ascii_uppercase().replace('.', "__"));
                if let Entry::Vacant(missing) = environment.entry(name) {
                    stood_in.extend(value.starts_with("WS").then(|| value.clone()));
                    missing.insert(value);
                }
            }
            if environment.len() == before {
                return Err(error);
            }
        }
    }

    async fn carry_out(&self, client: &Client, row: &WorkspaceRow, plan: &Plan, undo: &str) -> CommandResult {
        say(&plan.to_string());
        if plan.is_done() {
            say("\nNothing to do.");
            return Ok(ExitCode::SUCCESS);
        }
        match plan.owner {
            Owner::Nobody | Owner::Us => {}
            Owner::Other if self.replace => {}
            Owner::Other => bail!(
                "the workspace has another Event Callback URL, and only one is possible: use --event-streams to keep it, or \
                 --replace to replace it"
            ),
        }
        if !(self.yes || is_confirmed()) {
            say("\nNothing was changed: confirmation required (--yes).");
            return Ok(ExitCode::from(WOULD_CHANGE));
        }
        let changed = client.workspaces().set_event_callback(&row.sid, &plan.url, &plan.filter).await.map_err(
            |error| match error {
                ApiError::Refused(_) => anyhow!(error).context(
                    "Twilio refused the change: if it does not know an event type of the filter, use --all-events",
                ),
                ApiError::Later(_) | ApiError::NotFound => {
                    anyhow!(error).context("the workspace may or may not have been changed: run setup again to see")
                }
            },
        )?;
        if Plan::new(&changed, &plan.address, self.all_events).is_done() {
            say(&format!("\nChanged. To undo it:\n\n{undo}\n\nNext: taskrouter-streams doctor"));
            return Ok(ExitCode::SUCCESS);
        }
        bail!("Twilio accepted the change, but the workspace does not show it: run setup again to see");
    }
}

fn asking(error: ApiError) -> anyhow::Error {
    anyhow!(error).context("cannot read the account's workspaces")
}

/// Asks on the terminal; without a terminal the answer is no.
fn is_confirmed() -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    say("\nMake this change? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).is_ok();
    read && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// The wanted workspace, else the only one.
fn pick(rows: Vec<WorkspaceRow>, wanted: Option<&str>) -> anyhow::Result<WorkspaceRow> {
    let list = listed(&rows);
    let is_meant = |row: &WorkspaceRow| wanted.is_none_or(|wanted| row.sid.as_str() == wanted || row.name == wanted);
    let mut meant = rows.into_iter().filter(is_meant);
    let none = || match wanted {
        Some(_) => format!("no workspace has that SID or name. The account's workspaces are:\n{list}"),
        None => "the account has no workspace: check TWILIO_ACCOUNT_SID and the region".to_owned(),
    };
    let first = meant.next().with_context(none)?;
    if meant.next().is_some() {
        bail!(
            "several workspaces match: choose one by its SID with --workspace. The account's workspaces are:\n{list}"
        );
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
