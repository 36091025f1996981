//! Tasks: TaskRouter's view of a call or a chat.
//!
//! ```text
//! pending → reserved → assigned → wrapping → completed        (or canceled)
//! ```

use super::context::Context;
use super::status::TaskStatus;
use super::transfer::Transfer;
use crate::sim_config::Ms;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use taskrouter_streams::call::sid::{CallSid, ConferenceSid, TaskSid, WorkerSid};

/// What a task is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TaskKind {
    /// A customer calls.
    Inbound,
    /// An agent calls a customer.
    Outbound,
    /// An agent calls another agent, who is named here.
    Internal(String),
    Chat,
    /// A task on the voice channel that has no call.
    CallLess(CallLess),
    /// A program has made it, with attributes of its own and without a call.
    Program,
}

/// Tasks on the voice channel that have no call, in the form in which Flex's own plugins make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallLess {
    /// A customer wants to be called back.
    Callback,
    /// A customer has left a message.
    Voicemail,
    /// Work between agents.
    Internal,
}

/// What TaskRouter has written of the conference into the attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConferenceAttributes {
    pub(super) conference: ConferenceSid,
    pub(super) worker: CallSid,
    /// Once the customer has answered.
    pub(super) customer: Option<CallSid>,
}

/// A task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) sid: TaskSid,
    pub(super) kind: TaskKind,
    /// The name of its conference: its SID, unless it shares another task's.
    pub(super) room: String,
    pub(super) status: TaskStatus,
    pub(super) version: u32,
    pub(super) created: Ms,
    pub(super) customer: Option<CallSid>,
    pub(super) attributes: Option<ConferenceAttributes>,
    pub(super) conference: Option<ConferenceSid>,
    /// Agents to whom the task has not been offered yet.
    pub(super) candidates: VecDeque<WorkerSid>,
    pub(super) transfer: Option<Transfer>,
    /// When the service acknowledged an event that told of its end.
    pub(super) told_over_at: Option<Ms>,
    /// When the service acknowledged that no agent of this task is on the call any more; `None` while one is.
    pub(super) told_unattended_at: Option<Ms>,
    pub(super) canceled_reason: Option<String>,
    pub(super) priority: i64,
    /// The attributes that a program has written, in place of those of its kind.
    pub(super) given: Option<Map<String, Value>>,
    pub(super) deleted: bool,
}

impl Task {
    pub(super) fn channel(&self) -> &'static str {
        if self.kind == TaskKind::Chat { "chat" } else { "voice" }
    }

    /// Whether its agents have legs.
    pub(super) fn has_call(&self) -> bool {
        matches!(self.kind, TaskKind::Inbound | TaskKind::Outbound | TaskKind::Internal(_))
    }

    /// Whether the task is over, or would be if nobody were wrapping up.
    pub(super) fn is_ending(&self) -> bool {
        self.is_over() || self.status == TaskStatus::Wrapping
    }

    /// Whether nothing comes of it any more.
    pub(super) fn is_over(&self) -> bool {
        self.deleted || [TaskStatus::Completed, TaskStatus::Canceled].contains(&self.status)
    }

    pub(super) fn set_status(&mut self, status: TaskStatus) {
        self.status = status;
        self.version += 1;
    }

    /// The transfer that is under way.
    pub(super) fn open_transfer(&self) -> Option<&Transfer> {
        self.transfer.as_ref().filter(|transfer| transfer.is_open())
    }

    /// `TaskAttributes` as Twilio writes JSON in a form: one string, with `/` escaped. The customer's name has what
    /// trips a wrong form decoder or signature: `+`, `%`, `&`, `=`, letters beyond ASCII and beyond the basic plane.
    pub(super) fn attributes_text(&self, cx: &Context) -> String {
        let mut attributes = match &self.kind {
            TaskKind::Inbound => json!({
                "from_country": "US", "called": "+15550100001", "to_country": "US", "direction": "inbound",
                "caller": cx.config.customer_address, "from": cx.config.customer_address, "to": "+15550100001",
                "account_sid": cx.account.as_str(), "api_version": "2010-04-01",
                "call_sid": self.customer.as_ref().map(|call| call.as_str()),
                "name": "Zoë + 100% & more = 😀", "crm": "https://crm.example/contacts?id=7",
            }),
            TaskKind::Outbound => {
                json!({"direction": "outbound", "outbound_to": "+15550100009", "from": "+15550100001"})
            }
            TaskKind::Internal(callee) => json!({
                "direction": "outbound", "client_call": true, "to": format!("client:{callee}"), "name": callee,
                "autoAnswer": "true",
            }),
            TaskKind::Chat => {
                json!({"channelType": "web", "name": "Zoë", "channelSid": "CH00000000000000000000000000000001"})
            }
            TaskKind::CallLess(kind) => call_less_attributes(*kind),
            TaskKind::Program => json!({}),
        };
        if let Some(given) = &self.given {
            attributes = Value::Object(given.clone());
        }
        if let (Some(written), Some(object)) = (&self.attributes, attributes.as_object_mut()) {
            let worker = written.worker.as_str();
            let mut participants = json!({"worker": worker});
            if let Some(customer) = &written.customer {
                participants["customer"] = json!(customer.as_str());
            }
            let conference = json!({"sid": written.conference.as_str(), "participants": participants});
            object.insert("conference".to_owned(), conference);
            match &self.kind {
                TaskKind::Internal(_) => {
                    object.insert("worker_call_sid".to_owned(), json!(worker));
                }
                TaskKind::Outbound if cx.config.recorder_attributes => {
                    object.insert("call_sid".to_owned(), json!(worker));
                }
                TaskKind::Inbound | TaskKind::Outbound | TaskKind::Chat | TaskKind::CallLess(_) | TaskKind::Program => {
                }
            }
        }
        attributes.to_string().replace('/', "\\/")
    }
}

/// As plugins for callbacks and voicemail write them: an inbound voice task that names no call.
fn call_less_attributes(kind: CallLess) -> Value {
    match kind {
        CallLess::Callback => json!({
            "taskType": "callback", "direction": "inbound", "name": "Zoë",
            "callBackData": {"numberToCall": "+15550100002", "numberToCallFrom": "+15550100001", "attempts": 0},
        }),
        CallLess::Voicemail => json!({
            "taskType": "voicemail", "direction": "inbound",
            "callBackData": {"numberToCall": "+15550100002", "recordingSid": "RE00000000000000000000000000000001"},
        }),
        CallLess::Internal => json!({"taskType": "internal", "name": "a note from the team next door"}),
    }
}
