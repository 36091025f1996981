//! The private listener: is the process alive, should it be sent events, which build is it, and how does it do?
//!
//! What is here holds no names, numbers or SIDs, so probes and collectors need no token. What does is the console's.

use crate::journal::{Backlog, JournalError, Workload};
use crate::telemetry::metrics::{MEDIA_TYPE, Metrics};
use crate::telemetry::{COMMIT, VERSION};
use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpResponse, HttpServer, web};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// A journal that takes longer than this to count its calls is not ready. Probes commonly wait no longer themselves.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What the probes and the collector are answered from.
struct Gauges {
    journal: Arc<dyn Workload>,
    metrics: Arc<Metrics>,
}

/// Serves on `listener`, which must be private: `GET /health/live` (200 while the process runs), `GET /health/ready` and
/// `GET /health` (200 when the journal answers within two seconds and the last commit went through, else 503; the latter says which build this is as well),
/// `GET /metrics`, and what `more` adds. Signals are the caller's; the server stops through its handle, waiting up to
/// `shutdown_grace_s` seconds for requests under way.
pub fn admin(
    journal: Arc<dyn Workload>,
    metrics: Arc<Metrics>,
    more: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    listener: TcpListener,
    shutdown_grace_s: u64,
) -> std::io::Result<Server> {
    let gauges = web::Data::new(Gauges { journal, metrics });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(gauges.clone())
            .route("/health", web::get().to(health))
            .route("/health/live", web::get().to(live))
            .route("/health/ready", web::get().to(ready))
            .route("/metrics", web::get().to(render))
            .configure(more.clone())
    })
    .workers(1)
    .shutdown_timeout(shutdown_grace_s)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok(server)
}

impl Gauges {
    async fn backlog(&self) -> Result<Backlog, String> {
        in_time(self.journal.backlog()).await
    }

    /// A journal is ready that answers and, as far as is known, takes facts.
    async fn readiness(&self) -> (StatusCode, &'static str) {
        let ready = async {
            self.journal.backlog().await?;
            self.journal.ready().await
        };
        match in_time(ready).await {
            Ok(()) => (StatusCode::OK, "ready"),
            Err(reason) => {
                tracing::warn!(reason, "not ready");
                (StatusCode::SERVICE_UNAVAILABLE, "not ready")
            }
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, JournalError>>) -> Result<T, String> {
    match tokio::time::timeout(READY_WITHIN, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the journal did not answer in time".to_owned()),
    }
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "live"}))
}

async fn ready(gauges: web::Data<Gauges>) -> HttpResponse {
    let (code, status) = gauges.readiness().await;
    HttpResponse::build(code).json(serde_json::json!({"status": status}))
}

async fn health(gauges: web::Data<Gauges>) -> HttpResponse {
    let (code, status) = gauges.readiness().await;
    HttpResponse::build(code).json(serde_json::json!({"status": status, "version": VERSION, "commit": COMMIT}))
}

/// A journal that does not answer leaves the numbers of calls as they were: the other metrics are needed then most.
async fn render(gauges: web::Data<Gauges>) -> HttpResponse {
    if let Ok(Backlog { active, waiting, live, parked }) = gauges.backlog().await {
        for (state, count) in [("active", active), ("waiting", waiting), ("live", live), ("parked", parked)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            gauges.metrics.work.calls.get_or_create(&[("state", state)]).set(count);
        }
    }
    HttpResponse::Ok().insert_header((CONTENT_TYPE, MEDIA_TYPE)).body(gauges.metrics.render())
}
