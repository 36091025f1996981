//! The public listener: which paths there are, and what their handlers share.
//!
//! Nothing of a request is looked at before its signature has been checked, and 204 is said only when what it tells is on
//! disk: from then on it is ours to keep.

use super::events;
use super::refusal::Refusal;
use super::signed::Seldom;
use super::stream_status;
use crate::call::fact::{EpochMs, Fact, What};
use crate::call::sid::{AccountSid, TaskSid, WorkspaceSid};
use crate::journal::{Ingested, Journal, JournalError, NewFact};
use crate::twilio::event::Envelope;
use crate::twilio::interest::Interest;
use crate::twilio::signature::Verifier;
use actix_web::dev::Server;
use actix_web::http::header::{ALLOW, CONTENT_TYPE};
use actix_web::{App, HttpResponse, HttpServer, web};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the public listener needs to know.
#[derive(Debug)]
pub struct IngressSettings {
    /// Checks signatures.
    pub verifier: Verifier,
    /// The account whose events are taken.
    pub account: AccountSid,
    /// The workspace whose events are taken.
    pub workspace: WorkspaceSid,
    /// What of an event is kept.
    pub interest: Interest,
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

/// What the handlers share.
pub(super) struct Door {
    pub(super) settings: IngressSettings,
    pub(super) forgeries: Seldom,
    journal: Arc<dyn Journal>,
    failures: Seldom,
}

/// Where Twilio tells how streams fare. The worker adds `?task=` and the TaskSid, for which Twilio's form has no place.
pub const STREAM_STATUS_PATH: &str = "/streams/status";

/// Serves the signed paths on `listener`: `POST /taskrouter/events` and `POST /streams/status`. Signals are the caller's; the server stops through its
/// handle.
///
/// Answers: 204 after the commit (and to authentic events that are of no interest), 413 too large, 408 too slow, 403 not
/// signed by Twilio or for another account or workspace, 415 another media type, 400 unusable (`{"error": …}` names what),
/// 503 with `Retry-After` when the journal cannot take it.
pub fn public(settings: IngressSettings, journal: Arc<dyn Journal>, listener: TcpListener) -> std::io::Result<Server> {
    let threads = settings.threads.max(1);
    let per_thread = settings.max_connections.div_ceil(threads).max(1);
    let (client_timeout, keep_alive) = (settings.client_timeout, settings.keep_alive);
    let shutdown_grace_s = settings.shutdown_grace_s;
    let door = web::Data::new(Door { settings, journal, forgeries: Seldom::default(), failures: Seldom::default() });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(door.clone())
            .service(
                web::resource("/taskrouter/events")
                    .route(web::post().to(events::receive))
                    .default_service(web::to(method_not_allowed)),
            )
            .service(
                web::resource(STREAM_STATUS_PATH)
                    .route(web::post().to(stream_status::receive))
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

impl Door {
    /// Refuses an event of another account or workspace.
    pub(super) fn is_ours(&self, envelope: &Envelope) -> Result<(), Refusal> {
        let Envelope { account, workspace, content: _ } = envelope;
        if *account == self.settings.account && *workspace == self.settings.workspace {
            return Ok(());
        }
        tracing::warn!(%account, %workspace, "refused an event of another workspace");
        Err(Refusal::Forbidden)
    }

    /// Journals what was told of a call; returns after the commit.
    pub(super) async fn keep(&self, call: TaskSid, identity: String, what: What) -> Result<(), Refusal> {
        let fact = Fact { at: now(), what };
        match self.journal.ingest(NewFact { call: call.clone(), identity, fact }).await {
            Ok(ingested) => {
                let duplicate = match ingested {
                    Ingested::New => false,
                    Ingested::Duplicate => true,
                };
                tracing::debug!(%call, duplicate, "event journaled");
                Ok(())
            }
            Err(
                error @ (JournalError::Overloaded { .. }
                | JournalError::LeaseLost { .. }
                | JournalError::Unavailable { .. }
                | JournalError::Fatal { .. }),
            ) => {
                self.failures
                    .log(|suppressed| tracing::error!(%call, %error, suppressed, "an event was not journaled"));
                Err(Refusal::Unavailable { retry_after_s: self.settings.retry_after_s })
            }
        }
    }
}

/// 204 with a media type, although there is no body: so Twilio's page on event callbacks asks for it.
pub(super) fn taken() -> HttpResponse {
    HttpResponse::NoContent().insert_header((CONTENT_TYPE, "application/json")).finish()
}

pub(super) fn now() -> EpochMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EpochMs::try_from(since.as_millis()).unwrap_or(EpochMs::MAX)
}
