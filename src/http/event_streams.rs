//! `POST /taskrouter/event-streams`: events through an Event Streams webhook sink, many in one request.
//!
//! The sink repeats a delivery for up to four hours until it is answered with 2xx. So an event that no repetition can mend
//! (one without its task, one of another account) is logged, counted and skipped, instead of blocking the others.

use super::accounts::IngressAccount;
use super::encoding;
use super::metrics;
use super::responses::{Rejection, no_content};
use super::signed::{self, Signed};
use super::state::IngestState;
use crate::call::fact::FactKind;
use crate::ingest::new_fact;
use crate::journal::NewFact;
use crate::twilio::event::Content;
use crate::twilio::event_stream::{self, DeliveryElement};
use crate::twilio::stream_status::StatusContent;
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<IngestState>,
) -> Result<HttpResponse, Rejection> {
    let settings = &state.settings;
    let body = signed::read_delivery(&request, payload, &state).await?;
    let (account, bytes) = match body.verify(&request, &state)? {
        (account, Signed::Bytes(bytes)) => (account, bytes),
        (_, Signed::Form(_)) => return Err(signed::other_media_type(&request, &state)),
    };
    let body = encoding::decoded(&request, bytes, &state)?;
    let malformed = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "rejected an authentic Event Streams delivery that is malformed");
        Rejection::Malformed(error.to_string())
    };
    let elements = event_stream::parse(&body.bytes, &account.interest, state.clock().now());
    let elements = elements.map_err(|error| malformed(&error))?;
    // A 400 throws a delivery away, so it is only for one of which nothing can be used.
    if !elements.is_empty() && elements.iter().all(DeliveryElement::is_unreadable) {
        elements.iter().for_each(|_| metrics::count_malformed(&state.metrics, &account.account));
        let wrong = if elements.contains(&DeliveryElement::Untyped) {
            "no element is a CloudEvent with a type: send structured or batched CloudEvents, not binary ones"
        } else {
            "no element can be read as a JSON object"
        };
        return Err(malformed(&wrong));
    }
    let facts = facts(&state, account, elements);
    if let Some(witness) = settings.witness.as_ref().filter(|_| !facts.is_empty()) {
        witness.saw_delivery(&body.bytes);
    }
    state.ingest_all(facts).await?;
    Ok(no_content())
}

fn facts(state: &IngestState, account: &IngressAccount, elements: Vec<DeliveryElement>) -> Vec<NewFact> {
    let not_ours = || metrics::count_not_ours(&state.metrics, &account.account);
    let unusable = |reason: &dyn std::fmt::Display| {
        tracing::warn!(%reason, "skipped an element of an authentic delivery; the others are taken");
        metrics::count_malformed(&state.metrics, &account.account);
    };
    let mut facts = Vec::new();
    for element in elements {
        if element.account().is_some_and(|own| *own != account.account) {
            unusable(&"it is of another account than the one that signed it");
            continue;
        }
        match element {
            DeliveryElement::Event(envelope) => match envelope.content {
                // A subscription covers every workspace of the account, and its deliveries mix them.
                _ if envelope.workspace != account.workspace => not_ours(),
                Content::Ours { task, identity, what } => facts.push(new_fact(state.clock(), task, identity, what)),
                Content::NotOurs => not_ours(),
            },
            DeliveryElement::Stream { status, task } => match (status.content, task) {
                (StatusContent::Stream { identity, event }, Some(task)) => {
                    facts.push(new_fact(state.clock(), task, identity, FactKind::Stream(event)));
                }
                // About a stream that this program did not start.
                (StatusContent::Stream { .. } | StatusContent::NotOurs, _) => not_ours(),
            },
            DeliveryElement::Participant { task, identity, event } => {
                facts.push(new_fact(state.clock(), task, identity, FactKind::Participant(event)));
            }
            DeliveryElement::Unusable(malformed) => unusable(&malformed),
            DeliveryElement::Unreadable => unusable(&"it cannot be read as a JSON object"),
            DeliveryElement::Untyped => unusable(&"it has no type, as a CloudEvent has"),
            DeliveryElement::Test { id } => {
                tracing::info!(test_id = id.as_deref().unwrap_or("-"), "received the sink's test event");
            }
            DeliveryElement::NotOurs => not_ours(),
        }
    }
    facts
}
