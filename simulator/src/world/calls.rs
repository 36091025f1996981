//! The legs of calls: the customers', the agents', and those of whoever else is on the phone.

use super::context::Context;
use super::time::rfc2822;
use super::twiml::Verb;
use crate::sim_config::Ms;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use taskrouter_streams::call::sid::{AccountSid, CallSid, ReservationSid, StreamSid, TaskSid};

/// Whose a leg is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Customer,
    Worker(ReservationSid),
    /// Another agent, whom an agent has called.
    Colleague,
    /// An outside number that an agent has brought in.
    External,
    Supervisor,
    /// A call that was created through the API. No task is about it: its task's SID is nobody's.
    Program,
}

impl Role {
    /// As in "it is a worker's leg".
    pub(super) fn whose(&self) -> &'static str {
        match self {
            Self::Customer => "the customer's",
            Self::Worker(_) => "a worker's",
            Self::Colleague => "a colleague's",
            Self::External => "an outside number's",
            Self::Supervisor => "a supervisor's",
            Self::Program => "a program's",
        }
    }
}

/// Who calls whom, as the Calls resource says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) inbound: bool,
    pub(super) from: String,
    pub(super) to: String,
}

impl Line {
    pub(super) fn inbound(from: &str) -> Self {
        Self { inbound: true, from: from.to_owned(), to: OWN_NUMBER.to_owned() }
    }

    pub(super) fn outbound(to: &str) -> Self {
        Self::between(OWN_NUMBER, to)
    }

    pub(super) fn between(from: &str, to: &str) -> Self {
        Self { inbound: false, from: from.to_owned(), to: to.to_owned() }
    }
}

/// The contact center's own number.
const OWN_NUMBER: &str = "+15550100001";

/// A leg.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) sid: CallSid,
    /// The task that it is about at present: a customer's leg may have several, one after the other or at once.
    pub(super) task: TaskSid,
    /// The name of the conference that is the leg's at present.
    pub(super) room: String,
    pub(super) role: Role,
    line: Line,
    /// Grows from one leg to the next.
    number: usize,
    live: bool,
    ringing: bool,
    created: Ms,
    answered: Option<Ms>,
    ended: Option<Ms>,
    /// What it does next, once it has been given TwiML by a request.
    script: VecDeque<Verb>,
    /// The script has led into a conference.
    dialled: bool,
    /// The stream whose end the script waits for.
    connected_to: Option<StreamSid>,
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

    /// Whether somebody has picked up, and it is not over.
    pub(super) fn is_answered(&self) -> bool {
        self.live && !self.ringing
    }

    pub(super) fn is_customer(&self) -> bool {
        self.role == Role::Customer
    }

    /// Whether a service for streams may command it: the customer's, and calls that programs make.
    pub(super) fn may_be_commanded(&self) -> bool {
        self.is_customer() || self.role == Role::Program
    }

    pub(super) fn is_worker(&self) -> bool {
        matches!(self.role, Role::Worker(_))
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether the leg is live and has not been redirected since `generation`: else an older plan of where to go is void.
    pub(super) fn is_at(&self, generation: u32) -> bool {
        self.live && self.generation == generation
    }

    /// The last redirect itself made the way back impossible.
    pub(super) fn is_doomed(&self) -> bool {
        self.doomed
    }

    /// Whether a redirect keeps it outside of its conference at present.
    pub(super) fn is_outside(&self) -> bool {
        self.outside_since.is_some()
    }

    pub(super) fn redirects(&self) -> u32 {
        self.redirects
    }

    /// How long redirects have kept the leg outside of conferences until `now`, ms.
    pub(super) fn outside_ms(&self, now: Ms) -> Ms {
        self.outside_ms + self.outside_since.map_or(0, |since| now - since)
    }

    /// Every field of the resource. What nothing here depends on is null, as for most calls.
    pub(super) fn body(&self, account: &AccountSid) -> Value {
        let account = account.as_str();
        let uri = format!("/2010-04-01/Accounts/{account}/Calls/{}", self.sid);
        let seconds = self.ended.map(|ended| (ended - self.answered.unwrap_or(ended)) / 1_000);
        let below = |name: &str| format!("{uri}/{name}.json");
        json!({
            "account_sid": account, "sid": self.sid.as_str(), "api_version": "2010-04-01", "status": self.status(),
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(self.ended.or(self.answered).unwrap_or(self.created)),
            "start_time": self.answered.map(rfc2822), "end_time": self.ended.map(rfc2822),
            "duration": seconds.map(|seconds| seconds.to_string()), "price": null, "price_unit": "USD",
            "from": self.line.from, "from_formatted": self.line.from, "to": self.line.to, "to_formatted": self.line.to,
            "direction": self.direction(), "answered_by": null, "caller_name": null, "forwarded_from": null,
            "group_sid": null, "parent_call_sid": null, "phone_number_sid": null, "trunk_sid": null, "queue_time": "0",
            "uri": format!("{uri}.json"),
            "subresource_uris": {
                "streams": below("Streams"), "recordings": below("Recordings"),
                "transcriptions": below("Transcriptions"), "siprec": below("Siprec"),
            },
        })
    }

    fn status(&self) -> &'static str {
        match (self.live, self.ringing) {
            (false, _) => "completed",
            (true, true) => "ringing",
            (true, false) => "in-progress",
        }
    }

    fn direction(&self) -> &'static str {
        if self.line.inbound { "inbound" } else { "outbound-api" }
    }

    /// What Twilio says of the call when it asks for TwiML.
    pub(super) fn document_form(&self, account: &AccountSid) -> Vec<(String, String)> {
        let fields = [
            ("AccountSid", account.as_str()),
            ("CallSid", self.sid.as_str()),
            ("From", &self.line.from),
            ("To", &self.line.to),
            ("CallStatus", self.status()),
            ("Direction", self.direction()),
            ("ApiVersion", "2010-04-01"),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// What it will do once it is answered.
    pub(super) fn given(&mut self, script: Vec<Verb>) {
        self.script = script.into();
    }

    /// The next verb of its script.
    pub(super) fn next_verb(&mut self) -> Option<Verb> {
        self.script.pop_front()
    }

    pub(super) fn has_script(&self) -> bool {
        !self.script.is_empty()
    }

    pub(super) fn has_dialled(&self) -> bool {
        self.dialled
    }

    pub(super) fn dials(&mut self) {
        self.dialled = true;
    }

    /// The script waits until this stream is over.
    pub(super) fn waits_for(&mut self, stream: &StreamSid) {
        self.connected_to = Some(stream.clone());
    }

    pub(super) fn connected_to(&self) -> Option<&StreamSid> {
        self.connected_to.as_ref()
    }

    pub(super) fn goes_on(&mut self) {
        self.connected_to = None;
    }

    /// Follows new TwiML from now on; returns the leg's new generation.
    pub(super) fn redirected(&mut self, now: Ms, script: Vec<Verb>, doomed: bool) -> u32 {
        self.redirects += 1;
        self.generation += 1;
        self.script = script.into();
        self.dialled = false;
        self.connected_to = None;
        self.doomed = doomed;
        self.outside_since.get_or_insert(now);
        self.generation
    }

    /// Follows TwiML of somebody else than the service from now on: what it was on the way to is void.
    pub(super) fn moved_on(&mut self, now: Ms) {
        self.generation += 1;
        self.script.clear();
        self.connected(now);
    }

    /// Another task is about this leg, which waits for that task's conference.
    pub(super) fn assigned_to(&mut self, task: &TaskSid, room: &str) {
        self.task = task.clone();
        room.clone_into(&mut self.room);
    }

    pub(super) fn rings(&mut self) {
        self.ringing = true;
        self.answered = None;
    }

    /// Somebody has picked up.
    pub(super) fn answers(&mut self, now: Ms) {
        self.ringing = false;
        self.answered.get_or_insert(now);
    }

    /// Is connected to a conference.
    pub(super) fn connected(&mut self, now: Ms) {
        self.answers(now);
        self.outside_ms = self.outside_ms(now);
        self.outside_since = None;
    }

    fn completed(&mut self, now: Ms) {
        let answered = self.answered;
        self.live = false;
        self.script.clear();
        self.connected(now);
        self.answered = answered;
        self.ended.get_or_insert(now);
    }
}

/// Every leg so far.
#[derive(Debug, Default)]
pub(super) struct Calls(BTreeMap<CallSid, Call>);

impl Calls {
    /// A leg about this task, whose conference has this name.
    pub(super) fn create(&mut self, cx: &mut Context, task: &TaskSid, room: &str, role: Role, line: Line) -> CallSid {
        let sid: CallSid = cx.mint(CallSid::PREFIX);
        let call = Call {
            sid: sid.clone(),
            task: task.clone(),
            room: room.to_owned(),
            role,
            line,
            number: self.0.len(),
            live: true,
            ringing: false,
            created: cx.now(),
            answered: Some(cx.now()),
            ended: None,
            script: VecDeque::new(),
            dialled: false,
            connected_to: None,
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

    /// In descending order of their creation.
    pub(super) fn all(&self) -> Vec<&Call> {
        let mut all: Vec<&Call> = self.0.values().collect();
        all.sort_by_key(|call| std::cmp::Reverse(call.number));
        all
    }

    /// The legs whose scripts wait for streams.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&CallSid, &StreamSid)> {
        self.0.values().filter_map(|call| Some((&call.sid, call.connected_to()?)))
    }

    /// The newest live leg of this kind whose conference has this name.
    pub(super) fn newest_in(&self, room: &str, role: &Role) -> Option<&Call> {
        let found = self.0.values().filter(|call| call.live && call.room == room && call.role == *role);
        found.max_by_key(|call| call.number)
    }

    /// The leg that a path names.
    pub(super) fn find(&self, sid: &str) -> Option<&Call> {
        self.0.get(&sid.parse().ok()?)
    }

    pub(super) fn is_live(&self, sid: &CallSid) -> bool {
        self.get(sid).is_some_and(Call::is_live)
    }

    pub(super) fn is_answered(&self, sid: &CallSid) -> bool {
        self.get(sid).is_some_and(Call::is_answered)
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
