//! Twilio as a pure state machine: tasks, reservations, legs, conferences, participants and streams under Twilio's rules.
//!
//! Time is an argument, effects that come later are in a schedule ([`World::advance`]), SIDs follow from the seed. There is
//! no clock, no network, no task and no lock in it.
//!
//! | module | what it is |
//! |---|---|
//! | `taskrouter` | tasks, reservations, transfers, and the events that tell of them |
//! | `voice` | legs (`calls`), `conferences`, `streams` and `recordings`, and what ends with what |
//! | `rest`, `commands`, `taskrouter_rest` | what each request does and what it is answered |
//! | `twiml` | what a call is told to do |
//! | `workspace`, `event_streams` | settings that are kept, shown and changed |
//! | `context` | what all of these share: the time, SIDs, the schedule, the record of misuse |
//!
//! The two sides meet in [`World`] only: a verb of a person is a few steps on one side and the other.
//!
//! What the rules are and how sure they are stands with each: "documented" means Twilio's own pages, "observed" a public
//! report, "assumed" neither.

mod agents;
mod call_action;
mod calls;
mod commands;
mod conferences;
mod context;
mod document;
mod event;
mod event_log;
mod event_streams;
mod list;
mod overdue;
mod recordings;
mod reply;
mod reservations;
mod rest;
mod sockets;
mod status;
mod streams;
mod task;
mod taskrouter;
mod taskrouter_rest;
mod tasks;
mod time;
mod transfer;
pub mod twiml;
mod view;
mod violation;
mod voice;
mod workspace;

pub use call_action::{CallAction, NewTask, RecordingAct};
pub(crate) use context::scramble;
pub use document::DocumentOrder;
pub use event::Event;
pub use event_log::EventQuery;
pub use event_streams::{EventStreams, Sink, SinkRequest, Subscription};
pub use list::{ListQuery, PageQuery};
pub use recordings::{Recorded, RecordedPath, RecordedSid, RecordingChange, RecordingReport, RecordingStatus};
pub use reply::{OpName, Reply};
pub use rest::{CallOrder, ParticipantChange, ParticipantOrder, Request, TwimlSource};
pub use sockets::{SocketFailure, SocketOrder, SocketTarget};
pub use streams::{StreamOrder, StreamReport};
pub use task::CallLess;
pub use taskrouter_rest::{TaskChange, TaskRouterRequest};
pub use transfer::{Mode, Target};
pub use view::{CallReport, Note, RequestRecord, Snapshot};
pub use violation::{Drop, Misuse, Violation};
pub use workspace::Workspace;

use crate::sim_config::{Ms, SimConfig};
use calls::{Line, Role};
use conferences::Entry;
use context::{Context, Effect, VoiceEffect};
use overdue::Overdue;
use status::ReservationStatus;
use std::collections::BTreeMap;
use task::TaskKind;
use taskrouter::TaskRouter;
use taskrouter_streams::call::sid::{
    AccountSid, CallSid, ConferenceSid, EventSid, ReservationSid, StreamSid, TaskSid, WorkerSid, WorkspaceSid,
};
use taskrouter_streams::twilio::twiml::{StreamVerb, Track};
use transfer::OfferFailure;
use view::RequestLog;
use voice::{Ended, Voice};

/// An action that makes no sense at this moment, such as accepting without an offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAction(pub String);

impl InvalidAction {
    const CUSTOMER_AWAY: &str = "the customer is not in the conference";

    fn customer_away() -> Self {
        Self(Self::CUSTOMER_AWAY.to_owned())
    }

    /// It makes sense once the customer is back, if a redirect took them out of the conference.
    pub(crate) fn is_customer_away(&self) -> bool {
        self.0 == Self::CUSTOMER_AWAY
    }
}

/// The whole of the simulated Twilio account.
#[derive(Debug)]
pub struct World {
    cx: Context,
    taskrouter: TaskRouter,
    voice: Voice,
    workspace: Workspace,
    event_streams: EventStreams,
    requests: RequestLog,
    /// Requests that lost their answers and are still to be carried out, by the numbers of their records.
    late: BTreeMap<usize, LateRequest>,
    overdue: Overdue,
}

/// A request that is carried out after its answer was lost.
#[derive(Debug)]
struct LateRequest {
    request: Request,
    path: String,
    sent_at: Ms,
}

impl World {
    /// An account with its agents, at rest, at the time `now`.
    pub fn new(config: SimConfig, account: AccountSid, workspace: WorkspaceSid, now: Ms) -> Self {
        let mut cx = Context::new(config, account, workspace, now);
        Self {
            taskrouter: TaskRouter::new(&mut cx),
            cx,
            voice: Voice::default(),
            workspace: Workspace::default(),
            event_streams: EventStreams::default(),
            requests: RequestLog::default(),
            late: BTreeMap::new(),
            overdue: Overdue::default(),
        }
    }

    /// Lets everything happen that is due by `now`, in order. A `now` in the past changes nothing.
    pub fn advance(&mut self, now: Ms) -> &mut Self {
        while let Some(effect) = self.cx.take_due(now) {
            self.judge();
            self.happen(effect);
        }
        self.cx.move_on(now);
        self.judge();
        self
    }

    fn judge(&mut self) {
        self.overdue.judge(&mut self.cx, &self.taskrouter, &mut self.voice);
    }

    /// When the next scheduled effect is due; `None` when nothing is on its way.
    pub fn next_due(&self) -> Option<Ms> {
        self.cx.next_due()
    }

    /// The world's clock.
    pub fn now(&self) -> Ms {
        self.cx.now()
    }

    /// Takes the events that Twilio wants to tell, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.cx.take_events()
    }

    /// The service has answered this event with 2xx: from now on it is supposed to know.
    pub fn acknowledged(&mut self, event: &EventSid) {
        self.taskrouter.acknowledged(event, self.cx.now());
    }

    fn happen(&mut self, effect: Effect) {
        match effect {
            Effect::Hold { task, hold } => {
                self.set_customer_hold(&task, hold);
            }
            Effect::Attributes { task } => self.write_attributes(&task, true),
            Effect::Land { number } => self.land(number),
            Effect::Voice(effect) => {
                let ended = self.voice.happen(&mut self.cx, effect);
                self.notice(ended);
            }
        }
    }

    fn after(&mut self, delay: Ms, effect: Effect) {
        if let Some(effect) = self.cx.after(delay, effect) {
            self.happen(effect);
        }
    }

    /// TaskRouter notices that legs have ended.
    fn notice(&mut self, ended: Ended) {
        for sid in ended.0 {
            let Some(call) = self.voice.calls.get(&sid) else { continue };
            let task = call.task.clone();
            match call.role.clone() {
                Role::Customer => {
                    for task in self.taskrouter.tasks.of(&sid) {
                        self.taskrouter.customer_gone(&mut self.cx, &task);
                    }
                }
                Role::Worker(reservation) => self.wrap_up(&task, &reservation),
                Role::Colleague | Role::External | Role::Supervisor | Role::Program => {}
            }
        }
    }

    fn hang_up(&mut self, call: &CallSid) {
        let ended = self.voice.hang_up(&mut self.cx, call);
        self.notice(ended);
    }

    fn wrap_up(&mut self, task: &TaskSid, sid: &ReservationSid) {
        let reservation = self.taskrouter.reservations().get(sid);
        if reservation.is_none_or(|found| found.status != ReservationStatus::Accepted) {
            return;
        }
        self.stop_own_stream(task, sid);
        let live = self.taskrouter.tasks.customer(task).is_some_and(|call| self.voice.calls.is_live(call));
        self.taskrouter.wrap_up(&mut self.cx, task, sid, live);
    }

    // What people do.

    /// A customer calls in: a voice task, offered to the first agent.
    pub fn customer_calls(&mut self) -> TaskSid {
        let task = self.taskrouter.create_task(&mut self.cx, TaskKind::Inbound);
        let line = Line::inbound(&self.cx.config.customer_address);
        self.create_customer(&task, line);
        self.taskrouter.announce(&mut self.cx, &task);
        task
    }

    /// A program makes a task with attributes of its own, a JSON object. It has no call.
    pub fn program_creates_task(&mut self, attributes: &str, priority: i64) -> TaskSid {
        let task = self.taskrouter.create_task(&mut self.cx, TaskKind::Program);
        self.taskrouter.tasks.give(&task, attributes, priority);
        self.taskrouter.announce(&mut self.cx, &task);
        task
    }

    fn create_customer(&mut self, task: &TaskSid, line: Line) -> CallSid {
        let call = self.voice.calls.create(&mut self.cx, task, task.as_str(), Role::Customer, line);
        self.taskrouter.tasks.set_customer(task, &call);
        call
    }

    /// A customer writes: a chat task, which has no call.
    pub fn customer_writes(&mut self) -> TaskSid {
        let task = self.taskrouter.create_task(&mut self.cx, TaskKind::Chat);
        self.taskrouter.announce(&mut self.cx, &task);
        task
    }

    /// An agent calls a customer from Flex's dial pad: accepted at once, the customer's leg comes with the answer.
    pub fn calls_out(&mut self, agent: &str) -> Result<TaskSid, InvalidAction> {
        let worker = self.taskrouter.agents.named(agent)?.sid.clone();
        let task = self.taskrouter.create_task(&mut self.cx, TaskKind::Outbound);
        self.taskrouter.tasks.offer_only_to(&task, worker);
        self.taskrouter.announce(&mut self.cx, &task);
        self.accepts(&task, agent)?;
        if self.cx.config.outbound_rings {
            let call = self.create_customer(&task, Line::outbound(CALLED_NUMBER));
            self.voice.ring(&mut self.cx, &call, task.as_str(), true);
        }
        Ok(task)
    }

    /// The customer of an outbound call picks up.
    pub fn customer_answers(&mut self, task: &TaskSid) -> Result<(), InvalidAction> {
        let found = self.taskrouter.task(task).filter(|task| task.kind == TaskKind::Outbound);
        let ringing = found.and_then(|task| task.customer.clone());
        let answered = ringing.as_ref().is_some_and(|call| self.voice.calls.is_answered(call));
        if found.is_none() || answered || self.voice.conferences.open(task.as_str()).is_none() {
            return Err(InvalidAction("no outbound call is ringing".to_owned()));
        }
        if let Some(call) = ringing {
            self.voice.answer(&mut self.cx, &call);
        } else {
            let call = self.create_customer(task, Line::outbound(CALLED_NUMBER));
            self.voice.join_customer(&mut self.cx, &call, 0);
        }
        // Observed: an outbound task's conference attributes come by task.updated.
        self.write_attributes(task, true);
        for reservation in self.taskrouter.reservations().with(task, ReservationStatus::Accepted) {
            self.start_own_stream(task, &reservation);
        }
        Ok(())
    }

    /// The customer hangs up.
    pub fn customer_hangs_up(&mut self, task: &TaskSid) -> Result<(), InvalidAction> {
        let customer = self.taskrouter.tasks.customer(task).cloned();
        let customer = customer.ok_or_else(|| InvalidAction("the task has no customer on the phone".to_owned()))?;
        self.hang_up(&customer);
        Ok(())
    }

    /// The task's conference is ended from outside, as by a supervisor. Nothing happens when there is none open.
    pub fn conference_ends(&mut self, task: &TaskSid) {
        let room = self.taskrouter.task(task).map_or(task.as_str(), |found| &found.room);
        if let Some(conference) = self.voice.conferences.open(room) {
            let ended = self.voice.end_conference(&mut self.cx, &conference, "conference-ended-via-api", None);
            self.notice(ended);
        }
    }

    /// An agent accepts an offer: the agent's leg joins the conference named by the TaskSid, the customer is moved in after it.
    pub fn accepts(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        let reservation = self.taskrouter.accept(task, agent)?;
        if self.taskrouter.task(task).is_some_and(|task| task.has_call()) {
            self.connect_agent(task, &reservation);
            self.start_own_stream(task, &reservation);
        }
        self.taskrouter.emit(&mut self.cx, task, "reservation.accepted", Some(&reservation));
        if self.taskrouter.finish_transfer(&mut self.cx, task) == Some(Mode::Cold) {
            // In Flex the transferee's browser un-holds the customer, for a cold transfer only (Flex's own bundle).
            self.after(self.cx.config.cold_unhold_ms, Effect::Hold { task: task.clone(), hold: false });
        }
        Ok(())
    }

    fn connect_agent(&mut self, task: &TaskSid, reservation: &ReservationSid) {
        let Some(found) = self.taskrouter.task(task) else { return };
        let (room, outbound) = (found.room.clone(), found.kind == TaskKind::Outbound);
        let line = Line::outbound(&format!("client:{}", self.taskrouter.agent_of(reservation)));
        let role = Role::Worker(reservation.clone());
        let leg = self.voice.calls.create(&mut self.cx, task, &room, role, line);
        let conference = self.voice.join(&mut self.cx, &leg, &room, Entry::guarded(true));
        let first = self.taskrouter.agent_joined(task, reservation, &leg, conference);
        let customer =
            self.taskrouter.tasks.customer(task).filter(|_| first).and_then(|call| self.voice.calls.get(call));
        if let Some(call) = customer {
            let joins = VoiceEffect::JoinCustomer { call: call.sid.clone(), generation: call.generation() };
            self.after(self.cx.config.customer_join_ms, Effect::Voice(joins));
        }
        let delay = self.cx.config.conference_attributes_ms;
        if self.cx.config.conference_attributes_missing || outbound && !self.cx.config.recorder_attributes {
            // An outbound task's come when the customer answers.
        } else if delay <= 0 {
            self.write_attributes(task, false);
        } else {
            self.after(delay, Effect::Attributes { task: task.clone() });
        }
    }

    fn write_attributes(&mut self, task: &TaskSid, announced: bool) {
        let customer = self.taskrouter.tasks.customer(task).filter(|call| self.voice.calls.is_answered(call)).cloned();
        self.taskrouter.write_attributes(&mut self.cx, task, customer, announced);
    }

    /// An agent rejects an offer.
    pub fn rejects(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.taskrouter.offer_failed(&mut self.cx, task, agent, OfferFailure::Rejected)
    }

    /// An agent lets an offer time out.
    pub fn times_out(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.taskrouter.offer_failed(&mut self.cx, task, agent, OfferFailure::TimedOut)
    }

    /// An agent's leg cannot be dialled: TaskRouter cancels the reservation.
    pub fn cannot_be_reached(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.taskrouter.offer_failed(&mut self.cx, task, agent, OfferFailure::Unreachable)
    }

    /// An agent transfers the task. The server holds the customer, in both modes (Twilio's own tests); cold, the
    /// transferor's leg then leaves, so that its wrapup comes before anybody has accepted.
    pub fn transfers(&mut self, task: &TaskSid, from: &str, target: &Target, mode: Mode) -> Result<(), InvalidAction> {
        let leg = self.live_leg(task, from)?;
        self.taskrouter.begin_transfer(&mut self.cx, task, from, target, mode)?;
        self.after(self.cx.config.transfer_hold_ms, Effect::Hold { task: task.clone(), hold: true });
        if mode == Mode::Cold {
            // Flex lowers its worker's guard before a cold transfer (its own bundle), so the customer stays.
            let conference = self.voice.conferences.of_mut(&leg);
            if let Some(row) = conference.and_then(|conference| conference.participant_mut(&leg)) {
                row.guard = false;
            }
            self.hang_up(&leg);
        }
        Ok(())
    }

    /// The transferor calls the transfer off.
    pub fn cancels_transfer(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.taskrouter.cancel_transfer(&mut self.cx, task, agent)
    }

    /// An agent puts the customer on hold, in Flex.
    pub fn holds(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.agent_sets_hold(task, agent, true)
    }

    /// An agent takes the customer off hold, in Flex.
    pub fn unholds(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.agent_sets_hold(task, agent, false)
    }

    fn agent_sets_hold(&mut self, task: &TaskSid, agent: &str, hold: bool) -> Result<(), InvalidAction> {
        self.live_leg(task, agent)?;
        if self.set_customer_hold(task, hold) {
            return Ok(());
        }
        Err(InvalidAction::customer_away())
    }

    /// Holds or un-holds the task's customer; false when the customer is in no conference.
    fn set_customer_hold(&mut self, task: &TaskSid, hold: bool) -> bool {
        let customer = self.taskrouter.tasks.customer(task);
        customer.is_some_and(|call| self.voice.conferences.set_hold(call, hold, self.cx.now()))
    }

    /// An agent hangs up: the reservation wraps up. An agent whose leg is over already stays so.
    pub fn leaves(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        let statuses = [ReservationStatus::Accepted, ReservationStatus::Wrapping];
        let found = self.taskrouter.reservation_of(task, agent, &statuses)?;
        let (sid, leg) = (found.sid.clone(), found.leg.clone());
        match leg {
            Some(leg) => self.hang_up(&leg),
            None => self.wrap_up(task, &sid),
        }
        Ok(())
    }

    /// An agent completes a reservation after wrapping up; with the last one the task completes.
    pub fn completes(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        self.taskrouter.complete(&mut self.cx, task, agent)
    }

    /// The leg with which an agent is in the conference now.
    fn live_leg(&self, task: &TaskSid, agent: &str) -> Result<CallSid, InvalidAction> {
        let found = self.taskrouter.reservation_of(task, agent, &[ReservationStatus::Accepted])?;
        let leg = found.leg.clone().filter(|leg| self.voice.conferences.of(leg).is_some());
        leg.ok_or_else(|| InvalidAction(format!("{agent} is not in the conference")))
    }

    // Others on the call, and other tasks.

    /// Something happens to the call of a task.
    pub fn happens(&mut self, task: &TaskSid, action: CallAction) -> Result<(), InvalidAction> {
        action.perform(self, task)
    }

    /// Another task comes. Some are about the call of the task `before`.
    pub fn comes(&mut self, new: &NewTask, before: Option<&TaskSid>) -> Result<TaskSid, InvalidAction> {
        new.come(self, before)
    }

    /// Every task about the customer of this one, itself included; newest first.
    pub fn tasks_on_call(&self, task: &TaskSid) -> Vec<TaskSid> {
        let customer = self.taskrouter.tasks.customer(task);
        let mut tasks = customer.map_or_else(|| vec![task.clone()], |call| self.taskrouter.tasks.of(call));
        tasks.reverse();
        tasks
    }

    // Streams.

    /// Where the simulator plays the service's part: what a service would ask for when an agent comes to the call.
    fn start_own_stream(&mut self, task: &TaskSid, reservation: &ReservationSid) {
        let call = self.taskrouter.tasks.customer(task).and_then(|call| self.voice.calls.get(call));
        let worker = self.taskrouter.reservations().get(reservation).map(|found| found.worker.clone());
        let (Some(url), Some(call), Some(worker)) = (self.cx.config.streams_by_itself.clone(), call, worker) else {
            return;
        };
        let parameters =
            [("workerSid", worker.as_str()), ("reservationSid", reservation.as_str()), ("taskSid", task.as_str())];
        let verb = StreamVerb {
            name: own_name(reservation),
            url,
            track: Track::BothTracks,
            parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            status_callback: None,
        };
        let sid: StreamSid = self.cx.mint(StreamSid::PREFIX);
        // What is refused shows as a violation.
        let _ = self.voice.streams.start(&mut self.cx, call, sid, verb, false);
    }

    /// The same when the agent leaves it.
    fn stop_own_stream(&mut self, task: &TaskSid, reservation: &ReservationSid) {
        if self.cx.config.streams_by_itself.is_some()
            && let Some(call) = self.taskrouter.tasks.customer(task)
        {
            // It may be over with the call already.
            let _ = self.voice.streams.stop(&mut self.cx, call, &own_name(reservation));
        }
    }

    /// The sockets of the next `times` streams fail like this.
    pub fn next_sockets_fail(&mut self, failure: SocketFailure, times: u32) {
        self.voice.streams.fail_next(failure, times);
    }

    /// The next `times` stops of streams, by whichever way, are answered as if they were carried out, and are not.
    pub fn ignore_next_stops(&mut self, times: u32) {
        self.voice.streams.ignore_next_stops(times);
    }

    /// The socket of an agent's newest running stream dies.
    pub fn socket_dies(&mut self, task: &TaskSid, agent: &str) -> Result<(), InvalidAction> {
        let worker = &self.taskrouter.agents.named(agent)?.sid;
        let customer = self.taskrouter.tasks.customer(task).into_iter();
        let mine = |stream: &&StreamReport| stream.worker.as_ref() == Some(worker);
        let stream = customer.flat_map(|call| self.voice.streams.running(call)).rfind(mine);
        let stream = stream.map(|stream| stream.sid.clone());
        let stream = stream.ok_or_else(|| InvalidAction(format!("no stream of {agent} is running")))?;
        self.voice.streams.cut(&mut self.cx, &stream);
        Ok(())
    }

    /// The socket of a stream is open.
    pub fn socket_opened(&mut self, stream: &StreamSid) {
        self.voice.streams.opened(&mut self.cx, stream);
    }

    /// The socket of a stream could not be opened, or is no more. The stream is over.
    pub fn socket_failed(&mut self, stream: &StreamSid, failure: SocketFailure) {
        self.voice.streams.failed(&mut self.cx, stream, failure);
        let ended = self.voice.resume(&mut self.cx);
        self.notice(ended);
    }

    /// Takes what the surroundings are to do with real sockets, oldest first.
    pub fn take_sockets(&mut self) -> Vec<SocketOrder> {
        self.voice.streams.take_orders()
    }

    // Requests, and what can be seen.

    /// The address at which the next requests ask, as in `http://127.0.0.1:4010`: absolute addresses in answers lead there.
    pub fn asked_at(&mut self, base: &str) -> &mut Self {
        base.clone_into(&mut self.cx.base);
        self
    }

    /// Refuses what Twilio has and the simulator has not; nothing is changed.
    pub fn not_simulated(&mut self, what: &str) -> Reply {
        self.cx.note(Note::NotSimulated { at: self.cx.now(), what: what.to_owned() });
        Reply::not_simulated(what)
    }

    /// Takes what TwiML is to be fetched, oldest first.
    pub fn take_documents(&mut self) -> Vec<DocumentOrder> {
        self.cx.take_documents()
    }

    /// TwiML has been fetched, or could not be. Without any the call ends, as Twilio's does after it has said so (documented).
    pub fn document_arrived(&mut self, order: &DocumentOrder, document: Result<String, String>) {
        let Self { cx, voice, .. } = self;
        if !voice.calls.get(&order.call).is_some_and(|call| call.is_at(order.generation)) {
            return;
        }
        let script = document.and_then(|text| match twiml::read(&text) {
            Ok(script) => Ok(Some(script)),
            Err(twiml::Unread::NotSimulated { what }) => {
                cx.note(Note::NotSimulated { at: cx.now(), what: what.to_owned() });
                Ok(None)
            }
            Err(unread) => Err(unread.to_string()),
        });
        let ended = match script {
            Ok(Some(script)) => voice.redirect(cx, &order.call, script),
            Ok(None) => Ended::default(),
            Err(reason) => {
                cx.note(Note::NoDocument { at: cx.now(), call: order.call.clone(), reason });
                voice.hang_up(cx, &order.call)
            }
        };
        self.notice(ended);
    }

    /// Performs a request that came for `path` and answers it.
    pub fn perform(&mut self, request: &Request, path: &str) -> Reply {
        request.perform(self, path)
    }

    /// Carries the request with this record out `delay` after now, when its answer is long lost.
    pub fn perform_later(&mut self, number: usize, request: Request, path: String, delay: Ms) {
        let sent_at = self.cx.now();
        self.late.insert(number, LateRequest { request, path, sent_at });
        self.after(delay, Effect::Land { number });
    }

    fn land(&mut self, number: usize) {
        let Some(LateRequest { request, path, sent_at }) = self.late.remove(&number) else { return };
        // It is judged by when it was sent: its sender could not take it back.
        self.cx.sent_at = Some(sent_at);
        request.perform(self, &path);
        self.cx.sent_at = None;
        self.requests.landed(number);
    }

    /// The task that a request is about, where that can be told.
    pub fn subject(&self, request: &Request) -> Option<TaskSid> {
        request.subject(self)
    }

    /// Notes that somebody asked for an endpoint that does not exist.
    pub fn unknown_endpoint(&mut self, target: &str) {
        self.cx.violated(Misuse::UnknownEndpoint { target: target.to_owned() });
    }

    /// Records a request and returns its number.
    pub fn record(&mut self, request: RequestRecord) -> usize {
        self.requests.push(request)
    }

    /// Completes a request's record.
    pub fn answered(&mut self, number: usize, status: Option<u16>, fault: Option<&'static str>, took_effect: bool) {
        if let Some(call) = self.requests.answered(number, status, fault, took_effect).filter(|_| fault.is_some())
            && let Some(customer) = self.taskrouter.tasks.customer(&call)
        {
            self.overdue.obstructed(customer, self.cx.now());
        }
    }

    /// Something went wrong on purpose that the service cannot help: what is overdue about this task's call gets more time.
    pub fn obstructed(&mut self, task: &TaskSid) {
        if let Some(customer) = self.taskrouter.task(task).and_then(|task| task.customer.as_ref()) {
            self.overdue.obstructed(customer, self.cx.now());
        }
    }

    /// Every REST request so far.
    pub fn requests(&self) -> &[RequestRecord] {
        self.requests.all()
    }

    /// Every misuse so far.
    pub fn violations(&self) -> &[Violation] {
        self.cx.violations()
    }

    /// Every piece of bad luck so far.
    pub fn notes(&self) -> &[Note] {
        self.cx.notes()
    }

    /// Every event of TaskRouter so far, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.taskrouter.log.events()
    }

    /// Moves what happened before the last event into the past, until each event has so long to the next.
    pub fn spread_events(&mut self, apart: Ms) {
        self.taskrouter.log.spread(apart);
    }

    /// What the workspace is set to, to look at or to change as in Twilio's Console.
    pub fn workspace(&mut self) -> &mut Workspace {
        &mut self.workspace
    }

    /// What Event Streams is set to, to look at or to change as in Twilio's Console.
    pub fn event_streams(&mut self) -> &mut EventStreams {
        &mut self.event_streams
    }

    /// The tasks, oldest first.
    pub fn tasks(&self) -> Vec<TaskSid> {
        self.taskrouter.tasks.all()
    }

    /// A task's conference, once there was one.
    pub fn conference(&self, task: &TaskSid) -> Option<ConferenceSid> {
        self.taskrouter.task(task)?.conference.clone()
    }

    /// An agent's SID.
    pub fn agent_sid(&self, name: &str) -> Option<WorkerSid> {
        self.taskrouter.agents.named(name).ok().map(|agent| agent.sid.clone())
    }

    /// The name of the agent with this SID.
    pub fn agent_name(&self, worker: &WorkerSid) -> Option<String> {
        self.taskrouter.agents.with(worker).map(|agent| agent.name.clone())
    }

    /// The leg of an agent's newest reservation of a task, which no command may touch.
    pub fn worker_leg(&self, task: &TaskSid, agent: &str) -> Option<CallSid> {
        let agent = self.taskrouter.agents.named(agent).ok()?;
        self.taskrouter.reservations().newest_of(task, &agent.sid)?.leg.clone()
    }

    /// A call at a glance; `None` for an unknown task.
    pub fn snapshot(&self, task: &TaskSid) -> Option<Snapshot> {
        Snapshot::of(self, task)
    }

    /// What a task's call went through so far; `None` for an unknown task.
    pub fn report(&self, task: &TaskSid) -> Option<CallReport> {
        CallReport::of(self, task)
    }
}

/// Whom an agent calls from the dial pad, as the attributes say it.
const CALLED_NUMBER: &str = "+15550100009";

/// The name of a stream that the simulator starts by itself.
fn own_name(reservation: &ReservationSid) -> String {
    format!("Stream_{reservation}")
}
