//! How many events a second are taken.

use crate::events::{CallEvents, Rng};
use crate::server::{Server, leave_the_servers_core};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpStream;

const CONNECTIONS: [usize; 2] = [32, 128];
const ROUNDS: usize = 3;
const SPAN: Duration = Duration::from_secs(3);

/// More than any server here takes in the span.
const EVENTS: usize = 150_000;

/// `POST /taskrouter/events` with a durable commit in each store, beside a bare 204 of the same server library, and beside Fastify,
/// which checks the signature and keeps nothing: each server on one core, the load on another, in turns. Every event is the first of a
/// call, with random SIDs.
pub(crate) fn rates(postgres: Option<&str>) {
    let directory = TempDir::new().unwrap();
    let sqlite = format!("sqlite:{}", directory.path().join("journal.db").display());
    let mut servers = vec![("bare 204", Server::bare())];
    match Server::fastify() {
        Some(fastify) => servers.push(("Fastify", fastify)),
        None => println!("Fastify is not installed: its figures are left out"),
    }
    servers.push(("SQLite", product(&sqlite)));
    servers.extend(postgres.map(|url| ("PostgreSQL", product(url))));
    let mut rng = Rng::new(1);
    for connections in CONNECTIONS {
        println!("ingest, {connections} connections, one server core, {} s each, in turns", SPAN.as_secs());
        for _ in 0..ROUNDS {
            let mut bare = None;
            for (name, server) in &servers {
                let requests: Vec<Vec<u8>> =
                    (0..EVENTS).map(|_| CallEvents::new(&mut rng).task("created", "pending")).collect();
                let (address, before) = (server.public, server.cpu());
                let load = std::thread::spawn(move || load(address, connections, requests)).join().unwrap();
                let cpu_us = (server.cpu() - before).as_secs_f64() * 1e6 / load.answered;
                let (rate, cpu) = *bare.get_or_insert((load.rate, cpu_us));
                println!(
                    "  {name:<10} {:>8.0}/s  p50 {:>6.2} p99 {:>6.2} ms  CPU {cpu_us:>5.1} µs  ratio {:.3}, by CPU {:.3}",
                    load.rate,
                    load.p50_ms,
                    load.p99_ms,
                    load.rate / rate,
                    cpu / cpu_us
                );
                if server.admin.is_some() {
                    server.works_off();
                }
            }
        }
    }
}

fn product(journal_url: &str) -> Server {
    Server::product(journal_url, "http://127.0.0.1:9", &[("TRS__JOURNAL__QUEUE_LIMIT", "4096")])
}

struct Load {
    answered: f64,
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// As many requests as are answered in the span, each connection one at a time.
fn load(address: SocketAddr, connections: usize, requests: Vec<Vec<u8>>) -> Load {
    leave_the_servers_core();
    let (requests, times) = (Rc::new(RefCell::new(requests)), Rc::new(RefCell::new(Vec::with_capacity(EVENTS))));
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let clients: Vec<_> = (0..connections)
            .map(|_| tokio::task::spawn_local(client(address, began + SPAN, requests.clone(), times.clone())))
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
    let took = began.elapsed().as_secs_f64();
    let mut times = times.take();
    times.sort_unstable();
    let ms = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
    let answered = times.len() as f64;
    Load { answered, rate: answered / took, p50_ms: ms(50), p99_ms: ms(99) }
}

async fn client(
    address: SocketAddr,
    until: Instant,
    requests: Rc<RefCell<Vec<Vec<u8>>>>,
    times: Rc<RefCell<Vec<Duration>>>,
) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = [0; 1024];
    while Instant::now() < until {
        let Some(request) = requests.borrow_mut().pop() else { return };
        let began = Instant::now();
        // A request fits into the socket's buffer.
        assert_eq!(stream.try_write(&request).unwrap(), request.len());
        let read = loop {
            stream.readable().await.unwrap();
            match stream.try_read(&mut answer) {
                Ok(read) => break read,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        };
        assert!(answer[..read].starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer[..read]));
        times.borrow_mut().push(began.elapsed());
    }
}
