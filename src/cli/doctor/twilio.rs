//! Twilio's side: who we are there, what the workspace tells, and what time it is.

use super::check::Check;
use crate::call::fact::EpochMs;
use crate::call::step::{Operation, Outcome};
use crate::cli::setup::event_streams::Delivery;
use crate::cli::setup::plan::{Owner, Plan, shown};
use crate::config::Settings;
use crate::http::EVENTS_PATH;
use crate::http::STREAM_STATUS_PATH;
use crate::twilio::client::{ApiError, Client, ClientSettings, Credentials, WorkspaceRow};

/// No conference is called like this, so that a search for it ends with nothing found.
const NO_CONFERENCE: &str = "taskrouter-streams-doctor";

/// Beyond this, times in logs and timelines cannot be compared with Twilio's.
const SKEW_MS: EpochMs = 5_000;

const CREDENTIALS: &str = "check TWILIO_ACCOUNT_SID, TWILIO_API_KEY and TWILIO_API_SECRET, and TWILIO_REGION: keys and \
                           tokens belong to one region";
const NETWORK: &str = "check this machine's way to Twilio (DNS, firewall), and twilio.region and twilio.edge";

pub(super) async fn checks(settings: &Settings, client: &Client, event_streams: bool) -> Vec<Check> {
    let mut checks = vec![calls(settings, client).await];
    let host = settings.twilio.taskrouter_base_url.host_str().unwrap_or_default();
    match client.workspaces().fetch(&settings.twilio.workspace_sid).await {
        Ok((row, date)) => {
            checks.push(Check::ok("taskrouter", format!("{host} answers, with the configured credentials")));
            checks.push(if event_streams { streamed(settings, client).await } else { workspace(settings, &row) });
            checks.push(clock(date));
        }
        Err(error) => checks.push(failed("taskrouter", host, &error)),
    }
    checks.extend(tokens(settings).await);
    checks
}

/// The voice API, where calls and conferences are.
async fn calls(settings: &Settings, client: &Client) -> Check {
    const NAME: &str = "voice api";
    let host = settings.twilio.api_base_url.host_str().unwrap_or_default();
    let search = Operation::FindConference { friendly_name: NO_CONFERENCE.to_owned() };
    match client.perform(&search).await.outcome {
        Outcome::Done(_) => Check::ok(NAME, format!("{host} answers, with the configured credentials")),
        outcome @ (Outcome::Gone | Outcome::TryLater(_) | Outcome::Unknown(_) | Outcome::Refused(_)) => {
            failed(NAME, host, &ApiError::from(outcome))
        }
    }
}

/// Each auth token must be one of this account's, or be on its way to become one.
async fn tokens(settings: &Settings) -> Vec<Check> {
    const NAME: &str = "auth token";
    let tokens = &settings.twilio.auth_tokens;
    let mut checks = Vec::new();
    for (number, token) in (1..).zip(tokens) {
        let credentials = Credentials::AuthToken(token.clone());
        let client = Client::new(ClientSettings { credentials, ..settings.client(STREAM_STATUS_PATH) });
        let Ok(client) = client else { continue };
        let which = if tokens.len() == 1 { String::new() } else { format!(" {number} of {}", tokens.len()) };
        checks.push(match client.workspaces().fetch(&settings.twilio.workspace_sid).await {
            // A workspace that is not there is another check's complaint: the token was let in.
            Ok(_) | Err(ApiError::NotFound) => Check::ok(NAME, format!("token{which} is the account's")),
            Err(ApiError::Refused(_)) if tokens.len() > 1 => Check::warning(
                NAME,
                format!("token{which} is not one of the account's"),
                "fine in the middle of a rotation; otherwise take it out of twilio.auth_tokens",
            ),
            Err(ApiError::Refused(_)) => Check::failure(
                NAME,
                "the token is not the account's, so every event will be refused",
                "set TWILIO_AUTH_TOKEN to the primary auth token of the account that owns the workspace",
            ),
            Err(error @ ApiError::Later(_)) => Check::warning(NAME, error.to_string(), NETWORK),
        });
    }
    checks
}

fn workspace(settings: &Settings, row: &WorkspaceRow) -> Check {
    const NAME: &str = "workspace";
    const SETUP: &str = "run `taskrouter-streams setup`";
    let plan = Plan::new(row, &format!("{}{EVENTS_PATH}", settings.server.public_url), false);
    let missing = plan.missing();
    match plan.owner {
        Owner::Nobody => Check::failure(NAME, "it tells its events to nobody", SETUP),
        Owner::SomebodyElse => Check::failure(
            NAME,
            format!("it tells its events to somebody else: {}", shown(&row.event_callback_url)),
            "run `taskrouter-streams setup --replace`, or `setup --event-streams` and `doctor --event-streams`",
        ),
        Owner::Us if !missing.is_empty() => {
            Check::failure(NAME, format!("its filter leaves out {}", missing.join(", ")), SETUP)
        }
        Owner::Us if !plan.has_overrides() => {
            Check::warning(NAME, "it tells us its events, and repeats none that got no answer", SETUP)
        }
        Owner::Us => Check::ok(NAME, format!("{} tells us the events that matter", row.sid)),
    }
}

async fn streamed(settings: &Settings, client: &Client) -> Check {
    const NAME: &str = "event streams";
    const SETUP: &str = "run `taskrouter-streams setup --event-streams --yes`";
    let found = match Delivery::new(client, &settings.server.public_url, "").look().await {
        Ok(found) => found,
        Err(error) => {
            let host = client.event_streams().base_url().host_str().unwrap_or_default();
            return Check::warning(
                NAME,
                format!("{host}: {error}"),
                "see in Twilio's Console whether the sink is active",
            );
        }
    };
    let Some(sink) = &found.sink else { return Check::failure(NAME, "there is no sink for this worker", SETUP) };
    let status = sink.status.as_deref().unwrap_or("of unknown status");
    if status != "active" {
        let remedy =
            "see in Twilio's Console why; where it has failed, delete it and run `setup --event-streams --yes`";
        return Check::failure(NAME, format!("the sink {} is {status}, and delivers nothing", sink.sid), remedy);
    }
    if !found.missing.is_empty() {
        return Check::failure(NAME, format!("nobody subscribes to {}", found.missing.join(", ")), SETUP);
    }
    if found.brings_subaccounts() {
        let remedy = "give each account a sink of its own: what the parent account signs for others is refused";
        return Check::warning(NAME, format!("the sink {} brings events of subaccounts as well", sink.sid), remedy);
    }
    Check::ok(NAME, format!("the sink {} brings the events that matter", sink.sid))
}

fn clock(date: Option<EpochMs>) -> Check {
    const NAME: &str = "clock";
    let Some(date) = date else {
        return Check::warning(NAME, "Twilio's answer has no Date", "compare this machine's clock by hand");
    };
    // The header has whole seconds, and the answer was under way.
    let skew = jiff::Timestamp::now().as_millisecond() - date;
    if (-SKEW_MS..=SKEW_MS + 1000).contains(&skew) {
        return Check::ok(NAME, "as Twilio's, within five seconds");
    }
    let direction = if skew > 0 { "ahead of" } else { "behind" };
    let found = format!("{} s {direction} Twilio's", skew.abs() / 1000);
    Check::warning(NAME, found, "synchronise this machine's clock (NTP)")
}

fn failed(name: &'static str, host: &str, error: &ApiError) -> Check {
    let found = format!("{host}: {error}");
    match error {
        ApiError::NotFound => Check::failure(
            name,
            found,
            "check TWILIO_WORKSPACE_SID, and that it belongs to TWILIO_ACCOUNT_SID; `setup --list` shows the account's",
        ),
        ApiError::Refused(_) => Check::failure(name, found, CREDENTIALS),
        ApiError::Later(_) => Check::failure(name, found, NETWORK),
    }
}
