//! Pause and resume by an operator, as JSON for `calls` and as forms for the page.

use super::access;
use super::error::ConsoleError;
use super::page_error::PageError;
use super::queries::task;
use super::state::Console;
use super::view::{CallView, PauseView};
use super::widgets::{sid, time};
use crate::call::pause::{PauseId, PauseOrigin, PauseReason, PauseScope};
use crate::call::sid::{ReservationSid, TaskSid};
use crate::call::summary::{PauseState, PauseSummary};
use crate::ingest::pause_requests::PauseRequest;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use std::str::FromStr;

/// What is asked for; empty texts are missing ones, as forms send them.
#[derive(Debug, Deserialize)]
pub(super) struct PauseFields {
    #[serde(default)]
    id: String,
    #[serde(default)]
    reservation: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    seconds: Option<u32>,
}

/// `POST /calls/{WT}/pause?id=…&reservation=…&reason=…&seconds=…`: a [`PauseView`]; 200 when it is proven.
pub(super) async fn pause(
    console: web::Data<Console>,
    path: web::Path<String>,
    fields: web::Query<PauseFields>,
    request: HttpRequest,
) -> Result<HttpResponse, ConsoleError> {
    let task = task(&path)?;
    let pause = asked(&console, &task, &fields, &request).await?;
    let view = PauseView::of(&pause, &ToString::to_string);
    Ok(match pause.state() {
        PauseState::Paused | PauseState::Resumed => HttpResponse::Ok().json(view),
        PauseState::Waiting | PauseState::Unproven => {
            let error = format!("pause {} is not proven in time: audio may still leave (see `calls show`)", pause.id);
            HttpResponse::GatewayTimeout().json(json!({"error": error, "pause": view}))
        }
    })
}

/// `POST /calls/{WT}/resume?id=…`.
pub(super) async fn resume(
    console: web::Data<Console>,
    path: web::Path<String>,
    fields: web::Query<PauseFields>,
    request: HttpRequest,
) -> Result<HttpResponse, ConsoleError> {
    let task = task(&path)?;
    let id = ended(&console, &task, &fields, &request).await?;
    Ok(HttpResponse::Ok().json(json!({"task": task, "id": id, "state": PauseState::Resumed.as_str()})))
}

/// `POST /console/calls/{WT}/pause`: back to the call, which shows whether the pause is proven.
pub(super) async fn pause_by_form(
    console: web::Data<Console>,
    path: web::Path<String>,
    fields: web::Form<PauseFields>,
    request: HttpRequest,
) -> Result<HttpResponse, PageError> {
    let task = task(&path)?;
    asked(&console, &task, &fields, &request).await?;
    Ok(back(&task))
}

/// `POST /console/calls/{WT}/resume`.
pub(super) async fn resume_by_form(
    console: web::Data<Console>,
    path: web::Path<String>,
    fields: web::Form<PauseFields>,
    request: HttpRequest,
) -> Result<HttpResponse, PageError> {
    let task = task(&path)?;
    ended(&console, &task, &fields, &request).await?;
    Ok(back(&task))
}

fn back(task: &TaskSid) -> HttpResponse {
    HttpResponse::SeeOther().insert_header(("Location", format!("/console/calls/{task}"))).finish()
}

async fn asked(
    console: &Console,
    task: &TaskSid,
    fields: &PauseFields,
    request: &HttpRequest,
) -> Result<PauseSummary, ConsoleError> {
    let id = match given(&fields.id, ConsoleError::InvalidPause)? {
        Some(id) => id,
        // Named by the last fact, so that a form that is sent twice acts once.
        None => own_id(console.queries.call(task).await?.1)?,
    };
    let not_a_sid = |_| ConsoleError::InvalidQuery("the reservation is not a SID (WR + 32 hex digits)");
    let reservation: Option<ReservationSid> = given(&fields.reservation, not_a_sid)?;
    let reason: Option<PauseReason> = given(&fields.reason, ConsoleError::InvalidPause)?;
    let scope = reservation.map_or(PauseScope::Call, PauseScope::Reservation);
    let pause = PauseRequest { id, scope, reason, seconds: fields.seconds };
    let by = access::operator(request);
    tracing::info!(task_sid = %task, pause = %pause.id, operator = by.as_deref().unwrap_or("-"), "an operator pauses streams");
    Ok(console.pauses.pause(task, pause, PauseOrigin::Operator(by)).await?)
}

async fn ended(
    console: &Console,
    task: &TaskSid,
    fields: &PauseFields,
    request: &HttpRequest,
) -> Result<PauseId, ConsoleError> {
    let id: PauseId = fields.id.parse().map_err(ConsoleError::InvalidPause)?;
    let by = access::operator(request);
    tracing::info!(task_sid = %task, pause = %id, operator = by.as_deref().unwrap_or("-"), "an operator ends a pause");
    console.pauses.resume(task, id.clone(), PauseOrigin::Operator(by)).await?;
    Ok(id)
}

fn own_id(last: i64) -> Result<PauseId, ConsoleError> {
    format!("operator-{last}").parse().map_err(ConsoleError::InvalidPause)
}

fn given<T: FromStr>(text: &str, wrong: impl Fn(T::Err) -> ConsoleError) -> Result<Option<T>, ConsoleError> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(wrong) }
}

/// The pauses of a call, and the buttons for them.
pub(super) fn section(call: &CallView) -> Markup {
    html! {
        section aria-labelledby="pauses-heading" {
            h2 id="pauses-heading" { "Pauses" }
            @if call.pauses.is_empty() { p.empty { "No stream has been paused." } } @else { (table(call)) }
            @if !call.over && !call.shadow {
                div.actions {
                    form method="post" action=(format!("/console/calls/{}/pause", call.task)) {
                        button id="pause" { "Pause all streams" }
                        span.hint { "Until somebody resumes them" }
                    }
                }
            }
        }
    }
}

fn table(call: &CallView) -> Markup {
    html! {
        div.table id="pauses" data-keep-scroll tabindex="0" role="region" aria-label="Table of pauses" {
            table.stacks {
                thead {
                    tr {
                        th scope="col" { "Pause" } th scope="col" { "Of" } th scope="col" { "State" }
                        th scope="col" { "Asked" } th scope="col" { "Proof" } th scope="col" { "Resumed" }
                    }
                }
                tbody { @for pause in &call.pauses { (row(call, pause)) } }
            }
        }
    }
}

fn row(call: &CallView, pause: &PauseView) -> Markup {
    let class = match pause.state.as_str() {
        "paused" => "pill held",
        "resumed" => "pill over",
        "not proven" => "pill parked",
        _ => "chip offered",
    };
    html! {
        tr {
            th scope="row" { (pause.id) @if let Some(reason) = &pause.reason { span.below { (reason) } } }
            td data-label="Of" { (pause.agent.as_deref().unwrap_or("the whole call")) }
            td data-label="State" { span class=(class) { (pause.state) } }
            td data-label="Asked" { (time(pause.asked_ms)) span.below { "by " (pause.asked_by) } }
            td data-label="Proof" {
                @match pause.proven_ms { Some(at) => (time(at)), None => "–" }
                @for stop in &pause.stops { span.below { (sid(&stop.stream)) ": " (stop.proof) } }
                @match pause.recording.as_deref() {
                    Some("none") => span.below { "no recording to pause" },
                    Some(state) => span.below { "recording: " (state) },
                    None => {},
                }
                @for recording in &pause.recordings {
                    span.below { (sid(&recording.recording)) " of " (recording.of) ": " (recording.proof) " " (time(recording.paused_ms)) }
                    @if let Some(at) = recording.resumed_ms { span.below { "resumed " (time(at)) } }
                }
                @if let Some(at) = pause.unproven_ms { span.below { "not proven in time: alarmed " (time(at)) } }
            }
            td data-label="Resumed" {
                @if let (Some(at), Some(by)) = (pause.resumed_ms, &pause.resumed_by) { (time(at)) span.below { "by " (by) } } @else {
                    form method="post" action=(format!("/console/calls/{}/resume", call.task)) {
                        input type="hidden" name="id" value=(pause.id);
                        button { "Resume" span.visually-hidden { " " (pause.id) } }
                    }
                }
            }
        }
    }
}
