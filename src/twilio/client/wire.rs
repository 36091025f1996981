//! One HTTP exchange: sent once, read up to a limit, and judged.

use super::{ClientError, ClientSettings, Credentials, Request};
use crate::call::fact::EpochMs;
use crate::call::sid::AccountSid;
use crate::call::step::{Outcome, Trouble};
use crate::twilio::failure::{About, Refusal, verdict};
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tracing::debug;
use url::Url;

/// Twilio's error bodies have a few hundred bytes; what is longer is somebody else's page and is not read to its end.
const ERROR_BODY_BYTES: usize = 16 * 1024;
/// Twilio's request ids have 34 characters.
const REQUEST_ID_BYTES: usize = 64;

/// The connections and the credentials.
pub(super) struct Wire {
    http: reqwest::Client,
    account_sid: AccountSid,
    credentials: Credentials,
    answer_limit_bytes: usize,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("account_sid", &self.account_sid).finish_non_exhaustive()
    }
}

/// What is learned while an operation is performed.
pub(super) struct Exchange {
    operation: &'static str,
    deadline: Instant,
    pub(super) status: Option<u16>,
    pub(super) request_id: Option<String>,
    /// When Twilio answered, by its own clock.
    pub(super) date: Option<EpochMs>,
}

impl Exchange {
    pub(super) fn new(operation: &'static str, deadline: Instant) -> Exchange {
        Exchange { operation, deadline, status: None, request_id: None, date: None }
    }

    /// Perhaps processed; our own words for why that is not known.
    pub(super) fn unknown(&self, reason: &str) -> Outcome {
        Outcome::Unknown(self.trouble(reason))
    }

    fn trouble(&self, reason: &str) -> Trouble {
        Trouble { status: self.status, code: None, reason: reason.to_owned(), retry_after_ms: None }
    }

    /// reqwest's error holds the URL and the network's own words: only its kind is used.
    fn failed(&self, error: &reqwest::Error) -> Outcome {
        if error.is_connect() {
            // No TCP or TLS connection, so not a byte of the request has left.
            Outcome::TryLater(self.trouble("no connection to Twilio could be made"))
        } else if error.is_timeout() {
            self.unknown("Twilio did not answer in time")
        } else if self.status.is_some() {
            self.unknown("Twilio's answer broke off")
        } else {
            self.unknown("the connection broke before Twilio answered")
        }
    }
}

impl Wire {
    pub(super) fn new(settings: &ClientSettings) -> Result<Wire, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let http = reqwest::Client::builder()
            .user_agent(user_agent())
            .default_headers(headers)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(settings.pool_idle)
            .pool_max_idle_per_host(settings.max_in_flight)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // Not even after a protocol NACK. What remains below is hyper's: a request of which no byte was written,
            // because its pooled connection had been closed, goes out on another connection.
            .retry(reqwest::retry::never())
            .http1_only()
            .build()
            .map_err(|_| ClientError::Tls)?;
        Ok(Wire {
            http,
            account_sid: settings.account_sid.clone(),
            credentials: settings.credentials.clone(),
            answer_limit_bytes: settings.answer_limit_bytes,
        })
    }

    /// Sends once. The body of a 2xx, everything else as its verdict.
    pub(super) async fn send(&self, exchange: &mut Exchange, url: Url, request: &Request) -> Result<Vec<u8>, Outcome> {
        let mut response = self.exchange(exchange, url, request).await?;
        if request.is_command {
            // Read only so that the connection can be used again: whatever the body is, the request was taken.
            return Ok(beginning(&mut response, self.answer_limit_bytes).await.unwrap_or_default());
        }
        self.whole_body(exchange, &mut response).await
    }

    async fn exchange(&self, exchange: &mut Exchange, url: Url, request: &Request) -> Result<Response, Outcome> {
        let started = Instant::now();
        let (user, password) = match &self.credentials {
            Credentials::ApiKey { key, secret } => (key.as_str(), secret),
            Credentials::AuthToken(token) => (self.account_sid.as_str(), token),
        };
        let method = if request.form.is_some() { Method::POST } else { Method::GET };
        let mut sending = self
            .http
            .request(method, url)
            .basic_auth(user, Some(password.expose_secret()))
            .timeout(exchange.deadline.saturating_duration_since(started));
        if let Some(form) = &request.form {
            let body = serde_urlencoded::to_string(form)
                .map_err(|_| Outcome::Refused(exchange.trouble("the request could not be written as a form")))?;
            sending = sending.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
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
            "asked Twilio"
        );
        let mut response = sent.map_err(|error| exchange.failed(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(judge(&mut response, request.about).await)
    }

    async fn whole_body(&self, exchange: &Exchange, response: &mut Response) -> Result<Vec<u8>, Outcome> {
        // One byte more than the limit tells a body of just that length from a longer one.
        let body = beginning(response, self.answer_limit_bytes.saturating_add(1)).await;
        let body = body.map_err(|error| exchange.failed(&error))?;
        if body.len() > self.answer_limit_bytes {
            return Err(exchange.unknown("Twilio's answer is longer than twilio.answer_limit_bytes"));
        }
        Ok(body)
    }
}

async fn judge(response: &mut Response, about: About) -> Outcome {
    // A body that breaks off does not change what the status says.
    let body = beginning(response, ERROR_BODY_BYTES).await.unwrap_or_default();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let refusal = Refusal { status: response.status().as_u16(), retry_after, body: &body };
    verdict(refusal, about, jiff::Timestamp::now().as_millisecond())
}

/// At most `limit` bytes of the body.
async fn beginning(response: &mut Response, limit: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < limit {
        let Some(chunk) = response.chunk().await? else { break };
        let room = limit - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
    }
    Ok(body)
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
