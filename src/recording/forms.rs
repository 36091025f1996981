//! Parameters of Event Callbacks and of status callbacks of streams and conferences: which are kept, and how.

use super::attributes;
use super::pseudonyms::{Pseudonyms, small_number};
use crate::twilio::event_types::EventType;
use crate::twilio::signature::Pair;

/// What becomes of a parameter's value.
#[derive(Clone, Copy)]
enum KeepParameter {
    EventType,
    Sid,
    Time,
    SmallNumber,
    OneOf(&'static [&'static str]),
    Word(&'static str),
    /// Free text, of which nothing is kept, or an expression that names others.
    Instead(&'static str),
    TaskAttributes,
    WorkerAttributes,
    StreamName,
    /// Twilio's error number at the beginning.
    ErrorNumber,
}

const FLAGS: KeepParameter = KeepParameter::OneOf(&["true", "false"]);
const CHANNELS: &[&str] = &["chat", "default", "email", "sms", "video", "voice"];
const TASK_STATUSES: &[&str] = &["pending", "reserved", "assigned", "wrapping", "completed", "canceled"];
const TRANSFER_STATUSES: &[&str] =
    &["initiated", "pending", "complete", "completed", "canceled", "failed", "no-answer"];

/// Every parameter that is kept. One that is not here is left out.
const PARAMETERS: [(&str, KeepParameter); 58] = [
    ("EventType", KeepParameter::EventType),
    ("AccountSid", KeepParameter::Sid),
    ("WorkspaceSid", KeepParameter::Sid),
    ("WorkspaceName", KeepParameter::Word("workspace")),
    ("OperatingUnitSid", KeepParameter::Sid),
    ("Sid", KeepParameter::Sid),
    ("Timestamp", KeepParameter::Time),
    ("TimestampMs", KeepParameter::Time),
    ("EventDescription", KeepParameter::Instead("description")),
    ("ResourceType", KeepParameter::OneOf(&["task", "reservation", "worker", "task-transfer", "transfer"])),
    ("ResourceSid", KeepParameter::Sid),
    ("TaskSid", KeepParameter::Sid),
    ("TaskAttributes", KeepParameter::TaskAttributes),
    ("TaskAge", KeepParameter::SmallNumber),
    ("TaskPriority", KeepParameter::SmallNumber),
    ("TaskAssignmentStatus", KeepParameter::OneOf(TASK_STATUSES)),
    ("TaskVersion", KeepParameter::SmallNumber),
    ("TaskDateCreated", KeepParameter::Time),
    ("TaskVirtualStartTime", KeepParameter::Time),
    ("TaskIgnoreCapacity", FLAGS),
    ("TaskChannelSid", KeepParameter::Sid),
    ("TaskChannelUniqueName", KeepParameter::OneOf(CHANNELS)),
    ("TaskQueueSid", KeepParameter::Sid),
    ("TaskQueueName", KeepParameter::Word("queue")),
    ("TaskQueueEnteredDate", KeepParameter::Time),
    ("TaskQueueTargetExpression", KeepParameter::Instead("1==1")),
    ("TaskRoutingTarget", KeepParameter::Sid),
    ("TaskCanceledReason", KeepParameter::Instead("reason")),
    ("TaskCompletedReason", KeepParameter::Instead("reason")),
    ("WorkflowSid", KeepParameter::Sid),
    ("WorkflowName", KeepParameter::Word("workflow")),
    ("WorkflowFilterName", KeepParameter::Word("filter")),
    ("ReservationSid", KeepParameter::Sid),
    ("ReservationVersion", KeepParameter::SmallNumber),
    ("ReservationReasonCode", KeepParameter::SmallNumber),
    ("WorkerSid", KeepParameter::Sid),
    ("WorkerName", KeepParameter::Word("worker")),
    ("WorkerAttributes", KeepParameter::WorkerAttributes),
    ("WorkerActivitySid", KeepParameter::Sid),
    ("WorkerActivityName", KeepParameter::Word("activity")),
    ("WorkerPreviousActivitySid", KeepParameter::Sid),
    ("WorkerPreviousActivityName", KeepParameter::Word("activity")),
    ("WorkerTimeInPreviousActivity", KeepParameter::SmallNumber),
    ("WorkerVersion", KeepParameter::SmallNumber),
    ("WorkerChannelCapacity", KeepParameter::SmallNumber),
    ("WorkerChannelConsumedCapacity", KeepParameter::SmallNumber),
    ("TaskTransferSid", KeepParameter::Sid),
    ("TransferMode", KeepParameter::OneOf(&["WARM", "COLD", "warm", "cold"])),
    ("TransferType", KeepParameter::OneOf(&["WORKER", "QUEUE", "worker", "queue"])),
    ("TransferTo", KeepParameter::Sid),
    ("TransferStatus", KeepParameter::OneOf(TRANSFER_STATUSES)),
    ("TransferStarted", KeepParameter::Time),
    ("TransferInitiatingWorkerSid", KeepParameter::Sid),
    ("TransferInitiatingReservationSid", KeepParameter::Sid),
    ("TransferFailedReason", KeepParameter::Instead("reason")),
    ("CallSid", KeepParameter::Sid),
    ("StreamSid", KeepParameter::Sid),
    ("StreamName", KeepParameter::StreamName),
];

/// Those whose names mean something else in events, or nothing.
const OF_STATUS: [(&str, KeepParameter); 6] = [
    ("StreamEvent", KeepParameter::EventType),
    ("StreamError", KeepParameter::ErrorNumber),
    ("StatusCallbackEvent", KeepParameter::EventType),
    ("ConferenceSid", KeepParameter::Sid),
    // A task's conference is named by its SID; another name is not kept.
    ("FriendlyName", KeepParameter::Sid),
    ("SequenceNumber", KeepParameter::SmallNumber),
];

/// Attributes that the configuration names, with dots between.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) task: Vec<String>,
    pub(super) worker: Vec<String>,
}

/// The pairs that are kept, in their order.
pub(super) fn kept(pairs: &[Pair<'_>], paths: &Paths, pseudonyms: &mut Pseudonyms) -> Vec<(&'static str, String)> {
    let known = || PARAMETERS.iter().chain(&OF_STATUS);
    pairs
        .iter()
        .filter_map(|(name, value)| {
            let (name, keep) = known().find(|(known, _)| known == name)?;
            Some((*name, replaced(*keep, value, paths, pseudonyms)?))
        })
        .collect()
}

/// The type of an event, as its file's name tells it.
pub(super) fn event_type(pairs: &[(&'static str, String)]) -> &'static str {
    let named = pairs.iter().filter(|(name, _)| ["EventType", "StreamEvent"].contains(name));
    named.filter_map(|(_, value)| EventType::named(value)).map(EventType::name).next().unwrap_or("event")
}

fn replaced(keep: KeepParameter, value: &str, paths: &Paths, pseudonyms: &mut Pseudonyms) -> Option<String> {
    if value.is_empty() {
        return Some(String::new());
    }
    match keep {
        KeepParameter::EventType => EventType::named(value).map(|event| event.name().to_owned()),
        KeepParameter::Sid => pseudonyms.sid(value),
        KeepParameter::Time => pseudonyms.time(value),
        KeepParameter::SmallNumber => small_number(value).map(|number| number.to_string()),
        KeepParameter::OneOf(known) => known.iter().find(|known| **known == value).map(|known| (*known).to_owned()),
        KeepParameter::Word(kind) => Some(pseudonyms.word(kind, value)),
        KeepParameter::Instead(text) => Some(text.to_owned()),
        KeepParameter::TaskAttributes => Some(attributes::of_task(value, &paths.task, pseudonyms)),
        KeepParameter::WorkerAttributes => Some(attributes::of_worker(value, &paths.worker, pseudonyms)),
        KeepParameter::StreamName => Some(pseudonyms.stream_name(value)),
        KeepParameter::ErrorNumber => {
            let digits: String = value.trim_start().chars().take_while(char::is_ascii_digit).collect();
            small_number(&digits).map(|number| number.to_string())
        }
    }
}
