//! Labels of metrics and spans. Each is one of a few words of this program.

use crate::call::fact::{FactKind, Operated, OperatorAct};
use crate::call::step::{Assumed, Goal, Outcome};
use crate::twilio::event_types::EventType;

/// Commands from elsewhere, beside Twilio's events.
const COMMANDS: [&str; 4] = ["redriven", "dismissed", "paused", "resumed"];

/// Every label of [`event`] for a fact from outside.
pub fn events() -> impl Iterator<Item = &'static str> {
    EventType::ALL.into_iter().map(EventType::name).chain(COMMANDS)
}

/// A fact from outside by Twilio's name for the event, or by the command's; "ours" for the worker's own facts.
pub fn event(what: &FactKind) -> &'static str {
    let [redriven, dismissed, paused, resumed] = COMMANDS;
    match what {
        FactKind::Redriven | FactKind::Operated(Operated { act: OperatorAct::Redrive, .. }) => redriven,
        FactKind::Dismissed | FactKind::Operated(Operated { act: OperatorAct::Dismiss, .. }) => dismissed,
        FactKind::Paused(_) => paused,
        FactKind::Resumed(_) => resumed,
        FactKind::Reservation(_)
        | FactKind::Task(_)
        | FactKind::Transfer(_)
        | FactKind::Stream(_)
        | FactKind::Participant(_)
        | FactKind::Begun(_)
        | FactKind::Settled(_)
        | FactKind::Parked(_)
        | FactKind::Recovered(_)
        | FactKind::Noticed(_)
        | FactKind::Unparked => EventType::of(what).map_or("ours", EventType::name),
    }
}

/// Every word of [`goal`].
pub const GOALS: [&str; 14] = [
    "start",
    "stop",
    "lower_guard",
    "raise_guard",
    "hold_again",
    "rejoin",
    "find_customer",
    "check_call",
    "check_hold",
    "verify_leg",
    "end_conference",
    "pause_recording",
    "resume_recording",
    "serve",
];

/// What a goal is about.
pub fn goal(goal: &Goal) -> &'static str {
    match goal {
        Goal::Start(_) => "start",
        Goal::Stop(_) => "stop",
        Goal::LowerGuard => "lower_guard",
        Goal::RaiseGuard => "raise_guard",
        Goal::HoldAgain => "hold_again",
        Goal::Rejoin => "rejoin",
        Goal::FindCustomer => "find_customer",
        Goal::CheckCall => "check_call",
        Goal::CheckHold => "check_hold",
        Goal::VerifyLeg => "verify_leg",
        Goal::EndConference => "end_conference",
        Goal::PauseRecording(_) => "pause_recording",
        Goal::ResumeRecording(_) => "resume_recording",
        Goal::Serve => "serve",
    }
}

/// How a step ended; "not_sent" is a command withheld in shadow mode.
pub fn outcome(outcome: &Outcome, assumed: Option<Assumed>) -> &'static str {
    match outcome {
        Outcome::Done(_) if assumed == Some(Assumed::NotSent) => "not_sent",
        Outcome::Done(_) => "done",
        Outcome::NotFound(_) => "not_found",
        Outcome::NotInProgress(_) => "not_in_progress",
        Outcome::TryLater(_) => "try_later",
        Outcome::Unknown(_) => "unknown",
        Outcome::Denied(_) => "denied",
        Outcome::Refused(_) => "refused",
    }
}

/// The paths that Twilio's requests come on.
pub const TWILIO_PATHS: [&str; 4] =
    ["/taskrouter/events", "/taskrouter/event-streams", "/taskrouter/assignment", "/streams/status"];

/// Answers by which a request of Twilio's is lost: what is refused so is not sent again.
pub const LOST: [&str; 4] = ["400", "405", "413", "415"];

/// The labels of those answers.
pub fn lost_answers() -> impl Iterator<Item = [(&'static str, &'static str); 2]> {
    TWILIO_PATHS.into_iter().flat_map(|path| LOST.map(|status| [("path", path), ("status", status)]))
}

/// A path of the public listener; `pattern` comes from the router.
pub fn path(pattern: Option<&str>) -> &'static str {
    const PAUSES: [&str; 2] = ["/calls/{task}/pause", "/calls/{task}/resume"];
    TWILIO_PATHS.into_iter().chain(PAUSES).find(|path| Some(*path) == pattern).unwrap_or("other")
}

/// An HTTP status: some by number, others by class; "none" without an answer.
pub fn status(status: Option<u16>) -> &'static str {
    match status {
        None => "none",
        Some(400) => "400",
        Some(401) => "401",
        Some(403) => "403",
        Some(404) => "404",
        Some(405) => "405",
        Some(408) => "408",
        Some(409) => "409",
        Some(413) => "413",
        Some(415) => "415",
        Some(429) => "429",
        Some(503) => "503",
        Some(504) => "504",
        Some(200..300) => "2xx",
        Some(300..400) => "3xx",
        Some(400..500) => "4xx",
        Some(500..600) => "5xx",
        Some(_) => "other",
    }
}
