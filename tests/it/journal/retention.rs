//! A month of calls, a day at a time.

use super::*;
use taskrouter_streams::journal::{Backlog, Due};

const DAYS: u32 = 30;
const CALLS_A_DAY: u32 = 40;
const FACTS_A_CALL: i64 = 6;
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// A journal that is opened on a machine whose clock is two weeks ahead, or has been off for as long, which looks the same: a call is
/// deleted once it is old without any doubt. `two_weeks_pass` makes everything so much older.
pub(super) async fn a_clock_that_starts_ahead(store: &impl Store, two_weeks_pass: impl AsyncFnOnce()) {
    let journal = store.open(LONG).await;
    for call in 0..2 {
        ingest(&*journal, call, 1).await;
    }
    for (claim, due) in journal.claim(2).await.unwrap().iter().zip([Due::Over, Due::OnFact]) {
        journal.release(claim, 1, due).await.unwrap();
    }
    journal.close().await.unwrap();
    two_weeks_pass().await;
    let journal = store.open(LONG).await;
    assert_eq!(journal.prune(WEEK).await.unwrap(), 0);
    assert_eq!(stored(&*journal, 0).await, [fact(1)]);
    let mut pruned = 0;
    while pruned < 2 {
        // For so long this process has run by now.
        pruned += eventually("a call past retention", || async {
            Some(journal.prune(Duration::from_secs(1)).await.unwrap()).filter(|count| *count > 0)
        })
        .await;
    }
}

/// Lives a month with a week's retention. `a_day_passes` makes everything a day older and tells the size in bytes.
pub(super) async fn a_month(journal: Arc<dyn Journal>, a_day_passes: impl AsyncFn() -> u64) {
    let (mut sizes, mut pruned) = (Vec::new(), 0);
    for day in 0..DAYS {
        let mut calls = tokio::task::JoinSet::new();
        for call in day * CALLS_A_DAY..(day + 1) * CALLS_A_DAY {
            let journal = journal.clone();
            calls.spawn(async move {
                for number in 0..FACTS_A_CALL {
                    ingest(&*journal, call, number).await;
                }
            });
        }
        calls.join_all().await;
        for claim in journal.claim(CALLS_A_DAY as usize).await.unwrap() {
            // The end of one in four is never told.
            let is_told = !claim.call.as_str().ends_with(['0', '4', '8', 'c']);
            let due = if is_told { Due::Over } else { Due::OnFact };
            journal.release(&claim, FACTS_A_CALL, due).await.unwrap();
        }
        sizes.push(a_day_passes().await);
        pruned += journal.prune(WEEK).await.unwrap();
    }
    assert_eq!(pruned, u64::from((DAYS - 6) * CALLS_A_DAY), "everything but the last six days");
    let still_live = u64::from(6 * CALLS_A_DAY / 4);
    assert_eq!(journal.backlog().await.unwrap(), Backlog { live: still_live, ..Backlog::default() });
    let week = sizes[9];
    let largest = sizes.iter().max().unwrap();
    // Without deletion it would be three times as much.
    assert!(*largest < week + week / 4, "after ten days {week} bytes, at most {largest}: {sizes:?}");
}
