//! The public listener's connections: how many there are, whose they are, and how many bytes they hold that nobody has verified.
//!
//! Anybody may connect and send before their signature can be checked, so what strangers can take is bounded over all of them.
//! When it is used up, the oldest of them goes. A connection that has brought a valid signature goes last.
//!
//! ```text
//! idle ──bytes──> receiving ──signature──> verified
//!   ^                 │                       │
//!   │              refused                    │
//!   │                 v                       │
//!   │              closing <─────refused──────┤
//!   └────────────────answered─────────────────┘
//! ```
//!
//! Bytes are counted where they leave the socket, so that heads, bodies and what is read only to be discarded count alike.

use crate::telemetry::metrics::Metrics;
use actix_web::rt::net::TcpStream;
use ipnet::{IpNet, Ipv6Net};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bits of an IPv6 address that name a subscriber: whoever has one address of such a network has all of them.
const IPV6_SUBSCRIBER_BITS: u8 = 64;

/// Bytes read of a connection before those are handled. actix reads on for as long as there is more, up to 128 KiB, into a buffer that
/// it keeps; it has 8 KiB at first, and grows as soon as less than 1 KiB of it is free.
const READ_AT_ONCE: usize = 7 * 1024;

/// What the buffers of a connection take beside what they hold, counted as received: a stranger who sends one byte takes as much.
const BUFFER_BYTES: usize = 16 * 1024;

/// How much the connections of the public listener may take.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Connections at a time. When it is reached, the next one takes the place of the one that matters least.
    pub max: usize,
    /// Connections of one peer at a time; further ones are closed.
    pub per_peer: usize,
    /// Peers that `per_peer` does not bind: behind a tunnel or a proxy, all clients are one peer.
    pub uncapped: Vec<IpNet>,
    /// Bytes of one request's line and headers; a connection that sends more is closed.
    pub head_bytes: usize,
    /// Bytes received, over all connections, of requests whose signature has not been checked.
    pub unverified_bytes: usize,
}

/// All connections of the public listener, over all its threads.
pub(super) struct Connections {
    limits: ConnectionLimits,
    metrics: Arc<Metrics>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    last: u64,
    peers: HashMap<IpAddr, usize>,
    /// Also those that close. By whether they have brought a valid signature, and since when they wait.
    idle: BTreeSet<(bool, Instant, u64)>,
    /// Since when they have been sending.
    receiving: BTreeSet<(Instant, u64)>,
    unverified_bytes: usize,
}

struct Entry {
    peer: Option<IpAddr>,
    phase: Phase,
    is_known: bool,
    bytes: usize,
    /// Its request's head is complete.
    has_head: bool,
    evicted: CancellationToken,
}

#[derive(Clone, Copy)]
enum Phase {
    Idle(Instant),
    Receiving(Instant),
    /// Its request is being handled, so it is not evicted.
    Verified,
    /// Its request was refused. What still comes is read, so that the sender sees the answer, and not kept.
    Closing(Instant),
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limits, metrics, table: Mutex::default() })
    }

    /// Counts a new connection; `None` when its peer has too many.
    pub(super) fn admit(self: &Arc<Self>, io: TcpStream) -> Option<(GuardedStream, Option<SocketAddr>)> {
        let address = io.peer_addr().ok();
        let peer = address.map(|address| peer(address.ip())).filter(|peer| self.is_capped(*peer));
        let mut table = self.table();
        if let Some(peer) = peer {
            let count = table.peers.entry(peer).or_default();
            if *count >= self.limits.per_peer {
                self.count_eviction("peer");
                return None;
            }
            *count += 1;
        }
        // When every request is being handled, there is one connection more for a moment.
        if table.entries.len() >= self.limits.max
            && let Some(id) = table.least()
        {
            table.evict(id);
            self.count_eviction("full");
        }
        let (id, evicted) = table.insert(peer);
        self.show(&table);
        drop(table);
        let connection = Connection { id, connections: self.clone() };
        Some((GuardedStream { io, connection, evicted: Box::pin(evicted.cancelled_owned()), read: 0 }, address))
    }

    fn is_capped(&self, peer: IpAddr) -> bool {
        !self.limits.uncapped.iter().any(|net| net.contains(&peer))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_eviction(&self, reason: &'static str) {
        self.metrics.ingress.evictions.get_or_create(&[("reason", reason)]).inc();
    }

    fn show(&self, table: &Table) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.ingress.connections.set(gauge(table.entries.len()));
        self.metrics.ingress.unverified_bytes.set(gauge(table.unverified_bytes));
    }
}

/// An address as whoever has it can be told apart from others.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Net::new(address, IPV6_SUBSCRIBER_BITS).map_or(address, |net| net.network()))
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Table {
    fn insert(&mut self, peer: Option<IpAddr>) -> (u64, CancellationToken) {
        self.last += 1;
        let (id, now, evicted) = (self.last, Instant::now(), CancellationToken::new());
        self.idle.insert((false, now, id));
        let entry = Entry {
            peer,
            phase: Phase::Idle(now),
            is_known: false,
            bytes: 0,
            has_head: false,
            evicted: evicted.clone(),
        };
        self.entries.insert(id, entry);
        (id, evicted)
    }

    /// The connection to evict when there are too many: a stranger's that waits, else whichever has been sending for the longest,
    /// else the one that has been idle for the longest.
    fn least(&self) -> Option<u64> {
        let idle = self.idle.first().map(|(is_known, _, id)| (*is_known, *id));
        let receiving = self.receiving.first().map(|(_, id)| *id);
        match idle {
            Some((false, id)) => Some(id),
            Some((true, id)) => receiving.or(Some(id)),
            None => receiving,
        }
    }

    /// Forgets the connection at once and closes it as soon as its thread gets to it.
    fn evict(&mut self, id: u64) {
        if let Some(entry) = self.remove(id) {
            entry.evicted.cancel();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.unlist(id, &entry);
        self.unverified_bytes -= entry.bytes;
        if let Some(peer) = entry.peer
            && let Some(count) = self.peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
        Some(entry)
    }

    fn unlist(&mut self, id: u64, entry: &Entry) {
        match entry.phase {
            Phase::Idle(since) | Phase::Closing(since) => _ = self.idle.remove(&(entry.is_known, since, id)),
            Phase::Receiving(since) => _ = self.receiving.remove(&(since, id)),
            Phase::Verified => {}
        }
    }

    /// Moves a connection to another phase, in which it holds `bytes` that are not verified. Not one that was evicted.
    fn change(&mut self, id: u64, change: impl FnOnce(&mut Entry)) {
        let Some(mut entry) = self.entries.remove(&id) else { return };
        self.unlist(id, &entry);
        self.unverified_bytes -= entry.bytes;
        change(&mut entry);
        self.unverified_bytes += entry.bytes;
        match entry.phase {
            Phase::Idle(since) | Phase::Closing(since) => _ = self.idle.insert((entry.is_known, since, id)),
            Phase::Receiving(since) => _ = self.receiving.insert((since, id)),
            Phase::Verified => {}
        }
        self.entries.insert(id, entry);
    }
}

/// A connection, as the handlers of its requests know it.
#[derive(Clone)]
pub(super) struct Connection {
    id: u64,
    connections: Arc<Connections>,
}

impl Connection {
    fn received(&self, bytes: usize) {
        let limits = &self.connections.limits;
        let mut table = self.connections.table();
        table.change(self.id, |entry| match entry.phase {
            Phase::Verified | Phase::Closing(_) => {}
            Phase::Idle(_) => {
                entry.phase = Phase::Receiving(Instant::now());
                (entry.bytes, entry.has_head) = (BUFFER_BYTES + bytes, false);
            }
            Phase::Receiving(_) => entry.bytes += bytes,
        });
        if table
            .entries
            .get(&self.id)
            .is_some_and(|entry| !entry.has_head && entry.bytes > BUFFER_BYTES + limits.head_bytes)
        {
            table.evict(self.id);
            self.connections.count_eviction("head");
        }
        while table.unverified_bytes > limits.unverified_bytes
            && let Some((_, oldest)) = table.receiving.first().copied()
        {
            table.evict(oldest);
            self.connections.count_eviction("unverified_bytes");
        }
        self.connections.show(&table);
    }

    /// The head of a request is complete.
    pub(super) fn begun(&self) {
        self.change(|entry| entry.has_head = true);
    }

    /// What was received so far is not kept.
    pub(super) fn discarded(&self) {
        self.change(|entry| entry.bytes = BUFFER_BYTES);
    }

    /// The signature of the request, or of its URL, is valid.
    pub(super) fn verified(&self) {
        self.change(|entry| (entry.phase, entry.is_known, entry.bytes) = (Phase::Verified, true, 0));
    }

    /// The request has been answered, and the next one may come.
    pub(super) fn answered(&self) {
        self.change(|entry| (entry.phase, entry.bytes) = (Phase::Idle(Instant::now()), 0));
    }

    /// The request has been refused, and the connection ends.
    pub(super) fn refused(&self) {
        self.change(|entry| (entry.phase, entry.is_known, entry.bytes) = (Phase::Closing(Instant::now()), false, 0));
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        let mut table = self.connections.table();
        table.change(self.id, change);
        self.connections.show(&table);
    }
}

/// A socket that counts what it receives, and that fails once its connection is evicted.
pub(super) struct GuardedStream {
    io: TcpStream,
    connection: Connection,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Bytes read since the last pause.
    read: usize,
}

impl GuardedStream {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        let connections = &self.connection.connections;
        let mut table = connections.table();
        table.remove(self.connection.id);
        connections.show(&table);
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Also so that an eviction wakes this connection's task.
        if self.evicted.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.read >= READ_AT_ONCE {
            self.read = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut chunk = [0; READ_AT_ONCE];
        let room = buffer.remaining().min(READ_AT_ONCE - self.read);
        let mut chunk = ReadBuf::new(&mut chunk[..room]);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut chunk))?;
        let bytes = chunk.filled();
        buffer.put_slice(bytes);
        self.read += bytes.len();
        if !bytes.is_empty() {
            self.connection.received(bytes.len());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
