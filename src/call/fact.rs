//! What can be known about a call, in the past tense. A call is the fold of its facts and of nothing else.
//!
//! Facts are journaled as JSON; their form is a promise to every journal already written: add fields with
//! `#[serde(default)]`, never rename or remove one.

pub use super::notice::Notice;
use super::pause::{AttributePause, Paused, Resumed};
use super::rules::Fields;
use super::sid::{
    AccountSid, CallSid, ConferenceSid, EventSid, ReservationSid, TaskQueueSid, TaskSid, TransferSid, WorkerSid,
};
use super::step::{Goal, Settled, Step};
pub use super::voice_event::{ParticipantChange, ParticipantEvent, StreamChange, StreamEvent};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A point in time: milliseconds since the Unix epoch.
pub type EpochMs = i64;

/// One fact and when this program learned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// When it was journaled, by the call's clock.
    pub at: EpochMs,
    /// What was learned.
    pub kind: FactKind,
}

/// The kinds of fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// TaskRouter said something about a reservation.
    Reservation(ReservationEvent),
    /// TaskRouter said something about the task itself.
    Task(TaskEvent),
    /// TaskRouter said something about a transfer of the task.
    Transfer(TransferEvent),
    /// Twilio said something about a stream.
    Stream(StreamEvent),
    /// Twilio said that a participant was put on hold, or taken off it.
    Participant(ParticipantEvent),
    /// A command is about to be sent, whose effect must not be forgotten.
    Begun(Step),
    /// A step was performed, and how it ended.
    Settled(Settled),
    /// A goal was given up, visibly.
    Parked(Parked),
    /// A parked goal was reached after all, or is moot.
    Recovered(Goal),
    /// Something that a person should know, and that nothing else says.
    Noticed(Notice),
    /// An operator asked for every parked goal to be tried again.
    Redriven,
    /// An operator has seen the parked goals and wants none of them.
    Dismissed,
    /// Every parked goal is reached, or moot.
    Unparked,
    /// The same as [`FactKind::Redriven`] or [`FactKind::Dismissed`], by an operator whose name is known.
    Operated(Operated),
    /// Somebody asked for a pause.
    Paused(Paused),
    /// Somebody asked for its end, or its time is up.
    Resumed(Resumed),
}

/// What every TaskRouter event tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventStamp {
    /// The event's id (EV…); undocumented in callbacks, hence optional.
    pub sid: Option<EventSid>,
    /// When it happened, by Twilio's clock: `TimestampMs`, else `Timestamp` in whole seconds.
    pub at: EpochMs,
}

/// What every event of a task tells about the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    /// `AccountSid`: whose event it is. Absent in journals written before there could be several accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountSid>,
    /// The task.
    pub task: TaskSid,
    /// `TaskChannelUniqueName`, such as "voice".
    pub channel: Option<String>,
    /// `TaskVersion`: grows with every change of the task.
    pub version: Option<u64>,
    /// `TaskAssignmentStatus`.
    pub status: Option<TaskStatus>,
    /// What `TaskAttributes` say of the call.
    pub attributes: CallAttributes,
    /// The task's fields that the configuration names; no others are kept.
    #[serde(default)]
    pub fields: Fields,
}

/// The part of a voice task's attributes that leads to the call. Everything may be missing: outbound tasks have no
/// `call_sid`, and `conference` is written by TaskRouter a little later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallAttributes {
    /// `direction` is "outbound".
    pub outbound: bool,
    /// Agents among themselves (`client_call`, `internal`, or a callee that is a `client:`): there is no customer.
    #[serde(default)]
    pub internal: bool,
    /// `conference.participants.customer`.
    pub customer: Option<CallSid>,
    /// `call_sid`: of an inbound task the customer's leg, of others anybody's.
    #[serde(default)]
    pub call_sid: Option<CallSid>,
    /// `conference.sid`.
    pub conference: Option<ConferenceSid>,
    /// `streams.paused`: whether the streams are paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Box<AttributePause>>,
    /// Legs that are named as somebody else's, such as `conference.participants.worker` and `worker_call_sid`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub other_legs: BTreeSet<CallSid>,
}

/// `TaskAssignmentStatus`. Open: Twilio has been seen to send others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Waiting for a worker.
    Pending,
    /// Offered to a worker.
    Reserved,
    /// A worker has it.
    Assigned,
    /// The last worker is finishing up: the conversation is over.
    Wrapping,
    /// Over.
    Completed,
    /// Over without a worker.
    Canceled,
    /// A status that this version does not know.
    Other,
}

/// A `reservation.*` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationEvent {
    /// The event's own id and time.
    pub stamp: EventStamp,
    /// What happened.
    pub change: ReservationChange,
    /// The reservation.
    pub reservation: ReservationSid,
    /// Its worker; absent on `reservation.failed`.
    pub worker: Option<WorkerSid>,
    /// `ReservationVersion`: grows with every change of the reservation.
    pub version: Option<u64>,
    /// The worker's fields that the configuration names; no others are kept.
    #[serde(default)]
    pub worker_fields: Fields,
    /// The task at that moment.
    pub task: TaskView,
}

/// The `reservation.*` event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is Twilio's own event name")]
pub enum ReservationChange {
    Created,
    Accepted,
    Wrapup,
    Completed,
    Rejected,
    Timeout,
    Canceled,
    Rescinded,
    Failed,
}

/// A `task.*` event other than a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// The event's own id and time.
    pub stamp: EventStamp,
    /// What happened.
    pub change: TaskChange,
    /// The task at that moment.
    pub task: TaskView,
}

/// The `task.*` event types other than transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is Twilio's own event name")]
pub enum TaskChange {
    Created,
    Updated,
    Wrapup,
    Completed,
    Canceled,
    Deleted,
    SystemDeleted,
}

/// A `task.transfer-*` event. Nothing that begins with `Transfer` is documented, so all of it is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferEvent {
    /// The event's own id and time.
    pub stamp: EventStamp,
    /// What happened.
    pub change: TransferChange,
    /// The transfer (`TaskTransferSid`, else a `ResourceSid` that begins with TT).
    pub transfer: Option<TransferSid>,
    /// `TransferMode`.
    pub mode: Option<TransferMode>,
    /// `TransferInitiatingReservationSid`.
    pub initiating_reservation: Option<ReservationSid>,
    /// `TransferTo`, or `TransferType` alone.
    pub to: Option<TransferTarget>,
    /// The task at that moment.
    pub task: TaskView,
}

/// The `task.transfer-*` event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is Twilio's own event name")]
pub enum TransferChange {
    Initiated,
    AttemptFailed,
    Failed,
    Canceled,
    Completed,
}

/// `TransferMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// The transferor stays until the transferee has been told.
    Warm,
    /// The transferor leaves at once.
    Cold,
}

/// Whom a task is transferred to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferTarget {
    /// A worker; which one may be unknown.
    Worker(Option<WorkerSid>),
    /// A queue, which may offer the task to one worker after another; which one may be unknown.
    Queue(Option<TaskQueueSid>),
}

/// A goal that was given up: from then on it is tried now and then, if at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// What was given up.
    pub goal: Goal,
    /// Why, in a sentence without personal data.
    pub reason: String,
}

/// What an operator did with every parked goal, and who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operated {
    /// What was done.
    pub act: OperatorAct,
    /// Their name, as the proxy in front gave it.
    pub by: String,
}

/// What can be done with parked goals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorAct {
    /// Try them again.
    Redrive,
    /// Leave them undone.
    Dismiss,
}

impl FactKind {
    /// Whether its call has something parked from then on; `None` when it changes nothing about that.
    pub fn parks(&self) -> Option<bool> {
        match self {
            FactKind::Parked(_) => Some(true),
            FactKind::Redriven | FactKind::Dismissed | FactKind::Unparked | FactKind::Operated(_) => Some(false),
            FactKind::Reservation(_)
            | FactKind::Task(_)
            | FactKind::Transfer(_)
            | FactKind::Stream(_)
            | FactKind::Participant(_)
            | FactKind::Begun(_)
            | FactKind::Settled(_)
            | FactKind::Recovered(_)
            | FactKind::Paused(_)
            | FactKind::Resumed(_)
            | FactKind::Noticed(_) => None,
        }
    }

    /// The account whose token signed it, for facts that came from outside and say so.
    pub fn account(&self) -> Option<&AccountSid> {
        if let FactKind::Stream(event) = self {
            return event.account.as_ref();
        }
        if let FactKind::Participant(event) = self {
            return Some(&event.account);
        }
        self.task_view()?.account.as_ref()
    }

    /// The event's view of the task, for facts that are TaskRouter's events.
    pub fn task_view(&self) -> Option<&TaskView> {
        Some(match self.taskrouter_event()? {
            TaskRouterEvent::Reservation(event) => &event.task,
            TaskRouterEvent::Task(event) => &event.task,
            TaskRouterEvent::Transfer(event) => &event.task,
        })
    }

    /// The event's own id and time, for facts that are TaskRouter's events.
    pub fn stamp(&self) -> Option<&EventStamp> {
        Some(match self.taskrouter_event()? {
            TaskRouterEvent::Reservation(event) => &event.stamp,
            TaskRouterEvent::Task(event) => &event.stamp,
            TaskRouterEvent::Transfer(event) => &event.stamp,
        })
    }

    /// When it happened, by Twilio's clock, for facts that are Twilio's events.
    pub fn happened_at(&self) -> Option<EpochMs> {
        if let FactKind::Stream(event) = self {
            return Some(event.at);
        }
        if let FactKind::Participant(event) = self {
            return Some(event.at);
        }
        self.stamp().map(|stamp| stamp.at)
    }

    /// Which of TaskRouter's events it is; `None` for a stream's events and for facts that are not Twilio's.
    pub fn taskrouter_event(&self) -> Option<TaskRouterEvent<'_>> {
        match self {
            FactKind::Reservation(event) => Some(TaskRouterEvent::Reservation(event)),
            FactKind::Task(event) => Some(TaskRouterEvent::Task(event)),
            FactKind::Transfer(event) => Some(TaskRouterEvent::Transfer(event)),
            FactKind::Stream(_)
            | FactKind::Participant(_)
            | FactKind::Begun(_)
            | FactKind::Settled(_)
            | FactKind::Parked(_)
            | FactKind::Recovered(_)
            | FactKind::Noticed(_)
            | FactKind::Redriven
            | FactKind::Dismissed
            | FactKind::Operated(_)
            | FactKind::Paused(_)
            | FactKind::Resumed(_)
            | FactKind::Unparked => None,
        }
    }
}

/// A fact that is one of TaskRouter's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskRouterEvent<'a> {
    /// `reservation.*`.
    Reservation(&'a ReservationEvent),
    /// `task.*`.
    Task(&'a TaskEvent),
    /// `task.transfer-*`.
    Transfer(&'a TransferEvent),
}
