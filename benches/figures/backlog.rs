//! Starting with much to do: facts that are pending, and the calls that live on afterwards.

use crate::journals;
use crate::memory::resident_bytes;
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

const CALLS: u32 = 100_000;

/// Time until a worker has looked at 100,000 calls with a pending fact each, and its memory with all of them live.
pub(crate) async fn figures(postgres: Option<&str>) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("journal.db");
    fill(journals::sqlite(&path)).await;
    recover("SQLite", &format!("sqlite:{}", path.display())).await;
    if let Some(url) = postgres {
        fill(journals::postgres(url).await).await;
        recover("PostgreSQL", url).await;
    }
}

async fn fill(journal: Arc<dyn Journal>) {
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..64 {
        let journal = journal.clone();
        tasks.spawn(async move {
            for number in (part..CALLS).step_by(64) {
                journal.ingest(created(number)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    journal.close().await.unwrap();
}

/// A call that waits in its queue: live, and with nothing to do.
fn created(number: u32) -> NewFact {
    let call: TaskSid = format!("WT{number:032x}").parse().unwrap();
    let attributes =
        CallAttributes { customer: Some(format!("CA{number:032x}").parse().unwrap()), ..CallAttributes::default() };
    let task = TaskView {
        account: None,
        task: call.clone(),
        channel: Some("voice".to_owned()),
        version: Some(0),
        status: Some(TaskStatus::Pending),
        attributes,
        fields: Fields::new(),
    };
    let what = FactKind::Task(TaskEvent { stamp: EventStamp { sid: None, at: 1 }, change: TaskChange::Created, task });
    NewFact { call, identity: format!("EV{number:032x}"), fact: Fact { at: 1, kind: what } }
}

async fn recover(name: &str, journal_url: &str) {
    let before = resident_bytes();
    let began = Instant::now();
    let stage = Testbed::start_on(journal_url, SimConfig::default(), "").await.unwrap();
    let ready = began.elapsed();
    while stage.service.journal().backlog().await.unwrap().active > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let worked_off = began.elapsed();
    let live = stage.service.journal().backlog().await.unwrap().live;
    let more = resident_bytes().saturating_sub(before);
    println!("{name}, {CALLS} facts pending in as many calls");
    println!("  ready after {} ms, all looked at after {:.1} s", ready.as_millis(), worked_off.as_secs_f64());
    println!("  {:.0} calls/s: claim, read, fold, give back", f64::from(CALLS) / worked_off.as_secs_f64());
    println!(
        "  with {live} live calls at rest: {} KiB more in memory, {} bytes a call",
        more / 1024,
        more / CALLS as usize
    );
    stage.stop().await;
}
