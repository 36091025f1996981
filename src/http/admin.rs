//! The private listener: is the process alive, and should it be sent events?

use crate::journal::Journal;
use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// A journal that takes longer than this to count its calls is not ready. Probes commonly wait no longer themselves.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Serves `GET /health/live` (200 while the process runs) and `GET /health/ready` (200 when the journal answers within two
/// seconds, else 503) on `listener`, which must be private. Signals are the caller's; the server stops through its handle,
/// waiting up to `shutdown_grace_s` seconds for requests under way.
pub fn admin(journal: Arc<dyn Journal>, listener: TcpListener, shutdown_grace_s: u64) -> std::io::Result<Server> {
    let journal = web::Data::from(journal);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(journal.clone())
            .route("/health/live", web::get().to(live))
            .route("/health/ready", web::get().to(ready))
    })
    .workers(1)
    .shutdown_timeout(shutdown_grace_s)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok(server)
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "live"}))
}

async fn ready(journal: web::Data<dyn Journal>) -> HttpResponse {
    match tokio::time::timeout(READY_WITHIN, journal.backlog()).await {
        Ok(Ok(_)) => HttpResponse::Ok().json(serde_json::json!({"status": "ready"})),
        Ok(Err(error)) => not_ready(&error.to_string()),
        Err(_) => not_ready("the journal did not answer in time"),
    }
}

fn not_ready(reason: &str) -> HttpResponse {
    tracing::warn!(reason, "not ready");
    HttpResponse::ServiceUnavailable().json(serde_json::json!({"status": "not ready"}))
}
