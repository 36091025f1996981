//! The admin listener: probes, the build, and metrics.
//!
//! None of them shows names, numbers or SIDs, so probes and collectors need no token. The console, which does, has its own
//! access rules.

use super::bounded_app::{self, Bounds};
use super::listener::Listener;
use crate::journal::{Backlog, JournalError, Storage, Workload};
use crate::telemetry::metrics::{MEDIA_TYPE, Metrics};
use crate::telemetry::{COMMIT, VERSION};
use actix_web::http::KeepAlive;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::ServiceConfig;
use actix_web::{App, FromRequest, Handler, HttpResponse, Resource, Responder, web};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A journal that takes longer to count its calls is not ready. Probes commonly wait no longer themselves.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Calls are counted no more often, however many collectors ask: with PostgreSQL that reads every live call's row.
const COUNTED_EVERY: Duration = Duration::from_secs(1);

/// How the admin listener works.
#[derive(Debug, Clone, Copy)]
pub struct AdminSettings {
    /// Connections at a time. When it is reached, the next one takes the place of the one that has been idle for the longest.
    pub connections: usize,
    /// How long requests under way may take to end when the listener stops, in seconds.
    pub shutdown_grace_s: u64,
}

struct AdminState {
    journal: Arc<dyn Workload>,
    metrics: Arc<Metrics>,
    /// When the calls and the journal's bytes that the metrics hold were counted, or could not be.
    counted: Mutex<Option<Instant>>,
}

/// Serves on `listener`, which must be private: `GET /health/live` (200 while the process runs), `GET /health/ready` and
/// `GET /health` (200 when the journal answers within two seconds and its last commit succeeded, else 503; `/health` also
/// shows the build),
/// `GET /metrics`, and what `more` adds. The server handles no signals and stops through its handle,
/// waiting for requests under way.
pub fn admin(
    journal: Arc<dyn Workload>,
    metrics: Arc<Metrics>,
    more: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    listener: TcpListener,
    settings: AdminSettings,
) -> std::io::Result<Listener> {
    let state = web::Data::new(AdminState { journal, metrics, counted: Mutex::default() });
    let AdminSettings { connections, shutdown_grace_s } = settings;
    let bounds = Bounds { connections, keep_alive: KeepAlive::default(), shutdown_grace_s };
    bounded_app::serve("admin", listener, &bounds, move || {
        App::new()
            .app_data(state.clone())
            .service(probe("/health", health))
            .service(probe("/health/live", live))
            .service(probe("/health/ready", ready))
            .route("/metrics", web::get().to(render))
            .configure(more.clone())
    })
}

/// A path that load balancers ask by GET or by HEAD.
pub(super) fn probe<A: FromRequest + 'static>(
    path: &str,
    handler: impl Handler<A, Output: Responder + 'static>,
) -> Resource {
    web::resource(path).route(web::get().to(handler.clone())).route(web::head().to(handler))
}

impl AdminState {
    /// Counts the calls and measures the journal. If it does not answer, the numbers stay as they were.
    async fn count(&self) {
        let mut counted = self.counted.lock().await;
        if counted.is_some_and(|counted| counted.elapsed() < COUNTED_EVERY) {
            return;
        }
        if let Ok(Backlog { active, waiting, live, parked, parked_over }) = in_time(self.journal.backlog()).await {
            let counts = [
                ("active", active),
                ("waiting", waiting),
                ("live", live),
                ("parked", parked),
                ("parked_over", parked_over),
            ];
            for (name, count) in counts {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.metrics.work.calls.get_or_create(&[("state", name)]).set(count);
            }
        }
        if let Ok(Storage { bytes, free_bytes }) = in_time(self.journal.storage()).await {
            self.metrics.resources.journal(bytes, free_bytes);
        }
        // Also when it did not answer: whoever has waited for this attempt must not begin one of their own.
        *counted = Some(Instant::now());
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

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "live"}))
}

async fn ready(state: web::Data<AdminState>) -> HttpResponse {
    let (code, status) = state.readiness().await;
    HttpResponse::build(code).json(serde_json::json!({"status": status}))
}

async fn health(state: web::Data<AdminState>) -> HttpResponse {
    let (code, status) = state.readiness().await;
    HttpResponse::build(code).json(serde_json::json!({"status": status, "version": VERSION, "commit": COMMIT}))
}

async fn render(state: web::Data<AdminState>) -> HttpResponse {
    state.count().await;
    state.metrics.resources.process();
    HttpResponse::Ok().insert_header((CONTENT_TYPE, MEDIA_TYPE)).body(state.metrics.render())
}
