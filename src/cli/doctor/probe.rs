//! `--probe-call`: a stream on a live call through the Streams API. No page of Twilio's promises that the leg stays in its
//! conference.

use super::check::Check;
use crate::call::sid::{CallSid, ConferenceSid};
use crate::call::step::{Answer, Command, Operation, Outcome, ParticipantRow, Read};
use crate::config::Settings;
use crate::twilio::client::{ApiError, Client};
use std::time::Duration;

const NAME: &str = "streams api";

/// A leg that leaves its conference disappears from the list within a few hundred milliseconds.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// Conferences that are searched for the leg, newest first.
const CONFERENCES: usize = 100;

pub(super) async fn check(settings: &Settings, client: &Client, call: &CallSid) -> Check {
    let Some(destination) = settings.streams.destinations.first() else {
        return Check::failure(NAME, "no destination is configured", "set streams.destinations");
    };
    let (conference, before) = match find(client, call).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Check::failure(
                NAME,
                format!("{call} is in none of the {CONFERENCES} newest conferences"),
                "name the customer's leg of a call that is with an agent now: the task's call_sid",
            );
        }
        Err(error) => return Check::failure(NAME, error.to_string(), "see the checks of Twilio's APIs above"),
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
    // Also after a start of unknown outcome.
    let stop = Operation::Command(Command::StopStream {
        customer: call.clone(),
        name: name.clone(),
        sid: None,
        conclusive: true,
    });
    let stopped = client.perform(&stop).await.outcome;
    if let Err(error) = started {
        return Check::failure(
            NAME,
            format!("no stream could be started: {error}"),
            "check the rights of the API key, or set streams.strategy = \"redirect\"",
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
        (Some((during, after)), Outcome::Done(_) | Outcome::NotFound(_) | Outcome::NotInProgress(_))
            if stayed(during) && stayed(after) =>
        {
            Check::ok(
                NAME,
                format!(
                    "a stream was started and stopped on {call}{}, and the leg stayed in its conference, as \
                     streams.strategy = \"streams-api\" needs",
                    if before.hold == Some(true) { ", which is on hold" } else { "" }
                ),
            )
        }
        (Some(_), Outcome::TryLater(_) | Outcome::Unknown(_) | Outcome::Denied(_) | Outcome::Refused(_)) => {
            Check::failure(
                NAME,
                format!("the stream {name} on {call} could not be stopped; it ends with the call"),
                "set streams.strategy = \"redirect\"",
            )
        }
        (Some(_) | None, _) => Check::failure(
            NAME,
            format!("{call} left its conference when a stream was started or stopped, or the call ended meanwhile"),
            "try another call; if it happens again, set streams.strategy = \"redirect\"",
        ),
    }
}

/// The leg's conference, and its participant there.
async fn find(client: &Client, call: &CallSid) -> Result<Option<(ConferenceSid, ParticipantRow)>, ApiError> {
    for conference in client.probe().conferences_in_progress().await?.into_iter().take(CONFERENCES) {
        if let Some(row) = row(client, &conference, call).await {
            return Ok(Some((conference, row)));
        }
    }
    Ok(None)
}

async fn row(client: &Client, conference: &ConferenceSid, call: &CallSid) -> Option<ParticipantRow> {
    let read = Operation::Read(Read::Participants { conference: conference.clone() });
    let Outcome::Done(Answer::Participants(rows)) = client.perform(&read).await.outcome else { return None };
    rows.into_iter().find(|row| row.call == *call)
}
