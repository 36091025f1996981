//! How many events a second are taken.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use taskrouter_streams::twilio::signature;
use twilio_simulator::SimConfig;
use twilio_simulator::testbed::Testbed;

const CONNECTIONS: usize = 32;
const SPAN: Duration = Duration::from_secs(3);

/// `POST /taskrouter/events` with a durable commit in each store, beside a bare 204 of the same server library; one server
/// thread each, in turns.
pub(crate) async fn rates(postgres: Option<&str>) {
    let extra = "[server]\nthreads = 1\n";
    let sqlite = Testbed::start(SimConfig::default(), extra).await.unwrap();
    let other = match postgres {
        Some(url) => Some(Testbed::start_on(url, SimConfig::default(), extra).await.unwrap()),
        None => None,
    };
    let mut doors = vec![("bare 204", bare_server()), ("SQLite", sqlite.service.public())];
    doors.extend(other.as_ref().map(|stage| ("PostgreSQL", stage.service.public())));
    println!("ingest, {CONNECTIONS} connections, one server thread, {} s each, in turns", SPAN.as_secs());
    for round in 0..3 {
        let mut bare_rate = 0.0;
        for (place, (name, door)) in doors.iter().copied().enumerate() {
            let run = round * doors.len() + place;
            let (rate, p99) = tokio::task::spawn_blocking(move || load(door, run)).await.unwrap();
            if place == 0 {
                bare_rate = rate;
            }
            println!("  {name:<10} {rate:>8.0}/s  p99 {p99:>6.2} ms  ratio {:.2}", rate / bare_rate);
            // What was ingested is worked off ahead of the next round.
            for stage in [Some(&sqlite), other.as_ref()].into_iter().flatten() {
                while stage.service.journal().backlog().await.unwrap().active > 0 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
    sqlite.stop().await;
    if let Some(stage) = other {
        stage.stop().await;
    }
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
