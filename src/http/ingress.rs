//! The signed door: `POST /taskrouter/events`.
//!
//! Nothing of a request is looked at before its signature has been checked, and 204 is said only when the event is on disk:
//! from then on it is ours to keep.

use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::{AccountSid, WorkspaceSid};
use crate::journal::{Ingested, Journal, JournalError, NewFact};
use crate::twilio::event::{self, Content};
use crate::twilio::signature::{Pair, Verifier, parse_pairs};
use actix_web::body::{BodyStream, MessageBody};
use actix_web::dev::Server;
use actix_web::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use std::future::poll_fn;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// At most one line of a kind in this time: whoever can reach the door must not be able to fill the log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A body that is too large is read and thrown away up to this many times the limit, because a sender that is cut off
/// while writing may never see the answer.
const DISCARD_FACTOR: usize = 4;

/// What the public listener needs to know.
#[derive(Debug)]
pub struct IngressSettings {
    /// Checks signatures.
    pub verifier: Verifier,
    /// The account whose events are taken.
    pub account: AccountSid,
    /// The workspace whose events are taken.
    pub workspace: WorkspaceSid,
    /// The largest body taken, in bytes; larger ones are answered with 413.
    pub body_limit_bytes: usize,
    /// `Retry-After` of 503 answers, in seconds.
    pub retry_after_s: u64,
    /// Threads that serve requests; at least one.
    pub threads: usize,
    /// How long a client may take to send its head, and again its body; then 408.
    pub client_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// The most connections at a time, over all threads; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long requests under way may take to end at a stop, in seconds.
    pub shutdown_grace_s: u64,
}

struct Door {
    settings: IngressSettings,
    journal: Arc<dyn Journal>,
    forgeries: Seldom,
    failures: Seldom,
}

/// Serves `POST /taskrouter/events` on `listener`. Signals are the caller's; the server stops through its handle.
///
/// Answers: 204 after the commit (and to authentic events that are of no interest), 413 too large, 408 too slow, 403 not
/// signed by Twilio or for another account or workspace, 415 not a form, 400 unusable (`{"error": …}` names the parameter),
/// 503 with `Retry-After` when the journal cannot take it.
pub fn public(settings: IngressSettings, journal: Arc<dyn Journal>, listener: TcpListener) -> std::io::Result<Server> {
    let threads = settings.threads.max(1);
    let per_thread = settings.max_connections.div_ceil(threads).max(1);
    let (client_timeout, keep_alive) = (settings.client_timeout, settings.keep_alive);
    let shutdown_grace_s = settings.shutdown_grace_s;
    let door = web::Data::new(Door { settings, journal, forgeries: Seldom::default(), failures: Seldom::default() });
    let server = HttpServer::new(move || {
        App::new().app_data(door.clone()).service(
            web::resource("/taskrouter/events")
                .route(web::post().to(receive))
                .default_service(web::to(method_not_allowed)),
        )
    })
    .workers(threads)
    .max_connections(per_thread)
    .client_request_timeout(client_timeout)
    .keep_alive(keep_alive)
    .shutdown_timeout(shutdown_grace_s)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok(server)
}

async fn method_not_allowed() -> HttpResponse {
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, "POST")).finish()
}

async fn receive(request: HttpRequest, payload: web::Payload, door: web::Data<Door>) -> HttpResponse {
    let limit = door.settings.body_limit_bytes;
    let body = match tokio::time::timeout(door.settings.client_timeout, read(&request, payload, limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(Unread::TooLarge)) => return HttpResponse::PayloadTooLarge().force_close().finish(),
        Ok(Err(Unread::Broken)) => return HttpResponse::BadRequest().force_close().finish(),
        Err(_) => return HttpResponse::RequestTimeout().force_close().finish(),
    };
    let is_form = is_form(&request);
    let pairs = if is_form { parse_pairs(&body) } else { Vec::new() };
    if let Err(reason) = authenticate(&request, &door.settings.verifier, is_form, &body, &pairs) {
        door.forgeries.log(|suppressed| {
            tracing::warn!(
                reason,
                suppressed,
                "refused a request that Twilio did not sign for us; if it was Twilio, check the auth token and the public URL"
            );
        });
        return HttpResponse::Forbidden().finish();
    }
    if !is_form {
        return HttpResponse::UnsupportedMediaType().finish();
    }
    let envelope = match event::parse(&pairs) {
        Ok(envelope) => envelope,
        Err(malformed) => {
            tracing::warn!(%malformed, "refused an authentic event");
            return HttpResponse::BadRequest().json(serde_json::json!({"error": malformed.to_string()}));
        }
    };
    if envelope.account != door.settings.account || envelope.workspace != door.settings.workspace {
        tracing::warn!(account = %envelope.account, workspace = %envelope.workspace, "refused an event of another workspace");
        return HttpResponse::Forbidden().finish();
    }
    match envelope.content {
        Content::Ours { task, identity, what } => {
            let fact = Fact { at: now(), what };
            door.keep(NewFact { call: task, identity, fact }).await
        }
        Content::NotOurs => taken(),
    }
}

impl Door {
    async fn keep(&self, fact: NewFact) -> HttpResponse {
        let call = fact.call.clone();
        match self.journal.ingest(fact).await {
            Ok(ingested) => {
                let duplicate = match ingested {
                    Ingested::New => false,
                    Ingested::Duplicate => true,
                };
                tracing::debug!(%call, duplicate, "event journaled");
                taken()
            }
            Err(
                error @ (JournalError::Overloaded { .. }
                | JournalError::LeaseLost { .. }
                | JournalError::Unavailable { .. }
                | JournalError::Fatal { .. }),
            ) => {
                self.failures
                    .log(|suppressed| tracing::error!(%call, %error, suppressed, "an event was not journaled"));
                HttpResponse::ServiceUnavailable()
                    .insert_header((RETRY_AFTER, self.settings.retry_after_s.to_string()))
                    .finish()
            }
        }
    }
}

/// 204 with a media type, although there is no body: so Twilio's page on event callbacks asks for it.
fn taken() -> HttpResponse {
    HttpResponse::NoContent().insert_header((CONTENT_TYPE, "application/json")).finish()
}

fn authenticate(
    request: &HttpRequest,
    verifier: &Verifier,
    is_form: bool,
    body: &[u8],
    pairs: &[Pair<'_>],
) -> Result<(), &'static str> {
    let mut headers = request.headers().get_all("x-twilio-signature");
    let header = headers.next().ok_or("there is no X-Twilio-Signature")?;
    if headers.next().is_some() {
        return Err("there is more than one X-Twilio-Signature");
    }
    // The raw target: a path that was decoded or normalised is not what Twilio signed.
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    if verifier.verify(target, is_form, body, pairs, header.as_bytes()) {
        Ok(())
    } else {
        Err("X-Twilio-Signature does not fit")
    }
}

fn is_form(request: &HttpRequest) -> bool {
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Why there is no body.
enum Unread {
    TooLarge,
    Broken,
}

/// Reads the body. A declared length is not relied on: a chunked body has none.
async fn read(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Vec<u8>, Unread> {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut body = Vec::with_capacity(declared.unwrap_or(0).min(limit));
    let mut received = 0_usize;
    let mut chunks = pin!(BodyStream::new(payload));
    while let Some(chunk) = poll_fn(|context| chunks.as_mut().poll_next(context)).await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        received = received.saturating_add(chunk.len());
        if received > limit.saturating_mul(DISCARD_FACTOR) {
            break;
        }
        if received <= limit {
            body.extend_from_slice(&chunk);
        }
    }
    if received > limit { Err(Unread::TooLarge) } else { Ok(body) }
}

fn now() -> EpochMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EpochMs::try_from(since.as_millis()).unwrap_or(EpochMs::MAX)
}

/// Says something at most once per [`LOG_INTERVAL`], with the number of times that it kept silent.
#[derive(Default)]
struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    fn log(&self, say: impl FnOnce(u64)) {
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
