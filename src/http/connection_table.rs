use futures_util::task::AtomicWaker;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

/// Who is connected, and who goes first.
#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: HashMap<u64, Entry>,
    last: u64,
    pub(super) peers: HashMap<IpAddr, usize>,
    queues: Queues,
    pub(super) unverified_bytes: usize,
    /// Entries that are requests of an HTTP/2 connection.
    requests: usize,
}

/// Those that can be evicted.
#[derive(Default)]
struct Queues {
    /// Also those that close. By whether they have brought a valid signature, and since when they wait.
    idle: BTreeSet<(bool, Instant, u64)>,
    /// Since when they have been sending.
    receiving: BTreeSet<(Instant, u64)>,
}

impl Queues {
    fn list(&mut self, id: u64, phase: Phase, is_known: bool) {
        match phase {
            Phase::Idle(since) | Phase::Closing(since) => _ = self.idle.insert((is_known, since, id)),
            Phase::Receiving(since) => _ = self.receiving.insert((since, id)),
            Phase::Verified => {}
        }
    }

    fn unlist(&mut self, id: u64, phase: Phase, is_known: bool) {
        match phase {
            Phase::Idle(since) | Phase::Closing(since) => _ = self.idle.remove(&(is_known, since, id)),
            Phase::Receiving(since) => _ = self.receiving.remove(&(since, id)),
            Phase::Verified => {}
        }
    }
}

pub(super) struct Entry {
    peer: Option<IpAddr>,
    pub(super) phase: Phase,
    pub(super) is_known: bool,
    pub(super) bytes: usize,
    /// Its request's head is complete.
    pub(super) has_head: bool,
    /// It is a request of this HTTP/2 connection.
    pub(super) carrier: Option<u64>,
    /// Requests under way on it, if it is an HTTP/2 connection.
    carries: usize,
    evicted: Arc<Eviction>,
}

/// Whether an entry was evicted, and who is to be told. Whoever reads of a connection asks each time.
#[derive(Default)]
pub(super) struct Eviction {
    has_come: AtomicBool,
    told: AtomicWaker,
}

impl Eviction {
    fn come(&self) {
        self.has_come.store(true, Ordering::Release);
        self.told.wake();
    }

    /// Ready once it has come; until then it wakes whoever asked last.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.told.register(context.waker());
        if self.has_come.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Idle(Instant),
    Receiving(Instant),
    /// Its request is being handled, so it is not evicted.
    Verified,
    /// Its request was refused. What still comes is read, so that the sender sees the answer, and not kept.
    Closing(Instant),
}

impl Table {
    pub(super) fn connections(&self) -> usize {
        self.entries.len() - self.requests
    }

    pub(super) fn insert(&mut self, phase: Phase, peer: Option<IpAddr>, carrier: Option<u64>) -> (u64, Arc<Eviction>) {
        self.last += 1;
        let (id, evicted) = (self.last, Arc::<Eviction>::default());
        let entry = Entry {
            peer,
            phase,
            is_known: false,
            bytes: 0,
            has_head: carrier.is_some(),
            carrier,
            carries: 0,
            evicted: evicted.clone(),
        };
        self.queues.list(id, entry.phase, entry.is_known);
        self.entries.insert(id, entry);
        if let Some(carrier) = carrier {
            self.requests += 1;
            self.change(carrier, |carrier| {
                carrier.carries += 1;
                if carrier.is_known {
                    carrier.phase = Phase::Verified;
                }
            });
        }
        (id, evicted)
    }

    /// The connection to evict when there are too many: a stranger's that waits, else whichever has been sending for the longest,
    /// else the one that has been idle for the longest.
    pub(super) fn least(&self) -> Option<u64> {
        let idle = self.queues.idle.first().map(|(is_known, _, id)| (*is_known, *id));
        let is_connection = |id: &u64| self.entries.get(id).is_some_and(|entry| entry.carrier.is_none());
        let receiving = self.queues.receiving.iter().map(|(_, id)| *id).find(is_connection);
        match idle {
            Some((false, id)) => Some(id),
            Some((true, id)) => receiving.or(Some(id)),
            None => receiving,
        }
    }

    /// Forgets the connection at once and closes it as soon as its thread gets to it.
    pub(super) fn evict(&mut self, id: u64) {
        if let Some(entry) = self.remove(id) {
            entry.evicted.come();
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.queues.unlist(id, entry.phase, entry.is_known);
        self.unverified_bytes -= entry.bytes;
        if let Some(peer) = entry.peer
            && let Some(count) = self.peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
        if let Some(carrier) = entry.carrier {
            self.requests -= 1;
            self.change(carrier, |carrier| {
                carrier.carries -= 1;
                if carrier.carries == 0 && carrier.is_known {
                    carrier.phase = Phase::Idle(Instant::now());
                }
            });
        }
        Some(entry)
    }

    /// Whoever has been sending for the longest.
    pub(super) fn oldest_sender(&self) -> Option<u64> {
        self.queues.receiving.first().map(|(_, id)| *id)
    }

    /// Moves a connection to another phase, in which it holds `bytes` that are not verified. Not one that was evicted.
    pub(super) fn change<T: Default>(&mut self, id: u64, change: impl FnOnce(&mut Entry) -> T) -> T {
        let Some(entry) = self.entries.get_mut(&id) else { return T::default() };
        let (phase, is_known, bytes) = (entry.phase, entry.is_known, entry.bytes);
        let said = change(entry);
        self.unverified_bytes = self.unverified_bytes - bytes + entry.bytes;
        if (phase, is_known) != (entry.phase, entry.is_known) {
            self.queues.unlist(id, phase, is_known);
            self.queues.list(id, entry.phase, entry.is_known);
        }
        said
    }
}
