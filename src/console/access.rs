//! Access to the console.
//!
//! On loopback no token is required unless one is set. Elsewhere one is: programs send it as `Authorization: Bearer`, browsers
//! as the password of HTTP Basic (with any name), for which they ask without a cookie. Off loopback and without a token, access
//! is denied. Probes and metrics hold no personal data and are served regardless.
//!
//! A browser sends credentials, and reaches loopback, on behalf of any page that it shows. Therefore:
//! - A request that changes something must come from our own pages: `Sec-Fetch-Site: same-origin`, else our own `Origin`.
//!   Every current browser sends `Origin` with a POST, so a request without both headers comes from no page.
//! - Without a token, `Host` must be an IP address or `localhost`. The owner of any other name could point it at this machine,
//!   and their page would count as ours (DNS rebinding).
//!
//! Whoever has `admin.token` reads and operates; whoever has `admin.read_token` only reads. A proxy in front may name the operator in
//! `admin.identity_header`, and the name is kept with what they do.
//!
//! A wrong token is counted, logged and answered late, and few can be tried at a time.
//!
//! Forms need no CSRF token: these checks depend on no secret, cookie or clock.

use super::settings::ConsoleSettings;
use crate::telemetry::log_throttle::LogThrottle;
use crate::telemetry::metrics::Metrics;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// Scripts and styles only from our own files, nothing inline; no other origin may frame a page or receive a form.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// `same-origin` rather than `no-referrer`, with which browsers would send `Origin: null` with our own forms.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The rules of one console.
pub(super) struct Access {
    token: Option<SecretString>,
    read_token: Option<SecretString>,
    identity_header: Option<String>,
    is_private: bool,
    login_delay: Duration,
    /// A permit for every answer to a wrong token that may wait.
    late_answers: Semaphore,
    metrics: Arc<Metrics>,
    log: LogThrottle,
}

/// Wrong tokens whose answers wait at a time: these connections are not free for health.
const LATE_ANSWERS: usize = 32;

/// Why access is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    Disabled,
    NoToken,
    WrongToken,
    TooManyWrong,
    ForeignHost,
    CrossSite,
    ReadOnly,
}

/// A longer name of an operator is cut.
const NAME_LENGTH: usize = 100;

/// The operator whom a proxy named; kept with the request.
#[derive(Debug, Clone)]
struct Operator(String);

impl Access {
    pub(super) fn new(settings: &ConsoleSettings, metrics: Arc<Metrics>) -> Self {
        let ConsoleSettings { token, read_token, identity_header, is_private, login_delay, .. } = settings.clone();
        let late_answers = Semaphore::new(LATE_ANSWERS);
        let log = LogThrottle::default();
        Self { token, read_token, identity_header, is_private, login_delay, late_answers, metrics, log }
    }

    /// Lets a request in, or waits before it is refused for its token.
    async fn admit(&self, request: &ServiceRequest) -> Result<(), Denied> {
        let changes = !request.method().is_safe();
        let is_login = self.token.is_some() && request.headers().contains_key(AUTHORIZATION);
        let admitted = if is_login && self.late_answers.available_permits() == 0 {
            // Not compared: else an answer at once would tell that a token is wrong.
            Err(Denied::TooManyWrong)
        } else {
            self.check(request.headers(), changes)
        };
        if let Err(denied) = admitted {
            self.note(denied, request);
            if denied == Denied::WrongToken {
                let Ok(_waiting) = self.late_answers.try_acquire() else { return Err(Denied::TooManyWrong) };
                tokio::time::sleep(self.login_delay).await;
            }
        }
        admitted
    }

    fn note(&self, denied: Denied, request: &ServiceRequest) {
        let reason = denied.word();
        self.metrics.ingress.admin_refusals.get_or_create(&[("reason", reason)]).inc();
        // A browser's first request has no token.
        if denied != Denied::NoToken {
            let peer = request.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
            self.log.log(|suppressed| tracing::warn!(reason, peer, suppressed, "refused a request to the console"));
        }
    }

    fn check(&self, headers: &HeaderMap, changes: bool) -> Result<(), Denied> {
        match &self.token {
            Some(_) if !headers.contains_key(AUTHORIZATION) => return Err(Denied::NoToken),
            Some(token) if !is_given(headers, token) => match &self.read_token {
                Some(reader) if is_given(headers, reader) && changes => return Err(Denied::ReadOnly),
                Some(reader) if is_given(headers, reader) => {}
                Some(_) | None => return Err(Denied::WrongToken),
            },
            Some(_) => {}
            None if !self.is_private => return Err(Denied::Disabled),
            None if !has_unforgeable_host(headers) => return Err(Denied::ForeignHost),
            None => {}
        }
        if changes && !is_from_us(headers) { Err(Denied::CrossSite) } else { Ok(()) }
    }
}

impl Access {
    /// The operator's name, as the proxy gave it.
    fn operator(&self, headers: &HeaderMap) -> Option<Operator> {
        let name = headers.get(self.identity_header.as_deref()?)?.to_str().ok()?.trim();
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_LENGTH).collect();
        (!name.is_empty()).then_some(Operator(name))
    }
}

/// Who sent the request, when a proxy said so.
pub(super) fn operator(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<Operator>().map(|operator| operator.0.clone())
}

/// Checks access, and adds the security headers to the answer.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, actix_web::Error> {
    let denied = match request.app_data::<web::Data<Access>>() {
        Some(access) => {
            if let Some(operator) = access.operator(request.headers()) {
                request.extensions_mut().insert(operator);
            }
            access.admit(&request).await.err()
        }
        None => Some(Denied::Disabled),
    };
    let mut answer = match denied {
        None => next.call(request).await?.map_into_left_body(),
        Some(denied) => request.into_response(denied.answer()).map_into_right_body(),
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}

impl Denied {
    fn word(self) -> &'static str {
        match self {
            Denied::Disabled => "disabled",
            Denied::NoToken => "missing_token",
            Denied::WrongToken => "wrong_token",
            Denied::TooManyWrong => "too_many",
            Denied::ForeignHost => "foreign_host",
            Denied::CrossSite => "cross_site",
            Denied::ReadOnly => "read_only",
        }
    }

    fn answer(self) -> HttpResponse {
        let (mut response, why) = match self {
            Denied::Disabled => (
                HttpResponse::Forbidden(),
                "Calls are shown only on loopback or with a token: set admin.token, or admin.listen to 127.0.0.1.",
            ),
            Denied::NoToken | Denied::WrongToken => {
                let mut response = HttpResponse::Unauthorized();
                response.insert_header((WWW_AUTHENTICATE, "Basic realm=\"taskrouter-streams\", charset=\"UTF-8\""));
                (response, "The token is missing or wrong: send admin.token as the password, or as a Bearer token.")
            }
            Denied::TooManyWrong => {
                let mut response = HttpResponse::TooManyRequests();
                response.insert_header((RETRY_AFTER, "1"));
                (response, "Too many wrong tokens: try again in a second.")
            }
            Denied::ForeignHost => (
                HttpResponse::Forbidden(),
                "Without admin.token, use an IP address or localhost instead of a host name.",
            ),
            Denied::CrossSite => (HttpResponse::Forbidden(), "Cross-site request refused."),
            Denied::ReadOnly => {
                (HttpResponse::Forbidden(), "This token may only read: admin.token is needed to redrive or dismiss.")
            }
        };
        response.content_type("text/plain; charset=utf-8").body(why)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_given(headers: &HeaderMap, token: &SecretString) -> bool {
    let Some((scheme, rest)) = text(headers, &AUTHORIZATION).and_then(|value| value.split_once(' ')) else {
        return false;
    };
    let given = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().as_bytes().to_vec()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = STANDARD.decode(rest.trim()).unwrap_or_default();
        pair.splitn(2, |byte| *byte == b':').nth(1).map(<[u8]>::to_vec).unwrap_or_default()
    } else {
        return false;
    };
    // Digests, so that the time does not reveal the length either.
    let expected = Sha256::digest(token.expose_secret().as_bytes());
    Sha256::digest(&given).ct_eq(&expected).into()
}

/// The part of `Host` or of an origin ahead of the port.
fn host(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn has_unforgeable_host(headers: &HeaderMap) -> bool {
    let Some(host) = text(headers, &HOST).map(host) else { return false };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

fn is_from_us(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    match headers.get(ORIGIN) {
        None => true,
        Some(origin) => {
            let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
            authority.is_some() && authority == text(headers, &HOST)
        }
    }
}
