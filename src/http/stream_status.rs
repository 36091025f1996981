//! `POST /streams/status?task=WT…`: status callbacks of streams.

use super::metrics;
use super::responses::{Rejection, no_content};
use super::signed::{self, Unverified};
use super::state::IngestState;
use crate::call::fact::FactKind;
use crate::ingest::new_fact;
use crate::journal::NewFact;
use crate::twilio::client::CALLBACK_RETRIES;
use crate::twilio::stream_status::{self, StatusContent};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<IngestState>,
) -> Result<HttpResponse, Rejection> {
    let body = signed::read(&request, payload, &state).await?.with_fragment(CALLBACK_RETRIES);
    // What it was read from is not kept until the commit.
    if let Some(fact) = fact(&request, body, &state)? {
        state.ingest_all(vec![fact]).await?;
    }
    Ok(no_content())
}

/// The fact in a status callback, if it is about a stream that this program started.
fn fact(request: &HttpRequest, body: Unverified, state: &IngestState) -> Result<Option<NewFact>, Rejection> {
    let (account, pairs) = body.form(request, state)?;
    let status = stream_status::parse(&pairs, state.clock().now()).map_err(|malformed| {
        tracing::warn!(%malformed, "rejected an authentic status callback that is malformed");
        Rejection::Malformed(malformed.to_string())
    })?;
    account.require_account(&status.account)?;
    match (status.content, stream_status::task_of_query(request.query_string())) {
        (StatusContent::Stream { identity, event }, Some(task)) => {
            if let Some(witness) = &state.settings.witness {
                witness.saw_status(&task, &pairs);
            }
            Ok(Some(new_fact(state.clock(), task, identity, FactKind::Stream(event))))
        }
        (StatusContent::Stream { .. } | StatusContent::NotOurs, _) => {
            metrics::count_not_ours(&state.metrics, &account.account);
            Ok(None)
        }
    }
}
