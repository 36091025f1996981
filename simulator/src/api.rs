//! The world's REST resources over HTTP, with latency and faults.

use super::faults::{Fault, FaultBody, Side};
use super::shared::Shared;
use super::world::{EventQuery, PageQuery, Reply, Request, RequestRecord, SinkRequest, StreamOrder};
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
use taskrouter_streams::call::sid::{AccountSid, WorkspaceSid};

/// How long a hanging request is held: longer than any sane client waits.
const HANG: Duration = Duration::from_secs(120);

/// Twilio's default for `PageSize`.
const PAGE_SIZE: usize = 50;

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
    let number = shared.with(|world| {
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
        Some(request) => play(&shared, &request, &path, fault),
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
fn play(shared: &Shared, request: &Request, path: &str, fault: Option<Fault>) -> (Ending, bool) {
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

/// The account and the workspace that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The account.
    pub account: AccountSid,
    /// Its workspace.
    pub workspace: WorkspaceSid,
}

impl Site {
    /// The request that a path, as it is on the wire, and its decoded parameters mean; `None` when there is no such endpoint.
    pub fn request(&self, method: &str, path: &str, parameters: &[(String, String)]) -> Option<Request> {
        parse(self, method, path, parameters)
    }
}

fn parse(site: &Site, method: &str, path: &str, parameters: &[(String, String)]) -> Option<Request> {
    let get = |name: &str| parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    // Documented: "any other text is read as false".
    let flag = |name: &str| get(name).map(|value| value.eq_ignore_ascii_case("true"));
    let number = |name: &str| get(name).and_then(|value| value.parse::<usize>().ok());
    let page = PageQuery { number: number("Page").unwrap_or(0), size: number("PageSize").unwrap_or(PAGE_SIZE) };
    // Split before decoding: an encoded slash belongs to its segment.
    let segments: Vec<String> = path.trim_start_matches('/').split('/').map(percent_decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (read, write) = (method == "GET", method == "POST");
    match segments.as_slice() {
        ["v1", "Workspaces", workspace] if write => Some(Request::UpdateWorkspace {
            workspace: (*workspace).to_owned(),
            event_callback_url: get("EventCallbackUrl"),
            events_filter: get("EventsFilter"),
        }),
        ["v1", "Workspaces"] if read => Some(Request::ListWorkspaces { name: get("FriendlyName"), page }),
        ["v1", "Workspaces", workspace] if read => Some(Request::FetchWorkspace { workspace: (*workspace).to_owned() }),
        ["v1", "Workspaces", workspace, rest @ ..] if read && site.workspace.as_str() == *workspace => match rest {
            ["Events"] => Some(Request::ListEvents { query: EventQuery::read(parameters, page) }),
            ["Tasks", task] => Some(Request::FetchTask { task: (*task).to_owned() }),
            ["Tasks", task, "Reservations"] => Some(Request::ListReservations { task: (*task).to_owned(), page }),
            _ => None,
        },
        ["v1", rest @ ..] if read || write => SinkRequest::read(write, rest, parameters, page).map(Request::Sinks),
        ["2010-04-01", "Accounts", account, rest @ .., last] if site.account.as_str() == *account => {
            let last = last.strip_suffix(".json")?.to_owned();
            match (rest, last.as_str()) {
                ([], "Conferences") if read => {
                    Some(Request::FindConferences { friendly_name: get("FriendlyName"), status: get("Status"), page })
                }
                (["Conferences"], _) if read => Some(Request::FetchConference { conference: last }),
                (["Conferences"], _) if write && get("Status").as_deref() == Some("completed") => {
                    Some(Request::EndConference { conference: last })
                }
                (["Conferences", conference], "Participants") if read => {
                    Some(Request::ListParticipants { conference: (*conference).to_owned(), page })
                }
                (["Conferences", conference, "Participants"], _) if read => {
                    Some(Request::FetchParticipant { conference: (*conference).to_owned(), call: last })
                }
                (["Conferences", conference, "Participants"], _) if write => Some(Request::UpdateParticipant {
                    conference: (*conference).to_owned(),
                    call: last,
                    guard: flag("EndConferenceOnExit"),
                    hold: flag("Hold"),
                }),
                (["Calls"], _) if read => Some(Request::FetchCall { call: last }),
                (["Calls"], _) if write => match (get("Twiml"), get("Status").as_deref()) {
                    (Some(twiml), None) => Some(Request::RedirectCall { call: last, twiml }),
                    (None, Some("completed" | "canceled")) => Some(Request::EndCall { call: last }),
                    (_, _) => None,
                },
                (["Calls", call], "Streams") if write => {
                    Some(Request::CreateStream { call: (*call).to_owned(), order: StreamOrder::read(parameters) })
                }
                (["Calls", call, "Streams"], _) if write && get("Status").as_deref() == Some("stopped") => {
                    Some(Request::StopStream { call: (*call).to_owned(), stream: last })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn pairs(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form).into_owned().collect()
}

/// One segment of a path, percent-decoded. The form decoder would read `+` and `&` as its own signs.
fn percent_decoded(segment: &str) -> String {
    let protected = format!("={}", segment.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(protected.as_bytes()).next().map_or_else(String::new, |(_, segment)| segment.into_owned())
}

async fn pause(span: Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}

async fn send(ending: Ending, request_id: &str) -> HttpResponse {
    match ending {
        Ending::Due(reply) => json(&reply, request_id, None),
        Ending::Faulty { status, retry_after, body } => {
            let code = match status {
                401 => 20003,
                403 => 20006,
                404 => 20404,
                429 => 20429,
                503 => 20503,
                _ => 20500,
            };
            let reply = Reply::error(status, code, "simulated failure");
            match body {
                FaultBody::Json => json(&reply, request_id, retry_after.as_deref()),
                FaultBody::Html => head(status, request_id, retry_after.as_deref())
                    .content_type("text/html")
                    .body("<html><body><h1>upstream failure</h1></body></html>"),
                FaultBody::Empty => head(status, request_id, retry_after.as_deref()).finish(),
            }
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

fn json(reply: &Reply, request_id: &str, retry_after: Option<&str>) -> HttpResponse {
    head(reply.status, request_id, retry_after).content_type("application/json").body(reply.body.to_string())
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
