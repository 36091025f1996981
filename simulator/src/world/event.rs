//! What Twilio tells the service: status callbacks, and TaskRouter's event callbacks: complete form bodies, in the shape of recorded ones.
//!
//! Task, reservation and common parameters follow recordings; of the transfer events only `TransferMode`,
//! `TransferInitiatingReservationSid` and `ResourceType=transfer` are attested, the others are inferred from Event Streams.

use super::Mode;
use super::agents::Agent;
use super::context::Context;
use super::reservations::Reservation;
use super::status::TaskStatus;
use super::task::Task;
use super::transfer::Transfer;
use super::workspace::{ACTIVITY, CHANNEL, QUEUE, WORKFLOW};
use crate::sim_config::Ms;
use serde_json::json;
use taskrouter_streams::call::sid::{EventSid, TaskSid};

/// One event of TaskRouter, or one status callback of a stream, ready to be signed and posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its SID (EV…). A stream's callback does not bear it: there it is the delivery's idempotency token only.
    pub sid: EventSid,
    /// Its type, as in "reservation.accepted", or as in "stream-started".
    pub event_type: &'static str,
    /// The task that it is about.
    pub task: TaskSid,
    /// The form parameters.
    pub form: Vec<(String, String)>,
    /// The URL that a stream was given for its callbacks; `None` for TaskRouter's events, which go to the workspace's.
    pub callback_url: Option<String>,
}

impl Event {
    /// TaskRouter's event of a task, and of a reservation where there is one with its agent, as they are now.
    pub(super) fn of_task(
        cx: &mut Context,
        at: Ms,
        event_type: &'static str,
        task: &Task,
        reservation: Option<(&Reservation, Option<&Agent>)>,
    ) -> Self {
        let sid: EventSid = cx.mint(EventSid::PREFIX);
        let transfer = task.transfer.as_ref().filter(|_| event_type.starts_with("task.transfer-"));
        let (resource_type, resource) = match (reservation, transfer) {
            (Some((reservation, _)), _) => ("reservation", reservation.sid.as_str()),
            (None, Some(transfer)) => ("transfer", transfer.sid.as_str()),
            (None, None) => ("task", task.sid.as_str()),
        };
        let mut form = Form::default();
        form.put("EventType", event_type);
        form.put("AccountSid", cx.account.as_str());
        form.put("WorkspaceSid", cx.workspace.as_str());
        form.put("WorkspaceName", "Flex Task Assignment");
        form.put("OperatingUnitSid", "OU00000000000000000000000000000000");
        form.put("Sid", sid.as_str());
        form.put("Timestamp", at / 1_000);
        form.put("TimestampMs", at);
        form.put("EventDescription", description(resource_type, resource, event_type));
        form.put("ResourceType", resource_type);
        form.put("ResourceSid", resource);
        form.put_task(cx, task, at);
        if let Some((reservation, agent)) = reservation {
            form.put_reservation(reservation, agent);
        }
        if let Some(transfer) = transfer {
            form.put_transfer(transfer);
        }
        Self { sid, event_type, task: task.sid.clone(), form: form.0, callback_url: None }
    }
}

fn description(resource_type: &str, resource: &str, event_type: &str) -> String {
    let what = match resource_type {
        "reservation" => "Reservation",
        "transfer" => "Transfer",
        _ => "Task",
    };
    let verb = event_type.rsplit('.').next().unwrap_or(event_type);
    let verb = verb.strip_prefix("transfer-").unwrap_or(verb).replace('-', " ");
    let verb = if verb == "timeout" { "timed out".to_owned() } else { verb };
    format!("{what} {resource} {verb}")
}

#[derive(Default)]
struct Form(Vec<(String, String)>);

impl Form {
    fn put(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    fn put_task(&mut self, cx: &Context, task: &Task, at: Ms) {
        self.put("TaskSid", task.sid.as_str());
        self.put("TaskAttributes", task.attributes_text(cx));
        self.put("TaskAge", (at - task.created) / 1_000);
        self.put("TaskPriority", task.priority);
        self.put("TaskAssignmentStatus", task.status.as_str());
        self.put("TaskVersion", task.version);
        self.put("TaskDateCreated", task.created / 1_000);
        self.put("TaskVirtualStartTime", task.created / 1_000);
        self.put("TaskIgnoreCapacity", "false");
        self.put("TaskChannelSid", CHANNEL);
        self.put("TaskChannelUniqueName", task.channel());
        self.put("TaskQueueSid", QUEUE.0);
        self.put("TaskQueueName", QUEUE.1);
        self.put("TaskQueueEnteredDate", task.created / 1_000);
        self.put("TaskQueueTargetExpression", "1==1");
        self.put("WorkflowSid", WORKFLOW.0);
        self.put("WorkflowName", WORKFLOW.1);
        if let Some(reason) = task.canceled_reason.as_ref().filter(|_| task.status == TaskStatus::Canceled) {
            self.put("TaskCanceledReason", reason);
        }
    }

    fn put_reservation(&mut self, reservation: &Reservation, agent: Option<&Agent>) {
        if let Some(agent) = agent {
            self.put("WorkerSid", agent.sid.as_str());
            self.put("WorkerName", &agent.name);
            let contact = format!("client:{}", agent.name);
            self.put("WorkerAttributes", json!({"contact_uri": contact, "roles": ["agent"]}));
        }
        self.put("WorkerActivitySid", ACTIVITY.0);
        self.put("WorkerActivityName", ACTIVITY.1);
        self.put("WorkerVersion", 3);
        self.put("WorkerChannelCapacity", 1);
        self.put("WorkerChannelConsumedCapacity", 100);
        self.put("ReservationSid", reservation.sid.as_str());
        self.put("ReservationVersion", reservation.version);
    }

    fn put_transfer(&mut self, transfer: &Transfer) {
        let mode = match transfer.mode {
            Mode::Warm => "WARM",
            Mode::Cold => "COLD",
        };
        self.put("TransferMode", mode);
        self.put("TransferInitiatingReservationSid", transfer.by_reservation.as_str());
        self.put("TaskTransferSid", transfer.sid.as_str());
        match (&transfer.to_queue, &transfer.to_worker) {
            (Some(queue), _) => {
                self.put("TransferType", "QUEUE");
                self.put("TransferTo", queue.as_str());
            }
            (None, Some(worker)) => {
                self.put("TransferType", "WORKER");
                self.put("TransferTo", worker.as_str());
            }
            (None, None) => {}
        }
        self.put("TransferStatus", transfer.status.as_str());
        self.put("TransferStarted", transfer.started / 1_000);
        self.put("TransferInitiatingWorkerSid", transfer.by_worker.as_str());
        if let Some(reason) = transfer.failed {
            self.put("TransferFailedReason", reason);
        }
    }
}
