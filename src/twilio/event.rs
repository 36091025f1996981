//! TaskRouter's event callbacks: from form parameters to facts.
//! Source: <https://www.twilio.com/docs/taskrouter/api/event/reference>.
//!
//! What the program cannot do without is strict; what Twilio does not document (`Sid`, `TimestampMs`, versions, all of
//! `Transfer…`) is lenient: a malformed value counts as absent. Of a repeated parameter, the first value counts.

use super::attributes::Attributes;
use super::interest::Interest;
use super::signature::Pair;
use crate::call::fact::{
    EpochMs, EventStamp, ReservationChange, ReservationEvent, TaskChange, TaskEvent, TaskStatus, TaskView,
    TransferChange, TransferEvent, TransferMode, TransferTarget, What,
};
use crate::call::rules::Fields;
use crate::call::sid::{AccountSid, TaskSid, TransferSid, WorkspaceSid};
use std::str::FromStr;

/// One event callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `AccountSid`: whose it is.
    pub account: AccountSid,
    /// `WorkspaceSid`: whose it is.
    pub workspace: WorkspaceSid,
    /// What it says.
    pub content: Content,
}

/// What an event says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one exists per request, on the stack, for a moment")]
pub enum Content {
    /// Something about a voice task.
    Ours {
        /// The task.
        task: TaskSid,
        /// The same on every delivery of the event: `Sid`, else `EventType|ResourceSid|milliseconds`.
        identity: String,
        /// The fact.
        what: What,
    },
    /// Another event type, or a task of another channel.
    NotOurs,
}

/// An event that cannot be used. Names the parameter and never its value, which may be personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A parameter that is always there is not, or is empty.
    #[error("parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter is not what it should be.
    #[error("parameter {0} is malformed")]
    Invalid(&'static str),
}

/// The event types that matter, by group.
#[derive(Clone, Copy)]
enum Kind {
    Reservation(ReservationChange),
    Task(TaskChange),
    Transfer(TransferChange),
}

/// Every event type that matters. A workspace's `EventsFilter` and a subscription are made of this list.
const KINDS: [(&str, Kind); 21] = [
    ("reservation.created", Kind::Reservation(ReservationChange::Created)),
    ("reservation.accepted", Kind::Reservation(ReservationChange::Accepted)),
    ("reservation.wrapup", Kind::Reservation(ReservationChange::Wrapup)),
    ("reservation.completed", Kind::Reservation(ReservationChange::Completed)),
    ("reservation.rejected", Kind::Reservation(ReservationChange::Rejected)),
    ("reservation.timeout", Kind::Reservation(ReservationChange::Timeout)),
    ("reservation.canceled", Kind::Reservation(ReservationChange::Canceled)),
    ("reservation.rescinded", Kind::Reservation(ReservationChange::Rescinded)),
    ("reservation.failed", Kind::Reservation(ReservationChange::Failed)),
    ("task.created", Kind::Task(TaskChange::Created)),
    ("task.updated", Kind::Task(TaskChange::Updated)),
    ("task.wrapup", Kind::Task(TaskChange::Wrapup)),
    ("task.completed", Kind::Task(TaskChange::Completed)),
    ("task.canceled", Kind::Task(TaskChange::Canceled)),
    ("task.deleted", Kind::Task(TaskChange::Deleted)),
    ("task.system-deleted", Kind::Task(TaskChange::SystemDeleted)),
    ("task.transfer-initiated", Kind::Transfer(TransferChange::Initiated)),
    ("task.transfer-attempt-failed", Kind::Transfer(TransferChange::AttemptFailed)),
    ("task.transfer-failed", Kind::Transfer(TransferChange::Failed)),
    ("task.transfer-canceled", Kind::Transfer(TransferChange::Canceled)),
    ("task.transfer-completed", Kind::Transfer(TransferChange::Completed)),
];

/// Reads an event from its parameters as decoded by [`super::signature::parse_pairs`].
///
/// Of the task's and the worker's fields those are kept that `interest` names.
pub fn parse(pairs: &[Pair<'_>], interest: &Interest) -> Result<Envelope, Malformed> {
    let parameters = Parameters(pairs);
    let event_type = parameters.text("EventType")?;
    let account = parameters.strict("AccountSid")?;
    let workspace = parameters.strict("WorkspaceSid")?;
    let is_voice = |name: &str| interest.channels.iter().any(|channel| channel == name);
    let content = match kind(event_type) {
        Some(kind) if parameters.get("TaskChannelUniqueName").is_none_or(is_voice) => {
            ours(&parameters, event_type, kind, interest, &account)?
        }
        Some(_) | None => Content::NotOurs,
    };
    Ok(Envelope { account, workspace, content })
}

/// The account that a form names, whether an event's or a stream's: for choosing the tokens to check it with, and for nothing
/// else before they have fitted.
pub fn account<'a>(pairs: &'a [Pair<'_>]) -> Option<&'a str> {
    Parameters(pairs).get("AccountSid")
}

/// The event types that matter, as a workspace's `EventsFilter` names them.
pub fn types() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, _)| *name)
}

/// Whether events of this type matter.
pub fn matters(event_type: &str) -> bool {
    kind(event_type).is_some()
}

fn kind(event_type: &str) -> Option<Kind> {
    KINDS.iter().find(|(name, _)| *name == event_type).map(|(_, kind)| *kind)
}

fn ours(
    parameters: &Parameters<'_>,
    event_type: &str,
    kind: Kind,
    interest: &Interest,
    account: &AccountSid,
) -> Result<Content, Malformed> {
    let task: TaskSid = parameters.strict("TaskSid")?;
    let stamp = EventStamp { sid: parameters.lenient("Sid"), at: happened_at(parameters)? };
    let identity = identity(parameters, event_type, &task, &stamp);
    let attributes = parameters.get("TaskAttributes").map(Attributes::read);
    let (fields, worker_fields) = interest.fields(|name| parameters.get(name), attributes.as_ref());
    let view = TaskView {
        account: Some(account.clone()),
        task: task.clone(),
        channel: parameters.get("TaskChannelUniqueName").map(str::to_owned),
        version: parameters.lenient("TaskVersion"),
        status: parameters.get("TaskAssignmentStatus").map(status),
        attributes: attributes.unwrap_or_default().call(),
        fields,
    };
    let what = match kind {
        Kind::Reservation(change) => What::Reservation(reservation(parameters, stamp, change, view, worker_fields)?),
        Kind::Task(change) => What::Task(TaskEvent { stamp, change, task: view }),
        Kind::Transfer(change) => What::Transfer(transfer(parameters, stamp, change, view)),
    };
    Ok(Content::Ours { task, identity, what })
}

/// `TimestampMs`, else `Timestamp`, which is documented and so must be there either way.
fn happened_at(parameters: &Parameters<'_>) -> Result<EpochMs, Malformed> {
    let seconds: u32 = parameters.strict("Timestamp")?;
    let exact = parameters.lenient::<u64>("TimestampMs").and_then(|ms| EpochMs::try_from(ms).ok());
    Ok(exact.unwrap_or(EpochMs::from(seconds) * 1000))
}

fn identity(parameters: &Parameters<'_>, event_type: &str, task: &TaskSid, stamp: &EventStamp) -> String {
    if let Some(sid) = &stamp.sid {
        return sid.to_string();
    }
    // A SID has 34 characters; anything else would make the journal's key as long as the sender likes.
    let resource = parameters
        .get("ResourceSid")
        .filter(|sid| sid.len() == 34 && sid.bytes().all(|b| b.is_ascii_alphanumeric()))
        .unwrap_or(task.as_str());
    format!("{event_type}|{resource}|{}", stamp.at)
}

fn status(name: &str) -> TaskStatus {
    match name {
        "pending" => TaskStatus::Pending,
        "reserved" => TaskStatus::Reserved,
        "assigned" => TaskStatus::Assigned,
        "wrapping" => TaskStatus::Wrapping,
        "completed" => TaskStatus::Completed,
        "canceled" => TaskStatus::Canceled,
        _ => TaskStatus::Other,
    }
}

fn reservation(
    parameters: &Parameters<'_>,
    stamp: EventStamp,
    change: ReservationChange,
    task: TaskView,
    worker_fields: Fields,
) -> Result<ReservationEvent, Malformed> {
    let worker = match change {
        // No worker was found, so there is none to name.
        ReservationChange::Failed => parameters.lenient("WorkerSid"),
        ReservationChange::Created
        | ReservationChange::Accepted
        | ReservationChange::Wrapup
        | ReservationChange::Completed
        | ReservationChange::Rejected
        | ReservationChange::Timeout
        | ReservationChange::Canceled
        | ReservationChange::Rescinded => Some(parameters.strict("WorkerSid")?),
    };
    Ok(ReservationEvent {
        stamp,
        change,
        reservation: parameters.strict("ReservationSid")?,
        worker,
        version: parameters.lenient("ReservationVersion"),
        worker_fields,
        task,
    })
}

fn transfer(parameters: &Parameters<'_>, stamp: EventStamp, change: TransferChange, task: TaskView) -> TransferEvent {
    let by_resource = || parameters.lenient::<TransferSid>("ResourceSid");
    TransferEvent {
        stamp,
        change,
        transfer: parameters.lenient("TaskTransferSid").or_else(by_resource),
        mode: parameters.get("TransferMode").and_then(mode),
        initiating_reservation: parameters.lenient("TransferInitiatingReservationSid"),
        to: target(parameters),
        task,
    }
}

// The case of undocumented words is not to be relied on.
fn mode(name: &str) -> Option<TransferMode> {
    if name.eq_ignore_ascii_case("WARM") {
        Some(TransferMode::Warm)
    } else if name.eq_ignore_ascii_case("COLD") {
        Some(TransferMode::Cold)
    } else {
        None
    }
}

fn target(parameters: &Parameters<'_>) -> Option<TransferTarget> {
    if let Some(worker) = parameters.lenient("TransferTo") {
        return Some(TransferTarget::Worker(Some(worker)));
    }
    if let Some(queue) = parameters.lenient("TransferTo") {
        return Some(TransferTarget::Queue(Some(queue)));
    }
    let name = parameters.get("TransferType")?;
    if name.eq_ignore_ascii_case("WORKER") {
        Some(TransferTarget::Worker(None))
    } else if name.eq_ignore_ascii_case("QUEUE") {
        Some(TransferTarget::Queue(None))
    } else {
        None
    }
}

/// The parameters of one event. An empty value counts as absent.
pub(super) struct Parameters<'a>(pub(super) &'a [Pair<'a>]);

impl<'a> Parameters<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        if value.is_empty() { None } else { Some(value) }
    }

    pub(super) fn text(&self, name: &'static str) -> Result<&str, Malformed> {
        self.get(name).ok_or(Malformed::Missing(name))
    }

    pub(super) fn strict<T: FromStr>(&self, name: &'static str) -> Result<T, Malformed> {
        self.text(name)?.parse().map_err(|_| Malformed::Invalid(name))
    }

    pub(super) fn lenient<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}
