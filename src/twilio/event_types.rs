//! The names of the events that matter: TaskRouter's `EventType`, a stream's `StreamEvent` and a conference's `StatusCallbackEvent`.
//!
//! Workspaces, subscriptions, parsers, metrics and traces all take the names from here.

use crate::call::fact::{
    FactKind, ParticipantChange, ReservationChange, StreamChange, TaskChange, TaskRouterEvent, TransferChange,
};

/// An event that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// TaskRouter's `reservation.…`.
    Reservation(ReservationChange),
    /// TaskRouter's `task.…`, but for transfers.
    Task(TaskChange),
    /// TaskRouter's `task.transfer-…`.
    Transfer(TransferChange),
    /// A stream's status callback.
    Stream(StreamChange),
    /// A conference's status callback about a participant.
    Participant(ParticipantChange),
}

impl EventType {
    /// Every event that matters.
    pub const ALL: [Self; 26] = [
        Self::Reservation(ReservationChange::Created),
        Self::Reservation(ReservationChange::Accepted),
        Self::Reservation(ReservationChange::Wrapup),
        Self::Reservation(ReservationChange::Completed),
        Self::Reservation(ReservationChange::Rejected),
        Self::Reservation(ReservationChange::Timeout),
        Self::Reservation(ReservationChange::Canceled),
        Self::Reservation(ReservationChange::Rescinded),
        Self::Reservation(ReservationChange::Failed),
        Self::Task(TaskChange::Created),
        Self::Task(TaskChange::Updated),
        Self::Task(TaskChange::Wrapup),
        Self::Task(TaskChange::Completed),
        Self::Task(TaskChange::Canceled),
        Self::Task(TaskChange::Deleted),
        Self::Task(TaskChange::SystemDeleted),
        Self::Transfer(TransferChange::Initiated),
        Self::Transfer(TransferChange::AttemptFailed),
        Self::Transfer(TransferChange::Failed),
        Self::Transfer(TransferChange::Canceled),
        Self::Transfer(TransferChange::Completed),
        Self::Stream(StreamChange::Started),
        Self::Stream(StreamChange::Stopped),
        Self::Stream(StreamChange::Error),
        Self::Participant(ParticipantChange::Hold),
        Self::Participant(ParticipantChange::Unhold),
    ];

    /// The event of this name in any case, if it matters.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name().eq_ignore_ascii_case(name))
    }

    /// The event that a fact records; `None` for facts that are not Twilio's.
    pub fn of(what: &FactKind) -> Option<Self> {
        if let FactKind::Stream(event) = what {
            return Some(Self::Stream(event.change));
        }
        if let FactKind::Participant(event) = what {
            return Some(Self::Participant(event.change));
        }
        Some(match what.taskrouter_event()? {
            TaskRouterEvent::Reservation(event) => Self::Reservation(event.change),
            TaskRouterEvent::Task(event) => Self::Task(event.change),
            TaskRouterEvent::Transfer(event) => Self::Transfer(event.change),
        })
    }

    /// Twilio's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reservation(change) => match change {
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
            Self::Task(change) => match change {
                TaskChange::Created => "task.created",
                TaskChange::Updated => "task.updated",
                TaskChange::Wrapup => "task.wrapup",
                TaskChange::Completed => "task.completed",
                TaskChange::Canceled => "task.canceled",
                TaskChange::Deleted => "task.deleted",
                TaskChange::SystemDeleted => "task.system-deleted",
            },
            Self::Transfer(change) => match change {
                TransferChange::Initiated => "task.transfer-initiated",
                TransferChange::AttemptFailed => "task.transfer-attempt-failed",
                TransferChange::Failed => "task.transfer-failed",
                TransferChange::Canceled => "task.transfer-canceled",
                TransferChange::Completed => "task.transfer-completed",
            },
            Self::Stream(change) => match change {
                StreamChange::Started => "stream-started",
                StreamChange::Stopped => "stream-stopped",
                StreamChange::Error => "stream-error",
            },
            Self::Participant(change) => match change {
                ParticipantChange::Hold => "participant-hold",
                ParticipantChange::Unhold => "participant-unhold",
            },
        }
    }

    /// Whether TaskRouter sends it, so that a workspace's `EventsFilter` or a subscription names it.
    pub fn is_taskrouters(self) -> bool {
        match self {
            Self::Reservation(_) | Self::Task(_) | Self::Transfer(_) => true,
            Self::Stream(_) | Self::Participant(_) => false,
        }
    }
}
