//! What every store promises to operators through [`Journal`].

use super::*;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use taskrouter_streams::call::fact::{CallAttributes, EventStamp, Parked, TaskChange, TaskEvent, TaskView};
use taskrouter_streams::call::rules::Fields;
use taskrouter_streams::call::sid::CallSid;
use taskrouter_streams::call::step::{Answer, Outcome, Settled};
use taskrouter_streams::call::summarize;
use taskrouter_streams::journal::{Backlog, CallQuery, CallRow, CallState, Cursor, Due};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn customer(number: u32) -> CallSid {
    format!("CA{number:032x}").parse().unwrap()
}

fn attributes(number: u32) -> CallAttributes {
    CallAttributes { customer: Some(customer(number)), ..CallAttributes::default() }
}

/// An event that names the customer's leg.
pub(super) fn naming(call: u32, leg: u32, at: i64) -> NewFact {
    let view = TaskView {
        account: None,
        task: task(call),
        channel: None,
        version: None,
        status: None,
        attributes: attributes(leg),
        fields: Fields::new(),
    };
    let what =
        FactKind::Task(TaskEvent { stamp: EventStamp { sid: None, at }, change: TaskChange::Updated, task: view });
    NewFact { call: task(call), identity: format!("{call}/names {leg}"), fact: Fact { at, kind: what }.into() }
}

fn parked() -> Fact {
    Fact { at: 1, kind: FactKind::Parked(Parked { goal: Goal::LowerGuard, reason: "a reason".to_owned() }) }
}

async fn rows(journal: &dyn Journal, state: CallState) -> Vec<CallRow> {
    journal.calls(CallQuery { state, limit: 100, ..CallQuery::default() }).await.unwrap()
}

async fn listed(journal: &dyn Journal, state: CallState) -> Vec<TaskSid> {
    rows(journal, state).await.into_iter().map(|row| row.call).collect()
}

async fn found(journal: &dyn Journal, find: &str) -> Vec<TaskSid> {
    let query = CallQuery { find: Some(find.to_owned()), limit: 100, ..CallQuery::default() };
    journal.calls(query).await.unwrap().into_iter().map(|row| row.call).collect()
}

/// Ingests until the list shows it, so that the next fact is of a later millisecond.
async fn later(journal: &dyn Journal, call: u32, number: i64) {
    ingest(journal, call, number).await;
    let begun = Instant::now();
    eventually("a later millisecond", || async { (begun.elapsed() > Duration::from_millis(3)).then_some(()) }).await;
}

pub(super) async fn the_most_recently_changed_call_is_listed_first(store: &impl Store) {
    let journal = store.open(LONG).await;
    for call in [3, 1, 2] {
        later(&*journal, call, 1).await;
    }
    assert_eq!(listed(&*journal, CallState::All).await, [task(2), task(1), task(3)]);
    later(&*journal, 3, 2).await;
    assert_eq!(listed(&*journal, CallState::All).await, [task(3), task(2), task(1)]);
    let claims = journal.claim(10).await.unwrap();
    let claim = claims.iter().find(|claim| claim.call == task(1)).unwrap();
    journal.append(claim, fact(2)).await.unwrap();
    let all = rows(&*journal, CallState::All).await;
    assert_eq!(all[0].call, task(1), "our own facts count as well");
    assert_eq!(all[0].facts, 2);
    assert!(all.is_sorted_by(|a, b| a.changed >= b.changed), "{all:?}");
    let claim = claims.iter().find(|claim| claim.call == task(2)).unwrap();
    later(&*journal, 4, 1).await;
    journal.release(claim, 1, Due::Over).await.unwrap();
    assert_eq!(
        listed(&*journal, CallState::All).await,
        [task(2), task(4), task(1), task(3)],
        "that it is over is a change"
    );
    let claim = claims.iter().find(|claim| claim.call == task(3)).unwrap();
    journal.release(claim, 2, Due::OnFact).await.unwrap();
    assert_eq!(listed(&*journal, CallState::All).await.last(), Some(&task(3)), "that it waits is none");
}

pub(super) async fn pages_follow_one_another_without_gap_or_repetition(store: &impl Store) {
    let journal = store.open(LONG).await;
    // At once, so that many have changed in the same millisecond, and against the order of the list.
    join_all((0..20).rev().map(|call| ingest(&*journal, call, 1))).await;
    for claim in journal.claim(7).await.unwrap() {
        journal.release(&claim, 1, Due::Over).await.unwrap();
    }
    let whole = listed(&*journal, CallState::All).await;
    assert_eq!(whole.len(), 20);
    let (mut paged, mut after): (_, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = journal.calls(CallQuery { after, limit: 3, ..CallQuery::default() }).await.unwrap();
        after = page.last().map(CallRow::cursor);
        paged.extend(page.iter().map(|row| row.call.clone()));
        if page.len() < 3 {
            break;
        }
    }
    assert_eq!(paged, whole);
    let endless = CallQuery { limit: usize::MAX, ..CallQuery::default() };
    assert_eq!(journal.calls(endless).await.unwrap().len(), 20);
    assert_eq!(journal.calls(CallQuery::default()).await.unwrap(), [], "no rows were asked for");
}

pub(super) async fn calls_are_listed_by_their_state(store: &impl Store) {
    let journal = store.open(LONG).await;
    for call in 1..=3 {
        later(&*journal, call, 1).await;
    }
    for claim in journal.claim(3).await.unwrap() {
        if claim.call == task(2) {
            journal.append(&claim, parked()).await.unwrap();
        }
        let due = if claim.call == task(3) { Due::OnFact } else { Due::Over };
        journal.release(&claim, 2, due).await.unwrap();
    }
    assert_eq!(listed(&*journal, CallState::Live).await, [task(3)]);
    assert_eq!(listed(&*journal, CallState::Over).await, [task(2), task(1)]);
    assert_eq!(listed(&*journal, CallState::Parked).await, [task(2)]);
    assert_eq!(listed(&*journal, CallState::All).await, [task(2), task(1), task(3)]);
    assert_eq!(journal.backlog().await.unwrap(), Backlog { live: 1, parked_over: 1, ..Backlog::default() });
    ingest(&*journal, 1, 2).await;
    assert_eq!(listed(&*journal, CallState::Live).await, [task(1), task(3)], "reopened by a fact");
    assert_eq!(listed(&*journal, CallState::Over).await, [task(2)]);
}

pub(super) async fn a_call_is_parked_until_it_is_redriven(store: &impl Store) {
    let journal = store.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    ingest(&*journal, 2, 1).await;
    assert_eq!(rows(&*journal, CallState::Parked).await, []);
    let claims = journal.claim(2).await.unwrap();
    for claim in &claims {
        journal.append(claim, parked()).await.unwrap();
        journal.append(claim, fact(3)).await.unwrap();
    }
    assert_eq!(rows(&*journal, CallState::Parked).await.len(), 2);
    let redriven = Fact { at: 1, kind: FactKind::Redriven };
    let asked = NewFact { call: task(1), identity: "asked by an operator".to_owned(), fact: redriven.clone().into() };
    journal.ingest(asked).await.unwrap();
    assert_eq!(listed(&*journal, CallState::Parked).await, [task(2)]);
    let other = claims.iter().find(|claim| claim.call == task(2)).unwrap();
    journal.append(other, redriven).await.unwrap();
    assert_eq!(rows(&*journal, CallState::Parked).await, []);
    journal.append(other, parked()).await.unwrap();
    assert_eq!(listed(&*journal, CallState::Parked).await, [task(2)]);
    journal.append(other, Fact { at: 2, kind: FactKind::Unparked }).await.unwrap();
    assert_eq!(rows(&*journal, CallState::Parked).await, [], "also when nobody redrove it");
    assert_eq!(journal.backlog().await.unwrap().parked, 0);
}

pub(super) async fn a_calls_summary_is_kept_until_the_next_one(store: &impl Store) {
    let journal = store.open(LONG).await;
    journal.ingest(naming(1, 1, 1)).await.unwrap();
    let claim = claim_one(&*journal).await;
    let summary = summarize(&stored(&*journal, 1).await).unwrap();
    journal.release_summed_up(&claim, 1, Due::Over, Some(summary.clone())).await.unwrap();
    assert_eq!(rows(&*journal, CallState::All).await[0].summary, None, "nobody asked for it");
    let query = CallQuery { summaries: true, limit: 100, ..CallQuery::default() };
    let kept = async || journal.calls(query.clone()).await.unwrap().remove(0);
    let row = eventually("it is kept", || async { Some(kept().await).filter(|row| row.summary.is_some()) }).await;
    assert_eq!(row.summary.as_ref(), Some(&summary));

    journal.ingest(naming(1, 2, 2)).await.unwrap();
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 2, Due::Over).await.unwrap();
    let row = eventually("it is kept", || async { Some(kept().await).filter(|row| row.summary.is_some()) }).await;
    assert_eq!((row.summary.as_ref(), row.facts), (Some(&summary), 2), "out of date, and that can be seen");
    assert!(journal.storage().await.unwrap().bytes > 0);
}

/// Twilio's SIDs are random; those of a simulator may have all their first digits in common.
pub(super) async fn a_call_is_found_among_many_whose_sids_are_counted(store: &impl Store) {
    const CALLS: u32 = 300;
    let journal = store.open(LONG).await;
    for ingested in join_all((0..CALLS).map(|call| journal.ingest(naming(task_of(call), call, 1)))).await {
        ingested.unwrap();
    }
    let all = async |find: &str| {
        let query = CallQuery { find: Some(find.to_owned()), limit: 1_000, ..CallQuery::default() };
        journal.calls(query).await.unwrap().len()
    };
    let each_is_found = async || {
        for call in (0..CALLS).step_by(15) {
            assert_eq!(found(&*journal, task(task_of(call)).as_str()).await, [task(task_of(call))]);
            assert_eq!(found(&*journal, customer(call).as_str()).await, [task(task_of(call))]);
        }
        assert_eq!([all("WT0").await, all("CA0").await, all("WT").await], [CALLS as usize; 3]);
        assert_eq!(all(&task(0x100).as_str()[..32]).await, 0x80, "with 0x1 as the third digit from the right");
    };
    each_is_found().await;
    // Legs that are corrected, and calls that end and begin again.
    for call in (0..CALLS).step_by(10) {
        journal.ingest(naming(task_of(call), call + 0x1000, 2)).await.unwrap();
        assert_eq!(found(&*journal, customer(call).as_str()).await, []);
        journal.ingest(NewFact { identity: format!("{call} again"), ..naming(task_of(call), call, 3) }).await.unwrap();
    }
    each_is_found().await;
    for claim in journal.claim(CALLS as usize).await.unwrap().iter().step_by(10) {
        journal.release(claim, claim.facts, Due::Over).await.unwrap();
    }
    each_is_found().await;
}

/// Its task has another number than its leg.
fn task_of(call: u32) -> u32 {
    call * 2
}

pub(super) async fn a_call_is_found_by_its_sid_or_its_customers_or_their_beginning(store: &impl Store) {
    let journal = store.open(LONG).await;
    for call in [0x10, 0x11, 0x20] {
        journal.ingest(naming(call, call + 0x500, 1)).await.unwrap();
    }
    ingest(&*journal, 0x30, 1).await;
    assert_eq!(found(&*journal, task(0x11).as_str()).await, [task(0x11)]);
    assert_eq!(found(&*journal, customer(0x511).as_str()).await, [task(0x11)]);
    let beginning = |sid: &str| sid[..33].to_owned();
    let both = [task(0x11), task(0x10)];
    let sorted = |mut calls: Vec<TaskSid>| {
        calls.sort();
        calls.reverse();
        calls
    };
    assert_eq!(sorted(found(&*journal, &beginning(task(0x11).as_str())).await), both);
    assert_eq!(sorted(found(&*journal, &beginning(customer(0x511).as_str())).await), both);
    // Digits are what they are, and not what they are worth.
    for beginning in ["WTab", "WTAB", "WTac"] {
        let call = format!("{beginning:0<34}").parse().unwrap();
        journal.ingest(NewFact { call, ..naming(0x40, 0x540, 1) }).await.unwrap();
    }
    for (beginning, calls) in [("WTab", 1), ("WTA", 1), ("WTa", 2), ("WTaB", 0), ("WTabg", 0), ("WT0", 4), ("WT", 7)] {
        let found = found(&*journal, beginning).await;
        assert_eq!(found.len(), calls, "{beginning}: {found:?}");
        assert!(found.iter().all(|call| call.as_str().starts_with(beginning)), "{beginning}: {found:?}");
    }
    for nothing in ["", "W", "%", "CA%", "WK11", "ä", "wt"] {
        assert_eq!(found(&*journal, nothing).await, [], "{nothing:?}");
    }
    // A leg that another fact corrects, and one that only an answer of Twilio names.
    journal.ingest(naming(0x10, 0x777, 1)).await.unwrap();
    assert_eq!(found(&*journal, customer(0x777).as_str()).await, [task(0x10)]);
    assert_eq!(found(&*journal, customer(0x510).as_str()).await, []);
    let claims = journal.claim(10).await.unwrap();
    let claim = claims.iter().find(|claim| claim.call == task(0x30)).unwrap();
    let step = Step { id: 1, operation: Operation::Read(Read::Task { task: task(0x30) }), why: vec![Goal::LowerGuard] };
    let outcome = Outcome::Done(Answer::Task(attributes(0x888)));
    let settled = FactKind::Settled(Settled { step, sent_at: 1, outcome, request_id: None, assumed: None });
    journal.append(claim, Fact { at: 1, kind: settled }).await.unwrap();
    assert_eq!(found(&*journal, customer(0x888).as_str()).await, [task(0x30)]);
    let row = &rows(&*journal, CallState::All).await[0];
    assert_eq!(row.customer, Some(customer(0x888)));
}

pub(super) async fn a_row_says_when_its_call_is_due_and_who_has_it(store: &impl Store) {
    let journal = store.open(LONG).await;
    ingest(&*journal, 1, 1).await;
    let row = || async { rows(&*journal, CallState::Live).await.remove(0) };
    let due = row().await;
    assert_eq!((due.due, due.leased, due.over, due.parked), (Some(Duration::ZERO), false, false, false));
    let claim = claim_one(&*journal).await;
    let leased = row().await;
    assert_eq!((leased.due, leased.leased), (None, true));
    journal.release(&claim, 1, Due::After(MINUTE)).await.unwrap();
    let waiting = row().await;
    assert!(!waiting.leased);
    assert!(waiting.due.is_some_and(|due| due <= MINUTE && due > MINUTE - PATIENCE), "{waiting:?}");
    ingest(&*journal, 1, 2).await;
    let claim = claim_one(&*journal).await;
    journal.release(&claim, 2, Due::OnFact).await.unwrap();
    assert_eq!(row().await.due, None);
}

pub(super) async fn the_newest_event_outlives_its_call(store: &impl Store) {
    let journal = store.open(LONG).await;
    let newest = || async { journal.newest_event().await.unwrap() };
    assert_eq!(newest().await, None);
    let told = async |call: u32, at: i64| {
        let event = NewFact { identity: format!("{call} at {at}"), ..naming(call, call, at) };
        assert_eq!(journal.ingest(event).await.unwrap(), Ingested::New);
    };
    told(1, 500_000).await;
    assert_eq!(newest().await, Some(500_000));
    told(1, 400_000).await;
    assert_eq!(newest().await, Some(500_000), "an older event, later");
    told(2, 600_000).await;
    // Of nothing else does TaskRouter keep records.
    ingest(&*journal, 2, 800_000).await;
    let within_a_second = newest().await.is_some_and(|at| (599_000..=600_000).contains(&at));
    assert!(within_a_second, "{:?}", newest().await);
    for claim in journal.claim(2).await.unwrap() {
        journal.append(&claim, fact(900_000)).await.unwrap();
        journal.release(&claim, 4, Due::Over).await.unwrap();
    }
    let mut pruned = 0;
    while pruned < 2 {
        pruned += eventually("a pruned call", || async {
            Some(journal.prune(Duration::ZERO).await.unwrap()).filter(|count| *count > 0)
        })
        .await;
    }
    assert!(newest().await.is_some_and(|at| at <= 600_000), "our own facts are no events");
}

pub(super) async fn a_gap_is_remembered_until_it_is_closed(store: &impl Store) {
    let journal = store.open(LONG).await;
    assert_eq!(journal.open_gap(500).await.unwrap(), 500);
    assert_eq!(journal.open_gap(700).await.unwrap(), 500, "one that reaches further back is kept");
    journal.close_gap(700).await.unwrap();
    drop(journal.close().await);
    let journal = store.open(LONG).await;
    assert_eq!(journal.open_gap(600).await.unwrap(), 500, "also through a restart");
    assert_eq!(journal.open_gap(400).await.unwrap(), 400);
    journal.close_gap(500).await.unwrap();
    assert_eq!(journal.open_gap(900).await.unwrap(), 400, "somebody has opened a longer one meanwhile");
    journal.close_gap(400).await.unwrap();
    assert_eq!(journal.open_gap(900).await.unwrap(), 900);
}

/// Whoever believes it commands a leg that somebody else may be at work on.
pub(super) async fn no_claim_says_alone_of_a_leg_that_another_call_names(store: &impl Store) {
    let mut journal = store.open(LONG).await;
    let (mut legs, mut alone, mut random) = (BTreeMap::new(), 0, 0x9e37_79b9_7f4a_7c15_u64);
    for step in 0..300 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (what, call, leg) = (random % 8, (random >> 8) as u32 % 4, (random >> 16) as u32 % 6);
        let due = if random >> 63 == 0 { Due::OnFact } else { Due::Over };
        match what {
            0 => {
                journal.close().await.unwrap();
                journal = store.open(LONG).await;
            }
            // What is over has nothing left in memory then.
            1 => assert_eq!(journal.prune(Duration::from_secs(3600)).await.unwrap(), 0),
            _ => {
                let named = NewFact { identity: format!("event {step}"), ..naming(call, leg, step) };
                journal.ingest(named).await.unwrap();
                legs.insert(task(call), customer(leg));
            }
        }
        for claim in journal.claim(10).await.unwrap() {
            if let Some(leg) = &claim.alone_on {
                let on_leg: Vec<_> = legs.iter().filter(|(_, on)| *on == leg).map(|(call, _)| call).collect();
                assert_eq!(on_leg, [&claim.call], "step {step}: {legs:?}");
                alone += 1;
            }
            journal.release(&claim, claim.facts, due).await.unwrap();
        }
    }
    assert!(alone > 0, "no claim said so");
}
