//! The seeded lab: Twilio's world and the core in one thread, with a clock that is a number. No HTTP, no sleeping, no chance
//! that a seed does not name: whatever fails, fails again with `LAB_SEED=<seed>`.
//!
//! | file | what it is |
//! |---|---|
//! | [`plan`] | what will happen in a run, drawn from a seed; and how to make it smaller |
//! | [`run`] | the run: people, events on their way, requests under way, a worker that may die |
//! | [`bridge`] | requests and answers without a network, by the client's and the simulator's own functions |
//! | [`ledger`], [`hold`] | what the core is held to, kept by simpler means |
//! | [`laws`] | the invariants |
//!
//! `LAB_SEEDS=n` runs that many seeds beyond the checked-in ones, from `LAB_FROM` on; `LAB_SEED=s` runs one and tells it.

mod bridge;
mod hold;
mod laws;
mod ledger;
mod plan;
pub(crate) mod rng;
mod run;
mod stories;

use plan::Plan;
use run::{Counted, Run, START};
use std::fmt::Write as _;
use taskrouter_streams::timeline;

/// Seeds that failed once.
const FAILED_ONCE: &str = include_str!("seeds.txt");

/// How a run went.
struct RunReport {
    failure: Option<String>,
    counted: Counted,
    log: String,
}

fn play(plan: &Plan) -> RunReport {
    let mut run = Run::new(plan);
    let failure = play_out(&mut run).err();
    let mut log = String::new();
    if failure.is_some() {
        for (at, line) in &run.log {
            let ms = at - START;
            writeln!(log, "{:>6}.{:03} s  {line}", ms / 1000, ms % 1000).unwrap();
        }
        let began = run.facts.first().map_or(0, |fact| fact.at - START);
        write!(log, "the journal, {began} ms later:\n{}", timeline::render(&run.facts)).unwrap();
    }
    RunReport { failure, counted: run.counted(), log }
}

fn play_out(run: &mut Run<'_>) -> Result<(), String> {
    let plan = run.plan;
    for (pause, action) in &plan.actions {
        run.pass(*pause)?;
        run.act(action)?;
    }
    run.calm_down();
    run.rest()?;
    laws::at_rest(run, plan.is_smooth())?;
    run.redrive()?;
    run.rest()?;
    laws::at_rest(run, true)
}

/// For so long smaller plans are tried: what does not come to rest takes its time.
const SHRINK_FOR: std::time::Duration = std::time::Duration::from_secs(10);

/// Leaves out of the plan whatever can go while the run still fails.
fn shrunk(mut plan: Plan) -> Plan {
    let began = std::time::Instant::now();
    'smaller: loop {
        for smaller in plan.smaller() {
            if began.elapsed() > SHRINK_FOR {
                return plan;
            }
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
    let report = play(&plan);
    let Plan { faults, delivery_faults, crashes, behaviour, policy, .. } = &plan;
    Some(format!(
        "LAB_SEED={seed}: {first}\nmade smaller: {}\nfaults {faults:?}, delivery_faults {delivery_faults:?}, crashes {crashes:?}\n{behaviour:?}\n{policy:?}\n{}",
        report.failure.unwrap_or_default(),
        report.log
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

fn failed_seeds() -> impl Iterator<Item = u64> {
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
fn failed_seeds_hold() {
    none(&failed_seeds().filter_map(complaint).collect::<Vec<_>>());
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
        let report = play(&Plan::drawn(seed));
        sum.add(report.counted);
        if report.failure.is_some() && failed.len() < 100 {
            failed.push(seed);
        }
    }
    told(format!("{count} seeds in {:.1} s: {sum:?}; failed: {failed:?}", began.elapsed().as_secs_f64()));
    assert!(sum.redirects > u32::try_from(count).unwrap() / 2, "runs in which nothing happens say little");
    // Of twice as many something would be wrong with the excuses.
    let one_in = |many: u32| 5 + sum.redirects / many;
    assert!(sum.lost_races <= one_in(700), "callers are lost too often to be by chance: {sum:?}");
    assert!(sum.held_races <= one_in(35), "customers are held against all will too often to be by chance: {sum:?}");
    assert!(sum.unknowable_holds <= one_in(7), "holds that nobody can know are too many to be so by chance: {sum:?}");
    none(&failed.into_iter().take(5).filter_map(complaint).collect::<Vec<_>>());
}
