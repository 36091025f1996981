//! The paths of the public listener.
//!
//! Nothing of a request is used before its signature has been checked. 204 is answered only after the commit: from then on
//! the event is ours to keep.

use super::settings::IngressSettings;
use super::state::IngestState;
use super::{assignment, event_streams, events, metrics, stream_status};
use crate::journal::Ingest;
use crate::telemetry::metrics::Metrics;
use actix_web::dev::Server;
use actix_web::http::header::ALLOW;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, Route, web};
use std::net::TcpListener;
use std::sync::Arc;

/// For TaskRouter's event callbacks.
pub const EVENTS_PATH: &str = "/taskrouter/events";

/// For an Event Streams sink.
pub const EVENT_STREAMS_PATH: &str = "/taskrouter/event-streams";

/// For status callbacks of streams. The worker adds `?task=` and the TaskSid, for which Twilio's form has no field.
pub const STREAM_STATUS_PATH: &str = "/streams/status";

/// For assignment callbacks of a Workflow.
const ASSIGNMENT_PATH: &str = "/taskrouter/assignment";

/// Serves the signed paths on `listener`: `POST /taskrouter/events`, `POST /taskrouter/event-streams`, `POST /streams/status`
/// and, if enabled, `POST /taskrouter/assignment`. The server stops through its handle and handles no signals.
///
/// | answer | when |
/// |---|---|
/// | 204 | after the commit; also to authentic events that are not ours |
/// | 200 | to an assignment |
/// | 400 | unusable; `{"error": …}` says why |
/// | 403 | not signed by Twilio, or for another account or workspace |
/// | 408, 413, 415 | too slow, too large, another media type |
/// | 503 with `Retry-After` | the journal cannot take it |
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
    let state = web::Data::new(IngestState::new(settings, journal, metrics.clone()));
    let counters = web::Data::from(metrics);
    let server = HttpServer::new(move || {
        let only = |path, route: Route| web::resource(path).route(route).default_service(web::to(method_not_allowed));
        App::new()
            .app_data(state.clone())
            .app_data(counters.clone())
            .wrap(from_fn(metrics::answers))
            .service(only(EVENTS_PATH, web::post().to(events::receive)))
            .service(only(EVENT_STREAMS_PATH, web::post().to(event_streams::receive)))
            .service(only(STREAM_STATUS_PATH, web::post().to(stream_status::receive)))
            .configure(|app| {
                if let Some(instruction) = &instruction {
                    app.app_data(instruction.clone());
                    app.service(only(ASSIGNMENT_PATH, web::post().to(assignment::receive)));
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
