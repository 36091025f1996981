//! What people and other programs do to a call beside its customer and its agents, and the other tasks that may come.

use super::calls::{Line, Role};
use super::conferences::Entry;
use super::recordings::{Recorded, RecordedSid, RecordingStatus, by_others};
use super::status::ReservationStatus;
use super::task::{CallLess, TaskKind};
use super::{InvalidAction, World};
use taskrouter_streams::call::sid::{CallSid, TaskSid};

/// Whom an agent brings into the conference.
const OUTSIDE_NUMBER: &str = "+15550100031";

/// Something that happens to the call of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallAction {
    /// An agent brings an outside number into the conference (Flex's external warm transfer).
    ExternalJoins {
        /// Its `endConferenceOnExit`.
        guard: bool,
    },
    /// The outside number hangs up.
    ExternalLeaves,
    /// A supervisor listens in on the newest agent.
    SupervisorJoins,
    /// The supervisor hangs up.
    SupervisorLeaves,
    /// The customer's leg leaves the conference for other TwiML, such as a survey, and lives on.
    CustomerMovesOn,
    /// Somebody cancels the task while the call lives.
    TaskCanceled,
    /// Somebody deletes the task while the call lives.
    TaskDeleted,
    /// Something happens to the recording of the customer's leg, as by a plugin.
    CallRecording(RecordingAct),
    /// Something happens to the recording of the task's conference, as by Flex.
    ConferenceRecording(RecordingAct),
    /// Flex writes the customer's guard.
    GuardWritten {
        /// Its `endConferenceOnExit`.
        raised: bool,
    },
}

/// What others do with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum RecordingAct {
    Starts,
    Pauses,
    Resumes,
    Stops,
}

/// A task that comes beside those of the customers who call in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewTask {
    /// A voice task without any call.
    CallLess(CallLess),
    /// An agent calls another.
    Internal {
        /// The caller, who accepts at once.
        from: String,
        /// The callee, whose leg rings.
        to: String,
    },
    /// The customer of the task goes back to a queue: a second task names the same call, with a conference of its own.
    Requeued,
    /// Another task names the same call and shares its conference.
    Parallel,
}

impl CallAction {
    pub(super) fn perform(self, world: &mut World, task: &TaskSid) -> Result<(), InvalidAction> {
        match self {
            // The label is that of Flex's external warm transfer (Twilio's own interface); its exact text is assumed.
            Self::ExternalJoins { guard } => {
                let entry = Entry { guard, label: Some("external".to_owned()), ..Entry::default() };
                join(world, task, Role::External, Line::outbound(OUTSIDE_NUMBER), entry)
            }
            Self::ExternalLeaves => leave(world, task, &Role::External),
            Self::SupervisorJoins => {
                let coached = newest_agents_leg(world, task)?;
                let entry = Entry { label: Some("supervisor".to_owned()), coaches: Some(coached), ..Entry::default() };
                join(world, task, Role::Supervisor, Line::outbound("client:supervisor"), entry)
            }
            Self::SupervisorLeaves => leave(world, task, &Role::Supervisor),
            Self::CustomerMovesOn => move_on(world, task).map(drop),
            Self::TaskCanceled => world.taskrouter.cancel(&mut world.cx, task, "canceled by a supervisor"),
            Self::TaskDeleted => world.taskrouter.delete(&mut world.cx, task),
            Self::CallRecording(act) => {
                let call = live_customer(world, task)?;
                act.perform(world, Recorded::Call(call))
            }
            Self::ConferenceRecording(act) => {
                let room = world.taskrouter.task(task).map(|found| found.room.as_str()).unwrap_or_default();
                let conference = world.voice.conferences.open(room);
                let none = || InvalidAction("the task has no conference in progress".to_owned());
                act.perform(world, Recorded::Conference(conference.ok_or_else(none)?))
            }
            Self::GuardWritten { raised } => {
                let call = live_customer(world, task)?;
                let written = world.voice.conferences.set_guard_by_flex(&call, raised);
                written.then_some(()).ok_or_else(InvalidAction::customer_away)
            }
        }
    }
}

impl RecordingAct {
    fn perform(self, world: &mut World, of: RecordedSid) -> Result<(), InvalidAction> {
        let status = match self {
            Self::Starts => None,
            Self::Pauses => Some(RecordingStatus::Paused),
            Self::Resumes => Some(RecordingStatus::InProgress),
            Self::Stops => Some(RecordingStatus::Completed),
        };
        let done = by_others(world, of, status);
        done.then_some(()).ok_or_else(|| InvalidAction("nothing is being recorded".to_owned()))
    }
}

impl NewTask {
    pub(super) fn come(&self, world: &mut World, before: Option<&TaskSid>) -> Result<TaskSid, InvalidAction> {
        let before = || before.ok_or_else(|| InvalidAction("there is no call yet that the task could name".to_owned()));
        match self {
            Self::CallLess(kind) => {
                let task = world.taskrouter.create_task(&mut world.cx, TaskKind::CallLess(*kind));
                world.taskrouter.announce(&mut world.cx, &task);
                Ok(task)
            }
            Self::Internal { from, to } => call_agent(world, from, to),
            Self::Requeued => requeue(world, before()?),
            Self::Parallel => {
                live_customer(world, before()?)?;
                let task = next_task(world, before()?, true)?;
                world.taskrouter.announce(&mut world.cx, &task);
                Ok(task)
            }
        }
    }
}

/// A leg of somebody who is neither the customer nor TaskRouter's worker joins the conference of the task.
fn join(world: &mut World, task: &TaskSid, role: Role, line: Line, entry: Entry) -> Result<(), InvalidAction> {
    let room = world.taskrouter.task(task).map(|found| found.room.clone()).unwrap_or_default();
    if world.voice.conferences.open(&room).is_none() {
        return Err(InvalidAction("the task has no conference in progress".to_owned()));
    }
    let World { cx, voice, .. } = world;
    let entry = Entry { rings: cx.config.ringing_ms > 0, ..entry };
    let call = voice.calls.create(cx, task, &room, role, line);
    voice.join(cx, &call, &room, entry);
    Ok(())
}

fn leave(world: &mut World, task: &TaskSid, role: &Role) -> Result<(), InvalidAction> {
    let room = world.taskrouter.task(task).map(|found| found.room.as_str()).unwrap_or_default();
    let leg = world.voice.calls.newest_in(room, role).map(|call| call.sid.clone());
    let leg = leg.ok_or_else(|| InvalidAction(format!("no leg on this call is {}", role.whose())))?;
    world.hang_up(&leg);
    Ok(())
}

fn newest_agents_leg(world: &World, task: &TaskSid) -> Result<CallSid, InvalidAction> {
    let mut reservations = world.taskrouter.reservations().of(task).into_iter();
    let newest = reservations.rfind(|found| found.status == ReservationStatus::Accepted);
    let leg = newest.and_then(|found| found.leg.clone());
    leg.ok_or_else(|| InvalidAction("no agent is on the call to be listened to".to_owned()))
}

fn live_customer(world: &World, task: &TaskSid) -> Result<CallSid, InvalidAction> {
    let customer = world.taskrouter.tasks.customer(task).filter(|call| world.voice.calls.is_live(call));
    customer.cloned().ok_or_else(|| InvalidAction("the task has no customer on the phone".to_owned()))
}

fn move_on(world: &mut World, task: &TaskSid) -> Result<CallSid, InvalidAction> {
    let call = live_customer(world, task)?;
    let ended = world.voice.move_on(&mut world.cx, &call);
    world.notice(ended);
    Ok(call)
}

fn next_task(world: &mut World, before: &TaskSid, shares_conference: bool) -> Result<TaskSid, InvalidAction> {
    let next = world.taskrouter.create_next(&mut world.cx, before, shares_conference);
    next.ok_or_else(|| InvalidAction("the task has no customer on the phone".to_owned()))
}

fn requeue(world: &mut World, before: &TaskSid) -> Result<TaskSid, InvalidAction> {
    let call = move_on(world, before)?;
    let task = next_task(world, before, false)?;
    let World { cx, taskrouter, voice, .. } = world;
    if let Some(leg) = voice.calls.get_mut(&call) {
        leg.assigned_to(&task, task.as_str());
    }
    taskrouter.announce(cx, &task);
    Ok(task)
}

fn call_agent(world: &mut World, from: &str, to: &str) -> Result<TaskSid, InvalidAction> {
    let World { cx, taskrouter, .. } = world;
    let (worker, callee) = (taskrouter.agents.named(from)?.sid.clone(), taskrouter.agents.named(to)?.name.clone());
    let task = taskrouter.create_task(cx, TaskKind::Internal(callee));
    taskrouter.tasks.offer_only_to(&task, worker);
    taskrouter.announce(cx, &task);
    world.accepts(&task, from)?;
    join(world, &task, Role::Colleague, Line::outbound(&format!("client:{to}")), Entry::default())?;
    Ok(task)
}
