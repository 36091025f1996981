//! A card number in the middle of a call, at real sockets: no audio between "paused" and "resumed", and the proof of it.

use crate::ingress::{fake, fake_at};
use crate::journal::sqlite;
use crate::pace::scaled;
use crate::stories::{STRATEGIES, configuration, patient, play, settle, told};
use crate::strangers::listen;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use taskrouter_streams::call::Call;
use taskrouter_streams::call::pause::StopProof;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::sid::{CallSid, TaskSid};
use taskrouter_streams::http::{PauseEntry, PauseKey};
use taskrouter_streams::ingest::pause_requests::PauseRequests;
use taskrouter_streams::journal::{Clock, SqliteJournal, TimeSource};
use taskrouter_streams::telemetry::metrics::Metrics;
use taskrouter_streams::twilio::signature::sign;
use tempfile::TempDir;
use twilio_simulator::callbacks::DeliveryFault;
use twilio_simulator::faults::On;
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::{Mode, OpName, Target};

pub(crate) const SECRET: &str = "the-secret-of-pauses";

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn with_secret(strategy: Strategy, more: &str) -> String {
    format!("{}{more}\n[pause]\nsecret = \"{SECRET}\"\n", configuration(strategy))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// As the documented example signs.
fn signature(secret: &str, path: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("POST\n{path}\n{timestamp}\n{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A machine whose clock was set an hour ahead after the journal was opened.
struct SetAhead(Instant);

impl TimeSource for SetAhead {
    fn wall(&self) -> i64 {
        i64::try_from(now() * 1_000).unwrap() - 3_600_000
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_a_request_is_fresh_is_asked_of_the_journals_clock() {
    let clock = Clock::of_machine(SetAhead(Instant::now()), None);
    let (journal, kept, folder) = (fake_at(clock, 9, false), fake(9, false), TempDir::new().unwrap());
    let metrics = Arc::new(Metrics::new("0", "0"));
    let opened = SqliteJournal::open(sqlite::settings(&folder.path().join("journal.db")));
    let requests = PauseRequests::new(Arc::new(opened.unwrap()), metrics, Duration::from_secs(5), false);
    let key = PauseKey::new(&SecretString::from(SECRET));
    for (journal, hours_ago, expected) in [(journal.clone(), 1, 404), (journal, 0, 403), (kept, 0, 404)] {
        let entry = PauseEntry::new(requests.clone(), key.clone());
        let address = listen(journal, |settings| settings.pauses = Some(entry)).address.to_string();
        let (path, body) = (format!("/calls/WT{:032}/pause", 1), r#"{"id":"a"}"#);
        let timestamp = (now() - hours_ago * 3_600).to_string();
        let signature = signature(SECRET, &path, &timestamp, body);
        let (status, _) = post(&address, &path, body, &timestamp, &signature).await.unwrap();
        assert_eq!(status.as_u16(), expected, "signed {hours_ago} hours ago by the machine's clock");
    }
}

async fn send(stage: &Testbed, path: &str, body: &str, timestamp: &str, signature: &str) -> (StatusCode, Value) {
    post(&stage.service.public().to_string(), path, body, timestamp, signature).await.unwrap()
}

async fn post(
    address: &str,
    path: &str,
    body: &str,
    timestamp: &str,
    signature: &str,
) -> reqwest::Result<(StatusCode, Value)> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.post(format!("http://{address}{path}"));
    let request = request.header("X-Pause-Timestamp", timestamp).header("X-Pause-Signature", signature);
    let answer = request.body(body.to_owned()).send().await?;
    let status = answer.status();
    Ok((status, serde_json::from_str(&answer.text().await?).unwrap_or_default()))
}

/// A request to this address that is signed now; no answer when nobody lives to give one.
pub(crate) async fn post_signed(address: String, task: TaskSid, word: &'static str, body: Value) -> Option<StatusCode> {
    let (path, timestamp, body) = (format!("/calls/{task}/{word}"), now().to_string(), body.to_string());
    let signature = signature(SECRET, &path, &timestamp, &body);
    post(&address, &path, &body, &timestamp, &signature).await.ok().map(|(status, _)| status)
}

/// A request that is signed now.
pub(crate) async fn signed(stage: &Testbed, task: &TaskSid, word: &str, body: &Value) -> (StatusCode, Value) {
    let (path, timestamp, body) = (format!("/calls/{task}/{word}"), now().to_string(), body.to_string());
    send(stage, &path, &body, &timestamp, &signature(SECRET, &path, &timestamp, &body)).await
}

/// Asks until the pause is proven: then nothing runs.
pub(crate) async fn until_paused(stage: &Testbed, task: &TaskSid, id: &str) {
    for _ in 0..30 {
        let (status, body) = signed(stage, task, "pause", &json!({"id": id})).await;
        let running = running(stage, task);
        match status.as_u16() {
            200 => return assert_eq!(running, Vec::<String>::new(), "{body}"),
            504 => {}
            _ => panic!("{status}: {body}"),
        }
    }
    panic!("{id} is never proven");
}

pub(crate) async fn call(stage: &Testbed, agents: &[&str]) -> TaskSid {
    let sim = &stage.sim;
    let task = sim.act(|world| world.customer_calls()).await;
    for (place, agent) in agents.iter().enumerate() {
        if place > 0 {
            let to = Target::Agent((*agent).to_owned());
            sim.act(|world| world.transfers(&task, agents[0], &to, Mode::Warm)).await.unwrap();
            settle(stage).await;
        }
        sim.act(|world| world.accepts(&task, agent)).await.unwrap();
        settle(stage).await;
    }
    task
}

pub(crate) fn running(stage: &Testbed, task: &TaskSid) -> Vec<String> {
    let report = stage.sim.world(|world| world.report(task)).unwrap();
    report.streams.into_iter().filter(|stream| stream.stopped_at.is_none()).map(|stream| stream.name).collect()
}

/// I13, by both strategies: frames are counted, and none comes between the 200 and the resume.
#[test]
fn no_audio_leaves_between_the_200_and_the_resume() {
    play(&STRATEGIES, async |strategy| {
        let stage = Testbed::start_with_audio(patient(), &with_secret(*strategy, "")).await.unwrap();
        let task = call(&stage, &["alice"]).await;
        let consumer = stage.consumer.as_ref().unwrap();
        assert!(
            consumer.until(|heard| heard.iter().any(|heard| heard.total() > 3), scaled(LIMIT)).await,
            "audio flows"
        );
        let redirects = stage.sim.world(|world| world.report(&task)).unwrap().redirects;
        let (status, body) = signed(&stage, &task, "pause", &json!({"id": "card-1", "reason": "card payment"})).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!((&body["state"], &body["stops"][0]["proof"]), (&json!("paused"), &json!("reported")));
        assert_eq!(running(&stage, &task), Vec::<String>::new());
        assert!(consumer.until(|heard| heard.iter().all(|heard| heard.closed), scaled(LIMIT)).await);
        let frames = |stage: &Testbed| stage.heard().iter().map(|heard| heard.total()).collect::<Vec<_>>();
        let before = frames(&stage);
        // An agent who joins meanwhile starts paused.
        let to = Target::Agent("bob".to_owned());
        stage.sim.act(|world| world.transfers(&task, "alice", &to, Mode::Warm)).await.unwrap();
        stage.sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
        settle(&stage).await;
        assert_eq!(frames(&stage), before, "not one frame, and no other socket");
        let (status, _) = signed(&stage, &task, "resume", &json!({"id": "card-1"})).await;
        assert_eq!(status, 200);
        settle(&stage).await;
        assert!(
            consumer.until(|heard| heard.len() == 3 && heard[1..].iter().all(|h| h.total() > 3), scaled(LIMIT)).await
        );
        let heard = stage.heard();
        assert_eq!(frames(&stage)[0], before[0]);
        assert!(heard[1..].iter().all(|heard| heard.parameters["pauseId"] == "card-1"));
        assert_eq!(heard[1..].iter().filter(|heard| heard.parameters.contains_key("resumeOf")).count(), 1, "alice's");
        let after = stage.sim.world(|world| world.report(&task)).unwrap().redirects;
        assert_eq!(after, redirects, "nobody leaves a conference for a pause");
        let wrong = told(&stage, strategy.as_str(), std::slice::from_ref(&task), Vec::new()).await;
        stage.stop().await;
        wrong
    });
}

/// Two agents with different scopes; each resume ends its own.
#[test]
fn two_pauses_with_different_scopes_overlap() {
    play(&STRATEGIES, async |strategy| {
        let stage = Testbed::start(patient(), &with_secret(*strategy, "")).await.unwrap();
        let task = call(&stage, &["alice", "bob"]).await;
        assert_eq!(running(&stage, &task).len(), 2);
        let facts = stage.facts(&task).await.unwrap();
        let alice = taskrouter_streams::call::Call::fold(&facts).accepted()[0].0.clone();
        let (status, body) = signed(&stage, &task, "pause", &json!({"id": "a", "reservation": alice})).await;
        assert_eq!(status, 200, "{body}");
        let running_now = running(&stage, &task);
        assert!(running_now.len() == 1 && !running_now[0].contains(alice.as_str()), "{running_now:?}");
        assert_eq!(signed(&stage, &task, "pause", &json!({"id": "all"})).await.0, 200);
        assert_eq!(signed(&stage, &task, "resume", &json!({"id": "a"})).await.0, 200);
        settle(&stage).await;
        assert_eq!(running(&stage, &task), Vec::<String>::new(), "the other pause is still on");
        assert_eq!(signed(&stage, &task, "resume", &json!({"id": "all"})).await.0, 200);
        settle(&stage).await;
        assert_eq!(running(&stage, &task).len(), 2);
        let wrong = told(&stage, strategy.as_str(), std::slice::from_ref(&task), Vec::new()).await;
        stage.stop().await;
        wrong
    });
}

/// Twilio answers a stop that it does not carry out: nobody is told that it is paused.
#[tokio::test]
async fn a_pause_that_is_not_proven_is_answered_with_504_and_alarmed() {
    let more = "[streams]\nconfirm_within_ms = 60000\n";
    let config = format!("[server]\nthreads = 1\n{more}\n[pause]\nsecret = \"{SECRET}\"\nconfirm_within_ms = 300\n");
    let stage = Testbed::start(patient(), &config).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    stage.sim.act(|world| world.ignore_next_stops(1)).await;
    let (status, body) = signed(&stage, &task, "pause", &json!({"id": "p"})).await;
    assert_eq!(status, 504, "{body}");
    assert!(body["error"].as_str().unwrap().contains("not proven in time") && !running(&stage, &task).is_empty());
    // The worker alarms by itself, a moment before or after the answer.
    let alarmed = "taskrouter_streams_pauses_total{outcome=\"unproven\"} 1";
    let deadline = Instant::now() + scaled(LIMIT);
    while !crate::console::text(&stage, "/metrics").await.contains(alarmed) {
        assert!(Instant::now() < deadline, "no alarm");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let page = crate::console::text(&stage, &format!("/console/calls/{task}")).await;
    assert!(page.contains("not proven"), "{page}");
    stage.stop().await;
}

/// What TaskRouter tells of the only reservation of another task of this customer's.
async fn told_of_another_task(stage: &Testbed, leg: &CallSid, number: u32, event: &str, status: &str) {
    let twilio = &stage.settings().twilio;
    let form = [
        ("EventType", event.to_owned()),
        ("AccountSid", twilio.account_sid.to_string()),
        ("WorkspaceSid", twilio.workspace_sid.to_string()),
        ("Sid", format!("EV{number:032x}")),
        ("Timestamp", now().to_string()),
        ("TaskSid", format!("WT{:032x}", 77)),
        ("TaskVersion", number.to_string()),
        ("TaskChannelUniqueName", "voice".to_owned()),
        ("TaskAttributes", json!({"call_sid": leg}).to_string()),
        ("TaskAssignmentStatus", status.to_owned()),
        ("WorkerSid", format!("WK{:032x}", 77)),
        ("ReservationSid", format!("WR{:032x}", 77)),
    ];
    let target = "/taskrouter/events";
    let token = twilio.auth_tokens[0].expose_secret();
    let signature = sign(&format!("{}{target}", stage.settings().server.public_url), &form, token);
    let url = format!("http://{}{target}", stage.service.public());
    let request = reqwest::Client::new().post(url).header("X-Twilio-Signature", signature).form(&form);
    assert_eq!(request.send().await.unwrap().status(), 204);
}

/// The same request again tells how the pause stands, also where what changed is another task's.
#[tokio::test]
async fn a_second_tasks_stream_on_the_leg_takes_the_proof_back_until_it_is_over() {
    let more = format!("[server]\nthreads = 1\n[pause]\nsecret = \"{SECRET}\"\nconfirm_within_ms = 1000\n");
    let stage = Testbed::start(patient(), &more).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    until_paused(&stage, &task, "p").await;
    let leg = Call::fold(&stage.facts(&task).await.unwrap()).customer().unwrap().clone();
    told_of_another_task(&stage, &leg, 1, "reservation.accepted", "assigned").await;
    let deadline = Instant::now() + scaled(LIMIT);
    while running(&stage, &task).is_empty() {
        assert!(Instant::now() < deadline, "the second task's stream does not start");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (status, body) = signed(&stage, &task, "pause", &json!({"id": "p"})).await;
    assert_eq!((status.as_u16(), &body["proven_ms"]), (504, &Value::Null), "{body}");
    let alarmed = "taskrouter_streams_pauses_total{outcome=\"unproven\"} 1";
    while !crate::console::text(&stage, "/metrics").await.contains(alarmed) {
        assert!(Instant::now() < deadline, "no alarm");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    told_of_another_task(&stage, &leg, 2, "reservation.completed", "completed").await;
    until_paused(&stage, &task, "p").await;
    stage.stop().await;
}

#[tokio::test]
async fn only_what_is_signed_now_is_taken_and_an_id_is_used_once() {
    let config = with_secret(Strategy::StreamsApi, "");
    let stage = Testbed::start(patient(), &config).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    let path = format!("/calls/{task}/pause");
    let body = json!({"id": "p"}).to_string();
    let fresh = now().to_string();
    let old = (now() - 301).to_string();
    for (timestamp, signature) in [
        (&fresh, signature("another-secret-altogether", &path, &fresh, &body)),
        (&fresh, signature(SECRET, &path, &fresh, "{}")),
        (&fresh, signature(SECRET, "/calls/WT00000000000000000000000000000000/pause", &fresh, &body)),
        (&old, signature(SECRET, &path, &old, &body)),
        (&old, signature(SECRET, &path, &fresh, &body)),
        (&fresh, String::new()),
        (&fresh, "z".repeat(64)),
    ] {
        assert_eq!(send(&stage, &path, &body, timestamp, &signature).await.0, 403, "{timestamp} {signature}");
    }
    assert_eq!(running(&stage, &task).len(), 1);
    for (wrong, status) in [
        (json!({}), 400),
        (json!({"id": "4111 1111 1111 1111"}), 400),
        (json!({"id": "p", "reason": "4111111111111111"}), 400),
        (json!({"id": "p", "more": 1}), 400),
        (json!({"id": "p", "reservation": "WR00000000000000000000000000000000"}), 404),
    ] {
        assert_eq!(signed(&stage, &task, "pause", &wrong).await.0.as_u16(), status, "{wrong}");
    }
    let unknown: TaskSid = "WT00000000000000000000000000000000".parse().unwrap();
    assert_eq!(signed(&stage, &unknown, "pause", &json!({"id": "p"})).await.0, 404);
    // The same again tells of the same pause; another body under its id is refused.
    let (first, told) = signed(&stage, &task, "pause", &json!({"id": "p", "seconds": 60})).await;
    let (again, retold) = signed(&stage, &task, "pause", &json!({"id": "p", "seconds": 60})).await;
    assert_eq!((first.as_u16(), again.as_u16(), &told), (200, 200, &retold));
    let (other, body) = signed(&stage, &task, "pause", &json!({"id": "p", "seconds": 61})).await;
    assert!(other == 409 && body["error"].as_str().unwrap().contains("another pause"), "{body}");
    assert_eq!(signed(&stage, &task, "resume", &json!({"id": "p"})).await.0, 200);
    settle(&stage).await;
    let (replayed, body) = signed(&stage, &task, "pause", &json!({"id": "p", "seconds": 60})).await;
    assert!(replayed == 409 && body["state"] == "resumed", "{body}");
    settle(&stage).await;
    assert_eq!(running(&stage, &task).len(), 1, "a replay pauses nothing");
    stage.stop().await;
}

#[tokio::test]
async fn without_a_secret_there_is_no_such_path() {
    let stage = Testbed::start(patient(), &configuration(Strategy::StreamsApi)).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    assert_eq!(signed(&stage, &task, "pause", &json!({"id": "p"})).await.0, 404);
    stage.stop().await;
}

/// Short patience, so that what is not proven is looked at again soon.
pub(crate) const QUICK: &str = "confirm_within_ms = 300\n[retry]\nfirst_ms = 10\ncap_ms = 50\ndoubt_ms = 50\n\
    landing_margin_ms = 100\n[twilio]\nrequest_timeout_ms = 1000\nconnect_timeout_ms = 500\n";

/// I13: whatever becomes of the stop, of its answer or of the word that it took effect, and of the start that a second pause meets.
#[test]
fn with_faults_before_and_after_effects_nothing_runs_when_200_is_answered() {
    let mut cases = Vec::new();
    for strategy in STRATEGIES {
        for op in [OpName::StopStream, OpName::CreateStream] {
            for (name, fault) in crate::faults::passing() {
                cases.push((strategy, op, name, fault));
            }
        }
    }
    play(&cases, async |(strategy, op, name, fault)| {
        let stage = Testbed::start(patient(), &with_secret(*strategy, QUICK)).await.unwrap();
        let task = call(&stage, &["alice"]).await;
        if *op == OpName::StopStream {
            stage.sim.faults(|faults| faults.script(On::Next(*op), 1, fault.clone()));
        }
        until_paused(&stage, &task, "first").await;
        if *op == OpName::CreateStream {
            stage.sim.faults(|faults| faults.script(On::Next(*op), 1, fault.clone()));
        }
        assert_eq!(signed(&stage, &task, "resume", &json!({"id": "first"})).await.0, 200);
        until_paused(&stage, &task, "second").await;
        settle(&stage).await;
        let mut wrong = Vec::new();
        if !running(&stage, &task).is_empty() {
            wrong.push(format!("{:?} run within a proven pause", running(&stage, &task)));
        }
        assert_eq!(signed(&stage, &task, "resume", &json!({"id": "second"})).await.0, 200);
        settle(&stage).await;
        if running(&stage, &task).len() != 1 {
            wrong.push(format!("{:?} run after it", running(&stage, &task)));
        }
        let label = format!("{}, {op:?} {name}", strategy.as_str());
        let wrong = told(&stage, &label, std::slice::from_ref(&task), wrong).await;
        stage.stop().await;
        wrong
    });
}

/// The word that a stream is over is lost: another stop proves it, and until then nobody is told that it is paused.
#[test]
fn a_lost_callback_delays_the_proof() {
    play(&STRATEGIES, async |strategy| {
        let stage = Testbed::start(patient(), &with_secret(*strategy, QUICK)).await.unwrap();
        let task = call(&stage, &["alice"]).await;
        stage.sim.delivery_fault(Some("stream-stopped"), DeliveryFault::Dropped);
        until_paused(&stage, &task, "p").await;
        let facts = stage.facts(&task).await.unwrap();
        let pauses = taskrouter_streams::call::summarize(&facts).unwrap().pauses;
        let mut wrong = Vec::new();
        if pauses[0].stops[0].by != StopProof::NotFound {
            wrong.push(format!("{pauses:?}"));
        }
        let wrong = told(&stage, strategy.as_str(), std::slice::from_ref(&task), wrong).await;
        stage.stop().await;
        wrong
    });
}

/// A program writes the task's attribute, as a plugin does: the attributes as they are, and `streams.paused`.
async fn write_attribute(stage: &Testbed, task: &TaskSid, paused: &Value) {
    let twilio = &stage.settings().twilio;
    let path = format!("v1/Workspaces/{}/Tasks/{task}", twilio.workspace_sid);
    let url = format!("{}/{path}", stage.sim.api_base_url().trim_end_matches('/'));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = Some(twilio.auth_tokens[0].expose_secret());
    let read = client.get(&url).basic_auth(&twilio.account_sid, token).send().await.unwrap();
    let read: Value = serde_json::from_str(&read.text().await.unwrap()).unwrap();
    let mut attributes: Value = serde_json::from_str(read["attributes"].as_str().unwrap()).unwrap();
    attributes["streams"] = json!({"paused": paused});
    let form = [("Attributes", attributes.to_string())];
    let written = client.post(&url).basic_auth(&twilio.account_sid, token).form(&form).send().await.unwrap();
    assert_eq!(written.status(), 200);
    settle(stage).await;
}

#[test]
fn the_tasks_attribute_pauses_and_resumes() {
    play(&STRATEGIES, async |strategy| {
        let stage = Testbed::start(patient(), &configuration(*strategy)).await.unwrap();
        let task = call(&stage, &["alice"]).await;
        write_attribute(&stage, &task, &json!({"id": "card", "reason": "card payment"})).await;
        assert_eq!(running(&stage, &task), Vec::<String>::new());
        write_attribute(&stage, &task, &Value::Null).await;
        assert_eq!(running(&stage, &task), Vec::<String>::new(), "only false resumes");
        write_attribute(&stage, &task, &json!(false)).await;
        assert_eq!(running(&stage, &task).len(), 1);
        let pauses = taskrouter_streams::call::summarize(&stage.facts(&task).await.unwrap()).unwrap().pauses;
        let told_of = pauses.len() == 1 && pauses[0].proven_at.is_some() && pauses[0].resumed_at.is_some();
        let wrong = if told_of { Vec::new() } else { vec![format!("{pauses:?}")] };
        let wrong = told(&stage, strategy.as_str(), std::slice::from_ref(&task), wrong).await;
        stage.stop().await;
        wrong
    });
}

/// `calls pause` and `calls resume`, and the evidence that `calls show` and the export give.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_pauses_and_resumes_and_the_evidence_tells_of_it() {
    let stage = Testbed::start(patient(), &configuration(Strategy::StreamsApi)).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    let admin = format!("http://{}", stage.service.admin());
    let calls = |arguments: &[&str]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_taskrouter-streams"));
        program.arg("calls").args(arguments).args(["--admin", &admin]);
        let output = tokio::task::block_in_place(|| program.output()).unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let (done, said) = calls(&["pause", task.as_str(), "--reason", "card payment"]);
    assert!(done && said.contains("which is proven; 1 streams stopped"), "{said}");
    assert_eq!(running(&stage, &task), Vec::<String>::new());
    let (done, said) = calls(&["pause", task.as_str(), "--reason", "4111111111111111"]);
    assert!(!done && said.contains("no place for personal data") && !said.contains("4111"), "{said}");
    let (done, said) = calls(&["resume", task.as_str()]);
    assert!(done && said.contains("has ended"), "{said}");
    settle(&stage).await;
    assert_eq!(running(&stage, &task).len(), 1);
    let (done, said) = calls(&["resume", task.as_str()]);
    assert!(!done && said.contains("no pause"), "{said}");
    let (_, shown) = calls(&["show", task.as_str()]);
    for told in ["(card payment): resumed, asked", "by an operator", "over", "Twilio reported its end", "    resumed"] {
        assert!(shown.contains(told), "{told} in {shown}");
    }
    let export = crate::console::text(&stage, &format!("/calls/{task}/export")).await;
    let export: Value = serde_json::from_str(&export).unwrap();
    let pause = &export["call"]["pauses"][0];
    assert!(pause["proven_ms"].is_i64() && pause["resumed_by"] == "an operator", "{pause}");
    assert_eq!(pause["stops"][0]["proof"], "Twilio reported its end");
    stage.stop().await;
}
