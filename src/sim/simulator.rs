//! The simulator as one thing: the world behind a lock, its REST door, its callbacks, and the only clock.

use super::behaviour::{Behaviour, Ms};
use super::callbacks::{self, Delivery, Destination, Job, Mishap};
use super::faults::{Fault, Faults, Mix, On};
use super::world::{
    CallReport, Event, Impossible, Mode, Note, OpName, Picture, RequestRecord, Target, Violation, World, scramble,
};
use crate::call::sid::{AccountSid, CallSid, ConferenceSid, EventSid, TaskSid, WorkspaceSid};
use actix_web::dev::ServerHandle;
use secrecy::{ExposeSecret, SecretString};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a simulator is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How it behaves.
    pub behaviour: Behaviour,
    /// The account.
    pub account: AccountSid,
    /// The account's token: signs callbacks, and lets requests in.
    pub auth_token: SecretString,
    /// An API key's SID and secret, which let requests in as well.
    pub api_key: Option<(String, SecretString)>,
    /// The workspace.
    pub workspace: WorkspaceSid,
}

/// A simulator that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No port.
    #[error("the simulator cannot listen on {address}: {reason}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// No HTTP client for the callbacks.
    #[error("the simulator cannot make an HTTP client: {0}")]
    Client(reqwest::Error),
}

/// A running simulator. Dropping it stops it; [`Simulator::stop`] also waits.
#[derive(Debug)]
pub struct Simulator {
    core: Arc<Core>,
    address: SocketAddr,
    server: ServerHandle,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// What the doors share.
#[derive(Debug)]
pub(super) struct Core {
    world: Mutex<World>,
    faults: Mutex<Faults>,
    mishaps: Mutex<Vec<(Option<String>, Mishap)>>,
    destination: Mutex<Option<Destination>>,
    deliveries: Mutex<Vec<Delivery>>,
    settings: Settings,
    jobs: mpsc::UnboundedSender<Job>,
    /// Deliveries that are not through yet.
    under_way: AtomicI64,
    request_ids: AtomicU64,
    changed: Notify,
}

impl Simulator {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(address).map_err(|reason| StartError::Listen { address, reason })?;
        Self::start_on(settings, listener).await
    }

    /// Starts on a listener that is bound already.
    pub async fn start_on(settings: Settings, listener: TcpListener) -> Result<Self, StartError> {
        let bound = listener.local_addr();
        let address = bound.unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        let (jobs, receiver) = mpsc::unbounded_channel();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let client = client
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(StartError::Client)?;
        let (behaviour, account) = (settings.behaviour.clone(), settings.account.clone());
        let world = World::new(behaviour, account, settings.workspace.clone(), system_now());
        let core = Arc::new(Core {
            world: Mutex::new(world),
            faults: Mutex::default(),
            mishaps: Mutex::default(),
            destination: Mutex::default(),
            deliveries: Mutex::default(),
            settings,
            jobs,
            under_way: AtomicI64::new(0),
            request_ids: AtomicU64::new(0),
            changed: Notify::new(),
        });
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let server = super::api::serve(core.clone(), listener);
        let server = server.map_err(|reason| StartError::Listen { address, reason })?;
        let handle = server.handle();
        tasks.spawn(server);
        tasks.spawn(callbacks::dispatch(
            core.clone(),
            receiver,
            client,
            tasks.clone(),
            cancel.clone(),
        ));
        tasks.spawn(tick(core.clone(), cancel.clone()));
        Ok(Self {
            core,
            address,
            server: handle,
            tasks,
            cancel,
        })
    }

    /// Where the REST APIs answer: both `twilio.api_base_url` and `twilio.taskrouter_base_url`. No trailing slash.
    pub fn api_base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on events go to `destination`.
    pub fn post_events_to(&self, destination: Destination) {
        *locked(&self.core.destination) = Some(destination);
    }

    /// What happens to the next event of this type, or to the next one whatever it is.
    pub fn mishap(&self, event_type: Option<&str>, mishap: Mishap) {
        locked(&self.core.mishaps).push((event_type.map(str::to_owned), mishap));
    }

    /// Plays a fault with the next `times` requests that are meant.
    pub fn fault(&self, on: On, times: u32, fault: Fault) {
        locked(&self.core.faults).script(on, times, fault);
    }

    /// Draws a fault for every request from now on.
    pub fn faults_at_random(&self, mix: Mix, seed: u64) {
        locked(&self.core.faults).randomly(mix, seed);
    }

    /// Nothing goes wrong with requests any more.
    pub fn clear_faults(&self) {
        locked(&self.core.faults).clear();
    }

    /// Scripted faults that no request has met yet.
    pub fn faults_left(&self) -> usize {
        locked(&self.core.faults).left()
    }

    /// The answer of the next request to this endpoint is lost after it took effect.
    pub fn loses_the_next_answer(&self, op: OpName) {
        self.fault(On::Next(op), 1, Fault::Cut { took_effect: true });
    }

    /// Waits until nothing is scheduled in the world and every event is through; false when that took longer than `limit`.
    pub async fn quiet(&self, limit: Duration) -> bool {
        let wait = async {
            loop {
                let changed = self.core.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.is_quiet() {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Whether nothing is scheduled in the world and every event is through.
    pub fn is_quiet(&self) -> bool {
        self.core.under_way.load(Ordering::SeqCst) == 0 && self.core.with(|world, _| world.next_due()).is_none()
    }

    /// Every misuse so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.core.with(|world, _| world.violations().to_vec())
    }

    /// Every piece of bad luck so far that no command caused.
    pub fn notes(&self) -> Vec<Note> {
        self.core.with(|world, _| world.notes().to_vec())
    }

    /// Every REST request so far.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.core.with(|world, _| world.requests().to_vec())
    }

    /// Every attempt to deliver an event so far.
    pub fn deliveries(&self) -> Vec<Delivery> {
        locked(&self.core.deliveries).clone()
    }

    /// What a task's call went through so far.
    pub fn report(&self, task: &TaskSid) -> Option<CallReport> {
        self.core.with(|world, _| world.report(task))
    }

    /// A task's call at a glance.
    pub fn picture(&self, task: &TaskSid) -> Option<Picture> {
        self.core.with(|world, _| world.picture(task))
    }

    /// A task's conference, once there was one.
    pub fn conference(&self, task: &TaskSid) -> Option<ConferenceSid> {
        self.core.with(|world, _| world.conference(task))
    }

    /// The leg of an agent's newest reservation of a task.
    pub fn worker_leg(&self, task: &TaskSid, agent: &str) -> Option<CallSid> {
        self.core.with(|world, _| world.worker_leg(task, agent))
    }

    /// A customer calls in. Like every verb it returns when the events that it causes are through.
    pub async fn customer_calls(&self) -> TaskSid {
        self.act(World::customer_calls).await
    }

    /// A customer writes: a chat task.
    pub async fn customer_writes(&self) -> TaskSid {
        self.act(World::customer_writes).await
    }

    /// An agent calls out.
    pub async fn calls_out(&self, agent: &str) -> Result<TaskSid, Impossible> {
        self.act(|world, now| world.calls_out(agent, now)).await
    }

    /// The customer of an outbound call answers.
    pub async fn customer_answers(&self, task: &TaskSid) -> Result<(), Impossible> {
        self.act(|world, now| world.customer_answers(task, now)).await
    }

    /// An agent accepts his offer.
    pub async fn accepts(&self, task: &TaskSid, agent: &str) -> Result<(), Impossible> {
        self.act(|world, now| world.accepts(task, agent, now)).await
    }

    /// An agent rejects his offer.
    pub async fn rejects(&self, task: &TaskSid, agent: &str) -> Result<(), Impossible> {
        self.act(|world, now| world.rejects(task, agent, now)).await
    }

    /// An agent lets his offer time out.
    pub async fn times_out(&self, task: &TaskSid, agent: &str) -> Result<(), Impossible> {
        self.act(|world, now| world.times_out(task, agent, now)).await
    }

    /// An agent's leg cannot be dialled.
    pub async fn cannot_be_reached(&self, task: &TaskSid, agent: &str) -> Result<(), Impossible> {
        self.act(|world, now| world.cannot_be_reached(task, agent, now)).await
    }

    /// An agent transfers the task.
    pub async fn transfers(&self, task: &TaskSid, from: &str, to: &Target, mode: Mode) -> Result<(), Impossible> {
        self.act(|world, now| world.transfers(task, from, to, mode, now)).await
    }

    /// An agent calls his transfer off.
    pub async fn cancels_transfer(&self, task: &TaskSid, agent: &str) -> Result<(), Impossible> {
        self.act(|world, now| world.cancels_transfer(task, agent, now)).await
    }

    /// An agent holds the customer.
    pub async fn holds(&self, task: &TaskSid, agent: &str) -> Result<(), Impossible> {
        self.act(|world, now| world.holds(task, agent, now)).await
    }

    /// An agent takes the customer off hold.
    pub async fn unholds(&self, task: &TaskSid, agent: &str) -> Result<(), Impossible> {
        self.act(|world, now| world.unholds(task, agent, now)).await
    }

    /// An agent hangs up his own leg.
    pub async fn leaves(&self, task: &TaskSid, agent: &str) -> Result<(), Impossible> {
        self.act(|world, now| world.leaves(task, agent, now)).await
    }

    /// An agent completes his wrapped-up reservation.
    pub async fn completes(&self, task: &TaskSid, agent: &str) -> Result<(), Impossible> {
        self.act(|world, now| world.completes(task, agent, now)).await
    }

    /// The customer hangs up.
    pub async fn customer_hangs_up(&self, task: &TaskSid) -> Result<(), Impossible> {
        self.act(|world, now| world.customer_hangs_up(task, now)).await
    }

    /// The conference is ended from outside.
    pub async fn conference_ends(&self, task: &TaskSid) {
        self.act(|world, now| world.conference_ends(task, now)).await;
    }

    async fn act<T>(&self, verb: impl FnOnce(&mut World, Ms) -> T) -> T {
        let (result, tickets) = self.core.act(verb);
        for ticket in tickets {
            // A ticket is torn when its event was dropped, delayed or held back by script.
            let _ = ticket.await;
        }
        result
    }

    /// Stops serving and posting, and waits until all of it is over.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.server.stop(false).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl std::ops::Drop for Simulator {
    fn drop(&mut self) {
        self.cancel.cancel();
        // The command is sent at once; its answer is nobody's concern any more.
        drop(self.server.stop(false));
    }
}

impl Core {
    /// Does something to the world as it is now, and sends off the events that come of it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut World, Ms) -> T) -> T {
        self.act(act).0
    }

    fn act<T>(&self, act: impl FnOnce(&mut World, Ms) -> T) -> (T, Vec<oneshot::Receiver<()>>) {
        let mut world = locked(&self.world);
        let (before, now) = (world.next_due(), system_now());
        world.advance(now);
        let result = act(&mut world, now);
        // Queued under the lock, so that events leave in the order in which they happened.
        let tickets: Vec<_> = world.take_events().into_iter().map(|event| self.queue(event)).collect();
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
        self.with(|world, now| world.acknowledged(event, now));
    }

    pub(super) fn mishap_of(&self, event_type: &str) -> Option<Mishap> {
        let mut mishaps = locked(&self.mishaps);
        let meant =
            |(wanted, _): &(Option<String>, Mishap)| wanted.as_deref().is_none_or(|wanted| wanted == event_type);
        let place = mishaps.iter().position(meant)?;
        Some(mishaps.remove(place).1)
    }

    pub(super) fn destination(&self) -> Option<Destination> {
        locked(&self.destination).clone()
    }

    pub(super) fn auth_token(&self) -> &str {
        self.settings.auth_token.expose_secret()
    }

    /// Whether `user:password` is the account's or its API key's.
    pub(super) fn admits(&self, given: &[u8]) -> bool {
        let own = format!("{}:{}", self.settings.account, self.auth_token());
        let key = self
            .settings
            .api_key
            .as_ref()
            .map(|(sid, secret)| format!("{sid}:{}", secret.expose_secret()));
        given == own.as_bytes() || key.is_some_and(|key| given == key.as_bytes())
    }

    pub(super) fn is_account(&self, sid: &str) -> bool {
        self.settings.account.as_str() == sid
    }

    pub(super) fn is_workspace(&self, sid: &str) -> bool {
        self.settings.workspace.as_str() == sid
    }

    pub(super) fn latency_ms(&self) -> u64 {
        self.settings.behaviour.latency_ms
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
async fn tick(core: Arc<Core>, cancel: CancellationToken) {
    loop {
        let changed = core.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let due = core.with(|world, now| world.next_due().map(|due| due - now));
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
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The only clock.
fn system_now() -> Ms {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ms::try_from(since.as_millis()).unwrap_or(Ms::MAX)
}
