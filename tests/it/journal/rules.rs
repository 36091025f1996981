//! What every store promises through [`Journal`].

use super::*;
use crate::pace::scaled;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use taskrouter_streams::call::fact::{TaskChange, TaskEvent};
use taskrouter_streams::journal::{Backlog, Due, JournalError, hand_out_answers};
use taskrouter_streams::telemetry::metrics::Metrics;

const HOUR: Duration = Duration::from_secs(3600);

/// Less than a call may wait at the longest.
const MINUTE: Duration = Duration::from_secs(60);

/// Makes a test of every rule, for one kind of store.
macro_rules! keeps_the_rules {
    ($store:expr) => {
        $crate::journal::rules::keeps_the_rules! { $store; rules;
            facts_come_back_in_order_without_gaps
            facts_survive_a_restart
            one_identity_is_new_once_however_many_deliver_it
            claims_are_exclusive
            a_claim_takes_no_more_than_its_limit_and_the_longest_due_first
            a_holder_past_its_lease_can_do_no_harm
            renewing_gives_the_full_lease_again
            a_claim_that_was_given_back_is_lost
            a_fact_that_arrives_during_a_claim_makes_the_call_due_at_its_release
            a_call_that_waits_is_due_when_its_time_comes
            a_fact_makes_a_waiting_call_due_at_once
            the_beginning_of_an_unknown_call_wakes_nobody
            a_call_that_waits_for_a_fact_is_due_at_no_time
            a_fact_reopens_a_call_that_was_over
            only_calls_over_for_longer_than_the_retention_are_pruned
            the_hint_follows_new_events_and_not_duplicates
            a_call_that_is_given_back_is_hinted_at_only_if_it_is_due_some_time
            a_thread_is_handed_the_answers_of_a_commit_together
            a_closed_journal_says_so
        }
        $crate::journal::rules::keeps_the_rules! { $store; listing;
            the_most_recently_changed_call_is_listed_first
            pages_follow_one_another_without_gap_or_repetition
            calls_are_listed_by_their_state
            a_call_is_parked_until_it_is_redriven
            a_call_is_found_by_its_sid_or_its_customers_or_their_beginning
            a_call_is_found_among_many_whose_sids_are_counted
            a_calls_summary_is_kept_until_the_next_one
            a_row_says_when_its_call_is_due_and_who_has_it
            the_newest_event_outlives_its_call
            a_gap_is_remembered_until_it_is_closed
            no_claim_says_alone_of_a_leg_that_another_call_names
        }
        $crate::journal::rules::keeps_the_rules! { $store; foreseen;
            an_event_and_the_first_step_are_durable_together_under_a_claim
            a_call_that_is_taken_without_a_first_step_is_claimed_all_the_same
            a_claim_that_nobody_uses_ends_with_its_lease
            an_event_that_is_there_already_takes_nothing
        }
    };
    ($store:expr; $module:ident; $($rule:ident)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            if let Some(store) = $store {
                $crate::journal::$module::$rule(&store).await;
            }
        }
    )+};
}
pub(super) use keeps_the_rules;

pub(super) async fn facts_come_back_in_order_without_gaps(store: &impl Store) {
    let journal = store.open(LONG).await;
    for number in 1..=3 {
        ingest(&*journal, 1, number).await;
        ingest(&*journal, 2, 10 * number).await;
    }
    let claims = journal.claim(10).await.unwrap();
    let claim = claims.iter().find(|claim| claim.call == task(1)).unwrap();
    assert_eq!(journal.append(claim, fact(4)).await.unwrap(), 4);
    ingest(&*journal, 1, 5).await;
    assert_eq!(stored(&*journal, 1).await, (1..=5).map(fact).collect::<Vec<_>>());
    assert_eq!(stored(&*journal, 2).await, [fact(10), fact(20), fact(30)]);
    assert_eq!(journal.facts(&task(1), 3).await.unwrap(), [(4, fact(4)), (5, fact(5))]);
    assert_eq!(journal.facts(&task(3), 0).await.unwrap(), []);
}

pub(super) async fn facts_survive_a_restart(store: &impl Store) {
    let journal = store.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.append(&claim, fact(2)).await.unwrap();
    journal.release(&claim, 2, Due::OnFact).await.unwrap();
    journal.close().await.unwrap();
    let journal = store.open(LONG).await;
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2)]);
    assert_eq!(journal.ingest(event(1, 1)).await.unwrap(), Ingested::Duplicate);
    assert_eq!(journal.claim(10).await.unwrap(), [], "it waits as before");
    ingest(&*journal, 1, 3).await;
    assert!(claim_one(&*journal).await.fence > claim.fence, "fences go on growing");
}

pub(super) async fn one_identity_is_new_once_however_many_deliver_it(store: &impl Store) {
    let journal = store.open(LONG).await;
    let mut deliveries = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let journal = journal.clone();
        deliveries.spawn(async move { journal.ingest(event(1, 7)).await.unwrap() });
    }
    let answers = deliveries.join_all().await;
    assert_eq!(answers.iter().filter(|answer| **answer == Ingested::New).count(), 1);
    assert_eq!(stored(&*journal, 1).await, [fact(7)]);
}

pub(super) async fn claims_are_exclusive(store: &impl Store) {
    let journal = store.open(LONG).await;
    for call in 0..40 {
        ingest(&*journal, call, 1).await;
    }
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let journal = journal.clone();
        workers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claims = journal.claim(3).await.unwrap();
                if claims.is_empty() {
                    return mine;
                }
                mine.extend(claims.into_iter().map(|claim| claim.call));
            }
        });
    }
    let claimed: Vec<TaskSid> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 40, "no call is claimed twice");
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), (0..40).map(task).collect());
    assert_eq!(journal.backlog().await.unwrap(), Backlog { active: 40, waiting: 0, live: 40, ..Backlog::default() });
}

pub(super) async fn a_claim_takes_no_more_than_its_limit_and_the_longest_due_first(store: &impl Store) {
    let journal = store.open(LONG).await;
    ingest(&*journal, 9, 1).await;
    let begun = Instant::now();
    eventually("a later millisecond", || async { (begun.elapsed() > Duration::from_millis(3)).then_some(()) }).await;
    ingest(&*journal, 1, 1).await;
    let calls = |claims: Vec<Claim>| claims.into_iter().map(|claim| claim.call).collect::<Vec<_>>();
    assert_eq!(calls(journal.claim(1).await.unwrap()), [task(9)]);
    assert_eq!(calls(journal.claim(5).await.unwrap()), [task(1)]);
}

pub(super) async fn a_holder_past_its_lease_can_do_no_harm(store: &impl Store) {
    let journal = store.open(Duration::from_millis(50)).await;
    ingest(&*journal, 1, 1).await;
    let stalled = claim_one(&*journal).await;
    let next = eventually("the end of the lease", || async { journal.claim(1).await.unwrap().pop() }).await;
    assert_eq!(next.call, stalled.call);
    assert!(next.fence > stalled.fence);
    let lost = |result: Result<(), JournalError>| {
        assert!(matches!(&result, Err(JournalError::LeaseLost { call }) if *call == task(1)), "{result:?}");
    };
    lost(journal.append(&stalled, fact(66)).await.map(drop));
    lost(journal.renew(&stalled).await);
    lost(journal.release(&stalled, 1, Due::Over).await);
    assert_eq!(journal.append(&next, fact(2)).await.unwrap(), 2);
    journal.release(&next, 2, Due::OnFact).await.unwrap();
    assert_eq!(stored(&*journal, 1).await, [fact(1), fact(2)]);
}

pub(super) async fn renewing_gives_the_full_lease_again(store: &impl Store) {
    let journal = store.open(Duration::from_secs(2)).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    let left = || async { journal.next_due().await.unwrap().unwrap() };
    assert!(left().await <= journal.lease());
    let short = Duration::from_millis(1_900);
    eventually("a shorter lease", || async { (left().await < short).then_some(()) }).await;
    let before = left().await;
    journal.renew(&claim).await.unwrap();
    assert!(left().await > before, "the lease is longer than before");
    assert_eq!(journal.claim(1).await.unwrap(), []);
}

pub(super) async fn a_claim_that_was_given_back_is_lost(store: &impl Store) {
    let journal = store.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 1, Due::OnFact).await.unwrap();
    assert!(matches!(journal.append(&claim, fact(2)).await, Err(JournalError::LeaseLost { .. })));
    assert!(matches!(journal.renew(&claim).await, Err(JournalError::LeaseLost { .. })));
    assert!(matches!(journal.release(&claim, 1, Due::OnFact).await, Err(JournalError::LeaseLost { .. })));
}

pub(super) async fn a_fact_that_arrives_during_a_claim_makes_the_call_due_at_its_release(store: &impl Store) {
    let journal = store.open(LONG).await;
    let mut number = 1;
    ingest(&*journal, 1, number).await;
    for due in [Due::After(HOUR), Due::OnFact, Due::Over] {
        let claim = claim_one(&*journal).await;
        let seen = number;
        number += 1;
        ingest(&*journal, 1, number).await;
        assert_eq!(journal.claim(1).await.unwrap(), [], "it is claimed");
        journal.release(&claim, seen, due).await.unwrap();
        let backlog = journal.backlog().await.unwrap();
        assert_eq!(backlog, Backlog { active: 1, waiting: 0, live: 1, ..Backlog::default() }, "released with {due:?}");
    }
    claim_one(&*journal).await;
}

pub(super) async fn a_call_that_waits_is_due_when_its_time_comes(store: &impl Store) {
    let journal = store.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 1, Due::After(MINUTE)).await.unwrap();
    assert_eq!(journal.backlog().await.unwrap(), Backlog { active: 0, waiting: 1, live: 1, ..Backlog::default() });
    let left = journal.next_due().await.unwrap().unwrap();
    assert!(left <= MINUTE && left > MINUTE - PATIENCE, "{left:?}");
    assert_eq!(journal.claim(1).await.unwrap(), []);
    ingest(&*journal, 2, 1).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 1, Due::After(Duration::from_millis(30))).await.unwrap();
    let again = eventually("its time", || async { journal.claim(1).await.unwrap().pop() }).await;
    assert_eq!(again.call, task(2));
}

pub(super) async fn a_fact_makes_a_waiting_call_due_at_once(store: &impl Store) {
    let journal = store.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 1, Due::After(HOUR)).await.unwrap();
    ingest(&*journal, 1, 2).await;
    assert_eq!(journal.next_due().await.unwrap(), Some(Duration::ZERO));
    claim_one(&*journal).await;
}

pub(super) async fn the_beginning_of_an_unknown_call_wakes_nobody(store: &impl Store) {
    let journal = store.open(LONG).await;
    let hint = journal.hint();
    let beginning = |call| {
        let event = listing::naming(call, call, 1);
        let FactKind::Task(task) = event.fact.kind.clone() else { panic!("it is of a task") };
        let kind = FactKind::Task(TaskEvent { change: TaskChange::Created, ..task });
        NewFact { fact: Fact { at: 1, kind }.into(), ..event }
    };
    assert_eq!(journal.ingest(beginning(1)).await.unwrap(), Ingested::New);
    assert_eq!(journal.claim(10).await.unwrap(), []);
    assert_eq!(journal.next_due().await.unwrap(), None);
    assert!(tokio::time::timeout(Duration::ZERO, hint.notified()).await.is_err());
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    assert_eq!(claim.facts, 2, "both are looked at once there is something to act on");
}

pub(super) async fn a_call_that_waits_for_a_fact_is_due_at_no_time(store: &impl Store) {
    let journal = store.open(LONG).await;
    assert_eq!(journal.next_due().await.unwrap(), None);
    assert_eq!(journal.backlog().await.unwrap(), Backlog::default());
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 1, Due::OnFact).await.unwrap();
    assert_eq!(journal.next_due().await.unwrap(), None);
    assert_eq!(journal.backlog().await.unwrap(), Backlog { active: 0, waiting: 0, live: 1, ..Backlog::default() });
    assert_eq!(journal.ingest(event(1, 1)).await.unwrap(), Ingested::Duplicate);
    assert_eq!(journal.claim(1).await.unwrap(), [], "a duplicate is no news");
    ingest(&*journal, 1, 2).await;
    claim_one(&*journal).await;
}

pub(super) async fn a_fact_reopens_a_call_that_was_over(store: &impl Store) {
    let journal = store.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 1, Due::Over).await.unwrap();
    assert_eq!(journal.backlog().await.unwrap(), Backlog::default());
    assert_eq!(journal.claim(1).await.unwrap(), []);
    ingest(&*journal, 1, 2).await;
    assert_eq!(journal.backlog().await.unwrap(), Backlog { active: 1, waiting: 0, live: 1, ..Backlog::default() });
    claim_one(&*journal).await;
}

pub(super) async fn only_calls_over_for_longer_than_the_retention_are_pruned(store: &impl Store) {
    let journal = store.open(LONG).await;
    // More than one chunk of whatever size a store may use.
    for call in 0..50 {
        ingest(&*journal, call, 1).await;
    }
    for claim in journal.claim(50).await.unwrap() {
        let due = if claim.call == task(0) {
            Due::After(HOUR)
        } else if claim.call == task(1) {
            Due::OnFact
        } else {
            Due::Over
        };
        journal.release(&claim, 1, due).await.unwrap();
    }
    assert_eq!(journal.prune(HOUR).await.unwrap(), 0);
    assert_eq!(stored(&*journal, 1).await, [fact(1)]);
    let mut pruned = 0;
    while pruned < 49 {
        pruned += eventually("a pruned call", || async {
            Some(journal.prune(Duration::ZERO).await.unwrap()).filter(|count| *count > 0)
        })
        .await;
    }
    assert_eq!(pruned, 49);
    assert_eq!(
        stored(&*journal, 0).await,
        [fact(1)],
        "a live call that will be looked at again stays; one of which nothing was heard for as long does not"
    );
    assert_eq!(stored(&*journal, 1).await, []);
}

pub(super) async fn the_hint_follows_new_events_and_not_duplicates(store: &impl Store) {
    let journal = store.open(LONG).await;
    let hint = journal.hint();
    ingest(&*journal, 1, 1).await;
    tokio::time::timeout(scaled(PATIENCE), hint.notified()).await.expect("a new event is hinted at");
    assert_eq!(journal.ingest(event(1, 1)).await.unwrap(), Ingested::Duplicate);
    // Whatever the duplicate's commit did is done once a later write was answered.
    let claim = claim_one(&*journal).await;
    assert!(tokio::time::timeout(Duration::ZERO, hint.notified()).await.is_err(), "a duplicate is no news");
    journal.release(&claim, 1, Due::After(Duration::ZERO)).await.unwrap();
    tokio::time::timeout(scaled(PATIENCE), hint.notified()).await.expect("a release can make a call due");
}

pub(super) async fn a_call_that_is_given_back_is_hinted_at_only_if_it_is_due_some_time(store: &impl Store) {
    let journal = store.open(LONG).await;
    let hint = journal.hint();
    for (number, due, meanwhile, wakes) in [
        (1, Due::OnFact, false, false),
        (2, Due::After(Duration::from_secs(60)), false, true),
        (3, Due::OnFact, true, true),
        (5, Due::Over, false, false),
    ] {
        ingest(&*journal, 1, number).await;
        let claim = claim_one(&*journal).await;
        if meanwhile {
            ingest(&*journal, 1, number + 1).await;
        }
        hint.notified().now_or_never();
        journal.release(&claim, claim.facts, due).await.unwrap();
        assert_eq!(hint.notified().now_or_never().is_some(), wakes, "{due:?}, a fact meanwhile: {meanwhile}");
        if meanwhile {
            let claim = claim_one(&*journal).await;
            journal.release(&claim, claim.facts, Due::OnFact).await.unwrap();
        }
    }
}

pub(super) async fn a_thread_is_handed_the_answers_of_a_commit_together(store: &impl Store) {
    const EVENTS: u32 = 100;
    let journal = store.open(LONG).await;
    let serving = move || {
        let metrics = Arc::new(Metrics::new("0", "0"));
        let rounds = || metrics.work.rounds.get_or_create(&[("task", "answers"), ("outcome", "done")]).get();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let handing_out = tokio::task::spawn_local(hand_out_answers(metrics.clone()));
            tokio::task::yield_now().await;
            join_all((0..EVENTS).map(|call| ingest(&*journal, call, 1))).await;
            assert!((1..u64::from(EVENTS)).contains(&rounds()), "{} rounds", rounds());
            assert_eq!(journal.ingest(event(0, 1)).await.unwrap(), Ingested::Duplicate);

            // It ends while somebody waits, who is not forgotten.
            let mut waiting = pin!(journal.ingest(event(1, 2)));
            let first = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
            handing_out.abort();
            assert!(handing_out.await.unwrap_err().is_cancelled());
            let answer = if let Poll::Ready(answer) = first { answer } else { waiting.await };
            assert!(matches!(answer, Ok(Ingested::New) | Err(JournalError::Unavailable { .. })), "{answer:?}");
            let before = rounds();
            ingest(&*journal, 1, 3).await;
            assert_eq!(rounds(), before, "nobody hands out any more");
        });
    };
    tokio::task::spawn_blocking(serving).await.unwrap();
}

pub(super) async fn a_closed_journal_says_so(store: &impl Store) {
    let journal = store.open(LONG).await;
    journal.close().await.unwrap();
    journal.close().await.unwrap();
    assert!(matches!(journal.ingest(event(1, 1)).await, Err(JournalError::Unavailable { .. })));
    assert!(matches!(journal.facts(&task(1), 0).await, Err(JournalError::Unavailable { .. })));
}
