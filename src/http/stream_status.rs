//! `POST /streams/status?task=WT…`: status callbacks of streams.

use super::counted;
use super::refusal::Refusal;
use super::routes::{Door, new_fact, taken};
use super::signed;
use crate::call::fact::What;
use crate::call::sid::TaskSid;
use crate::journal;
use crate::twilio::stream_status::{self, StatusContent};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    door: web::Data<Door>,
) -> Result<HttpResponse, Refusal> {
    let body = signed::read(&request, payload, &door, door.settings.body_limit_bytes).await?;
    let (account, pairs) = body.form(&request, &door)?;
    let status = stream_status::parse(&pairs, journal::now()).map_err(|malformed| {
        tracing::warn!(%malformed, "refused an authentic status callback");
        Refusal::Malformed(malformed.to_string())
    })?;
    if status.account != account.account {
        tracing::warn!(signed_by = %account.account, account = %status.account, "refused a status callback of another account");
        return Err(Refusal::Forbidden);
    }
    match (status.content, task(&request)) {
        (StatusContent::Stream { identity, event }, Some(task)) => {
            door.keep(vec![new_fact(task, identity, What::Stream(event))]).await?;
        }
        // Of a stream that this program did not start.
        (StatusContent::Stream { .. } | StatusContent::NotOurs, _) => counted::not_ours(&door),
    }
    Ok(taken())
}

fn task(request: &HttpRequest) -> Option<TaskSid> {
    let query = request.query_string().as_bytes();
    let (_, sid) = url::form_urlencoded::parse(query).find(|(name, _)| name == "task")?;
    sid.parse().ok()
}
