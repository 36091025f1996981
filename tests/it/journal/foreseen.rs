//! What is done first about a call shares the commit of its event, in the SQLite journal.

use super::sqlite::Dir;
use super::*;
use std::sync::{Mutex, Weak};
use taskrouter_streams::call::sid::CallSid;
use taskrouter_streams::journal::{Due, Foreseen, Foresight, Seq};

/// Takes every call, and begins with the same fact.
#[derive(Default)]
struct Planner {
    first: Option<Fact>,
    asked: Mutex<Vec<(Claim, Vec<Seq>)>>,
    settled: Mutex<Vec<(Claim, bool)>>,
}

impl Foresight for Planner {
    fn foresee(
        &self,
        claim: &Claim,
        _: Instant,
        news: Vec<(Seq, Fact)>,
        _: &dyn Fn(&CallSid) -> bool,
    ) -> Option<Foreseen> {
        self.asked.lock().unwrap().push((claim.clone(), news.iter().map(|(seq, _)| *seq).collect()));
        Some(Foreseen { first: self.first.clone() })
    }

    fn settled(&self, claim: &Claim, is_durable: bool) {
        self.settled.lock().unwrap().push((claim.clone(), is_durable));
    }
}

impl Planner {
    fn consulted(journal: &dyn Journal, first: Option<Fact>) -> Arc<Self> {
        let planner = Arc::new(Self { first, ..Self::default() });
        let foresight: Weak<dyn Foresight> = Arc::<Self>::downgrade(&planner);
        journal.consult(foresight);
        planner
    }

    /// The claim of the only call that was taken.
    fn taken(&self) -> Claim {
        let settled = self.settled.lock().unwrap();
        let [(claim, true)] = &settled[..] else { panic!("{settled:?}") };
        claim.clone()
    }
}

/// A call of one fact that waits for another.
async fn waiting(journal: &dyn Journal) {
    ingest(journal, 1, 1).await;
    let claim = claim_one(journal).await;
    journal.release(&claim, 1, Due::OnFact).await.unwrap();
}

#[tokio::test]
async fn an_event_and_the_first_step_are_durable_together_under_a_claim() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    waiting(&*journal).await;
    let planner = Planner::consulted(&*journal, Some(fact(3)));
    ingest(&*journal, 1, 2).await;
    let claim = planner.taken();
    assert_eq!((&claim.call, claim.facts), (&task(1), 2));
    assert_eq!(*planner.asked.lock().unwrap(), [(claim.clone(), vec![2])]);
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2), fact(3)]);
    assert_eq!(journal.claim(10).await.unwrap(), [], "it is claimed");

    assert_eq!(journal.append(&claim, fact(4)).await.unwrap(), 4);
    ingest(&*journal, 1, 5).await;
    assert_eq!(planner.asked.lock().unwrap().len(), 1, "a worker has it");
    journal.release(&claim, 4, Due::OnFact).await.unwrap();
    assert_eq!(claim_one(&*journal).await.call, task(1), "for what arrived meanwhile");
    journal.close().await.unwrap();
    assert_eq!(stored(&*dir.open(LONG).await, 1).await, (1..=5).map(fact).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_call_that_is_taken_without_a_first_step_is_claimed_all_the_same() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    waiting(&*journal).await;
    let planner = Planner::consulted(&*journal, None);
    ingest(&*journal, 1, 2).await;
    let claim = planner.taken();
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2)]);
    assert_eq!(journal.claim(10).await.unwrap(), []);
    journal.release(&claim, 2, Due::OnFact).await.unwrap();
    drop(planner);
    ingest(&*journal, 1, 3).await;
    claim_one(&*journal).await;
}

#[tokio::test]
async fn a_claim_that_nobody_uses_ends_with_its_lease() {
    let dir = Dir::new();
    let journal = dir.open(Duration::from_millis(100)).await;
    waiting(&*journal).await;
    let planner = Planner::consulted(&*journal, Some(fact(3)));
    ingest(&*journal, 1, 2).await;
    let gone = planner.taken();
    let claim = eventually("its lease ends", || async { journal.claim(1).await.unwrap().pop() }).await;
    assert!(claim.fence > gone.fence && claim.facts == 3, "{claim:?}");
}

#[tokio::test]
async fn what_is_not_committed_was_never_foreseen() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    waiting(&*journal).await;
    let planner = Planner::consulted(&*journal, Some(fact(3)));
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    let refusing = "CREATE TRIGGER refused BEFORE INSERT ON fact WHEN new.seq = 3 BEGIN SELECT RAISE(ABORT, ''); END";
    side.execute_batch(refusing).unwrap();
    journal.ingest(event(1, 2)).await.unwrap_err();
    assert!(matches!(&planner.settled.lock().unwrap()[..], [(_, false)]));
    assert_eq!(stored(&*journal, 1).await, [fact(1)]);
    assert_eq!(journal.claim(10).await.unwrap(), [], "as before, it waits for a fact");

    side.execute_batch("DROP TRIGGER refused").unwrap();
    ingest(&*journal, 1, 2).await;
    assert!(matches!(&planner.settled.lock().unwrap()[..], [_, (_, true)]));
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2), fact(3)]);
}
