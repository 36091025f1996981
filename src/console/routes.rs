use super::access::{self, Access};
use super::live::LiveViews;
use super::settings::ConsoleSettings;
use super::state::Console;
use super::{api, bulk, call_page, live, pages, pauses};
use crate::ingest::pause_requests::PauseRequests;
use crate::journal::Operators;
use crate::telemetry::metrics::Metrics;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The console's routes. Live pages end with `stop`, so that they do not delay the end of the listener.
pub fn console(
    journal: Arc<dyn Operators>,
    metrics: Arc<Metrics>,
    settings: ConsoleSettings,
    pauses: PauseRequests,
    stop: CancellationToken,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let access = web::Data::new(Access::new(&settings, metrics.clone()));
    let ConsoleSettings { live_every, live_views, accounts, .. } = settings;
    let views = web::Data::new(LiveViews::new(metrics.clone(), live_views, live_every, stop));
    let console = web::Data::new(Console::new(journal, metrics, accounts, pauses));
    move |routes| {
        let guarded = web::scope("")
            .wrap(from_fn(access::guard))
            .route("/", web::get().to(async || web::Redirect::to("/console").see_other()))
            .route("/calls", web::get().to(api::list))
            .route("/calls/{task}", web::get().to(api::show))
            .route("/calls/{task}/export", web::get().to(api::export))
            .route("/calls/{task}/redrive", web::post().to(api::redrive))
            .route("/calls/{task}/dismiss", web::post().to(api::dismiss))
            .route("/calls/{task}/pause", web::post().to(pauses::pause))
            .route("/calls/{task}/resume", web::post().to(pauses::resume))
            .route("/console", web::get().to(pages::list))
            .route("/console/day", web::get().to(pages::day))
            .route("/console/parked/{action}", web::get().to(bulk::preview))
            .route("/console/parked/{action}", web::post().to(bulk::perform))
            .route("/console/live", web::get().to(live::list))
            .route("/console/calls/{task}", web::get().to(call_page::show))
            .route("/console/calls/{task}/live", web::get().to(live::call))
            .route("/console/calls/{task}/redrive", web::post().to(call_page::redrive))
            .route("/console/calls/{task}/dismiss", web::post().to(call_page::dismiss))
            .route("/console/calls/{task}/pause", web::post().to(pauses::pause_by_form))
            .route("/console/calls/{task}/resume", web::post().to(pauses::resume_by_form))
            .route("/console/console.css", web::get().to(style))
            .route("/console/icon.svg", web::get().to(icon))
            .route("/console/console.js", web::get().to(script))
            .default_service(web::to(pages::not_found));
        routes.app_data(console.clone()).app_data(access.clone()).app_data(views.clone()).service(guarded);
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
