//! `--probe-call`: a stream on a live call by the Streams API, which no page of Twilio's promises to leave the leg in its
//! conference.

use super::check::Check;
use crate::call::sid::{CallSid, ConferenceSid};
use crate::call::step::{Answer, Operation, Outcome, ParticipantRow};
use crate::config::Settings;
use crate::twilio::client::{ApiError, Client};
use std::time::Duration;

const NAME: &str = "streams api";

/// A leg that leaves its conference is gone from the list within a few hundred milliseconds.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// Conferences that are searched for the leg, the newest first.
const CONFERENCES: usize = 100;

pub(super) async fn check(settings: &Settings, client: &Client, call: &CallSid) -> Check {
    let Some(destination) = settings.streams.destinations.first() else {
        return Check::failure(NAME, "there is no destination", "set streams.destinations");
    };
    let (conference, before) = match whereabouts(client, call).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Check::failure(
                NAME,
                format!("{call} is in none of the {CONFERENCES} newest conferences"),
                "name the customer's leg of a call that an agent has now: it is the task's call_sid",
            );
        }
        Err(error) => return Check::failure(NAME, error.to_string(), "see the checks of Twilio's APIs"),
    };
    let name = format!("{}probe_{}", settings.streams.name_prefix, jiff::Timestamp::now().as_millisecond());
    let started = client.probe().start(call, &name, &destination.url).await;
    let during = match &started {
        Ok(()) => {
            tokio::time::sleep(LOOK_AFTER).await;
            row(client, &conference, call).await
        }
        Err(_) => None,
    };
    // Also one of whose start nothing is known.
    let stop = Operation::StopStream { customer: call.clone(), name: name.clone(), sid: None };
    let stopped = client.perform(&stop).await.outcome;
    if let Err(error) = started {
        return Check::failure(
            NAME,
            format!("no stream could be started: {error}"),
            "keep streams.strategy = \"redirect\"",
        );
    }
    tokio::time::sleep(LOOK_AFTER).await;
    let after = row(client, &conference, call).await;
    judge(call, &before, during.as_ref().zip(after.as_ref()), &stopped, &name)
}

fn judge(
    call: &CallSid,
    before: &ParticipantRow,
    later: Option<(&ParticipantRow, &ParticipantRow)>,
    stopped: &Outcome,
    name: &str,
) -> Check {
    let stayed = |row: &ParticipantRow| row.connected && row.date_created == before.date_created;
    match (later, stopped) {
        (Some((during, after)), Outcome::Done(_) | Outcome::Gone) if stayed(during) && stayed(after) => Check::ok(
            NAME,
            format!(
                "a stream was started and stopped on {call}, and the leg stayed in its conference: \
                     streams.strategy = \"streams-api\" can be used"
            ),
        ),
        (Some(_), Outcome::TryLater(_) | Outcome::Unknown(_) | Outcome::Refused(_)) => Check::failure(
            NAME,
            format!("the stream {name} on {call} could not be stopped; it ends with the call"),
            "keep streams.strategy = \"redirect\"",
        ),
        (Some(_) | None, _) => Check::failure(
            NAME,
            format!("{call} left its conference when a stream was started or stopped, or the call ended meanwhile"),
            "try it with another call; when it happens again, keep streams.strategy = \"redirect\"",
        ),
    }
}

/// The conference that the leg is in, and its row there.
async fn whereabouts(client: &Client, call: &CallSid) -> Result<Option<(ConferenceSid, ParticipantRow)>, ApiError> {
    for conference in client.probe().conferences_in_progress().await?.into_iter().take(CONFERENCES) {
        if let Some(row) = row(client, &conference, call).await {
            return Ok(Some((conference, row)));
        }
    }
    Ok(None)
}

async fn row(client: &Client, conference: &ConferenceSid, call: &CallSid) -> Option<ParticipantRow> {
    let read = Operation::ReadParticipants { conference: conference.clone() };
    match client.perform(&read).await.outcome {
        Outcome::Done(Answer::Participants(rows)) => rows.into_iter().find(|row| row.call == *call),
        Outcome::Done(_) | Outcome::Gone | Outcome::TryLater(_) | Outcome::Unknown(_) | Outcome::Refused(_) => None,
    }
}
