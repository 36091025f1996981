//! `demo --compare`: the same scenarios, from the same seed, by both strategies side by side.

use super::say;
use super::scenario_run::{Figures, ScenarioRun, assumed, run};
use anyhow::Context as _;
use std::path::Path;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::config::Mode;
use taskrouter_streams::console::picture;
use twilio_simulator::SimConfig;
use twilio_simulator::scenario::Scenario;

/// Runs every scenario twice and prints the table; false when anything went wrong. The first scenario is drawn into `file`,
/// if any.
pub(super) async fn compare(scenarios: &[Scenario], base: &SimConfig, file: Option<&Path>) -> anyhow::Result<bool> {
    say(&format!(
        "{:<40} {:^43}   {:^43}\n{:<40} {}   {}",
        "",
        Strategy::Redirect.as_str(),
        Strategy::StreamsApi.as_str(),
        "scenario",
        heading(),
        heading()
    ));
    let (mut good, mut totals) = (true, [Figures::default(), Figures::default()]);
    for (place, scenario) in scenarios.iter().enumerate() {
        let by_redirect = run(scenario, base, Strategy::Redirect, Mode::Live).await?;
        let by_api = run(scenario, base, Strategy::StreamsApi, Mode::Live).await?;
        say(&format!("{:<40} {}   {}", scenario.name, cells(&by_redirect.figures), cells(&by_api.figures)));
        for (strategy, run) in [(Strategy::Redirect, &by_redirect), (Strategy::StreamsApi, &by_api)] {
            run.complaints.iter().for_each(|complaint| say(&format!("  {}: {complaint}", strategy.as_str())));
            good &= run.figures.is_good();
        }
        if let Some(file) = file.filter(|_| place == 0) {
            draw(file, &by_redirect, &by_api)?;
        }
        for (total, run) in totals.iter_mut().zip([by_redirect, by_api]) {
            add(total, run.figures);
        }
    }
    let [by_redirect, by_api] = &totals;
    say(&format!("{:<40} {}   {}", "total (audio: median)", cells(by_redirect), cells(by_api)));
    say(&assumed(base));
    Ok(good)
}

fn draw(file: &Path, by_redirect: &ScenarioRun, by_api: &ScenarioRun) -> anyhow::Result<()> {
    let facts = |run: &ScenarioRun| run.calls.first().map(|told| told.facts.clone()).unwrap_or_default();
    let (by_redirect, by_api) = (facts(by_redirect), facts(by_api));
    let svg = picture(&[("redirect", &by_redirect), ("streams-api", &by_api)]);
    std::fs::write(file, svg)
        .with_context(|| format!("{} cannot be written: choose another file with --picture", file.display()))
}

fn heading() -> String {
    format!("{:>8} {:>12} {:>10} {:>10}", "requests", "audio after", "outside", "violations")
}

fn cells(figures: &Figures) -> String {
    let audio = figures.median_audio_after_ms().map_or("-".to_owned(), |ms| format!("{ms} ms"));
    let outside = format!("{} ms", figures.outside_ms);
    format!("{:>8} {audio:>12} {outside:>10} {:>10}", figures.requests, figures.violations + figures.failures)
}

fn add(total: &mut Figures, figures: Figures) {
    total.requests += figures.requests;
    total.outside_ms += figures.outside_ms;
    total.violations += figures.violations;
    total.failures += figures.failures;
    total.audio_after_ms.extend(figures.audio_after_ms);
}
