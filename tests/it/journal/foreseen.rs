//! What is done first about a call shares the commit of its event: what every store promises about that, and what is SQLite's own.

use super::sqlite::Dir;
use super::*;
use std::sync::{Mutex, Weak};
use taskrouter_streams::call::sid::CallSid;
use taskrouter_streams::journal::{Due, Foreseen, Foresight, GivenBack, Seq};

/// Takes every call, and begins with the same fact.
#[derive(Default)]
pub(super) struct Planner {
    first: Option<Fact>,
    /// The leg that no other call is to be on.
    leg: Option<CallSid>,
    given_back: Mutex<Option<GivenBack>>,
    asked: Mutex<Vec<(Claim, Vec<Seq>)>>,
    pub(super) settled: Mutex<Vec<(Claim, bool)>>,
}

impl Foresight for Planner {
    fn foresee(
        &self,
        claim: &Claim,
        _: Instant,
        news: Vec<(Seq, Fact)>,
        is_alone: &dyn Fn(&CallSid) -> bool,
    ) -> Option<Foreseen> {
        if self.leg.as_ref().is_some_and(|leg| !is_alone(leg)) {
            return None;
        }
        self.asked.lock().unwrap().push((claim.clone(), news.iter().map(|(seq, _)| *seq).collect()));
        Some(Foreseen { first: self.first.clone() })
    }

    fn settled(&self, claim: &Claim, is_durable: bool) {
        self.settled.lock().unwrap().push((claim.clone(), is_durable));
    }

    fn given_back(&self, call: &TaskSid) -> Option<GivenBack> {
        self.given_back.lock().unwrap().clone().filter(|_| *call == task(1))
    }
}

impl Planner {
    /// It remembers the first call as it was given back.
    pub(super) fn consulted(journal: &dyn Journal, given_back: GivenBack, first: Option<Fact>) -> Arc<Self> {
        Self::consulted_about(None, journal, given_back, first)
    }

    /// Only if no other call is on this leg.
    pub(super) fn consulted_about(
        leg: Option<CallSid>,
        journal: &dyn Journal,
        given_back: GivenBack,
        first: Option<Fact>,
    ) -> Arc<Self> {
        let planner = Arc::new(Self { first, leg, given_back: Mutex::new(Some(given_back)), ..Self::default() });
        let foresight: Weak<dyn Foresight> = Arc::<Self>::downgrade(&planner);
        journal.consult(foresight);
        planner
    }

    /// The claim of the only call that was taken.
    pub(super) fn taken(&self) -> Claim {
        let settled = self.settled.lock().unwrap();
        let [(claim, true)] = &settled[..] else { panic!("{settled:?}") };
        claim.clone()
    }

    /// The only call that was decided about was not taken.
    pub(super) fn took_nothing(&self) {
        let settled = self.settled.lock().unwrap();
        assert!(matches!(&settled[..], [(_, false)]), "{settled:?}");
    }
}

/// A call of one fact that waits for another.
pub(super) async fn waiting(journal: &dyn Journal) -> GivenBack {
    ingest(journal, 1, 1).await;
    let claim = claim_one(journal).await;
    journal.release(&claim, 1, Due::OnFact).await.unwrap();
    GivenBack { fence: claim.fence, seen: 1, alone_on: claim.alone_on }
}

pub(super) async fn an_event_and_the_first_step_are_durable_together_under_a_claim(store: &impl Store) {
    let journal = store.open(LONG).await;
    let given_back = waiting(&*journal).await;
    let planner = Planner::consulted(&*journal, given_back, Some(fact(3)));
    ingest(&*journal, 1, 2).await;
    let claim = planner.taken();
    assert_eq!((&claim.call, claim.facts), (&task(1), 2));
    assert_eq!(*planner.asked.lock().unwrap(), [(claim.clone(), vec![2])]);
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2), fact(3)]);
    assert_eq!(journal.claim(10).await.unwrap(), [], "it is claimed");

    assert_eq!(journal.news(&claim, 2).await.unwrap(), [(3, fact(3))]);
    assert_eq!(journal.append(&claim, fact(4)).await.unwrap(), 4);
    assert_eq!(journal.news(&claim, 3).await.unwrap(), [(4, fact(4))]);
    ingest(&*journal, 1, 5).await;
    assert_eq!(planner.settled.lock().unwrap().iter().filter(|(_, is_taken)| *is_taken).count(), 1, "a worker has it");
    journal.release(&claim, 4, Due::OnFact).await.unwrap();
    assert_eq!(claim_one(&*journal).await.call, task(1), "for what arrived meanwhile");
    journal.close().await.unwrap();
    assert_eq!(stored(&*store.open(LONG).await, 1).await, (1..=5).map(fact).collect::<Vec<_>>());
}

pub(super) async fn a_call_that_is_taken_without_a_first_step_is_claimed_all_the_same(store: &impl Store) {
    let journal = store.open(LONG).await;
    let given_back = waiting(&*journal).await;
    let planner = Planner::consulted(&*journal, given_back, None);
    ingest(&*journal, 1, 2).await;
    let claim = planner.taken();
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2)]);
    assert_eq!(journal.claim(10).await.unwrap(), []);
    assert_eq!(journal.news(&claim, 2).await.unwrap(), []);
    assert_eq!(journal.news(&claim, 0).await.unwrap(), [(1, fact(1)), (2, fact(2))], "to one who has forgotten");
    journal.release(&claim, 2, Due::OnFact).await.unwrap();
    drop(planner);
    ingest(&*journal, 1, 3).await;
    claim_one(&*journal).await;
}

pub(super) async fn a_claim_that_nobody_uses_ends_with_its_lease(store: &impl Store) {
    let journal = store.open(Duration::from_millis(100)).await;
    let given_back = waiting(&*journal).await;
    let planner = Planner::consulted(&*journal, given_back, Some(fact(3)));
    ingest(&*journal, 1, 2).await;
    let gone = planner.taken();
    let claim = eventually("its lease ends", || async { journal.claim(1).await.unwrap().pop() }).await;
    assert!(claim.fence > gone.fence && claim.facts == 3, "{claim:?}");
    assert_eq!(journal.news(&claim, 0).await.unwrap().len(), 3, "and whoever has it then reads everything");
}

pub(super) async fn an_event_that_is_there_already_takes_nothing(store: &impl Store) {
    let journal = store.open(LONG).await;
    let given_back = waiting(&*journal).await;
    let planner = Planner::consulted(&*journal, given_back, Some(fact(3)));
    assert_eq!(journal.ingest(event(1, 1)).await.unwrap(), Ingested::Duplicate);
    assert!(planner.settled.lock().unwrap().iter().all(|(_, is_taken)| !is_taken));
    assert_eq!(stored(&*journal, 1).await, [fact(1)]);
    assert_eq!(journal.claim(10).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_not_committed_was_never_foreseen() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    let given_back = waiting(&*journal).await;
    let planner = Planner::consulted(&*journal, given_back, Some(fact(3)));
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    let refusing = "CREATE TRIGGER refused BEFORE INSERT ON fact WHEN new.seq = 3 BEGIN SELECT RAISE(ABORT, ''); END";
    side.execute_batch(refusing).unwrap();
    journal.ingest(event(1, 2)).await.unwrap_err();
    planner.took_nothing();
    assert_eq!(stored(&*journal, 1).await, [fact(1)]);
    assert_eq!(journal.claim(10).await.unwrap(), [], "as before, it waits for a fact");

    side.execute_batch("DROP TRIGGER refused").unwrap();
    ingest(&*journal, 1, 2).await;
    assert!(matches!(&planner.settled.lock().unwrap()[..], [_, (_, true)]));
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2), fact(3)]);
}
