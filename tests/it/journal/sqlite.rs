//! What is the SQLite journal's own: one process, one file, one disk.

use super::*;
use crate::pace::scaled;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use taskrouter_streams::journal::{
    CallQuery, Due, JournalError, OpenError, SqliteJournal, SqliteSettings, examine_file,
};
use taskrouter_streams::telemetry::metrics::Commits;

/// Names the file to the child process of the kill test.
const CHILD_FILE: &str = "JOURNAL_TEST_CHILD_FILE";

pub(super) struct Dir(pub(super) tempfile::TempDir);

impl Dir {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.path().join("journal.db")
    }
}

impl Store for Dir {
    async fn open(&self, lease: Duration) -> Arc<dyn Journal> {
        Arc::new(SqliteJournal::open(SqliteSettings { lease, ..settings(&self.file()) }).unwrap())
    }
}

pub(crate) fn settings(path: &Path) -> SqliteSettings {
    SqliteSettings {
        path: path.to_owned(),
        queue_limit: 1_000,
        batch_limit: 64,
        lease: LONG,
        wal_limit_bytes: 1 << 20,
        commits: Commits::default(),
    }
}

fn refusal(path: &Path) -> OpenError {
    match SqliteJournal::open(settings(path)) {
        Ok(_) => panic!("the journal should not open"),
        Err(refusal) => refusal,
    }
}

rules::keeps_the_rules!(Some(Dir::new()));

#[tokio::test]
async fn leases_of_a_process_that_is_gone_are_free() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let gone = claim_one(&*journal).await;
    journal.close().await.unwrap();
    let journal = dir.open(LONG).await;
    let claim = claim_one(&*journal).await;
    assert!(claim.fence > gone.fence);
    assert!(matches!(journal.append(&gone, fact(2)).await, Err(JournalError::LeaseLost { .. })));
}

/// Damage to a fact that no row has taken in yet.
#[tokio::test]
async fn facts_that_are_no_text_keep_no_start_from_the_other_calls() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    for call in 1..=3 {
        ingest(&*journal, call, 1).await;
        ingest(&*journal, call, 2).await;
    }
    journal.close().await.unwrap();
    let file = rusqlite::Connection::open(dir.file()).unwrap();
    file.execute_batch("DELETE FROM call; UPDATE projection SET last_fact = 0").unwrap();
    let damage = |column: &str, of: u32| {
        let damaged = format!("UPDATE fact SET {column} = CAST(x'7bff' AS TEXT) WHERE task = ?1");
        assert_eq!(file.execute(&damaged, [task(of).as_str()]).unwrap(), 1);
    };
    damage("body", 1);
    damage("task", 3);
    let journal = dir.open(LONG).await;
    assert!(matches!(
        journal.facts(&task(1), 0).await,
        Err(JournalError::Unreadable { seq: 1, readable, .. }) if readable == [(2, fact(2))]
    ));
    assert_eq!(stored(&*journal, 2).await, [fact(1), fact(2)]);
    let claimed: Vec<_> = journal.claim(10).await.unwrap().into_iter().map(|claim| claim.call).collect();
    assert_eq!(claimed, [task(1), task(2)], "nobody knows whose the facts of the third are");
    ingest(&*journal, 3, 3).await;
    assert_eq!(stored(&*journal, 3).await, [fact(3)], "it begins anew");
}

/// What the rows say is known from the facts too.
#[tokio::test]
async fn rows_that_are_no_text_keep_no_start_from_the_other_calls() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    for call in 1..=4 {
        ingest(&*journal, call, 1).await;
    }
    while let Some(claim) = journal.claim(1).await.unwrap().pop() {
        let due = if claim.call == task(4) { Due::Over } else { Due::OnFact };
        journal.release(&claim, 1, due).await.unwrap();
    }
    journal.close().await.unwrap();
    let file = rusqlite::Connection::open(dir.file()).unwrap();
    for (column, of) in [("task", 1), ("customer", 2), ("customer", 4)] {
        let damaged = format!("UPDATE call SET {column} = CAST(x'7bff' AS TEXT) WHERE task = ?1");
        assert_eq!(file.execute(&damaged, [task(of).as_str()]).unwrap(), 1);
    }
    let journal = dir.open(LONG).await;
    for call in 1..=4 {
        assert_eq!(stored(&*journal, call).await, [fact(1)], "call {call}");
    }
    let rows = journal.calls(CallQuery { limit: 10, ..CallQuery::default() }).await.unwrap();
    assert_eq!(rows.len(), 4);
}

#[tokio::test]
async fn a_second_process_is_kept_out_and_told_what_to_do() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    let refusal = refusal(&dir.file());
    assert!(matches!(refusal, OpenError::InUse { .. }), "{refusal:?}");
    let path = dir.file().display().to_string();
    assert_eq!(
        refusal.to_string(),
        format!("journal {path} is in use by another process: stop it, or give this one a journal.url of its own")
    );
    journal.close().await.unwrap();
    dir.open(LONG).await;
}

#[tokio::test]
async fn a_second_process_is_kept_out_by_whatever_name_it_knows_the_file() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    let [symbolic, hard] = ["symbolic.db", "hard.db"].map(|name| dir.0.path().join(name));
    std::os::unix::fs::symlink(dir.file(), &symbolic).unwrap();
    std::fs::hard_link(dir.file(), &hard).unwrap();
    for name in [symbolic, hard] {
        assert!(matches!(refusal(&name), OpenError::InUse { .. }), "{}", name.display());
    }
    for entry in std::fs::read_dir(dir.0.path()).unwrap() {
        // There is nothing beside the file that could be removed to get in.
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with(".db") || name.ends_with("-wal") || name.ends_with("-shm"), "{name}");
    }
    ingest(&*journal, 1, 1).await;
}

#[tokio::test]
async fn nobody_but_its_owner_may_read_a_new_file() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    for ending in ["", "-wal", "-shm"] {
        let mode = std::fs::metadata(format!("{}{ending}", dir.file().display())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{ending}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_a_killed_process_left_damaged_is_refused() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    for number in 0..200 {
        ingest(&*journal, 1, number).await;
    }
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    side.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    examine_file(&dir.file()).unwrap();
    ingest(&*journal, 2, 1).await;
    // As a kill would leave them.
    let killed = dir.0.path().join("killed.db");
    for ending in ["", "-wal"] {
        std::fs::copy(format!("{}{ending}", dir.file().display()), format!("{}{ending}", killed.display())).unwrap();
    }
    SqliteJournal::open(settings(&killed)).unwrap().close().await.unwrap();
    examine_file(&killed).unwrap();

    // A page of facts, in the middle of the file.
    let mut bytes = std::fs::read(&killed).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].fill(0xff);
    std::fs::write(&killed, bytes).unwrap();
    let at_rest = examine_file(&killed);
    assert!(matches!(at_rest, Err(OpenError::Damaged { .. })), "{at_rest:?}");
    std::fs::copy(format!("{}-wal", dir.file().display()), format!("{}-wal", killed.display())).unwrap();
    let refusal = refusal(&killed);
    assert!(matches!(refusal, OpenError::Damaged { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("restore a backup, or move the file away"), "{refusal}");
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let dir = Dir::new();
    rusqlite::Connection::open(dir.file()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refusal = refusal(&dir.file());
    assert!(matches!(refusal, OpenError::TooNew { found: 99, known: 7, .. }), "{refusal:?}");
    let said = "has schema version 99, this program knows up to 7: run the newer version, or set journal.url to another journal";
    assert!(refusal.to_string().ends_with(said));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_stays_bounded_over_a_month() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    let a_day_passes = async || {
        let unfinished = "SELECT (SELECT count(*) FROM call WHERE due_ms IS NOT NULL)
            + (SELECT count(*) FROM call WHERE over_ms IS NOT NULL AND packed = 0)
            + (SELECT count(*) FROM fact WHERE id > (SELECT last_fact FROM projection))";
        eventually("the rows of all calls, as they are", || async {
            side.query_row(unfinished, [], |row| row.get(0)).is_ok_and(|count: i64| count == 0).then_some(())
        })
        .await;
        side.execute("UPDATE call SET over_ms = over_ms - 86400000, changed_ms = changed_ms - 86400000", []).unwrap();
        side.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        dir.file().metadata().unwrap().len()
    };
    retention::a_month(journal, a_day_passes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_starts_ahead_deletes_nothing_before_its_time() {
    let dir = Dir::new();
    let two_weeks_pass = async || {
        let aged = "UPDATE call SET over_ms = over_ms - 1209600000, changed_ms = changed_ms - 1209600000";
        rusqlite::Connection::open(dir.file()).unwrap().execute(aged, []).unwrap();
    };
    retention::a_clock_that_starts_ahead(&dir, two_weeks_pass).await;
}

/// What the first version wrote, as it wrote it.
const VERSION_1: &str = r#"
    CREATE TABLE call (task TEXT PRIMARY KEY, last_seq INTEGER NOT NULL DEFAULT 0, due_ms INTEGER, lease_ms INTEGER,
        fence INTEGER NOT NULL DEFAULT 0, over_ms INTEGER) STRICT;
    CREATE INDEX call_due ON call (due_ms) WHERE due_ms IS NOT NULL;
    CREATE INDEX call_lease ON call (lease_ms) WHERE lease_ms IS NOT NULL;
    CREATE INDEX call_over ON call (over_ms) WHERE over_ms IS NOT NULL;
    CREATE TABLE fact (task TEXT NOT NULL, seq INTEGER NOT NULL, identity TEXT UNIQUE, body TEXT NOT NULL,
        PRIMARY KEY (task, seq)) STRICT;
    INSERT INTO call VALUES ('WT00000000000000000000000000000001', 2, NULL, NULL, 4, NULL),
        ('WT00000000000000000000000000000002', 3, NULL, NULL, 1, 7000),
        ('WT00000000000000000000000000000003', 0, NULL, NULL, 0, NULL);
    INSERT INTO fact VALUES
        ('WT00000000000000000000000000000001', 1, 'EV1', '{"at":5000,"kind":{"task":{"stamp":{"sid":null,"at":1},
            "change":"updated","task":{"task":"WT00000000000000000000000000000001","channel":null,"version":null,
            "status":null,"attributes":{"outbound":false,"customer":"CA00000000000000000000000000000009","conference":null}}}}}'),
        ('WT00000000000000000000000000000001', 2, NULL, '{"at":6000,"kind":{"parked":{"goal":"lower_guard","reason":"a"}}}'),
        ('WT00000000000000000000000000000002', 1, NULL, '{"at":1000,"kind":{"parked":{"goal":"lower_guard","reason":"a"}}}'),
        ('WT00000000000000000000000000000002', 2, 'asked', '{"at":5500,"kind":"redriven"}'),
        ('WT00000000000000000000000000000002', 3, NULL, '{"at":5600,"kind":{"begun":{"id":1,"operation":{"command":{"stop_stream":
            {"customer":"CA00000000000000000000000000000008","name":"a"}}},"why":["lower_guard"]}}}');
    PRAGMA user_version = 1;
"#;

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_forward_with_what_it_holds() {
    let dir = Dir::new();
    rusqlite::Connection::open(dir.file()).unwrap().execute_batch(VERSION_1).unwrap();
    for _ in 0..2 {
        let journal = dir.open(LONG).await;
        let rows = journal.calls(CallQuery { limit: 10, ..CallQuery::default() }).await.unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.call.clone(), row.changed, row.over, row.parked)).collect();
        let expected = [(task(1), 6_000, false, true), (task(2), 5_600, true, false), (task(3), 0, false, false)];
        assert_eq!(told, expected);
        let customers: Vec<_> = rows.iter().map(|row| row.customer.as_ref().map(|sid| sid.as_str())).collect();
        assert_eq!(customers, [Some("CA00000000000000000000000000000009"), None, None]);
        assert_eq!(journal.newest_event().await.unwrap(), Some(5_500));
        assert_eq!(stored(&*journal, 1).await.len(), 2, "every fact can be read");
        journal.close().await.unwrap();
    }
}

/// How long the quickest of some claims takes when this many calls are due.
async fn quickest_claim(due: u32) -> Duration {
    let dir = Dir::new();
    dir.open(LONG).await.close().await.unwrap();
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    let calls = "INSERT INTO call (task, due_ms, last_seq, changed_ms, parked)
                 WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
                 SELECT printf('WT%032x', n), 1 + n * 7919 % ?1, 1, 1, 0 FROM n";
    side.execute(calls, [due]).unwrap();
    let journal = dir.open(LONG).await;
    let mut quickest = Duration::MAX;
    for round in 0..20 {
        let began = Instant::now();
        let claims = journal.claim(8).await.unwrap();
        quickest = quickest.min(began.elapsed());
        assert_eq!(claims.len(), 8, "round {round}");
    }
    quickest
}

#[tokio::test]
async fn a_claim_takes_no_longer_when_very_many_calls_are_due() {
    let (few, many) = (quickest_claim(1_000).await, quickest_claim(100_000).await);
    assert!(many < few * 4 + Duration::from_millis(4), "{few:?} with 1,000 due, {many:?} with 100,000");
}

#[test]
fn a_file_that_is_no_journal_is_refused_by_name() {
    let dir = Dir::new();
    std::fs::write(dir.file(), "not a database, and longer than the header of one would be, for good measure").unwrap();
    assert!(matches!(refusal(&dir.file()), OpenError::Unopenable { path, .. } if path.ends_with("journal.db")));
    let nowhere = dir.0.path().join("missing").join("journal.db");
    assert!(matches!(refusal(&nowhere), OpenError::Unopenable { .. }));
}

/// Tables of another program; and ours, in a file whose version says that they are not there.
#[test]
fn a_file_with_tables_that_are_not_its_versions_is_refused_without_a_script() {
    for (statements, table) in [
        ("CREATE TABLE Call (i)", "call"),
        ("PRAGMA user_version = 1; CREATE TABLE mark (i)", "mark"),
        ("PRAGMA user_version = 5; CREATE TABLE packed (i)", "packed"),
    ] {
        let dir = Dir::new();
        rusqlite::Connection::open(dir.file()).unwrap().execute_batch(statements).unwrap();
        for refusal in [refusal(&dir.file()), examine_file(&dir.file()).unwrap_err()] {
            let said = refusal.to_string();
            assert!(matches!(refusal, OpenError::Unopenable { .. }) && said.contains(table), "{said}");
            assert!(!said.contains("CREATE") && said.ends_with("set journal.url to another file"), "{said}");
        }
    }
    let dir = Dir::new();
    rusqlite::Connection::open(dir.file()).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let said = refusal(&dir.file()).to_string();
    assert!(!said.contains("ALTER"), "SQLite would repeat the script: {said}");
}

/// A backup that was copied over the file of a killed process, whose log is still there.
#[tokio::test]
async fn a_backup_beside_another_files_log_is_refused_with_the_way_out() {
    let dir = Dir::new();
    let backup = dir.0.path().join("backup.db");
    SqliteJournal::open(settings(&backup)).unwrap().close().await.unwrap();
    let journal = dir.open(LONG).await;
    for number in 0..200 {
        ingest(&*journal, 1, number).await;
    }
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    side.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    ingest(&*journal, 2, 1).await;
    let [log, index] = ["-wal", "-shm"].map(|ending| format!("{}{ending}", backup.display()));
    std::fs::copy(format!("{}-wal", dir.file().display()), &log).unwrap();
    let said = refusal(&backup).to_string();
    assert!(said.contains(&format!("if it was restored, remove {log} and {index}, ")), "{said}");
}

#[tokio::test]
async fn a_file_that_is_locked_is_waited_for() {
    let dir = Dir::new();
    dir.open(LONG).await.close().await.unwrap();
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    side.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refusal = refusal(&dir.file());
    assert!(matches!(refusal, OpenError::Unreachable { .. }), "it is tried again: {refusal:?}");
    assert!(refusal.to_string().ends_with("another program holds the file's lock: end it"), "{refusal}");
    side.execute_batch("ROLLBACK").unwrap();
    ingest(&*dir.open(LONG).await, 1, 1).await;
}

/// The log that is beside the path by now is another file's.
#[tokio::test]
async fn whatever_took_the_files_place_is_left_alone() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{ending}", dir.file().display())).unwrap();
        std::fs::write(format!("{}{ending}", dir.file().display()), "another's").unwrap();
    }
    let refused = journal.ingest(event(1, 2)).await;
    assert!(matches!(refused, Err(JournalError::Fatal { .. })), "{refused:?}");
    assert!(matches!(journal.failed().await, JournalError::Fatal { .. }));
    assert!(journal.ready().await.is_err());
    journal.close().await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        let found = std::fs::read_to_string(format!("{}{ending}", dir.file().display()));
        assert_eq!(found.unwrap(), "another's", "{ending}");
    }
}

/// Twilio waits for fifteen seconds, a desktop for less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_while_somebody_holds_the_lock_learns_of_it_soon() {
    let dir = Dir::new();
    let opened = SqliteJournal::open(SqliteSettings { batch_limit: 1, ..settings(&dir.file()) });
    let journal: Arc<dyn Journal> = Arc::new(opened.unwrap());
    ingest(&*journal, 1, 0).await;
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    side.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for number in 1..9 {
        let journal = journal.clone();
        waiting.spawn(async move { journal.ingest(event(1, number)).await });
    }
    for refused in waiting.join_all().await {
        assert!(refused.as_ref().is_err_and(|error| error.to_string().ends_with("lock: end it")), "{refused:?}");
    }
    assert!(began.elapsed() < scaled(Duration::from_secs(3)), "{:?}", began.elapsed());
    side.execute_batch("ROLLBACK").unwrap();
    ingest(&*journal, 1, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_beyond_the_queue_are_refused_and_the_rest_goes_in_when_the_disk_is_back() {
    let dir = Dir::new();
    let opened = SqliteJournal::open(SqliteSettings { queue_limit: 3, ..settings(&dir.file()) });
    let journal: Arc<dyn Journal> = Arc::new(opened.unwrap());
    let other = rusqlite::Connection::open(dir.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut events = tokio::task::JoinSet::new();
    for number in 0..8 {
        let journal = journal.clone();
        events.spawn(async move { journal.ingest(event(1, number)).await });
    }
    for _ in 0..5 {
        let refused = tokio::time::timeout(scaled(PATIENCE), events.join_next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(refused, Err(JournalError::Overloaded { limit: 3 })), "{refused:?}");
    }
    other.execute_batch("ROLLBACK").unwrap();
    for taken in events.join_all().await {
        assert_eq!(taken.unwrap(), Ingested::New);
    }
    assert_eq!(stored(&*journal, 1).await.len(), 3);
    ingest(&*journal, 1, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_stays_bounded_under_load() {
    const LIMIT: u64 = 256 * 1024;
    let dir = Dir::new();
    let opened = SqliteJournal::open(SqliteSettings { wal_limit_bytes: LIMIT, ..settings(&dir.file()) });
    let journal: Arc<dyn Journal> = Arc::new(opened.unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for call in 0..100 {
        let journal = journal.clone();
        writers.spawn(async move {
            for number in 0..64 {
                ingest(&*journal, call, number).await;
                stored(&*journal, call).await;
            }
        });
    }
    let wal = dir.0.path().join("journal.db-wal");
    let mut largest = 0;
    while writers.try_join_next().map(Result::unwrap).is_some() || !writers.is_empty() {
        let length = wal.metadata().map_or(0, |wal| wal.len());
        assert!(
            length >= (2 * LIMIT).min(largest),
            "it is overwritten and not cut, which would make every sync slower"
        );
        largest = largest.max(length);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // One batch of 64 writes may come on top before the log is folded.
    assert!(largest < 4 * LIMIT, "{largest} bytes");
    journal.close().await.unwrap();
    assert_eq!(wal.metadata().map_or(0, |wal| wal.len()), 0, "closing folds it");
    let written = dir.file().metadata().unwrap().len();
    assert!(written > 4 * LIMIT, "too little load to tell: {written} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_reads_the_file_for_long_delays_no_event() {
    const LIMIT: u64 = 64 * 1024;
    let dir = Dir::new();
    let small = SqliteSettings { wal_limit_bytes: LIMIT, ..settings(&dir.file()) };
    let bytes = small.commits.wal_bytes.clone();
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(small).unwrap());
    ingest(&*journal, 1, 0).await;
    let reader = rusqlite::Connection::open(dir.file()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM fact").unwrap();
    reader.query_row("SELECT count(*) FROM fact", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut number = 0;
    while bytes.get() < 4 * LIMIT as i64 {
        number += 1;
        let begun = Instant::now();
        ingest(&*journal, 1, number).await;
        let took = begun.elapsed();
        assert!(took < scaled(Duration::from_secs(2)), "event {number} took {took:?}");
    }
    drop(reader);
    eventually("a small log", || {
        number += 1;
        let (journal, bytes) = (&journal, &bytes);
        async move {
            ingest(&**journal, 1, number).await;
            (bytes.get() <= LIMIT as i64).then_some(())
        }
    })
    .await;
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_is_not_ready_while_its_writes_fail() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    let refuse = |table: &str| {
        format!("CREATE TRIGGER no_{table} BEFORE INSERT ON {table} BEGIN SELECT raise(ABORT, 'no'); END;")
    };
    side.execute_batch(&(refuse("fact") + &refuse("mark"))).unwrap();
    journal.ready().await.unwrap();
    assert!(matches!(journal.ingest(event(1, 2)).await, Err(JournalError::Unavailable { .. })));
    for _ in 0..2 {
        assert!(journal.claim(1).await.is_ok(), "there is nothing to write");
        assert!(matches!(journal.ready().await, Err(JournalError::Unavailable { .. })));
    }
    side.execute_batch("DROP TRIGGER no_fact; DROP TRIGGER no_mark").unwrap();
    journal.ready().await.unwrap();
    ingest(&*journal, 1, 2).await;
}

/// A probe gives up sooner than a write that waits for a lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_is_not_ready_for_any_probe_while_somebody_holds_its_lock() {
    let dir = Dir::new();
    let journal = dir.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let side = rusqlite::Connection::open(dir.file()).unwrap();
    side.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(journal.ingest(event(1, 2)).await, Err(JournalError::Unavailable { .. })));
    for probe in 1..=4 {
        let answer = tokio::time::timeout(Duration::from_millis(100), journal.ready()).await;
        assert!(!matches!(answer, Ok(Ok(()))), "probe {probe}");
    }
    side.execute_batch("ROLLBACK").unwrap();
    journal.ready().await.unwrap();
    ingest(&*journal, 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = Dir::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "journal::sqlite::the_process_that_is_killed", "--ignored", "--nocapture"])
        .env(CHILD_FILE, dir.file())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged: Vec<(u32, i64)> = Vec::new();
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        // The kill may cut the last line; the harness writes some of its own.
        if let Some((_, identity)) = line.strip_suffix('\n').and_then(|line| line.split_once("acknowledged ")) {
            let (call, number) = identity.split_once('/').unwrap();
            acknowledged.push((call.parse().unwrap(), number.parse().unwrap()));
            if acknowledged.len() == 400 {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 400, "the child ended early");

    let journal = dir.open(LONG).await;
    for (call, number) in &acknowledged {
        let again = journal.ingest(event(*call, *number)).await.unwrap();
        assert_eq!(again, Ingested::Duplicate, "{call}/{number} was acknowledged and is lost");
    }
    for call in 0..16 {
        let facts = stored(&*journal, call).await;
        for (_, number) in acknowledged.iter().filter(|(of, _)| *of == call) {
            assert!(facts.contains(&fact(*number)));
        }
    }
    let mut due: Vec<TaskSid> = journal.claim(100).await.unwrap().into_iter().map(|claim| claim.call).collect();
    due.sort();
    assert_eq!(due, (0..16).map(task).collect::<Vec<_>>(), "every call is worked on again");
    journal.close().await.unwrap();
    let file = rusqlite::Connection::open(dir.file()).unwrap();
    let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// Cargo sets it for whatever is built in this folder, of which SQLite is a part.
#[test]
fn sqlite_is_built_to_sync_what_was_written_and_not_a_files_times() {
    let flags = option_env!("LIBSQLITE3_FLAGS").unwrap_or_default();
    assert!(flags.contains("-DHAVE_FDATASYNC"), "see .cargo/config.toml: {flags:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child process of what_was_acknowledged_survives_a_kill"]
async fn the_process_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD_FILE) else { return };
    let small = SqliteSettings { wal_limit_bytes: 64 * 1024, ..settings(Path::new(&path)) };
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(small).unwrap());
    let orphaned = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for call in 0..16 {
        let (journal, orphaned) = (journal.clone(), orphaned.clone());
        writers.spawn(async move {
            for number in 0..10_000 {
                ingest(&*journal, call, number).await;
                // A parent that is gone can no longer kill us.
                let told = writeln!(std::io::stdout(), "acknowledged {call}/{number}");
                if told.is_err() || orphaned.load(Ordering::Relaxed) {
                    orphaned.store(true, Ordering::Relaxed);
                    return;
                }
                for claim in journal.claim(1).await.unwrap() {
                    journal.release(&claim, 0, Due::OnFact).await.unwrap();
                }
            }
        });
    }
    writers.join_all().await;
}
