//! The journal's format is a promise: what a version has written is read, and folded to the same, by every later one.
//!
//! `fixtures/journal/v1.STRATEGY.jsonl` holds the facts of a call as the first version wrote them, and `….folded` what it
//! made of every prefix. Neither is ever changed; a new kind of fact gets files of its own. They were made by
//! `cargo test -- --ignored records_a_golden_journal`.

use super::*;
use crate::stories::story;
use serde_json::Value;
use std::path::{Path, PathBuf};
use taskrouter_streams::call::Call;
use taskrouter_streams::call::fact::Parked;
use taskrouter_streams::cli::stage::Stage;
use taskrouter_streams::sim::Behaviour;

const STRATEGIES: [&str; 2] = ["redirect", "streams-api"];

fn file(strategy: &str, kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/journal/v1.{strategy}.{kind}"))
}

fn lines(strategy: &str, kind: &str) -> Vec<String> {
    std::fs::read_to_string(file(strategy, kind)).unwrap().lines().map(str::to_owned).collect()
}

/// What is to be seen of a call, in a line.
fn seen(call: &Call) -> String {
    let accepted: Vec<_> = call.accepted().iter().map(|(sid, _)| sid.as_str().to_owned()).collect();
    let live: Vec<_> =
        call.streams().iter().filter(|stream| stream.is_live()).map(|stream| stream.name.clone()).collect();
    let parked: Vec<_> = call.parked().map(|(change, reason)| format!("{change}: {reason}")).collect();
    format!(
        "customer {} | accepted {accepted:?} | live {live:?} | parked {parked:?} | over {}",
        call.customer().map_or("unknown", |sid| sid.as_str()),
        call.is_over()
    )
}

/// What `later` says beside what `earlier` said is a field that was added; everything else must still be there.
fn keeps(earlier: &Value, later: &Value) -> bool {
    match (earlier, later) {
        (Value::Object(earlier), Value::Object(later)) => {
            earlier.iter().all(|(key, value)| later.get(key).is_some_and(|later| keeps(value, later)))
        }
        (Value::Array(earlier), Value::Array(later)) => {
            earlier.len() == later.len() && earlier.iter().zip(later).all(|(earlier, later)| keeps(earlier, later))
        }
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            _,
        ) => earlier == later,
    }
}

#[test]
fn what_the_first_version_wrote_is_read_without_loss_and_folds_to_what_it_made_of_it() {
    for strategy in STRATEGIES {
        let mut call = Call::default();
        let (facts, folded) = (lines(strategy, "jsonl"), lines(strategy, "folded"));
        assert!(facts.len() > 20 && facts.len() == folded.len());
        for (number, (line, expected)) in facts.iter().zip(&folded).enumerate() {
            let fact: Fact = serde_json::from_str(line).unwrap();
            let again = serde_json::to_value(&fact).unwrap();
            assert!(keeps(&serde_json::from_str(line).unwrap(), &again), "{strategy}, line {}: {again}", number + 1);
            call.apply(&fact);
            assert_eq!(&seen(&call), expected, "{strategy}, line {}", number + 1);
        }
    }
}

#[test]
fn the_golden_journals_hold_every_kind_of_fact() {
    let mut kinds: Vec<String> = Vec::new();
    for line in STRATEGIES.iter().flat_map(|strategy| lines(strategy, "jsonl")) {
        let fact: Value = serde_json::from_str(&line).unwrap();
        kinds.push(match &fact["what"] {
            Value::String(kind) => kind.clone(),
            Value::Object(kind) => kind.keys().next().unwrap().clone(),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => panic!("{other}"),
        });
    }
    kinds.sort();
    kinds.dedup();
    let all = [
        "begun",
        "dismissed",
        "parked",
        "redriven",
        "reservation",
        "settled",
        "stream",
        "task",
        "transfer",
        "unconfirmed",
    ];
    assert_eq!(kinds, all);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the golden journals of a version; those of a version that was released are never written again"]
async fn records_a_golden_journal() {
    for strategy in STRATEGIES {
        let extra = format!("[streams]\nstrategy = \"{strategy}\"\n");
        let stage = Stage::set(Behaviour::default(), &extra).await.unwrap();
        let outcome = stage.tell(&story("warm-transfer")).await;
        let mut facts = stage.facts(&outcome.tasks[0]).await.unwrap();
        let reservation = Call::fold(&facts).reservations().next().unwrap().0.clone();
        let at = facts.last().unwrap().at;
        let parked = Parked { change: Change::Stop(reservation), reason: "given up after 30 s".to_owned() };
        let ends = [
            What::Parked(parked.clone()),
            What::Redriven,
            What::Parked(parked),
            What::Dismissed,
            What::Unconfirmed { name: "Stream_x".to_owned() },
        ];
        facts.extend(ends.into_iter().map(|what| Fact { at, what }));
        let (mut text, mut folded, mut call) = (String::new(), String::new(), Call::default());
        for fact in &facts {
            call.apply(fact);
            text.push_str(&(serde_json::to_string(fact).unwrap() + "\n"));
            folded.push_str(&(seen(&call) + "\n"));
        }
        std::fs::create_dir_all(file(strategy, "jsonl").parent().unwrap()).unwrap();
        std::fs::write(file(strategy, "jsonl"), text).unwrap();
        std::fs::write(file(strategy, "folded"), folded).unwrap();
        stage.clear().await;
    }
}
