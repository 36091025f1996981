//! What is done first about a call shares the commit of its event: what is PostgreSQL's own, where others may have changed the call.

use super::foreseen::{Planner, waiting};
use super::listing::{customer, naming};
use super::postgres::WAITING;
use super::*;
use crate::postgres::{Database, open, settings};
use futures_util::FutureExt as _;
use sqlx::Executor as _;
use sqlx::postgres::PgListener;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, Weak};
use taskrouter_streams::call::sid::CallSid;
use taskrouter_streams::journal::{Due, Foreseen, Foresight, GivenBack, PostgresSettings, Seq};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

async fn database_and_journal() -> Option<(Database, Arc<dyn Journal>)> {
    let database = Database::new().await?;
    let journal = open(settings(database.url(), LONG)).await;
    Some((database, journal))
}

/// And a call that the first of them has given back.
async fn two_processes() -> Option<(Database, [Arc<dyn Journal>; 2], GivenBack)> {
    let (database, journal) = database_and_journal().await?;
    let other = open(settings(database.url(), LONG)).await;
    let given_back = waiting(&*journal).await;
    Some((database, [journal, other], given_back))
}

/// That the event, when it comes, only makes the call due.
async fn takes_nothing(journal: &dyn Journal, given_back: GivenBack, number: i64, first: i64) {
    let planner = Planner::consulted(journal, given_back, Some(fact(first)));
    let before = stored(journal, 1).await;
    ingest(journal, 1, number).await;
    planner.took_nothing();
    assert_eq!(stored(journal, 1).await, [&before[..], &[fact(number)]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_claim_and_first_step_are_one_transaction() {
    let Some((database, journal)) = database_and_journal().await else { return };
    let given_back = waiting(&*journal).await;
    database
        .say(
            "CREATE TABLE seen (id xid8 UNIQUE);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 INSERT INTO public.seen VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER see AFTER INSERT OR UPDATE ON taskrouter_streams.call FOR EACH ROW EXECUTE FUNCTION see();
             CREATE TRIGGER see AFTER INSERT ON taskrouter_streams.fact FOR EACH ROW EXECUTE FUNCTION see();",
        )
        .await;
    let planner = Planner::consulted(&*journal, given_back, Some(fact(3)));
    ingest(&*journal, 1, 2).await;
    let claim = planner.taken();
    assert_eq!(database.number("SELECT count(*) FROM seen").await, 1);
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2), fact(3)]);
    journal.append(&claim, fact(3)).await.unwrap();
    assert_eq!(stored(&*journal, 1).await.len(), 3, "the same fact again is that one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_another_process_has_is_not_taken() {
    let Some((_database, [journal, other], given_back)) = two_processes().await else { return };
    ingest(&*other, 1, 2).await;
    let claim = claim_one(&*other).await;
    takes_nothing(&*journal, given_back.clone(), 3, 4).await;
    other.append(&claim, fact(5)).await.unwrap();
    other.release(&claim, 4, Due::OnFact).await.unwrap();
    takes_nothing(&*journal, given_back.clone(), 6, 7).await;
    let claim = claim_one(&*journal).await;
    assert_eq!((claim.facts, claim.fence), (5, given_back.fence + 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_another_process_has_given_back_is_not_taken() {
    let Some((_database, [journal, other], given_back)) = two_processes().await else { return };
    ingest(&*journal, 1, 2).await;
    let claim = claim_one(&*other).await;
    other.release(&claim, 2, Due::OnFact).await.unwrap();
    // As if the call had been deleted and begun anew: its fences count from the beginning again.
    takes_nothing(&*journal, GivenBack { fence: claim.fence, seen: 2, ..given_back }, 3, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_claimed_and_given_back_since_is_not_taken() {
    let Some((_database, journal)) = database_and_journal().await else { return };
    let given_back = waiting(&*journal).await;
    ingest(&*journal, 1, 2).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 2, Due::OnFact).await.unwrap();
    takes_nothing(&*journal, GivenBack { seen: 2, ..given_back }, 3, 4).await;
}

/// A server may forget that a call was given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_still_claimed_is_not_taken() {
    let Some((_database, journal)) = database_and_journal().await else { return };
    let given_back = waiting(&*journal).await;
    ingest(&*journal, 1, 2).await;
    let claim = claim_one(&*journal).await;
    takes_nothing(&*journal, GivenBack { fence: claim.fence, seen: 2, ..given_back }, 3, 4).await;
}

/// It was decided about before it was claimed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_the_process_has_claimed_in_the_usual_way_is_not_taken_for_taken() {
    for first in [None, Some(fact(3))] {
        let Some((_database, journal)) = database_and_journal().await else { return };
        let given_back = waiting(&*journal).await;
        ingest(&*journal, 1, 2).await;
        claim_one(&*journal).await;
        let planner = Planner::consulted(&*journal, given_back, first);
        assert_eq!(journal.ingest(event(1, 2)).await.unwrap(), Ingested::Duplicate);
        planner.took_nothing();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_there_already_with_others_after_it_takes_nothing() {
    let Some((_database, [journal, other], given_back)) = two_processes().await else { return };
    ingest(&*other, 1, 2).await;
    ingest(&*other, 1, 3).await;
    let planner = Planner::consulted(&*journal, given_back, Some(fact(4)));
    assert_eq!(journal.ingest(event(1, 2)).await.unwrap(), Ingested::Duplicate);
    planner.took_nothing();
    assert_eq!(stored(&*journal, 1).await.len(), 3);
}

/// Two processes were told the same event, and this one is the second: the call is due, and as this one knows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_another_process_has_just_told_takes_the_call() {
    let Some((_database, [journal, other], given_back)) = two_processes().await else { return };
    ingest(&*other, 1, 2).await;
    let planner = Planner::consulted(&*journal, given_back, Some(fact(3)));
    assert_eq!(journal.ingest(event(1, 2)).await.unwrap(), Ingested::Duplicate);
    planner.taken();
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2), fact(3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_a_fact_that_the_process_does_not_know_is_not_taken() {
    let Some((_database, [journal, other], given_back)) = two_processes().await else { return };
    ingest(&*other, 1, 2).await;
    takes_nothing(&*journal, given_back, 3, 4).await;
    assert_eq!(claim_one(&*journal).await.facts, 3, "it is due");
}

/// The number of facts is what was expected, and the event is there, but it is not the newest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_there_already_takes_no_call_that_has_another_new_fact() {
    let Some((_database, [journal, other], given_back)) = two_processes().await else { return };
    ingest(&*other, 1, 2).await;
    let planner = Planner::consulted(&*journal, given_back, Some(fact(3)));
    assert_eq!(journal.ingest(event(1, 1)).await.unwrap(), Ingested::Duplicate);
    planner.took_nothing();
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_not_taken_when_another_is_on_its_leg_by_now() {
    let Some((_database, journal)) = database_and_journal().await else { return };
    let leg = Some(customer(7));
    journal.ingest(naming(1, 7, 1)).await.unwrap();
    let claim = claim_one(&*journal).await;
    assert_eq!(claim.alone_on, leg);
    journal.release(&claim, 1, Due::OnFact).await.unwrap();
    let given_back = GivenBack { fence: claim.fence, seen: 1, alone_on: claim.alone_on };
    let planner = Planner::consulted_about(leg.clone(), &*journal, given_back.clone(), Some(fact(3)));
    journal.ingest(naming(2, 7, 1)).await.unwrap();
    ingest(&*journal, 1, 2).await;
    planner.took_nothing();
    assert_eq!(stored(&*journal, 1).await.len(), 2);

    // Where that was known when the call was claimed, nothing that needs it to be alone is decided.
    let given_back = GivenBack { alone_on: None, ..given_back };
    let planner = Planner::consulted_about(leg, &*journal, given_back, Some(fact(3)));
    ingest(&*journal, 1, 4).await;
    assert!(planner.settled.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_alone_on_its_leg_is_taken() {
    let Some((_database, journal)) = database_and_journal().await else { return };
    journal.ingest(naming(1, 7, 1)).await.unwrap();
    journal.ingest(naming(2, 8, 1)).await.unwrap();
    let claims = journal.claim(10).await.unwrap();
    let claim = claims.iter().find(|claim| claim.call == task(1)).unwrap().clone();
    journal.release(&claim, 1, Due::OnFact).await.unwrap();
    let leg = claim.alone_on;
    let given_back = GivenBack { fence: claim.fence, seen: 1, alone_on: leg.clone() };
    let planner = Planner::consulted_about(leg, &*journal, given_back, Some(fact(3)));
    ingest(&*journal, 1, 2).await;
    planner.taken();
}

/// Only what a batch has once is decided about: the statement would not know which of several events are new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_events_of_a_call_in_one_batch_make_it_due() {
    let Some((database, journal)) = database_and_journal().await else { return };
    let given_back = waiting(&*journal).await;
    let mut lock = database.connect().await;
    lock.execute("BEGIN; LOCK taskrouter_streams.call").await.unwrap();
    let mut events = JoinSet::new();
    let ingesting = |number| {
        let journal = journal.clone();
        async move { journal.ingest(event(1, number)).await.unwrap() }
    };
    // The first waits alone, of another call.
    let first = journal.clone();
    events.spawn(async move { first.ingest(event(2, 1)).await.unwrap() });
    eventually("a batch that waits", || async { (database.number(WAITING).await > 0).then_some(()) }).await;
    let planner = Planner::consulted(&*journal, given_back, Some(fact(9)));
    events.spawn(ingesting(2));
    events.spawn(ingesting(3));
    tokio::task::yield_now().await;
    lock.execute("COMMIT").await.unwrap();
    events.join_all().await;
    let taken = planner.settled.lock().unwrap().iter().filter(|(_, is_taken)| *is_taken).count();
    let facts = stored(&*journal, 1).await;
    // One after the other, should the second have come late.
    assert_eq!(facts.len(), 3 + taken);
    assert_eq!(facts.iter().filter(|known| **known == fact(9)).count(), taken);
}

/// Passes on everything but the answers to the first transaction with these words: their connection ends once it is committed.
async fn loses_the_answers_to(words: &'static str, database: &Database) -> u16 {
    let (listener, port) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), database.port());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let is_lost = Arc::new(AtomicBool::new(false));
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(pass_on(client, server, words, is_lost.clone()));
        }
    });
    address.port()
}

async fn pass_on(mut client: TcpStream, mut server: TcpStream, words: &str, is_lost: Arc<AtomicBool>) {
    let has = |text: &[u8], words: &str| text.windows(words.len()).any(|window| window == words.as_bytes());
    let (mut questions, mut answers, mut is_silent) = (vec![0; 1 << 16], vec![0; 1 << 16], false);
    loop {
        tokio::select! {
            Ok(read @ 1..) = client.read(&mut questions) => {
                is_silent |= has(&questions[..read], words) && !is_lost.swap(true, Ordering::Relaxed);
                server.write_all(&questions[..read]).await.unwrap();
            }
            Ok(read @ 1..) = server.read(&mut answers) => {
                if is_silent && has(&answers[..read], "COMMIT") {
                    return;
                }
                if !is_silent && client.write_all(&answers[..read]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_by_a_transaction_whose_answer_was_lost_is_found_by_the_next() {
    for first in [Some(fact(3)), None] {
        let Some(database) = Database::new().await else { return };
        let port = loses_the_answers_to("answered AS (", &database).await;
        let one_at_a_time = PostgresSettings { listen: false, pool_size: 1, ..settings(database.url_at(port), LONG) };
        let journal = open(one_at_a_time).await;
        let given_back = waiting(&*journal).await;
        let planner = Planner::consulted(&*journal, given_back, first.clone());
        journal.ingest(event(1, 2)).await.unwrap();
        let claim = planner.taken();
        let known = [Some(fact(1)), Some(fact(2)), first].into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(stored(&*journal, 1).await, known, "once");
        assert_eq!(journal.append(&claim, fact(4)).await.unwrap(), i64::try_from(known.len()).unwrap() + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refuses_was_never_foreseen_and_takes_no_event_along() {
    let Some((database, journal)) = database_and_journal().await else { return };
    let given_back = waiting(&*journal).await;
    // As it objects to a value: a class of its own, which is not tried again as it is.
    database
        .say(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF NEW.identity IS NULL THEN RAISE EXCEPTION 'refused' USING ERRCODE = '22000'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON taskrouter_streams.fact FOR EACH ROW EXECUTE FUNCTION refuse();",
        )
        .await;
    takes_nothing(&*journal, given_back, 2, 3).await;
    assert_eq!(claim_one(&*journal).await.facts, 2);
}

/// Whoever waits for work is told of what could not be taken, and of nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_woken_for_a_call_that_could_not_be_taken_and_not_for_one_that_was() {
    let Some((database, journal)) = database_and_journal().await else { return };
    let given_back = waiting(&*journal).await;
    let mut heard = PgListener::connect(&database.url()).await.unwrap();
    heard.listen("taskrouter_streams").await.unwrap();
    let planner = Planner::consulted(&*journal, given_back, Some(fact(3)));
    let hint = journal.hint();
    // What the call's beginning left.
    hint.notified().now_or_never();
    ingest(&*journal, 1, 2).await;
    planner.taken();
    assert!(hint.notified().now_or_never().is_none(), "nothing is due");
    database.say("NOTIFY taskrouter_streams, 'the first'").await;
    let mut hear = async || {
        let notification = tokio::time::timeout(scaled(PATIENCE), heard.recv()).await.expect("a notification");
        notification.unwrap().payload().to_owned()
    };
    assert_eq!(hear().await, "the first");
    ingest(&*journal, 1, 4).await;
    hear().await;
}

/// What a process knows of a call: all its facts so far.
#[derive(Clone)]
struct Known {
    claim: Claim,
    facts: Vec<Fact>,
}

/// Remembers what it gave back, and decides about every call that it remembers.
#[derive(Default)]
struct Process {
    remembered: Mutex<BTreeMap<TaskSid, Known>>,
    decided: Mutex<BTreeMap<TaskSid, Known>>,
    taken: Mutex<Vec<Known>>,
    first: AtomicI64,
}

impl Foresight for Process {
    fn foresee(
        &self,
        claim: &Claim,
        _: Instant,
        news: Vec<(Seq, Fact)>,
        _: &dyn Fn(&CallSid) -> bool,
    ) -> Option<Foreseen> {
        let mut known = self.remembered.lock().unwrap().remove(&claim.call)?;
        let number = self.first.fetch_add(1, Ordering::Relaxed);
        let first = (number % 3 > 0).then(|| fact(number));
        known.facts.extend(news.into_iter().map(|(_, fact)| fact).chain(first.clone()));
        known.claim = claim.clone();
        self.decided.lock().unwrap().insert(claim.call.clone(), known);
        Some(Foreseen { first })
    }

    fn settled(&self, claim: &Claim, is_durable: bool) {
        let decided = self.decided.lock().unwrap().remove(&claim.call).unwrap();
        if is_durable {
            self.taken.lock().unwrap().push(decided);
        }
    }

    fn given_back(&self, call: &TaskSid) -> Option<GivenBack> {
        let remembered = self.remembered.lock().unwrap();
        let Known { claim, facts } = remembered.get(call)?;
        Some(GivenBack { fence: claim.fence, seen: Seq::try_from(facts.len()).unwrap(), alone_on: None })
    }
}

/// Several processes told of the same calls at random, at the same time too.
struct Processes {
    journals: Vec<Arc<dyn Journal>>,
    minds: Vec<Arc<Process>>,
    /// Claims, and the process of each.
    held: Vec<(usize, Known)>,
    random: u64,
    taken: usize,
}

impl Processes {
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap() % limit
    }

    async fn step(&mut self, number: i64) {
        let process = self.below(self.journals.len());
        match self.below(8) {
            0..=2 => self.ingest(number).await,
            3 => self.claim(process).await,
            4 | 5 if !self.held.is_empty() => self.append(number).await,
            _ if !self.held.is_empty() => self.release().await,
            _ => self.claim(process).await,
        }
        self.check().await;
    }

    /// A few events at once, some of which several are told of or were told of long ago.
    async fn ingest(&mut self, number: i64) {
        let mut events = JoinSet::new();
        for place in 0..=self.below(3) {
            let (call, journal) = (u32::try_from(self.below(3)).unwrap(), self.below(self.journals.len()));
            let number = if self.below(4) == 0 { number / 2 } else { number + i64::try_from(place).unwrap() };
            let journal = self.journals[journal].clone();
            events.spawn(async move { journal.ingest(event(call, number)).await.unwrap() });
        }
        events.join_all().await;
    }

    async fn claim(&mut self, process: usize) {
        for claim in self.journals[process].claim(2).await.unwrap() {
            let remembered = self.minds[process].remembered.lock().unwrap().remove(&claim.call);
            let mut facts = remembered.map_or_else(Vec::new, |known| known.facts);
            let after = Seq::try_from(facts.len()).unwrap();
            let news = self.journals[process].news(&claim, after).await.unwrap();
            facts.extend(news.into_iter().map(|(_, fact)| fact));
            self.held.push((process, Known { claim, facts }));
        }
    }

    async fn append(&mut self, number: i64) {
        let place = self.below(self.held.len());
        let (process, known) = &mut self.held[place];
        let journal = &self.journals[*process];
        journal.append(&known.claim, fact(10_000 + number)).await.unwrap();
        let after = Seq::try_from(known.facts.len()).unwrap();
        let news = journal.news(&known.claim, after).await.unwrap();
        known.facts.extend(news.into_iter().map(|(_, fact)| fact));
    }

    async fn release(&mut self) {
        let place = self.below(self.held.len());
        let (process, known) = self.held.swap_remove(place);
        let seen = Seq::try_from(known.facts.len()).unwrap();
        let due = if self.below(3) == 0 { Due::After(Duration::ZERO) } else { Due::OnFact };
        self.journals[process].release(&known.claim, seen, due).await.unwrap();
        self.minds[process].remembered.lock().unwrap().insert(known.claim.call.clone(), known);
    }

    /// Nobody else has what was taken, and whoever has a call knows its facts as they are.
    async fn check(&mut self) {
        for (process, mind) in self.minds.iter().enumerate() {
            let taken = std::mem::take(&mut *mind.taken.lock().unwrap());
            self.taken += taken.len();
            self.held.extend(taken.into_iter().map(|known| (process, known)));
        }
        for (place, (_, Known { claim, facts })) in self.held.iter().enumerate() {
            let others = self
                .held
                .iter()
                .enumerate()
                .filter(|(other, (_, known))| *other != place && known.claim.call == claim.call);
            assert_eq!(others.count(), 0, "two have {}", claim.call);
            let stored = self.journals[0].facts(&claim.call, 0).await.unwrap();
            let numbers: Vec<Seq> = stored.iter().map(|(seq, _)| *seq).collect();
            assert_eq!(numbers, (1..).take(stored.len()).collect::<Vec<_>>());
            let stored: Vec<Fact> = stored.into_iter().map(|(_, fact)| fact).collect();
            assert_eq!(stored.get(..facts.len()), Some(&facts[..]), "what is known of {}", claim.call);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_a_call_is_alone_with_it_and_knows_its_facts() {
    let mut taken = 0;
    for seed in 1..=6_u64 {
        let Some(database) = Database::new().await else { return };
        let mut processes = Processes {
            journals: Vec::new(),
            minds: Vec::new(),
            held: Vec::new(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            taken: 0,
        };
        for _ in 0..2 {
            let (journal, mind) = (open(settings(database.url(), LONG)).await, Arc::new(Process::default()));
            let foresight: Weak<dyn Foresight> = Arc::<Process>::downgrade(&mind);
            journal.consult(foresight);
            mind.first.store(20_000 + 1_000 * i64::try_from(processes.minds.len()).unwrap(), Ordering::Relaxed);
            processes.journals.push(journal);
            processes.minds.push(mind);
        }
        for number in 0..150 {
            processes.step(10 * number).await;
        }
        taken += processes.taken;
    }
    assert!(taken > 50, "only {taken} calls were taken");
}
