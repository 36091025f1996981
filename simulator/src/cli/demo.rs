//! `demo`: runs every scenario against the real service and reports what happened.

use super::compare::compare;
use super::scenario_run::{Figures, ScenarioRun, Told, assumed, run};
use super::{CommandResult, misused, say, ways};
use anyhow::{Context as _, anyhow};
use std::path::PathBuf;
use std::process::ExitCode;
use taskrouter_streams::call::fact::Fact;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::config::Mode;
use taskrouter_streams::console::view::{AccountNames, CallView};
use taskrouter_streams::timeline;
use twilio_simulator::SimConfig;
use twilio_simulator::scenario::{self, SCENARIOS, Scenario};

#[derive(clap::Args)]
#[command(after_help = "Needs no account and no network: everything happens on loopback ports.\n\
                  Exit codes: 0 every scenario met its expectations; 1 a violation or an unmet expectation; 2 wrong arguments.")]
pub(super) struct Demo {
    /// Run only this scenario; `--list` names them.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// List the scenarios and exit.
    #[arg(long)]
    list: bool,
    /// Answer each API request after this many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 80)]
    latency_ms: u64,
    /// Apply a written guard after this many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    lag_ms: i64,
    /// Let a redirected customer take this many milliseconds to be in the conference again.
    #[arg(long, value_name = "MS", default_value_t = 250)]
    rejoin_ms: i64,
    /// Print the summary table only, without timelines.
    #[arg(long)]
    brief: bool,
    /// Start and stop streams by this strategy.
    #[arg(long, value_enum, default_value_t = Way::StreamsApi)]
    strategy: Way,
    /// Run the service in shadow mode: it shows what it would do, and only reads from Twilio.
    #[arg(long)]
    shadow: bool,
    /// Run every scenario by both strategies and print their figures side by side.
    #[arg(long, conflicts_with_all = ["strategy", "brief", "shadow"])]
    compare: bool,
    /// With --compare: draw the first scenario, by both strategies, into this SVG file.
    #[arg(long, value_name = "FILE", requires = "compare")]
    picture: Option<PathBuf>,
}

/// The strategies, as arguments.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
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
        let mut scenarios = Vec::new();
        for (name, text) in SCENARIOS {
            scenarios.push(scenario::read(text).with_context(|| format!("cannot read the scenario {name}"))?);
        }
        if self.list {
            for scenario in &scenarios {
                say(&format!("{:<40} {}", scenario.name, scenario.title));
            }
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(name) = &self.scenario {
            scenarios.retain(|scenario| scenario.name == *name);
            if scenarios.is_empty() {
                return Ok(misused(&anyhow!("--scenario {name}: unknown scenario (`demo --list` names them)")));
            }
        }
        let base = SimConfig {
            latency_ms: self.latency_ms,
            guard_lag_ms: self.lag_ms,
            rejoin_ms: self.rejoin_ms,
            ..SimConfig::default()
        };
        let good = if self.compare {
            compare(&scenarios, &base, self.picture.as_deref()).await?
        } else {
            self.run_all(&scenarios, &base).await?
        };
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn run_all(&self, scenarios: &[Scenario], base: &SimConfig) -> anyhow::Result<bool> {
        let mode = if self.shadow { Mode::Shadow } else { Mode::Live };
        let mut table = Vec::new();
        for scenario in scenarios {
            say(&format!("\n── {}: {}", scenario.name, scenario.title));
            let run = run(scenario, base, self.strategy.into(), mode).await?;
            for Told { task, facts, heard } in run.calls.iter().filter(|_| !self.brief) {
                say(&timeline::render(facts));
                show_streams(task, facts);
                heard.iter().for_each(|line| say(line));
            }
            run.complaints.iter().for_each(|complaint| say(complaint));
            if table.is_empty() && !self.brief && !self.shadow {
                self.show_both_ways(scenario, base, &run).await?;
            }
            table.push((scenario.name.clone(), run.figures));
        }
        summarise(scenarios.len(), &table);
        say(&assumed(base));
        Ok(table.iter().all(|(_, figures)| figures.is_good()))
    }

    /// Runs the scenario by the other strategy as well and shows how each starts a stream.
    async fn show_both_ways(&self, scenario: &Scenario, base: &SimConfig, this: &ScenarioRun) -> anyhow::Result<()> {
        let other_way = match self.strategy {
            Way::Redirect => Way::StreamsApi,
            Way::StreamsApi => Way::Redirect,
        };
        let other = run(scenario, base, other_way.into(), Mode::Live).await?;
        let facts = |run: &ScenarioRun| run.calls.first().map(|told| told.facts.clone()).unwrap_or_default();
        let (this, other) = (facts(this), facts(&other));
        match self.strategy {
            Way::Redirect => ways::beside(&this, &other),
            Way::StreamsApi => ways::beside(&other, &this),
        }
        Ok(())
    }
}

/// The streams of a call as the service shows them.
fn show_streams(task: &TaskSid, facts: &[Fact]) {
    let view = CallView::of(task, facts, &AccountNames::default());
    for stream in view.into_iter().flat_map(|view| view.streams) {
        say(&format!("stream of {} on destination {}: {}", stream.agent, stream.destination, stream.state));
    }
}

fn summarise(scenarios: usize, table: &[(String, Figures)]) {
    say(&format!(
        "\n{:<40} {:>7} {:>7} {:>7} {:>8} {:>10} {:>10}",
        "scenario", "taken", "running", "stopped", "requests", "outside ms", "violations"
    ));
    for (scenario, figures) in table {
        let Figures { taken, running, stopped, requests, outside_ms, violations, failures, .. } = figures;
        let verdict = if *failures == 0 { "" } else { "  unmet expectations" };
        say(&format!(
            "{scenario:<40} {taken:>7} {running:>7} {stopped:>7} {requests:>8} {outside_ms:>10} {violations:>10}{verdict}"
        ));
    }
    let violations: usize = table.iter().map(|(_, figures)| figures.violations).sum();
    let failures: usize = table.iter().map(|(_, figures)| figures.failures).sum();
    let counts = [
        counted(scenarios, "scenario", "scenarios"),
        counted(violations, "violation", "violations"),
        counted(failures, "unmet expectation", "unmet expectations"),
    ];
    say(&format!("\n{}", counts.join(", ")));
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
