//! The agents: TaskRouter's workers.

use super::InvalidAction;
use super::context::Context;
use taskrouter_streams::call::sid::WorkerSid;

/// An agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) sid: WorkerSid,
}

/// Every agent, in the order in which a new task is offered.
#[derive(Debug)]
pub(super) struct Agents(Vec<Agent>);

impl Agents {
    /// Those that the configuration names.
    pub(super) fn new(cx: &mut Context) -> Self {
        let names = cx.config.agents.clone();
        Self(names.into_iter().map(|name| Agent { name, sid: cx.mint(WorkerSid::PREFIX) }).collect())
    }

    pub(super) fn named(&self, name: &str) -> Result<&Agent, InvalidAction> {
        let unknown = || InvalidAction(format!("there is no agent named {name}: add it to [settings] agents"));
        self.0.iter().find(|agent| agent.name == name).ok_or_else(unknown)
    }

    pub(super) fn with(&self, sid: &WorkerSid) -> Option<&Agent> {
        self.0.iter().find(|agent| &agent.sid == sid)
    }

    pub(super) fn all(&self) -> &[Agent] {
        &self.0
    }

    pub(super) fn sids(&self) -> impl Iterator<Item = &WorkerSid> {
        self.0.iter().map(|agent| &agent.sid)
    }
}
