//! Serves an app with one thread and few connections: what probes and operators need.
//!
//! When there are as many as there may be, the next one takes the place of the one that has been idle for the longest, and of one that
//! has not asked anything yet before one that has. So a probe is answered, however many connect and say nothing.

use super::connections::{CLOSING_PER_THREAD, Connection, ConnectionLimits, Connections};
use super::guarded_stream::GuardedStream;
use super::listener::{Listener, Threads};
use actix_http::{HttpService, KeepAlive};
use actix_service::{
    IntoServiceFactory as _, Service as _, ServiceFactory, ServiceFactoryExt as _, fn_factory, fn_service, map_config,
};
use actix_web::App;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::rt::net::TcpStream;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;

/// Of one request's line and headers. A browser sends the cookies of everything that is on the same host.
const HEAD_BYTES: usize = 64 * 1024;

/// How an app is served.
pub(super) struct Bounds {
    /// Connections at a time.
    pub(super) connections: usize,
    pub(super) keep_alive: KeepAlive,
    /// How long requests under way may take to end when the listener stops, in seconds.
    pub(super) shutdown_grace_s: u64,
}

/// Serves HTTP/1. The server handles no signals and stops through its handle.
pub(super) fn serve<T, B>(
    name: &str,
    listener: TcpListener,
    bounds: &Bounds,
    app: impl Fn() -> App<T> + Clone + Send + 'static,
) -> io::Result<Listener>
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let limits = ConnectionLimits {
        max: bounds.connections,
        per_peer: usize::MAX,
        uncapped: Vec::new(),
        head_bytes: HEAD_BYTES,
        // Heads are all that is received before a request is handled.
        unverified_bytes: usize::MAX,
    };
    let connections = Connections::new(limits, None);
    // Ours is the limit; this one only stops accepting while evicted connections are not closed yet.
    let server = Server::build()
        .workers(1)
        .max_concurrent_connections(bounds.connections + CLOSING_PER_THREAD)
        .shutdown_timeout(bounds.shutdown_grace_s)
        .disable_signals();
    let (stopping, keep_alive) = (server.graceful_shutdown_signal(), bounds.keep_alive);
    let threads = Threads::default();
    let watched = threads.clone();
    let listen = move || {
        let (stopping, watched, connections) = (stopping.clone(), watched.clone(), connections.clone());
        let notified = move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        };
        let app = app().wrap(from_fn(in_work)).into_factory().map_err(|error: actix_web::Error| error.error_response());
        let http1 = HttpService::build()
            .keep_alive(keep_alive)
            // As actix-web's own server does: idle connections end with it.
            .graceful_shutdown_signal(notified)
            .on_connect_ext(|io: &GuardedStream, data| _ = data.insert(io.place().connection().clone()))
            .h1(map_config(app, |()| AppConfig::default()));
        fn_factory(move || {
            let (http1, alive, connections) = (http1.new_service(()), watched.watch(), connections.clone());
            async move {
                let http1 = Rc::new(http1.await?);
                Ok::<_, ()>(fn_service(move |io: TcpStream| {
                    // It is dropped with this service.
                    let (_alive, http1, connections) = (&alive, http1.clone(), connections.clone());
                    async move {
                        if let Some((place, peer)) = connections.admit(&io) {
                            // It ended, in whatever way.
                            let _ = http1.call((GuardedStream::new(io, place), peer)).await;
                        }
                        Ok::<(), ()>(())
                    }
                }))
            }
        })
    };
    Ok(Listener::new(server.listen(name, listener, listen)?.run(), threads))
}

/// Whoever reaches this listener may ask: a connection whose request is handled is not evicted, and goes last when it is idle again.
async fn in_work(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let connection = Connection::of(request.request());
    if let Some(connection) = &connection {
        connection.verified();
    }
    let answer = next.call(request).await;
    if let Some(connection) = connection {
        connection.answered();
    }
    answer
}
