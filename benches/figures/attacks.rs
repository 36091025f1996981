//! How long a client that signs waits while strangers attack.

use crate::events::{CallEvents, Rng};
use crate::server::{Server, leave_the_servers_core};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Events in each time that is measured, and the pause before each.
const EVENTS: usize = 500;
const PAUSE: Duration = Duration::from_millis(5);

/// Strangers who come again and again, each as soon as it is answered and has paused.
const REPEATERS: usize = 8;
const REPEATED: Duration = Duration::from_millis(10);

/// Strangers who stay.
const SLOW: usize = 1_000;
const IDLE: usize = 1_600;

enum Attack {
    /// As many connections that send this and stay.
    Stay(usize, Vec<u8>),
    /// This on a new connection, again and again.
    Repeat(Vec<u8>),
}

/// Signed events one at a time on a connection, with a durable commit each: quiet, then beside each attack, then quiet again.
pub(crate) fn beside_each() {
    leave_the_servers_core();
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite:{}", directory.path().join("journal.db").display());
    // Connections of one peer are not limited: strangers come from everywhere.
    let server = Server::product(&url, "http://127.0.0.1:9", &[]);
    let mut rng = Rng::new(1);
    println!("attacks: {EVENTS} signed events, one after another, while strangers do something");
    let quiet = good_client(server.public, &mut rng);
    print("quiet", &quiet, &quiet);
    for (name, attack) in attacks() {
        let attacked = under(server.public, attack, || good_client(server.public, &mut rng));
        print(name, &attacked, &quiet);
        let after = good_client(server.public, &mut rng);
        print("quiet", &after, &quiet);
    }
    println!("  {:<44} {:>6.1} MiB in RAM", "afterwards", server.resident_bytes() as f64 / 1024.0 / 1024.0);
}

fn attacks() -> Vec<(&'static str, Attack)> {
    let post = |bytes: usize, body: &[u8], more: &str| {
        let head = "POST /taskrouter/events HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        [format!("{head}{more}Content-Length: {bytes}\r\n\r\n").as_bytes(), body].concat()
    };
    let unfinished = vec![b'a'; 64 * 1024 - 1];
    let empty_pairs = b"=&".repeat(32 * 1024);
    let form = CallEvents::new(&mut Rng::new(2)).task("created", "pending");
    let forged = String::from_utf8(form).unwrap().replace("X-Twilio-Signature: ", "X-Twilio-Signature: A");
    vec![
        ("1,000 bodies that never end", Attack::Stay(SLOW, post(64 * 1024, &unfinished, ""))),
        ("1,600 connections that say nothing", Attack::Stay(IDLE, Vec::new())),
        ("malformed requests", Attack::Repeat(b"GET \x01 HTTP/9\r\n\r\n".to_vec())),
        (
            "forms of 64 KiB of empty parameters",
            Attack::Repeat(post(empty_pairs.len(), &empty_pairs, "X-Twilio-Signature: a\r\n")),
        ),
        ("forged signatures", Attack::Repeat(forged.into_bytes())),
    ]
}

fn print(name: &str, times: &[Duration], quiet: &[Duration]) {
    let ms = |times: &[Duration], part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
    let (p50, p99) = (ms(times, 50), ms(times, 99));
    println!("  {name:<44} p50 {p50:>7.2} p99 {p99:>7.2} ms  p99 to quiet {:.2}", p99 / ms(quiet, 99));
}

/// Runs `measured` while the attack goes on.
fn under<T>(server: SocketAddr, attack: Attack, measured: impl FnOnce() -> T) -> T {
    match attack {
        Attack::Stay(count, sent) => {
            let open: Vec<TcpStream> = (0..count)
                .map(|_| {
                    let mut socket = TcpStream::connect(server).unwrap();
                    // The server may have had enough of it.
                    let _ = socket.write_all(&sent);
                    socket
                })
                .collect();
            let result = measured();
            drop(open);
            result
        }
        Attack::Repeat(sent) => {
            let over = Arc::new(AtomicBool::new(false));
            let strangers: Vec<JoinHandle<()>> =
                (0..REPEATERS).map(|_| std::thread::spawn(repeater(server, sent.clone(), over.clone()))).collect();
            let result = measured();
            over.store(true, Ordering::Relaxed);
            for stranger in strangers {
                stranger.join().unwrap();
            }
            result
        }
    }
}

fn repeater(server: SocketAddr, sent: Vec<u8>, over: Arc<AtomicBool>) -> impl FnOnce() {
    move || {
        while !over.load(Ordering::Relaxed) {
            let mut socket = TcpStream::connect(server).unwrap();
            // A refusal may come before everything is sent, and a reset after it.
            let _ = socket.write_all(&sent).and_then(|()| socket.read(&mut [0; 1024]));
            std::thread::sleep(REPEATED);
        }
    }
}

/// Times of events, sorted.
fn good_client(server: SocketAddr, rng: &mut Rng) -> Vec<Duration> {
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut answer = [0; 1024];
    let mut times: Vec<Duration> = (0..EVENTS)
        .map(|_| {
            let request = CallEvents::new(rng).task("created", "pending");
            std::thread::sleep(PAUSE);
            let began = Instant::now();
            socket.write_all(&request).unwrap();
            let read = socket.read(&mut answer).unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer[..read]));
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}
