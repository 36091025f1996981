//! Labels of metrics and spans. Each is one of a few words of this program.

use crate::call::fact::What;
use crate::call::step::{Assumed, Change, Outcome};
use crate::twilio::event_types::EventType;

/// Commands of operators, beside Twilio's events.
const OPERATOR: [&str; 2] = ["redriven", "dismissed"];

/// Every label of [`event`] for a fact from outside.
pub fn events() -> impl Iterator<Item = &'static str> {
    EventType::ALL.into_iter().map(EventType::name).chain(OPERATOR)
}

/// A fact from outside by Twilio's name for the event, or by the operator's command; "ours" for the worker's own facts.
pub fn event(what: &What) -> &'static str {
    let [redriven, dismissed] = OPERATOR;
    match what {
        What::Redriven => redriven,
        What::Dismissed => dismissed,
        What::Reservation(_)
        | What::Task(_)
        | What::Transfer(_)
        | What::Stream(_)
        | What::Begun(_)
        | What::Settled(_)
        | What::Parked(_)
        | What::Unconfirmed { .. }
        | What::Unparked => EventType::of(what).map_or("ours", EventType::name),
    }
}

/// Every label of [`change`].
pub const CHANGES: [&str; 9] =
    ["start", "stop", "lower_ahead", "raise_guard", "hold_again", "rejoin", "orphan", "reconcile", "serve"];

/// The kind of a change.
pub fn change(change: &Change) -> &'static str {
    match change {
        Change::Start(_) => "start",
        Change::Stop(_) => "stop",
        Change::LowerAhead => "lower_ahead",
        Change::RaiseGuard => "raise_guard",
        Change::HoldAgain => "hold_again",
        Change::Rejoin => "rejoin",
        Change::Orphan(_) => "orphan",
        Change::Reconcile => "reconcile",
        Change::Serve => "serve",
    }
}

/// How a step ended; "not_sent" is a command withheld in shadow mode.
pub fn outcome(outcome: &Outcome, assumed: Option<Assumed>) -> &'static str {
    match outcome {
        Outcome::Done(_) if assumed == Some(Assumed::NotSent) => "not_sent",
        Outcome::Done(_) => "done",
        Outcome::Gone => "gone",
        Outcome::TryLater(_) => "try_later",
        Outcome::Unknown(_) => "unknown",
        Outcome::Refused(_) => "refused",
    }
}

/// A path of the public listener; `pattern` comes from the router.
pub fn path(pattern: Option<&str>) -> &'static str {
    const PATHS: [&str; 4] =
        ["/taskrouter/events", "/taskrouter/event-streams", "/taskrouter/assignment", "/streams/status"];
    PATHS.into_iter().find(|path| Some(*path) == pattern).unwrap_or("other")
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
        Some(413) => "413",
        Some(415) => "415",
        Some(429) => "429",
        Some(503) => "503",
        Some(200..300) => "2xx",
        Some(300..400) => "3xx",
        Some(400..500) => "4xx",
        Some(500..600) => "5xx",
        Some(_) => "other",
    }
}
