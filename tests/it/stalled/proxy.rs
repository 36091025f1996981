//! What stands between a process and Twilio: it can hold the connection of the very command.

use crate::queue::Queue;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Where the process that is about to send a command is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It asks for a connection and gets none.
    Connecting,
    /// Its connection is made while it is stopped.
    Connected,
    /// The command is carried out, and its answer comes while the process is stopped. To hold the command itself any longer
    /// than a request may take would be to carry it out later than any client can know.
    Sent,
}

/// How far the trap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trap {
    Unset,
    Set(Phase),
    /// A process is about to be caught.
    Closing,
    /// The process of the proxy with this number is in its phase.
    Caught(usize),
    /// An answer may go on its way.
    Stopped,
}

/// What belongs to all proxies of one database.
pub(crate) struct Traps {
    /// Whether the command to wait for is a redirect, else a stream's creation.
    redirects: bool,
    pub(crate) trap: watch::Sender<Trap>,
    lowered: AtomicBool,
}

impl Traps {
    pub(crate) fn new(redirects: bool) -> Self {
        Self { redirects, trap: watch::Sender::new(Trap::Unset), lowered: AtomicBool::new(false) }
    }

    /// For the next command.
    pub(crate) fn set(&self, phase: Phase) {
        self.lowered.store(false, Ordering::SeqCst);
        self.trap.send_replace(Trap::Set(phase));
    }

    /// True once: for whoever comes first in one of these phases.
    fn closes(&self, phases: &[Phase], to: Trap) -> bool {
        self.trap.send_if_modified(|trap| {
            let fits = matches!(trap, Trap::Set(phase) if phases.contains(phase));
            if fits {
                *trap = to;
            }
            fits
        })
    }

    fn is_the_command(&self, request: &Message) -> bool {
        let path = request.line.strip_prefix("POST ").and_then(|rest| rest.split(' ').next());
        path.is_some_and(|path| match self.redirects {
            true => path.contains("/Calls/") && path.matches('/').count() == 5,
            false => path.ends_with("/Streams.json"),
        })
    }

    /// Whether the command comes next: the reading that it relies on.
    fn comes_before_the_command(&self, request: &Message) -> bool {
        if request.line.starts_with("POST ") && request.body().contains("EndConferenceOnExit=false") {
            self.lowered.store(true, Ordering::SeqCst);
        }
        let reads = request.line.starts_with("GET ") && request.line.contains("/Participants");
        reads && (!self.redirects || self.lowered.load(Ordering::SeqCst))
    }
}

/// One process's way to Twilio. Every request has a connection of its own.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) queue: Queue,
    accepted: Arc<AtomicUsize>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start(number: usize, server: &str, traps: &Arc<Traps>) -> Self {
        let (accepted, commands) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (handle, ready) = (Arc::new(Mutex::new(None::<Proxy>)), accepted.clone());
        let server = server.trim_start_matches("http://").to_owned();
        let queue = Queue::start({
            let (handle, traps) = (handle.clone(), traps.clone());
            move |client| {
                ready.fetch_add(1, Ordering::SeqCst);
                let proxy = handle.lock().unwrap().clone().unwrap();
                tokio::spawn(proxy.carry(number, client, server.clone(), traps.clone()));
            }
        });
        let proxy = Self { queue, accepted, commands };
        *handle.lock().unwrap() = Some(proxy.clone());
        proxy
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The request lines of everything that was more than a reading, and arrived whole.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }

    async fn carry(self, number: usize, mut client: TcpStream, server: String, traps: Arc<Traps>) -> Option<()> {
        let request = Message::read(&mut client).await?;
        if request.line.starts_with("POST ") {
            self.commands.lock().unwrap().push(request.line.clone());
        }
        let mut twilio = TcpStream::connect(server).await.ok()?;
        twilio.write_all(&request.bytes).await.ok()?;
        let answer = Message::read(&mut twilio).await?;
        if traps.is_the_command(&request) && traps.closes(&[Phase::Sent], Trap::Caught(number)) {
            traps.trap.subscribe().wait_for(|trap| *trap == Trap::Stopped).await.ok()?;
        }
        let next = traps.comes_before_the_command(&request);
        if next && traps.closes(&[Phase::Connecting, Phase::Connected], Trap::Closing) {
            self.queue.fill().await;
            traps.trap.send_replace(Trap::Caught(number));
        }
        let (head, rest) = answer.bytes.split_at(answer.line.len() + 2);
        client.write_all(&[head, b"Connection: close\r\n", rest].concat()).await.ok()
    }
}

/// A request or an answer, whole.
struct Message {
    line: String,
    bytes: Vec<u8>,
    head: usize,
}

impl Message {
    async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while bytes.len() < head + length {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        let line = String::from_utf8_lossy(&bytes[..head]).lines().next()?.to_owned();
        Some(Self { line, bytes, head })
    }

    fn body(&self) -> String {
        String::from_utf8_lossy(&self.bytes[self.head..]).into_owned()
    }
}
