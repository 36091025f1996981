//! The seeded lab: Twilio's world and the core in one thread, with a clock that is a number. No HTTP, no sleeping, no chance
//! that a seed does not name: whatever fails, fails again with `LAB_SEED=<seed>`.
//!
//! | file | what it is |
//! |---|---|
//! | [`plan`] | what will happen in a night, drawn from a seed; and how to make it smaller |
//! | [`night`] | the night: people, events on their way, requests under way, a worker that may die |
//! | [`bridge`] | requests and answers without a network, by the client's and the simulator's own functions |
//! | [`ledger`], [`hold`] | what the core is held to, kept by simpler means |
//! | [`laws`] | the invariants |
//!
//! `LAB_SEEDS=n` runs that many seeds beyond the checked-in ones, from `LAB_FROM` on; `LAB_SEED=s` runs one and tells it.

mod bridge;
pub(crate) mod dice;
mod hold;
mod laws;
mod ledger;
mod night;
mod plan;
mod stories;

use night::{Counted, Night, START};
use plan::Plan;
use std::fmt::Write as _;
use taskrouter_streams::timeline;

/// Seeds that failed once.
const FAILED_ONCE: &str = include_str!("seeds.txt");

/// How a night went.
struct Dawn {
    failure: Option<String>,
    counted: Counted,
    tale: String,
}

fn play(plan: &Plan) -> Dawn {
    let mut night = Night::new(plan);
    let failure = play_out(&mut night).err();
    let mut tale = String::new();
    if failure.is_some() {
        for (at, line) in &night.log {
            let ms = at - START;
            writeln!(tale, "{:>6}.{:03} s  {line}", ms / 1000, ms % 1000).unwrap();
        }
        let began = night.facts.first().map_or(0, |fact| fact.at - START);
        write!(tale, "the journal, {began} ms later:\n{}", timeline::render(&night.facts)).unwrap();
    }
    Dawn { failure, counted: night.counted(), tale }
}

fn play_out(night: &mut Night<'_>) -> Result<(), String> {
    let plan = night.plan;
    for (pause, action) in &plan.actions {
        night.pass(*pause)?;
        night.act(action)?;
    }
    night.calm_down();
    night.rest()?;
    laws::at_rest(night, plan.is_smooth())?;
    night.redrive()?;
    night.rest()?;
    laws::at_rest(night, true)
}

/// Leaves out of the plan whatever can go while the night still fails.
fn shrunk(mut plan: Plan) -> Plan {
    'smaller: loop {
        for smaller in plan.smaller() {
            if smaller.weight() < plan.weight() && play(&smaller).failure.is_some() {
                plan = smaller;
                continue 'smaller;
            }
        }
        return plan;
    }
}

/// The complaint about a seed that fails.
fn complaint(seed: u64) -> Option<String> {
    let first = play(&Plan::drawn(seed)).failure?;
    let plan = shrunk(Plan::drawn(seed));
    let dawn = play(&plan);
    let Plan { faults, mishaps, crashes, behaviour, policy, .. } = &plan;
    Some(format!(
        "LAB_SEED={seed}: {first}\nmade smaller: {}\nfaults {faults:?}, mishaps {mishaps:?}, crashes {crashes:?}\n{behaviour:?}\n{policy:?}\n{}",
        dawn.failure.unwrap_or_default(),
        dawn.tale
    ))
}

/// For whoever waits for a long run.
#[expect(clippy::print_stdout, reason = "libtest shows it with --nocapture")]
fn told(line: String) {
    println!("{line}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn seeds_that_failed_once() -> impl Iterator<Item = u64> {
    FAILED_ONCE
        .lines()
        .map(|line| line.split('#').next().unwrap().trim())
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().unwrap())
}

fn none(complaints: &[String]) {
    assert!(
        complaints.is_empty(),
        "{} seeds fail\n{}",
        complaints.len(),
        complaints.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n")
    );
}

#[test]
fn seeds_that_failed_once_hold() {
    none(&seeds_that_failed_once().filter_map(complaint).collect::<Vec<_>>());
}

#[test]
fn whatever_happens_in_a_night_the_invariants_hold() {
    if let Some(seed) = number("LAB_SEED") {
        return none(&complaint(seed).into_iter().collect::<Vec<_>>());
    }
    let (from, count) = (number("LAB_FROM").unwrap_or(0), number("LAB_SEEDS").unwrap_or(300));
    let began = std::time::Instant::now();
    let (mut failed, mut sum) = (Vec::new(), Counted::default());
    for seed in from..from + count {
        let dawn = play(&Plan::drawn(seed));
        sum.add(dawn.counted);
        if dawn.failure.is_some() && failed.len() < 100 {
            failed.push(seed);
        }
    }
    told(format!("{count} seeds in {:.1} s: {sum:?}; failed: {failed:?}", began.elapsed().as_secs_f64()));
    assert!(sum.redirects > u32::try_from(count).unwrap() / 2, "nights in which nothing happens say little");
    none(&failed.into_iter().take(5).filter_map(complaint).collect::<Vec<_>>());
}
