//! What the simulator's tasks share: the world behind a lock, the faults, the queue of events, and the only clock.

use super::delivery::{Delivery, DeliveryFault, Destination, Job};
use super::faults::{Fault, Faults};
use super::settings::Settings;
use super::sim_config::{Chunks, Ms};
use super::site::Site;
use super::world::{DocumentOrder, Event, OpName, SocketOrder, World, scramble};
use secrecy::{ExposeSecret, SecretString};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use taskrouter_streams::call::sid::EventSid;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// What the tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    pub(super) faults: Mutex<Faults>,
    pub(super) delivery_faults: Mutex<Vec<(Option<String>, DeliveryFault)>>,
    pub(super) destination: Mutex<Option<Destination>>,
    pub(super) deliveries: Mutex<Vec<Delivery>>,
    pub(super) auth_token: Mutex<SecretString>,
    settings: Settings,
    jobs: mpsc::UnboundedSender<Job>,
    sockets: mpsc::UnboundedSender<SocketOrder>,
    documents: mpsc::UnboundedSender<DocumentOrder>,
    /// Deliveries that are not through yet, and sockets that are being opened or closed.
    under_way: AtomicI64,
    request_ids: AtomicU64,
    pub(super) changed: Notify,
}

impl Shared {
    /// A world at rest, whose events go into `jobs`, whose sockets into `sockets`, and whose TwiML is fetched by `documents`.
    pub(super) fn new(
        settings: Settings,
        jobs: mpsc::UnboundedSender<Job>,
        sockets: mpsc::UnboundedSender<SocketOrder>,
        documents: mpsc::UnboundedSender<DocumentOrder>,
    ) -> Self {
        let (config, account) = (settings.config.clone(), settings.account.clone());
        Self {
            world: Mutex::new(World::new(config, account, settings.workspace.clone(), system_now())),
            faults: Mutex::default(),
            delivery_faults: Mutex::default(),
            destination: Mutex::default(),
            deliveries: Mutex::default(),
            auth_token: Mutex::new(settings.auth_token.clone()),
            settings,
            jobs,
            sockets,
            documents,
            under_way: AtomicI64::new(0),
            request_ids: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// Whether nothing is scheduled in the world, every event is through and no socket is being opened or closed.
    pub(super) fn is_quiet(&self) -> bool {
        // In this order: looking at the world lets it move on, and what comes of that is under way.
        self.with(|world| world.next_due()).is_none() && self.under_way.load(Ordering::SeqCst) == 0
    }

    /// Does something to the world as it is now, and sends off the events that come of it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        self.act(act).0
    }

    /// The same, with a ticket for each event that is redeemed when it is through.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> (T, Vec<oneshot::Receiver<()>>) {
        let mut world = locked(&self.world);
        let before = world.next_due();
        let result = act(world.advance(system_now()));
        // Queued under the lock, so that events leave in the order in which they happened.
        let tickets: Vec<_> = world.take_events().into_iter().map(|event| self.queue(event)).collect();
        for order in world.take_sockets() {
            self.expect_delivery();
            if self.sockets.send(order).is_err() {
                self.delivery_done();
            }
        }
        for order in world.take_documents() {
            self.expect_delivery();
            if self.documents.send(order).is_err() {
                self.delivery_done();
            }
        }
        let changed = world.next_due() != before || !tickets.is_empty();
        drop(world);
        if changed {
            self.changed.notify_waiters();
        }
        (result, tickets)
    }

    fn queue(&self, event: Event) -> oneshot::Receiver<()> {
        self.expect_delivery();
        let (done, ticket) = oneshot::channel();
        if self.jobs.send(Job { event, done }).is_err() {
            self.delivery_done();
        }
        ticket
    }

    pub(super) fn now(&self) -> Ms {
        system_now()
    }

    pub(super) fn expect_delivery(&self) {
        self.under_way.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn delivery_done(&self) {
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(super) fn note_delivery(&self, delivery: Delivery) {
        locked(&self.deliveries).push(delivery);
    }

    pub(super) fn acknowledged(&self, event: &EventSid) {
        self.with(|world| world.acknowledged(event));
    }

    pub(super) fn delivery_fault_for(&self, event: &Event) -> Option<DeliveryFault> {
        let mut delivery_faults = locked(&self.delivery_faults);
        let meant = |(wanted, _): &(Option<String>, DeliveryFault)| match wanted {
            Some(wanted) => wanted == event.event_type,
            None => event.callback_url.is_none(),
        };
        match delivery_faults.iter().position(meant) {
            Some(place) => Some(delivery_faults.remove(place).1),
            None => self.usual_fault_of(event),
        }
    }

    /// What the settings say of every status callback.
    fn usual_fault_of(&self, event: &Event) -> Option<DeliveryFault> {
        event.callback_url.as_ref()?;
        let config = &self.settings.config;
        if config.callbacks_lost.iter().any(|lost| lost == event.event_type) {
            return Some(DeliveryFault::Dropped);
        }
        (config.callbacks_late_ms > 0).then_some(DeliveryFault::Delayed(config.callbacks_late_ms))
    }

    pub(super) fn destination(&self) -> Option<Destination> {
        locked(&self.destination).clone()
    }

    pub(super) fn auth_token(&self) -> SecretString {
        locked(&self.auth_token).clone()
    }

    /// Whether `user:password` is the account's or its API key's.
    pub(super) fn admits(&self, given: &[u8]) -> bool {
        let own = format!("{}:{}", self.settings.account, self.auth_token().expose_secret());
        let key = self.settings.api_key.as_ref().map(|(sid, secret)| format!("{sid}:{}", secret.expose_secret()));
        given == own.as_bytes() || key.is_some_and(|key| given == key.as_bytes())
    }

    pub(super) fn site(&self) -> Site {
        Site { account: self.settings.account.clone(), workspace: self.settings.workspace.clone() }
    }

    pub(super) fn socket_connect(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.settings.config.socket_connect_ms).unwrap_or(0))
    }

    pub(super) fn chunks(&self) -> Chunks {
        self.settings.config.chunks
    }

    pub(super) fn latency_ms(&self) -> u64 {
        self.settings.config.latency_ms
    }

    pub(super) fn fault_for(&self, op: OpName) -> Option<Fault> {
        locked(&self.faults).take(op)
    }

    pub(super) fn next_request_id(&self) -> String {
        let number = self.request_ids.fetch_add(1, Ordering::Relaxed) + 1;
        format!("RQ{number:016x}{:016x}", scramble(number))
    }
}

/// Lets the world's schedule happen in time.
pub(super) async fn tick(shared: Arc<Shared>, cancel: CancellationToken) {
    loop {
        let changed = shared.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let due = shared.with(|world| world.next_due().map(|due| due - world.now()));
        let wait = async {
            match due.map(|span| u64::try_from(span).unwrap_or(0)) {
                Some(span) => tokio::time::sleep(Duration::from_millis(span.max(1))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = changed => {}
            () = wait => {}
        }
    }
}

/// Nobody can do anything about a poisoned lock here, and the data are no worse for it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The only clock.
pub(super) fn system_now() -> Ms {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ms::try_from(since.as_millis()).unwrap_or(Ms::MAX)
}
