//! Two things that stand between a worker and its database: a network that fails, and a pooler that gives each transaction
//! another of its connections, as PgBouncer does in transaction mode.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// What the network does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    Works,
    /// Connections break, new ones break at once.
    Broken,
    /// Connections stay, and nothing passes.
    Silent,
}

/// A port that leads to another, as long as it is told to.
pub(super) struct Line {
    pub(super) port: u16,
    network: watch::Sender<Network>,
    leads_to: Arc<AtomicU16>,
}

impl Line {
    pub(super) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, watching) = watch::channel(Network::Works);
        let leads_to = Arc::new(AtomicU16::new(port));
        let target = leads_to.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(client, target.load(Ordering::Relaxed), watching.clone()));
            }
        });
        Self { port: address.port(), network, leads_to }
    }

    /// New connections go to another port; those that there are stay.
    pub(super) fn lead_to(&self, port: u16) {
        self.leads_to.store(port, Ordering::Relaxed);
    }

    pub(super) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn carry(mut client: TcpStream, port: u16, mut network: watch::Receiver<Network>) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    loop {
        let now = *network.borrow_and_update();
        tokio::select! {
            ended = tokio::io::copy_bidirectional(&mut client, &mut server), if now == Network::Works => {
                drop(ended);
                return;
            }
            changed = network.changed() => if changed.is_err() { return },
            () = std::future::ready(()), if now == Network::Broken => return,
        }
    }
}

/// Connections to the server. One stays idle always, so that what a session had before is not what it gets next.
struct Backends {
    idle: Mutex<VecDeque<TcpStream>>,
    free: Semaphore,
}

const BACKENDS: usize = 3;

/// A pooler of transactions over a few connections. It gives every transaction the connection that was idle for longest, which
/// is never the one that the session had before.
pub(super) async fn pooler(port: u16, database: &str) -> u16 {
    let mut idle = VecDeque::new();
    for _ in 0..BACKENDS {
        idle.push_back(log_in(port, database).await);
    }
    let backends = Arc::new(Backends { idle: Mutex::new(idle), free: Semaphore::new(BACKENDS - 1) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(session(client, backends.clone()));
        }
    });
    address.port()
}

/// One message of the protocol: its type and body.
async fn message(from: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let kind = from.read_u8().await?;
    let length = usize::try_from(from.read_u32().await?).unwrap();
    let mut body = vec![0; length - 4];
    from.read_exact(&mut body).await?;
    Ok((kind, body))
}

async fn send(to: &mut TcpStream, kind: u8, body: &[u8]) -> std::io::Result<()> {
    let mut bytes = vec![kind];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    to.write_all(&bytes).await
}

async fn log_in(port: u16, database: &str) -> TcpStream {
    let mut backend = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // Each message is sent by itself, and would wait until the one before is confirmed.
    backend.set_nodelay(true).unwrap();
    let startup = format!("\0\u{3}\0\0user\0postgres\0database\0{database}\0\0");
    let mut bytes = u32::try_from(startup.len() + 4).unwrap().to_be_bytes().to_vec();
    bytes.extend(startup.as_bytes());
    backend.write_all(&bytes).await.unwrap();
    while message(&mut backend).await.unwrap().0 != b'Z' {}
    backend
}

async fn session(mut client: TcpStream, backends: Arc<Backends>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let length = usize::try_from(client.read_u32().await?).unwrap();
    let mut startup = vec![0; length - 4];
    client.read_exact(&mut startup).await?;
    // PgBouncer refuses what it does not know of, unless it is told to ignore it.
    let startup = String::from_utf8_lossy(&startup).into_owned();
    assert!(!startup.contains("extra_float_digits") && !startup.contains("statement_timeout"), "{startup}");
    send(&mut client, b'R', &0_u32.to_be_bytes()).await?;
    send(&mut client, b'K', &[0; 8]).await?;
    send(&mut client, b'Z', b"I").await?;
    loop {
        // A transaction begins with what comes first; everything up to the next idle state belongs to it.
        let mut next = message(&mut client).await?;
        if next.0 == b'X' {
            return Ok(());
        }
        let _free = backends.free.acquire().await.unwrap();
        let mut backend = backends.idle.lock().unwrap().pop_front().unwrap();
        loop {
            send(&mut backend, next.0, &next.1).await?;
            if matches!(next.0, b'Q' | b'S') && answer(&mut backend, &mut client).await? == b'I' {
                break;
            }
            next = message(&mut client).await?;
        }
        backends.idle.lock().unwrap().push_back(backend);
    }
}

/// Passes on an answer, and returns the state of the transaction.
async fn answer(backend: &mut TcpStream, client: &mut TcpStream) -> std::io::Result<u8> {
    loop {
        let (kind, body) = message(backend).await?;
        send(client, kind, &body).await?;
        if kind == b'Z' {
            return Ok(body[0]);
        }
    }
}
