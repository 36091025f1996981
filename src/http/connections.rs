//! A listener's connections: how many there are, whose they are, and how many bytes they hold that nobody has verified.
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
//!
//! An HTTP/2 connection carries many requests, and behind a proxy those of strangers beside Twilio's. So each of its requests has a
//! place of its own: its bytes are counted where they are handed to its handler, and it alone goes when they are too many. What the
//! connection itself buffers is bounded by flow control, and counted as a whole until it has brought a valid signature.

use super::connection_table::{Entry, Eviction, Phase, Table};
use crate::telemetry::metrics::Metrics;
use actix_web::rt::net::TcpStream;
use actix_web::{HttpMessage as _, HttpRequest};
use ipnet::{IpNet, Ipv6Net};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

/// Bits of an IPv6 address that name a subscriber: whoever has one address of such a network has all of them.
const IPV6_SUBSCRIBER_BITS: u8 = 64;

/// What a connection takes beside what it has sent, counted as received: its buffers, its task and its handler's. Measured: a stranger
/// who sends one byte takes as much.
const CONNECTION_BYTES: usize = 32 * 1024;

/// The same of a request of HTTP/2.
const REQUEST_BYTES: usize = 16 * 1024;

/// The most that an HTTP/2 connection holds of what nobody has asked for yet: its flow-control window, a frame, and a head.
const HTTP2_BUFFER_BYTES: usize = (64 + 16 + 16) * 1024;

/// Evicted connections of one thread that may still be open.
pub const CLOSING_PER_THREAD: usize = 32;

/// How much the connections of a listener may take.
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

/// All connections of a listener, over all its threads.
pub(super) struct Connections {
    limits: ConnectionLimits,
    /// Those of the public listener are counted.
    metrics: Option<Arc<Metrics>>,
    table: Mutex<Table>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits, metrics: Option<Arc<Metrics>>) -> Arc<Self> {
        Arc::new(Self { limits, metrics, table: Mutex::default() })
    }

    /// Counts a new connection; `None` when its peer has too many.
    pub(super) fn admit(self: &Arc<Self>, io: &TcpStream) -> Option<(Place, Option<SocketAddr>)> {
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
        if table.connections() >= self.limits.max
            && let Some(id) = table.least()
        {
            table.evict(id);
            self.count_eviction("full");
        }
        let place = self.place(&mut table, Phase::Idle(Instant::now()), peer, None);
        self.show(&table);
        drop(table);
        Some((place, address))
    }

    fn place(self: &Arc<Self>, table: &mut Table, phase: Phase, peer: Option<IpAddr>, carrier: Option<u64>) -> Place {
        let (id, evicted) = table.insert(phase, peer, carrier);
        let connection = Connection { id, connections: self.clone() };
        Place { connection, evicted }
    }

    fn is_capped(&self, peer: IpAddr) -> bool {
        !self.limits.uncapped.iter().any(|net| net.contains(&peer))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_eviction(&self, reason: &'static str) {
        if let Some(metrics) = &self.metrics {
            metrics.ingress.evictions.get_or_create(&[("reason", reason)]).inc();
        }
    }

    /// Evicts whatever has been sending for the longest until no more is held than may be.
    fn make_room(&self, table: &mut Table) {
        while table.unverified_bytes > self.limits.unverified_bytes
            && let Some(oldest) = table.oldest_sender()
        {
            table.evict(oldest);
            self.count_eviction("unverified_bytes");
        }
        self.show(table);
    }

    fn show(&self, table: &Table) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        if let Some(metrics) = &self.metrics {
            metrics.ingress.connections.set(gauge(table.connections()));
            metrics.ingress.unverified_bytes.set(gauge(table.unverified_bytes));
        }
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

/// A connection, or a request of an HTTP/2 connection, as the handlers know it.
#[derive(Clone)]
pub(super) struct Connection {
    id: u64,
    connections: Arc<Connections>,
}

impl Connection {
    /// The one that brought this request.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let own = || request.extensions().get::<Self>().cloned();
        request.conn_data::<Self>().cloned().or_else(own)
    }

    /// It speaks HTTP/2.
    pub(super) fn multiplexed(&self) {
        let mut table = self.connections.table();
        table.change(self.id, |entry| {
            entry.has_head = true;
            entry.bytes = HTTP2_BUFFER_BYTES;
        });
        self.connections.make_room(&mut table);
    }

    /// A request that came with a head of so many bytes on this HTTP/2 connection.
    pub(super) fn request(&self, head_bytes: usize) -> Place {
        let mut table = self.connections.table();
        let place = self.connections.place(&mut table, Phase::Receiving(Instant::now()), None, Some(self.id));
        table.change(place.connection.id, |entry| entry.bytes = REQUEST_BYTES + head_bytes);
        self.connections.make_room(&mut table);
        drop(table);
        place
    }

    /// It has brought a valid signature.
    pub(super) fn is_known(&self) -> bool {
        self.connections.table().entries.get(&self.id).is_some_and(|entry| entry.is_known)
    }

    pub(super) fn received(&self, bytes: usize) {
        let most = CONNECTION_BYTES + self.connections.limits.head_bytes;
        let mut table = self.connections.table();
        let has_long_head = table.change(self.id, |entry| {
            match entry.phase {
                Phase::Verified | Phase::Closing(_) => {}
                Phase::Idle(_) => {
                    entry.phase = Phase::Receiving(Instant::now());
                    (entry.bytes, entry.has_head) = (CONNECTION_BYTES + bytes, false);
                }
                Phase::Receiving(_) => entry.bytes += bytes,
            }
            !entry.has_head && entry.bytes > most
        });
        if has_long_head {
            table.evict(self.id);
            self.connections.count_eviction("head");
        }
        self.connections.make_room(&mut table);
    }

    /// The head of a request is complete.
    pub(super) fn begun(&self) {
        self.change(|entry| entry.has_head = true);
    }

    /// What was received so far is not kept.
    pub(super) fn discarded(&self) {
        self.change(|entry| {
            entry.bytes = if entry.carrier.is_some() { REQUEST_BYTES } else { CONNECTION_BYTES };
        });
    }

    /// The signature of the request, or of its URL, is valid.
    pub(super) fn verified(&self) {
        let verify = |entry: &mut Entry| {
            (entry.phase, entry.is_known, entry.bytes) = (Phase::Verified, true, 0);
            entry.carrier
        };
        let mut table = self.connections.table();
        if let Some(carrier) = table.change(self.id, verify) {
            table.change(carrier, verify);
        }
        self.connections.show(&table);
    }

    /// The request has been answered, and the next one may come.
    pub(super) fn answered(&self) {
        self.change(|entry| {
            entry.bytes = 0;
            if entry.carrier.is_none() {
                entry.phase = Phase::Idle(Instant::now());
            }
        });
    }

    /// The request has been refused, and the connection ends. One that carries others may go on.
    pub(super) fn refused(&self) {
        self.change(|entry| {
            entry.bytes = 0;
            if entry.carrier.is_none() {
                (entry.phase, entry.is_known) = (Phase::Closing(Instant::now()), false);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        let mut table = self.connections.table();
        table.change(self.id, change);
        self.connections.show(&table);
    }
}

/// A connection's or a request's place in the table, until it is dropped.
pub(super) struct Place {
    connection: Connection,
    evicted: Arc<Eviction>,
}

impl Place {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Ready once it has been evicted.
    pub(super) fn poll_evicted(&self, context: &mut Context<'_>) -> Poll<()> {
        self.evicted.poll(context)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let connections = &self.connection.connections;
        let mut table = connections.table();
        table.remove(self.connection.id);
        connections.show(&table);
    }
}
