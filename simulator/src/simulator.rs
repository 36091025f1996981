//! The simulator as one thing: the world, its REST door, its callbacks, and the verbs.

use super::callbacks::{self, Delivery, DeliveryFault, Destination};
use super::faults::{Fault, Mix, On};
use super::media;
use super::shared::{Shared, locked, tick};
use super::sim_config::{Ms, SimConfig};
use super::world::{
    CallReport, Event, EventStreams, InvalidAction, Mode, Note, OpName, RequestRecord, Snapshot, SocketFailure, Target,
    Violation, Workspace, World,
};
use actix_web::dev::ServerHandle;
use secrecy::SecretString;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use taskrouter_streams::call::sid::{AccountSid, CallSid, ConferenceSid, TaskSid, WorkerSid, WorkspaceSid};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a simulator is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How it behaves.
    pub config: SimConfig,
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
    shared: Arc<Shared>,
    address: SocketAddr,
    server: ServerHandle,
    tasks: TaskTracker,
    cancel: CancellationToken,
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
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.connect_timeout(Duration::from_secs(5)).build().map_err(StartError::Client)?;
        let (sockets, orders) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(settings, jobs, sockets));
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let server = super::api::serve(shared.clone(), listener);
        let server = server.map_err(|reason| StartError::Listen { address, reason })?;
        let handle = server.handle();
        tasks.spawn(server);
        tasks.spawn(callbacks::dispatch(shared.clone(), receiver, client, tasks.clone(), cancel.clone()));
        tasks.spawn(media::dispatch(shared.clone(), orders, tasks.clone(), cancel.clone()));
        tasks.spawn(tick(shared.clone(), cancel.clone()));
        Ok(Self { shared, address, server: handle, tasks, cancel })
    }

    /// Where the REST APIs answer: both `twilio.api_base_url` and `twilio.taskrouter_base_url`. No trailing slash.
    pub fn api_base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this is the account's primary token: it signs, it lets in, and the one before does no more.
    pub fn promotes(&self, auth_token: SecretString) {
        *locked(&self.shared.auth_token) = auth_token;
    }

    /// From now on TaskRouter's events go to `destination`, and the streams' callbacks where its route leads.
    pub fn post_events_to(&self, destination: Destination) {
        *locked(&self.shared.destination) = Some(destination);
    }

    /// What happens to the next event of this type ("reservation.wrapup", "stream-started"), or to TaskRouter's next one
    /// whatever it is.
    pub fn delivery_fault(&self, event_type: Option<&str>, delivery_fault: DeliveryFault) {
        locked(&self.shared.delivery_faults).push((event_type.map(str::to_owned), delivery_fault));
    }

    /// The sockets of the next `times` streams fail like this, after the stream was accepted.
    pub fn next_sockets_fail(&self, failure: SocketFailure, times: u32) {
        self.shared.with(|world, _| world.next_sockets_fail(failure, times));
    }

    /// Plays a fault with the next `times` requests that are meant.
    pub fn fault(&self, on: On, times: u32, fault: Fault) {
        locked(&self.shared.faults).script(on, times, fault);
    }

    /// Draws a fault for every request from now on.
    pub fn faults_at_random(&self, mix: Mix, seed: u64) {
        locked(&self.shared.faults).randomly(mix, seed);
    }

    /// Nothing goes wrong with requests any more.
    pub fn clear_faults(&self) {
        locked(&self.shared.faults).clear();
    }

    /// Scripted faults that no request has met yet.
    pub fn faults_left(&self) -> usize {
        locked(&self.shared.faults).left()
    }

    /// The answer of the next request to this endpoint is lost after it took effect.
    pub fn loses_the_next_answer(&self, op: OpName) {
        self.fault(On::Next(op), 1, Fault::Cut { took_effect: true });
    }

    /// Waits until nothing is scheduled in the world, every event is through and no socket is being opened or closed; false when that took longer than `limit`.
    pub async fn quiet(&self, limit: Duration) -> bool {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
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

    /// Whether nothing is scheduled in the world, every event is through and no socket is being opened or closed.
    pub fn is_quiet(&self) -> bool {
        self.shared.is_quiet()
    }

    /// Every event so far, told or not.
    pub fn events(&self) -> Vec<Event> {
        self.shared.with(|world, _| world.records().map(Clone::clone).collect())
    }

    /// What the workspace is set to.
    pub fn workspace(&self) -> Workspace {
        self.shared.with(|world, _| world.workspace().clone())
    }

    /// Moves what happened before the last event into the past, until each event has so long to the next.
    pub fn spread_records(&self, apart_ms: i64) {
        self.shared.with(|world, _| world.spread_records(apart_ms));
    }

    /// Sets it otherwise, as somebody does in the Console.
    pub fn configure_workspace(&self, change: impl FnOnce(&mut Workspace)) {
        self.shared.with(|world, _| world.configure_workspace(change));
    }

    /// What Event Streams is set to.
    pub fn event_streams(&self) -> EventStreams {
        self.shared.with(|world, _| world.event_streams().clone())
    }

    /// Sets it otherwise, as somebody does in the Console.
    pub fn configure_event_streams(&self, change: impl FnOnce(&mut EventStreams)) {
        self.shared.with(|world, _| world.configure_event_streams(change));
    }

    /// Every misuse so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.with(|world, _| world.violations().to_vec())
    }

    /// Every piece of bad luck so far that no command caused.
    pub fn notes(&self) -> Vec<Note> {
        self.shared.with(|world, _| world.notes().to_vec())
    }

    /// Every REST request so far.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.with(|world, _| world.requests().to_vec())
    }

    /// Every attempt to deliver an event so far.
    pub fn deliveries(&self) -> Vec<Delivery> {
        locked(&self.shared.deliveries).clone()
    }

    /// The tasks so far, oldest first.
    pub fn tasks(&self) -> Vec<TaskSid> {
        self.shared.with(|world, _| world.tasks())
    }

    /// What a task's call went through so far.
    pub fn report(&self, task: &TaskSid) -> Option<CallReport> {
        self.shared.with(|world, _| world.report(task))
    }

    /// A task's call at a glance.
    pub fn snapshot(&self, task: &TaskSid) -> Option<Snapshot> {
        self.shared.with(|world, _| world.snapshot(task))
    }

    /// A task's conference, once there was one.
    pub fn conference(&self, task: &TaskSid) -> Option<ConferenceSid> {
        self.shared.with(|world, _| world.conference(task))
    }

    /// An agent's SID.
    pub fn agent(&self, name: &str) -> Option<WorkerSid> {
        self.shared.with(|world, _| world.agent_sid(name))
    }

    /// The name of the agent with this SID.
    pub fn agent_named(&self, worker: &WorkerSid) -> Option<String> {
        self.shared.with(|world, _| world.agent_name(worker))
    }

    /// The leg of an agent's newest reservation of a task.
    pub fn worker_leg(&self, task: &TaskSid, agent: &str) -> Option<CallSid> {
        self.shared.with(|world, _| world.worker_leg(task, agent))
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
    pub async fn calls_out(&self, agent: &str) -> Result<TaskSid, InvalidAction> {
        self.act(|world, now| world.calls_out(agent, now)).await
    }

    /// The customer of an outbound call answers.
    pub async fn customer_answers(&self, task: &TaskSid) -> Result<(), InvalidAction> {
        self.act(|world, now| world.customer_answers(task, now)).await
    }

    /// An agent accepts his offer.
    pub async fn accepts(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.accepts(task, agent, now)).await
    }

    /// An agent rejects his offer.
    pub async fn rejects(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.rejects(task, agent, now)).await
    }

    /// An agent lets his offer time out.
    pub async fn times_out(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.times_out(task, agent, now)).await
    }

    /// An agent's leg cannot be dialled.
    pub async fn cannot_be_reached(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.cannot_be_reached(task, agent, now)).await
    }

    /// An agent transfers the task.
    pub async fn transfers(&self, task: &TaskSid, from: &str, to: &Target, mode: Mode) -> Result<(), InvalidAction> {
        self.act(|world, now| world.transfers(task, from, to, mode, now)).await
    }

    /// An agent calls his transfer off.
    pub async fn cancels_transfer(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.cancels_transfer(task, agent, now)).await
    }

    /// An agent holds the customer.
    pub async fn holds(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.holds(task, agent, now)).await
    }

    /// An agent takes the customer off hold.
    pub async fn unholds(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.unholds(task, agent, now)).await
    }

    /// An agent hangs up his own leg.
    pub async fn leaves(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.leaves(task, agent, now)).await
    }

    /// An agent completes his wrapped-up reservation.
    pub async fn completes(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.completes(task, agent, now)).await
    }

    /// The customer hangs up.
    pub async fn customer_hangs_up(&self, task: &TaskSid) -> Result<(), InvalidAction> {
        self.act(|world, now| world.customer_hangs_up(task, now)).await
    }

    /// The socket of an agent's newest running stream dies.
    pub async fn socket_dies(&self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.act(|world, now| world.socket_dies(task, agent, now)).await
    }

    /// The conference is ended from outside.
    pub async fn conference_ends(&self, task: &TaskSid) {
        self.act(|world, now| world.conference_ends(task, now)).await;
    }

    async fn act<T>(&self, verb: impl FnOnce(&mut World, Ms) -> T) -> T {
        let (result, tickets) = self.shared.act(verb);
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
