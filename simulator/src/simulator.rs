//! The simulator as one thing: the world, its REST API, its callbacks and sockets.

use super::callbacks;
use super::delivery::{Delivery, DeliveryFault, Destination};
use super::documents;
use super::faults::Faults;
use super::media;
pub use super::settings::Settings;
use super::shared::{Shared, locked, tick};
use super::world::World;
use actix_web::dev::ServerHandle;
use secrecy::SecretString;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
        let (documents, wanted) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(settings, jobs, sockets, documents));
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let server = super::api::serve(shared.clone(), listener);
        let server = server.map_err(|reason| StartError::Listen { address, reason })?;
        let handle = server.handle();
        tasks.spawn(server);
        tasks.spawn(documents::dispatch(shared.clone(), wanted, client.clone(), cancel.clone()));
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
    pub fn delivery_fault(&self, event_type: Option<&str>, fault: DeliveryFault) {
        locked(&self.shared.delivery_faults).push((event_type.map(str::to_owned), fault));
    }

    /// Looks at what goes wrong with requests, or changes it.
    pub fn faults<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        change(&mut locked(&self.shared.faults))
    }

    /// Looks at the world as it is now, or changes it. The events that come of it are on their way.
    pub fn world<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        self.shared.with(change)
    }

    /// Lets something happen in the world, and returns when the events that it causes have been delivered.
    pub async fn act<T>(&self, action: impl FnOnce(&mut World) -> T) -> T {
        let (result, tickets) = self.shared.act(action);
        for ticket in tickets {
            // A ticket is torn when its event was dropped, delayed or held back by script.
            let _ = ticket.await;
        }
        result
    }

    /// Every attempt to deliver an event so far.
    pub fn deliveries(&self) -> Vec<Delivery> {
        locked(&self.shared.deliveries).clone()
    }

    /// Waits until nothing is scheduled in the world, every event is through and no socket is being opened or closed; false
    /// when that took longer than `limit`.
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
