//! Starting with much to do: facts that are pending, and the calls that live on afterwards.

use crate::journals;
use crate::memory::resident_bytes;
use crate::server::Server;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taskrouter_streams::call::fact::{
    CallAttributes, EventStamp, Fact, FactKind, TaskChange, TaskEvent, TaskStatus, TaskView,
};
use taskrouter_streams::call::rules::Fields;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::journal::{Journal, NewFact};
use tempfile::TempDir;
use twilio_simulator::SimConfig;
use twilio_simulator::testbed::Testbed;

const SIZES: [u32; 5] = [5_000, 10_000, 20_000, 40_000, 100_000];

/// Calls that changed within ninety seconds are still looked at by the gauges.
const QUIET: Duration = Duration::from_secs(100);

/// How long a service at rest is watched.
const REST: Duration = Duration::from_secs(20);

/// Time until a worker has looked at so many calls with a pending fact each, and how it grows with their number.
pub(crate) async fn figures(postgres: impl AsyncFn(&str) -> Option<String>) {
    let mut times = [Vec::new(), Vec::new()];
    for calls in SIZES {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("journal.db");
        fill(journals::sqlite(&path), calls).await;
        times[0].push((calls, recover("SQLite", &format!("sqlite:{}", path.display()), calls).await));
        if let Some(url) = postgres(&format!("backlog_{calls}")).await {
            fill(journals::postgres(&url).await, calls).await;
            times[1].push((calls, recover("PostgreSQL", &url, calls).await));
        }
    }
    for (name, times) in ["SQLite", "PostgreSQL"].into_iter().zip(times) {
        if let [(few, quick), .., (many, slow)] = times[..] {
            let exponent = (slow / quick).ln() / (f64::from(many) / f64::from(few)).ln();
            println!("{name}: from {few} to {many} calls, time grows with the power of {exponent:.2}");
        }
    }
}

/// What a service takes that has 100,000 live calls and nothing to do.
pub(crate) async fn at_rest(postgres: Option<&str>) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("journal.db");
    let calls = SIZES[SIZES.len() - 1];
    fill(journals::sqlite(&path), calls).await;
    let mut stores = vec![("SQLite", format!("sqlite:{}", path.display()))];
    if let Some(url) = postgres {
        fill(journals::postgres(url).await, calls).await;
        stores.push(("PostgreSQL", url.to_owned()));
    }
    for (name, url) in stores {
        tokio::task::spawn_blocking(move || rest(name, &url)).await.unwrap();
    }
}

fn rest(name: &str, url: &str) {
    let server = Server::product(url, "http://127.0.0.1:9", &[]);
    server.works_off();
    std::thread::sleep(QUIET);
    let before = server.cpu();
    std::thread::sleep(REST);
    let share = (server.cpu() - before).as_secs_f64() / REST.as_secs_f64();
    let live = server.metric("calls{state=\"live\"}");
    println!(
        "{name}, {live} live calls at rest: {:.2} % of a core, {} MiB",
        share * 100.0,
        server.resident_bytes() >> 20
    );
}

async fn fill(journal: Arc<dyn Journal>, calls: u32) {
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..512 {
        let journal = journal.clone();
        tasks.spawn(async move {
            for number in (part..calls).step_by(512) {
                journal.ingest(updated(number)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    journal.close().await.unwrap();
}

/// A call that waits in its queue: live, and with nothing to do.
fn updated(number: u32) -> NewFact {
    // Spread, as SIDs are.
    let digits = format!("{:016x}{number:016x}", u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let call: TaskSid = format!("WT{digits}").parse().unwrap();
    let attributes =
        CallAttributes { customer: Some(format!("CA{digits}").parse().unwrap()), ..CallAttributes::default() };
    let task = TaskView {
        account: None,
        task: call.clone(),
        channel: Some("voice".to_owned()),
        version: Some(0),
        status: Some(TaskStatus::Pending),
        attributes,
        fields: Fields::new(),
    };
    let what = FactKind::Task(TaskEvent { stamp: EventStamp { sid: None, at: 1 }, change: TaskChange::Updated, task });
    NewFact { call, identity: format!("EV{digits}"), fact: Fact { at: 1, kind: what }.into() }
}

/// Returns the seconds.
async fn recover(name: &str, journal_url: &str, calls: u32) -> f64 {
    let before = resident_bytes();
    let began = Instant::now();
    let stage = Testbed::start_on(journal_url, SimConfig::default(), "").await.unwrap();
    let ready = began.elapsed();
    loop {
        let asked = Instant::now();
        if stage.service.journal().backlog().await.unwrap().active == 0 {
            break;
        }
        // A database counts every call for this: no more than a tenth of the time.
        tokio::time::sleep(Duration::from_millis(100).max(asked.elapsed() * 9)).await;
    }
    let worked_off = began.elapsed().as_secs_f64();
    let live = stage.service.journal().backlog().await.unwrap().live;
    let more = resident_bytes().saturating_sub(before);
    println!(
        "{name}, {calls} facts pending in as many calls: ready after {} ms, all looked at after {worked_off:.2} s; \
         {live} live, {} KiB more in memory",
        ready.as_millis(),
        more / 1024
    );
    stage.stop().await;
    worked_off
}
