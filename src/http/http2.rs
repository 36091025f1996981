//! HTTP/2 without TLS, which some proxies speak to what is behind them: Cloud Run, Envoy, gRPC-minded meshes.
//!
//! Each request is handled as one of HTTP/1 is, by the same app. actix's own dispatcher for HTTP/2 bounds neither the requests of a
//! connection nor their heads, so this one takes its place. A connection that was refused a request ends, unless it has brought a valid
//! signature: then it is a proxy's, and carries others.

use super::connections::{Connection, Place};
use super::guarded_stream::GuardedStream;
use actix_http::body::{MessageBody, to_bytes};
use actix_http::error::PayloadError;
use actix_http::{BoxedPayloadStream, HttpMessage as _, Payload, Request, Response};
use actix_service::Service;
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{self, HeaderName, HeaderValue, HttpDate, TryIntoHeaderValue as _};
use actix_web::http::{Method, StatusCode, Uri, Version};
use bytes::Bytes;
use futures_core::Stream;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Requests of a connection at a time. Twilio's are answered within milliseconds, and a proxy that has more waits or opens another
/// connection. What strangers begin beyond it is refused before it costs anything.
const REQUESTS_AT_ONCE: u32 = 16;

/// Flow control: what a connection may send ahead of being read, HTTP/2's own default and least.
const WINDOW_BYTES: u32 = 65_535;

/// What a header takes beside its name and value: <https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2>.
const HEADER_BYTES: usize = 32;

/// How connections of HTTP/2 are served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Http2Settings {
    /// Of one request's headers.
    pub(super) head_bytes: usize,
    /// For the beginning of the connection.
    pub(super) client_timeout: Duration,
    /// How long a connection without requests is kept.
    pub(super) keep_alive: Duration,
    /// How long a connection may take to close.
    pub(super) disconnect_timeout: Duration,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S, B>(
    io: GuardedStream,
    peer: Option<SocketAddr>,
    app: Rc<S>,
    settings: Http2Settings,
    stopping: impl Future<Output = ()>,
) -> Result<(), h2::Error>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody + 'static,
{
    let carrier = io.place().connection().clone();
    let handshake = Builder::new()
        .max_concurrent_streams(REQUESTS_AT_ONCE)
        .max_header_list_size(u32::try_from(settings.head_bytes).unwrap_or(u32::MAX))
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake(io);
    let Ok(handshake) = timeout(settings.client_timeout, handshake).await else { return Ok(()) };
    let mut connection = handshake?;
    let mut requests = JoinSet::new();
    let mut ends_at = Instant::now() + settings.keep_alive;
    let mut is_ending = false;
    let mut stopping = pin!(stopping);
    loop {
        let end = tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(request) => {
                    let (request, respond) = request?;
                    let place = carrier.request(size(request.headers()));
                    requests.spawn_local(handle(request, respond, place, peer, app.clone()));
                    // So that what makes room is gone before the next one takes it.
                    tokio::task::yield_now().await;
                    false
                }
                None => return Ok(()),
            },
            Some(answer) = requests.join_next() => {
                ends_at = Instant::now() + if is_ending { settings.disconnect_timeout } else { settings.keep_alive };
                answer.is_ok_and(|status| status.is_some_and(|status| status.is_client_error())) && !carrier.is_known()
            }
            () = sleep_until(ends_at), if requests.is_empty() => {
                if is_ending {
                    return Ok(());
                }
                true
            }
            () = &mut stopping, if !is_ending => true,
        };
        if end && !is_ending {
            is_ending = true;
            ends_at = Instant::now() + settings.disconnect_timeout;
            connection.graceful_shutdown();
        }
    }
}

/// Handles one request; `None` when it was evicted, or its client did not wait for the answer.
async fn handle<S, B>(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    place: Place,
    peer: Option<SocketAddr>,
    app: Rc<S>,
) -> Option<StatusCode>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    let connection = place.connection().clone();
    let answered = async {
        let Some(request) = actix_request(request, connection, peer) else {
            return respond_with(&mut respond, Response::new(StatusCode::BAD_REQUEST)).await;
        };
        match app.call(request).await {
            Ok(response) => respond_with(&mut respond, response.into()).await,
            Err(error) => respond_with(&mut respond, error.error_response().into()).await,
        }
    };
    let answered = tokio::select! {
        biased;
        () = poll_fn(|context| place.poll_evicted(context)) => None,
        answered = answered => Some(answered),
    };
    if answered.is_none() {
        respond.send_reset(Reason::ENHANCE_YOUR_CALM);
    }
    answered?.ok()
}

fn size(headers: &http::HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES).sum()
}

/// The request as the app knows it, with the target exactly as it was sent; `None` when HTTP/1 has no such request.
fn actix_request(
    request: http::Request<RecvStream>,
    connection: Connection,
    peer: Option<SocketAddr>,
) -> Option<Request> {
    let (parts, stream) = request.into_parts();
    let body: BoxedPayloadStream = Box::pin(Body { stream, connection: connection.clone() });
    let mut request = Request::with_payload(Payload::Stream { payload: body });
    let head = request.head_mut();
    head.uri = Uri::try_from(parts.uri.path_and_query()?.as_str()).ok()?;
    head.method = Method::from_bytes(parts.method.as_str().as_bytes()).ok()?;
    head.version = Version::HTTP_2;
    head.peer_addr = peer;
    for (name, value) in &parts.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        head.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    request.extensions_mut().insert(connection);
    Some(request)
}

/// A request's body, counted as it is handed out.
struct Body {
    stream: RecvStream,
    connection: Connection,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let broken = |error: h2::Error| PayloadError::Io(io::Error::other(error));
        let Some(chunk) = ready!(self.stream.poll_data(context)) else { return Poll::Ready(None) };
        Poll::Ready(Some(chunk.map_err(broken).and_then(|chunk| {
            self.connection.received(chunk.len());
            self.stream.flow_control().release_capacity(chunk.len()).map_err(broken)?;
            Ok(chunk)
        })))
    }
}

async fn respond_with<B: MessageBody>(
    respond: &mut SendResponse<Bytes>,
    response: Response<B>,
) -> Result<StatusCode, h2::Error> {
    let (head, body) = response.into_parts();
    let status = head.status();
    // Their bodies are in memory, so there is none that fails.
    let body = to_bytes(body).await.unwrap_or_default();
    let mut answer = http::Response::new(());
    *answer.status_mut() = http::StatusCode::from_u16(status.as_u16()).unwrap_or_default();
    let date = HttpDate::from(SystemTime::now()).try_into_value().ok().map(|value| (header::DATE, value));
    let own = head.headers().iter().map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in own.chain(date).filter(|(name, _)| is_of_any_version(name)) {
        let name = http::HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value.as_bytes())) {
            answer.headers_mut().append(name, value);
        }
    }
    let mut sending = respond.send_response(answer, body.is_empty())?;
    if !body.is_empty() {
        sending.send_data(body, true)?;
    }
    Ok(status)
}

/// Headers about an HTTP/1 connection have no place in HTTP/2: <https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2>.
fn is_of_any_version(name: &HeaderName) -> bool {
    ![header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE].contains(name) && name.as_str() != "keep-alive"
}
