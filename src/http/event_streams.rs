//! `POST /taskrouter/event-streams`: TaskRouter's events through an Event Streams webhook sink, many in one request.
//!
//! The sink repeats a delivery for up to four hours until it is answered with 2xx, so what no repetition can mend (an event
//! that lacks its task) is logged and passed over instead of holding up its neighbours.

use super::accounts::Account;
use super::counted;
use super::refusal::Refusal;
use super::routes::{Door, new_fact, taken};
use super::signed::{self, Signed};
use crate::journal::NewFact;
use crate::twilio::event::Content;
use crate::twilio::event_stream::{self, Element};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    door: web::Data<Door>,
) -> Result<HttpResponse, Refusal> {
    let settings = &door.settings;
    let is_awaited = signed::awaits_body(&request, &door);
    let limit = if is_awaited { settings.event_streams_body_limit_bytes } else { settings.body_limit_bytes };
    let body = signed::read(&request, payload, &door, limit).await?;
    let (account, bytes) = match body.verify(&request, &door)? {
        (account, Signed::Bytes(bytes)) => (account, bytes),
        (_, Signed::Form(_)) => return Err(Refusal::MediaType),
    };
    let elements = event_stream::parse(bytes, &account.interest).map_err(|error| {
        tracing::warn!(%error, "refused an authentic delivery of Event Streams");
        Refusal::Malformed(error.to_string())
    })?;
    // All of it is read before any of it is kept: a delivery for somebody else is refused as a whole.
    let facts = facts(&door, account, elements)?;
    door.keep(facts).await?;
    Ok(taken())
}

fn facts(door: &Door, account: &Account, elements: Vec<Element>) -> Result<Vec<NewFact>, Refusal> {
    let mut facts = Vec::new();
    for element in elements {
        match element {
            Element::Event(envelope) => {
                account.is_named(&envelope.account)?;
                match envelope.content {
                    // A subscription tells of every workspace of the account, and its deliveries mix them.
                    _ if envelope.workspace != account.workspace => counted::not_ours(door),
                    Content::Ours { task, identity, what } => facts.push(new_fact(task, identity, what)),
                    Content::NotOurs => counted::not_ours(door),
                }
            }
            Element::Unusable(malformed) => tracing::warn!(%malformed, "passed over an authentic event"),
            Element::Test { id } => {
                tracing::info!(test_id = id.as_deref().unwrap_or("-"), "the sink's test event arrived");
            }
            Element::NotOurs => counted::not_ours(door),
        }
    }
    Ok(facts)
}
