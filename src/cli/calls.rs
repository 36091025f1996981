//! `calls`: the console in the terminal. It asks the running service, because only one process may use a SQLite journal.

mod bulk;
mod one_call;
mod paint;
mod pauses;

use super::running::{Admin, Running};
use super::{CommandResult, misused, say};
use crate::console::view::{CallList, CallStory};
use anyhow::Context as _;
use bulk::{BulkArgs, DISMISS, LONGEST_PAGE, ParkedAction, REDRIVE};
use one_call::{print_json, sid, task};
use paint::Paint;
use pauses::{PauseArgs, ResumeArgs};
use reqwest::Method;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(
    after_help = "Asks the service at admin.listen, or at --admin. Reads only [admin] of the configuration; the token comes \
                  from admin.token or TRS__ADMIN__TOKEN.\n\
                  Exit codes: 0 done; 1 the service refused or did not answer; 2 wrong arguments or configuration; 3 nothing was\n\
                  changed: confirmation required (--yes)."
)]
pub(super) struct Calls {
    #[command(flatten)]
    admin: Admin,
    #[command(subcommand)]
    command: CallsCommand,
}

#[derive(clap::Subcommand)]
enum CallsCommand {
    /// List calls, most recently changed first
    List(ListArgs),
    /// Show a call's agents, streams and timeline
    Show {
        /// Name the call by its task (WT…) or its customer's leg (CA…)
        #[arg(value_parser = sid)]
        sid: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Export a call's evidence as JSON: events, commands and what proves their results
    Export {
        /// Name the call by its task (WT…) or its customer's leg (CA…)
        #[arg(value_parser = sid)]
        sid: String,
        /// Write to this file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Retry a call's parked changes
    Redrive(ParkedArgs),
    /// Dismiss a call's parked changes, leaving the call as it is
    Dismiss(ParkedArgs),
    /// Pause a call's streams and wait for the proof that none runs
    Pause(PauseArgs),
    /// End a pause; its streams start again
    Resume(ResumeArgs),
}

#[derive(clap::Args)]
struct ListArgs {
    /// List only calls with a parked change
    #[arg(long, conflicts_with = "live")]
    parked: bool,
    /// List only calls that are not over
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    filters: ListFilters,
    /// List at most this many calls
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(LONGEST_PAGE)))]
    limit: u16,
    /// Page cursor: `next` of the previous page
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What narrows the list, by the names that the service's query string has.
#[derive(clap::Args, Serialize)]
struct ListFilters {
    /// List calls that began then or later: 2026-11-26, 2026-11-26T08:30 (UTC), today, yesterday, or how long ago, as in 24h
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// List calls that began before; a day counts to its end
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// List calls with this agent: a part of the name, or a WorkerSid
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// List calls of this queue: a part of its name
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// List calls with a stream to this destination: A is the first
    #[arg(long, value_name = "LETTER")]
    destination: Option<String>,
    /// List calls with this outcome: streamed, late, missing, interrupted, unproven, pending, unanswered, no-call, not-sent; or problem
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// List calls with this error: Twilio's code, or an HTTP status
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    /// List calls of this account: its name in the configuration, or its SID
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// List calls with this text in a SID, an agent, the queue, a reason or a stream's name
    #[arg(long, value_name = "TEXT")]
    find: Option<String>,
}

impl ListArgs {
    /// The query string that the service takes.
    fn query(&self) -> anyhow::Result<String> {
        let state = match (self.parked, self.live) {
            (true, _) => "parked",
            (false, true) => "live",
            (false, false) => "all",
        };
        let filters = serde_urlencoded::to_string(&self.filters)?;
        let mut query = form_urlencoded::Serializer::new(filters);
        query.append_pair("state", state).append_pair("limit", &self.limit.to_string());
        query.extend_pairs(self.after.as_deref().map(|after| ("after", after)));
        Ok(query.finish())
    }
}

#[derive(clap::Args)]
struct ParkedArgs {
    /// Name the call by its task (WT…) or its customer's leg (CA…)
    #[arg(required_unless_present = "all", conflicts_with = "all", value_parser = sid)]
    sid: Option<String>,
    #[command(flatten)]
    bulk: BulkArgs,
    /// Print JSON: {task, done}, or with --all {tasks, done}
    #[arg(long)]
    json: bool,
}

impl Calls {
    pub(super) async fn run(self) -> CommandResult {
        let service = match self.admin.running() {
            Ok(service) => service,
            Err(error) => return Ok(misused(&error)),
        };
        let paint = Paint::for_stdout();
        match self.command {
            CallsCommand::List(list) => {
                let found: CallList = service.get(&format!("/calls?{}", list.query()?)).await?;
                if list.json { print_json(&found)? } else { paint.list(&found) }
            }
            CallsCommand::Show { sid, json } => {
                let task = task(&service, &sid).await?;
                let story: CallStory = service.get(&format!("/calls/{task}")).await?;
                if json { print_json(&story)? } else { paint.story(&story) }
            }
            CallsCommand::Export { sid, out } => export(&service, &sid, out).await?,
            CallsCommand::Redrive(parked) => return act(&service, &parked, REDRIVE).await,
            CallsCommand::Dismiss(parked) => return act(&service, &parked, DISMISS).await,
            CallsCommand::Pause(pause) => pause.run(&service).await?,
            CallsCommand::Resume(resume) => resume.run(&service).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn export(service: &Running, sid: &str, out: Option<PathBuf>) -> anyhow::Result<()> {
    let task = task(service, sid).await?;
    let evidence: serde_json::Value = service.get(&format!("/calls/{task}/export")).await?;
    match out {
        None => print_json(&evidence),
        Some(file) => {
            let text = serde_json::to_string_pretty(&evidence)? + "\n";
            std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
            say(&format!("{task}: exported to {}", file.display()));
            Ok(())
        }
    }
}

async fn act(service: &Running, asked: &ParkedArgs, act: ParkedAction) -> CommandResult {
    let Some(sid) = &asked.sid else { return asked.bulk.act(service, act, asked.json).await };
    let task = task(service, sid).await?;
    let said = service.ask(Method::POST, &format!("/calls/{task}/{}", act.word)).await?;
    if asked.json {
        print_json(&serde_json::from_str::<serde_json::Value>(&said)?)?;
    } else {
        say(&format!("{task}: {}", act.outcome));
    }
    Ok(ExitCode::SUCCESS)
}
