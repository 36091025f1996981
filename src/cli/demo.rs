//! `demo`: every story told to the real worker by a simulated Twilio, and what came of it.

use super::stage::Stage;
use super::{CommandResult, audio, misused, say};
use crate::sim::Behaviour;
use crate::sim::scenario::{self, STORIES, Scenario};
use crate::timeline;
use anyhow::{Context as _, anyhow};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = "Needs no account and no network: everything happens on loopback ports.\n\
                  Exit codes: 0 every story went as it should; 1 a violation, or a story that did not; 2 wrong arguments.")]
pub(super) struct Demo {
    /// Tell only this story; `--list` names them.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Name the stories and end.
    #[arg(long)]
    list: bool,
    /// Milliseconds that each request to the simulated Twilio takes.
    #[arg(long, value_name = "MS", default_value_t = 80)]
    latency_ms: u64,
    /// Milliseconds until a guard that was set takes effect and can be read back.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    lag_ms: i64,
    /// Only the table, without the timelines.
    #[arg(long)]
    brief: bool,
}

/// One line of the table.
struct Line {
    story: String,
    started: usize,
    stopped: usize,
    requests: usize,
    outside_ms: i64,
    violations: usize,
    failures: usize,
}

impl Demo {
    pub(super) async fn run(self) -> CommandResult {
        let mut stories = Vec::new();
        for (name, text) in STORIES {
            stories.push(scenario::read(text).with_context(|| format!("the story {name} cannot be read"))?);
        }
        if self.list {
            for story in &stories {
                say(&format!("{:<38} {}", story.name, story.title));
            }
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(name) = &self.scenario {
            stories.retain(|story| story.name == *name);
            if stories.is_empty() {
                return Ok(misused(&anyhow!("there is no story \"{name}\": `demo --list` names them")));
            }
        }
        let mut table = Vec::new();
        for story in &stories {
            table.push(self.tell(story).await?);
        }
        summarise(&table);
        let good = table.iter().all(|line| line.violations == 0 && line.failures == 0);
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn tell(&self, story: &Scenario) -> anyhow::Result<Line> {
        let base = Behaviour { latency_ms: self.latency_ms, guard_lag_ms: self.lag_ms, ..Behaviour::default() };
        let behaviour = story.behaviour(&base).with_context(|| format!("the story {} cannot be told", story.name))?;
        let stage = Stage::set_with_audio(behaviour, "").await.context("the demo cannot start")?;
        let outcome = stage.tell(story).await;
        let mut failures = outcome.failures;
        let violations = stage.sim.violations();
        let mut line = Line {
            story: story.name.clone(),
            started: 0,
            stopped: 0,
            requests: 0,
            outside_ms: 0,
            violations: violations.len(),
            failures: 0,
        };
        say(&format!("\n── {}: {}", story.name, story.title));
        for task in &outcome.tasks {
            let facts = stage.facts(task).await?;
            if !self.brief {
                say(&timeline::render(&facts));
                audio::lines(&stage, task, facts.first().map_or(0, |fact| fact.at)).iter().for_each(|line| say(line));
            }
            failures.extend(audio::complaints(&stage, task));
            if let Some(report) = stage.sim.report(task) {
                line.started += report.streams.len();
                line.stopped += report.streams.iter().filter(|stream| stream.stopped_at.is_some()).count();
                line.requests += report.requests;
                line.outside_ms += report.outside_ms;
            }
        }
        for violation in &violations {
            say(&format!("VIOLATION: {violation}"));
        }
        line.failures = failures.len();
        for failure in &failures {
            say(&format!("NOT AS EXPECTED: {failure}"));
        }
        stage.clear().await;
        Ok(line)
    }
}

fn summarise(table: &[Line]) {
    say(&format!(
        "\n{:<38} {:>7} {:>7} {:>8} {:>10} {:>10}",
        "story", "started", "stopped", "requests", "outside ms", "violations"
    ));
    for line in table {
        let Line { story, started, stopped, requests, outside_ms, violations, failures } = line;
        let verdict = if *failures == 0 { "" } else { "  not as expected" };
        say(&format!("{story:<38} {started:>7} {stopped:>7} {requests:>8} {outside_ms:>10} {violations:>10}{verdict}"));
    }
    let violations: usize = table.iter().map(|line| line.violations).sum();
    let failures: usize = table.iter().map(|line| line.failures).sum();
    say(&format!("\n{} stories, {violations} violations, {failures} expectations not met", table.len()));
}
