//! The legs of calls: the customers' and the agents'.

use super::context::Context;
use super::time::rfc2822;
use crate::sim_config::Ms;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use taskrouter_streams::call::sid::{AccountSid, CallSid, ReservationSid, TaskSid};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Customer,
    Worker(ReservationSid),
}

/// A leg.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) sid: CallSid,
    pub(super) task: TaskSid,
    pub(super) role: Role,
    live: bool,
    created: Ms,
    generation: u32,
    outside_since: Option<Ms>,
    outside_ms: Ms,
    redirects: u32,
    doomed: bool,
}

impl Call {
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    pub(super) fn is_customer(&self) -> bool {
        self.role == Role::Customer
    }

    /// Whether the leg is live and has not been redirected since `generation`: else an older plan of where to go is void.
    pub(super) fn is_at(&self, generation: u32) -> bool {
        self.live && self.generation == generation
    }

    /// The last redirect itself made the way back impossible.
    pub(super) fn is_doomed(&self) -> bool {
        self.doomed
    }

    pub(super) fn redirects(&self) -> u32 {
        self.redirects
    }

    /// How long redirects have kept the leg outside of conferences until `now`, ms.
    pub(super) fn outside_ms(&self, now: Ms) -> Ms {
        self.outside_ms + self.outside_since.map_or(0, |since| now - since)
    }

    pub(super) fn body(&self, account: &AccountSid) -> Value {
        let account = account.as_str();
        json!({
            "account_sid": account, "sid": self.sid.as_str(), "api_version": "2010-04-01",
            "status": if self.live { "in-progress" } else { "completed" },
            "date_created": rfc2822(self.created), "direction": "inbound",
            "uri": format!("/2010-04-01/Accounts/{account}/Calls/{}.json", self.sid),
        })
    }

    /// Follows new TwiML from now on; returns the leg's new generation.
    pub(super) fn redirected(&mut self, now: Ms, doomed: bool) -> u32 {
        self.redirects += 1;
        self.generation += 1;
        self.doomed = doomed;
        self.outside_since.get_or_insert(now);
        self.generation
    }

    /// Is connected to a conference.
    pub(super) fn connected(&mut self, now: Ms) {
        self.outside_ms = self.outside_ms(now);
        self.outside_since = None;
    }

    fn completed(&mut self, now: Ms) {
        self.live = false;
        self.connected(now);
    }
}

/// Every leg so far.
#[derive(Debug, Default)]
pub(super) struct Calls(BTreeMap<CallSid, Call>);

impl Calls {
    pub(super) fn create(&mut self, cx: &mut Context, task: &TaskSid, role: Role) -> CallSid {
        let sid: CallSid = cx.mint(CallSid::PREFIX);
        let call = Call {
            sid: sid.clone(),
            task: task.clone(),
            role,
            live: true,
            created: cx.now(),
            generation: 0,
            outside_since: None,
            outside_ms: 0,
            redirects: 0,
            doomed: false,
        };
        self.0.insert(sid.clone(), call);
        sid
    }

    pub(super) fn get(&self, sid: &CallSid) -> Option<&Call> {
        self.0.get(sid)
    }

    pub(super) fn get_mut(&mut self, sid: &CallSid) -> Option<&mut Call> {
        self.0.get_mut(sid)
    }

    /// The leg that a path names.
    pub(super) fn find(&self, sid: &str) -> Option<&Call> {
        self.0.get(&sid.parse().ok()?)
    }

    pub(super) fn is_live(&self, sid: &CallSid) -> bool {
        self.get(sid).is_some_and(Call::is_live)
    }

    pub(super) fn is_customer(&self, sid: &CallSid) -> bool {
        self.get(sid).is_some_and(Call::is_customer)
    }

    pub(super) fn complete(&mut self, sid: &CallSid, now: Ms) {
        if let Some(call) = self.0.get_mut(sid) {
            call.completed(now);
        }
    }
}
