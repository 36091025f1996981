//! `demo`: every story told to the real worker by a simulated Twilio, and what came of it.

use super::compare::compare;
use super::scenario_run::{Figures, tell};
use super::{CommandResult, misused, say};
use anyhow::{Context as _, anyhow};
use std::path::PathBuf;
use std::process::ExitCode;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::config::Mode;
use taskrouter_streams::timeline;
use twilio_simulator::SimConfig;
use twilio_simulator::scenario::{self, SCENARIOS, Scenario};

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
    /// How the worker starts and stops streams.
    #[arg(long, value_enum, default_value_t = Way::Redirect)]
    strategy: Way,
    /// The worker in shadow mode: what it would do is shown, and Twilio is only read.
    #[arg(long)]
    shadow: bool,
    /// Tell every story by both strategies and print their figures side by side.
    #[arg(long, conflicts_with_all = ["strategy", "brief", "shadow"])]
    compare: bool,
    /// With --compare: draw the first story, by both strategies, into this SVG file.
    #[arg(long, value_name = "FILE", requires = "compare")]
    picture: Option<PathBuf>,
}

/// The strategies, as arguments.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Way {
    /// New TwiML for the customer's leg, which rejoins the conference.
    Redirect,
    /// The leg's Streams resource, which leaves the leg where it is.
    StreamsApi,
}

impl From<Way> for Strategy {
    fn from(way: Way) -> Self {
        match way {
            Way::Redirect => Strategy::Redirect,
            Way::StreamsApi => Strategy::StreamsApi,
        }
    }
}

impl Demo {
    pub(super) async fn run(self) -> CommandResult {
        let mut stories = Vec::new();
        for (name, text) in SCENARIOS {
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
        let base = SimConfig { latency_ms: self.latency_ms, guard_lag_ms: self.lag_ms, ..SimConfig::default() };
        let good = if self.compare {
            compare(&stories, &base, self.picture.as_deref()).await?
        } else {
            self.tell_all(&stories, &base).await?
        };
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn tell_all(&self, stories: &[Scenario], base: &SimConfig) -> anyhow::Result<bool> {
        let mode = if self.shadow { Mode::Shadow } else { Mode::Live };
        let mut table = Vec::new();
        for story in stories {
            say(&format!("\n── {}: {}", story.name, story.title));
            let telling = tell(story, base, self.strategy.into(), mode).await?;
            for (facts, heard) in telling.calls.iter().filter(|_| !self.brief) {
                say(&timeline::render(facts));
                heard.iter().for_each(|line| say(line));
            }
            telling.complaints.iter().for_each(|complaint| say(complaint));
            table.push((story.name.clone(), telling.figures));
        }
        summarise(&table);
        Ok(table.iter().all(|(_, figures)| figures.is_good()))
    }
}

fn summarise(table: &[(String, Figures)]) {
    say(&format!(
        "\n{:<38} {:>7} {:>7} {:>8} {:>10} {:>10}",
        "story", "started", "stopped", "requests", "outside ms", "violations"
    ));
    for (story, figures) in table {
        let Figures { started, stopped, requests, outside_ms, violations, failures, .. } = figures;
        let verdict = if *failures == 0 { "" } else { "  not as expected" };
        say(&format!("{story:<38} {started:>7} {stopped:>7} {requests:>8} {outside_ms:>10} {violations:>10}{verdict}"));
    }
    let violations: usize = table.iter().map(|(_, figures)| figures.violations).sum();
    let failures: usize = table.iter().map(|(_, figures)| figures.failures).sum();
    say(&format!("\n{} stories, {violations} violations, {failures} expectations not met", table.len()));
}
