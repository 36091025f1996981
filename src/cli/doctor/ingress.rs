//! Does our worker answer at the public URL, and only to Twilio?

use super::check::Check;
use crate::cli::ingress_client::IngressClient;
use crate::config::Settings;
use crate::http::EVENTS_PATH;
use crate::twilio::signature::Pair;
use std::time::{Duration, Instant};

/// No such event exists, so the worker acknowledges it and journals nothing.
const SELF_TEST: &str = "taskrouter-streams.self-test";

/// Twilio waits 15 s, Event Streams 5 s. Streams start later by this time.
const SLOW: Duration = Duration::from_secs(1);

const REMEDY: &str = "check that `serve` runs behind server.public_url, and that the proxy or tunnel forwards the path";

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
            Check::ok(NAME, format!("a signed self-test event was accepted within {} ms", took.as_millis()))
        }
        Ok(204) => Check::warning(
            NAME,
            format!("a signed self-test event was accepted, but after {} ms", took.as_millis()),
            "find out what slows requests down: streams start later by this time",
        ),
        Ok(403) => Check::failure(
            NAME,
            "a signed self-test event was rejected (403)",
            "the worker there is configured with another auth token, public URL, account or workspace",
        ),
        Ok(status) => Check::failure(NAME, format!("a signed self-test event was answered with {status}"), REMEDY),
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
            "another server answers at server.public_url: check the proxy or tunnel",
        ),
        Ok(status) => Check::warning(NAME, format!("an unsigned event is answered with {status}, not 403"), REMEDY),
        Err(reason) => Check::failure(NAME, reason, REMEDY),
    }
}
