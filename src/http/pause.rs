//! `POST /calls/{TaskSid}/pause` and `/resume`, for whoever holds `pause.secret`: such as a Twilio Function that an agent's desktop calls
//! before a card number is read out.
//!
//! 200 is answered only when it is proven that no stream within the pause runs, and with `pause.recording` that no recording does.

use super::pause_signature::PauseEntry;
use super::responses::Rejection;
use super::signed;
use super::state::IngestState;
use crate::call::pause::{PauseId, PauseOrigin, PauseReason, PauseScope};
use crate::call::sid::{ReservationSid, TaskSid};
use crate::call::summary::{PauseState, PauseSummary, RecordingSummary};
use crate::ingest::pause_requests::{PauseRefusal, PauseRequest};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    id: PauseId,
    #[serde(default)]
    reservation: Option<ReservationSid>,
    #[serde(default)]
    reason: Option<PauseReason>,
    #[serde(default)]
    seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResumeBody {
    id: PauseId,
}

pub(super) async fn pause(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<IngestState>,
    entry: web::Data<PauseEntry>,
) -> Result<HttpResponse, Rejection> {
    let body = signed::read(&request, payload, &state).await?;
    let PauseBody { id, reservation, reason, seconds } = read(body.signed_for_pauses(&request, &state, &entry.key)?)?;
    let task = task(&path)?;
    let scope = reservation.map_or(PauseScope::Call, PauseScope::Reservation);
    let asked = PauseRequest { id, scope, reason, seconds };
    match entry.requests.pause(&task, asked, PauseOrigin::SignedRequest).await {
        Ok(pause) => Ok(answer(&task, &pause)),
        Err(refusal) => refused(&state, &refusal),
    }
}

pub(super) async fn resume(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<IngestState>,
    entry: web::Data<PauseEntry>,
) -> Result<HttpResponse, Rejection> {
    let body = signed::read(&request, payload, &state).await?;
    let ResumeBody { id } = read(body.signed_for_pauses(&request, &state, &entry.key)?)?;
    let task = task(&path)?;
    match entry.requests.resume(&task, id.clone(), PauseOrigin::SignedRequest).await {
        Ok(_) => Ok(HttpResponse::Ok().json(json!({"task": task, "id": id, "state": PauseState::Resumed.as_str()}))),
        Err(refusal) => refused(&state, &refusal),
    }
}

fn task(path: &str) -> Result<TaskSid, Rejection> {
    path.parse().map_err(|error| Rejection::Malformed(format!("the path names {error}")))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    serde_json::from_slice(body).map_err(|error| {
        let wrong = match error.classify() {
            serde_json::error::Category::Data => error.to_string(),
            // Of a text that is no JSON nothing is repeated.
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => "the body is not JSON".to_owned(),
        };
        Rejection::Malformed(wrong)
    })
}

fn answer(task: &TaskSid, pause: &PauseSummary) -> HttpResponse {
    let (mut response, error) = match pause.state() {
        PauseState::Paused => (HttpResponse::Ok(), None),
        PauseState::Waiting | PauseState::Unproven => {
            tracing::warn!(task_sid = %task, pause = %pause.id, "answered a request to pause with 504: it is not proven");
            (
                HttpResponse::GatewayTimeout(),
                Some("not proven in time: audio may still leave or be recorded, so take no card data"),
            )
        }
        PauseState::Resumed => (HttpResponse::Conflict(), Some("this pause was resumed: use a new id for each")),
    };
    response.json(json!({
        "task": task,
        "id": pause.id,
        "state": pause.state().as_str(),
        "asked_ms": pause.at,
        "proven_ms": pause.proven_at,
        "stops": pause.stops.iter().map(|stop| json!({
            "stream": stop.name,
            "over_ms": stop.at,
            "proof": stop.by,
            "says": stop.by.as_str(),
        })).collect::<Vec<_>>(),
        "recording": pause.recording.as_ref().map(recording),
        "error": error,
    }))
}

/// The call's recordings, where pauses cover them: "none" where there is none to pause.
fn recording(told: &RecordingSummary) -> Value {
    json!({
        "state": told.state.as_str(),
        "recordings": told.recordings.iter().map(|row| json!({
            "recording": row.sid,
            "of": row.of.kind(),
            "paused_ms": row.paused_at,
            "proof": row.by,
            "says": row.by.as_str(),
        })).collect::<Vec<_>>(),
    })
}

fn refused(state: &IngestState, refusal: &PauseRefusal) -> Result<HttpResponse, Rejection> {
    let mut response = match refusal {
        PauseRefusal::NoSuchCall | PauseRefusal::NoSuchReservation => HttpResponse::NotFound(),
        PauseRefusal::OtherPause | PauseRefusal::Shadow => HttpResponse::Conflict(),
        PauseRefusal::TooMany => HttpResponse::TooManyRequests(),
        PauseRefusal::Journal(error) => {
            tracing::error!(%error, "a request to pause or resume was answered with 503: the journal did not answer");
            return Err(state.unavailable());
        }
    };
    Ok(response.json(json!({"error": refusal.to_string()})))
}
