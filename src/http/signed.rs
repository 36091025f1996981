//! What every path of the public listener begins with: a body within limits, and Twilio's signature over it.
//!
//! A handler gets at a body through [`Unverified::verify`] and [`Unverified::form`] only, so that none can be looked at before its signature has been
//! checked.

use super::accounts::{Account, named, signer};
use super::refusal::Refusal;
use super::routes::Door;
use crate::twilio::signature::{Pair, parse_pairs};
use actix_web::body::{BodyStream, MessageBody};
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpRequest, web};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most one line of a kind in this time: whoever can reach the door must not be able to fill the log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A body that is too large is read and thrown away up to this many times the limit, because a sender that is cut off
/// while writing may never see the answer.
const DISCARD_FACTOR: usize = 4;

/// A whole body that nobody may look at yet.
pub(super) struct Unverified {
    body: Vec<u8>,
    is_form: bool,
}

/// A body that Twilio signed for us.
pub(super) enum Signed<'a> {
    /// A form's parameters, in the order sent.
    Form(Vec<Pair<'a>>),
    /// Bytes of another media type, whose hash the signed URL holds.
    Bytes(&'a [u8]),
}

/// Reads a request's body within `limit` bytes and the client's time, or says why not.
pub(super) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    door: &Door,
    limit: usize,
) -> Result<Unverified, Refusal> {
    match tokio::time::timeout(door.settings.client_timeout, whole(request, payload, limit)).await {
        Ok(Ok(body)) => Ok(Unverified { body, is_form: is_form(request) }),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::TooSlow),
    }
}

impl Unverified {
    /// The body and the account that it comes from, if the request bears Twilio's signature; else why it is refused.
    pub(super) fn verify<'a>(
        &'a self,
        request: &HttpRequest,
        door: &'a Door,
    ) -> Result<(&'a Account, Signed<'a>), Refusal> {
        let pairs = if self.is_form { parse_pairs(&self.body) } else { Vec::new() };
        let account = match self.authenticate(request, door, &pairs) {
            Ok(account) => account,
            Err((reason, checked)) => {
                door.forgeries.log(|suppressed| {
                    let account = checked.map_or("-", |account| account.account.as_str());
                    tracing::warn!(
                        reason,
                        account,
                        suppressed,
                        "refused a request that Twilio did not sign for us; if it was Twilio, check the account's auth token and the public URL"
                    );
                });
                return Err(Refusal::Forbidden);
            }
        };
        Ok((account, if self.is_form { Signed::Form(pairs) } else { Signed::Bytes(&self.body) }))
    }

    /// The parameters of a form that bears Twilio's signature; another media type is refused, though it be signed.
    pub(super) fn form<'a>(
        &'a self,
        request: &HttpRequest,
        door: &'a Door,
    ) -> Result<(&'a Account, Vec<Pair<'a>>), Refusal> {
        match self.verify(request, door)? {
            (account, Signed::Form(pairs)) => Ok((account, pairs)),
            (_, Signed::Bytes(_)) => Err(Refusal::MediaType),
        }
    }

    /// The account whose token signed the request; else why not, and whose was tried.
    fn authenticate<'a>(
        &self,
        request: &HttpRequest,
        door: &'a Door,
        pairs: &[Pair<'_>],
    ) -> Result<&'a Account, (&'static str, Option<&'a Account>)> {
        let (header, target) = (signature(request).map_err(|reason| (reason, None))?, target(request));
        let accounts = &door.settings.accounts;
        let account = if self.is_form { named(accounts, pairs) } else { signer(accounts, target, header) };
        account
            .filter(|account| account.verifier.verify(target, self.is_form, &self.body, pairs, header))
            .ok_or(("X-Twilio-Signature does not fit", account))
    }
}

/// Whether the URL is signed and holds the hash of a body: a stranger cannot make us read more than a small one.
pub(super) fn awaits_body(request: &HttpRequest, door: &Door) -> bool {
    let (target, accounts) = (target(request), &door.settings.accounts);
    let signer =
        |header| signer(accounts, target, header).is_some_and(|account| account.verifier.awaits_body(target, header));
    signature(request).is_ok_and(signer)
}

fn signature(request: &HttpRequest) -> Result<&[u8], &'static str> {
    let mut headers = request.headers().get_all("x-twilio-signature");
    let header = headers.next().ok_or("there is no X-Twilio-Signature")?;
    if headers.next().is_some() {
        return Err("there is more than one X-Twilio-Signature");
    }
    Ok(header.as_bytes())
}

/// The raw target: a path that was decoded or normalised is not what Twilio signed.
fn target(request: &HttpRequest) -> &str {
    request.uri().path_and_query().map_or("/", |target| target.as_str())
}

fn is_form(request: &HttpRequest) -> bool {
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Reads the body. A declared length is not relied on: a chunked body has none.
async fn whole(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Vec<u8>, Refusal> {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut body = Vec::with_capacity(declared.unwrap_or(0).min(limit));
    let mut received = 0_usize;
    let mut chunks = pin!(BodyStream::new(payload));
    while let Some(chunk) = poll_fn(|context| chunks.as_mut().poll_next(context)).await {
        let chunk = chunk.map_err(|_| Refusal::Broken)?;
        received = received.saturating_add(chunk.len());
        if received > limit.saturating_mul(DISCARD_FACTOR) {
            break;
        }
        if received <= limit {
            body.extend_from_slice(&chunk);
        }
    }
    if received > limit { Err(Refusal::TooLarge) } else { Ok(body) }
}

/// Says something at most once per [`LOG_INTERVAL`], with the number of times that it kept silent.
#[derive(Default)]
pub(super) struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    pub(super) fn log(&self, say: impl FnOnce(u64)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, suppressed) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < LOG_INTERVAL) {
            *suppressed += 1;
            return;
        }
        *last = Some(Instant::now());
        let count = std::mem::take(suppressed);
        drop(state);
        say(count);
    }
}
