//! Calls as JSON, for `calls` and for other programs.

use super::access;
use super::actions::Action;
use super::error::ConsoleError;
use super::queries::{ListQuery, task};
use super::state::Console;
use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::{HttpRequest, HttpResponse, web};

/// `GET /calls?state=live|parked|over|all&find=WT…&after=…&limit=…`: a [`super::view::CallList`].
pub(super) async fn list(
    console: web::Data<Console>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, ConsoleError> {
    Ok(HttpResponse::Ok().json(console.queries.calls(&query).await?))
}

/// `GET /calls/{WT}`: a [`super::view::CallStory`].
pub(super) async fn show(console: web::Data<Console>, path: web::Path<String>) -> Result<HttpResponse, ConsoleError> {
    let task = task(&path)?;
    let (story, _) = console.queries.story(&task).await?;
    Ok(HttpResponse::Ok().json(story))
}

/// `GET /calls/{WT}/export`: an [`super::export::Evidence`], as a file.
pub(super) async fn export(console: web::Data<Console>, path: web::Path<String>) -> Result<HttpResponse, ConsoleError> {
    let task = task(&path)?;
    let evidence = console.queries.evidence(&task).await?;
    let file = format!("attachment; filename=\"{task}.json\"");
    Ok(HttpResponse::Ok().insert_header((CONTENT_DISPOSITION, file)).json(evidence))
}

/// `POST /calls/{WT}/redrive`: retries everything that is parked.
pub(super) async fn redrive(
    console: web::Data<Console>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ConsoleError> {
    done(&console, &path, Action::Redrive, &request).await
}

/// `POST /calls/{WT}/dismiss`: leaves everything that is parked undone.
pub(super) async fn dismiss(
    console: web::Data<Console>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ConsoleError> {
    done(&console, &path, Action::Dismiss, &request).await
}

async fn done(
    console: &Console,
    path: &str,
    action: Action,
    request: &HttpRequest,
) -> Result<HttpResponse, ConsoleError> {
    let task = task(path)?;
    console.actions.perform(&task, action, access::operator(request).as_deref()).await?;
    Ok(HttpResponse::Accepted().json(serde_json::json!({"task": task, "done": action.word()})))
}
