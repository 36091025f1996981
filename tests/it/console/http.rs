//! The console over plain HTTP: what it shows, to whom, and what it refuses.

use super::{answer, busy_stage, text};
use crate::ingress::ADMIN;
use crate::stories::patient;
use reqwest::Method;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use taskrouter_streams::call::fact::{
    CallAttributes, EventStamp, Fact, FactKind, ReservationChange, ReservationEvent, TaskStatus, TaskView,
};
use taskrouter_streams::console::view::AccountNames;
use taskrouter_streams::console::{ConsoleSettings, console};
use taskrouter_streams::http::admin;
use taskrouter_streams::ingest::pause_requests::PauseRequests;
use taskrouter_streams::journal::{Ingest as _, NewFact, SqliteJournal, SqliteSettings};
use taskrouter_streams::telemetry::metrics::{Commits, Metrics};
use taskrouter_streams::twilio::signature::{parse_pairs, sign};
use tokio_util::sync::CancellationToken;
use twilio_simulator::testbed::Testbed;

const TOKEN: &str = "a-token-that-is-long-enough";

async fn json(stage: &Testbed, path: &str) -> Value {
    serde_json::from_str(&text(stage, path).await).unwrap()
}

async fn status(stage: &Testbed, method: Method, path: &str, headers: &[(&str, &str)]) -> u16 {
    answer(stage.service.admin(), method, path, headers).await.status().as_u16()
}

#[tokio::test]
async fn calls_are_listed_found_and_shown() {
    let stage = busy_stage("").await;
    let live = json(&stage, "/calls").await;
    assert_eq!(live["calls"].as_array().unwrap().len(), 4);
    let parked = json(&stage, "/calls?state=parked").await;
    let call = &parked["calls"][0];
    assert_eq!((parked["calls"].as_array().unwrap().len(), call["parked"].as_array().unwrap().len()), (1, 1));
    assert_eq!(json(&stage, "/calls?state=over").await["calls"].as_array().unwrap().len(), 1);
    for key in ["task", "customer"] {
        let sid = call[key].as_str().unwrap();
        for find in [sid, &sid[..20]] {
            assert_eq!(json(&stage, &format!("/calls?state=all&find={find}")).await["calls"][0]["task"], call["task"]);
            assert!(
                text(&stage, &format!("/console?state=all&find={find}")).await.contains(call["task"].as_str().unwrap())
            );
        }
    }
    let consult = live["calls"].as_array().unwrap().last().unwrap();
    assert_eq!((&consult["held"], &consult["guard"]), (&Value::from(true), &Value::from("raised")));
    let story = json(&stage, &format!("/calls/{}", consult["task"].as_str().unwrap())).await;
    let why: Vec<&str> = story["timeline"].as_array().unwrap().iter().filter_map(|line| line["why"].as_str()).collect();
    assert!(why.contains(&"start agent B's stream") && why.contains(&"hold the customer again"), "{why:?}");
    let page = text(&stage, &format!("/console/calls/{}", consult["task"].as_str().unwrap())).await;
    for shown in ["<svg", "Stream B, agent B", "to start agent B's stream", "rejoining the conference"] {
        assert!(page.contains(&shown.replace('\'', "&#39;")) || page.contains(shown), "{shown} is missing in {page}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn what_was_given_up_is_tried_again_once_and_then_there_is_nothing_to_try() {
    let stage = busy_stage("").await;
    let task = json(&stage, "/calls?state=parked").await["calls"][0]["task"].as_str().unwrap().to_owned();
    assert_eq!(status(&stage, Method::POST, &format!("/calls/{task}/redrive"), &[]).await, 202);
    stage.at_rest().await.unwrap();
    let call = &json(&stage, &format!("/calls/{task}")).await["call"];
    let live = call["streams"].as_array().unwrap().iter().filter(|stream| stream["live"] == true).count();
    // The one that nobody knows whether it was started is stopped when another one is.
    assert_eq!((call["parked"].as_array().unwrap().len(), live), (0, 1), "{call}");
    assert_eq!(status(&stage, Method::POST, &format!("/calls/{task}/redrive"), &[]).await, 409);
    let facts = stage.facts(&task.parse().unwrap()).await.unwrap();
    assert_eq!(facts.iter().filter(|fact| fact.kind == FactKind::Redriven).count(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn what_was_given_up_and_dismissed_is_left_alone_and_not_shown_as_parked() {
    let stage = busy_stage("").await;
    let task = json(&stage, "/calls?state=parked").await["calls"][0]["task"].as_str().unwrap().to_owned();
    let requests = stage.sim.world(|world| world.requests().len());
    let ours = [("sec-fetch-site", "same-origin")];
    assert_eq!(status(&stage, Method::POST, &format!("/console/calls/{task}/dismiss"), &ours).await, 303);
    stage.at_rest().await.unwrap();
    assert_eq!(stage.sim.world(|world| world.requests().len()), requests, "nothing is asked of Twilio");
    assert!(json(&stage, "/calls?state=parked").await["calls"].as_array().unwrap().is_empty());
    let page = text(&stage, &format!("/console/calls/{task}")).await;
    assert!(page.contains("an operator dismisses the parked changes") && !page.contains("id=\"redrive\""), "{page}");
    assert_eq!(status(&stage, Method::POST, &format!("/calls/{task}/dismiss"), &[]).await, 409);
    stage.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_language_of_whoever_asks() {
    let stage = busy_stage("").await;
    let unknown = format!("WT{:032x}", 7);
    for (path, code) in [
        (format!("/calls/{unknown}"), 404),
        ("/calls/nonsense".to_owned(), 404),
        ("/calls?find=%2B15550100100".to_owned(), 400),
        ("/calls?outcome=nonsense".to_owned(), 400),
        ("/calls?from=nonsense".to_owned(), 400),
        ("/calls?after=nonsense".to_owned(), 400),
        ("/calls?state=nonsense".to_owned(), 400),
        ("/nothing".to_owned(), 404),
    ] {
        let found = answer(stage.service.admin(), Method::GET, &path, &[]).await;
        assert_eq!(found.status(), code, "{path}");
    }
    assert!(text(&stage, &format!("/calls/{unknown}")).await.starts_with("{\"error\":"));
    assert!(text(&stage, &format!("/console/calls/{unknown}")).await.contains("<h1>Request failed</h1>"));
    assert_eq!(status(&stage, Method::POST, &format!("/calls/{unknown}/redrive"), &[]).await, 404);
    assert_eq!(
        status(&stage, Method::GET, &format!("/calls/{unknown}/redrive"), &[]).await,
        404,
        "GET changes nothing"
    );
    stage.stop().await;
}

#[tokio::test]
async fn a_page_of_somebody_else_can_change_nothing() {
    let stage = busy_stage("").await;
    let path = format!("/console/calls/WT{:032x}/redrive", 7);
    let us = format!("http://{}", stage.service.admin());
    let foreign: &[&[(&str, &str)]] = &[
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &us)],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "")],
    ];
    for headers in foreign {
        assert_eq!(status(&stage, Method::POST, &path, headers).await, 403, "{headers:?}");
    }
    let ours: &[&[(&str, &str)]] = &[&[("sec-fetch-site", "same-origin")], &[("origin", &us)], &[]];
    for headers in ours {
        assert_eq!(status(&stage, Method::POST, &path, headers).await, 404, "let in, and no such call: {headers:?}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_name_that_leads_here_is_no_way_in_without_a_token() {
    let stage = busy_stage("").await;
    for (host, code) in [
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("localhost:9090", 200),
        ("127.0.0.1", 200),
        ("[::1]:9090", 200),
    ] {
        assert_eq!(status(&stage, Method::GET, "/console", &[("host", host)]).await, code, "{host}");
    }
    assert_eq!(status(&stage, Method::GET, "/metrics", &[("host", "probe.example")]).await, 200);
    stage.stop().await;
}

#[tokio::test]
async fn the_token_is_asked_for_and_taken_as_password_or_bearer() {
    use base64::Engine as _;
    let stage = busy_stage(&format!("token = \"{TOKEN}\"")).await;
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    for path in ["/console", "/calls", "/console/live", "/console/console.css", "/"] {
        let refused = answer(stage.service.admin(), Method::GET, path, &[]).await;
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
    }
    let longer = format!("{TOKEN}x");
    for wrong in [
        basic("me:wrong"),
        basic(TOKEN),
        basic(&format!("{TOKEN}:")),
        format!("Bearer {longer}"),
        "Bearer".to_owned(),
        "Basic ???".to_owned(),
    ] {
        assert_eq!(status(&stage, Method::GET, "/calls", &[("authorization", &wrong)]).await, 401, "{wrong}");
    }
    for right in [basic(&format!("anybody:{TOKEN}")), format!("Bearer {TOKEN}"), format!("bearer {TOKEN}")] {
        let headers = [("authorization", right.as_str()), ("host", "console.example")];
        assert_eq!(status(&stage, Method::GET, "/calls", &headers).await, 200, "{right}");
        let foreign = [headers[0], ("origin", "https://evil.example")];
        assert_eq!(status(&stage, Method::POST, "/calls/WT/redrive", &foreign).await, 403);
    }
    for open in ["/health", "/health/live", "/health/ready", "/metrics"] {
        assert_eq!(status(&stage, Method::GET, open, &[]).await, 200, "{open}");
    }
    stage.stop().await;
}

/// A console on a journal of its own.
async fn standing(is_private: bool) -> (tempfile::TempDir, Arc<SqliteJournal>, std::net::SocketAddr) {
    let directory = tempfile::TempDir::new().unwrap();
    let settings = SqliteSettings {
        path: directory.path().join("journal.db"),
        queue_limit: 100_000,
        batch_limit: 512,
        lease: Duration::from_secs(30),
        wal_limit_bytes: 1 << 30,
        commits: Commits::default(),
    };
    let journal = Arc::new(SqliteJournal::open(settings).unwrap());
    let metrics = Arc::new(Metrics::new("0", "0"));
    let settings = ConsoleSettings {
        token: None,
        read_token: None,
        identity_header: None,
        is_private,
        login_delay: Duration::from_millis(500),
        live_every: Duration::from_millis(50),
        live_views: 1,
        accounts: AccountNames::default(),
    };
    let pauses = PauseRequests::new(journal.clone(), metrics.clone(), Duration::from_secs(2), false);
    let routes = console(journal.clone(), metrics.clone(), settings, pauses, CancellationToken::new());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = journal.clone();
    std::thread::spawn(move || {
        actix_web::rt::System::new()
            .block_on(async { admin(served, metrics, routes, listener, ADMIN).unwrap().run().await })
    });
    (directory, journal, address)
}

#[tokio::test]
async fn off_loopback_without_a_token_nobody_sees_calls_but_probes_answer() {
    let (_directory, _journal, address) = standing(false).await;
    for path in ["/console", "/calls", "/console/live"] {
        let refused = answer(address, Method::GET, path, &[("authorization", "Bearer ")]).await;
        assert_eq!(refused.status(), 403);
        assert!(refused.text().await.unwrap().contains("set admin.token"));
    }
    assert_eq!(answer(address, Method::GET, "/health/ready", &[]).await.status(), 200);
    assert_eq!(answer(address, Method::GET, "/metrics", &[]).await.status(), 200);
}

fn accepted(n: u32) -> NewFact {
    let at = 1_700_000_000_000 + i64::from(n);
    let task = format!("WT{n:032x}").parse().unwrap();
    let attributes =
        CallAttributes { customer: Some(format!("CA{n:032x}").parse().unwrap()), ..CallAttributes::default() };
    let event = ReservationEvent {
        stamp: EventStamp { sid: None, at },
        change: ReservationChange::Accepted,
        reservation: format!("WR{n:032x}").parse().unwrap(),
        worker: Some(format!("WK{n:032x}").parse().unwrap()),
        version: None,
        task: TaskView {
            account: None,
            task,
            channel: Some("voice".to_owned()),
            version: None,
            status: Some(TaskStatus::Assigned),
            attributes,
            fields: BTreeMap::new(),
        },
        worker_fields: BTreeMap::new(),
    };
    let call = event.task.task.clone();
    NewFact { call, identity: format!("EV{n}"), fact: Fact { at, kind: FactKind::Reservation(event) }.into() }
}

#[tokio::test]
async fn ten_thousand_calls_are_leafed_through_without_losing_or_repeating_one() {
    const CALLS: usize = 10_000;
    let (_directory, journal, address) = standing(true).await;
    let mut ingests = tokio::task::JoinSet::new();
    for n in 0..u32::try_from(CALLS).unwrap() {
        let journal = journal.clone();
        ingests.spawn(async move { journal.ingest(accepted(n)).await.unwrap() });
    }
    ingests.join_all().await;
    let (mut seen, mut after) = (BTreeSet::new(), String::new());
    loop {
        let page =
            answer(address, Method::GET, &format!("/calls?limit=500&after={after}"), &[]).await.text().await.unwrap();
        let page: Value = serde_json::from_str(&page).unwrap();
        for call in page["calls"].as_array().unwrap() {
            assert!(seen.insert(call["task"].as_str().unwrap().to_owned()), "{call} came twice");
        }
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), CALLS);
    let worker = format!("WK{:032x}", 17);
    let page =
        answer(address, Method::GET, &format!("/calls?state=all&agent={worker}"), &[]).await.text().await.unwrap();
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(
        (page["calls"].as_array().unwrap().len(), &page["calls"][0]["agents"][0]["worker"]),
        (1, &worker.into())
    );
    let page = answer(address, Method::GET, "/console", &[]).await.text().await.unwrap();
    assert_eq!(page.matches("<tr>").count(), 51, "a page has 50 calls and a heading");
    assert!(page.contains(&format!("<dd>{CALLS}</dd>")) && page.contains("rel=\"next\""));
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_do_with_it() {
    let stage = busy_stage("").await;
    let task = json(&stage, "/calls").await["calls"][0]["task"].as_str().unwrap().to_owned();
    for path in [
        "/console",
        &format!("/console/calls/{task}"),
        "/calls",
        "/calls/nonsense",
        "/nothing",
        "/console/console.js",
        "/",
    ] {
        for host in ["127.0.0.1", "evil.example"] {
            let found = answer(stage.service.admin(), Method::GET, path, &[("host", host)]).await;
            let header = |name: &str| {
                found.headers().get(name).unwrap_or_else(|| panic!("{path} lacks {name}")).to_str().unwrap()
            };
            let policy = header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{path}: {policy}"
            );
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!((header("x-content-type-options"), header("x-frame-options")), ("nosniff", "DENY"));
            assert_eq!((header("referrer-policy"), header("cache-control")), ("same-origin", "no-store"));
        }
    }
    let page = text(&stage, &format!("/console/calls/{task}")).await;
    // Links to Twilio's own pages lead away; nothing is loaded from there.
    let page = page.replace("href=\"https://console.twilio.com/", "href=\"");
    let page = page.replace("href=\"https://www.twilio.com/docs/api/errors/", "href=\"");
    for inline in ["<style", " style=", " onclick", "javascript:", "http://", "https://"] {
        assert!(!page.contains(inline), "{inline} is in {page}");
    }
    stage.stop().await;
}

/// Posts an event, signed.
async fn post(stage: &Testbed, pairs: &[(&str, String)]) {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let signature =
        sign("https://streams.example.com/taskrouter/events", &parse_pairs(body.as_bytes()), "the-token-of-the-demo");
    let posted = reqwest::Client::new()
        .post(format!("http://{}/taskrouter/events", stage.service.public()))
        .header("x-twilio-signature", signature)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    assert_eq!(posted.send().await.unwrap().status(), 204);
}

/// Names and attributes are anybody's words. Some may have to be kept; none is shown.
#[tokio::test]
async fn hostile_names_and_attributes_show_nowhere() {
    // A rule that names a field makes the journal keep it.
    let rule = "[[streams.rules]]\ntask_queue = \"Nobody\"\nworker_attributes = { name = \"x\" }\ndestinations = []";
    let stage = Testbed::start(patient(), &format!("[server]\nthreads = 1\n{rule}")).await.unwrap();
    let hostile = "</title></svg><script>alert(1)</script>\"'\u{1b}[31m{{7*7}}\r\nEVIL";
    let attributes = serde_json::json!({"call_sid": format!("CA{:032x}", 5), "from": "+15557654321", "name": hostile});
    let task = format!("WT{:032x}", 5);
    let pairs = [
        ("EventType", "reservation.accepted".to_owned()),
        ("AccountSid", "ACde300000000000000000000000000001".to_owned()),
        ("WorkspaceSid", "WSde300000000000000000000000000002".to_owned()),
        ("Sid", format!("EV{:032x}", 5)),
        ("TimestampMs", "1760000005000".to_owned()),
        ("Timestamp", "1760000005".to_owned()),
        ("TaskSid", task.clone()),
        ("TaskChannelUniqueName", "voice".to_owned()),
        ("TaskAttributes", attributes.to_string()),
        ("TaskAssignmentStatus", hostile.to_owned()),
        ("TaskQueueName", hostile.to_owned()),
        ("WorkerName", hostile.to_owned()),
        ("WorkerAttributes", attributes.to_string()),
        ("WorkerSid", format!("WK{:032x}", 5)),
        ("ReservationSid", format!("WR{:032x}", 5)),
    ];
    post(&stage, &pairs).await;
    let name = "٠١٥٥٥٠١٠٠٠١";
    let pairs = pairs.map(|(key, value)| match key {
        "Sid" => (key, format!("EV{:032x}", 6)),
        "WorkerName" => (key, name.to_owned()),
        _ => (key, value),
    });
    post(&stage, &pairs).await;
    for path in [
        format!("/console/calls/{task}"),
        format!("/calls/{task}"),
        "/calls?state=all".to_owned(),
        "/console?state=all".to_owned(),
        "/metrics".to_owned(),
        "/console?find=%3Cscript%3Ealert(1)%3C/script%3EEVIL".to_owned(),
        "/console/calls/%3Cscript%3Ealert(1)%3C%2Fscript%3EEVIL".to_owned(),
        "/console?after=%22%3E%3Cscript%3Ealert(1)%3C/script%3EEVIL".to_owned(),
        "/console?find=WT%22onfocus=alert(1)".to_owned(),
    ] {
        let shown = text(&stage, &path).await;
        for trace in ["EVIL", "alert(1)", "5557654321", "{{7", "\u{1b}", name] {
            assert!(!shown.contains(trace), "{path} shows {trace}: {shown}");
        }
    }
    assert!(text(&stage, "/console?state=all").await.contains(&task), "the call itself is there");
    let facts = format!("{:?}", stage.facts(&task.parse().unwrap()).await.unwrap());
    assert!(facts.contains("EVIL"), "there was something to show: {facts}");
    stage.stop().await;
}

#[tokio::test]
async fn a_page_is_sent_again_when_it_changes_and_ends_with_the_service() {
    let stage = busy_stage("live_views = 1").await;
    let mut follow = answer(stage.service.admin(), Method::GET, "/console/live?state=live", &[]).await;
    assert_eq!(follow.headers()["content-type"], "text/event-stream");
    let mut heard = String::new();
    while !heard.contains("\n\n") {
        heard.push_str(&String::from_utf8_lossy(&follow.chunk().await.unwrap().unwrap()));
    }
    assert!(heard.starts_with("data: <dl"), "{heard}");
    assert_eq!(status(&stage, Method::GET, "/console/live", &[]).await, 503, "one view is all that there may be");
    let task = stage.sim.act(|world| world.customer_calls()).await;
    let new = format!("/console/calls/{task}");
    while !heard.contains(&new) {
        heard.push_str(&String::from_utf8_lossy(&follow.chunk().await.unwrap().unwrap()));
    }
    // The listener waits for answers under way: one that did not end would use up the whole grace.
    stage.stop().await;
    while let Ok(Some(_)) = follow.chunk().await {}
}
