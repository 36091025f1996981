//! What Twilio tells the worker, and TaskRouter's event callbacks: complete form bodies, in the shape of recorded ones.
//!
//! Task, reservation and common parameters follow recordings; of the transfer events only `TransferMode`,
//! `TransferInitiatingReservationSid` and `ResourceType=transfer` are attested, the others are inferred from Event Streams.

use super::status::TaskStatus;
use super::{Mode, Ms, Task, Transfer, World};
use serde_json::json;
use taskrouter_streams::call::sid::{EventSid, ReservationSid, TaskSid};

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

impl World {
    /// Tells of the task, and of the reservation where there is one, as they are now.
    pub(super) fn emit(&mut self, task: &TaskSid, event_type: &'static str, reservation: Option<&ReservationSid>) {
        let sid: EventSid = self.mint(EventSid::PREFIX);
        // Recorded events of one task are 1 ms apart.
        let at = self.now.max(self.last_event_at + 1);
        self.last_event_at = at;
        let Some(found) = self.tasks.get(task) else { return };
        let transfer = found.transfer.as_ref().filter(|_| event_type.starts_with("task.transfer-"));
        let mut form = Form::default();
        let (resource_type, resource) = match (reservation, transfer) {
            (Some(reservation), _) => ("reservation", reservation.as_str()),
            (None, Some(transfer)) => ("transfer", transfer.sid.as_str()),
            (None, None) => ("task", task.as_str()),
        };
        form.put("EventType", event_type);
        form.put("AccountSid", self.account.as_str());
        form.put("WorkspaceSid", self.workspace_sid.as_str());
        form.put("WorkspaceName", "Flex Task Assignment");
        form.put("OperatingUnitSid", "OU00000000000000000000000000000000");
        form.put("Sid", sid.as_str());
        form.put("Timestamp", at / 1_000);
        form.put("TimestampMs", at);
        form.put("EventDescription", description(resource_type, resource, event_type));
        form.put("ResourceType", resource_type);
        form.put("ResourceSid", resource);
        self.put_task(&mut form, found, at);
        if let Some(reservation) = reservation {
            self.put_reservation(&mut form, reservation);
        }
        if let Some(transfer) = transfer {
            put_transfer(&mut form, transfer);
        }
        if [TaskStatus::Wrapping, TaskStatus::Completed, TaskStatus::Canceled].contains(&found.status) {
            self.ends.insert(sid.clone(), task.clone());
        }
        let event = Event { sid, event_type, task: task.clone(), form: form.0, callback_url: None };
        self.records.push((at, event.clone()));
        self.outbox.push(event);
    }

    fn put_task(&self, form: &mut Form, task: &Task, at: Ms) {
        form.put("TaskSid", task.sid.as_str());
        form.put("TaskAttributes", self.attributes(task));
        form.put("TaskAge", (at - task.created) / 1_000);
        form.put("TaskPriority", 0);
        form.put("TaskAssignmentStatus", task.status.as_str());
        form.put("TaskVersion", task.version);
        form.put("TaskDateCreated", task.created / 1_000);
        form.put("TaskVirtualStartTime", task.created / 1_000);
        form.put("TaskIgnoreCapacity", "false");
        form.put("TaskChannelSid", "TC0000000000000000000000000000007c");
        form.put("TaskChannelUniqueName", task.channel);
        form.put("TaskQueueSid", "WQ00000000000000000000000000000009");
        form.put("TaskQueueName", "Everyone");
        form.put("TaskQueueEnteredDate", task.created / 1_000);
        form.put("TaskQueueTargetExpression", "1==1");
        form.put("WorkflowSid", "WW0000000000000000000000000000000f");
        form.put("WorkflowName", "Assign to Anyone");
        if task.status == TaskStatus::Canceled {
            form.put("TaskCanceledReason", "hangup");
        }
    }

    fn put_reservation(&self, form: &mut Form, sid: &ReservationSid) {
        let Some(reservation) = self.reservations.get(sid) else {
            return;
        };
        if let Some(agent) = self.agents.iter().find(|agent| agent.sid == reservation.worker) {
            form.put("WorkerSid", agent.sid.as_str());
            form.put("WorkerName", &agent.name);
            let contact = format!("client:{}", agent.name);
            form.put("WorkerAttributes", json!({"contact_uri": contact, "roles": ["agent"]}));
        }
        form.put("WorkerActivitySid", "WA00000000000000000000000000000001");
        form.put("WorkerActivityName", "Available");
        form.put("WorkerVersion", 3);
        form.put("WorkerChannelCapacity", 1);
        form.put("WorkerChannelConsumedCapacity", 100);
        form.put("ReservationSid", sid.as_str());
        form.put("ReservationVersion", reservation.version);
    }

    /// `TaskAttributes` as Twilio writes JSON in a form: one string, with `/` escaped. The customer's name has what
    /// trips a wrong form decoder or signature: `+`, `%`, `&`, `=`, letters beyond ASCII and beyond the basic plane.
    pub(super) fn attributes(&self, task: &Task) -> String {
        let mut attributes = match (task.channel, task.outbound) {
            ("voice", false) => json!({
                "from_country": "US", "called": "+15550100001", "to_country": "US", "direction": "inbound",
                "caller": "+15550100002", "from": "+15550100002", "to": "+15550100001",
                "account_sid": self.account.as_str(), "api_version": "2010-04-01",
                "call_sid": task.customer.as_ref().map(|call| call.as_str()),
                "name": "Zoë + 100% & more = 😀", "crm": "https://crm.example/contacts?id=7",
            }),
            ("voice", true) => json!({"direction": "outbound", "outbound_to": "+15550100009", "from": "+15550100001"}),
            (_, _) => json!({"channelType": "web", "name": "Zoë", "channelSid": "CH00000000000000000000000000000001"}),
        };
        if let (Some((conference, worker)), Some(customer)) = (&task.attributes, &task.customer)
            && let Some(object) = attributes.as_object_mut()
        {
            let participants = json!({"worker": worker.as_str(), "customer": customer.as_str()});
            object.insert("conference".to_owned(), json!({"sid": conference.as_str(), "participants": participants}));
        }
        attributes.to_string().replace('/', "\\/")
    }
}

fn put_transfer(form: &mut Form, transfer: &Transfer) {
    let mode = match transfer.mode {
        Mode::Warm => "WARM",
        Mode::Cold => "COLD",
    };
    form.put("TransferMode", mode);
    form.put("TransferInitiatingReservationSid", transfer.by_reservation.as_str());
    form.put("TaskTransferSid", transfer.sid.as_str());
    match (&transfer.to_queue, &transfer.to_worker) {
        (Some(queue), _) => {
            form.put("TransferType", "QUEUE");
            form.put("TransferTo", queue.as_str());
        }
        (None, Some(worker)) => {
            form.put("TransferType", "WORKER");
            form.put("TransferTo", worker.as_str());
        }
        (None, None) => {}
    }
    form.put("TransferStatus", transfer.status.as_str());
    form.put("TransferStarted", transfer.started / 1_000);
    form.put("TransferInitiatingWorkerSid", transfer.by_worker.as_str());
    if let Some(reason) = transfer.failed {
        form.put("TransferFailedReason", reason);
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
}
