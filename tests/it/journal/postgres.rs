//! What is the PostgreSQL journal's own: several processes, a network, a database that comes and goes.

use super::listing::{customer, naming};
use super::pooler::{Line, Network, pooler};
use super::*;
use crate::pace::scaled;
use crate::postgres::{Database, another_server, open, settings};
use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
use taskrouter_streams::journal::{
    CallQuery, CallState, Due, JournalError, OpenError, PostgresJournal, PostgresSettings, examine_database,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How many sessions wait for a lock.
pub(super) const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

impl Store for Database {
    async fn open(&self, lease: Duration) -> Arc<dyn Journal> {
        open(settings(self.url(), lease)).await
    }
}

/// A transaction pooler has no sessions to listen in.
struct Pooled(Database, u16);

impl Pooled {
    async fn new() -> Option<Self> {
        let database = Database::new().await?;
        let port = pooler(database.port(), database.name()).await;
        Some(Self(database, port))
    }
}

impl Store for Pooled {
    async fn open(&self, lease: Duration) -> Arc<dyn Journal> {
        open(PostgresSettings { listen: false, ..settings(self.0.url_at(self.1), lease) }).await
    }
}

/// A real transaction pooler. The one above hands out connections in the worst order; this one is what people use.
struct Bounced(Database, String);

impl Bounced {
    async fn new() -> Option<Self> {
        let database = Database::new().await?;
        let url = database.bounced_url()?;
        Some(Self(database, url))
    }
}

impl Store for Bounced {
    async fn open(&self, lease: Duration) -> Arc<dyn Journal> {
        open(PostgresSettings { listen: false, ..settings(self.1.clone(), lease) }).await
    }
}

mod directly {
    use super::*;
    rules::keeps_the_rules!(Database::new().await);
}

mod through_a_transaction_pooler {
    use super::*;
    rules::keeps_the_rules!(Pooled::new().await);
}

mod through_pgbouncer {
    use super::*;
    rules::keeps_the_rules!(Bounced::new().await);
}

#[tokio::test]
async fn pgbouncer_gives_the_transactions_of_a_session_several_connections() {
    let Some(Bounced(_database, url)) = Bounced::new().await else { return };
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.extra_float_digits(None);
    let connect = async || sqlx::PgConnection::connect_with(&options).await.unwrap();
    let mut sessions = [connect().await, connect().await, connect().await];
    // At once, so that it opens all that it has.
    let [one, two, three] = &mut sessions;
    let nap = "SELECT pg_sleep(0.2)";
    tokio::try_join!(one.execute(nap), two.execute(nap), three.execute(nap)).unwrap();
    let mut backends = std::collections::BTreeSet::new();
    for _ in 0..6 {
        let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(&mut sessions[0]).await.unwrap();
        backends.insert(row.get::<i32, _>(0));
    }
    assert_eq!(backends.len(), 3, "or the tests behind it would prove nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_behind_pgbouncer_take_an_event_once_and_claim_a_call_once() {
    let Some(Bounced(_database, url)) = Bounced::new().await else { return };
    let mut journals = Vec::new();
    for _ in 0..3 {
        let unheard = PostgresSettings { listen: false, batch_limit: 7, ..settings(url.clone(), LONG) };
        journals.push(open(unheard).await);
    }
    let events: Vec<NewFact> = (0..60).map(|number| event(number % 6, i64::from(number))).collect();
    assert_eq!(ingest_everywhere(&journals, &events).await, 60);
    let mut claims = tokio::task::JoinSet::new();
    for journal in journals.clone() {
        claims.spawn(async move { journal.claim(10).await.unwrap() });
    }
    assert_eq!(claims.join_all().await.into_iter().flatten().count(), 6);
    for call in 0..6 {
        assert_eq!(stored(&*journals[0], call).await.len(), 10);
    }
}

/// A statement sees what was committed before it began, and locks a row as it is now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_brings_no_fewer_facts_than_it_counts() {
    let Some(database) = Database::new().await else { return };
    let first = open(settings(database.url(), Duration::from_millis(50))).await;
    ingest(&*first, 1, 1).await;
    let claim = claim_one(&*first).await;
    let second = open(settings(database.url_of_a_user_of_the_tables().await, LONG)).await;
    // Whoever is not the tables' owner waits between the beginning of a statement and its look at a call.
    let waits = "CREATE FUNCTION waits() RETURNS boolean LANGUAGE plpgsql AS
                     $$BEGIN PERFORM pg_advisory_lock_shared(7), pg_advisory_unlock_shared(7); RETURN true; END$$;
                 CREATE POLICY waits ON taskrouter_streams.call USING (waits());
                 ALTER TABLE taskrouter_streams.call ENABLE ROW LEVEL SECURITY";
    database.say(waits).await;
    let now = "(extract(epoch FROM now()) * 1000)::bigint";
    let ended = format!("SELECT count(*) FROM taskrouter_streams.call WHERE leased AND due_ms <= {now}");
    eventually("the first lease has ended", || async { (database.number(&ended).await == 1).then_some(()) }).await;

    let mut gate = database.connect().await;
    gate.execute("SELECT pg_advisory_lock(7)").await.unwrap();
    let claiming = tokio::spawn({
        let second = second.clone();
        async move { second.claim(10).await.unwrap() }
    });
    eventually("a claim that waits", || async { (database.number(WAITING).await == 1).then_some(()) }).await;
    assert_eq!(first.append(&claim, fact(2)).await.unwrap(), 2, "nobody has claimed the call yet");
    gate.execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    let claims = claiming.await.unwrap();
    assert_eq!((claims.len(), claims[0].facts), (1, 2));
    let news = second.news(&claims[0], 0).await.unwrap();
    assert_eq!(news.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2]);
}

/// A server with a wrong idea of a table would take longer to compile a statement than to run it.
#[tokio::test]
async fn no_statement_is_compiled_by_the_server() {
    let Some(database) = Database::new().await else { return };
    open(settings(database.url(), LONG)).await.close().await.unwrap();
    let journal = open(settings(database.url_of_a_user_of_the_tables().await, LONG)).await;
    let hidden = "CREATE POLICY hidden ON taskrouter_streams.call USING (current_setting('jit') = 'off');
                  ALTER TABLE taskrouter_streams.call ENABLE ROW LEVEL SECURITY";
    database.say(hidden).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 1, Due::OnFact).await.unwrap();
    assert_eq!(journal.backlog().await.unwrap().live, 1);
}

#[tokio::test]
async fn a_claim_says_whose_leg_its_call_is_alone_on() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    for (call, leg) in [(1, 0x51), (2, 0x52), (3, 0x52)] {
        journal.ingest(naming(call, leg, 1)).await.unwrap();
    }
    ingest(&*journal, 4, 1).await;
    let mut claims = journal.claim(10).await.unwrap();
    claims.sort_by(|a, b| a.call.cmp(&b.call));
    let alone: Vec<_> = claims.iter().map(|claim| claim.alone_on.clone()).collect();
    assert_eq!(alone, [Some(customer(0x51)), None, None, None], "two share a leg, and one has none");
    // A call that is over may still have streams on the leg.
    for claim in &claims {
        journal.release(claim, 1, Due::Over).await.unwrap();
    }
    journal.ingest(naming(5, 0x51, 2)).await.unwrap();
    assert_eq!(claim_one(&*journal).await.alone_on, None);
}

#[tokio::test]
async fn what_was_put_off_before_the_servers_clock_was_set_back_is_not_forgotten() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    for number in 0..2 {
        journal.ingest(event(number, 0)).await.unwrap();
    }
    let claims = journal.claim(2).await.unwrap();
    journal.release(&claims[0], 1, Due::After(Duration::from_secs(1))).await.unwrap();
    // As if the clock had been three hours ahead when the one call was released and the other one claimed.
    database.say("UPDATE taskrouter_streams.call SET due_ms = due_ms + 3 * 3600000").await;
    assert_eq!(journal.claim(2).await.unwrap(), [], "the first claim finds out");
    let again = journal.claim(2).await.unwrap();
    assert_eq!(again.len(), 1, "a lease lasts for its length from then on");
    assert_eq!(again[0].call, claims[0].call);
    let due = journal.next_due().await.unwrap().unwrap();
    assert!(due <= LONG, "{due:?}");
}

#[tokio::test]
async fn a_database_says_how_far_its_clock_is_from_the_machines() {
    let Some(database) = Database::new().await else { return };
    let found = examine_database(&settings(database.url(), LONG)).await.unwrap();
    assert!(found.clock_ahead_ms.abs() < 1_000, "it is this machine's own: {found:?}");
    let journal = open(settings(database.url(), LONG)).await;
    let server = database.number("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").await;
    assert!((journal.clock().now() - server).abs() < 1_000);
}

async fn refusal(settings: PostgresSettings) -> OpenError {
    match PostgresJournal::open(settings).await {
        Ok(_) => panic!("the journal should not open"),
        Err(refusal) => refusal,
    }
}

async fn facts_of(database: &Database) -> i64 {
    database.number("SELECT count(*) FROM taskrouter_streams.fact").await
}

/// Ingests from several connections at once; returns how many were new.
async fn ingest_everywhere(journals: &[Arc<dyn Journal>], events: &[NewFact]) -> usize {
    let mut deliveries = tokio::task::JoinSet::new();
    for (place, journal) in journals.iter().enumerate() {
        let mut events = events.to_vec();
        // Each in another order.
        let turn = place * events.len() / journals.len();
        events.rotate_left(turn);
        for event in events {
            let journal = journal.clone();
            deliveries.spawn(async move { journal.ingest(event).await.unwrap() });
        }
    }
    deliveries.join_all().await.into_iter().filter(|ingested| *ingested == Ingested::New).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_events_on_several_connections_at_once_are_new_once_and_numbered_without_gaps() {
    let Some(database) = Database::new().await else { return };
    let mut journals = Vec::new();
    for _ in 0..4 {
        journals.push(open(PostgresSettings { batch_limit: 7, ..settings(database.url(), LONG) }).await);
    }
    for round in 0..5 {
        let events: Vec<NewFact> =
            (0..60).map(|number| event(number % 6, 1_000 * i64::from(round) + i64::from(number))).collect();
        assert_eq!(ingest_everywhere(&journals, &events).await, 60, "round {round}");
    }
    for call in 0..6 {
        assert_eq!(stored(&*journals[0], call).await.len(), 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_asks_for_later_facts_misses_none_that_is_committed_late() {
    let Some(database) = Database::new().await else { return };
    let (one, other) = (open(settings(database.url(), LONG)).await, open(settings(database.url(), LONG)).await);
    let mut writers = tokio::task::JoinSet::new();
    for (place, journal) in [one.clone(), other.clone()].into_iter().enumerate() {
        writers.spawn(async move {
            for number in 0..100 {
                ingest(&*journal, 1, 1_000 * i64::try_from(place).unwrap() + number).await;
            }
        });
    }
    let (mut seen, mut read) = (0, 0);
    while read < 200 {
        for (seq, _) in one.facts(&task(1), seen).await.unwrap() {
            assert_eq!(seq, seen + 1, "a fact was passed over");
            (seen, read) = (seq, read + 1);
        }
    }
    writers.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_repeated_after_a_deadlock_a_conflict_and_a_serialization_failure() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    // The count is a sequence, because nothing rolls one back.
    database
        .say(
            "CREATE SEQUENCE failures;
             CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
             DECLARE n bigint := nextval('failures');
             BEGIN
                 IF n = 1 THEN RAISE 'x' USING ERRCODE = '40001'; END IF;
                 IF n = 2 THEN RAISE 'x' USING ERRCODE = '40P01'; END IF;
                 IF n = 3 THEN RAISE 'x' USING ERRCODE = '23505'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER fail BEFORE INSERT ON taskrouter_streams.fact FOR EACH ROW EXECUTE FUNCTION fail();",
        )
        .await;
    ingest(&*journal, 1, 1).await;
    assert_eq!(database.number("SELECT last_value FROM failures").await, 4);
    database.say("ALTER SEQUENCE failures RESTART").await;
    let claim = claim_one(&*journal).await;
    assert_eq!(journal.append(&claim, fact(2)).await.unwrap(), 2);
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_deadlock_with_another_session_is_survived() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    ingest(&*journal, 1, 1).await;
    ingest(&*journal, 2, 1).await;
    // The other session locks against the order of the keys.
    let lock = |call| format!("SELECT 1 FROM taskrouter_streams.call WHERE task = '{}' FOR UPDATE", task(call));
    let mut other = database.connect().await;
    other
        .execute(sqlx::AssertSqlSafe("BEGIN; SET LOCAL deadlock_timeout = '60s'; ".to_owned() + &lock(2)))
        .await
        .unwrap();
    let mut batch = tokio::task::JoinSet::new();
    for call in [1, 2] {
        let journal = journal.clone();
        batch.spawn(async move { journal.ingest(event(call, 2)).await.unwrap() });
    }
    eventually("a batch that waits", || async { (database.number(WAITING).await > 0).then_some(()) }).await;
    let mut own = Vec::new();
    if let Ok(done) = tokio::time::timeout(Duration::ZERO, batch.join_next()).await {
        own.push(done.unwrap().unwrap());
    }
    other.execute(sqlx::AssertSqlSafe(lock(1))).await.unwrap();
    other.execute("COMMIT").await.unwrap();
    own.extend(batch.join_all().await);
    assert_eq!(own, [Ingested::New, Ingested::New]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_database_objects_to_does_not_take_its_batch_along() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    let mut other = database.connect().await;
    other.execute("BEGIN; LOCK taskrouter_streams.call").await.unwrap();
    let mut events = tokio::task::JoinSet::new();
    for number in 0..6 {
        let journal = journal.clone();
        events.spawn(async move {
            let mut event = event(1, number);
            if number == 3 {
                event.identity = "a NUL \0 in it".to_owned();
            }
            (number, journal.ingest(event).await)
        });
    }
    eventually("a batch that waits", || async { (database.number(WAITING).await > 0).then_some(()) }).await;
    other.execute("COMMIT").await.unwrap();
    for (number, taken) in events.join_all().await {
        match taken {
            Ok(Ingested::New) if number != 3 => {}
            Err(JournalError::Unavailable { reason }) if number == 3 => assert!(!reason.contains("NUL"), "{reason}"),
            other => panic!("event {number}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_in_a_fact_is_kept() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    let operation = Operation::Read(Read::FindConference { friendly_name: "a\0b".to_owned() });
    let odd = Fact { at: 1, kind: FactKind::Begun(Step { id: 1, operation, why: Vec::new() }) };
    let event = NewFact { call: task(1), identity: "EV1".to_owned(), fact: odd.clone().into() };
    assert_eq!(journal.ingest(event).await.unwrap(), Ingested::New);
    assert_eq!(stored(&*journal, 1).await, [odd]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_is_woken_by_one_notification_a_commit_and_by_none_for_duplicates() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    let other = open(settings(database.url(), LONG)).await;
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()";
    eventually("two who listen", || async { (database.number(listening).await >= 2).then_some(()) }).await;
    let mut heard = PgListener::connect(&database.url()).await.unwrap();
    heard.listen("taskrouter_streams").await.unwrap();

    // What waits for a lock gathers into one batch.
    let mut lock = database.connect().await;
    lock.execute("BEGIN; LOCK taskrouter_streams.call").await.unwrap();
    let mut events = tokio::task::JoinSet::new();
    for number in 0..40 {
        let journal = journal.clone();
        events.spawn(async move { ingest(&*journal, 1, number).await });
    }
    eventually("a batch that waits", || async { (database.number(WAITING).await > 0).then_some(()) }).await;
    lock.execute("COMMIT").await.unwrap();
    events.join_all().await;
    tokio::time::timeout(scaled(PATIENCE), other.hint().notified()).await.expect("the other process is woken");
    assert_eq!(journal.ingest(event(1, 0)).await.unwrap(), Ingested::Duplicate);
    ingest(&*journal, 1, 999).await;
    database.say("NOTIFY taskrouter_streams, 'the end'").await;
    let mut notifications = 0;
    while heard.recv().await.unwrap().payload() != "the end" {
        notifications += 1;
    }
    // At most the first event alone, the others that gathered meanwhile, and the last.
    assert!((2..=3).contains(&notifications), "{notifications} notifications");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_notified_where_nobody_can_listen() {
    let Some(database) = Database::new().await else { return };
    let journal = open(PostgresSettings { listen: false, ..settings(database.url(), LONG) }).await;
    let mut heard = PgListener::connect(&database.url()).await.unwrap();
    heard.listen("taskrouter_streams").await.unwrap();
    ingest(&*journal, 1, 1).await;
    database.say("NOTIFY taskrouter_streams, 'the end'").await;
    assert_eq!(heard.recv().await.unwrap().payload(), "the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_append_whose_first_answer_was_lost_is_the_first() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    assert_eq!(journal.append(&claim, fact(2)).await.unwrap(), 2);
    ingest(&*journal, 1, 3).await;
    assert_eq!(journal.append(&claim, fact(2)).await.unwrap(), 2, "as if it had been lost");
    assert_eq!(journal.append(&claim, fact(4)).await.unwrap(), 4);
    assert_eq!(stored(&*journal, 1).await.len(), 4);
    // Both attempts in flight at once: the second waits for the row and then sees the first.
    let mut lock = database.connect().await;
    lock.execute("BEGIN; SELECT 1 FROM taskrouter_streams.call FOR UPDATE").await.unwrap();
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (journal, claim) = (journal.clone(), claim.clone());
        attempts.spawn(async move { journal.append(&claim, fact(5)).await.unwrap() });
    }
    eventually("both to wait", || async { (database.number(WAITING).await == 2).then_some(()) }).await;
    lock.execute("COMMIT").await.unwrap();
    assert_eq!(attempts.join_all().await, [5, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_unavailable_quickly_and_comes_back_by_itself() {
    let Some(database) = Database::new().await else { return };
    let line = Line::to(database.port()).await;
    let hurried = PostgresSettings {
        acquire_timeout: Duration::from_millis(500),
        statement_timeout: Duration::from_millis(500),
        ..settings(database.url_at(line.port), LONG)
    };
    let journal = open(hurried).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    for (number, network) in [(10, Network::Broken), (20, Network::Silent)] {
        line.set(network);
        let begun = Instant::now();
        let refused = journal.ingest(event(1, number)).await;
        assert!(matches!(refused, Err(JournalError::Unavailable { .. })), "{refused:?}");
        assert!(matches!(journal.claim(1).await, Err(JournalError::Unavailable { .. })));
        assert!(matches!(journal.append(&claim, fact(number + 1)).await, Err(JournalError::Unavailable { .. })));
        assert!(matches!(journal.backlog().await, Err(JournalError::Unavailable { .. })));
        assert!(begun.elapsed() < scaled(Duration::from_secs(15)), "four refusals took {:?}", begun.elapsed());
        line.set(Network::Works);
        eventually("an event to be taken", || async { journal.ingest(event(1, number)).await.ok() }).await;
        eventually("a fact to be taken", || async { journal.append(&claim, fact(number + 1)).await.ok() }).await;
    }
    let stored = stored(&*journal, 1).await;
    for number in [1, 10, 11, 20, 21] {
        assert_eq!(stored.iter().filter(|stored| **stored == fact(number)).count(), 1, "fact {number}");
    }
    assert!(tokio::time::timeout(Duration::ZERO, journal.failed()).await.is_err(), "it has not failed for good");
}

/// Events on as many connections as the pool may have.
async fn use_every_connection(journal: &Arc<dyn Journal>, round: i64) {
    let mut readings = tokio::task::JoinSet::new();
    for number in 0..4 {
        let journal = journal.clone();
        readings.spawn(async move {
            journal.facts(&task(number), 0).await.unwrap();
            journal.claim(0).await.unwrap();
            journal.ingest(event(number, round)).await.unwrap();
        });
    }
    readings.join_all().await;
}

/// As with Patroni behind HAProxy, or Aurora: one address, which leads to the new server a while after the old one is back and
/// takes no writes. The connections to the old one are well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_behind_one_address_the_writable_server_is_used_at_once() {
    let (Some(new), Some(old)) = (Database::new().await, another_server()) else { return };
    open(settings(new.url(), LONG)).await.close().await.unwrap();
    let at_old = |name: &str| format!("postgres://postgres@127.0.0.1:{}/{name}?sslmode=disable", old.port);
    let say = async |name: &str, sql: String| {
        let mut connection = sqlx::PgConnection::connect(&at_old(name)).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    };
    say("postgres", format!("CREATE DATABASE {}", new.name())).await;
    let line = Line::to(old.port).await;
    let journal = open(settings(new.url_at(line.port), LONG)).await;
    let other = open(settings(new.url_at(line.port), LONG)).await;
    use_every_connection(&journal, 1).await;

    say("postgres", "ALTER SYSTEM SET default_transaction_read_only = on".to_owned()).await;
    say("postgres", "SELECT pg_reload_conf()".to_owned()).await;
    let mut number = 10;
    let reason = eventually("a refusal", || {
        number += 1;
        let journal = journal.clone();
        async move {
            match journal.ingest(event(1, number)).await {
                Err(JournalError::Unavailable { reason }) => Some(reason),
                Ok(_) | Err(_) => None,
            }
        }
    })
    .await;
    assert!(reason.contains("takes no writes"), "{reason}");
    // What it would show is behind.
    for _ in 0..2 {
        assert!(matches!(other.facts(&task(1), 0).await, Err(JournalError::Unavailable { .. })));
        assert!(matches!(other.claim(1).await, Err(JournalError::Unavailable { .. })));
        assert!(matches!(other.ready().await, Err(JournalError::Unavailable { .. })));
    }

    line.lead_to(new.port());
    ingest(&*journal, 1, 1_000).await;
    journal.ready().await.unwrap();
    assert_eq!(facts_of(&new).await, 1);
    for journal in [journal, other] {
        use_every_connection(&journal, 2_000).await;
        journal.close().await.unwrap();
    }
}

/// A probe gives up sooner than a statement that waits for a lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_is_not_ready_for_any_probe_while_its_writes_wait_for_a_lock() {
    let Some(database) = Database::new().await else { return };
    let limited =
        PostgresSettings { statement_timeout: Duration::from_millis(1_500), ..settings(database.url(), LONG) };
    let journal = open(limited).await;
    ingest(&*journal, 1, 1).await;
    let mut lock = database.connect().await;
    lock.execute("BEGIN; LOCK taskrouter_streams.call; LOCK taskrouter_streams.mark").await.unwrap();
    assert!(matches!(journal.ingest(event(1, 2)).await, Err(JournalError::Unavailable { .. })));
    for probe in 1..=4 {
        let answer = tokio::time::timeout(Duration::from_millis(100), journal.ready()).await;
        assert!(!matches!(answer, Ok(Ok(()))), "probe {probe}");
    }
    lock.execute("COMMIT").await.unwrap();
    journal.ready().await.unwrap();
    ingest(&*journal, 1, 2).await;
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_which_an_administrator_forbids_writes_is_waited_for() {
    let Some(database) = Database::new().await else { return };
    let name = database.name();
    open(settings(database.url(), LONG)).await.close().await.unwrap();
    database.say(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let refusal = refusal(settings(database.url(), LONG)).await;
    assert!(refusal.to_string().contains("takes no writes"), "{refusal}");
    assert!(matches!(refusal, OpenError::Unreachable { .. }), "it is tried again: {refusal:?}");
    let mut administrator = database.connect().await;
    let allow = format!("SET transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only");
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {allow}; COMMIT"))).execute(&mut administrator).await.unwrap();
    ingest(&*open(settings(database.url(), LONG)).await, 1, 1).await;
}

/// Hands a migration's turn to the first connection, and its answers to nobody: as a network that loses all, or a process that stalls.
async fn swallows_the_answers_of_a_migration(database: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", database)).await.unwrap();
        let (mut questions, mut answers, mut is_silent) = (vec![0; 1 << 16], vec![0; 1 << 16], false);
        loop {
            tokio::select! {
                Ok(read @ 1..) = client.read(&mut questions) => {
                    is_silent |= questions[..read].windows(11).any(|word| word == b"pg_advisory");
                    server.write_all(&questions[..read]).await.unwrap();
                }
                Ok(read @ 1..) = server.read(&mut answers), if !is_silent => {
                    client.write_all(&answers[..read]).await.unwrap();
                }
                // The server does not learn that nobody is there any more.
                else => return std::future::pending::<()>().await,
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_silent_while_it_is_made_ready_is_asked_anew_and_keeps_no_other_start_waiting() {
    let Some(database) = Database::new().await else { return };
    let port = swallows_the_answers_of_a_migration(database.port()).await;
    let hurried = |url| PostgresSettings { acquire_timeout: Duration::from_millis(500), ..settings(url, LONG) };
    let refusal = tokio::time::timeout(scaled(PATIENCE), refusal(hurried(database.url_at(port)))).await.unwrap();
    assert!(matches!(refusal, OpenError::Unreachable { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("no answer within 5000 ms"), "{refusal}");
    let opened = tokio::time::timeout(scaled(PATIENCE), open(settings(database.url(), LONG))).await;
    ingest(&*opened.unwrap(), 1, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_closed_are_replaced_without_a_failure() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    for round in 0..3 {
        let mut events = tokio::task::JoinSet::new();
        for number in 0..8 {
            let journal = journal.clone();
            events.spawn(async move {
                journal.ingest(event(number, round)).await.unwrap();
                journal.facts(&task(number), 0).await.unwrap();
            });
        }
        events.join_all().await;
        database.say("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'taskrouter-streams'").await;
    }
    assert_eq!(facts_of(&database).await, 24);
}

/// As a server whose max_connections are used up by others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_all_where_the_server_gives_no_other() {
    let Some(database) = Database::new().await else { return };
    open(settings(database.url(), LONG)).await.close().await.unwrap();
    let url = database.url_of_a_user_of_the_tables().await;
    database.say(&format!("ALTER ROLE uses_{} CONNECTION LIMIT 1", database.name())).await;
    let journal = open(PostgresSettings { listen: false, ..settings(url, LONG) }).await;
    for number in 0..5 {
        let asked = std::iter::repeat_with(|| journal.backlog()).take(8);
        let (asked, ()) = tokio::join!(futures_util::future::join_all(asked), ingest(&*journal, 1, number));
        for answered in asked {
            answered.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_beyond_the_queue_are_refused_and_the_rest_goes_in() {
    let Some(database) = Database::new().await else { return };
    let journal = open(PostgresSettings { queue_limit: 3, ..settings(database.url(), LONG) }).await;
    let mut lock = database.connect().await;
    lock.execute("BEGIN; LOCK taskrouter_streams.call").await.unwrap();
    let mut events = tokio::task::JoinSet::new();
    for number in 0..8 {
        let journal = journal.clone();
        events.spawn(async move { journal.ingest(event(1, number)).await });
    }
    for _ in 0..5 {
        let refused = tokio::time::timeout(scaled(PATIENCE), events.join_next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(refused, Err(JournalError::Overloaded { limit: 3 })), "{refused:?}");
    }
    lock.execute("COMMIT").await.unwrap();
    for taken in events.join_all().await {
        assert_eq!(taken.unwrap(), Ingested::New);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stalls_at_any_point_has_locked_nothing() {
    let Some(database) = Database::new().await else { return };
    let line = Line::to(database.port()).await;
    let limited = |url, ms| PostgresSettings { statement_timeout: Duration::from_millis(ms), ..settings(url, LONG) };
    let stalling = open(limited(database.url_at(line.port), 700)).await;
    let other = open(limited(database.url(), 400)).await;
    ingest(&*other, 1, 1).await;
    let committed = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let count = committed.clone();
    let busy = tokio::spawn(async move {
        for number in 1_000.. {
            if stalling.ingest(event(1, number)).await.is_ok() {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    for round in 2..8 {
        line.set(Network::Works);
        let before = committed.load(std::sync::atomic::Ordering::Relaxed);
        let works = async || (committed.load(std::sync::atomic::Ordering::Relaxed) > before).then_some(());
        eventually("an event by way of the line", works).await;
        line.set(Network::Silent);
        // At once: a row that was locked would be so for longer than this may take.
        ingest(&*other, 1, round).await;
    }
    busy.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_else_has_locked_is_waited_for_no_longer_than_a_transaction_may_take() {
    let Some(database) = Database::new().await else { return };
    let hurried = PostgresSettings { statement_timeout: Duration::from_millis(300), ..settings(database.url(), LONG) };
    let journal = open(hurried).await;
    let mut lock = database.connect().await;
    lock.execute("BEGIN; LOCK taskrouter_streams.call").await.unwrap();
    let refused = journal.ingest(event(1, 1)).await;
    // By the server: a transaction that only we had given up would commit later.
    let Err(JournalError::Unavailable { reason }) = refused else { panic!("{refused:?}") };
    assert!(reason.ends_with("SQLSTATE 57014"), "{reason}");
    lock.execute("COMMIT").await.unwrap();
    ingest(&*journal, 1, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_stored_as_it_is_whatever_it_holds_and_however_the_server_reads_texts() {
    let Some(database) = Database::new().await else { return };
    let odd = [
        "'; DROP SCHEMA taskrouter_streams CASCADE; --",
        "\\'; DROP SCHEMA taskrouter_streams CASCADE; --",
        "\\",
        "''",
        "E'\\\\x41'",
        "$1 $2 $$ $6",
        "line\nline\ttab\u{1f4de}\u{fffd}",
    ];
    for (round, setting) in ["on", "off"].into_iter().enumerate() {
        let name = database.name();
        database
            .say(&format!(
                "ALTER DATABASE {name} SET standard_conforming_strings = {setting};
                 ALTER DATABASE {name} SET backslash_quote = off;"
            ))
            .await;
        let journal = open(settings(database.url(), LONG)).await;
        let call = u32::try_from(round).unwrap();
        let with = |text: &str| {
            let operation = Operation::Read(Read::FindConference { friendly_name: text.to_owned() });
            Fact { at: 1, kind: FactKind::Begun(Step { id: 1, operation, why: Vec::new() }) }
        };
        for text in odd {
            let event = NewFact { call: task(call), identity: format!("{setting}{text}"), fact: with(text).into() };
            assert_eq!(journal.ingest(event.clone()).await.unwrap(), Ingested::New, "{text}");
            assert_eq!(journal.ingest(event).await.unwrap(), Ingested::Duplicate, "{text}");
        }
        let claim = claim_one(&*journal).await;
        for text in odd {
            journal.append(&claim, with(text)).await.unwrap();
        }
        let expected: Vec<Fact> = odd.iter().chain(&odd).map(|text| with(text)).collect();
        assert_eq!(stored(&*journal, call).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_but_a_release_waits_for_the_disk_also_where_the_server_would_not() {
    for server in ["on", "off"] {
        let Some(database) = Database::new().await else { return };
        database.say(&format!("ALTER DATABASE {} SET synchronous_commit = {server}", database.name())).await;
        let journal = open(settings(database.url(), LONG)).await;
        database
            .say(
                "CREATE TABLE seen (released bool, setting text);
                 CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     INSERT INTO seen VALUES (OLD.leased AND NOT NEW.leased, current_setting('synchronous_commit'));
                     RETURN NEW;
                 END $$;
                 CREATE TRIGGER see BEFORE INSERT OR UPDATE ON taskrouter_streams.call
                     FOR EACH ROW EXECUTE FUNCTION see();",
            )
            .await;
        ingest(&*journal, 1, 1).await;
        let claim = claim_one(&*journal).await;
        journal.append(&claim, fact(2)).await.unwrap();
        journal.renew(&claim).await.unwrap();
        journal.release(&claim, 2, Due::OnFact).await.unwrap();
        let seen = async |what| database.number(&format!("SELECT count(*) FROM seen WHERE {what}")).await;
        assert_eq!(seen("setting = 'on' AND released IS NOT TRUE").await, 4, "synchronous_commit = {server}");
        assert_eq!(seen("setting = 'off' AND released").await, 1, "synchronous_commit = {server}");
        assert_eq!(seen("true").await, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_at_once_migrate_once() {
    let Some(database) = Database::new().await else { return };
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..6 {
        opening.spawn(PostgresJournal::open(settings(database.url(), LONG)));
    }
    for opened in opening.join_all().await {
        opened.unwrap().close().await.unwrap();
    }
    assert_eq!(database.number("SELECT count(*) FROM taskrouter_streams.version").await, 4);
}

/// Makes a database what version 3 of its tables was.
const TO_VERSION_3: &str = r#"
    ALTER TABLE taskrouter_streams.fact RENAME TO fact_4;
    CREATE TABLE taskrouter_streams.fact (
        task text COLLATE "C" NOT NULL, seq bigint NOT NULL, identity text COLLATE "C", body text NOT NULL);
    INSERT INTO taskrouter_streams.fact
        SELECT task, seq, identity, body FROM taskrouter_streams.fact_4 JOIN taskrouter_streams.call ON call.id = fact_4.call;
    DROP TABLE taskrouter_streams.fact_4;
    ALTER TABLE taskrouter_streams.fact ADD PRIMARY KEY (task, seq);
    CREATE UNIQUE INDEX fact_identity ON taskrouter_streams.fact (identity) WHERE identity IS NOT NULL;
    DROP INDEX taskrouter_streams.call_task;
    ALTER TABLE taskrouter_streams.call DROP COLUMN id, ADD PRIMARY KEY (task);
    DELETE FROM taskrouter_streams.version WHERE number = 4
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_journaled_by_the_version_before_is_taken_over() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    for call in 1..=20 {
        ingest(&*journal, call, 1).await;
    }
    let claims = journal.claim(10).await.unwrap();
    for claim in &claims {
        journal.append(claim, fact(2)).await.unwrap();
    }
    let (held, released) = (claims[0].call.clone(), claims[1].call.clone());
    for claim in &claims[1..] {
        journal.release(claim, 2, Due::OnFact).await.unwrap();
    }
    let mut before = Vec::new();
    for call in 1..=20 {
        before.push(stored(&*journal, call).await);
    }
    journal.close().await.unwrap();
    database.say(TO_VERSION_3).await;

    let journal = open(settings(database.url(), LONG)).await;
    for (call, before) in (1..).zip(&before) {
        assert_eq!(stored(&*journal, call).await, *before);
        assert_eq!(journal.ingest(event(call, 1)).await.unwrap(), Ingested::Duplicate);
    }
    // What was due is due, what was claimed is claimed, and new calls have numbers of their own.
    ingest(&*journal, 21, 1).await;
    let late = NewFact { call: released.clone(), identity: "late".to_owned(), fact: fact(3).into() };
    assert_eq!(journal.ingest(late).await.unwrap(), Ingested::New);
    let due = journal.claim(30).await.unwrap();
    assert_eq!(due.len(), 12, "{due:?}");
    assert!(due.iter().any(|claim| claim.call == released && claim.facts == 3));
    assert!(due.iter().all(|claim| claim.call != held));
    assert_eq!(stored(&*journal, 21).await, [fact(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_does_not_wait_for_a_table_while_others_wait_behind_it() {
    let Some(database) = Database::new().await else { return };
    open(settings(database.url(), LONG)).await.close().await.unwrap();
    database.say(TO_VERSION_3).await;
    let mut reader = database.connect().await;
    reader.execute("BEGIN; LOCK taskrouter_streams.call IN ACCESS SHARE MODE").await.unwrap();
    let refusal = refusal(settings(database.url(), LONG)).await;
    assert!(matches!(refusal, OpenError::Unreachable { .. }), "it is tried again: {refusal:?}");
    assert!(refusal.to_string().ends_with("another transaction has them locked: end it"), "{refusal}");
    assert_eq!(database.number("SELECT count(*) FROM taskrouter_streams.version").await, 3, "nothing was changed");
    reader.execute("COMMIT").await.unwrap();
    ingest(&*open(settings(database.url(), LONG)).await, 1, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_a_newer_version_is_left_alone() {
    let Some(database) = Database::new().await else { return };
    open(settings(database.url(), LONG)).await.close().await.unwrap();
    database.say("INSERT INTO taskrouter_streams.version VALUES (99)").await;
    let refusal = refusal(settings(database.url(), LONG)).await;
    assert!(matches!(refusal, OpenError::TooNew { found: 99, known: 4, .. }), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_an_administrator_made_is_enough() {
    let Some(database) = Database::new().await else { return };
    let name = database.name();
    database
        .say(&format!("CREATE ROLE narrow_{name} LOGIN; CREATE SCHEMA taskrouter_streams AUTHORIZATION narrow_{name}"))
        .await;
    let url = database.url().replace("postgres@", &format!("narrow_{name}@"));
    let journal = open(settings(url, LONG)).await;
    ingest(&*journal, 1, 1).await;
    claim_one(&*journal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_only_use_the_tables_that_are_there_is_enough() {
    let Some(database) = Database::new().await else { return };
    open(settings(database.url(), LONG)).await.close().await.unwrap();
    let journal = open(settings(database.url_of_a_user_of_the_tables().await, LONG)).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.append(&claim, fact(2)).await.unwrap();
    journal.prune(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_used_is_named_without_its_password() {
    let Some(database) = Database::new().await else { return };
    let url = |url: String| url.replace("postgres@", "postgres:hunter2@");
    let wrong = [
        url(database.url_at(9)),
        url(database.url()).replace(database.name(), "missing"),
        url(database.url()).replace("sslmode=disable", "sslmode=verify-full&sslrootcert=/nowhere/ca.pem"),
        url(database.url()) + "&sslcert=/nowhere/client.pem&sslkey=/nowhere/client.key",
    ];
    for (place, url) in wrong.into_iter().enumerate() {
        let hurried = PostgresSettings { acquire_timeout: Duration::from_secs(2), ..settings(url, LONG) };
        let refusal = refusal(hurried.clone()).await;
        let said = format!("{refusal} {refusal:?} {hurried:?}");
        // Only where nobody listens somebody may come.
        let is_told = if place == 0 {
            matches!(refusal, OpenError::Unreachable { .. })
        } else {
            matches!(refusal, OpenError::Unopenable { .. })
        };
        assert!(is_told && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_used_and_the_certificate_is_checked_as_sslmode_says() {
    let Some(database) = Database::new().await else { return };
    let with_url = |mode: &str, authority: Option<&str>| {
        let mut url = database.url().replace("sslmode=disable", &format!("sslmode={mode}"));
        if let Some(authority) = authority {
            url.push_str(&format!("&sslrootcert={}", database.certificate(authority).display()));
        }
        url
    };
    let with = |mode: &str, authority: Option<&str>| settings(with_url(mode, authority), LONG);
    let journal = open(with("verify-full", Some("ca.pem"))).await;
    ingest(&*journal, 1, 1).await;
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE ssl AND datname = current_database() AND application_name = 'taskrouter-streams'";
    assert!(database.number(encrypted).await > 0);
    journal.close().await.unwrap();
    open(with("require", None)).await.close().await.unwrap();
    let wrong = [("verify-full", Some("other-ca.pem")), ("verify-full", None), ("require", Some("other-ca.pem"))];
    for (mode, authority) in wrong {
        let refusal = refusal(with(mode, authority)).await;
        assert!(matches!(refusal, OpenError::Unopenable { .. }), "{refusal:?}");
    }
    let other_name = settings(with_url("verify-full", Some("ca.pem")).replace("127.0.0.1", "localhost"), LONG);
    let refusal = refusal(other_name).await;
    assert!(matches!(refusal, OpenError::Unopenable { .. }), "a certificate for another host: {refusal:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_will_do() {
    let Some(database) = Database::new().await else { return };
    let socket = database.directory().display().to_string().replace('/', "%2F");
    let url = format!("postgres://postgres@{socket}:{}/{}", database.port(), database.name());
    let journal = open(settings(url, LONG)).await;
    ingest(&*journal, 1, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_change_often_have_room_to_and_are_cleaned_up_early() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    let options = "SELECT count(*) FROM pg_class WHERE oid = 'taskrouter_streams.call'::regclass
                   AND reloptions @> '{fillfactor=70,autovacuum_vacuum_scale_factor=0.02}'";
    assert_eq!(database.number(options).await, 1);
    // An idle call is in no index that a claim looks into.
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 1, Due::Over).await.unwrap();
    let due = "SELECT count(*) FROM taskrouter_streams.call WHERE due_ms IS NOT NULL";
    assert_eq!(database.number(due).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_stays_bounded_over_a_month() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    let a_day_passes = async || {
        database
            .say("UPDATE taskrouter_streams.call SET over_ms = over_ms - 86400000, changed_ms = changed_ms - 86400000")
            .await;
        // As autovacuum would have done in a day.
        database.say("VACUUM taskrouter_streams.call").await;
        database.say("VACUUM taskrouter_streams.fact").await;
        let size = "SELECT (pg_total_relation_size('taskrouter_streams.call') + pg_total_relation_size('taskrouter_streams.fact'))::bigint";
        u64::try_from(database.number(size).await).unwrap()
    };
    retention::a_month(journal, a_day_passes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_starts_ahead_deletes_nothing_before_its_time() {
    let Some(database) = Database::new().await else { return };
    let aged =
        "UPDATE taskrouter_streams.call SET over_ms = over_ms - 1209600000, changed_ms = changed_ms - 1209600000";
    retention::a_clock_that_starts_ahead(&database, async || database.say(aged).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_are_listed_by_reading_a_page_of_them() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    database
        .say(
            "INSERT INTO taskrouter_streams.call (task, last_seq, changed_ms, over_ms, parked)
             SELECT 'WT' || lpad(to_hex(n), 32, '0'), 1, n, CASE WHEN n % 2 = 0 THEN n END, n % 100 = 0
             FROM generate_series(1, 10000) AS n;
             ANALYZE taskrouter_streams.call;",
        )
        .await;
    let scans = database.number(SCANS).await;
    for state in [CallState::All, CallState::Live, CallState::Parked, CallState::Over] {
        let before = database.number(READ).await;
        let rows = journal.calls(CallQuery { state, limit: 50, ..CallQuery::default() }).await.unwrap();
        assert_eq!(rows.len(), 50);
        let read = eventually("the statistics", || async {
            Some(database.number(READ).await - before).filter(|read| *read > 0)
        })
        .await;
        assert!(read <= 200, "{state:?} read {read} rows");
    }
    assert_eq!(database.number(SCANS).await, scans, "the whole table was read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_reads_no_more_than_it_takes_when_very_many_calls_are_due() {
    let Some(database) = Database::new().await else { return };
    let journal = open(settings(database.url(), LONG)).await;
    database
        .say(
            "INSERT INTO taskrouter_streams.call (task, last_seq, changed_ms, due_ms)
             SELECT 'WT' || lpad(to_hex(n), 32, '0'), 1, n, 1 + n * 7919 % 20000 FROM generate_series(1, 20000) AS n;",
        )
        .await;
    let (scans, before) = (database.number(SCANS).await, database.number(READ).await);
    for _ in 0..10 {
        assert_eq!(journal.claim(8).await.unwrap().len(), 8);
    }
    let read = eventually("the statistics", || async {
        Some(database.number(READ).await - before).filter(|read| *read >= 160)
    })
    .await;
    assert!(read <= 1_000, "10 claims of 8 read {read} rows");
    assert_eq!(database.number(SCANS).await, scans, "the whole table was read");
}

/// Readings of the whole table so far.
const SCANS: &str = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'call'";

/// Rows of calls that were read so far.
const READ: &str = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'call'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_brings_what_its_process_does_not_know_and_to_others_everything() {
    let Some(database) = Database::new().await else { return };
    let (one, other) = (open(settings(database.url(), LONG)).await, open(settings(database.url(), LONG)).await);
    ingest(&*one, 1, 1).await;
    let claim = claim_one(&*one).await;
    for number in 2..=300 {
        one.append(&claim, fact(number)).await.unwrap();
    }
    one.release(&claim, 300, Due::OnFact).await.unwrap();

    // From now on the planner knows that the table is small.
    database.say("ANALYZE").await;
    let before = database.number(FACTS_READ).await;
    let numbers = |facts: Vec<(i64, Fact)>| facts.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>();
    for number in 301..=310 {
        ingest(&*one, 1, number).await;
        let claim = claim_one(&*one).await;
        assert_eq!(numbers(one.news(&claim, number - 1).await.unwrap()), [number]);
        one.release(&claim, number, Due::OnFact).await.unwrap();
    }
    // When it has forgotten the call, it is told everything all the same.
    ingest(&*one, 1, 311).await;
    let claim = claim_one(&*one).await;
    assert_eq!(numbers(one.news(&claim, 0).await.unwrap()), (1..=311).collect::<Vec<_>>());
    one.append(&claim, fact(312)).await.unwrap();
    assert_eq!(numbers(one.news(&claim, 311).await.unwrap()), [312]);
    // That there is nothing new is known as well.
    one.release(&claim, 312, Due::After(Duration::ZERO)).await.unwrap();
    let claim = claim_one(&*one).await;
    assert!(one.news(&claim, 312).await.unwrap().is_empty());
    one.release(&claim, 312, Due::After(Duration::ZERO)).await.unwrap();

    let claim = claim_one(&*other).await;
    assert_eq!(numbers(other.news(&claim, 0).await.unwrap()), (1..=312).collect::<Vec<_>>());
    let read = eventually("the statistics", || async {
        Some(database.number(FACTS_READ).await - before).filter(|read| *read >= 311 + 312)
    })
    .await;
    assert!(read < 1_000, "{read} rows of facts were read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_journaled_here_while_a_call_is_claimed_is_told_without_asking() {
    let Some(database) = Database::new().await else { return };
    let (one, other) = (open(settings(database.url(), LONG)).await, open(settings(database.url(), LONG)).await);
    ingest(&*one, 1, 1).await;
    let claim = claim_one(&*one).await;
    assert_eq!(one.news(&claim, 0).await.unwrap(), [(1, fact(1))]);
    let before = database.number(FACTS_READ).await;
    for number in (2..=200).step_by(2) {
        ingest(&*one, 1, number).await;
        one.append(&claim, fact(number + 1)).await.unwrap();
        let told = one.news(&claim, number - 1).await.unwrap();
        assert_eq!(told, [(number, fact(number)), (number + 1, fact(number + 1))]);
    }
    ingest(&*one, 1, 202).await;
    assert_eq!(one.news(&claim, 201).await.unwrap(), [(202, fact(202))]);

    // What is from elsewhere is missed, and asked for.
    ingest(&*other, 1, 203).await;
    ingest(&*one, 1, 204).await;
    let told = one.news(&claim, 202).await.unwrap();
    assert_eq!(told, [(203, fact(203)), (204, fact(204))]);
    // And by whoever has forgotten the call.
    assert_eq!(one.news(&claim, 0).await.unwrap().len(), 204);
    let read = eventually("the statistics", || async {
        Some(database.number(FACTS_READ).await - before).filter(|read| *read >= 206)
    })
    .await;
    assert!(read < 300, "{read} rows of facts were read");
}

/// Rows of facts that were read so far.
const FACTS_READ: &str = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'fact'";
