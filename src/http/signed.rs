//! Reads a body within limits and checks Twilio's signature over it.
//!
//! Handlers get a body only from [`Unverified::verify`] and [`Unverified::form`], so that none is used before its signature has
//! been checked.

use super::accounts::{IngressAccount, named, signer};
use super::connections::Connection;
use super::guarded_stream::READ_AT_ONCE;
use super::paths::{EVENT_STREAMS_PATH, EVENTS_PATH, SIGNATURE, note_corrected, path_if_signed, signed_targets};
use super::pause_signature::PauseKey;
use super::responses::Rejection;
use super::state::IngestState;
use crate::telemetry::labels;
use crate::twilio::signature::{Pair, parse_pairs};
use actix_web::body::{BodyStream, MessageBody};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A body that is too large is read and discarded up to this many times the limit: a sender that is cut off while writing may
/// never see the answer.
const DISCARD_FACTOR: usize = 4;

/// A body whose signature has not been checked.
pub(super) struct Unverified {
    body: Vec<u8>,
    is_form: bool,
    /// What it takes of the budget of deliveries, until it has been handled.
    _held: Option<OwnedSemaphorePermit>,
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

/// Reads a request's body within `server.body_limit_bytes` and the client timeout.
pub(super) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    state: &IngestState,
) -> Result<Unverified, Rejection> {
    read_within(request, payload, state, Limit::body(state), Budget::none()).await
}

/// As [`read`], of a delivery of Event Streams: within a limit and a budget of its own if its body is [awaited](awaits_body).
pub(super) async fn read_delivery(
    request: &HttpRequest,
    payload: web::Payload,
    state: &IngestState,
) -> Result<Unverified, Rejection> {
    if awaits_body(request, state) {
        let budget = Budget::new(state.delivery_bytes.clone());
        return read_within(request, payload, state, Limit::delivery(state), budget).await;
    }
    let unsigned = "no token of ours has signed its URL with a bodySHA256, so only a short body is read: check server.public_url and twilio.auth_tokens";
    let limit = Limit { remedy: unsigned, ..Limit::body(state) };
    read_within(request, payload, state, limit, Budget::none()).await
}

/// What a request may have of something, and which key says so.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    key: &'static str,
    most: usize,
    remedy: &'static str,
}

impl Limit {
    const RAISE: &'static str =
        "if it came from Twilio, its event is lost unless it comes another way: raise the limit";

    fn body(state: &IngestState) -> Self {
        Self { key: "server.body_limit_bytes", most: state.settings.body_limit_bytes, remedy: Self::RAISE }
    }

    fn form_pairs(state: &IngestState) -> Self {
        Self { key: "server.form_pairs_limit", most: state.settings.form_pairs_limit, remedy: Self::RAISE }
    }

    pub(super) fn delivery(state: &IngestState) -> Self {
        let most = state.settings.event_streams_body_limit_bytes;
        Self { key: "server.event_streams_body_limit_bytes", most, remedy: Self::RAISE }
    }

    /// Refuses what is above. Whoever says that they are Twilio may be: what is refused is not sent again, so it is said in the log.
    pub(super) fn exceeded(self, request: &HttpRequest, state: &IngestState) -> Rejection {
        if let Some(path) = path_if_signed(request) {
            let Self { key, most, remedy } = self;
            state.oversized.log(|suppressed| {
                tracing::warn!(
                    path,
                    limit = key,
                    most,
                    suppressed,
                    "answered a request with an X-Twilio-Signature with 413: {remedy}"
                );
            });
        }
        Rejection::TooLarge
    }
}

async fn read_within(
    request: &HttpRequest,
    payload: web::Payload,
    state: &IngestState,
    limit: Limit,
    budget: Budget,
) -> Result<Unverified, Rejection> {
    match tokio::time::timeout(state.settings.client_timeout, whole(request, payload, state, limit, budget)).await {
        Ok(Ok((body, held))) => Ok(Unverified { body, is_form: is_form(request), _held: held, fragment: None }),
        Ok(Err(rejection)) => Err(rejection),
        Err(_) => Err(too_slow(request, state)),
    }
}

/// Refuses what did not arrive in time, which Twilio does not send again either.
fn too_slow(request: &HttpRequest, state: &IngestState) -> Rejection {
    if let Some(path) = path_if_signed(request) {
        state.oversized.log(|suppressed| {
            tracing::warn!(
                path,
                limit = "server.client_timeout_ms",
                suppressed,
                "answered a request with an X-Twilio-Signature with 408: its body did not arrive in time; if it came from Twilio, see whether a proxy in front is slow"
            );
        });
    }
    Rejection::TooSlow
}

/// Bytes that many bodies share, and what one of them holds of it.
pub(super) struct Budget {
    bytes: Option<Arc<Semaphore>>,
    held: Option<OwnedSemaphorePermit>,
}

impl Budget {
    fn none() -> Self {
        Self { bytes: None, held: None }
    }

    pub(super) fn new(bytes: Arc<Semaphore>) -> Self {
        Self { bytes: Some(bytes), held: None }
    }

    /// Returns whether there was enough left.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let Some(budget) = &self.bytes else { return true };
        let Some(permit) =
            u32::try_from(bytes).ok().and_then(|bytes| budget.clone().try_acquire_many_owned(bytes).ok())
        else {
            return false;
        };
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        true
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
        // Counted by their separators: parsing, sorting and hashing them costs more than a stranger may ask for.
        let has_too_many_pairs =
            || self.body.iter().filter(|byte| **byte == b'&').count() >= state.settings.form_pairs_limit;
        if self.is_form && has_too_many_pairs() {
            return Err(Limit::form_pairs(state).exceeded(request, state));
        }
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
        if let Some(connection) = Connection::of(request) {
            connection.verified();
        }
        note_corrected(request, state);
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
            (_, Signed::Bytes(_)) => Err(other_media_type(request, state)),
        }
    }

    /// The body, if it was signed with the key for pauses.
    pub(super) fn signed_for_pauses(
        &self,
        request: &HttpRequest,
        state: &IngestState,
        key: &PauseKey,
    ) -> Result<&[u8], Rejection> {
        if let Err(reason) = key.verify(request, &self.body, state.clock().now()) {
            state.forgeries.log(|suppressed| {
                tracing::warn!(
                    reason,
                    suppressed,
                    "rejected a request to pause or resume that is not signed with pause.secret"
                );
            });
            return Err(Rejection::Forbidden);
        }
        if let Some(connection) = Connection::of(request) {
            connection.verified();
        }
        Ok(&self.body)
    }

    /// The account whose token signed the request; else the reason, and the account that was tried.
    fn authenticate<'a>(
        &self,
        request: &HttpRequest,
        state: &'a IngestState,
        pairs: &[Pair<'_>],
    ) -> Result<&'a IngressAccount, (&'static str, Option<&'a IngressAccount>)> {
        let (header, targets) = (signature(request).map_err(|reason| (reason, None))?, signed_targets(request));
        let accounts = &state.settings.accounts;
        let meant = if self.is_form { named(accounts, pairs) } else { signer(accounts, &targets, header) };
        // Checked all the same, so that the time to a rejection does not reveal which accounts exist.
        let checked = meant.or_else(|| accounts.first());
        let with_fragment =
            self.fragment.into_iter().flat_map(|end| targets.iter().map(move |url| format!("{url}{end}")));
        let with_fragment: Vec<String> = with_fragment.collect();
        let signs = |account: &&IngressAccount| {
            let verify = |target: &String| account.verifier.verify(target, self.is_form, &self.body, pairs, header);
            targets.iter().chain(&with_fragment).any(verify)
        };
        checked.filter(signs).ok_or(match meant {
            None if self.is_form => ("AccountSid is missing or names no configured account", None),
            Some(_) | None => ("X-Twilio-Signature does not match", meant),
        })
    }
}

/// Refuses an authentic request for its media type: what Twilio sends is right, so it goes to a wrong path.
pub(super) fn other_media_type(request: &HttpRequest, state: &IngestState) -> Rejection {
    let path = labels::path(request.match_pattern().as_deref());
    state.astray.log(|suppressed| {
        tracing::warn!(
            path,
            suppressed,
            "answered an authentic request with 415, because this path does not accept its media type: the Event Callback URL must end in {EVENTS_PATH}, and a sink's in {EVENT_STREAMS_PATH}"
        );
    });
    Rejection::MediaType
}

/// Whether the URL is signed and holds the hash of a body. Only then a large body is read.
fn awaits_body(request: &HttpRequest, state: &IngestState) -> bool {
    let (targets, accounts) = (signed_targets(request), &state.settings.accounts);
    let awaits = |header: &[u8]| {
        let signer = signer(accounts, &targets, header);
        signer.is_some_and(|account| targets.iter().any(|target| account.verifier.awaits_body(target, header)))
    };
    let is_awaited = signature(request).is_ok_and(awaits);
    if is_awaited && let Some(connection) = Connection::of(request) {
        connection.verified();
    }
    is_awaited
}

fn signature(request: &HttpRequest) -> Result<&[u8], &'static str> {
    let mut headers = request.headers().get_all(SIGNATURE);
    let header = headers.next().ok_or("X-Twilio-Signature is missing")?;
    if headers.next().is_some() {
        return Err("X-Twilio-Signature is repeated");
    }
    Ok(header.as_bytes())
}

fn is_form(request: &HttpRequest) -> bool {
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// A body on its way. Most come whole, in one piece of their own size. Those that do not are kept in pieces of one size: one buffer that
/// grows would take up to twice what has been received, and leave holes of all sizes in the heap. Of this size the allocator keeps nine
/// in 64 KiB; of 8 KiB it would keep seven.
#[derive(Default)]
struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.0.last().map_or(0, |piece| piece.capacity() - piece.len());
            if room == 0 {
                let is_first = self.0.is_empty();
                self.0.push(Vec::with_capacity(if is_first { bytes.len().min(READ_AT_ONCE) } else { READ_AT_ONCE }));
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.0.last_mut().into_iter().for_each(|piece| piece.extend_from_slice(now));
            bytes = later;
        }
    }

    fn joined(mut self) -> Vec<u8> {
        if self.0.len() > 1 { self.0.concat() } else { self.0.pop().unwrap_or_default() }
    }
}

/// Reads the body. The declared length is not relied on: a chunked body has none, and memory is for what has been received.
async fn whole(
    request: &HttpRequest,
    payload: web::Payload,
    state: &IngestState,
    limit: Limit,
    mut budget: Budget,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Rejection> {
    let mut body = Pieces::default();
    let mut received = 0_usize;
    let mut chunks = pin!(BodyStream::new(payload));
    while let Some(chunk) = poll_fn(|context| chunks.as_mut().poll_next(context)).await {
        let chunk = chunk.map_err(|_| Rejection::CutOff)?;
        received = received.saturating_add(chunk.len());
        if received > limit.most.saturating_mul(DISCARD_FACTOR) {
            break;
        }
        if received <= limit.most {
            if !budget.take(chunk.len()) {
                return Err(state.unavailable());
            }
            body.append(&chunk);
        } else {
            body = Pieces::default();
            if let Some(connection) = Connection::of(request) {
                connection.discarded();
            }
        }
    }
    if received > limit.most { Err(limit.exceeded(request, state)) } else { Ok((body.joined(), budget.held)) }
}
