//! `calls`: the console in the terminal. It asks the running service, because only one process may use a SQLite journal.

use super::running::{Admin, Running};
use super::{CommandResult, misused, say};
use crate::call::sid::TaskSid;
use crate::console::view::{CallList, CallStory, CallView, LineView};
use anyhow::{Context as _, anyhow};
use reqwest::Method;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// The service's limit for one page.
const LONGEST_PAGE: u16 = 500;

#[derive(clap::Args)]
#[command(
    after_help = "Asks the service at admin.listen, or at --admin. Reads only [admin] of the configuration; the token comes \
                  from admin.token or TRS__ADMIN__TOKEN.\n\
                  Exit codes: 0 done; 1 the service refused or did not answer; 2 wrong arguments or configuration."
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
    List {
        /// List only calls with a parked change
        #[arg(long, conflicts_with = "live")]
        parked: bool,
        /// List only calls that are not over
        #[arg(long)]
        live: bool,
        /// List at most this many calls
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(LONGEST_PAGE)))]
        limit: u16,
        /// Page cursor: `next` of the previous page
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a call's agents, streams and timeline
    Show {
        /// Name the call by its task (WT…) or its customer's leg (CA…)
        sid: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Retry a call's parked changes
    Redrive(ParkedArgs),
    /// Dismiss a call's parked changes, leaving the call as it is
    Dismiss(ParkedArgs),
}

#[derive(clap::Args)]
struct ParkedArgs {
    /// Name the call by its task (WT…) or its customer's leg (CA…)
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    sid: Option<String>,
    /// Act on every call with a parked change
    #[arg(long)]
    all: bool,
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
        let paint = Paint { colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };
        match self.command {
            CallsCommand::List { parked, live, limit, after, json } => {
                let state = match (parked, live) {
                    (true, _) => "parked",
                    (false, true) => "live",
                    (false, false) => "all",
                };
                let list = page(&service, state, limit, after.as_deref()).await?;
                if json { print_json(&list)? } else { paint.list(&list) }
            }
            CallsCommand::Show { sid, json } => {
                let task = task(&service, &sid).await?;
                let story: CallStory = service.get(&format!("/calls/{task}")).await?;
                if json { print_json(&story)? } else { paint.story(&story) }
            }
            CallsCommand::Redrive(parked) => act(&service, &parked, REDRIVE).await?,
            CallsCommand::Dismiss(parked) => act(&service, &parked, DISMISS).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A page of calls; `after` is the previous page's `next`.
async fn page(service: &Running, state: &str, limit: u16, after: Option<&str>) -> anyhow::Result<CallList> {
    let mut query = form_urlencoded::Serializer::new(format!("state={state}&limit={limit}"));
    query.extend_pairs(after.map(|after| ("after", after)));
    service.get(&format!("/calls?{}", query.finish())).await
}

/// What to do with a call's parked changes.
#[derive(Clone, Copy)]
struct ParkedAction {
    /// The last part of the service's path.
    word: &'static str,
    outcome: &'static str,
}

const REDRIVE: ParkedAction =
    ParkedAction { word: "redrive", outcome: "parked changes are retried; `calls show` shows the result" };
const DISMISS: ParkedAction = ParkedAction { word: "dismiss", outcome: "parked changes are dismissed" };

async fn act(service: &Running, asked: &ParkedArgs, act: ParkedAction) -> anyhow::Result<()> {
    let ParkedAction { word, outcome } = act;
    let (said, whose) = match &asked.sid {
        Some(sid) => {
            let task = task(service, sid).await?;
            let said = service.ask(Method::POST, &format!("/calls/{task}/{word}")).await?;
            (serde_json::from_str::<serde_json::Value>(&said)?, task)
        }
        None => {
            let tasks = act_on_all(service, word).await?;
            (serde_json::json!({"tasks": tasks, "done": word}), format!("{} calls", tasks.len()))
        }
    };
    if asked.json {
        print_json(&said)?
    } else {
        say(&format!("{whose}: {outcome}"))
    }
    Ok(())
}

/// Lists every call before acting on the first, so that one that is parked again at once is not met twice.
async fn act_on_all(service: &Running, word: &str) -> anyhow::Result<Vec<TaskSid>> {
    let (mut parked, mut after) = (Vec::new(), None);
    loop {
        let CallList { calls, next } = page(service, "parked", LONGEST_PAGE, after.as_deref()).await?;
        parked.extend(calls.into_iter().map(|call| call.task));
        after = next;
        if after.is_none() {
            break;
        }
    }
    let (mut acted, count) = (Vec::new(), parked.len());
    for task in parked {
        let asked = service.ask_unless_moot(&format!("/calls/{task}/{word}")).await;
        let taken = asked.with_context(|| format!("after {} of {count} calls", acted.len()))?;
        acted.extend(taken.then_some(task));
    }
    Ok(acted)
}

/// The task of a SID, which may be the customer's leg.
async fn task(service: &Running, sid: &str) -> anyhow::Result<String> {
    let is_sid = sid.len() == 34 && sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    anyhow::ensure!(
        is_sid,
        "not a SID: name a call by its task (WT + 32 hex digits) or its customer's leg (CA + 32 hex digits)"
    );
    if sid.starts_with("WT") {
        return Ok(sid.to_owned());
    }
    let list: CallList = service.get(&format!("/calls?state=all&limit=1&find={sid}")).await?;
    list.calls.first().map(|call| call.task.to_string()).ok_or_else(|| anyhow!("no call has the leg {sid}"))
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Colours on a terminal, none elsewhere.
#[derive(Clone, Copy)]
struct Paint {
    colours: bool,
}

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "1;31";
const BOLD: &str = "1";
const DIM: &str = "2";

impl Paint {
    fn with(self, colour: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn list(self, list: &CallList) {
        if list.calls.is_empty() {
            say("no calls");
            return;
        }
        let several = list.calls.iter().any(|call| call.account.is_some());
        let changed = if several { format!("{:<19}  account", "changed (UTC)") } else { "changed (UTC)".to_owned() };
        let heading =
            format!("{:<34}  {:<14}  {:<7}  {:<7}  {:<8}  {changed}", "call", "state", "agents", "streams", "hold");
        say(&self.with(BOLD, &heading));
        for call in &list.calls {
            let on_call = call.agents.iter().filter(|agent| agent.status == "on the call").count();
            let streams = call.streams.iter().filter(|stream| stream.live).count();
            let (state, colour) = state(call);
            let state = self.with(colour, &format!("{state:<14}"));
            let hold = if call.held == Some(true) && !call.over { "held" } else { "-" };
            let account = call.account.as_ref().map(|name| format!("  {name}")).unwrap_or_default();
            say(&format!(
                "{}  {state}  {on_call:<7}  {streams:<7}  {hold:<8}  {}{account}",
                call.task,
                time(call.changed_ms)
            ));
        }
        if let Some(next) = &list.next {
            say(&self.with(DIM, &format!("more calls follow: --after {next}")));
        }
    }

    fn story(self, story: &CallStory) {
        let CallStory { call, timeline } = story;
        let (state, colour) = state(call);
        say(&format!("{}  {}", self.with(BOLD, call.task.as_str()), self.with(colour, &state)));
        if let Some(account) = &call.account {
            say(&format!("account {account}"));
        }
        if let Some(customer) = &call.customer {
            let guard = call.guard.as_deref().unwrap_or("changing");
            let hold = if call.held == Some(true) { ", held" } else { "" };
            say(&format!("customer {customer}: guard {guard}{hold}"));
        }
        for agent in &call.agents {
            let worker = agent.worker.as_ref().map_or("worker unknown", |worker| worker.as_str());
            say(&format!("{}: {} ({worker}, {})", agent.name, agent.status, agent.reservation));
        }
        for stream in &call.streams {
            let error = stream.error.map(|code| format!(", Twilio error {code}")).unwrap_or_default();
            let colour = match (stream.live, stream.orphan || !stream.proven, stream.error) {
                (true, true, _) => YELLOW,
                (true, false, _) => GREEN,
                (false, _, Some(_)) => RED,
                (false, _, None) => DIM,
            };
            let state = self.with(colour, &format!("{}{error}", stream.state));
            say(&format!("stream {} on destination {} for {}: {state}", stream.name, stream.destination, stream.agent));
        }
        for parked in &call.parked {
            say(&self.with(RED, &format!("parked: {}: {}", parked.change, parked.reason)));
        }
        say("");
        for line in timeline {
            say(&self.line(line));
        }
    }

    fn line(self, line: &LineView) -> String {
        let (mark, colour) = match line.kind.as_str() {
            "event" | "operator" => ("", BOLD),
            "stream" => ("    ", ""),
            "warning" => ("  ! ", YELLOW),
            "failure" => ("  → ", YELLOW),
            "not-sent" => ("  ⇢ ", ""),
            "parked" => ("  ✗ PARKED: ", RED),
            _ => ("  → ", ""),
        };
        let text = format!("{mark}{}", line.text);
        let text = if colour.is_empty() { text } else { self.with(colour, &text) };
        let why = line.why.as_ref().map(|why| self.with(DIM, &format!("  [to {why}]"))).unwrap_or_default();
        format!("{:>6}.{:03} s  {text}{why}", line.after_ms / 1000, line.after_ms % 1000)
    }
}

fn state(call: &CallView) -> (String, &'static str) {
    let shadow = if call.shadow { " (shadow)" } else { "" };
    let (state, colour) = plain_state(call);
    (format!("{state}{shadow}"), colour)
}

fn plain_state(call: &CallView) -> (String, &'static str) {
    match (call.parked.len(), call.over) {
        (0, true) => ("over".to_owned(), DIM),
        (0, false) => ("live".to_owned(), GREEN),
        (parked, true) => (format!("over, {parked} parked"), RED),
        (parked, false) => (format!("live, {parked} parked"), RED),
    }
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}
