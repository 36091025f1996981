//! What can be seen of the world from outside: the record, the pictures, the reports.

use super::{Ms, OpName, Role, StreamReport, Violation, World};
use taskrouter_streams::call::sid::{CallSid, TaskSid, WorkerSid};

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
    /// REST requests about this task.
    pub requests: usize,
}

impl World {
    /// Every misuse so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Every piece of bad luck so far.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Every REST request so far.
    pub fn requests(&self) -> &[RequestRecord] {
        &self.requests
    }

    /// Writes a request down and returns its number.
    pub fn record(&mut self, request: RequestRecord) -> usize {
        self.requests.push(request);
        self.requests.len() - 1
    }

    /// Completes a request's record.
    pub fn answered(&mut self, number: usize, status: Option<u16>, fault: Option<&'static str>, took_effect: bool) {
        if let Some(request) = self.requests.get_mut(number) {
            request.status = status;
            request.fault = fault;
            request.took_effect = took_effect;
        }
    }

    /// The tasks, oldest first.
    pub fn tasks(&self) -> Vec<TaskSid> {
        let mut tasks: Vec<_> = self.tasks.values().collect();
        tasks.sort_by_key(|task| task.created);
        tasks.into_iter().map(|task| task.sid.clone()).collect()
    }

    /// A call at a glance; `None` for an unknown task.
    pub fn snapshot(&self, task: &TaskSid) -> Option<Snapshot> {
        let customer = self.tasks.get(task)?.customer.as_ref();
        let leg = customer.and_then(|customer| self.calls.get(customer));
        let conference = customer.and_then(|customer| self.conference_of(customer));
        let rows = conference.and_then(|sid| self.conferences.get(&sid)).map_or(&[][..], |found| &found.rows);
        let row = rows.iter().find(|row| Some(&row.call) == customer);
        let running = leg.map_or(&[][..], |leg| &leg.streams).iter().filter(|stream| stream.stopped_at.is_none());
        let mut streams: Vec<String> = running.map(|stream| self.agent_of(stream)).collect();
        streams.sort();
        Some(Snapshot {
            streams,
            held: row.map(|row| row.hold),
            guard_raised: row.map(|row| row.guard),
            participants: rows.len(),
            over: leg.is_none_or(|leg| !leg.live),
        })
    }

    fn agent_of(&self, stream: &StreamReport) -> String {
        let name = stream.worker.as_ref().and_then(|worker| self.agent_name(worker));
        name.unwrap_or_else(|| format!("nobody ({})", stream.name))
    }

    /// The name of the agent with this SID.
    pub fn agent_name(&self, worker: &WorkerSid) -> Option<String> {
        self.agents.iter().find(|agent| &agent.sid == worker).map(|agent| agent.name.clone())
    }

    /// What a task's call went through so far; `None` for an unknown task.
    pub fn report(&self, task: &TaskSid) -> Option<CallReport> {
        let customer = self.tasks.get(task)?.customer.clone();
        let leg = customer.as_ref().and_then(|customer| self.calls.get(customer));
        let running = leg.and_then(|leg| leg.outside_since).map_or(0, |since| self.now - since);
        Some(CallReport {
            task: task.clone(),
            outside_ms: leg.map_or(0, |leg| leg.outside_ms) + running,
            redirects: leg.map_or(0, |leg| leg.redirects),
            streams: leg.map_or_else(Vec::new, |leg| leg.streams.clone()),
            requests: self.requests.iter().filter(|request| request.task.as_ref() == Some(task)).count(),
            customer,
        })
    }

    /// The task that a leg belongs to.
    pub(super) fn task_of(&self, call: &CallSid) -> Option<TaskSid> {
        match &self.calls.get(call)?.role {
            Role::Customer(task) => Some(task.clone()),
            Role::Worker(reservation) => self.reservations.get(reservation).map(|found| found.task.clone()),
        }
    }

    /// A task's conference, once there was one.
    pub fn conference(&self, task: &TaskSid) -> Option<taskrouter_streams::call::sid::ConferenceSid> {
        self.tasks.get(task)?.conference.clone()
    }

    /// An agent's SID.
    pub fn agent_sid(&self, name: &str) -> Option<WorkerSid> {
        self.agent(name).ok().map(|agent| agent.sid.clone())
    }

    /// The leg of an agent's current reservation of a task, which no command may touch.
    pub fn worker_leg(&self, task: &TaskSid, agent: &str) -> Option<CallSid> {
        let agent = self.agent(agent).ok()?;
        let mine = self.reservations.values().filter(|found| &found.task == task && found.worker == agent.sid);
        mine.max_by_key(|found| found.order).and_then(|found| found.leg.clone())
    }
}
