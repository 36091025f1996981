//! The facts of calls that are over, packed into a row each by the SQLite journal.

use super::sqlite::{Dir, settings};
use super::*;
use rusqlite::{Connection, OptionalExtension as _};
use std::path::Path;
use taskrouter_streams::journal::{Due, JournalError, SqliteJournal};

const EVENTS: i64 = 20;

/// A call that is over, and whose facts are packed.
async fn ended(journal: &dyn Journal, file: &Path, call: u32) -> Vec<Fact> {
    for number in 1..EVENTS {
        ingest(journal, call, number).await;
    }
    let claim = claim_one(journal).await;
    journal.append(&claim, fact(EVENTS)).await.unwrap();
    journal.release(&claim, EVENTS, Due::Over).await.unwrap();
    packed(file, call).await;
    stored(journal, call).await
}

/// How many rows hold facts of a call, and in how many they are packed.
fn rows(file: &Path, call: u32) -> (i64, i64) {
    let rows = "SELECT (SELECT count(*) FROM fact WHERE fact.call = call.id),
                    (SELECT count(*) FROM packed WHERE packed.call = call.id)
                FROM call WHERE task = ?1";
    let connection = Connection::open(file).unwrap();
    connection
        .query_row(rows, [task(call).as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .unwrap()
        .unwrap_or_default()
}

async fn packed(file: &Path, call: u32) {
    eventually("its facts are packed", || async { (rows(file, call) == (0, 1)).then_some(()) }).await;
}

#[tokio::test]
async fn the_facts_of_a_call_that_is_over_are_packed_and_read_the_same() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    ingest(&*journal, 2, 1).await;
    let live = claim_one(&*journal).await;
    journal.release(&live, 1, Due::OnFact).await.unwrap();
    let facts = ended(&*journal, &dir.file(), 1).await;
    assert_eq!(facts, (1..=EVENTS).map(fact).collect::<Vec<_>>());
    assert_eq!(journal.facts(&task(1), EVENTS - 2).await.unwrap(), [(EVENTS - 1, fact(19)), (EVENTS, fact(20))]);
    assert_eq!(rows(&dir.file(), 2), (1, 0), "a live call has a row for each fact");
    journal.close().await.unwrap();
    let journal = dir.open(LONG).await;
    assert_eq!(stored(&*journal, 1).await, facts);
    assert_eq!(journal.prune(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(stored(&*journal, 1).await, []);
    let left = Connection::open(dir.file()).unwrap().query_row("SELECT count(*) FROM packed", [], |row| row.get(0));
    assert_eq!(left, Ok(0));
}

#[tokio::test]
async fn what_ends_before_a_stop_is_packed_by_then() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 1, Due::Over).await.unwrap();
    journal.close().await.unwrap();
    assert_eq!(rows(&dir.file(), 1), (0, 1));
}

#[tokio::test]
async fn a_call_that_hears_of_something_after_its_end_is_whole() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    ended(&*journal, &dir.file(), 1).await;
    assert_eq!(journal.ingest(event(1, 3)).await.unwrap(), Ingested::Duplicate);
    assert_eq!(rows(&dir.file(), 1), (0, 1), "nothing was changed");

    let (late, later) = tokio::join!(journal.ingest(event(1, 21)), journal.ingest(event(1, 22)));
    assert_eq!((late.unwrap(), later.unwrap()), (Ingested::New, Ingested::New));
    for number in [3, 21, 22] {
        assert_eq!(journal.ingest(event(1, number)).await.unwrap(), Ingested::Duplicate);
    }
    let facts: Vec<Fact> = (1..=22).map(fact).collect();
    assert_eq!(stored(&*journal, 1).await, facts);
    assert_eq!(rows(&dir.file(), 1), (22, 0));

    // As a kill would leave it, before any row of a call says that it is live again.
    let killed = dir.0.path().join("killed.db");
    for ending in ["", "-wal"] {
        std::fs::copy(format!("{}{ending}", dir.file().display()), format!("{}{ending}", killed.display())).unwrap();
    }
    let after = SqliteJournal::open(settings(&killed)).unwrap();
    assert_eq!(stored(&after, 1).await, facts);
    assert_eq!(claim_one(&after).await.call, task(1));
    after.close().await.unwrap();

    let claim = claim_one(&*journal).await;
    journal.append(&claim, fact(23)).await.unwrap();
    journal.release(&claim, 23, Due::Over).await.unwrap();
    packed(&dir.file(), 1).await;
    assert_eq!(stored(&*journal, 1).await, (1..=23).map(fact).collect::<Vec<_>>());
}

/// What comes of a flipped bit may be JSON with another text.
#[tokio::test]
async fn damage_to_what_is_to_be_packed_concerns_one_call_and_stays_damage() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    for number in 1..=3 {
        ingest(&*journal, 1, number).await;
    }
    let connection = Connection::open(dir.file()).unwrap();
    // Within a text of the JSON, and at the end of an identity.
    let damage = "UPDATE fact SET body = CAST(replace(body, 'quoted', CAST(x'ff' AS TEXT)) AS TEXT) WHERE seq = 2;
                  UPDATE fact SET identity = CAST(x'31ff' AS TEXT) WHERE seq = 3";
    connection.execute_batch(damage).unwrap();
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 3, Due::Over).await.unwrap();
    packed(&dir.file(), 1).await;
    assert!(matches!(
        journal.facts(&task(1), 0).await,
        Err(JournalError::Unreadable { seq: 2, readable, .. }) if readable == [(1, fact(1)), (3, fact(3))]
    ));
    ended(&*journal, &dir.file(), 2).await;
}

#[tokio::test]
async fn damage_to_what_is_packed_concerns_one_call() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    ended(&*journal, &dir.file(), 1).await;
    let sound = ended(&*journal, &dir.file(), 2).await;
    let connection = Connection::open(dir.file()).unwrap();
    let whole: Vec<u8> = connection
        .query_row(
            "SELECT facts FROM packed JOIN call ON call.id = packed.call WHERE task = ?1",
            [task(1).as_str()],
            |row| row.get(0),
        )
        .unwrap();
    let is_unreadable = async || {
        let read = journal.facts(&task(1), 0).await;
        matches!(read, Err(JournalError::Unreadable { seq: 1, ref readable, .. }) if readable.is_empty())
    };
    let damage = |bytes: &[u8]| {
        let damaged = "UPDATE packed SET facts = ?2 WHERE call = (SELECT id FROM call WHERE task = ?1)";
        assert_eq!(connection.execute(damaged, rusqlite::params![task(1).as_str(), bytes]).unwrap(), 1);
    };
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        damage(&bytes);
        assert!(is_unreadable().await, "byte {place}");
    }
    for length in 0..whole.len() {
        damage(&whole[..length]);
        assert!(is_unreadable().await, "only {length} bytes");
    }
    assert_eq!(stored(&*journal, 2).await, sound);

    ingest(&*journal, 1, 100).await;
    assert!(matches!(
        journal.facts(&task(1), 0).await,
        Err(JournalError::Unreadable { seq: 1, readable, .. }) if readable == [(EVENTS + 1, fact(100))]
    ));
    let claim = claim_one(&*journal).await;
    assert_eq!(journal.append(&claim, fact(101)).await.unwrap(), EVENTS + 2);
    damage(&whole);
    assert_eq!(stored(&*journal, 1).await.len(), 22, "what is put right is read again");
}
