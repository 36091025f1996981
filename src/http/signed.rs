//! Reads a body within limits and checks Twilio's signature over it.
//!
//! Handlers get a body only from [`Unverified::verify`] and [`Unverified::form`], so that none is used before its signature has
//! been checked.

use super::accounts::{IngressAccount, named, signer};
use super::responses::Rejection;
use super::state::IngestState;
use crate::twilio::signature::{Pair, parse_pairs};
use actix_web::body::{BodyStream, MessageBody};
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpRequest, web};
use std::future::poll_fn;
use std::pin::pin;

/// A body that is too large is read and discarded up to this many times the limit: a sender that is cut off while writing may
/// never see the answer.
const DISCARD_FACTOR: usize = 4;

/// A body whose signature has not been checked.
pub(super) struct Unverified {
    body: Vec<u8>,
    is_form: bool,
    /// What the address that Twilio was given ends with, where nobody has published whether it is signed.
    fragment: Option<&'static str>,
}

/// A body that Twilio signed for us.
pub(super) enum Signed<'a> {
    /// A form's parameters, in the order sent.
    Form(Vec<Pair<'a>>),
    /// Bytes of another media type, whose hash the signed URL holds.
    Bytes(&'a [u8]),
}

/// Reads a request's body within `limit` bytes and the client timeout.
pub(super) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    state: &IngestState,
    limit: usize,
) -> Result<Unverified, Rejection> {
    match tokio::time::timeout(state.settings.client_timeout, whole(request, payload, limit)).await {
        Ok(Ok(body)) => Ok(Unverified { body, is_form: is_form(request), fragment: None }),
        Ok(Err(rejection)) => Err(rejection),
        Err(_) => Err(Rejection::TooSlow),
    }
}

impl Unverified {
    /// A signature over the address with this fragment is valid too.
    pub(super) fn with_fragment(self, fragment: &'static str) -> Self {
        Self { fragment: Some(fragment), ..self }
    }

    /// The body and its account, if Twilio's signature is valid.
    pub(super) fn verify<'a>(
        &'a self,
        request: &HttpRequest,
        state: &'a IngestState,
    ) -> Result<(&'a IngressAccount, Signed<'a>), Rejection> {
        let pairs = if self.is_form { parse_pairs(&self.body) } else { Vec::new() };
        let account = match self.authenticate(request, state, &pairs) {
            Ok(account) => account,
            Err((reason, checked)) => {
                state.forgeries.log(|suppressed| {
                    let account = checked.map_or("-", |account| account.account.as_str());
                    tracing::warn!(
                        reason,
                        account,
                        suppressed,
                        "rejected a request without a valid Twilio signature; if it came from Twilio, check server.public_url and twilio.auth_tokens"
                    );
                });
                return Err(Rejection::Forbidden);
            }
        };
        Ok((account, if self.is_form { Signed::Form(pairs) } else { Signed::Bytes(&self.body) }))
    }

    /// The parameters of a form, if Twilio's signature is valid. A signed body of another media type is rejected.
    pub(super) fn form<'a>(
        &'a self,
        request: &HttpRequest,
        state: &'a IngestState,
    ) -> Result<(&'a IngressAccount, Vec<Pair<'a>>), Rejection> {
        match self.verify(request, state)? {
            (account, Signed::Form(pairs)) => Ok((account, pairs)),
            (_, Signed::Bytes(_)) => Err(Rejection::MediaType),
        }
    }

    /// The account whose token signed the request; else the reason, and the account that was tried.
    fn authenticate<'a>(
        &self,
        request: &HttpRequest,
        state: &'a IngestState,
        pairs: &[Pair<'_>],
    ) -> Result<&'a IngressAccount, (&'static str, Option<&'a IngressAccount>)> {
        let (header, target) = (signature(request).map_err(|reason| (reason, None))?, target(request));
        let accounts = &state.settings.accounts;
        let account = if self.is_form { named(accounts, pairs) } else { signer(accounts, target, header) };
        let with_fragment = self.fragment.map(|fragment| format!("{target}{fragment}"));
        let signs = |account: &&IngressAccount, target: &str| {
            account.verifier.verify(target, self.is_form, &self.body, pairs, header)
        };
        account
            .filter(|account| signs(account, target) || with_fragment.as_ref().is_some_and(|url| signs(account, url)))
            .ok_or(("X-Twilio-Signature does not match", account))
    }
}

/// Whether the URL is signed and holds the hash of a body. Only then a large body is read.
pub(super) fn awaits_body(request: &HttpRequest, state: &IngestState) -> bool {
    let (target, accounts) = (target(request), &state.settings.accounts);
    let signer =
        |header| signer(accounts, target, header).is_some_and(|account| account.verifier.awaits_body(target, header));
    signature(request).is_ok_and(signer)
}

fn signature(request: &HttpRequest) -> Result<&[u8], &'static str> {
    let mut headers = request.headers().get_all("x-twilio-signature");
    let header = headers.next().ok_or("X-Twilio-Signature is missing")?;
    if headers.next().is_some() {
        return Err("X-Twilio-Signature is repeated");
    }
    Ok(header.as_bytes())
}

/// The raw target: Twilio signed it before any decoding or normalisation.
fn target(request: &HttpRequest) -> &str {
    request.uri().path_and_query().map_or("/", |target| target.as_str())
}

fn is_form(request: &HttpRequest) -> bool {
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Reads the body. The declared length is not relied on, because a chunked body has none.
async fn whole(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Vec<u8>, Rejection> {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut body = Vec::with_capacity(declared.unwrap_or(0).min(limit));
    let mut received = 0_usize;
    let mut chunks = pin!(BodyStream::new(payload));
    while let Some(chunk) = poll_fn(|context| chunks.as_mut().poll_next(context)).await {
        let chunk = chunk.map_err(|_| Rejection::CutOff)?;
        received = received.saturating_add(chunk.len());
        if received > limit.saturating_mul(DISCARD_FACTOR) {
            break;
        }
        if received <= limit {
            body.extend_from_slice(&chunk);
        }
    }
    if received > limit { Err(Rejection::TooLarge) } else { Ok(body) }
}
