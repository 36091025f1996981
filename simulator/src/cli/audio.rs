//! What the testbed's destination heard, in lines for people.

use taskrouter_streams::call::sid::{ReservationSid, TaskSid, WorkerSid};
use twilio_simulator::consumer::{BROKEN_OFF, Heard};
use twilio_simulator::testbed::Testbed;

/// A line for each stream of a call, in the order of their starts. Times count from `began`, ms since the epoch.
pub(super) fn lines(testbed: &Testbed, task: &TaskSid, began: i64) -> Vec<String> {
    of_task(testbed, task).iter().map(|heard| line(testbed, heard, began)).collect()
}

/// What was not as Twilio documents it, or went to nobody. A stream whose socket failed in the simulated Twilio, as a scenario
/// can have it, may break off; nothing else is excused.
pub(super) fn complaints(testbed: &Testbed, task: &TaskSid) -> Vec<String> {
    let streams = testbed.sim.report(task).map(|report| report.streams).unwrap_or_default();
    let failed = |heard: &Heard| {
        streams.iter().any(|stream| Some(&stream.sid) == heard.stream.as_ref() && stream.failure.is_some())
    };
    let remark = |heard: &Heard| {
        let (who, may_break_off) = (who(testbed, heard), failed(heard));
        let wrong = heard.wrong.iter().filter(|wrong| !(may_break_off && *wrong == BROKEN_OFF));
        wrong.map(|wrong| format!("the audio of {who}: {wrong}")).collect::<Vec<_>>()
    };
    of_task(testbed, task).iter().flat_map(remark).collect()
}

/// From `accepted_at` of each stream's reservation to its first frame, ms.
pub(super) fn delays(
    testbed: &Testbed,
    task: &TaskSid,
    accepted_at: impl Fn(&ReservationSid) -> Option<i64>,
) -> Vec<i64> {
    let delay = |heard: Heard| {
        let reservation = heard.parameters.get("reservationSid")?.parse().ok()?;
        Some(heard.began_at? - accepted_at(&reservation)?)
    };
    of_task(testbed, task).into_iter().filter_map(delay).collect()
}

fn of_task(testbed: &Testbed, task: &TaskSid) -> Vec<Heard> {
    let mut heard = testbed.heard();
    heard.retain(|heard| heard.parameters.get("taskSid").is_some_and(|sid| sid == task.as_str()));
    heard
}

fn line(testbed: &Testbed, heard: &Heard, began: i64) -> String {
    let tracks: Vec<String> = heard.frames.iter().map(|(track, frames)| format!("{frames} {track}")).collect();
    let end = match (heard.stopped, heard.closed) {
        (true, _) => "stopped",
        (false, true) => "broken off",
        (false, false) => "still running",
    };
    let (who, path) = (who(testbed, heard), &heard.path);
    match (heard.began_at, heard.ended_at) {
        (Some(first), Some(last)) => format!(
            "audio of {who} at {path}: from {} s to {} s, frames {}, {end}",
            seconds(first - began),
            seconds(last - began),
            tracks.join(" and "),
        ),
        (None | Some(_), _) => format!("audio of {who} at {path}: none, {end}"),
    }
}

fn who(testbed: &Testbed, heard: &Heard) -> String {
    let worker = heard.parameters.get("workerSid").and_then(|sid| sid.parse::<WorkerSid>().ok());
    let name = worker.and_then(|worker| testbed.sim.agent_named(&worker));
    name.unwrap_or_else(|| "nobody".to_owned())
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms.rem_euclid(1_000))
}
