//! What the listeners answer while the journal cannot be opened yet.

use super::admin;
use super::bounded_app::{self, Bounds};
use super::listener::Listener;
use actix_web::http::KeepAlive;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{App, HttpResponse, web};
use std::net::TcpListener;

/// Serves on `listener`, with so many connections at a time, until it is stopped: `GET /health/live` with 200 if it `has_health`, and
/// everything else with 503. What waits in the listener's queue is left to whoever serves it next.
pub fn waiting(
    listener: TcpListener,
    connections: usize,
    has_health: bool,
    retry_after_s: u64,
) -> std::io::Result<Listener> {
    let bounds = Bounds { connections, keep_alive: KeepAlive::Disabled, shutdown_grace_s: 1 };
    bounded_app::serve("waiting", listener, &bounds, move || {
        let not_ready = move || async move {
            let retry_after = (RETRY_AFTER, retry_after_s.to_string());
            let why = serde_json::json!({"status": "waiting for the journal"});
            HttpResponse::ServiceUnavailable().insert_header(retry_after).json(why)
        };
        let app = App::new().default_service(web::to(not_ready));
        app.configure(|app| {
            if has_health {
                app.service(admin::probe("/health/live", admin::live));
            }
        })
    })
}
