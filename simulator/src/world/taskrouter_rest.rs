//! TaskRouter's REST resources: workspaces, tasks, reservations, workers, queues and events.
//!
//! Fields and filters follow Twilio's OpenAPI document. There is one queue, one workflow and one activity.

use super::context::Context;
use super::list::{Compare, Filter};
use super::reservations::Reservation;
use super::task::Task;
use super::time::iso8601;
use super::workspace::{ACTIVITY, CHANNEL, QUEUE, WORKFLOW};
use super::{EventQuery, InvalidAction, ListQuery, OpName, Reply, World};
use crate::sim_config::Ms;
use serde_json::{Value, json};
use taskrouter_streams::call::sid::TaskSid;

/// Twilio's default for a task's `Timeout`, in seconds.
const TASK_TIMEOUT_S: i64 = 86_400;

/// A request to TaskRouter's API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is one endpoint, named in OpName, with its parameters")]
pub enum TaskRouterRequest {
    ListWorkspaces { query: ListQuery },
    FetchWorkspace { workspace: String },
    UpdateWorkspace { workspace: String, event_callback_url: Option<String>, events_filter: Option<String> },
    ListTasks { query: ListQuery },
    CreateTask { attributes: Option<String>, priority: Option<i64> },
    FetchTask { task: String },
    UpdateTask { task: String, change: TaskChange },
    DeleteTask { task: String },
    ListReservations { task: String, query: ListQuery },
    ListWorkerReservations { worker: String, query: ListQuery },
    FetchReservation { reservation: String },
    UpdateReservation { reservation: String, status: String },
    ListWorkers { query: ListQuery },
    FetchWorker { worker: String },
    ListTaskQueues { query: ListQuery },
    FetchTaskQueue { queue: String },
    ListEvents { query: EventQuery },
}

/// What of a task is changed; the rest stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a parameter of the resource")]
pub struct TaskChange {
    pub attributes: Option<String>,
    /// `AssignmentStatus`.
    pub status: Option<String>,
    pub reason: Option<String>,
    pub priority: Option<i64>,
}

const WORKSPACE_FILTERS: [Filter; 1] = [Filter("FriendlyName", "friendly_name", Compare::Text)];

const TASK_FILTERS: [Filter; 8] = [
    Filter("AssignmentStatus", "assignment_status", Compare::Text),
    Filter("Priority", "priority", Compare::Text),
    Filter("WorkflowSid", "workflow_sid", Compare::Text),
    Filter("WorkflowName", "workflow_friendly_name", Compare::Text),
    Filter("TaskQueueSid", "task_queue_sid", Compare::Text),
    Filter("TaskQueueName", "task_queue_friendly_name", Compare::Text),
    Filter("RoutingTarget", "routing_target", Compare::Text),
    Filter("TaskChannel", "task_channel_unique_name", Compare::Text),
];

const RESERVATION_FILTERS: [Filter; 2] = [
    Filter("ReservationStatus", "reservation_status", Compare::Text),
    Filter("WorkerSid", "worker_sid", Compare::Text),
];

const WORKER_FILTERS: [Filter; 4] = [
    Filter("FriendlyName", "friendly_name", Compare::Text),
    Filter("ActivityName", "activity_name", Compare::Text),
    Filter("ActivitySid", "activity_sid", Compare::Text),
    Filter("Available", "available", Compare::Flag),
];

const QUEUE_FILTERS: [Filter; 1] = [Filter("FriendlyName", "friendly_name", Compare::Text)];

impl TaskRouterRequest {
    /// The endpoint.
    pub(super) fn op(&self) -> OpName {
        match self {
            Self::ListWorkspaces { .. } => OpName::ListWorkspaces,
            Self::FetchWorkspace { .. } => OpName::FetchWorkspace,
            Self::UpdateWorkspace { .. } => OpName::UpdateWorkspace,
            Self::ListTasks { .. } => OpName::ListTasks,
            Self::CreateTask { .. } => OpName::CreateTask,
            Self::FetchTask { .. } => OpName::FetchTask,
            Self::UpdateTask { .. } => OpName::UpdateTask,
            Self::DeleteTask { .. } => OpName::DeleteTask,
            Self::ListReservations { .. } | Self::ListWorkerReservations { .. } => OpName::ListReservations,
            Self::FetchReservation { .. } => OpName::FetchReservation,
            Self::UpdateReservation { .. } => OpName::UpdateReservation,
            Self::ListWorkers { .. } => OpName::ListWorkers,
            Self::FetchWorker { .. } => OpName::FetchWorker,
            Self::ListTaskQueues { .. } => OpName::ListTaskQueues,
            Self::FetchTaskQueue { .. } => OpName::FetchTaskQueue,
            Self::ListEvents { .. } => OpName::ListEvents,
        }
    }

    /// The task that its path names.
    pub(super) fn task(&self) -> Option<&str> {
        match self {
            Self::FetchTask { task }
            | Self::UpdateTask { task, .. }
            | Self::DeleteTask { task }
            | Self::ListReservations { task, .. } => Some(task),
            Self::ListWorkspaces { .. }
            | Self::FetchWorkspace { .. }
            | Self::UpdateWorkspace { .. }
            | Self::ListTasks { .. }
            | Self::CreateTask { .. }
            | Self::ListWorkerReservations { .. }
            | Self::FetchReservation { .. }
            | Self::UpdateReservation { .. }
            | Self::ListWorkers { .. }
            | Self::FetchWorker { .. }
            | Self::ListTaskQueues { .. }
            | Self::FetchTaskQueue { .. }
            | Self::ListEvents { .. } => None,
        }
    }

    pub(super) fn perform(&self, world: &mut World, path: &str) -> Reply {
        match self {
            Self::ListWorkspaces { query } => {
                let rows = world.workspace.all(&world.cx);
                list(&world.cx, query, "workspaces", rows, (&WORKSPACE_FILTERS, path))
            }
            Self::FetchWorkspace { workspace } => Reply::found(world.workspace.fetch(&world.cx, workspace), path),
            Self::UpdateWorkspace { workspace, event_callback_url, events_filter } => {
                let World { cx, workspace: own, .. } = world;
                let body = own.update(cx, workspace, event_callback_url.as_deref(), events_filter.as_deref());
                Reply::found(body, path)
            }
            Self::ListTasks { query } => {
                let tasks = world.taskrouter.tasks.all();
                let rows = tasks.iter().rev().filter_map(|sid| task_body(world, sid.as_str())).collect();
                list(&world.cx, query, "tasks", rows, (&TASK_FILTERS, path))
            }
            Self::CreateTask { attributes, priority } => create_task(world, attributes.as_deref(), *priority),
            Self::FetchTask { task } => Reply::found(task_body(world, task), path),
            Self::UpdateTask { task, change } => update_task(world, task, change, path),
            Self::DeleteTask { task } => {
                let Some(sid) = live_task(world, task) else { return Reply::not_found(path) };
                let deleted = world.taskrouter.delete_by_program(&mut world.cx, &sid);
                deleted.map_or_else(|reason| refused(&reason), |()| Reply::no_content())
            }
            Self::ListReservations { task, query } => {
                let Some(task) = world.taskrouter.tasks.find(task) else { return Reply::not_found(path) };
                let found = world.taskrouter.reservations().of(&task.sid);
                let rows = found.into_iter().map(|found| reservation_body(world, found)).collect();
                list(&world.cx, query, "reservations", rows, (&RESERVATION_FILTERS, path))
            }
            Self::ListWorkerReservations { worker, query } => {
                let found = world.taskrouter.reservations().all().filter(|found| found.worker.as_str() == worker);
                let rows = found.map(|found| reservation_body(world, found)).collect();
                list(&world.cx, query, "reservations", rows, (&RESERVATION_FILTERS, path))
            }
            Self::FetchReservation { reservation } => {
                let found = world.taskrouter.reservations().find(reservation);
                Reply::found(found.map(|found| reservation_body(world, found)), path)
            }
            Self::UpdateReservation { reservation, status } => update_reservation(world, reservation, status, path),
            Self::ListWorkers { query } => {
                let workers = world.taskrouter.agents.all().iter();
                let rows = workers.map(|agent| worker_body(&world.cx, &agent.name, agent.sid.as_str())).collect();
                list(&world.cx, query, "workers", rows, (&WORKER_FILTERS, path))
            }
            Self::FetchWorker { worker } => {
                let found = world.taskrouter.agents.all().iter().find(|agent| agent.sid.as_str() == worker);
                Reply::found(found.map(|agent| worker_body(&world.cx, &agent.name, agent.sid.as_str())), path)
            }
            Self::ListTaskQueues { query } => {
                list(&world.cx, query, "task_queues", vec![queue_body(&world.cx)], (&QUEUE_FILTERS, path))
            }
            Self::FetchTaskQueue { queue } => Reply::found((queue == QUEUE.0).then(|| queue_body(&world.cx)), path),
            Self::ListEvents { query } => {
                Reply { status: 200, body: world.taskrouter.log.list(&world.cx, query, path) }
            }
        }
    }
}

fn list(cx: &Context, query: &ListQuery, key: &str, rows: Vec<Value>, (filters, path): (&[Filter], &str)) -> Reply {
    let url = format!("{}{path}", cx.base);
    match query.select(rows, filters) {
        Ok(rows) => Reply { status: 200, body: query.list_v1(key, rows, cx.config.page_size_limit, &url) },
        Err(refusal) => refusal,
    }
}

/// The status and code of an action that makes no sense at the moment are assumed.
fn refused(reason: &InvalidAction) -> Reply {
    Reply::error(400, 20001, &reason.to_string())
}

/// The task that a path names, unless it was deleted.
fn live_task(world: &World, task: &str) -> Option<TaskSid> {
    world.taskrouter.tasks.find(task).filter(|task| !task.deleted).map(|task| task.sid.clone())
}

fn task_body(world: &World, task: &str) -> Option<Value> {
    let World { cx, taskrouter, .. } = world;
    let task = taskrouter.tasks.find(task).filter(|task| !task.deleted)?;
    let url = address(cx, &format!("Tasks/{}", task.sid));
    Some(json!({
        "account_sid": cx.account.as_str(), "workspace_sid": cx.workspace.as_str(), "sid": task.sid.as_str(),
        "assignment_status": task.status.as_str(), "attributes": task.attributes_text(cx), "addons": "{}",
        "age": (cx.now() - task.created) / 1_000, "priority": task.priority, "reason": task.canceled_reason,
        "date_created": iso8601(task.created), "date_updated": iso8601(updated(world, task)),
        "task_queue_entered_date": iso8601(task.created), "virtual_start_time": iso8601(task.created),
        "task_queue_sid": QUEUE.0, "task_queue_friendly_name": QUEUE.1, "task_channel_sid": CHANNEL,
        "task_channel_unique_name": task.channel(), "timeout": TASK_TIMEOUT_S, "workflow_sid": WORKFLOW.0,
        "workflow_friendly_name": WORKFLOW.1, "ignore_capacity": false, "routing_target": null,
        "links": {
            "reservations": format!("{url}/Reservations"), "workspace": address(cx, ""),
            "task_queue": address(cx, &format!("TaskQueues/{}", QUEUE.0)),
            "workflow": address(cx, &format!("Workflows/{}", WORKFLOW.0)),
        },
        "url": url,
    }))
}

/// When something last happened to the task.
fn updated(world: &World, task: &Task) -> Ms {
    world.taskrouter.log.last_about(&task.sid).unwrap_or(task.created)
}

fn reservation_body(world: &World, found: &Reservation) -> Value {
    let World { cx, taskrouter, .. } = world;
    let (task, worker) =
        (address(cx, &format!("Tasks/{}", found.task)), address(cx, &format!("Workers/{}", found.worker)));
    let updated = taskrouter.task(&found.task).map_or(found.created, |task| updated(world, task));
    let url = format!("{task}/Reservations/{}", found.sid);
    json!({
        "account_sid": cx.account.as_str(), "workspace_sid": cx.workspace.as_str(), "sid": found.sid.as_str(),
        "task_sid": found.task.as_str(), "worker_sid": found.worker.as_str(),
        "worker_name": taskrouter.agents.with(&found.worker).map(|agent| &agent.name),
        "reservation_status": found.status.as_str(), "date_created": iso8601(found.created),
        "date_updated": iso8601(updated.max(found.created)), "url": url,
        "links": {"task": task, "worker": worker, "workspace": address(cx, ""), "reservation": url},
    })
}

fn worker_body(cx: &Context, name: &str, sid: &str) -> Value {
    let (began, url) = (iso8601(cx.began()), address(cx, &format!("Workers/{sid}")));
    let attributes = json!({"contact_uri": format!("client:{name}"), "roles": ["agent"]});
    json!({
        "account_sid": cx.account.as_str(), "workspace_sid": cx.workspace.as_str(), "sid": sid, "friendly_name": name,
        "activity_name": ACTIVITY.1, "activity_sid": ACTIVITY.0, "attributes": attributes.to_string(),
        "available": true, "date_created": began, "date_status_changed": began, "date_updated": began,
        "links": {
            "activity": address(cx, &format!("Activities/{}", ACTIVITY.0)), "channels": format!("{url}/Channels"),
            "reservations": format!("{url}/Reservations"), "workspace": address(cx, ""),
            "worker_statistics": format!("{url}/Statistics"),
        },
        "url": url,
    })
}

fn queue_body(cx: &Context) -> Value {
    let (began, url) = (iso8601(cx.began()), address(cx, &format!("TaskQueues/{}", QUEUE.0)));
    json!({
        "account_sid": cx.account.as_str(), "workspace_sid": cx.workspace.as_str(), "sid": QUEUE.0,
        "friendly_name": QUEUE.1, "target_workers": "1==1", "max_reserved_workers": 1, "task_order": "FIFO",
        "assignment_activity_name": null, "assignment_activity_sid": null, "reservation_activity_name": null,
        "reservation_activity_sid": null, "date_created": began, "date_updated": began,
        "links": {"statistics": format!("{url}/Statistics"), "workspace": address(cx, "")}, "url": url,
    })
}

/// A resource of the workspace, or the workspace.
fn address(cx: &Context, below: &str) -> String {
    let address = format!("{}/v1/Workspaces/{}/{below}", cx.base, cx.workspace);
    address.trim_end_matches('/').to_owned()
}

/// A task that a program makes: it is offered to the agents, and has no call.
fn create_task(world: &mut World, attributes: Option<&str>, priority: Option<i64>) -> Reply {
    let attributes = attributes.unwrap_or("{}");
    if !is_object(attributes) {
        return Reply::error(400, 20001, "Attributes must be a JSON object");
    }
    let task = world.program_creates_task(attributes, priority.unwrap_or(0));
    Reply { status: 201, body: task_body(world, task.as_str()).unwrap_or(Value::Null) }
}

fn is_object(text: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, Value>>(text).is_ok()
}

fn update_task(world: &mut World, task: &str, change: &TaskChange, path: &str) -> Reply {
    let Some(sid) = live_task(world, task) else { return Reply::not_found(path) };
    let TaskChange { attributes, status, reason, priority } = change;
    if attributes.as_deref().is_some_and(|text| !is_object(text)) {
        return Reply::error(400, 20001, "Attributes must be a JSON object");
    }
    let World { cx, taskrouter, .. } = world;
    let changed = match status.as_deref() {
        None => Ok(()),
        Some("canceled") => taskrouter.cancel(cx, &sid, reason.as_deref().unwrap_or("canceled")),
        Some("completed") => taskrouter.complete_task(cx, &sid),
        Some(_) => return world.not_simulated("an AssignmentStatus other than canceled and completed"),
    };
    if let Err(invalid) = changed {
        return refused(&invalid);
    }
    if let Some(reason) = reason {
        taskrouter.tasks.set_canceled_reason(&sid, reason);
    }
    if attributes.is_some() || priority.is_some() {
        taskrouter.update_task(cx, &sid, attributes.as_deref(), *priority);
    }
    Reply { status: 200, body: task_body(world, task).unwrap_or(Value::Null) }
}

/// A program does what an agent would do in Flex.
fn update_reservation(world: &mut World, reservation: &str, status: &str, path: &str) -> Reply {
    let Some(found) = world.taskrouter.reservations().find(reservation) else { return Reply::not_found(path) };
    let (sid, task) = (found.sid.clone(), found.task.clone());
    let agent = world.taskrouter.agent_of(&sid);
    let done = match status {
        "accepted" => world.accepts(&task, &agent),
        "rejected" => world.rejects(&task, &agent),
        "wrapping" => world.leaves(&task, &agent),
        "completed" => world.completes(&task, &agent),
        _ => return world.not_simulated("a ReservationStatus other than accepted, rejected, wrapping and completed"),
    };
    if let Err(reason) = done {
        return refused(&reason);
    }
    let found = world.taskrouter.reservations().find(reservation);
    Reply::found(found.map(|found| reservation_body(world, found)), path)
}
