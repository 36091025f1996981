//! The metrics of a service that has been told a story.

use crate::stories::patient;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use taskrouter_streams::telemetry::metrics::PREFIX;
use twilio_simulator::scenario::{self, Scenario};
use twilio_simulator::testbed::{ACCOUNT, Testbed};

/// Every sample, by name and labels.
pub(crate) type Samples = BTreeMap<String, f64>;

pub(crate) fn samples(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

pub(crate) async fn get(stage: &Testbed, path: &str) -> reqwest::Response {
    reqwest::get(format!("http://{}{path}", stage.service.admin())).await.unwrap()
}

pub(crate) async fn rendered(stage: &Testbed) -> String {
    get(stage, "/metrics").await.text().await.unwrap()
}

pub(crate) fn named(name: &str) -> String {
    format!("{PREFIX}_{name}")
}

/// A series of the account that the simulated Twilio has, which is the label that comes last.
pub(crate) fn owned(name: &str) -> String {
    let separator = if name.contains('{') { "," } else { "{" };
    format!("{}{separator}account=\"{ACCOUNT}\"}}", named(name.trim_end_matches('}')))
}

/// Waits until the metrics are as `wanted` says.
pub(crate) async fn until(stage: &Testbed, wanted: impl Fn(&Samples) -> bool) -> Samples {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = rendered(stage).await;
        let samples = samples(&text);
        if wanted(&samples) {
            return samples;
        }
        assert!(Instant::now() < deadline, "not as wanted:\n{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn story(steps: &[&str]) -> Scenario {
    scenario::read(&format!("name = \"told\"\ntitle = \"Told\"\nsteps = {steps:?}")).unwrap()
}

async fn stage() -> Testbed {
    let extra = "[server]\nthreads = 1\n[admin]\nstream_gauges_ms = 100\n[streams]\nstrategy = \"redirect\"";
    Testbed::start(patient(), extra).await.unwrap()
}

#[tokio::test]
async fn a_warm_transfer_is_counted_event_by_event_and_step_by_step() {
    let stage = stage().await;
    let outcome = stage.run(&super::stories::story("warm-transfer")).await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    let samples = samples(&rendered(&stage).await);
    let get = |name: String| samples.get(&name).copied().unwrap_or_else(|| panic!("{name} is missing in {samples:#?}"));
    let (value, of_account) = (|name: &str| get(named(name)), |name: &str| get(owned(name)));
    for (event, count) in [("reservation.accepted", 2.0), ("task.transfer-initiated", 1.0), ("reservation.wrapup", 2.0)]
    {
        assert_eq!(of_account(&format!("events_total{{type=\"{event}\",verdict=\"new\"}}")), count, "{event}");
    }
    for (path, of_streams) in [("/taskrouter/events", false), ("/streams/status", true)] {
        let deliveries = stage.sim.deliveries();
        let posted = deliveries.iter().filter(|delivery| delivery.event_type.starts_with("stream-") == of_streams);
        let posted = posted.count() as f64;
        assert_eq!(value(&format!("answers_total{{path=\"{path}\",status=\"2xx\"}}")), posted, "{path}");
        assert_eq!(value(&format!("answer_seconds_count{{path=\"{path}\"}}")), posted, "{path}");
    }
    assert_eq!(
        (of_account("streams_started_total"), value("streams_stopped_total")),
        (2.0, 1.0),
        "the second ends with its call"
    );
    assert_eq!(value("stream_start_delay_seconds_count"), 2.0);
    let redirects = stage.sim.world(|world| world.report(&outcome.tasks[0])).unwrap().redirects;
    assert_eq!(value("steps_total{operation=\"redirect\",outcome=\"done\"}"), f64::from(redirects));
    assert_eq!(of_account("twilio_requests_total{operation=\"redirect\",status=\"2xx\"}"), f64::from(redirects));
    assert_eq!(value("compensations_total{change=\"hold_again\"}"), 2.0, "after the guard, and after the redirect");
    assert!(value("settle_delay_seconds_count") >= f64::from(redirects));
    assert!(value("journal_commit_seconds_count") > 0.0);
    assert!(value("journal_commit_writes_sum") >= value("journal_commit_writes_count"));
    assert!(value("event_delay_seconds_count") > 0.0);
    assert_eq!(value("calls{state=\"live\"}"), 0.0);
    for task in ["answers", "dispatcher", "janitor", "stream_gauges"] {
        assert!(value(&format!("background_rounds_total{{task=\"{task}\",outcome=\"done\"}}")) > 0.0, "{task}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn what_runs_is_counted_also_after_a_restart() {
    let stage = stage().await;
    let told = stage.run(&story(&["customer calls", "alice accepts", "settle", "expect stream alice"])).await;
    assert_eq!(told.failures, Vec::<String>::new());
    let stage = stage.restart().await.unwrap();
    let samples = until(&stage, |samples| {
        samples.get(&named("streams_live")) == Some(&1.0) && samples.get(&named("stream_seconds_total")) > Some(&0.1)
    })
    .await;
    assert_eq!(samples.get(&named("streams_orphaned")), Some(&0.0));
    assert_eq!(samples.get(&owned("streams_started_total")), Some(&0.0), "counted before the restart");
    assert_eq!(samples.get(&named("calls{state=\"live\"}")), Some(&1.0));
    stage.stop().await;
}

#[tokio::test]
async fn a_change_that_is_given_up_and_its_tries_are_counted() {
    let extra = "[server]\nthreads = 1\n[retry]\nfirst_ms = 1\ncap_ms = 5\ngive_up_ms = 2000";
    let stage = Testbed::start(patient(), extra).await.unwrap();
    let refused: Vec<&str> = std::iter::repeat_n("the next create stream is answered 503", 2_000).collect();
    let steps = [&["customer calls"][..], &refused, &["alice accepts", "settle"]].concat();
    stage.run(&story(&steps)).await;
    let samples = samples(&rendered(&stage).await);
    assert_eq!(samples.get(&owned("parked_total{change=\"start\"}")), Some(&1.0));
    assert_eq!(samples.get(&named("calls{state=\"parked\"}")), Some(&1.0));
    assert!(samples.get(&named("retries_total{operation=\"create stream\"}")) > Some(&0.0), "{samples:#?}");
    assert!(samples.get(&named("steps_total{operation=\"create stream\",outcome=\"unknown\"}")) > Some(&0.0));
    assert!(samples.get(&owned("twilio_requests_total{operation=\"create stream\",status=\"503\"}")) > Some(&0.0));
    stage.stop().await;
}

#[tokio::test]
async fn the_text_is_what_prometheus_reads_and_every_name_is_ours() {
    let stage = stage().await;
    let answer = get(&stage, "/metrics").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.unwrap();
    for line in text.lines() {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        assert!(name.starts_with(&format!("{PREFIX}_")), "{line}");
    }
    let build = format!("build_info{{version=\"{}\",commit=\"unknown\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(samples(&text).get(&named(&build)), Some(&1.0), "{text}");
    stage.stop().await;
}

#[tokio::test]
async fn nothing_that_strangers_send_becomes_a_label() {
    let stage = stage().await;
    let hostile = "/taskrouter/%22%7Devil%0Ainjected_total%201";
    for method in [reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::from_bytes(b"EVIL").unwrap()] {
        let url = format!("http://{}{hostile}", stage.service.public());
        reqwest::Client::new().request(method, url).body("EventType=evil\"}\nx 1").send().await.unwrap();
    }
    let text = rendered(&stage).await;
    assert!(!text.to_lowercase().contains("evil") && !text.contains("injected"), "{text}");
    assert_eq!(samples(&text).get(&named("answers_total{path=\"other\",status=\"404\"}")), Some(&3.0));
    stage.stop().await;
}

#[tokio::test]
async fn health_says_which_build_this_is() {
    let stage = stage().await;
    let answer = get(&stage, "/health").await;
    assert_eq!(answer.status(), 200);
    let health: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(
        health,
        serde_json::json!({"status": "ready", "version": env!("CARGO_PKG_VERSION"), "commit": "unknown"})
    );
    stage.stop().await;
}
