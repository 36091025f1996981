//! The operator's page and the `calls` commands' door, on the admin listener.
//!
//! | module | what it is |
//! |---|---|
//! | `gate` | who may come in, and what every answer says to browsers |
//! | `view` | what is shown of a call: SIDs, states and times, never attributes or phone numbers |
//! | `look` | reads calls from the journal into views |
//! | `act` | redrive and dismiss: facts like any other |
//! | `api` | both as JSON, for `calls` |
//! | `pages`, `call_page`, `lanes` | both as HTML and SVG, for people |
//! | `live` | the same pages again whenever they change, by server-sent events |
//! | `refusal` | why there is no answer |
//!
//! Everything works without JavaScript but the liveness. Nothing is loaded from elsewhere.

mod act;
mod api;
mod call_page;
mod gate;
mod lanes;
mod live;
mod look;
mod pages;
mod picture;
mod refusal;
pub mod view;

pub use picture::picture;

use crate::journal::Operators;
use crate::telemetry::metrics::Metrics;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use gate::Gate;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use view::AccountNames;

/// What the console needs to know.
#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    /// Asked of everybody who wants to see calls.
    pub token: Option<SecretString>,
    /// Whether only this machine can reach the listener: then no token is needed.
    pub is_private: bool,
    /// Between looks at whether a page that is kept up to date has changed.
    pub live_every: Duration,
    /// Pages that are kept up to date at once; further ones stay as they are.
    pub live_views: usize,
    /// Whose calls there are.
    pub accounts: AccountNames,
}

/// What the handlers share.
struct Console {
    journal: Arc<dyn Operators>,
    metrics: Arc<Metrics>,
    settings: ConsoleSettings,
    gate: Gate,
    views: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The console's routes. Pages that are kept up to date end with `stop`, so that they do not hold up the listener's.
pub fn console(
    journal: Arc<dyn Operators>,
    metrics: Arc<Metrics>,
    settings: ConsoleSettings,
    stop: CancellationToken,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let console = web::Data::new(Console {
        journal,
        metrics,
        gate: Gate::new(settings.token.clone(), settings.is_private),
        views: Arc::new(Semaphore::new(settings.live_views)),
        tasks: TaskTracker::new(),
        settings,
        stop,
    });
    move |routes| {
        let guarded = web::scope("")
            .wrap(from_fn(gate::guard))
            .route("/", web::get().to(async || web::Redirect::to("/console").see_other()))
            .route("/calls", web::get().to(api::list))
            .route("/calls/{task}", web::get().to(api::show))
            .route("/calls/{task}/redrive", web::post().to(api::redrive))
            .route("/calls/{task}/dismiss", web::post().to(api::dismiss))
            .route("/console", web::get().to(pages::list))
            .route("/console/live", web::get().to(live::list))
            .route("/console/calls/{task}", web::get().to(call_page::show))
            .route("/console/calls/{task}/live", web::get().to(live::call))
            .route("/console/calls/{task}/redrive", web::post().to(call_page::redrive))
            .route("/console/calls/{task}/dismiss", web::post().to(call_page::dismiss))
            .route("/console/console.css", web::get().to(style))
            .route("/console/icon.svg", web::get().to(icon))
            .route("/console/console.js", web::get().to(script))
            .default_service(web::to(pages::nothing));
        routes.app_data(console.clone()).service(guarded);
    }
}

async fn style() -> impl Responder {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/css; charset=utf-8")).body(include_str!("console.css"))
}

async fn icon() -> impl Responder {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "image/svg+xml")).body(include_str!("icon.svg"))
}

async fn script() -> impl Responder {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/javascript; charset=utf-8")).body(include_str!("console.js"))
}
