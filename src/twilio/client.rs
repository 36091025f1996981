//! Twilio's REST API: one method per operation, and a verdict for whatever happens.
//!
//! The client performs a request once and says how it ended; it never retries, follows no redirect and uses no proxy.
//! Whether a request may be sent again is the core's decision, so every end is told apart by what is known of it:
//! done, gone, certainly not processed, perhaps processed, refused ([`Outcome`]). What is sent ([`Site::request`]) and what an
//! answer says ([`Reader`], [`verdict`](super::failure::verdict)) are functions of values, so that they need no network to be tried.
//! Source: <https://www.twilio.com/docs/usage/requests-to-twilio>.

mod answers;
mod events;
mod hosts;
mod probe;
mod requests;
mod sinks;
mod unanswered;
mod wire;
mod workspaces;

pub use answers::{Read, Reader};
pub use events::{EventsPage, Unlisted};
pub use hosts::{HostError, Product, base_url};
pub use requests::{Form, Request, Site};
pub use sinks::{SinkRow, SubscriptionRow, configuration as sink_configuration};
pub use unanswered::Unanswered;
pub use workspaces::WorkspaceRow;

use crate::call::sid::{AccountSid, WorkspaceSid};
use hosts::events_beside;

use crate::call::step::{Answer, Operation, Outcome};
use crate::twilio::twiml::Track;
use secrecy::SecretString;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use url::Url;
use wire::{Exchange, Wire};

/// What the client needs to know.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Whose calls.
    pub account_sid: AccountSid,
    /// Whose tasks.
    pub workspace_sid: WorkspaceSid,
    /// Who asks.
    pub credentials: Credentials,
    /// `https://api.twilio.com`, or another place that speaks the same.
    pub api_base_url: Url,
    /// `https://taskrouter.twilio.com`, or another place that speaks the same.
    pub taskrouter_base_url: Url,
    /// Where streams go; [`StreamStart::slot`](crate::call::step::StreamStart::slot) is an index into it.
    pub destinations: Vec<Destination>,
    /// Where Twilio tells how streams fare.
    pub status_url: String,
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// For one operation with its connection, its answer and all its pages; not for waiting for its turn.
    pub request_timeout: Duration,
    /// Operations at once; the others wait their turn.
    pub max_in_flight: usize,
    /// How long an idle connection is kept for the next request.
    pub pool_idle: Duration,
    /// The longest body that is read, in bytes; a longer one is unreadable.
    pub answer_limit_bytes: usize,
    /// The most pages of a list that are read; a longer list is unreadable.
    pub max_pages: usize,
}

/// Who asks: HTTP Basic's user and password.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// An API key (SK…) and its secret.
    ApiKey {
        /// The key's SID.
        key: String,
        /// Its secret.
        secret: SecretString,
    },
    /// The account's own auth token.
    AuthToken(SecretString),
}

/// Where a stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// `wss://…`, without a query string.
    pub url: String,
    /// Which audio.
    pub track: Track,
    /// Twilio is asked to tell how its streams fare.
    pub confirms: bool,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Performed {
    /// The verdict.
    pub outcome: Outcome,
    /// `Twilio-Request-Id` of the last answer, when it bore one.
    pub request_id: Option<String>,
    /// HTTP status of the last answer, when there was one.
    pub status: Option<u16>,
}

/// The right to perform one operation now.
#[derive(Debug)]
pub struct Permit<'a> {
    client: &'a Client,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Permit<'_> {
    /// Performs the operation once and says how it ended.
    pub async fn perform(self, operation: &Operation) -> Performed {
        let mut exchange = Exchange::new(operation.name(), Instant::now() + self.client.request_timeout);
        let ended = self.client.ask(&mut exchange, operation).await;
        let outcome = ended.map_or_else(|outcome| outcome, Outcome::Done);
        Performed { outcome, request_id: exchange.request_id, status: exchange.status }
    }
}

/// A client that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No TLS: the platform's root certificates could not be loaded.
    #[error("the HTTPS client could not be set up: install the system's root certificates (ca-certificates)")]
    Tls,
    /// A base URL that no path can be put behind.
    #[error("a base URL of Twilio's API must begin with http:// or https:// and have a host")]
    BaseUrl,
}

/// Twilio's REST API for one account and one workspace.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    site: Site,
    api_base_url: Url,
    taskrouter_base_url: Url,
    events_base_url: Url,
    request_timeout: Duration,
    max_pages: usize,
    in_flight: Semaphore,
}

impl Client {
    /// Opens no connection yet.
    pub fn new(settings: ClientSettings) -> Result<Client, ClientError> {
        let bases = [&settings.api_base_url, &settings.taskrouter_base_url];
        if !bases.iter().all(|base| matches!(base.scheme(), "http" | "https") && base.has_host()) {
            return Err(ClientError::BaseUrl);
        }
        Ok(Client {
            wire: Wire::new(&settings)?,
            site: Site {
                account_sid: settings.account_sid,
                workspace_sid: settings.workspace_sid,
                destinations: settings.destinations,
                status_url: settings.status_url,
            },
            api_base_url: settings.api_base_url,
            events_base_url: events_beside(&settings.taskrouter_base_url),
            taskrouter_base_url: settings.taskrouter_base_url,
            request_timeout: settings.request_timeout,
            max_pages: settings.max_pages,
            in_flight: Semaphore::new(settings.max_in_flight),
        })
    }

    /// Whose calls it asks about.
    pub fn account(&self) -> &AccountSid {
        &self.site.account_sid
    }

    /// Where Event Streams is set up.
    pub fn events_base_url(&self) -> &Url {
        &self.events_base_url
    }

    /// Performs the operation once, when it is its turn, and says how it ended.
    pub async fn perform(&self, operation: &Operation) -> Performed {
        self.permit().await.perform(operation).await
    }

    /// Waits until fewer than `max_in_flight` operations are under way. Whoever must know something at the moment of
    /// sending, such as that a lease still lasts, makes sure of it between this and [`Permit::perform`].
    pub async fn permit(&self) -> Permit<'_> {
        // The semaphore is never closed, so there is always a permit in the end.
        Permit { client: self, _permit: self.in_flight.acquire().await.ok() }
    }

    /// How long an operation takes at most, from its turn on.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    fn base_url(&self, product: Product) -> &Url {
        match product {
            Product::Api => &self.api_base_url,
            Product::TaskRouter => &self.taskrouter_base_url,
            Product::Events => &self.events_base_url,
        }
    }

    async fn ask(&self, exchange: &mut Exchange, operation: &Operation) -> Result<Answer, Outcome> {
        let mut request = self.site.request(operation).map_err(Outcome::Refused)?;
        let base = self.base_url(request.product);
        let mut reader = Reader::new(&self.site, operation, self.max_pages);
        loop {
            let body = self.wire.send(exchange, request.url(base), &request).await?;
            match reader.read(&body) {
                Ok(Read::Whole(answer)) => return Ok(answer),
                Ok(Read::NextPage(query)) => request.query = Some(query),
                Err(reason) => return Err(exchange.unknown(reason)),
            }
        }
    }
}
