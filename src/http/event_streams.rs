//! `POST /taskrouter/event-streams`: TaskRouter's events through an Event Streams webhook sink, many in one request.
//!
//! The sink repeats a delivery for up to four hours until it is answered with 2xx. So an event that no repetition can mend
//! (one without its task) is logged and skipped, instead of blocking the others.

use super::accounts::IngressAccount;
use super::metrics;
use super::responses::{Rejection, no_content};
use super::signed::{self, Signed};
use super::state::IngestState;
use crate::ingest::new_fact;
use crate::journal::NewFact;
use crate::twilio::event::Content;
use crate::twilio::event_stream::{self, DeliveryElement};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<IngestState>,
) -> Result<HttpResponse, Rejection> {
    let settings = &state.settings;
    let is_awaited = signed::awaits_body(&request, &state);
    let limit = if is_awaited { settings.event_streams_body_limit_bytes } else { settings.body_limit_bytes };
    let body = signed::read(&request, payload, &state, limit).await?;
    let (account, bytes) = match body.verify(&request, &state)? {
        (account, Signed::Bytes(bytes)) => (account, bytes),
        (_, Signed::Form(_)) => return Err(Rejection::MediaType),
    };
    let elements = event_stream::parse(bytes, &account.interest).map_err(|error| {
        tracing::warn!(%error, "rejected an authentic Event Streams delivery that is malformed");
        Rejection::Malformed(error.to_string())
    })?;
    // All of it is read before any of it is journaled: a delivery of another account is rejected as a whole.
    let facts = facts(&state, account, elements)?;
    state.ingest_all(facts).await?;
    Ok(no_content())
}

fn facts(
    state: &IngestState,
    account: &IngressAccount,
    elements: Vec<DeliveryElement>,
) -> Result<Vec<NewFact>, Rejection> {
    let mut facts = Vec::new();
    for element in elements {
        match element {
            DeliveryElement::Event(envelope) => {
                account.require_account(&envelope.account)?;
                match envelope.content {
                    // A subscription covers every workspace of the account, and its deliveries mix them.
                    _ if envelope.workspace != account.workspace => metrics::count_not_ours(&state.metrics),
                    Content::Ours { task, identity, what } => {
                        facts.push(new_fact(state.clock(), task, identity, what));
                    }
                    Content::NotOurs => metrics::count_not_ours(&state.metrics),
                }
            }
            DeliveryElement::Unusable(malformed) => {
                tracing::warn!(%malformed, "skipped an authentic event that is malformed")
            }
            DeliveryElement::Test { id } => {
                tracing::info!(test_id = id.as_deref().unwrap_or("-"), "received the sink's test event");
            }
            DeliveryElement::NotOurs => metrics::count_not_ours(&state.metrics),
        }
    }
    Ok(facts)
}
