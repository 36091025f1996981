//! `POST /streams/status?task=WT…`: status callbacks of streams.

use super::metrics;
use super::responses::{Rejection, no_content};
use super::signed;
use super::state::IngestState;
use crate::call::fact::FactKind;
use crate::ingest::new_fact;
use crate::twilio::client::CALLBACK_RETRIES;
use crate::twilio::stream_status::{self, StatusContent};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<IngestState>,
) -> Result<HttpResponse, Rejection> {
    let body = signed::read(&request, payload, &state).await?;
    let body = body.with_fragment(CALLBACK_RETRIES);
    let (account, pairs) = body.form(&request, &state)?;
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
            state.ingest_all(vec![new_fact(state.clock(), task, identity, FactKind::Stream(event))]).await?;
        }
        // About a stream that this program did not start.
        (StatusContent::Stream { .. } | StatusContent::NotOurs, _) => {
            metrics::count_not_ours(&state.metrics, &account.account)
        }
    }
    Ok(no_content())
}
