//! Twilio's REST API: one method per operation, and a verdict for whatever happens.
//!
//! The client performs a request once and says how it ended; it never retries, follows no redirect and uses no proxy.
//! Whether a request may be sent again is the core's decision, so every end is told apart by what is known of it:
//! done, gone, certainly not processed, perhaps processed, refused ([`Outcome`]).
//! Source: <https://www.twilio.com/docs/usage/requests-to-twilio>.

mod answers;
mod events;
mod hosts;
mod unanswered;
mod wire;
mod workspaces;

pub use events::EventsPage;
pub use hosts::{HostError, Product, base_url};
pub use unanswered::Unanswered;
pub use workspaces::WorkspaceRow;

use crate::call::sid::{AccountSid, CallSid, ConferenceSid, TaskSid, WorkspaceSid};
use crate::call::step::{Answer, Guard, Operation, Outcome, StreamStart, Trouble};
use crate::twilio::failure::About;
use crate::twilio::twiml::{self, ConferenceVerb, Document, StreamVerb, Track};
use answers::NextPage;
use secrecy::SecretString;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;
use wire::{Exchange, Wire};

/// A conference takes 250 participants at most (`maxParticipants`), so one page holds them all.
const PARTICIPANTS_PER_PAGE: u16 = 250;

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
    /// Where streams go; [`StreamStart::slot`] is an index into it.
    pub destinations: Vec<Destination>,
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
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Performed {
    /// The verdict.
    pub outcome: Outcome,
    /// `Twilio-Request-Id` of the last answer, when it bore one.
    pub request_id: Option<String>,
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
    account_sid: AccountSid,
    workspace_sid: WorkspaceSid,
    api_base_url: Url,
    taskrouter_base_url: Url,
    destinations: Vec<Destination>,
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
            account_sid: settings.account_sid,
            workspace_sid: settings.workspace_sid,
            api_base_url: settings.api_base_url,
            taskrouter_base_url: settings.taskrouter_base_url,
            destinations: settings.destinations,
            request_timeout: settings.request_timeout,
            max_pages: settings.max_pages,
            in_flight: Semaphore::new(settings.max_in_flight),
        })
    }

    /// Performs the operation once and says how it ended. Waits for its turn first when `max_in_flight` operations are
    /// under way; the time-out runs from its turn on, so a caller that holds a lease must renew it meanwhile.
    pub async fn perform(&self, operation: &Operation) -> Performed {
        // The semaphore is never closed, so there is always a permit in the end.
        let _turn = self.in_flight.acquire().await.ok();
        let mut exchange = Exchange::new(operation.name(), Instant::now() + self.request_timeout);
        let ended = match operation {
            Operation::FetchTask { task } => self.fetch_task(&mut exchange, task).await,
            Operation::FindConference { friendly_name } => self.find_conference(&mut exchange, friendly_name).await,
            Operation::FetchConference { conference } => self.fetch_conference(&mut exchange, conference).await,
            Operation::ReadParticipants { conference } => self.read_participants(&mut exchange, conference).await,
            Operation::UpdateCustomer { conference, customer, guard, hold } => {
                self.update_customer(&mut exchange, conference, customer, *guard, *hold).await
            }
            Operation::Redirect { customer, room, stop, start } => {
                self.redirect(&mut exchange, customer, room, stop, start).await
            }
            Operation::StopStream { customer, name } => self.stop_stream(&mut exchange, customer, name).await,
        };
        Performed { outcome: ended.map_or_else(|outcome| outcome, Outcome::Done), request_id: exchange.request_id }
    }

    async fn fetch_task(&self, exchange: &mut Exchange, task: &TaskSid) -> Result<Answer, Outcome> {
        let path = ["v1", "Workspaces", self.workspace_sid.as_str(), "Tasks", task.as_str()];
        let body = self.wire.get(exchange, at(&self.taskrouter_base_url, &path)).await?;
        answers::read_task(&body).map(Answer::Task).ok_or_else(|| exchange.unreadable())
    }

    async fn find_conference(&self, exchange: &mut Exchange, friendly_name: &str) -> Result<Answer, Outcome> {
        let mut url = self.account_url(&["Conferences.json"]);
        url.query_pairs_mut().append_pair("FriendlyName", friendly_name).append_pair("Status", "in-progress");
        let body = self.wire.get(exchange, url).await?;
        let found = answers::read_conferences(&body, friendly_name);
        found.map(Answer::Conference).ok_or_else(|| exchange.unreadable())
    }

    async fn fetch_conference(&self, exchange: &mut Exchange, conference: &ConferenceSid) -> Result<Answer, Outcome> {
        let url = self.account_url(&["Conferences", &format!("{conference}.json")]);
        let body = self.wire.get(exchange, url).await?;
        let row = answers::read_conference(&body).ok_or_else(|| exchange.unreadable())?;
        Ok(Answer::Conference(Some(row)))
    }

    async fn read_participants(&self, exchange: &mut Exchange, conference: &ConferenceSid) -> Result<Answer, Outcome> {
        // Without the base's own path: that is how Twilio writes `next_page_uri`.
        let path = format!("/2010-04-01/Accounts/{}/Conferences/{conference}/Participants.json", self.account_sid);
        let mut query = format!("PageSize={PARTICIPANTS_PER_PAGE}");
        let mut all = Vec::new();
        for _ in 0..self.max_pages {
            let mut url = self.account_url(&["Conferences", conference.as_str(), "Participants.json"]);
            url.set_query(Some(&query));
            let body = self.wire.get(exchange, url).await?;
            let page = answers::read_participants(&body, &path).ok_or_else(|| exchange.unreadable())?;
            all.extend(page.rows);
            match page.next {
                None => return Ok(Answer::Participants(all)),
                Some(NextPage::Query(next)) => query = next,
                Some(NextPage::Elsewhere) => {
                    return Err(exchange.unknown("the list's next page lies somewhere else, where it is not followed"));
                }
            }
        }
        Err(exchange.unknown("the list has more pages than twilio.max_pages"))
    }

    async fn update_customer(
        &self,
        exchange: &mut Exchange,
        conference: &ConferenceSid,
        customer: &CallSid,
        guard: Option<Guard>,
        hold: Option<bool>,
    ) -> Result<Answer, Outcome> {
        let segments = ["Conferences", conference.as_str(), "Participants", &format!("{customer}.json")];
        let guard = guard.map(|guard| match guard {
            Guard::Raised => ("EndConferenceOnExit", "true"),
            Guard::Lowered => ("EndConferenceOnExit", "false"),
        });
        let hold = hold.map(|hold| ("Hold", if hold { "true" } else { "false" }));
        let form: Vec<(&str, &str)> = guard.into_iter().chain(hold).collect();
        let body = self.wire.post(exchange, self.account_url(&segments), &form, About::Other).await?;
        let row = answers::read_participant(&body, customer).ok_or_else(|| exchange.unreadable())?;
        Ok(Answer::Participant(row))
    }

    async fn redirect(
        &self,
        exchange: &mut Exchange,
        customer: &CallSid,
        room: &str,
        stop: &[String],
        start: &[StreamStart],
    ) -> Result<Answer, Outcome> {
        let twiml = self.redirect_twiml(room, stop, start).map_err(Outcome::Refused)?;
        let url = self.account_url(&["Calls", &format!("{customer}.json")]);
        self.wire.command(exchange, url, &[("Twiml", &twiml)]).await?;
        Ok(Answer::Accepted)
    }

    async fn stop_stream(&self, exchange: &mut Exchange, customer: &CallSid, name: &str) -> Result<Answer, Outcome> {
        let url = self.account_url(&["Calls", customer.as_str(), "Streams", &format!("{name}.json")]);
        self.wire.command(exchange, url, &[("Status", "stopped")]).await?;
        Ok(Answer::Accepted)
    }

    /// The TwiML of a redirect, or why there is none, which happens before anything is sent.
    fn redirect_twiml(&self, room: &str, stop: &[String], start: &[StreamStart]) -> Result<String, Trouble> {
        let start = start.iter().map(|stream| self.stream_verb(stream)).collect::<Result<Vec<_>, _>>()?;
        let conference = ConferenceVerb { room: room.to_owned(), beep: false, end_conference_on_exit: true };
        let document = Document { stop: stop.to_vec(), start, conference };
        twiml::render(&document).map_err(|error| not_sent(error.to_string()))
    }

    fn stream_verb(&self, stream: &StreamStart) -> Result<StreamVerb, Trouble> {
        let Some(destination) = self.destinations.get(stream.slot) else {
            return Err(not_sent(format!(
                "the stream wants destination {} and streams.destinations has {}: add one, then redrive",
                stream.slot + 1,
                self.destinations.len()
            )));
        };
        Ok(StreamVerb {
            name: stream.name.clone(),
            url: destination.url.clone(),
            track: destination.track,
            parameters: vec![
                ("workerSid".to_owned(), stream.worker.to_string()),
                ("reservationSid".to_owned(), stream.reservation.to_string()),
                ("taskSid".to_owned(), stream.task.to_string()),
            ],
            status_callback: None,
        })
    }

    fn account_url(&self, segments: &[&str]) -> Url {
        let path = ["2010-04-01", "Accounts", self.account_sid.as_str()];
        at(&self.api_base_url, &[&path, segments].concat())
    }
}

/// The base with more path segments, percent-encoded.
fn at(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // Fails for URLs without a host only, which `Client::new` refuses.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

fn not_sent(reason: String) -> Trouble {
    Trouble { status: None, code: None, reason, retry_after_ms: None }
}
