//! Serves an app with one thread and few connections: what probes and operators need.

use super::listener::{Listener, Threads};
use actix_http::{HttpService, KeepAlive};
use actix_service::{
    IntoServiceFactory as _, Service as _, ServiceFactory, ServiceFactoryExt as _, fn_factory, fn_service, map_config,
};
use actix_web::App;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServiceRequest, ServiceResponse};
use actix_web::rt::net::TcpStream;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;

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
    let server = Server::build()
        .workers(1)
        .max_concurrent_connections(bounds.connections)
        .shutdown_timeout(bounds.shutdown_grace_s)
        .disable_signals();
    let (stopping, keep_alive) = (server.graceful_shutdown_signal(), bounds.keep_alive);
    let threads = Threads::default();
    let watched = threads.clone();
    let listen = move || {
        let (stopping, watched) = (stopping.clone(), watched.clone());
        let notified = move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        };
        let app = app().into_factory().map_err(|error: actix_web::Error| error.error_response());
        let http1 = HttpService::build()
            .keep_alive(keep_alive)
            // As actix-web's own server does: idle connections end with it.
            .graceful_shutdown_signal(notified)
            .h1(map_config(app, |()| AppConfig::default()));
        fn_factory(move || {
            let (http1, alive) = (http1.new_service(()), watched.watch());
            async move {
                let http1 = Rc::new(http1.await?);
                Ok::<_, ()>(fn_service(move |io: TcpStream| {
                    // It is dropped with this service.
                    let (_alive, http1, peer) = (&alive, http1.clone(), io.peer_addr().ok());
                    async move { http1.call((io, peer)).await }
                }))
            }
        })
    };
    Ok(Listener::new(server.listen(name, listener, listen)?.run(), threads))
}
