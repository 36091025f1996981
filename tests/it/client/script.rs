//! A server that answers by a script, byte for byte, and keeps what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the server does after it has read a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Writes these bytes and keeps the connection.
    Bytes(Vec<u8>),
    /// Writes these bytes and closes.
    Last(Vec<u8>),
    /// Waits this long, then writes these bytes: latency.
    After(Duration, Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Says nothing more, and keeps the connection.
    Hang,
    /// Writes these bytes, then nothing more, and keeps the connection.
    HangAfter(Vec<u8>),
    /// Waits until the gate is open, then writes these bytes.
    Gated(watch::Receiver<bool>, Vec<u8>),
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method, target and version.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
    now: usize,
    most: usize,
}

/// The server; it ends with the runtime.
pub(crate) struct Script {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    count: watch::Receiver<usize>,
}

impl Script {
    /// Answers the first request with the first reply, and so on; a request too many is answered with 418.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Script {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { replies: replies.into_iter().collect(), ..State::default() }));
        let (tell, count) = watch::channel(0);
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared), tell.clone()));
            }
        });
        Script { address, state, count }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The only request.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap()
    }

    /// The most requests that were waiting for their answers at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state.lock().unwrap().most
    }

    /// Returns when this many requests have arrived.
    pub(crate) async fn wait_for(&self, requests: usize) {
        let mut count = self.count.clone();
        let arrived = count.wait_for(|count| *count >= requests);
        tokio::time::timeout(Duration::from_secs(10), arrived).await.expect("the requests arrive").unwrap();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, tell: watch::Sender<usize>) {
    while let Some(seen) = read_request(&mut stream).await {
        let reply = {
            let mut state = state.lock().unwrap();
            state.seen.push(seen);
            state.now += 1;
            state.most = state.most.max(state.now);
            state.replies.pop_front()
        };
        tell.send_modify(|count| *count += 1);
        let reply = reply.unwrap_or_else(|| Reply::Last(answer(418, &[], "")));
        let bytes = match reply {
            Reply::Bytes(bytes) => bytes,
            Reply::Last(bytes) => {
                stream.write_all(&bytes).await.ok();
                return;
            }
            Reply::After(latency, bytes) => {
                tokio::time::sleep(latency).await;
                bytes
            }
            Reply::Gated(mut gate, bytes) => {
                gate.wait_for(|open| *open).await.unwrap();
                bytes
            }
            Reply::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
            Reply::HangAfter(bytes) => {
                stream.write_all(&bytes).await.ok();
                std::future::pending().await
            }
            Reply::Hang => std::future::pending().await,
        };
        state.lock().unwrap().now -= 1;
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: BTreeMap<String, String> = lines
        .map(|header| header.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
    Some(Seen { line, headers, body })
}

/// A whole answer.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{text}\r\n{body}").into_bytes()
}
