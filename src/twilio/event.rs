//! TaskRouter's event callbacks: from form parameters to facts.
//! Source: <https://www.twilio.com/docs/taskrouter/api/event/reference>.
//!
//! Required parameters are strict. Parameters that Twilio does not document (`Sid`, `TimestampMs`, versions, all of
//! `Transfer…`) are lenient: a malformed value counts as absent. Of a repeated parameter, the first value that is not empty counts.

use super::attributes::Attributes;
use super::event_types::EventType;
use super::interest::Interest;
use super::signature::Pair;
use crate::call::fact::{
    EpochMs, EventStamp, FactKind, ReservationChange, ReservationEvent, TaskEvent, TaskStatus, TaskView,
    TransferChange, TransferEvent, TransferMode, TransferTarget,
};
use crate::call::rules::Fields;
use crate::call::sid::{AccountSid, SID_LENGTH, TaskSid, TransferSid, WorkspaceSid};
use std::str::FromStr;
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub account: AccountSid,
    pub workspace: WorkspaceSid,
    /// The fact, if it is about a voice task.
    pub content: Content,
}

/// The content of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one exists per request, on the stack, for a moment")]
pub enum Content {
    /// An event of a voice task.
    Ours {
        /// The task that it is about.
        task: TaskSid,
        /// The same on every delivery of the event: `Sid`, else `EventType|ResourceSid|milliseconds`.
        identity: String,
        what: FactKind,
    },
    /// Another event type, or a task of another channel.
    NotOurs,
}

/// An event that cannot be used. Names the parameter and never its value, which may be personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A required parameter is absent or empty.
    #[error("parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter has a value of the wrong form.
    #[error("parameter {0} is malformed")]
    Invalid(&'static str),
}

/// Reads an event from its parameters as decoded by [`super::signature::parse_pairs`].
///
/// Keeps only those fields of the task and the worker that `interest` names.
pub fn parse(pairs: &[Pair<'_>], interest: &Interest) -> Result<Envelope, Malformed> {
    let parameters = Parameters(pairs);
    let event_type = parameters.text("EventType")?;
    let account = parameters.strict("AccountSid")?;
    let workspace = parameters.strict("WorkspaceSid")?;
    let content = match EventType::named(event_type).filter(|event| event.is_taskrouters()) {
        Some(event) if parameters.get("TaskChannelUniqueName").is_none_or(|name| interest.channel(name).is_some()) => {
            ours(&parameters, event, interest, &account)?
        }
        Some(_) | None => Content::NotOurs,
    };
    Ok(Envelope { account, workspace, content })
}

/// The account that a form names. Only for choosing the tokens to verify it with: until they fit, it is not to be trusted.
pub fn account<'a>(pairs: &'a [Pair<'_>]) -> Option<&'a str> {
    Parameters(pairs).get("AccountSid")
}

/// The event types that matter, as a workspace's `EventsFilter` names them.
pub fn types() -> impl Iterator<Item = &'static str> {
    EventType::ALL.into_iter().filter(|event| event.is_taskrouters()).map(EventType::name)
}

/// Whether events of this type matter.
pub fn matters(event_type: &str) -> bool {
    EventType::named(event_type).is_some_and(EventType::is_taskrouters)
}

fn ours(
    parameters: &Parameters<'_>,
    event: EventType,
    interest: &Interest,
    account: &AccountSid,
) -> Result<Content, Malformed> {
    let task: TaskSid = parameters.strict("TaskSid")?;
    let stamp = EventStamp { sid: parameters.lenient("Sid"), at: happened_at(parameters)? };
    let identity = identity(parameters, event.name(), &task, &stamp);
    let attributes = parameters.get("TaskAttributes").map(Attributes::read);
    let (fields, worker_fields) = interest.fields(|name| parameters.get(name), attributes.as_ref());
    let view = TaskView {
        account: Some(account.clone()),
        task: task.clone(),
        channel: parameters.get("TaskChannelUniqueName").and_then(|name| interest.channel(name)).map(str::to_owned),
        version: parameters.lenient("TaskVersion"),
        status: parameters.get("TaskAssignmentStatus").map(status),
        attributes: attributes.unwrap_or_default().call(),
        fields,
    };
    let what = match event {
        EventType::Reservation(change) => {
            FactKind::Reservation(reservation(parameters, stamp, change, view, worker_fields)?)
        }
        EventType::Task(change) => FactKind::Task(TaskEvent { stamp, change, task: view }),
        EventType::Transfer(change) => FactKind::Transfer(transfer(parameters, stamp, change, view)),
        EventType::Stream(_) | EventType::Participant(_) => return Ok(Content::NotOurs),
    };
    Ok(Content::Ours { task, identity, what })
}

/// `TimestampMs`, else `Timestamp`. The latter is documented, so it is required either way.
fn happened_at(parameters: &Parameters<'_>) -> Result<EpochMs, Malformed> {
    let seconds: u32 = parameters.strict("Timestamp")?;
    let exact = parameters.lenient::<u64>("TimestampMs").and_then(|ms| EpochMs::try_from(ms).ok());
    Ok(exact.unwrap_or(EpochMs::from(seconds) * 1000))
}

fn identity(parameters: &Parameters<'_>, event_type: &str, task: &TaskSid, stamp: &EventStamp) -> String {
    if let Some(sid) = &stamp.sid {
        return sid.to_string();
    }
    // Without this check the sender would decide how long the journal's key is.
    let resource = parameters
        .get("ResourceSid")
        .filter(|sid| sid.len() == SID_LENGTH && sid.bytes().all(|b| b.is_ascii_alphanumeric()))
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
        // No worker was found.
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

// Undocumented values, so their case is not relied on.
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

/// A form's parameters. An empty value counts as absent.
pub(super) struct Parameters<'a>(pub(super) &'a [Pair<'a>]);

impl<'a> Parameters<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let is_given = |(key, value): &&Pair<'a>| key == name && !value.trim().is_empty();
        self.0.iter().find(is_given).map(|(_, value)| value.as_ref())
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
