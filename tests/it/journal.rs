//! The journal: rules that every store keeps, then what is each store's own.

mod foreseen;
mod golden;
mod listing;
mod packing;
mod pooler;
mod postgres;
mod postgres_clock;
mod postgres_foreseen;
mod retention;
mod rules;
mod sigterm;
pub(crate) mod sqlite;
mod statement_log;

use crate::pace::scaled;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taskrouter_streams::call::fact::{Fact, FactKind};
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::call::step::{Goal, Operation, Read, Step};
use taskrouter_streams::journal::{Claim, Ingested, Journal, NewFact};

/// A lease that does not end during a test.
const LONG: Duration = Duration::from_secs(600);

/// How long a test waits for something before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somewhere that journals can be opened, closed and opened again.
trait Store {
    async fn open(&self, lease: Duration) -> Arc<dyn Journal>;
}

fn task(number: u32) -> TaskSid {
    format!("WT{number:032x}").parse().unwrap()
}

/// A fact that can be told from any other, with text that a careless store would break.
fn fact(number: i64) -> Fact {
    let friendly_name = format!("{number}: \"quoted\", 'quoted', \\ and \u{1f4de}\n");
    let step =
        Step { id: 1, operation: Operation::Read(Read::FindConference { friendly_name }), why: vec![Goal::LowerGuard] };
    Fact { at: number, kind: FactKind::Begun(step) }
}

fn event(call: u32, number: i64) -> NewFact {
    NewFact { call: task(call), identity: format!("{call}/{number}"), fact: fact(number).into() }
}

async fn ingest(journal: &dyn Journal, call: u32, number: i64) {
    assert_eq!(journal.ingest(event(call, number)).await.unwrap(), Ingested::New);
}

/// The claim of the only call that is due.
async fn claim_one(journal: &dyn Journal) -> Claim {
    let mut claims = journal.claim(10).await.unwrap();
    assert_eq!(claims.len(), 1, "one call should be due: {claims:?}");
    claims.remove(0)
}

async fn stored(journal: &dyn Journal, call: u32) -> Vec<Fact> {
    let facts = journal.facts(&task(call), 0).await.unwrap();
    let numbers: Vec<i64> = facts.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(numbers, (1..).take(facts.len()).collect::<Vec<i64>>(), "numbers without gaps");
    facts.into_iter().map(|(_, fact)| fact).collect()
}

/// Asks until there is an answer.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + scaled(PATIENCE);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not come true in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
