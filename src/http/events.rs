//! `POST /taskrouter/events`: TaskRouter's event callbacks, one event in a form.

use super::counted;
use super::refusal::Refusal;
use super::routes::{Door, new_fact, taken};
use super::signed;
use crate::twilio::event::{self, Content};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    door: web::Data<Door>,
) -> Result<HttpResponse, Refusal> {
    let body = signed::read(&request, payload, &door, door.settings.body_limit_bytes).await?;
    let (account, pairs) = body.form(&request, &door)?;
    let envelope = event::parse(&pairs, &account.interest).map_err(|malformed| {
        tracing::warn!(%malformed, "refused an authentic event");
        Refusal::Malformed(malformed.to_string())
    })?;
    account.owns(&envelope.account, &envelope.workspace)?;
    match envelope.content {
        Content::Ours { task, identity, what } => door.keep(vec![new_fact(task, identity, what)]).await?,
        Content::NotOurs => counted::not_ours(&door),
    }
    Ok(taken())
}
