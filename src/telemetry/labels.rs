//! Facts and outcomes as labels: each one of a few words of this program.

use crate::call::fact::{ReservationChange, StreamChange, TaskChange, TransferChange, What};
use crate::call::step::{Assumed, Change, Outcome};

/// Every word of [`event`] for what comes from outside.
pub const EVENTS: [&str; 26] = [
    "reservation.created",
    "reservation.accepted",
    "reservation.wrapup",
    "reservation.completed",
    "reservation.rejected",
    "reservation.timeout",
    "reservation.canceled",
    "reservation.rescinded",
    "reservation.failed",
    "task.created",
    "task.updated",
    "task.wrapup",
    "task.completed",
    "task.canceled",
    "task.deleted",
    "task.system-deleted",
    "task.transfer-initiated",
    "task.transfer-attempt-failed",
    "task.transfer-failed",
    "task.transfer-canceled",
    "task.transfer-completed",
    "stream-started",
    "stream-stopped",
    "stream-error",
    "redriven",
    "dismissed",
];

/// A fact that came from outside, by Twilio's own event name where it has one.
pub fn event(what: &What) -> &'static str {
    match what {
        What::Reservation(event) => match event.change {
            ReservationChange::Created => "reservation.created",
            ReservationChange::Accepted => "reservation.accepted",
            ReservationChange::Wrapup => "reservation.wrapup",
            ReservationChange::Completed => "reservation.completed",
            ReservationChange::Rejected => "reservation.rejected",
            ReservationChange::Timeout => "reservation.timeout",
            ReservationChange::Canceled => "reservation.canceled",
            ReservationChange::Rescinded => "reservation.rescinded",
            ReservationChange::Failed => "reservation.failed",
        },
        What::Task(event) => match event.change {
            TaskChange::Created => "task.created",
            TaskChange::Updated => "task.updated",
            TaskChange::Wrapup => "task.wrapup",
            TaskChange::Completed => "task.completed",
            TaskChange::Canceled => "task.canceled",
            TaskChange::Deleted => "task.deleted",
            TaskChange::SystemDeleted => "task.system-deleted",
        },
        What::Transfer(event) => match event.change {
            TransferChange::Initiated => "task.transfer-initiated",
            TransferChange::AttemptFailed => "task.transfer-attempt-failed",
            TransferChange::Failed => "task.transfer-failed",
            TransferChange::Canceled => "task.transfer-canceled",
            TransferChange::Completed => "task.transfer-completed",
        },
        What::Stream(event) => match event.change {
            StreamChange::Started => "stream-started",
            StreamChange::Stopped => "stream-stopped",
            StreamChange::Error => "stream-error",
        },
        What::Redriven => "redriven",
        What::Dismissed => "dismissed",
        What::Begun(_) | What::Settled(_) | What::Parked(_) | What::Unconfirmed { .. } | What::Unparked => "ours",
    }
}

/// Every word of [`change`].
pub const CHANGES: [&str; 9] =
    ["start", "stop", "lower_ahead", "raise_guard", "hold_again", "rejoin", "orphan", "reconcile", "serve"];

/// What a change is about.
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

/// How a step ended; "not_sent" is a command that went well in shadow mode.
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

/// A path of the public listener; `pattern` is the router's.
pub fn path(pattern: Option<&str>) -> &'static str {
    const PATHS: [&str; 4] =
        ["/taskrouter/events", "/taskrouter/event-streams", "/taskrouter/assignment", "/streams/status"];
    PATHS.into_iter().find(|path| Some(*path) == pattern).unwrap_or("other")
}

/// An HTTP status: those that mean something of their own, else its class; "none" without an answer.
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
