//! The public URL, seen from here: does our worker answer there, and to Twilio only?

use super::check::Check;
use crate::cli::door::Door;
use crate::config::Settings;
use crate::http::EVENTS_PATH;
use crate::twilio::signature::Pair;
use std::time::{Duration, Instant};

/// No such event exists, so the worker acknowledges it and journals nothing.
const SELF_TEST: &str = "taskrouter-streams.self-test";

/// Twilio waits for 15 s, and Event Streams for 5 s; an agent waits as well.
const SLOW: Duration = Duration::from_secs(1);

const REMEDY: &str = "is `serve` running behind server.public_url, and does the proxy or tunnel pass the path on?";

pub(super) async fn checks(settings: &Settings) -> anyhow::Result<[Check; 2]> {
    let door = Door::new(settings, Some(settings.server.public_url.clone()))?;
    Ok([signed(&door, settings).await, unsigned(&door, settings).await])
}

fn event(settings: &Settings) -> Vec<Pair<'static>> {
    let pairs = [
        ("EventType", SELF_TEST.to_owned()),
        ("AccountSid", settings.twilio.account_sid.to_string()),
        ("WorkspaceSid", settings.twilio.workspace_sid.to_string()),
    ];
    pairs.map(|(name, value)| (name.into(), value.into())).to_vec()
}

async fn signed(door: &Door, settings: &Settings) -> Check {
    const NAME: &str = "public url";
    let began = Instant::now();
    let answer = door.knock(EVENTS_PATH, &event(settings), true).await;
    let took = began.elapsed();
    match answer {
        Ok(204) if took < SLOW => {
            Check::ok(NAME, format!("a signed self-test event is taken within {} ms", took.as_millis()))
        }
        Ok(204) => Check::warning(
            NAME,
            format!("a signed self-test event is taken, after {} ms", took.as_millis()),
            "look for what slows the way down: agents wait for their streams as long",
        ),
        Ok(403) => Check::failure(
            NAME,
            "a signed self-test event is refused (403)",
            "the worker there has another auth token, public URL, account or workspace than this configuration",
        ),
        Ok(status) => Check::failure(NAME, format!("a signed self-test event is answered with {status}"), REMEDY),
        Err(reason) => Check::failure(NAME, reason, REMEDY),
    }
}

async fn unsigned(door: &Door, settings: &Settings) -> Check {
    const NAME: &str = "signatures";
    match door.knock(EVENTS_PATH, &event(settings), false).await {
        Ok(403) => Check::ok(NAME, "an unsigned event is refused"),
        Ok(status) if (200..300).contains(&status) => Check::failure(
            NAME,
            format!("an unsigned event is answered with {status}"),
            "something else answers at server.public_url: whoever it is, it is not this worker",
        ),
        Ok(status) => Check::warning(NAME, format!("an unsigned event is answered with {status}, not 403"), REMEDY),
        Err(reason) => Check::failure(NAME, reason, REMEDY),
    }
}
