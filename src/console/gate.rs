//! Who may come in.
//!
//! On loopback everybody on this machine may, without a token. Elsewhere the token is asked for: as `Authorization: Bearer`
//! by programs, as the password of HTTP Basic (any name) by browsers, which then ask for it themselves and need no cookie.
//! Without a token and off loopback nobody may: the probes and the metrics, which name nobody, are served all the same.
//!
//! Browsers send credentials along, and reach loopback, on behalf of any page that they show. Hence:
//! - what changes something must come from our own pages: `Sec-Fetch-Site: same-origin`, else an `Origin` that is ours. What
//!   bears neither is no browser of the last years (all send `Origin` with a POST), and no other page's doing.
//! - without a token `Host` must be an address or `localhost`: a name can be pointed at this machine by its owner, whose
//!   page would then count as ours (DNS rebinding).
//!
//! There is no token in the forms: the two checks do not depend on a secret, a cookie or a clock.

use super::Console;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// Scripts and styles from our own files only, nothing inline; no other origin may frame us or be sent anything.
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

/// Who is let in.
pub(super) struct Gate {
    token: Option<SecretString>,
    is_private: bool,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Closed,
    NoToken,
    ForeignHost,
    ForeignPage,
}

impl Gate {
    pub(super) fn new(token: Option<SecretString>, is_private: bool) -> Self {
        Self { token, is_private }
    }

    fn check(&self, headers: &HeaderMap, changes: bool) -> Result<(), Stop> {
        match &self.token {
            Some(token) if !is_given(headers, token) => return Err(Stop::NoToken),
            Some(_) => {}
            None if !self.is_private => return Err(Stop::Closed),
            None if !has_unforgeable_host(headers) => return Err(Stop::ForeignHost),
            None => {}
        }
        if changes && !is_from_us(headers) { Err(Stop::ForeignPage) } else { Ok(()) }
    }
}

/// Lets in, or says why not; and says to browsers what they may do with the answer.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, actix_web::Error> {
    let changes = !request.method().is_safe();
    let stop = match request.app_data::<web::Data<Console>>() {
        Some(console) => console.gate.check(request.headers(), changes).err(),
        None => Some(Stop::Closed),
    };
    let mut answer = match stop {
        None => next.call(request).await?.map_into_left_body(),
        Some(stop) => request.into_response(stop.answer()).map_into_right_body(),
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}

impl Stop {
    fn answer(self) -> HttpResponse {
        let (mut response, why) = match self {
            Stop::Closed => (
                HttpResponse::Forbidden(),
                "The calls are shown on loopback only, or with a token: set admin.token, or admin.listen to 127.0.0.1.",
            ),
            Stop::NoToken => {
                let mut response = HttpResponse::Unauthorized();
                response.insert_header((WWW_AUTHENTICATE, "Basic realm=\"taskrouter-streams\", charset=\"UTF-8\""));
                (response, "The token is missing or wrong: give admin.token as the password, or as a Bearer token.")
            }
            Stop::ForeignHost => (
                HttpResponse::Forbidden(),
                "Without admin.token this is reached by an IP address or as localhost only, not by a name.",
            ),
            Stop::ForeignPage => {
                (HttpResponse::Forbidden(), "This was sent by a page of somebody else, so it is not done.")
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
    // Digests, so that the time says nothing of the length either.
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
