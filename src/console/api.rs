//! Calls as JSON, for `calls` and for other programs.

use super::actions::Action;
use super::error::ConsoleError;
use super::queries::{ListQuery, task};
use super::state::Console;
use actix_web::{HttpResponse, web};

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

/// `POST /calls/{WT}/redrive`: retries everything that is parked.
pub(super) async fn redrive(
    console: web::Data<Console>,
    path: web::Path<String>,
) -> Result<HttpResponse, ConsoleError> {
    done(&console, &path, Action::Redrive).await
}

/// `POST /calls/{WT}/dismiss`: leaves everything that is parked undone.
pub(super) async fn dismiss(
    console: web::Data<Console>,
    path: web::Path<String>,
) -> Result<HttpResponse, ConsoleError> {
    done(&console, &path, Action::Dismiss).await
}

async fn done(console: &Console, path: &str, action: Action) -> Result<HttpResponse, ConsoleError> {
    let task = task(path)?;
    console.actions.perform(&task, action).await?;
    Ok(HttpResponse::Accepted().json(serde_json::json!({"task": task, "done": action.word()})))
}
