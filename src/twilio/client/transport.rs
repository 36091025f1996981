//! Sends requests: connections, credentials, permits and limits. Each request is sent once and its answer judged.

use super::api_error::ApiError;
use super::arming::Arming;
use super::hosts::{Product, events_beside};
use super::request::Request;
use super::settings::{ClientSettings, Credentials};
use crate::call::fact::EpochMs;
use crate::call::sid::AccountSid;
use crate::call::step::{Outcome, Trouble};
use crate::twilio::failure::{About, ErrorResponse, verdict};
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tracing::debug;
use url::Url;

/// Twilio's error bodies have a few hundred bytes. A longer one is another server's page and is not read to its end.
const ERROR_BODY_BYTES: usize = 16 * 1024;
/// Twilio's request ids have 34 characters.
const REQUEST_ID_BYTES: usize = 64;

/// A client that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The platform's root certificates could not be loaded.
    #[error("the HTTPS client could not be set up: install the system's root certificates (ca-certificates)")]
    Tls,
    /// A base URL to which no path can be appended.
    #[error("a base URL of Twilio's API must begin with http:// or https:// and have a host")]
    BaseUrl,
}

/// The connections to Twilio of one account.
pub(super) struct Transport {
    http: reqwest::Client,
    account_sid: AccountSid,
    credentials: Credentials,
    api_base_url: Url,
    taskrouter_base_url: Url,
    events_base_url: Url,
    connect_timeout: Duration,
    request_timeout: Duration,
    answer_limit_bytes: usize,
    max_pages: usize,
    in_flight: Semaphore,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("account_sid", &self.account_sid).finish_non_exhaustive()
    }
}

/// One operation's requests, and what the last answer said.
pub(super) struct Exchange {
    operation: &'static str,
    arming: Arming,
    deadline: Instant,
    pub(super) status: Option<u16>,
    pub(super) request_id: Option<String>,
    /// When Twilio answered, by its own clock.
    pub(super) date: Option<EpochMs>,
}

impl Transport {
    pub(super) fn new(settings: &ClientSettings) -> Result<Transport, ClientError> {
        let bases = [&settings.api_base_url, &settings.taskrouter_base_url];
        if !bases.iter().all(|base| matches!(base.scheme(), "http" | "https") && base.has_host()) {
            return Err(ClientError::BaseUrl);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let builder = reqwest::Client::builder();
        // Bytes that a dead connection has not delivered by then are dropped with it: nothing of a command arrives later.
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(delivery_timeout(settings.connect_timeout, settings.request_timeout));
        let builder = match &settings.proxy {
            Some(proxy) => builder.proxy(proxy.for_reqwest()),
            None => builder.no_proxy(),
        };
        let http = builder
            .user_agent(user_agent())
            .default_headers(headers)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(settings.pool_idle)
            .pool_max_idle_per_host(settings.max_in_flight)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // Not even after a protocol NACK. hyper still repeats one case: a request of which no byte was written,
            // because its pooled connection had been closed, goes out on another connection.
            .retry(reqwest::retry::never())
            .http1_only()
            .build()
            .map_err(|_| ClientError::Tls)?;
        Ok(Transport {
            http,
            account_sid: settings.account_sid.clone(),
            credentials: settings.credentials.clone(),
            api_base_url: settings.api_base_url.clone(),
            taskrouter_base_url: settings.taskrouter_base_url.clone(),
            events_base_url: events_beside(&settings.taskrouter_base_url),
            connect_timeout: settings.connect_timeout,
            request_timeout: settings.request_timeout,
            answer_limit_bytes: settings.answer_limit_bytes,
            max_pages: settings.max_pages,
            in_flight: Semaphore::new(settings.max_in_flight),
        })
    }

    pub(super) fn base_url(&self, product: Product) -> &Url {
        match product {
            Product::Api => &self.api_base_url,
            Product::TaskRouter => &self.taskrouter_base_url,
            Product::Events => &self.events_base_url,
        }
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(super) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    pub(super) fn max_pages(&self) -> usize {
        self.max_pages
    }

    /// Waits until fewer than `max_in_flight` operations are under way.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed, so there is always a permit in the end.
        self.in_flight.acquire().await.ok()
    }

    pub(super) fn has_permits(&self) -> bool {
        self.in_flight.available_permits() > 0
    }

    /// Begins an operation: its deadline counts from here.
    pub(super) fn exchange(&self, operation: &'static str, arming: Arming) -> Exchange {
        let deadline = Instant::now() + self.request_timeout;
        Exchange { operation, arming, deadline, status: None, request_id: None, date: None }
    }

    /// Sends once, with a permit of its own. The body of a 2xx, and when Twilio answered by its own clock.
    pub(super) async fn fetch(
        &self,
        operation: &'static str,
        request: &Request,
    ) -> Result<(Vec<u8>, Option<EpochMs>), ApiError> {
        let _permit = self.permit().await;
        let mut exchange = self.exchange(operation, Arming::always());
        let body = self.send(&mut exchange, request).await?;
        Ok((body, exchange.date))
    }

    /// [`Transport::fetch`], with a body that must be readable as `T`.
    pub(super) async fn fetch_json<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: &Request,
    ) -> Result<T, ApiError> {
        let (body, _) = self.fetch(operation, request).await?;
        serde_json::from_slice(&body).map_err(|_| ApiError::unreadable())
    }

    /// Every row of a list whose rows stand under `key`.
    pub(super) async fn fetch_all(
        &self,
        operation: &'static str,
        mut request: Request,
        key: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let mut rows = Vec::new();
        for _ in 0..self.max_pages {
            let mut page: Value = self.fetch_json(operation, &request).await?;
            rows.append(page.get_mut(key).and_then(Value::as_array_mut).ok_or_else(ApiError::unreadable)?);
            let url = request.url(self.base_url(request.product));
            let next = page.pointer("/meta/next_page_url").and_then(Value::as_str);
            let next = next.and_then(|next| url.join(next).ok());
            let next = next.filter(|next| last_segment(next) == last_segment(&url));
            // Only the query is used: our credentials go to the same host as before, whatever host the list names.
            match next.as_ref().and_then(Url::query) {
                Some(query) => request.query = Some(query.to_owned()),
                None => return Ok(rows),
            }
        }
        Err(ApiError::unreadable())
    }

    /// Sends once. The body of a 2xx; anything else as its verdict.
    pub(super) async fn send(&self, exchange: &mut Exchange, request: &Request) -> Result<Vec<u8>, Outcome> {
        let mut response = self.respond(exchange, request).await?;
        self.whole_body(exchange, &mut response).await
    }

    async fn respond(&self, exchange: &mut Exchange, request: &Request) -> Result<Response, Outcome> {
        let started = Instant::now();
        let (user, password) = match &self.credentials {
            Credentials::ApiKey { key, secret } => (key.as_str(), secret),
            Credentials::AuthToken(token) => (self.account_sid.as_str(), token),
        };
        let method = if request.form.is_some() { Method::POST } else { Method::GET };
        let mut sending = self
            .http
            .request(method, request.url(self.base_url(request.product)))
            .basic_auth(user, Some(password.expose_secret()))
            .timeout(exchange.deadline.saturating_duration_since(started));
        if let Some(form) = &request.form {
            let body = serde_urlencoded::to_string(form)
                .map_err(|_| Outcome::Refused(exchange.trouble("the request could not be written as a form")))?;
            sending =
                sending.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(exchange.arming.body(body));
        }
        // Each page has a status of its own.
        exchange.status = None;
        let sent = sending.send().await;
        if let Ok(response) = &sent {
            exchange.status = Some(response.status().as_u16());
            exchange.request_id = request_id(response.headers());
            exchange.date = date(response.headers());
        }
        debug!(
            operation = exchange.operation,
            status = exchange.status,
            ms = started.elapsed().as_millis(),
            request_id = exchange.request_id.as_deref(),
            "request to Twilio"
        );
        let mut response = sent.map_err(|error| exchange.failed(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(judge(&mut response, request.about).await)
    }

    async fn whole_body(&self, exchange: &Exchange, response: &mut Response) -> Result<Vec<u8>, Outcome> {
        // One byte more than the limit tells a body of exactly that length from a longer one.
        let body = beginning(response, self.answer_limit_bytes.saturating_add(1)).await;
        let body = body.map_err(|error| exchange.failed(&error))?;
        if body.len() > self.answer_limit_bytes {
            return Err(exchange.unknown("Twilio's answer is longer than twilio.answer_limit_bytes"));
        }
        Ok(body)
    }
}

impl Exchange {
    /// Answered, and not as Twilio answers; `reason` is in our own words.
    pub(super) fn unknown(&self, reason: &str) -> Outcome {
        Outcome::Unknown(self.trouble(reason))
    }

    /// No whole answer came.
    fn lost(&self, reason: &str) -> Outcome {
        Outcome::Unknown(Trouble { lost: true, ..self.trouble(reason) })
    }

    fn trouble(&self, reason: &str) -> Trouble {
        Trouble { status: self.status, code: None, reason: reason.to_owned(), retry_after_ms: None, lost: false }
    }

    /// reqwest's error holds the URL and the network's own words, so only its kind is used.
    fn failed(&self, error: &reqwest::Error) -> Outcome {
        if self.arming.is_disarmed() {
            Outcome::TryLater(self.trouble("the command was given up, because it could not be sent in time"))
        } else if error.is_connect() {
            // No TCP or TLS connection, so not a byte of the request has left.
            Outcome::TryLater(self.trouble("could not connect to Twilio"))
        } else if error.is_timeout() {
            self.lost("Twilio did not answer in time")
        } else if self.status.is_some() {
            self.lost("Twilio's answer was cut off")
        } else {
            self.lost("the connection broke before Twilio answered")
        }
    }
}

/// How long written bytes may take to be acknowledged. A command is written at most `connect` after its request began, so
/// that what is written last has arrived, or never will, when `request` has passed since then.
pub fn delivery_timeout(connect: Duration, request: Duration) -> Duration {
    request.saturating_sub(connect).max(request / 4)
}

async fn judge(response: &mut Response, about: About) -> Outcome {
    // A body that is cut off does not change what the status says.
    let body = beginning(response, ERROR_BODY_BYTES).await.unwrap_or_default();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let error = ErrorResponse { status: response.status().as_u16(), retry_after, body: &body };
    verdict(error, about, jiff::Timestamp::now().as_millisecond())
}

/// At most `limit` bytes of the body.
async fn beginning(response: &mut Response, limit: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < limit {
        let Some(chunk) = response.chunk().await? else { break };
        let rest = limit - body.len();
        body.extend_from_slice(chunk.get(..rest).unwrap_or(&chunk));
    }
    Ok(body)
}

fn last_segment(url: &Url) -> Option<&str> {
    url.path_segments()?.next_back()
}

/// It goes into logs and the journal, so it must look like an id.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("twilio-request-id")?.to_str().ok()?;
    let is_id = (1..=REQUEST_ID_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    is_id.then(|| text.to_owned())
}

fn date(headers: &HeaderMap) -> Option<EpochMs> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(DateTimeParser::new().parse_timestamp(text).ok()?.as_millisecond())
}

fn user_agent() -> String {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{}/{} ({os} {arch}) rust", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}
