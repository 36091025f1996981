//! How long it takes from an agent's accept, as an event on the wire, to the first byte of the request that it leads to.

use crate::events::{CallEvents, Rng};
use crate::server::Server;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CALLS: usize = 200;

/// Longer than any request is on its way.
const PATIENCE: Duration = Duration::from_secs(10);

/// An agent takes longer to answer, and the service less to be done with what it was told: the metrics that tell are up to a second old.
const REACTION: Duration = Duration::from_millis(20);

/// One call after the other by the default strategy, without a check; beside the commits on the way.
pub(crate) fn from_accept_to_request(postgres: Option<&str>) {
    let directory = TempDir::new().unwrap();
    let sqlite = format!("sqlite:{}", directory.path().join("journal.db").display());
    for (name, url) in [("SQLite", Some(sqlite.as_str())), ("PostgreSQL", postgres)] {
        if let Some(url) = url {
            measure(name, url);
        }
    }
}

fn measure(name: &str, url: &str) {
    let (arrived, arrivals) = channel();
    let twilio = twilio(arrived);
    let server = Server::product(url, &twilio, &[("TRS__STREAMS__VERIFY_SAMPLE", "0")]);
    let mut stream = TcpStream::connect(server.public).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut rng, mut times) = (Rng::new(7), Vec::with_capacity(CALLS));
    let mut on_the_way = (0.0, 0.0);
    for _ in 0..CALLS {
        let reservation = format!("WR{}", rng.digits());
        let mut call = CallEvents::new(&mut rng);
        post(&mut stream, &call.task("created", "pending"));
        post(&mut stream, &call.reservation("created", "reserved", &reservation));
        wait();
        let accepted = call.reservation("accepted", "assigned", &reservation);
        let before = commits(&server);
        let began = Instant::now();
        stream.write_all(&accepted).unwrap();
        let first = first_of(&arrivals, &call.customer);
        times.push(first - began);
        taken(&mut stream);
        wait();
        let after = commits(&server);
        on_the_way = (on_the_way.0 + after.0 - before.0, on_the_way.1 + after.1 - before.1);
    }
    times.sort_unstable();
    let ms = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
    println!(
        "accept → first byte of the request, {name}: median {:.2} ms, 99th percentile {:.2} ms; a commit takes {:.2} ms in the mean, {:.1} commits of facts for the whole change",
        ms(50),
        ms(99),
        on_the_way.1 / on_the_way.0 * 1e3,
        on_the_way.0 / CALLS as f64
    );
}

/// Busily, so that this core need not be woken before it can take the time.
fn wait() {
    let began = Instant::now();
    while began.elapsed() < REACTION {
        std::hint::spin_loop();
    }
}

/// How many there were, and how many seconds they took.
fn commits(server: &Server) -> (f64, f64) {
    (server.metric("journal_commit_seconds_count"), server.metric("journal_commit_seconds_sum"))
}

fn post(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    taken(stream);
}

fn taken(stream: &mut TcpStream) {
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 204"));
}

/// When the first request about the customer's call arrived.
fn first_of(arrivals: &Receiver<(Instant, String)>, customer: &str) -> Instant {
    loop {
        let (at, request) = arrivals.recv_timeout(PATIENCE).unwrap();
        if request.contains(customer) {
            return at;
        }
    }
}

/// Takes every request for a stream that is created, and tells when it arrived.
fn twilio(arrived: Sender<(Instant, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, arrived) = (stream.unwrap(), arrived.clone());
            std::thread::spawn(move || {
                let mut request = [0; 16 * 1024];
                loop {
                    let Ok(read @ 1..) = stream.read(&mut request) else { return };
                    // Nobody listens any more at the end.
                    let _ = arrived.send((Instant::now(), String::from_utf8_lossy(&request[..read]).into_owned()));
                    let body = "{\"sid\":\"MZ00000000000000000000000000000001\",\"status\":\"in-progress\"}";
                    let answer = format!(
                        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}
