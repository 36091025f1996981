//! The figures that the README and the closing notes report, each beside a baseline measured in the same run: `make bench`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops when it cannot go on")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use taskrouter_streams::cli::stage::Stage;
use taskrouter_streams::sim::Behaviour;
use taskrouter_streams::sim::world::{Mode, OpName, Target};
use taskrouter_streams::twilio::signature;

const ROUNDS: usize = 15;
const LATENCY_MS: u64 = 80;
const LAG_MS: i64 = 100;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        change_latency().await;
        ingest().await;
    });
}

/// Accept → redirect request received, and requests per change, at the latency and lag of the issue.
async fn change_latency() {
    let (mut first, mut transferee, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..ROUNDS {
        let behaviour =
            Behaviour { seed: seed as u64, latency_ms: LATENCY_MS, guard_lag_ms: LAG_MS, ..Behaviour::default() };
        let stage = Stage::set(behaviour, "").await.unwrap();
        let task = stage.sim.customer_calls().await;
        stage.sim.accepts(&task, "alice").await.unwrap();
        stage.at_rest().await.unwrap();
        let after_first = stage.sim.requests().len();
        stage.sim.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm).await.unwrap();
        stage.at_rest().await.unwrap();
        // Longer than a reading stays fresh: the transferee takes a while to accept.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let before_second = stage.sim.requests().len();
        stage.sim.accepts(&task, "bob").await.unwrap();
        stage.at_rest().await.unwrap();

        let accepts: Vec<i64> = stage
            .sim
            .deliveries()
            .iter()
            .filter(|delivery| delivery.event_type == "reservation.accepted")
            .map(|delivery| delivery.at)
            .collect();
        let redirects: Vec<i64> = stage
            .sim
            .requests()
            .iter()
            .filter(|request| request.op == Some(OpName::RedirectCall))
            .map(|request| request.received_at)
            .collect();
        first.push(redirects[0] - accepts[0]);
        transferee.push(redirects[1] - accepts[1]);
        requests.push((after_first, before_second - after_first, stage.sim.requests().len() - before_second));
        assert!(stage.sim.violations().is_empty());
        stage.clear().await;
    }
    first.sort_unstable();
    transferee.sort_unstable();
    requests.sort_unstable();
    let (a, ahead, b) = requests[ROUNDS / 2];
    println!(
        "latency {LATENCY_MS} ms, read-back lag {LAG_MS} ms, median of {ROUNDS} (the original example: 3 round trips + 200 ms = 440 ms at best)"
    );
    println!("  accept → redirect request, first agent:           {} ms", first[ROUNDS / 2]);
    println!("  accept → redirect request, guard lowered ahead:   {} ms", transferee[ROUNDS / 2]);
    println!("  requests: first agent {a}, guard ahead {ahead}, transferee {b}");
}

const CONNECTIONS: usize = 32;
const SPAN: Duration = Duration::from_secs(3);

/// `POST /taskrouter/events` with a durable commit, beside a bare 204 of the same server library, one server thread each.
async fn ingest() {
    let stage = Stage::set(Behaviour::default(), "[server]\nthreads = 1\n").await.unwrap();
    let bare = bare_server();
    let door = stage.service.public();
    println!("ingest, {CONNECTIONS} connections, one server thread, {} s each, three rounds", SPAN.as_secs());
    for round in 0..3 {
        let (bare_rate, bare_p99) = tokio::task::spawn_blocking(move || load(bare, round)).await.unwrap();
        let (rate, p99) = tokio::task::spawn_blocking(move || load(door, round)).await.unwrap();
        println!(
            "  bare 204: {bare_rate:>8.0}/s p99 {bare_p99:>6.2} ms   durable: {rate:>8.0}/s p99 {p99:>6.2} ms   ratio {:.2}",
            rate / bare_rate
        );
    }
    stage.clear().await;
}

fn bare_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = actix_web::HttpServer::new(|| {
        actix_web::App::new().route(
            "/taskrouter/events",
            actix_web::web::post()
                .to(|_body: actix_web::web::Bytes| async { actix_web::HttpResponse::NoContent().finish() }),
        )
    });
    tokio::spawn(server.workers(1).disable_signals().listen(listener).unwrap().run());
    address
}

/// Requests per second, and the 99th percentile in ms.
fn load(address: SocketAddr, round: usize) -> (f64, f64) {
    let began = Instant::now();
    let threads: Vec<_> =
        (0..CONNECTIONS).map(|number| std::thread::spawn(move || client(address, round, number))).collect();
    let mut latencies: Vec<Duration> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    latencies.sort_unstable();
    let rate = latencies.len() as f64 / began.elapsed().as_secs_f64();
    (rate, latencies[latencies.len() * 99 / 100].as_secs_f64() * 1_000.0)
}

fn client(address: SocketAddr, round: usize, number: usize) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut latencies, mut answer) = (Vec::new(), [0; 1024]);
    let until = Instant::now() + SPAN;
    while Instant::now() < until {
        let request = request(round, number, latencies.len());
        let began = Instant::now();
        stream.write_all(&request).unwrap();
        let read = stream.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer[..read]));
        latencies.push(began.elapsed());
    }
    latencies
}

/// A signed `task.created` of a task of its own, so that every one is stored.
fn request(round: usize, number: usize, sequence: usize) -> Vec<u8> {
    let digits = format!("{round:02x}{number:04x}{sequence:026x}");
    let pairs = [
        ("EventType", "task.created".to_owned()),
        ("AccountSid", "ACde300000000000000000000000000001".to_owned()),
        ("WorkspaceSid", "WSde300000000000000000000000000002".to_owned()),
        ("Sid", format!("EV{digits}")),
        ("Timestamp", "1764000000".to_owned()),
        ("TimestampMs", "1764000000000".to_owned()),
        ("ResourceType", "task".to_owned()),
        ("ResourceSid", format!("WT{digits}")),
        ("TaskSid", format!("WT{digits}")),
        (
            "TaskAttributes",
            format!("{{\"direction\":\"inbound\",\"call_sid\":\"CA{digits}\",\"from\":\"+15550100101\"}}"),
        ),
        ("TaskAssignmentStatus", "canceled".to_owned()),
        ("TaskVersion", "0".to_owned()),
        ("TaskChannelUniqueName", "voice".to_owned()),
        ("TaskQueueName", "Everyone".to_owned()),
        ("WorkflowName", "Assign to Anyone".to_owned()),
    ];
    let signature = signature::sign("https://streams.example.com/taskrouter/events", &pairs, "the-token-of-the-demo");
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
    format!(
        "POST /taskrouter/events HTTP/1.1\r\nHost: h\r\nX-Twilio-Signature: {signature}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
