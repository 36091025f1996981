//! Which calls had no stream, or a late one, and why: lists with filters, bulk actions, who acted, and the evidence.

use super::{answer, busy_stage, text};
use reqwest::Method;
use serde_json::Value;
use taskrouter_streams::call::fact::{FactKind, Operated, OperatorAct};
use taskrouter_streams::call::summarize;
use taskrouter_streams::journal::{CallQuery, CallState};
use twilio_simulator::testbed::Testbed;

const TOKEN: &str = "a-token-that-is-long-enough";
const READER: &str = "another-token-for-readers";

async fn json(stage: &Testbed, path: &str) -> Value {
    serde_json::from_str(&text(stage, path).await).unwrap()
}

/// The tasks that a query finds, among all calls.
async fn found(stage: &Testbed, query: &str) -> Vec<String> {
    let list = json(stage, &format!("/calls?state=all&{query}")).await;
    let calls = list["calls"].as_array().unwrap_or_else(|| panic!("{query}: {list}"));
    calls.iter().map(|call| call["task"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_tells_who_was_on_a_call_what_was_streamed_and_what_went_wrong() {
    let stage = busy_stage("").await;
    let ended = &json(&stage, "/calls?state=over").await["calls"][0];
    assert_eq!((&ended["outcome"], &ended["queue"]), (&Value::from("streamed"), &Value::from("Everyone")), "{ended}");
    assert_eq!(ended["agents"][0]["worker_name"], "alice");
    let stream = &ended["streams"][0];
    assert!(stream["from_ms"].as_i64() < stream["to_ms"].as_i64(), "a finished call keeps what was streamed: {stream}");
    assert!(ended["audio_after_ms"].as_i64().is_some() && ended["began_ms"].as_i64() < ended["ended_ms"].as_i64());
    let parked = &json(&stage, "/calls?state=parked").await["calls"][0];
    assert_eq!(parked["outcome"], "missing", "{parked}");
    assert!(parked["reason"].as_str().unwrap().starts_with("redirect: "), "{parked}");
    assert!(parked["errors"].as_array().unwrap().contains(&Value::from(20503)), "{parked}");
    let page = text(&stage, "/console?state=parked").await;
    assert!(
        page.contains("start agent A&#39;s stream: redirect: ") || page.contains("start agent A's stream: redirect: ")
    );
    let page = text(&stage, "/console?state=over").await;
    for shown in ["alice, gone", "A, alice, "] {
        assert!(page.contains(shown), "{shown} is missing in {page}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn calls_are_found_by_time_agent_queue_destination_outcome_error_and_text() {
    let stage = busy_stage("").await;
    let all = found(&stage, "").await;
    assert_eq!(all.len(), 5);
    let parked = found(&stage, "outcome=missing").await;
    let cases = [
        ("agent=ALI", 5),
        ("agent=bob", 1),
        ("agent=nobody", 0),
        ("queue=every", 5),
        ("destination=b", 1),
        ("outcome=unanswered", 1),
        ("outcome=problem", 1),
        ("error=20503", 1),
        ("error=31920", 0),
        ("find=bob", 1),
        ("find=error+20503", 1),
        ("from=today", 5),
        ("from=1h", 5),
        ("to=1h", 0),
        ("from=yesterday&to=yesterday", 0),
        ("from=2020-01-01&to=2020-01-02T08:30", 0),
        ("agent=alice&outcome=missing&from=1h", 1),
    ];
    let midnight_is_near = the_day_changes_soon();
    for (query, count) in cases.into_iter().filter(|(query, _)| !(midnight_is_near && query.contains("day"))) {
        assert_eq!(found(&stage, query).await.len(), count, "{query}");
    }
    assert_eq!(found(&stage, "error=20503").await, parked);
    let worker = json(&stage, &format!("/calls/{}", parked[0])).await["call"]["agents"][0]["worker"].clone();
    assert_eq!(found(&stage, &format!("find={}", worker.as_str().unwrap())).await.len(), 5, "by the WorkerSid");
    let page = text(&stage, "/console?state=all&outcome=problem").await;
    assert!(page.contains("<details class=\"filters\" open>") && page.contains(&parked[0]), "{page}");
    stage.stop().await;
}

/// Whether calls of this test may be yesterday's when it asks.
fn the_day_changes_soon() -> bool {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() % 86_400;
    !(120..86_280).contains(&seconds)
}

#[tokio::test]
async fn the_journal_keeps_of_a_call_that_is_over_what_its_facts_say() {
    let stage = busy_stage("").await;
    let query = CallQuery { state: CallState::Over, summaries: true, limit: 100, ..CallQuery::default() };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let row = loop {
        let row = stage.service.journal().calls(query.clone()).await.unwrap().remove(0);
        if row.summary.is_some() {
            break row;
        }
        assert!(std::time::Instant::now() < deadline, "no summary: {row:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(row.summary, summarize(&stage.facts(&row.call).await.unwrap()));
    stage.stop().await;
}

#[tokio::test]
async fn all_that_is_parked_is_redriven_after_a_preview_and_by_whom_is_kept() {
    let stage = busy_stage("identity_header = \"X-Forwarded-User\"").await;
    let task = json(&stage, "/calls?state=parked").await["calls"][0]["task"].as_str().unwrap().to_owned();
    let admin = stage.service.admin();
    let preview = text(&stage, "/console/parked/redrive").await;
    assert!(preview.contains("Redrive 1 call") && preview.contains(&format!("value=\"{task}\"")), "{preview}");
    assert_eq!(answer(admin, Method::GET, "/console/parked/nonsense", &[]).await.status(), 404);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let request = client.post(format!("http://{admin}/console/parked/redrive")).body(format!("task={task}"));
    let done = request.header("x-forwarded-user", "alice@example.com").send().await.unwrap();
    assert_eq!((done.status().as_u16(), &done.headers()["location"]), (303, &"/console?state=parked".parse().unwrap()));
    stage.at_rest().await.unwrap();
    let facts = stage.facts(&task.parse().unwrap()).await.unwrap();
    let by = Operated { act: OperatorAct::Redrive, by: "alice@example.com".to_owned() };
    assert!(facts.iter().any(|fact| fact.kind == FactKind::Operated(by.clone())));
    assert!(text(&stage, &format!("/calls/{task}")).await.contains("operator alice@example.com redrives the call"));
    assert!(json(&stage, "/calls?state=parked").await["calls"].as_array().unwrap().is_empty());
    assert!(
        text(&stage, "/console/parked/dismiss").await.contains("No call with a parked change can still be helped.")
    );
    stage.stop().await;
}

#[tokio::test]
async fn whoever_may_only_read_cannot_act() {
    let stage = busy_stage(&format!("token = \"{TOKEN}\"\nread_token = \"{READER}\"")).await;
    let admin = stage.service.admin();
    let path = format!("/calls/WT{:032x}/redrive", 7);
    for (token, read, act) in [(READER, 200, 403), (TOKEN, 200, 404), ("neither-of-the-two-tokens", 401, 401)] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(answer(admin, Method::GET, "/calls", &headers).await.status(), read, "{token}");
        assert_eq!(answer(admin, Method::POST, &path, &headers).await.status(), act, "{token}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_calls_evidence_is_exported_without_anybodys_text() {
    let stage = busy_stage("").await;
    let task = json(&stage, "/calls?state=over").await["calls"][0]["task"].as_str().unwrap().to_owned();
    let exported = answer(stage.service.admin(), Method::GET, &format!("/calls/{task}/export"), &[]).await;
    let disposition = exported.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(disposition, format!("attachment; filename=\"{task}.json\""));
    let evidence: Value = serde_json::from_str(&exported.text().await.unwrap()).unwrap();
    let facts = evidence["facts"].as_array().unwrap();
    assert_eq!(facts.len(), stage.facts(&task.parse().unwrap()).await.unwrap().len());
    assert_eq!(facts[0]["seq"], 1);
    let commands = facts.iter().filter(|fact| fact["kind"]["settled"]["step"]["operation"]["command"].is_object());
    assert!(commands.count() > 0 && evidence["timeline"].as_array().unwrap().len() > 5, "{evidence}");
    assert!(facts.iter().any(|fact| fact["kind"]["stream"]["change"] == "started"), "what proves that it ran");
    let reservation = facts.iter().find_map(|fact| fact["kind"].get("reservation")).unwrap();
    assert_eq!(reservation["worker_fields"], serde_json::json!(["worker.name"]), "names of fields, not their values");
    stage.stop().await;
}
