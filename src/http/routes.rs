//! The public listener: which paths there are, and what their handlers share.
//!
//! Nothing of a request is looked at before its signature has been checked, and 204 is said only when what it tells is on
//! disk: from then on it is ours to keep.

use super::accounts::Account;
use super::assignment;
use super::counted::{self, Brought, Verdict};
use super::event_streams;
use super::events;
use super::refusal::Refusal;
use super::signed::Seldom;
use super::stream_status;
use crate::call::fact::{Fact, What};
use crate::call::sid::TaskSid;
use crate::journal::{self, Ingest, Ingested, JournalError, NewFact, Outage};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Span, Traces};
use crate::twilio::assignment::ConferenceInstruction;
use actix_web::dev::Server;
use actix_web::http::header::{ALLOW, CONTENT_TYPE};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, Route, web};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What the public listener needs to know.
#[derive(Debug)]
pub struct IngressSettings {
    /// Whose events are taken. With none, every request is refused.
    pub accounts: Vec<Account>,
    /// The answer to assignment callbacks; without one there is no path for them.
    pub assignment: Option<ConferenceInstruction>,
    /// Told of events that the journal could not take.
    pub outage: Arc<Outage>,
    /// Where the events that were taken are traced.
    pub traces: Traces,
    /// The largest body taken, in bytes; larger ones are answered with 413.
    pub body_limit_bytes: usize,
    /// The same for a delivery of Event Streams whose URL is signed.
    pub event_streams_body_limit_bytes: usize,
    /// The most events of one delivery that wait for the journal at a time.
    pub ingest_at_once: usize,
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
    pub(super) metrics: Arc<Metrics>,
    journal: Arc<dyn Ingest>,
    failures: Seldom,
}

/// Where event callbacks arrive.
pub const EVENTS_PATH: &str = "/taskrouter/events";

/// Where Event Streams delivers.
pub const EVENT_STREAMS_PATH: &str = "/taskrouter/event-streams";

/// Where Twilio tells how streams fare. The worker adds `?task=` and the TaskSid, for which Twilio's form has no place.
pub const STREAM_STATUS_PATH: &str = "/streams/status";

/// Serves the signed paths on `listener`: `POST /taskrouter/events`, `POST /taskrouter/event-streams`, `POST /streams/status`
/// and, where it is switched on, `POST /taskrouter/assignment`. Signals are the caller's; the server stops through its
/// handle.
///
/// Answers: 204 after the commit (and to authentic events that are of no interest; 200 to assignments), 413 too large, 408 too slow, 403 not
/// signed by Twilio or for another account or workspace, 415 another media type, 400 unusable (`{"error": …}` names what),
/// 503 with `Retry-After` when the journal cannot take it.
pub fn public(
    settings: IngressSettings,
    journal: Arc<dyn Ingest>,
    metrics: Arc<Metrics>,
    listener: TcpListener,
) -> std::io::Result<Server> {
    let threads = settings.threads.max(1);
    let per_thread = settings.max_connections.div_ceil(threads).max(1);
    let (client_timeout, keep_alive) = (settings.client_timeout, settings.keep_alive);
    let shutdown_grace_s = settings.shutdown_grace_s;
    let instruction = settings.assignment.clone().map(web::Data::new);
    let door = Door { settings, journal, metrics, forgeries: Seldom::default(), failures: Seldom::default() };
    let door = web::Data::new(door);
    let server = HttpServer::new(move || {
        let taking = |path, route: Route| web::resource(path).route(route).default_service(web::to(method_not_allowed));
        App::new()
            .app_data(door.clone())
            .wrap(from_fn(counted::answers))
            .service(taking(EVENTS_PATH, web::post().to(events::receive)))
            .service(taking(EVENT_STREAMS_PATH, web::post().to(event_streams::receive)))
            .service(taking(STREAM_STATUS_PATH, web::post().to(stream_status::receive)))
            .configure(|app| {
                if let Some(instruction) = &instruction {
                    app.app_data(instruction.clone());
                    app.service(taking("/taskrouter/assignment", web::post().to(assignment::receive)));
                }
            })
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
    /// Journals every fact; returns after the commit of the last. When one cannot be journaled the sender must repeat all:
    /// those that were journaled are duplicates then.
    pub(super) async fn keep(&self, mut facts: Vec<NewFact>) -> Result<(), Refusal> {
        while !facts.is_empty() {
            // Together they share a commit; all of a large delivery at once would crowd out everybody else's.
            let rest = facts.split_off(facts.len().min(self.settings.ingest_at_once.max(1)));
            let mut ingests = JoinSet::new();
            for fact in std::mem::replace(&mut facts, rest) {
                let (journal, brought) = (self.journal.clone(), Brought::new(&fact.fact));
                let span = self.settings.traces.event(&fact.call, &fact.fact);
                ingests.spawn(async move { (fact.call.clone(), brought, span, journal.ingest(fact).await) });
            }
            while let Some(joined) = ingests.join_next().await {
                // A task that panicked has journaled nothing that may be acknowledged.
                let (call, brought, span, ingested) = joined.map_err(|_| self.unavailable())?;
                if let (Some(span), Ok(Ingested::New)) = (span, &ingested) {
                    self.settings.traces.record(Span { to: journal::now(), ..span });
                }
                self.told(&call, &brought, ingested)?;
            }
        }
        Ok(())
    }

    fn told(&self, call: &TaskSid, brought: &Brought, ingested: Result<Ingested, JournalError>) -> Result<(), Refusal> {
        match ingested {
            Ok(ingested) => {
                self.settings.outage.taken();
                let duplicate = match ingested {
                    Ingested::New => false,
                    Ingested::Duplicate => true,
                };
                brought.count(self, if duplicate { Verdict::Duplicate } else { Verdict::New });
                tracing::debug!(%call, duplicate, "event journaled");
                Ok(())
            }
            Err(
                error @ (JournalError::Overloaded { .. }
                | JournalError::LeaseLost { .. }
                | JournalError::Unavailable { .. }
                | JournalError::Fatal { .. }),
            ) => {
                self.settings.outage.refused(journal::now());
                brought.count(self, Verdict::Refused);
                self.failures
                    .log(|suppressed| tracing::error!(%call, %error, suppressed, "an event was not journaled"));
                Err(self.unavailable())
            }
        }
    }

    fn unavailable(&self) -> Refusal {
        Refusal::Unavailable { retry_after_s: self.settings.retry_after_s }
    }
}

/// What an event tells, as of now.
pub(super) fn new_fact(call: TaskSid, identity: String, what: What) -> NewFact {
    NewFact { call, identity, fact: Fact { at: journal::now(), what } }
}

/// 204 with a media type, although there is no body: so Twilio's page on event callbacks asks for it.
pub(super) fn taken() -> HttpResponse {
    HttpResponse::NoContent().insert_header((CONTENT_TYPE, "application/json")).finish()
}
