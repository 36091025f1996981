//! Traces, as a collector receives them.

use crate::program::Serving;
use crate::stories::{settle, stage_of, story};
use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use taskrouter_streams::call::fact::{Fact, FactKind};
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::{Mode, Target};

/// A collector, and what it was sent.
struct Collector {
    url: String,
    bodies: Arc<Mutex<Vec<web::Bytes>>>,
    server: actix_web::dev::ServerHandle,
}

impl Collector {
    fn start() -> Self {
        let bodies: Arc<Mutex<Vec<web::Bytes>>> = Arc::default();
        let kept = bodies.clone();
        let server = HttpServer::new(move || {
            let kept = kept.clone();
            App::new().route(
                "/v1/traces",
                web::post().to(move |body: web::Bytes| {
                    kept.lock().unwrap().push(body);
                    async { HttpResponse::Ok().finish() }
                }),
            )
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, bodies, server: handle }
    }

    async fn spans(self) -> Vec<Span> {
        self.server.stop(false).await;
        let bodies = self.bodies.lock().unwrap();
        let requests = bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.clone()).unwrap());
        let resources = requests.flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

async fn stage(traces: &str) -> Testbed {
    stage_of(&story("warm-transfer"), &format!("[traces]\n{traces}\n")).await
}

/// A warm transfer, with a restart in the middle; the facts of its call.
async fn warm_transfer(mut stage: Testbed) -> Vec<Fact> {
    let task = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    settle(&stage).await;
    stage.sim.act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
    stage = stage.restart().await.unwrap();
    settle(&stage).await;
    stage.sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
    settle(&stage).await;
    stage.sim.act(|world| world.leaves(&task, "alice")).await.unwrap();
    settle(&stage).await;
    let facts = stage.facts(&task).await.unwrap();
    stage.stop().await;
    facts
}

#[tokio::test]
async fn every_event_has_one_trace_to_its_last_step() {
    let collector = Collector::start();
    let facts = warm_transfer(stage(&format!("otlp_url = \"{}\"", collector.url)).await).await;
    let spans = collector.spans().await;
    let (roots, steps): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| span.parent_span_id.is_empty());
    let events =
        facts.iter().filter(|fact| fact.kind.task_view().is_some() || matches!(fact.kind, FactKind::Stream(_)));
    assert_eq!(roots.len(), events.count());
    let traces: BTreeSet<&[u8]> = roots.iter().map(|span| span.trace_id.as_slice()).collect();
    assert_eq!(traces.len(), roots.len(), "no two events share a trace");
    let settled = facts.iter().filter(|fact| matches!(fact.kind, FactKind::Settled(_))).count();
    assert_eq!(steps.len(), settled);
    let root_of: BTreeMap<&[u8], &Span> = roots.iter().map(|root| (root.trace_id.as_slice(), *root)).collect();
    for step in &steps {
        assert_eq!(step.parent_span_id, root_of[step.trace_id.as_slice()].span_id, "{step:?}");
        assert!(step.start_time_unix_nano <= step.end_time_unix_nano, "{step:?}");
    }
    let accepted: Vec<_> = roots.iter().filter(|root| root.name == "reservation.accepted").collect();
    assert_eq!(accepted.len(), 2);
    let creates = steps.iter().filter(|step| step.name == "create stream");
    let of_accepts = creates.filter(|step| accepted.iter().any(|root| root.trace_id == step.trace_id));
    assert_eq!(of_accepts.count(), 2, "each agent's stream starts in the trace of the accept");
    let distinct: BTreeSet<&[u8]> = spans.iter().map(|span| span.span_id.as_slice()).collect();
    assert_eq!(distinct.len(), spans.len(), "no two spans share an id, also not across the restart");
}

#[tokio::test]
async fn nothing_but_sids_and_our_own_words_is_in_a_trace() {
    let collector = Collector::start();
    warm_transfer(stage(&format!("otlp_url = \"{}\"", collector.url)).await).await;
    let keys: BTreeSet<String> = collector
        .spans()
        .await
        .into_iter()
        .flat_map(|span| span.attributes)
        .map(|attribute| {
            let value = attribute.value.and_then(|value| value.value);
            assert!(matches!(value, Some(Value::StringValue(text)) if !text.contains('+') && !text.contains("wss:")));
            attribute.key
        })
        .collect();
    let known = [
        "taskrouter_streams.outcome",
        "taskrouter_streams.step",
        "taskrouter_streams.why",
        "twilio.request_id",
        "twilio.task_sid",
    ];
    assert_eq!(keys.iter().map(String::as_str).collect::<Vec<_>>(), known);
}

#[tokio::test]
async fn a_collector_that_is_away_is_waited_for_by_no_call() {
    // Nobody listens on the discard port.
    let away = "otlp_url = \"http://127.0.0.1:9/v1/traces\"\nexport_every_ms = 10\ntimeout_ms = 100";
    let stage = stage(away).await;
    let admin = format!("http://{}", stage.service.admin());
    let task = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    settle(&stage).await;
    assert_eq!(stage.sim.world(|world| world.snapshot(&task)).unwrap().streams, ["alice"]);
    loop {
        let metrics = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
        if metrics
            .lines()
            .any(|line| line.contains("task=\"traces\"") && line.contains("failed") && !line.ends_with(" 0"))
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_takes_nothing_of_the_journals_time_to_close() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("journal.db");
    let settings = [("TRS__TRACES__OTLP_URL", url.as_str()), ("TRS__SHUTDOWN__GRACE_MS", "1000")];
    let serving = Serving::start_with(&format!("sqlite:{}", file.display()), "http://127.0.0.1:9", &settings);
    assert!(serving.replay("fixtures/taskrouter").status.success());
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    // One that was closed has folded its write-ahead log.
    assert!(file.exists() && !directory.path().join("journal.db-wal").exists());
}

#[tokio::test]
async fn what_is_more_than_may_wait_for_the_collector_is_dropped_and_counted() {
    let collector = Collector::start();
    let few = format!("otlp_url = \"{}\"\nexport_every_ms = 3600000\nqueue_limit = 3", collector.url);
    let stage = stage(&few).await;
    let admin = format!("http://{}", stage.service.admin());
    let task = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    settle(&stage).await;
    assert_eq!(stage.sim.world(|world| world.snapshot(&task)).unwrap().streams, ["alice"]);
    let metrics = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("taskrouter_streams_trace_spans_dropped_total "));
    let dropped: usize = dropped.unwrap().parse().unwrap();
    let facts = stage.facts(&task).await.unwrap();
    stage.stop().await;
    let untraced = |fact: &&Fact| matches!(fact.kind, FactKind::Begun(_) | FactKind::Noticed(_));
    let untraced = facts.iter().filter(untraced).count();
    assert_eq!(collector.spans().await.len() + dropped, facts.len() - untraced);
    assert!(dropped > 0, "of what goes on in a call more than three wait within an hour");
}
