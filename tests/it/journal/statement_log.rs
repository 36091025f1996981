//! What PostgreSQL's own log holds of facts when statements fail or are slow.

use super::*;
use crate::postgres::{Cluster, another_server, open, settings};
use sqlx::Connection as _;
use taskrouter_streams::call::Summary;
use taskrouter_streams::journal::{Due, JournalError, PostgresSettings};

/// In the facts, in an event's identity and in the name of a call.
const SECRET: &str = "personal-data";

fn url(server: &Cluster) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", server.port)
}

async fn say(server: &Cluster, sql: &'static str) {
    let mut connection = sqlx::PgConnection::connect(&url(server)).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

fn secret(number: i64) -> Fact {
    let operation = Operation::Read(Read::FindConference { friendly_name: format!("{SECRET} {number}") });
    Fact { at: number, kind: FactKind::Begun(Step { id: 1, operation, why: Vec::new() }) }
}

fn secret_event(number: i64) -> NewFact {
    NewFact { call: task(7), identity: format!("{SECRET} {number}"), fact: secret(number).into() }
}

fn log(server: &Cluster) -> String {
    std::fs::read_to_string(server.directory.join("log")).unwrap()
}

fn is_refused<T: std::fmt::Debug>(answer: Result<T, JournalError>) {
    assert!(matches!(answer, Err(JournalError::Unavailable { .. })), "{answer:?}");
}

/// Each kind of write, refused: in its transaction nothing else is committed.
async fn refused_writes(server: &Cluster, journal: &dyn Journal, claim: &Claim) {
    say(
        server,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by the test'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON taskrouter_streams.fact FOR EACH ROW EXECUTE FUNCTION refuse();
         CREATE TRIGGER refuse BEFORE UPDATE ON taskrouter_streams.call FOR EACH ROW
             WHEN (OLD.leased AND NOT NEW.leased) EXECUTE FUNCTION refuse();",
    )
    .await;
    is_refused(journal.ingest(secret_event(100)).await);
    is_refused(journal.append(claim, secret(101)).await);
    let summary: Summary = serde_json::from_value(serde_json::json!({
        "facts": 1, "queue": SECRET, "began_at": 1, "changed_at": 1, "outcome": "unanswered",
        "agents": [], "streams": [], "parked": [], "errors": [],
    }))
    .unwrap();
    is_refused(journal.release_summed_up(claim, 1, Due::OnFact, Some(summary)).await);
    say(server, "DROP FUNCTION refuse() CASCADE").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_logs_what_fails_logs_no_fact() {
    let Some(server) = another_server() else { return };
    let journal = open(settings(url(&server), LONG)).await;
    journal.ingest(secret_event(1)).await.unwrap();
    let claim = claim_one(&*journal).await;
    refused_writes(&server, &*journal, &claim).await;
    let log = log(&server);
    assert!(log.matches("refused by the test").count() >= 3 && log.contains("STATEMENT:  WITH held AS"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains(task(7).as_str()), "{log}");
    assert_eq!(stored(&*journal, 7).await, [secret(1)], "what was refused was rolled back");
    // The sessions are whole again.
    for number in 2..10 {
        journal.append(&claim, secret(number)).await.unwrap();
    }
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_logs_every_statement_can_be_told_to_log_no_fact() {
    let Some(server) = another_server() else { return };
    say(&server, "ALTER DATABASE postgres SET log_min_duration_statement = 0").await;
    say(&server, "ALTER DATABASE postgres SET log_parameter_max_length = 0").await;
    let journal = open(settings(url(&server), LONG)).await;
    journal.ingest(secret_event(1)).await.unwrap();
    let claim = claim_one(&*journal).await;
    journal.append(&claim, secret(2)).await.unwrap();
    journal.renew(&claim).await.unwrap();
    refused_writes(&server, &*journal, &claim).await;
    journal.release(&claim, 2, Due::OnFact).await.unwrap();
    journal.facts(&task(7), 0).await.unwrap();
    journal.close().await.unwrap();
    let log = log(&server);
    assert!(log.contains("duration: ") && log.contains("INSERT INTO taskrouter_streams.fact"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains(task(7).as_str()), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_with_one_refused_event_nothing_is_committed_that_was_not_answered() {
    let Some(server) = another_server() else { return };
    let journal = open(PostgresSettings { batch_limit: 64, ..settings(url(&server), LONG) }).await;
    say(
        &server,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.body LIKE '%personal-data 3\"%' THEN RAISE 'refused by the test'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON taskrouter_streams.fact FOR EACH ROW EXECUTE FUNCTION refuse();",
    )
    .await;
    let mut events = tokio::task::JoinSet::new();
    for number in 0..40 {
        let journal = journal.clone();
        events.spawn(async move { (number, journal.ingest(secret_event(number)).await) });
    }
    let taken = events.join_all().await;
    let acknowledged = taken.iter().filter(|(_, answer)| matches!(answer, Ok(Ingested::New))).count();
    assert!(taken.iter().any(|(_, answer)| answer.is_err()));
    assert_eq!(stored(&*journal, 7).await.len(), acknowledged);
}
