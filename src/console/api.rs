//! Calls as JSON, for `calls` and for other programs.

use super::Console;
use super::act::Act;
use super::look::{Asked, task};
use super::refusal::Refusal;
use super::view::CallStory;
use actix_web::{HttpResponse, web};

/// `GET /calls?state=live|parked|over|all&find=WT…&after=…&limit=…`: a [`super::view::CallList`].
pub(super) async fn list(console: web::Data<Console>, asked: web::Query<Asked>) -> Result<HttpResponse, Refusal> {
    Ok(HttpResponse::Ok().json(console.calls(&asked).await?))
}

/// `GET /calls/{WT}`: a [`CallStory`].
pub(super) async fn show(console: web::Data<Console>, path: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let task = task(&path)?;
    let (facts, _) = console.facts(&task).await?;
    let story = CallStory::of(&task, &facts, &console.settings.accounts).ok_or(Refusal::NoSuchCall)?;
    Ok(HttpResponse::Ok().json(story))
}

/// `POST /calls/{WT}/redrive`: everything that is parked is tried again.
pub(super) async fn redrive(console: web::Data<Console>, path: web::Path<String>) -> Result<HttpResponse, Refusal> {
    done(&console, &path, Act::Redrive).await
}

/// `POST /calls/{WT}/dismiss`: everything that is parked is left as it is.
pub(super) async fn dismiss(console: web::Data<Console>, path: web::Path<String>) -> Result<HttpResponse, Refusal> {
    done(&console, &path, Act::Dismiss).await
}

async fn done(console: &Console, path: &str, act: Act) -> Result<HttpResponse, Refusal> {
    let task = task(path)?;
    console.act(&task, act).await?;
    Ok(HttpResponse::Accepted().json(serde_json::json!({"task": task, "done": act.word()})))
}
