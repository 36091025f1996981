//! The paths of the public listener.
//!
//! Nothing of a request is used before its signature has been checked. 204 is answered only after the commit: from then on
//! the event is ours to keep.

use super::connections::{CLOSING_PER_THREAD, Connections};
use super::guarded_stream::GuardedStream;
use super::http2::Http2Settings;
use super::listener::{Listener, Threads};
use super::paths::{
    self, ASSIGNMENT_PATH, EVENT_STREAMS_PATH, EVENTS_PATH, PAUSE_PATH, RESUME_PATH, STREAM_STATUS_PATH,
};
use super::pause_signature::PauseEntry;
use super::settings::IngressSettings;
use super::state::IngestState;
use super::versions::Versions;
use super::{assignment, event_streams, events, metrics, pause, stream_status};
use crate::journal::{Ingest, hand_out_answers};
use crate::telemetry::metrics::Metrics;
use crate::twilio::assignment::ConferenceInstruction;
use actix_http::HttpService;
use actix_service::{
    IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_factory, fn_service, map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServiceRequest, ServiceResponse};
use actix_web::http::header::ALLOW;
use actix_web::middleware::{Next, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpRequest, HttpResponse, Route, rt, web};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// More, and actix panics.
const MOST_THREADS: usize = 512;

/// How long a connection may take to close, for whoever is still sending to see the answer.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the signed paths on `listener`: `POST /taskrouter/events`, `POST /taskrouter/event-streams`, `POST /streams/status`
/// and, if enabled, `POST /taskrouter/assignment` and `POST /calls/{task}/pause` and `/resume`; and `GET /`, which tells a load balancer no more than that somebody listens. HTTP/1 and
/// HTTP/2, both without TLS. The server stops through its handle and handles no signals.
///
/// | answer | when |
/// |---|---|
/// | 204 | after the commit; also to authentic events that are not ours |
/// | 200 | to an assignment, to a load balancer, and to a pause that is proven |
/// | 504 | to a pause that is not proven in time |
/// | 400 | unusable; `{"error": …}` says why |
/// | 403 | not signed by Twilio, or for another account or workspace |
/// | 408, 413, 415 | too slow, too large, another media type |
/// | 503 with `Retry-After` | the journal cannot take it |
pub fn public(
    settings: IngressSettings,
    journal: Arc<dyn Ingest>,
    metrics: Arc<Metrics>,
    listener: TcpListener,
) -> std::io::Result<Listener> {
    let threads = settings.threads.clamp(1, MOST_THREADS);
    let alive = Threads::default();
    let watched = alive.clone();
    let (client_timeout, keep_alive) = (settings.client_timeout, settings.keep_alive);
    let instruction = settings.assignment.clone().map(web::Data::new);
    let pauses = settings.pauses.clone().map(web::Data::new);
    let connections = Connections::new(settings.connections.clone(), Some(metrics.clone()));
    // Ours is the limit; this one only stops accepting while evicted connections are not closed yet.
    let per_thread = settings.connections.max.div_ceil(threads) + CLOSING_PER_THREAD;
    let server = Server::build()
        .workers(threads)
        .max_concurrent_connections(per_thread)
        .shutdown_timeout(settings.shutdown_grace_s)
        .disable_signals();
    let http2 = Http2Settings {
        head_bytes: settings.connections.head_bytes,
        client_timeout,
        keep_alive,
        disconnect_timeout: DISCONNECT_TIMEOUT,
    };
    let state = web::Data::new(IngestState::new(settings, journal, metrics.clone()));
    let stopping = server.graceful_shutdown_signal();
    let listen = move || {
        let app =
            || app(state.clone(), web::Data::from(metrics.clone()), instruction.clone(), pauses.clone()).into_factory();
        let stopping = stopping.clone();
        let notified = move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        };
        let http1 = HttpService::build()
            .keep_alive(keep_alive)
            .client_request_timeout(client_timeout)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            // As actix-web's own server does: idle connections end with it.
            .graceful_shutdown_signal(notified.clone())
            .on_connect_ext(|io: &GuardedStream, data| _ = data.insert(io.place().connection().clone()))
            .h1(map_config(app().map_err(|error: actix_web::Error| error.error_response()), |()| AppConfig::default()));
        let (app, connections, metrics, watched) = (app(), connections.clone(), metrics.clone(), watched.clone());
        fn_factory(move || {
            let (http1, app) = (http1.new_service(()), app.new_service(AppConfig::default()));
            let (connections, metrics, notified) = (connections.clone(), metrics.clone(), notified.clone());
            let (alive, handing_out) = (watched.watch(), watched.watch());
            let answers = hand_out_answers(metrics.clone());
            // It ends with the thread, after the connections.
            rt::spawn(async move {
                let _alive = handing_out;
                answers.await;
            });
            async move {
                let versions = Versions { http1: http1.await?, app: Rc::new(app.await?), http2, connections, metrics };
                let versions = Rc::new(versions);
                Ok::<_, ()>(fn_service(move |io: TcpStream| {
                    // It is dropped with this service.
                    let (_alive, versions, notified) = (&alive, versions.clone(), notified.clone());
                    async move {
                        versions.serve(io, notified).await;
                        Ok::<(), ()>(())
                    }
                }))
            }
        })
    };
    Ok(Listener::new(server.listen("public", listener, listen)?.run(), alive))
}

fn app(
    state: web::Data<IngestState>,
    metrics: web::Data<Metrics>,
    instruction: Option<web::Data<ConferenceInstruction>>,
    pauses: Option<web::Data<PauseEntry>>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let only = |path, route: Route| web::resource(path).route(route).default_service(web::to(method_not_allowed));
    let probed = web::resource("/").route(web::get().to(listening)).route(web::head().to(listening));
    App::new()
        .app_data(state)
        .app_data(metrics)
        .wrap(from_fn(handle))
        .service(probed.default_service(web::to(paths::not_found)))
        .default_service(web::to(paths::not_found))
        .service(only(EVENTS_PATH, web::post().to(events::receive)))
        .service(only(EVENT_STREAMS_PATH, web::post().to(event_streams::receive)))
        .service(only(STREAM_STATUS_PATH, web::post().to(stream_status::receive)))
        .configure(|app| {
            if let Some(instruction) = instruction {
                app.app_data(instruction);
                app.service(only(ASSIGNMENT_PATH, web::post().to(assignment::receive)));
            }
            if let Some(pauses) = pauses {
                app.app_data(pauses);
                app.service(only(PAUSE_PATH, web::post().to(pause::pause)));
                app.service(only(RESUME_PATH, web::post().to(pause::resume)));
            }
        })
}

/// Every request, before it is known which path it is for.
async fn handle(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    paths::correct(&mut request);
    metrics::answers(request, next).await
}

/// For the health check of a load balancer that sees only this listener.
async fn listening() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// With a signature it may be Twilio, told to use another method, as a sink can be.
async fn method_not_allowed(request: HttpRequest, state: web::Data<IngestState>) -> HttpResponse {
    if let Some(path) = paths::path_if_signed(&request) {
        state.astray.log(|suppressed| {
            tracing::warn!(
                path,
                suppressed,
                "answered a request with an X-Twilio-Signature with 405: if it came from Twilio, set the method configured there to POST"
            );
        });
    }
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, "POST")).finish()
}
