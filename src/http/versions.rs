//! Serves each connection in the version of HTTP that it speaks.

use super::connections::Connections;
use super::guarded_stream::GuardedStream;
use super::http2::{self, Http2Settings};
use crate::telemetry::metrics::Metrics;
use actix_http::Request;
use actix_http::error::DispatchError;
use actix_service::Service;
use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::rt::net::TcpStream;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// To a client that connects and says nothing.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What a thread serves its connections with.
pub(super) struct Versions<H, S> {
    pub(super) http1: H,
    pub(super) app: Rc<S>,
    pub(super) http2: Http2Settings,
    pub(super) connections: Arc<Connections>,
    pub(super) metrics: Arc<Metrics>,
}

impl<H, S, B> Versions<H, S>
where
    H: Service<(GuardedStream, Option<SocketAddr>), Response = (), Error = DispatchError>,
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody + 'static,
{
    /// Serves a connection until it ends, or until the server stops and it is idle.
    pub(super) async fn serve<F: Future<Output = ()>>(&self, io: TcpStream, stopping: impl Fn() -> F) {
        let Some((place, peer)) = self.connections.admit(&io) else { return self.count_broken("io") };
        let mut io = GuardedStream::new(io, place);
        let version = tokio::select! {
            version = timeout(self.http2.client_timeout, io.speaks_http2()) => version,
            () = stopping() => return,
        };
        match version {
            Ok(Ok(false)) => {
                if let Err(error) = self.http1.call((io, peer)).await {
                    self.count_broken(reason(&error));
                }
            }
            Ok(Ok(true)) => {
                let served = http2::serve(io, peer, self.app.clone(), self.http2, stopping()).await;
                if let Err(error) = served {
                    self.count_broken(if error.is_io() { "io" } else { "malformed" });
                }
            }
            Ok(Err(_)) => self.count_broken("io"),
            Err(_) => {
                self.count_broken("other");
                let _: io::Result<()> = io.write_all(TOO_SLOW).await;
            }
        }
    }

    fn count_broken(&self, reason: &'static str) {
        self.metrics.ingress.broken_connections.get_or_create(&[("reason", reason)]).inc();
    }
}

fn reason(error: &DispatchError) -> &'static str {
    if matches!(error, DispatchError::Parse(_)) {
        "malformed"
    } else if matches!(error, DispatchError::Io(_)) {
        "io"
    } else {
        "other"
    }
}
