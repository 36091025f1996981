//! `POST /taskrouter/assignment`: a Workflow's assignment callback, answered so that no entrance into the conference beeps.
//!
//! Nothing is journaled here: events report what comes of the answer.

use super::responses::Rejection;
use super::signed;
use super::state::IngestState;
use crate::twilio::assignment::{self, ConferenceInstruction};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<IngestState>,
    instruction: web::Data<ConferenceInstruction>,
) -> Result<HttpResponse, Rejection> {
    let body = signed::read(&request, payload, &state).await?;
    let (account, pairs) = body.form(&request, &state)?;
    let assignment = assignment::parse(&pairs).map_err(|malformed| {
        tracing::warn!(%malformed, "rejected an authentic assignment callback that is malformed");
        Rejection::Malformed(malformed.to_string())
    })?;
    account.require_workspace(&assignment.account, &assignment.workspace)?;
    // A conference would fail the task of another channel.
    let answer = if assignment.has_caller { instruction.answer() } else { assignment::left_to_the_client() };
    Ok(HttpResponse::Ok().json(answer))
}
