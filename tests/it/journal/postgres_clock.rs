//! A database whose clock is set, or that another one takes over whose clock is not the same.

use super::*;
use crate::pace::scaled;
use crate::postgres::{Database, open, settings};
use taskrouter_streams::journal::Due;

const MINUTE: Duration = Duration::from_secs(60);

/// Seconds by which a clock is set back: less than a call may wait, and more.
const BACK: [i64; 4] = [30, 60, 300, 7_200];

/// A call that waits for a second or more, and one that a process has which is gone.
async fn one_waits_and_one_was_left_alone(journal: &dyn Journal) {
    for number in 0..2 {
        ingest(journal, number, 0).await;
    }
    let claims = journal.claim(2).await.unwrap();
    let waits = claims.iter().find(|claim| claim.call == task(0)).unwrap();
    journal.release(waits, 1, Due::After(scaled(Duration::from_secs(1)))).await.unwrap();
}

/// Neither waits for longer than it would have by the clock before.
async fn both_are_found_in_time(journal: &dyn Journal, lease: Duration) {
    let again = eventually("what waits", || async { journal.claim(2).await.unwrap().pop() }).await;
    assert_eq!(again.call, task(0));
    journal.release(&again, 1, Due::After(MINUTE)).await.unwrap();
    let left = journal.next_due().await.unwrap().unwrap();
    assert!(left <= lease, "the lease lasts for {left:?}");
    // It is noticed once: what is put off from now on is left alone.
    for _ in 0..3 {
        assert_eq!(journal.claim(2).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_running_process_notices_at_once_that_the_databases_clock_was_set_back() {
    let lease = MINUTE / 2;
    for back in BACK {
        let Some(database) = Database::new().await else { return };
        database.fake_clock().await;
        let journal = open(settings(database.url(), lease)).await;
        one_waits_and_one_was_left_alone(&*journal).await;
        assert_eq!(journal.claim(2).await.unwrap(), [], "back by {back} s");
        database.set_clock(-back).await;
        both_are_found_in_time(&*journal, lease).await;
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_while_is_noticed_too() {
    let Some(database) = Database::new().await else { return };
    database.fake_clock().await;
    let journal = open(settings(database.url(), MINUTE)).await;
    assert_eq!(journal.claim(2).await.unwrap(), []);
    database.set_clock(300).await;
    one_waits_and_one_was_left_alone(&*journal).await;
    database.set_clock(0).await;
    both_are_found_in_time(&*journal, MINUTE).await;
}

#[tokio::test]
async fn a_process_that_starts_finds_facts_from_the_future_and_lets_nothing_wait_for_it() {
    for back in BACK {
        let Some(database) = Database::new().await else { return };
        database.fake_clock().await;
        let before = open(settings(database.url(), MINUTE)).await;
        one_waits_and_one_was_left_alone(&*before).await;
        before.close().await.unwrap();
        database.set_clock(-back).await;
        let journal = open(settings(database.url(), MINUTE)).await;
        both_are_found_in_time(&*journal, MINUTE).await;
    }
}
