//! `POST /taskrouter/events`: TaskRouter's event callbacks, one event in a form.

use super::metrics;
use super::responses::{Rejection, no_content};
use super::signed;
use super::state::IngestState;
use crate::ingest::new_fact;
use crate::twilio::event::{self, Content};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<IngestState>,
) -> Result<HttpResponse, Rejection> {
    let body = signed::read(&request, payload, &state).await?;
    let (account, pairs) = body.form(&request, &state)?;
    let envelope = event::parse(&pairs, &account.interest).map_err(|malformed| {
        tracing::warn!(%malformed, "rejected an authentic event that is malformed");
        Rejection::Malformed(malformed.to_string())
    })?;
    account.require_workspace(&envelope.account, &envelope.workspace)?;
    match envelope.content {
        Content::Ours { task, identity, what } => {
            if let Some(witness) = &state.settings.witness {
                witness.saw_event(&pairs);
            }
            state.ingest_all(vec![new_fact(state.clock(), task, identity, what)]).await?;
        }
        Content::NotOurs => metrics::count_not_ours(&state.metrics, &account.account),
    }
    Ok(no_content())
}
