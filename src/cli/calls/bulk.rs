//! `calls redrive --all` and `calls dismiss --all`: shows what it would do, asks, and does it.

use crate::call::sid::TaskSid;
use crate::cli::running::Running;
use crate::cli::{CommandResult, say};
use crate::console::view::{CallList, CallView};
use anyhow::Context as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Nothing was changed, for want of a confirmation.
const NOT_CONFIRMED: u8 = 3;

/// The service's limit for one page.
pub(super) const LONGEST_PAGE: u16 = 500;

#[derive(clap::Args)]
pub(super) struct BulkArgs {
    /// Act on every call with a parked change that can still be helped (previews first)
    #[arg(long)]
    all: bool,
    /// With --all: act on the calls that are over instead, which nothing can help any more
    #[arg(long, requires = "all")]
    over: bool,
    /// With --all: act without asking
    #[arg(long, requires = "all")]
    yes: bool,
}

/// What to do with a call's parked changes.
#[derive(Clone, Copy)]
pub(super) struct ParkedAction {
    /// The last part of the service's path.
    pub(super) word: &'static str,
    pub(super) outcome: &'static str,
}

pub(super) const REDRIVE: ParkedAction =
    ParkedAction { word: "redrive", outcome: "parked changes are retried; `calls show` shows the result" };
pub(super) const DISMISS: ParkedAction = ParkedAction { word: "dismiss", outcome: "parked changes are dismissed" };

impl BulkArgs {
    /// Acts on every parked call that can still be helped; with `--over` on those that cannot.
    pub(super) async fn act(&self, service: &Running, act: ParkedAction, json: bool) -> CommandResult {
        let ParkedAction { word, outcome } = act;
        let all = parked(service).await?;
        let (chosen, left_out): (Vec<CallView>, Vec<CallView>) =
            all.into_iter().partition(|call| call.is_helpable() != self.over);
        if !self.yes && !chosen.is_empty() {
            self.preview(&chosen, left_out.len(), word);
            if json || !is_confirmed()? {
                say("nothing was changed: confirmation required (--yes)");
                return Ok(ExitCode::from(NOT_CONFIRMED));
            }
        }
        let tasks = act_on(service, chosen.into_iter().map(|call| call.task).collect(), word).await?;
        if json {
            say(&serde_json::to_string_pretty(&serde_json::json!({"tasks": tasks, "done": word}))?);
        } else {
            say(&format!("{} calls: {outcome}", tasks.len()));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn preview(&self, chosen: &[CallView], left_out: usize, word: &str) {
        for call in chosen {
            for parked in call.parked.iter().filter(|parked| parked.helpable != self.over) {
                say(&format!("would {word} {}: {}: {}", call.task, parked.change, parked.reason));
            }
        }
        let others = if self.over { "can still be helped" } else { "are over, so that nothing can help them (--over)" };
        if left_out > 0 {
            say(&format!("left out: {left_out} calls that {others}"));
        }
    }
}

fn is_confirmed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut out = std::io::stdout();
    write!(out, "Go on? [y/N] ").and_then(|()| out.flush()).context("the question cannot be asked")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("the answer cannot be read")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Every parked call, listed before the first is acted on, so that one that is parked again at once is not met twice.
async fn parked(service: &Running) -> anyhow::Result<Vec<CallView>> {
    let (mut parked, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/calls?state=parked&limit={LONGEST_PAGE}&after={after}");
        let CallList { calls, next, .. } = service.get(&path).await?;
        parked.extend(calls);
        match next {
            Some(next) => after = next,
            None => return Ok(parked),
        }
    }
}

/// The calls that it was done for: some may have been handled meanwhile.
async fn act_on(service: &Running, tasks: Vec<TaskSid>, word: &str) -> anyhow::Result<Vec<TaskSid>> {
    let (mut acted, count) = (Vec::new(), tasks.len());
    for task in tasks {
        let asked = service.ask_unless_moot(&format!("/calls/{task}/{word}")).await;
        let taken = asked.with_context(|| format!("after {} of {count} calls", acted.len()))?;
        acted.extend(taken.then_some(task));
    }
    Ok(acted)
}
