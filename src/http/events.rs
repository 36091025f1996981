//! `POST /taskrouter/events`: TaskRouter's event callbacks, one event in a form.

use super::metrics;
use super::responses::{Rejection, no_content};
use super::signed::{self, Unverified};
use super::state::IngestState;
use crate::ingest::new_fact;
use crate::journal::NewFact;
use crate::twilio::event::{self, Content};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<IngestState>,
) -> Result<HttpResponse, Rejection> {
    let body = signed::read(&request, payload, &state).await?;
    // What it was read from is not kept until the commit: hundreds of requests may wait for it.
    if let Some(fact) = fact(&request, body, &state)? {
        state.ingest_all(vec![fact]).await?;
    }
    Ok(no_content())
}

/// The fact in an event, if it is about a voice task.
fn fact(request: &HttpRequest, body: Unverified, state: &IngestState) -> Result<Option<NewFact>, Rejection> {
    let (account, pairs) = body.form(request, state)?;
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
            Ok(Some(new_fact(state.clock(), task, identity, what)))
        }
        Content::NotOurs => {
            metrics::count_not_ours(&state.metrics, &account.account);
            Ok(None)
        }
    }
}
