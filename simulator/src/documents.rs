//! Fetches the TwiML that calls are to follow, as Twilio does: a signed request with the call's data.
//! Source: <https://www.twilio.com/docs/voice/twiml#twilios-request-to-your-application>.

use super::shared::Shared;
use super::world::DocumentOrder;
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use std::time::Duration;
use taskrouter_streams::twilio::signature::sign;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Documented: an application has 15 seconds to answer.
const LIMIT: Duration = Duration::from_secs(15);

/// Fetches one document after the other until cancelled. Each came with one delivery to expect.
pub(super) async fn dispatch(
    shared: Arc<Shared>,
    mut orders: mpsc::UnboundedReceiver<DocumentOrder>,
    client: reqwest::Client,
    cancel: CancellationToken,
) {
    loop {
        let order = tokio::select! {
            () = cancel.cancelled() => return,
            order = orders.recv() => match order { Some(order) => order, None => return },
        };
        let document = tokio::select! {
            () = cancel.cancelled() => return,
            document = fetch(&shared, &client, &order) => document,
        };
        shared.with(|world| world.document_arrived(&order, document));
        shared.delivery_done();
    }
}

/// The document, or why there is none. The address may be anybody's: it is not repeated.
async fn fetch(shared: &Shared, client: &reqwest::Client, order: &DocumentOrder) -> Result<String, String> {
    let (public, get) = (&order.document.url, order.document.get);
    let (signed, sent_to) = if get {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&order.form).finish();
        let joint = if public.contains('?') { '&' } else { '?' };
        let full = format!("{public}{joint}{query}");
        (full.clone(), full)
    } else {
        (public.clone(), public.clone())
    };
    let route = shared.destination().map(|destination| destination.route);
    let sent_to = route.and_then(|route| route.leads(&sent_to)).unwrap_or(sent_to);
    let form: &[(String, String)] = if get { &[] } else { &order.form };
    let signature = sign(&signed, form, shared.auth_token().expose_secret());
    let request = if get {
        client.get(&sent_to)
    } else {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        client.post(&sent_to).header("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8").body(body)
    };
    let answer = request.header("X-Twilio-Signature", signature).timeout(LIMIT).send().await;
    let answer = answer.map_err(|error| error.without_url().to_string())?;
    if !answer.status().is_success() {
        return Err(format!("the application answered {}", answer.status().as_u16()));
    }
    answer.text().await.map_err(|error| error.without_url().to_string())
}
