//! The public URL: does our service answer there, and only to Twilio?

use super::check::Check;
use crate::cli::ingress_client::IngressClient;
use crate::config::Settings;
use crate::http::EVENTS_PATH;
use crate::twilio::signature::Pair;
use std::time::{Duration, Instant};

/// No such event exists, so the service acknowledges it and journals nothing.
const SELF_TEST: &str = "taskrouter-streams.self-test";

/// Twilio waits for 15 s, Event Streams for 5 s; agents wait too.
const SLOW: Duration = Duration::from_secs(1);

const REMEDY: &str = "check that `serve` runs behind server.public_url, and that the proxy or tunnel keeps the path";

pub(super) async fn checks(settings: &Settings) -> anyhow::Result<[Check; 2]> {
    let client = IngressClient::new(settings, Some(settings.server.public_url.clone()))?;
    Ok([signed(&client, settings).await, unsigned(&client, settings).await])
}

fn event(settings: &Settings) -> Vec<Pair<'static>> {
    let pairs = [
        ("EventType", SELF_TEST.to_owned()),
        ("AccountSid", settings.twilio.account_sid.to_string()),
        ("WorkspaceSid", settings.twilio.workspace_sid.to_string()),
    ];
    pairs.map(|(name, value)| (name.into(), value.into())).to_vec()
}

async fn signed(client: &IngressClient, settings: &Settings) -> Check {
    const NAME: &str = "public url";
    let began = Instant::now();
    let answer = client.post(EVENTS_PATH, &event(settings), true).await;
    let took = began.elapsed();
    match answer {
        Ok(204) if took < SLOW => {
            Check::ok(NAME, format!("accepts a signed self-test event within {} ms", took.as_millis()))
        }
        Ok(204) => Check::warning(
            NAME,
            format!("accepts a signed self-test event, but only after {} ms", took.as_millis()),
            "find what is slow (proxy, tunnel, journal): agents wait this long for their streams",
        ),
        Ok(403) => Check::failure(
            NAME,
            "refuses a signed self-test event (403)",
            "make the service there use the same auth token, public URL, account and workspace as this configuration",
        ),
        Ok(status) => Check::failure(NAME, format!("answers a signed self-test event with {status}"), REMEDY),
        Err(reason) => Check::failure(NAME, reason, REMEDY),
    }
}

async fn unsigned(client: &IngressClient, settings: &Settings) -> Check {
    const NAME: &str = "signatures";
    match client.post(EVENTS_PATH, &event(settings), false).await {
        Ok(403) => Check::ok(NAME, "an unsigned event is rejected"),
        Ok(status) if (200..300).contains(&status) => Check::failure(
            NAME,
            format!("an unsigned event is answered with {status}"),
            "correct server.public_url: another program answers there",
        ),
        Ok(status) => Check::warning(NAME, format!("an unsigned event is answered with {status}, not 403"), REMEDY),
        Err(reason) => Check::failure(NAME, reason, REMEDY),
    }
}
