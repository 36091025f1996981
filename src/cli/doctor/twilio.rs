//! Twilio's side: credentials, the workspace's events, and the clock.

use super::check::Check;
use crate::call::fact::EpochMs;
use crate::call::step::{Operation, Outcome, Read};
use crate::cli::accounts::Login;
use crate::cli::setup::event_streams::Delivery;
use crate::cli::setup::plan::{Owner, Plan, shown};
use crate::config::Settings;
use crate::http::EVENTS_PATH;
use crate::http::STREAM_STATUS_PATH;
use crate::twilio::client::{ApiError, Client, ClientSettings, Credentials, WorkspaceRow};

/// No conference has this name, so a search for it finds nothing.
const NO_CONFERENCE: &str = "taskrouter-streams-doctor";

/// Beyond this, times in logs and timelines cannot be compared with Twilio's.
const SKEW_MS: EpochMs = 5_000;

const CREDENTIALS: &str = "check TWILIO_ACCOUNT_SID, TWILIO_API_KEY and TWILIO_API_SECRET, and TWILIO_REGION: keys and \
                           tokens belong to one region";
const NETWORK: &str =
    "check this machine's connection to Twilio (DNS, firewall, proxy), and twilio.region, twilio.edge and twilio.proxy";

pub(super) async fn checks(settings: &Settings, client: &Client, event_streams: bool) -> Vec<Check> {
    let mut checks = vec![route(settings, client), calls(settings, client).await];
    let host = settings.twilio.taskrouter_base_url.host_str().unwrap_or_default();
    match client.workspaces().fetch(&settings.twilio.workspace_sid).await {
        Ok((row, date)) => {
            checks.push(Check::ok("taskrouter", format!("{host} accepts the configured credentials")));
            checks.push(if event_streams { streamed(settings, client).await } else { workspace(settings, &row) });
            checks.push(clock(date));
        }
        Err(error) => checks.push(failed("taskrouter", host, &error)),
    }
    checks.extend(tokens(settings).await);
    checks
}

/// The way to each of Twilio's hosts.
fn route(settings: &Settings, client: &Client) -> Check {
    const NAME: &str = "route";
    let events = client.event_streams().base_url().clone();
    let hosts = [&settings.twilio.api_base_url, &settings.twilio.taskrouter_base_url, &events];
    let Some(proxy) = &settings.twilio.proxy else { return Check::ok(NAME, "directly, without a proxy") };
    let names = |through: bool| {
        let of_route = hosts.into_iter().filter(|host| proxy.carries(host) == through);
        of_route.filter_map(|host| host.host_str()).collect::<Vec<_>>().join(", ")
    };
    let found = match (names(true), names(false)) {
        (through, direct) if direct.is_empty() => format!("{through} through the proxy {proxy}"),
        (through, direct) if through.is_empty() => format!("{direct} directly: the proxy {proxy} is not used for them"),
        (through, direct) => format!("{through} through the proxy {proxy}, {direct} directly"),
    };
    Check::ok(NAME, found)
}

/// The voice API: calls and conferences.
async fn calls(settings: &Settings, client: &Client) -> Check {
    const NAME: &str = "voice api";
    let host = settings.twilio.api_base_url.host_str().unwrap_or_default();
    let search = Operation::Read(Read::FindConference { friendly_name: NO_CONFERENCE.to_owned() });
    let outcome = client.perform(&search).await.outcome;
    if let Outcome::Done(_) = outcome {
        return Check::ok(NAME, format!("{host} accepts the configured credentials"));
    }
    failed(NAME, host, &ApiError::from(outcome))
}

/// Each auth token must be the account's, or be about to become it in a rotation.
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
            // A missing workspace is reported by another check; the token was accepted.
            Ok(_) | Err(ApiError::NotFound) => Check::ok(NAME, format!("token{which} belongs to the account")),
            Err(ApiError::Refused(_)) if tokens.len() > 1 => Check::warning(
                NAME,
                format!("token{which} does not belong to the account"),
                "ignore this during a rotation; otherwise remove it from twilio.auth_tokens",
            ),
            Err(ApiError::Refused(_)) => Check::failure(
                NAME,
                "the token does not belong to the account, so every event will be refused",
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
        Owner::Nobody => Check::failure(NAME, "no Event Callback URL is set", SETUP),
        Owner::Other => Check::failure(
            NAME,
            format!("the Event Callback URL is another one: {}", shown(&row.event_callback_url)),
            "run `taskrouter-streams setup --replace`, or `setup --event-streams` and `doctor --event-streams`",
        ),
        Owner::Us if !missing.is_empty() => {
            Check::failure(NAME, format!("EventsFilter leaves out {}", missing.join(", ")), SETUP)
        }
        Owner::Us if !plan.has_overrides() => {
            Check::warning(NAME, "the Event Callback URL does not ask Twilio to retry after failures", SETUP)
        }
        Owner::Us => Check::ok(NAME, format!("{} sends every event that is needed", row.sid)),
    }
}

async fn streamed(settings: &Settings, client: &Client) -> Check {
    const NAME: &str = "event streams";
    const SETUP: &str = "run `taskrouter-streams setup --event-streams --yes`";
    // It prints no request.
    let login = Login::default();
    let found = match Delivery::new(client, settings, &login).read().await {
        Ok(found) => found,
        Err(error) => {
            let host = client.event_streams().base_url().host_str().unwrap_or_default();
            return Check::warning(
                NAME,
                format!("{host}: {error}"),
                "check in the Twilio Console whether the sink is active",
            );
        }
    };
    let Some(sink) = &found.sink else { return Check::failure(NAME, "there is no sink for this service", SETUP) };
    let status = sink.status.as_deref().unwrap_or("of unknown status");
    if status != "active" {
        let remedy =
            "check in the Twilio Console why; if it has failed, delete it and run `setup --event-streams --yes`";
        return Check::failure(NAME, format!("the sink {} is {status}, so it delivers nothing", sink.sid), remedy);
    }
    if !found.missing.is_empty() {
        return Check::failure(NAME, format!("no subscription includes {}", found.missing.join(", ")), SETUP);
    }
    if found.has_subaccounts() {
        let remedy = "create one sink per account: deliveries that the parent account signs for others are refused";
        return Check::warning(NAME, format!("the sink {} also delivers events of subaccounts", sink.sid), remedy);
    }
    Check::ok(NAME, format!("the sink {} delivers every event that is needed", sink.sid))
}

fn clock(date: Option<EpochMs>) -> Check {
    const NAME: &str = "clock";
    let Some(date) = date else {
        return Check::warning(NAME, "Twilio's answer has no Date header", "check this machine's clock by hand");
    };
    // The header has whole seconds, and the answer took time.
    let skew = jiff::Timestamp::now().as_millisecond() - date;
    if (-SKEW_MS..=SKEW_MS + 1000).contains(&skew) {
        return Check::ok(NAME, "within five seconds of Twilio's");
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
            "check that TWILIO_WORKSPACE_SID belongs to TWILIO_ACCOUNT_SID; `setup --list` lists the account's workspaces",
        ),
        ApiError::Refused(_) => Check::failure(name, found, CREDENTIALS),
        ApiError::Later(_) => Check::failure(name, found, NETWORK),
    }
}
