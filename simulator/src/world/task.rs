//! Tasks: TaskRouter's view of a call or a chat.
//!
//! ```text
//! pending → reserved → assigned → wrapping → completed        (or canceled)
//! ```

use super::context::Context;
use super::status::TaskStatus;
use super::time::iso8601;
use super::transfer::Transfer;
use crate::sim_config::Ms;
use serde_json::{Value, json};
use std::collections::VecDeque;
use taskrouter_streams::call::sid::{AccountSid, CallSid, ConferenceSid, TaskSid, WorkerSid};

/// A task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) sid: TaskSid,
    pub(super) channel: &'static str,
    pub(super) outbound: bool,
    pub(super) status: TaskStatus,
    pub(super) version: u32,
    pub(super) created: Ms,
    pub(super) customer: Option<CallSid>,
    /// The conference and worker's leg that the attributes bear, once written.
    pub(super) attributes: Option<(ConferenceSid, CallSid)>,
    pub(super) conference: Option<ConferenceSid>,
    /// Agents to whom the task has not been offered yet.
    pub(super) candidates: VecDeque<WorkerSid>,
    pub(super) transfer: Option<Transfer>,
    /// When the service acknowledged an event that told of its end.
    pub(super) told_over_at: Option<Ms>,
}

impl Task {
    pub(super) fn is_voice(&self) -> bool {
        self.channel == "voice"
    }

    /// Whether the task is over, or would be if nobody were wrapping up.
    pub(super) fn is_ending(&self) -> bool {
        [TaskStatus::Wrapping, TaskStatus::Completed, TaskStatus::Canceled].contains(&self.status)
    }

    pub(super) fn set_status(&mut self, status: TaskStatus) {
        self.status = status;
        self.version += 1;
    }

    /// The transfer that is under way.
    pub(super) fn open_transfer(&self) -> Option<&Transfer> {
        self.transfer.as_ref().filter(|transfer| transfer.is_open())
    }

    pub(super) fn body(&self, cx: &Context) -> Value {
        json!({
            "account_sid": cx.account.as_str(), "workspace_sid": cx.workspace.as_str(), "sid": self.sid.as_str(),
            "assignment_status": self.status.as_str(), "attributes": self.attributes_text(&cx.account),
            "task_channel_unique_name": self.channel, "date_created": iso8601(self.created), "priority": 0,
            "age": (cx.now() - self.created) / 1_000,
        })
    }

    /// `TaskAttributes` as Twilio writes JSON in a form: one string, with `/` escaped. The customer's name has what
    /// trips a wrong form decoder or signature: `+`, `%`, `&`, `=`, letters beyond ASCII and beyond the basic plane.
    pub(super) fn attributes_text(&self, account: &AccountSid) -> String {
        let mut attributes = match (self.channel, self.outbound) {
            ("voice", false) => json!({
                "from_country": "US", "called": "+15550100001", "to_country": "US", "direction": "inbound",
                "caller": "+15550100002", "from": "+15550100002", "to": "+15550100001",
                "account_sid": account.as_str(), "api_version": "2010-04-01",
                "call_sid": self.customer.as_ref().map(|call| call.as_str()),
                "name": "Zoë + 100% & more = 😀", "crm": "https://crm.example/contacts?id=7",
            }),
            ("voice", true) => json!({"direction": "outbound", "outbound_to": "+15550100009", "from": "+15550100001"}),
            (_, _) => json!({"channelType": "web", "name": "Zoë", "channelSid": "CH00000000000000000000000000000001"}),
        };
        if let (Some((conference, worker)), Some(customer)) = (&self.attributes, &self.customer)
            && let Some(object) = attributes.as_object_mut()
        {
            let participants = json!({"worker": worker.as_str(), "customer": customer.as_str()});
            object.insert("conference".to_owned(), json!({"sid": conference.as_str(), "participants": participants}));
        }
        attributes.to_string().replace('/', "\\/")
    }
}
