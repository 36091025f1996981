//! The world's REST resources over HTTP, with latency and faults.

use super::faults::{Fault, FaultBody, Lost, Side};
use super::shared::Shared;
use super::sim_config::Ms;
use super::world::{Reply, Request, RequestRecord};
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Server;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a hanging request is held: longer than any sane client waits.
const HANG: Duration = Duration::from_secs(120);

/// How an answer goes out.
enum Ending {
    Due(Reply),
    Faulty { status: u16, retry_after: Option<String>, body: FaultBody },
    Cut,
    Hang,
}

/// Serves the world on the listener; the server stops with its handle.
pub(super) fn serve(shared: Arc<Shared>, listener: TcpListener) -> std::io::Result<Server> {
    let shared = Data::from(shared);
    let app = move || App::new().app_data(shared.clone()).default_service(web::to(answer));
    Ok(HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run())
}

async fn answer(http: HttpRequest, body: Bytes, shared: Data<Shared>) -> HttpResponse {
    let path = http.path().to_owned();
    let target = format!("{} {path}", http.method());
    let mut parameters = pairs(http.query_string().as_bytes());
    parameters.extend(pairs(&body));
    let admitted = is_admitted(&http, &shared);
    let request = if admitted { shared.site().request(http.method().as_str(), &path, &parameters) } else { None };
    let base = {
        let asked = http.connection_info();
        format!("{}://{}", asked.scheme(), asked.host())
    };
    let number = shared.with(|world| {
        world.asked_at(&base);
        let (task, op) =
            (request.as_ref().and_then(|request| world.subject(request)), request.as_ref().map(Request::op));
        let (target, received_at) = (target.clone(), world.now());
        let record =
            RequestRecord { received_at, op, target, parameters, task, status: None, fault: None, took_effect: false };
        world.record(record)
    });
    let half = Duration::from_millis(shared.latency_ms()) / 2;
    pause(half).await;
    let fault = request.as_ref().and_then(|request| shared.fault_for(request.op()));
    let name = fault.as_ref().map(Fault::name);
    let (ending, took_effect) = match request {
        Some(request) => play(&shared, (number, &request), &path, fault),
        None if admitted && shared.site().is_twilios(&path) => {
            (Ending::Due(shared.with(|world| world.not_simulated(&target))), false)
        }
        None if admitted => {
            shared.with(|world| world.unknown_endpoint(&target));
            (Ending::Due(Reply::not_found(&path)), false)
        }
        None => (Ending::Due(Reply::error(401, 20003, "Authenticate")), false),
    };
    let status = match &ending {
        Ending::Due(Reply { status, .. }) | Ending::Faulty { status, .. } => Some(*status),
        Ending::Cut | Ending::Hang => None,
    };
    shared.with(|world| world.answered(number, status, name, took_effect));
    pause(half).await;
    send(ending, &shared.next_request_id()).await
}

/// Performs the request as far as the fault lets it; also says whether it was performed.
fn play(shared: &Shared, (number, request): (usize, &Request), path: &str, fault: Option<Fault>) -> (Ending, bool) {
    let perform = || shared.with(|world| world.perform(request, path));
    let perform_if = |wanted: bool| {
        if wanted {
            perform();
        }
        wanted
    };
    match fault {
        None => (Ending::Due(perform()), true),
        Some(Fault::Answer { status, retry_after, body, took_effect }) => {
            (Ending::Faulty { status, retry_after, body }, perform_if(took_effect))
        }
        Some(Fault::Cut { took_effect }) => (Ending::Cut, perform_if(took_effect)),
        Some(Fault::Hang { took_effect }) => (Ending::Hang, perform_if(took_effect)),
        Some(Fault::LandsLate { lost, after_ms }) => {
            let delay = Ms::try_from(after_ms).unwrap_or(Ms::MAX);
            shared.with(|world| world.perform_later(number, request.clone(), path.to_owned(), delay));
            let ending = match lost {
                Lost::Cut => Ending::Cut,
                Lost::Hang => Ending::Hang,
            };
            (ending, false)
        }
        Some(fault @ (Fault::ConferenceEnds(side) | Fault::CustomerHangsUp(side))) => {
            let strike = || {
                shared.with(|world| {
                    let Some(task) = world.subject(request) else { return };
                    if matches!(fault, Fault::ConferenceEnds(_)) {
                        world.conference_ends(&task);
                    } else {
                        // Without a customer there is nobody to hang up.
                        let _ = world.customer_hangs_up(&task);
                    }
                });
            };
            match side {
                Side::Before => {
                    strike();
                    (Ending::Due(perform()), true)
                }
                Side::After => {
                    let reply = perform();
                    strike();
                    (Ending::Due(reply), true)
                }
            }
        }
    }
}

/// HTTP Basic with the account's own token or its API key. Documented: the account's SID stays in the path either way.
fn is_admitted(http: &HttpRequest, shared: &Shared) -> bool {
    let given = http.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Basic ")).and_then(|value| STANDARD.decode(value).ok());
    given.is_some_and(|given| shared.admits(&given))
}

fn pairs(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form).into_owned().collect()
}

async fn pause(span: Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}

async fn send(ending: Ending, request_id: &str) -> HttpResponse {
    match ending {
        Ending::Due(Reply { status: 204, .. }) => head(204, request_id, None).finish(),
        Ending::Due(Reply { status, body }) => {
            head(status, request_id, None).content_type("application/json").body(body.to_string())
        }
        Ending::Faulty { status, retry_after, body } => {
            let (content_type, text) = body.render(status);
            head(status, request_id, retry_after.as_deref()).content_type(content_type).body(text)
        }
        Ending::Cut => cut(),
        Ending::Hang => {
            tokio::time::sleep(HANG).await;
            cut()
        }
    }
}

fn head(status: u16, request_id: &str, retry_after: Option<&str>) -> actix_web::HttpResponseBuilder {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut head = HttpResponse::build(status);
    head.insert_header(("Twilio-Request-Id", request_id));
    if let Some(value) = retry_after {
        head.insert_header((header::RETRY_AFTER, value));
    }
    head
}

/// Ends the connection without an answer: the server writes a head and its body together, so that a body which fails at
/// once takes the head with it.
fn cut() -> HttpResponse {
    HttpResponse::with_body(StatusCode::OK, Broken).map_into_boxed_body()
}

struct Broken;

impl MessageBody for Broken {
    type Error = std::io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}
