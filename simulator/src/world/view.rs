//! What can be seen of the world from outside: the record, the snapshots, the reports.

use super::calls::Call;
use super::{OpName, RecordedSid, RecordingReport, StreamReport, World};
use crate::sim_config::Ms;
use std::fmt;
use taskrouter_streams::call::sid::{CallSid, TaskSid};

/// Bad luck that no command caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The conference ended while the customer was on the way back into it.
    Stranded {
        /// When.
        at: Ms,
        /// The customer's leg.
        call: CallSid,
    },
    /// The customer left while the guard was lowered, and the agents stayed among themselves.
    LeftBehind {
        /// When.
        at: Ms,
        /// The customer's leg.
        call: CallSid,
    },
    /// Somebody asked for something that Twilio has and the simulator has not. It was refused, and changed nothing.
    NotSimulated {
        /// When.
        at: Ms,
        /// What.
        what: String,
    },
    /// TwiML could not be fetched, so that the call ended.
    NoDocument {
        /// When.
        at: Ms,
        /// The leg.
        call: CallSid,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranded { call, .. } => {
                write!(f, "the conference of {call} ended while the customer was on the way back into it")
            }
            Self::LeftBehind { call, .. } => {
                write!(f, "{call} is over, and agents are left behind in its conference")
            }
            Self::NotSimulated { what, .. } => write!(f, "{what} is not simulated: answered 501, nothing was changed"),
            Self::NoDocument { call, reason, .. } => write!(f, "{call} has no TwiML to follow and ends: {reason}"),
        }
    }
}

/// A REST request as it arrived, and how it was answered. Holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// When it arrived.
    pub received_at: Ms,
    /// What it asked for; `None` for an unknown endpoint or a request that was not let in.
    pub op: Option<OpName>,
    /// Method and path.
    pub target: String,
    /// Query and form parameters.
    pub parameters: Vec<(String, String)>,
    /// The task that it is about, where that can be told.
    pub task: Option<TaskSid>,
    /// The status answered; `None` when the connection was cut or left hanging.
    pub status: Option<u16>,
    /// The fault that was played, by name.
    pub fault: Option<&'static str>,
    /// Whether the request took effect.
    pub took_effect: bool,
}

impl RequestRecord {
    /// Whether it is decided how the request ends.
    pub fn is_over(&self) -> bool {
        self.status.is_some() || self.fault.is_some()
    }
}

/// A call at a glance: what a scenario expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Agents whose streams run on the customer's leg, sorted.
    pub streams: Vec<String>,
    /// The customer's hold; `None` outside a conference.
    pub held: Option<bool>,
    /// Whether the customer's guard is raised; `None` outside a conference.
    pub guard_raised: Option<bool>,
    /// Legs in the customer's conference, the customer included.
    pub participants: usize,
    /// The customer's leg is over, or there never was one.
    pub over: bool,
}

impl Snapshot {
    pub(super) fn of(world: &World, task: &TaskSid) -> Option<Self> {
        let World { taskrouter, voice, .. } = world;
        let customer = taskrouter.task(task)?.customer.as_ref();
        let conference = customer.and_then(|call| voice.conferences.of(call));
        let row = customer.and_then(|call| conference?.participant(call));
        let agent_of = |stream: &StreamReport| {
            let agent = stream.worker.as_ref().and_then(|worker| taskrouter.agents.with(worker));
            agent.map_or_else(|| format!("nobody ({})", stream.name), |agent| agent.name.clone())
        };
        let running = customer.into_iter().flat_map(|call| voice.streams.running(call));
        let mut streams: Vec<String> = running.map(agent_of).collect();
        streams.sort();
        Some(Self {
            streams,
            held: row.map(|row| row.hold),
            guard_raised: row.map(|row| row.guard),
            participants: conference.map_or(0, |conference| conference.participants().len()),
            over: customer.is_none_or(|call| !voice.calls.is_live(call)),
        })
    }
}

/// What a call went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// The task.
    pub task: TaskSid,
    /// The customer's leg.
    pub customer: Option<CallSid>,
    /// Time that redirects kept the customer outside the conference, ms.
    pub outside_ms: Ms,
    /// How often the customer's leg was redirected.
    pub redirects: u32,
    /// Every stream of the customer's leg, in the order of their starts.
    pub streams: Vec<StreamReport>,
    /// Every recording of the customer's leg and of the task's conferences, in the order in which they began.
    pub recordings: Vec<RecordingReport>,
    /// REST requests about this task.
    pub requests: usize,
}

impl CallReport {
    pub(super) fn of(world: &World, task: &TaskSid) -> Option<Self> {
        let customer = world.taskrouter.task(task)?.customer.clone();
        let leg = customer.as_ref().and_then(|call| world.voice.calls.get(call));
        Some(Self {
            task: task.clone(),
            outside_ms: leg.map_or(0, |leg| leg.outside_ms(world.cx.now())),
            redirects: leg.map_or(0, Call::redirects),
            streams: customer.as_ref().map_or(&[][..], |call| world.voice.streams.of(call)).to_vec(),
            recordings: world.voice.recordings.about(|of| match of {
                RecordedSid::Call(call) => Some(call) == customer.as_ref(),
                RecordedSid::Conference(sid) => {
                    let found = world.voice.conferences.find(sid.as_str());
                    found.zip(world.taskrouter.task(task)).is_some_and(|(found, task)| found.name == task.room)
                }
            }),
            requests: world.requests.count_about(task),
            customer,
        })
    }
}

/// Every REST request so far, as it arrived and as it was answered.
#[derive(Debug, Default)]
pub(super) struct RequestLog(Vec<RequestRecord>);

impl RequestLog {
    pub(super) fn all(&self) -> &[RequestRecord] {
        &self.0
    }

    pub(super) fn push(&mut self, request: RequestRecord) -> usize {
        self.0.push(request);
        self.0.len() - 1
    }

    /// Completes a record; returns the task that the request is about, where that can be told.
    pub(super) fn answered(
        &mut self,
        number: usize,
        status: Option<u16>,
        fault: Option<&'static str>,
        took_effect: bool,
    ) -> Option<TaskSid> {
        let request = self.0.get_mut(number)?;
        request.status = status;
        request.fault = fault;
        request.took_effect = took_effect;
        request.task.clone()
    }

    /// A request was carried out after its answer was lost.
    pub(super) fn landed(&mut self, number: usize) {
        if let Some(request) = self.0.get_mut(number) {
            request.took_effect = true;
        }
    }

    pub(super) fn count_about(&self, task: &TaskSid) -> usize {
        self.0.iter().filter(|request| request.task.as_ref() == Some(task)).count()
    }
}
