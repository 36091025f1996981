//! What the person on call reads of a call's steps.

use super::outage_log::OutageLog;
use crate::call::Call;
use crate::call::fact::{FactKind, Notice};
use crate::call::step::{Answer, Assumed, Command, Operation, Outcome, Settled, Step};
use crate::journal::Claim;

pub(super) fn log_report(claim: &Claim, kind: &FactKind, call: &Call, outage: &OutageLog) {
    let task_sid = &claim.call;
    match kind {
        FactKind::Noticed(Notice::NoCall) => {
            tracing::info!(%task_sid, "this voice task has no call, as far as can be found")
        }
        FactKind::Noticed(Notice::StartUnproven { name, replace }) => tracing::warn!(
            %task_sid, name, replaced = replace,
            "Twilio took this stream and has not told that its socket is open: check the destination"
        ),
        FactKind::Noticed(Notice::StopUnproven { name }) => tracing::error!(
            %task_sid, name,
            "Twilio took the stop of this stream twice and has not told that it is over: check that its audio has ended"
        ),
        FactKind::Noticed(Notice::LegMoved { name }) => tracing::error!(
            %task_sid, name,
            "the customer's leg left its conference when this stream was started: set streams.strategy = \"redirect\""
        ),
        FactKind::Noticed(Notice::LegUnverified { name }) => tracing::warn!(
            %task_sid, name, "whether the leg stayed where it was when this stream was started could not be read"
        ),
        FactKind::Noticed(Notice::PauseProven { id, stops, recordings }) => {
            let (streams, recordings) = (stops.len(), recordings.as_ref().map(Vec::len));
            tracing::info!(%task_sid, pause = %id, streams, recordings, "paused: it is proven that no stream within this pause runs");
        }
        FactKind::Noticed(Notice::PauseUnproven { id }) => tracing::error!(
            %task_sid, pause = %id,
            "this pause is not proven: audio may still leave or be recorded; tell the agent to take no card data, and see `calls show`"
        ),
        FactKind::Noticed(Notice::PauseOverdue { id }) => tracing::warn!(
            %task_sid, pause = %id,
            "the time of this pause is up, and its streams stay paused: resume it with `calls resume`, or set pause.on_expiry"
        ),
        FactKind::Resumed(resumed) => {
            tracing::info!(%task_sid, pause = %resumed.id, "the time of this pause is up: its streams start again");
        }
        FactKind::Noticed(Notice::GuardLeft { call }) => tracing::error!(
            %task_sid, call_sid = %call,
            "the task names another customer's leg, and this one keeps a guard that was lowered here: set its endConferenceOnExit, or \
             its agents stay in the conference when it ends"
        ),
        FactKind::Noticed(Notice::OnHold) => {
            tracing::info!(%task_sid, "the customer is on hold: streams of destinations with on_hold = \"stop\" rest");
        }
        FactKind::Noticed(Notice::OffHold) => {
            tracing::info!(%task_sid, "the customer is off hold: the streams that rested start again");
        }
        FactKind::Noticed(Notice::RedirectVoid) => {
            tracing::warn!(%task_sid, "a redirect whose answer was lost never took effect: it is decided anew");
        }
        FactKind::Recovered(goal) => tracing::info!(%task_sid, %goal, "no longer parked"),
        FactKind::Noticed(Notice::LegStayed { name }) => {
            tracing::debug!(%task_sid, name, "the customer's leg stayed where it was when this stream was started");
        }
        FactKind::Settled(settled) => log_outcome(claim, settled, call, outage),
        FactKind::Unparked
        | FactKind::Reservation(_)
        | FactKind::Task(_)
        | FactKind::Transfer(_)
        | FactKind::Stream(_)
        | FactKind::Participant(_)
        | FactKind::Begun(_)
        | FactKind::Parked(_)
        | FactKind::Redriven
        | FactKind::Dismissed
        | FactKind::Operated(_)
        | FactKind::Paused(_) => {}
    }
}

/// Parameters that are not sent as they are, when their stream is asked for the first time. Their values may be personal data.
pub(super) fn log_altered(claim: &Claim, step: &Step, call: &Call) {
    let starts = step.operation.command().map(Command::starts).unwrap_or_default();
    let is_new = |name: &str| call.streams().iter().all(|stream| stream.name != name);
    for stream in starts.iter().filter(|stream| !stream.altered.is_empty() && is_new(&stream.name)) {
        tracing::warn!(
            task_sid = %claim.call, name = stream.name, parameters = stream.altered.join(", "),
            "these parameters of the stream are sent shortened or cleaned, because Twilio would refuse them as they are"
        );
    }
}

/// How a step ended. While Twilio is away, that is said once for all calls: see [`OutageLog`].
pub(super) fn log_outcome(claim: &Claim, settled: &Settled, call: &Call, outage: &OutageLog) {
    let Settled { step, outcome, request_id, assumed, .. } = settled;
    let (task_sid, operation) = (&claim.call, step.operation.name());
    let request_id = request_id.as_deref().unwrap_or("-");
    let (call_sid, account) = (call.customer().map(|sid| sid.as_str()), call.account().map(|sid| sid.as_str()));
    let Target { name, reservation_sid, stream_sid } = Target::of(&step.operation, outcome);
    match outcome {
        Outcome::Done(_) if *assumed == Some(Assumed::NotSent) => {
            tracing::info!(%task_sid, call_sid, reservation_sid, account, name, operation, "not sent: the call is in shadow mode");
        }
        Outcome::Done(_) if step.operation.command().is_none() => {
            tracing::debug!(%task_sid, call_sid, account, operation, request_id, "step done");
        }
        Outcome::Done(_) => {
            let told = match &step.operation {
                Operation::Command(Command::CreateStream { .. }) => "stream start taken",
                Operation::Command(Command::StopStream { .. }) => "stream stop taken",
                Operation::Command(Command::Redirect { .. }) => "redirect taken",
                Operation::Command(Command::PauseRecording { .. }) => "recording paused",
                Operation::Command(Command::ResumeRecording { .. }) => "recording resumed",
                Operation::Command(Command::UpdateCustomer { .. } | Command::EndConference { .. })
                | Operation::Read(_) => "command taken",
            };
            tracing::info!(
                %task_sid, call_sid, reservation_sid, stream_sid, account, name, operation, request_id, "{told}"
            );
        }
        Outcome::NotFound(trouble)
        | Outcome::NotInProgress(trouble)
        | Outcome::TryLater(trouble)
        | Outcome::Unknown(trouble)
        | Outcome::Denied(trouble)
        | Outcome::Refused(trouble) => {
            let (status, code, reason) = (trouble.status, trouble.code, &trouble.reason);
            if outage.is_known(call.account()) {
                tracing::debug!(%task_sid, call_sid, reservation_sid, account, operation, request_id, status, code, %reason, "step failed");
            } else {
                tracing::warn!(%task_sid, call_sid, reservation_sid, stream_sid, account, name, operation, request_id, status, code, %reason, "step failed");
            }
        }
    }
    outage.settled(call.account(), outcome);
}

/// The stream that a step is about. A redirect's first.
#[derive(Default)]
struct Target<'a> {
    name: Option<&'a str>,
    reservation_sid: Option<&'a str>,
    stream_sid: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(operation: &'a Operation, outcome: &'a Outcome) -> Self {
        let Some(command) = operation.command() else { return Self::default() };
        let answered = if let Outcome::Done(Answer::Stream(sid)) = outcome { Some(sid.as_str()) } else { None };
        if let Some(start) = command.starts().first() {
            let reservation_sid = Some(start.reservation.as_str());
            return Self { name: Some(&start.name), reservation_sid, stream_sid: answered };
        }
        match command {
            Command::StopStream { name, sid, .. } => {
                let stream_sid = sid.as_ref().map(|sid| sid.as_str());
                Self { name: Some(name), stream_sid, ..Self::default() }
            }
            Command::Redirect { stop, .. } => Self { name: stop.first().map(String::as_str), ..Self::default() },
            Command::CreateStream { .. }
            | Command::UpdateCustomer { .. }
            | Command::PauseRecording { .. }
            | Command::ResumeRecording { .. }
            | Command::EndConference { .. } => Self::default(),
        }
    }
}
