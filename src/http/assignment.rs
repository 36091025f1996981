//! `POST /taskrouter/assignment`: a Workflow's assignment callback, answered so that no entrance into the conference beeps.
//!
//! It knows nothing of calls and keeps nothing: what comes of the answer is told by events like everything else.

use super::refusal::Refusal;
use super::routes::Door;
use super::signed;
use crate::twilio::assignment::{self, ConferenceInstruction};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    door: web::Data<Door>,
    instruction: web::Data<ConferenceInstruction>,
) -> Result<HttpResponse, Refusal> {
    let body = signed::read(&request, payload, &door, door.settings.body_limit_bytes).await?;
    let (account, pairs) = body.form(&request, &door)?;
    let assignment = assignment::parse(&pairs).map_err(|malformed| {
        tracing::warn!(%malformed, "refused an authentic assignment");
        Refusal::Malformed(malformed.to_string())
    })?;
    account.owns(&assignment.account, &assignment.workspace)?;
    // Another channel's task would not survive a conference.
    let answer = if assignment.has_caller { instruction.answer() } else { assignment::left_to_the_client() };
    Ok(HttpResponse::Ok().json(answer))
}
