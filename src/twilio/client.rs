//! Twilio's REST API.
//!
//! A request is sent once, and each way in which it can end has a verdict of its own ([`Outcome`]). Nothing is retried here: whether a request may be sent again is the core's
//! decision. Redirects are not followed. Requests ([`AccountContext::request`]) and readings of answers
//! ([`Reader`], [`verdict`](super::failure::verdict)) are functions of values, so that tests need no network.
//! Source: <https://www.twilio.com/docs/usage/requests-to-twilio>.
//!
//! | module | what it holds |
//! |---|---|
//! | `settings` | what a client is made of |
//! | `hosts` | where Twilio's products are |
//! | `request` | one HTTP request as a value |
//! | `proxy` | the way to them |
//! | `transport` | connections, permits and limits: sends a request and judges its answer |
//! | `arming` | commands that are given up at the last moment |
//! | `account_context` | the request of each of the core's operations |
//! | `answers` | what the core learns from their answers |
//! | `event_log`, `event_streams`, `workspaces`, `probe` | resources that no step of a call uses |
//! | `api_error` | why a request to one of these failed |

mod account_context;
mod answers;
mod api_error;
mod arming;
mod event_log;
mod event_streams;
mod hosts;
mod probe;
mod proxy;
mod request;
mod settings;
mod transport;
mod workspaces;

pub use account_context::{AccountContext, CALLBACK_RETRIES, OWN_PARAMETERS, RESUME_PARAMETERS};
pub use answers::{Body, Reader};
pub use api_error::ApiError;
pub use arming::Arming;
pub use event_log::{EventLog, EventsPage, PagingError, RecordsPage};
pub use event_streams::{EventStreams, SinkRow, SubscriptionRow, sink_configuration};
pub use hosts::{HostError, Product, base_url};
pub use probe::Probe;
pub use proxy::{NotAProxy, OutboundProxy};
pub use request::{Form, Request};
pub use settings::{ClientSettings, Credentials, StreamDestination};
pub use transport::{ClientError, delivery_timeout};
pub use workspaces::{WorkspaceRow, Workspaces};

use crate::call::sid::AccountSid;
use crate::call::step::{Answer, Operation, Outcome, Trouble};
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use transport::{Exchange, Transport};

/// Twilio's REST API for one account and one workspace.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    context: AccountContext,
}

/// The right to perform one operation now.
#[derive(Debug)]
pub struct Permit<'a> {
    client: &'a Client,
    _permit: Option<SemaphorePermit<'a>>,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Performed {
    pub outcome: Outcome,
    /// `Twilio-Request-Id` of the last answer, if it had one.
    pub request_id: Option<String>,
    /// HTTP status of the last answer, if there was one.
    pub status: Option<u16>,
}

impl Client {
    /// Opens no connection yet.
    pub fn new(settings: ClientSettings) -> Result<Client, ClientError> {
        let transport = Transport::new(&settings)?;
        let ClientSettings { account_sid, workspace_sid, destinations, status_url, .. } = settings;
        Ok(Client { transport, context: AccountContext { account_sid, workspace_sid, destinations, status_url } })
    }

    /// The account that owns the calls.
    pub fn account(&self) -> &AccountSid {
        &self.context.account_sid
    }

    /// The operation as it can be sent: [`AccountContext::fit`].
    pub fn fit(&self, operation: Operation) -> Operation {
        self.context.fit(operation)
    }

    /// How long an operation takes at most, once it has a permit.
    pub fn request_timeout(&self) -> Duration {
        self.transport.request_timeout()
    }

    /// How long a connection may take to be ready. What is to be written later than that is given up.
    pub fn connect_timeout(&self) -> Duration {
        self.transport.connect_timeout()
    }

    /// Waits for a permit, performs the operation once and says how it ended.
    pub async fn perform(&self, operation: &Operation) -> Performed {
        self.permit().await.perform(operation, Arming::always()).await
    }

    /// Waits until fewer than `max_in_flight` operations are under way. A condition that must hold at the time of sending,
    /// such as a lease, is checked by the [`Arming`] of [`Permit::perform`].
    pub async fn permit(&self) -> Permit<'_> {
        Permit { client: self, _permit: self.transport.permit().await }
    }

    /// Whether [`Client::permit`] would not wait now.
    pub fn has_permits(&self) -> bool {
        self.transport.has_permits()
    }

    /// The workspace's events, as TaskRouter keeps them.
    pub fn event_log(&self) -> EventLog<'_> {
        EventLog { transport: &self.transport, workspace: &self.context.workspace_sid }
    }
    pub fn workspaces(&self) -> Workspaces<'_> {
        Workspaces(&self.transport)
    }

    /// The account's sinks and subscriptions.
    pub fn event_streams(&self) -> EventStreams<'_> {
        EventStreams(&self.transport)
    }

    /// For `doctor --probe-call`.
    pub fn probe(&self) -> Probe<'_> {
        Probe { transport: &self.transport, account: &self.context }
    }

    async fn answer(&self, exchange: &mut Exchange, operation: &Operation) -> Result<Answer, Outcome> {
        let mut request = self.context.request(operation).map_err(Outcome::Refused)?;
        let mut reader = Reader::new(&self.context, operation, self.transport.max_pages());
        loop {
            let body = match self.transport.send(exchange, &request).await {
                // Nobody has published that this callback's address may have a fragment. What is refused was not done.
                Err(Outcome::Refused(Trouble { status: Some(400), .. })) if request.has_callback_fragment() => {
                    request.drop_callback_fragment();
                    self.transport.send(exchange, &request).await?
                }
                sent => sent?,
            };
            match reader.read(&body) {
                Ok(Body::Whole(answer)) => return Ok(answer),
                Ok(Body::NextPage(query)) => request.query = Some(query),
                Err(reason) => return Err(exchange.unknown(reason)),
            }
        }
    }
}

impl Permit<'_> {
    /// Performs the operation once and says how it ended. Nothing of it is done unless `arming` still lets it be sent when its
    /// connection is ready.
    pub async fn perform(self, operation: &Operation, arming: Arming) -> Performed {
        let mut exchange = self.client.transport.exchange(operation.name(), arming);
        let answer = self.client.answer(&mut exchange, operation).await;
        let outcome = answer.map_or_else(|outcome| outcome, Outcome::Done);
        Performed { outcome, request_id: exchange.request_id, status: exchange.status }
    }
}
