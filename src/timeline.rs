//! A call's timeline, one line per fact: what TaskRouter reported, what was done about it, why, and with which result.
//!
//! One renderer serves demo, tests and operators. It prints SIDs and times, never attributes or phone numbers.

use crate::call::fact::{
    CallAttributes, EpochMs, Fact, FactKind, Notice, Operated, OperatorAct, ParticipantChange, ParticipantEvent,
    ReservationChange, ReservationEvent, StreamChange, StreamEvent, TaskChange, TransferChange, TransferEvent,
    TransferMode, TransferTarget,
};
use crate::call::pause::{PauseOrigin, PauseScope, Paused, Resumed};
use crate::call::recording::{PausedRecording, RecordingStatus};
use crate::call::sid::{AccountSid, CallSid, ReservationSid};
use crate::call::step::{
    Answer, Assumed, CallStatus, Command, Goal, Guard, Operation, Outcome, ParticipantRow, Read, Settled, Step,
    StreamStart,
};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// A line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it happened, as far as we know: of a step when it was sent, else when the fact was journaled.
    pub at: EpochMs,
    /// Since the first fact.
    pub after_ms: i64,
    /// From when a step was sent until it settled. `None` for one that has not, and for everything else.
    pub took_ms: Option<i64>,
    /// The origin and the kind of result.
    pub kind: Kind,
    /// What happened, and for a step its result.
    pub text: String,
    /// The purpose of a step.
    pub why: Option<String>,
}

/// The origin of a line, and for a step the kind of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something happened at Twilio.
    Event,
    /// Twilio reported a stream's start or end.
    Stream,
    /// A stream failed or is unconfirmed.
    Warning,
    /// A step of ours that succeeded.
    Step,
    /// A step that shadow mode did not send.
    NotSent,
    /// A step of ours that failed.
    Failure,
    /// A change that was parked.
    Parked,
    /// An operator acted.
    Operator,
}

/// A call's facts as lines, oldest first. A step stands where it was sent, ahead of what it caused: Twilio may tell of a stream
/// before it answers.
pub fn lines(facts: &[Fact]) -> Vec<Line> {
    let mut story = Story::default();
    let began = facts.first().map_or(0, |fact| fact.at);
    let mut lines = Vec::new();
    for fact in facts {
        let (text, why) = story.tell(&fact.kind);
        if text.is_empty() {
            continue;
        }
        let sent_at = if let FactKind::Settled(settled) = &fact.kind { Some(settled.sent_at) } else { None };
        // A clock that was set back must not put a step ahead of the call.
        let at = sent_at.map_or(fact.at, |sent_at| sent_at.clamp(began, fact.at.max(began)));
        let took_ms = sent_at.map(|_| fact.at - at);
        lines.push(Line { at, after_ms: at - began, took_ms, kind: kind(&fact.kind), text, why });
    }
    lines.extend(story.unsettled(facts).map(|(at, text, why)| Line {
        at,
        after_ms: at - began,
        took_ms: None,
        kind: Kind::Step,
        text,
        why: Some(why),
    }));
    lines.sort_by_key(|line| line.at);
    lines
}

/// Agents under the names used in the lines, in the order in which they were offered the call.
pub fn agents(facts: &[Fact]) -> Vec<(ReservationSid, String)> {
    let mut story = Story::default();
    for fact in facts {
        story.tell(&fact.kind);
    }
    let mut agents: Vec<_> = story.agents.into_iter().collect();
    agents.sort_by_key(|(_, (place, _))| *place);
    agents.into_iter().map(|(reservation, (_, name))| (reservation, name)).collect()
}

/// A goal in the words of the lines, with agents under the names that `agent` gives them.
pub fn worded(goal: &Goal, agent: impl FnOnce(&ReservationSid) -> String) -> String {
    match (goal, goal.reservation()) {
        (Goal::Start(_), Some(reservation)) => format!("start {}'s stream", agent(&reservation)),
        (Goal::Stop(_), Some(reservation)) => format!("stop {}'s stream", agent(&reservation)),
        (_, _) => goal.to_string(),
    }
}

/// Renders a call's facts, oldest first, with times relative to the first.
pub fn render(facts: &[Fact]) -> String {
    let mut text = String::new();
    for line in lines(facts) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { after_ms, took_ms, kind, text, why, .. } = self;
        let mark = match kind {
            Kind::Event | Kind::Operator => "",
            Kind::Step | Kind::Failure => "  → ",
            Kind::NotSent => "  ⇢ ",
            Kind::Stream => "    ",
            Kind::Warning => "  ! ",
            Kind::Parked => "  ✗ PARKED: ",
        };
        write!(f, "{:>6}.{:03} s  {mark}{text}", after_ms / 1000, after_ms % 1000)?;
        if let Some(took) = took_ms {
            write!(f, " ({took} ms)")?;
        }
        match why {
            Some(why) => write!(f, "  [to {why}]"),
            None => Ok(()),
        }
    }
}

fn kind(what: &FactKind) -> Kind {
    match what {
        FactKind::Reservation(_) | FactKind::Task(_) | FactKind::Transfer(_) | FactKind::Participant(_) => Kind::Event,
        FactKind::Begun(_) => Kind::Step,
        FactKind::Settled(settled) => match settled.outcome {
            Outcome::Done(_) if settled.assumed == Some(Assumed::NotSent) => Kind::NotSent,
            Outcome::Done(_) => Kind::Step,
            Outcome::NotFound(_)
            | Outcome::NotInProgress(_)
            | Outcome::TryLater(_)
            | Outcome::Unknown(_)
            | Outcome::Denied(_)
            | Outcome::Refused(_) => Kind::Failure,
        },
        FactKind::Parked(_) => Kind::Parked,
        FactKind::Stream(event) => match event.change {
            StreamChange::Started | StreamChange::Stopped => Kind::Stream,
            StreamChange::Error => Kind::Warning,
        },
        FactKind::Noticed(
            Notice::LegStayed { .. }
            | Notice::RedirectVoid
            | Notice::NoCall
            | Notice::PauseProven { .. }
            | Notice::OnHold
            | Notice::OffHold,
        )
        | FactKind::Recovered(_) => Kind::Event,
        FactKind::Noticed(_) => Kind::Warning,
        FactKind::Paused(Paused { by, .. }) | FactKind::Resumed(Resumed { by, .. }) => match by {
            PauseOrigin::Operator(_) => Kind::Operator,
            PauseOrigin::TaskAttribute | PauseOrigin::SignedRequest | PauseOrigin::Expiry => Kind::Event,
        },
        FactKind::Redriven | FactKind::Dismissed | FactKind::Operated(_) => Kind::Operator,
        FactKind::Unparked => Kind::Event,
    }
}

/// The names of the agents: A, B, C … in the order in which they were offered the call.
#[derive(Default)]
struct Story {
    agents: BTreeMap<ReservationSid, (usize, String)>,
    customer: Option<CallSid>,
    account: Option<AccountSid>,
}

impl Story {
    /// What happened, and for a step its purpose.
    fn tell(&mut self, what: &FactKind) -> (String, Option<String>) {
        match (&self.account, what.account()) {
            (Some(own), Some(account)) if own != account => {
                return (format!("ignored: an event of {account}, which does not own this call"), None);
            }
            (None, Some(account)) => self.account = Some(account.clone()),
            (Some(_) | None, _) => {}
        }
        if let Some(CallAttributes { customer, call_sid, .. }) = what.task_view().map(|view| &view.attributes) {
            self.customer = customer.clone().or_else(|| call_sid.clone()).or_else(|| self.customer.take());
        }
        let text = match what {
            FactKind::Reservation(event) => self.reservation(event),
            FactKind::Task(event) => match event.change {
                TaskChange::Created => "the task is created".to_owned(),
                TaskChange::Updated => "the task is updated".to_owned(),
                TaskChange::Wrapup => "the task is wrapping up".to_owned(),
                TaskChange::Completed => "the task is completed".to_owned(),
                TaskChange::Canceled => "the task is cancelled".to_owned(),
                TaskChange::Deleted | TaskChange::SystemDeleted => "the task is deleted".to_owned(),
            },
            FactKind::Transfer(event) => self.transfer(event),
            FactKind::Begun(_) => String::new(),
            FactKind::Settled(settled) => return self.settled(settled),
            FactKind::Parked(parked) => format!("{}: {}", self.goal(&parked.goal), parked.reason),
            FactKind::Recovered(goal) => format!("no longer parked: {}", self.goal(goal)),
            FactKind::Noticed(notice) => noticed(notice),
            FactKind::Stream(event) => stream(event),
            FactKind::Participant(event) => self.participant(event),
            FactKind::Operated(Operated { act: OperatorAct::Redrive, by }) => {
                format!("operator {by} redrives the call")
            }
            FactKind::Operated(Operated { act: OperatorAct::Dismiss, by }) => {
                format!("operator {by} dismisses the parked changes")
            }
            FactKind::Paused(paused) => self.paused(paused),
            FactKind::Resumed(Resumed { id, by }) => format!("{} resumes {id}", origin(by)),
            FactKind::Redriven => "an operator redrives the call".to_owned(),
            FactKind::Dismissed => "an operator dismisses the parked changes".to_owned(),
            FactKind::Unparked => "no change is parked any more".to_owned(),
        };
        (text, None)
    }

    fn agent(&mut self, reservation: &ReservationSid) -> String {
        let place = self.agents.len();
        let next = || (place, format!("agent {}", letter(place)));
        self.agents.entry(reservation.clone()).or_insert_with(next).1.clone()
    }

    fn paused(&mut self, paused: &Paused) -> String {
        let Paused { id, scope, reason, by, .. } = paused;
        let whose = match scope {
            PauseScope::Reservation(reservation) => format!("{}'s streams", self.agent(reservation)),
            PauseScope::Call => "the streams of the call".to_owned(),
        };
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{} pauses {whose}{reason}: {id}", origin(by))
    }

    fn participant(&self, event: &ParticipantEvent) -> String {
        let is_customer = Some(&event.call) == self.customer.as_ref();
        let who = if is_customer { "the customer" } else { event.call.as_str() };
        match event.change {
            ParticipantChange::Hold => format!("{who} is put on hold, by an event"),
            ParticipantChange::Unhold => format!("{who} is taken off hold, by an event"),
        }
    }

    fn reservation(&mut self, event: &ReservationEvent) -> String {
        let known = self.agents.contains_key(&event.reservation);
        let agent = self.agent(&event.reservation);
        let verb = match event.change {
            ReservationChange::Created => "is offered the call",
            ReservationChange::Accepted => "accepts",
            ReservationChange::Wrapup => "leaves the call and wraps up",
            ReservationChange::Completed => "completes",
            ReservationChange::Rejected => "rejects",
            ReservationChange::Timeout => "does not answer in time",
            ReservationChange::Canceled => "is no longer offered the call",
            ReservationChange::Rescinded => "is no longer offered the call: another agent was faster",
            ReservationChange::Failed => "cannot be reached",
        };
        let who = match (&event.worker, known) {
            (Some(worker), false) => format!(" ({worker}, {})", event.reservation),
            (Some(_) | None, _) => String::new(),
        };
        format!("{agent} {verb}{who}")
    }

    fn transfer(&mut self, event: &TransferEvent) -> String {
        let mode = match event.mode {
            Some(TransferMode::Warm) => "warm ",
            Some(TransferMode::Cold) => "cold ",
            None => "",
        };
        let to = match event.to {
            Some(TransferTarget::Worker(_)) => " to a worker",
            Some(TransferTarget::Queue(_)) => " to a queue",
            None => "",
        };
        match event.change {
            TransferChange::Initiated => format!("a {mode}transfer{to} begins"),
            TransferChange::AttemptFailed => format!("the {mode}transfer{to} moves on to the next agent"),
            TransferChange::Failed => format!("the {mode}transfer{to} fails"),
            TransferChange::Canceled => format!("the {mode}transfer{to} is cancelled"),
            TransferChange::Completed => format!("the {mode}transfer{to} is completed"),
        }
    }

    fn goal(&mut self, goal: &Goal) -> String {
        worded(goal, |reservation| self.agent(reservation))
    }

    fn settled(&mut self, settled: &Settled) -> (String, Option<String>) {
        let asked = self.operation(&settled.step.operation);
        let ended = self.ending(&settled.outcome);
        let why = self.why(&settled.step);
        let text = match (settled.assumed, &settled.outcome) {
            (Some(Assumed::NotSent), Outcome::Done(_)) => format!("would {asked}"),
            (Some(Assumed::NotSent), _) => format!("would {asked}: {ended}"),
            (Some(Assumed::Seen { .. }), _) => format!("{asked}: {ended}, as it would be"),
            (None, _) => format!("{asked}: {ended}"),
        };
        (text, Some(why))
    }

    /// Commands that were begun and have not settled: when, which, and to what end.
    fn unsettled<'a>(&'a mut self, facts: &'a [Fact]) -> impl Iterator<Item = (EpochMs, String, String)> + 'a {
        let is_settled = |step: &Step| {
            facts.iter().any(|fact| matches!(&fact.kind, FactKind::Settled(settled) if settled.step.id == step.id))
        };
        let begun = facts.iter().filter_map(|fact| {
            let FactKind::Begun(step) = &fact.kind else { return None };
            Some((fact.at, step))
        });
        begun.filter(move |(_, step)| !is_settled(step)).map(move |(at, step)| {
            let text = format!("{}: begun, not settled yet", self.operation(&step.operation));
            (at, text, self.why(step))
        })
    }

    fn why(&mut self, step: &Step) -> String {
        let why: Vec<String> = step.why.iter().map(|goal| self.goal(goal)).collect();
        why.join(" and to ")
    }

    fn operation(&mut self, operation: &Operation) -> String {
        match operation {
            Operation::Read(Read::Task { .. }) => "read the task".to_owned(),
            Operation::Read(Read::FindConference { .. }) => "look for the conference".to_owned(),
            Operation::Read(Read::Conference { .. }) => "read the conference".to_owned(),
            Operation::Read(Read::Participants { .. }) => "read who is in the conference".to_owned(),
            Operation::Read(Read::Call { .. }) => "read the call".to_owned(),
            Operation::Read(Read::Recordings { of }) => format!("list the recordings of {}", of.kind().as_str()),
            Operation::Command(command) => self.command(command),
        }
    }

    fn command(&mut self, command: &Command) -> String {
        match command {
            Command::UpdateCustomer { guard, hold, .. } => {
                let guard = guard.map(|guard| match guard {
                    Guard::Lowered => "lower the guard",
                    Guard::Raised => "raise the guard",
                });
                let hold = hold.map(|hold| if hold { "hold the customer" } else { "take the customer off hold" });
                guard.into_iter().chain(hold).collect::<Vec<_>>().join(" and ")
            }
            Command::Redirect { stop, start, .. } => {
                let stops = stop.iter().map(|name| format!("stop {name}"));
                let starts = start.iter().map(|start| self.start(start));
                let verbs: Vec<String> = stops.chain(starts).collect();
                format!("redirect the customer: {}, dial back in without a beep", verbs.join(", "))
            }
            Command::CreateStream { stream, .. } => format!("{} without touching the call", self.start(stream)),
            Command::StopStream { name, .. } => format!("stop {name} without touching the call"),
            Command::PauseRecording { of, .. } => format!("pause the recording of {}", of.kind().as_str()),
            Command::ResumeRecording { of, .. } => format!("resume the recording of {}", of.kind().as_str()),
            Command::EndConference { .. } => "end the conference that the customer has left".to_owned(),
        }
    }

    fn start(&mut self, start: &StreamStart) -> String {
        let slot = letter(start.slot);
        let agent = self.agent(&start.reservation);
        let altered = match start.altered.as_slice() {
            [] => String::new(),
            names => format!(" (shortened or cleaned for Twilio: {})", names.join(", ")),
        };
        format!("start {} on destination {slot} for {agent}{altered}", start.name)
    }

    fn ending(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Done(Answer::Participants(rows)) => {
                let connected = rows.iter().filter(|row| row.connected).count();
                let customer = rows.iter().find(|row| Some(&row.call) == self.customer.as_ref());
                format!("{connected} connected, {}", customer.map_or("the customer absent".to_owned(), seen))
            }
            Outcome::Done(Answer::Participant(ParticipantRow { hold, .. })) => match hold {
                Some(true) => "taken; the customer is held".to_owned(),
                Some(false) | None => "taken".to_owned(),
            },
            Outcome::Done(Answer::Conference(None)) => "none in progress".to_owned(),
            Outcome::Done(Answer::Conference(Some(row))) => {
                if row.in_progress {
                    "in progress".to_owned()
                } else {
                    "not in progress".to_owned()
                }
            }
            Outcome::Done(Answer::Task(_)) => "read".to_owned(),
            Outcome::Done(Answer::Accepted | Answer::Stream(_) | Answer::Recording(_)) => "taken".to_owned(),
            Outcome::Done(Answer::Recordings(rows)) => {
                let count = |status| rows.iter().filter(|row| row.status == status).count();
                let (running, paused) = (count(RecordingStatus::InProgress), count(RecordingStatus::Paused));
                format!("{running} in progress, {paused} paused")
            }
            Outcome::Done(Answer::Call(row)) => match row.status {
                CallStatus::Coming => "not answered yet".to_owned(),
                CallStatus::Live => "in progress".to_owned(),
                CallStatus::Over => "over".to_owned(),
            },
            Outcome::NotFound(_) => "not known to Twilio".to_owned(),
            Outcome::NotInProgress(_) => "the call is not in progress".to_owned(),
            Outcome::TryLater(trouble) => format!("not taken ({})", trouble.reason),
            Outcome::Unknown(trouble) => format!("outcome unknown ({})", trouble.reason),
            Outcome::Denied(trouble) | Outcome::Refused(trouble) => format!("refused ({})", trouble.reason),
        }
    }
}

/// A, B, C … for agents and for destinations.
pub fn letter(place: usize) -> char {
    char::from(b'A' + u8::try_from(place % 26).unwrap_or(0))
}

fn noticed(notice: &Notice) -> String {
    match notice {
        Notice::PauseProven { id, stops, recordings } => {
            let stops: Vec<String> =
                stops.iter().map(|stop| format!("; {} is over: {}", stop.name, stop.by.as_str())).collect();
            let recordings = recordings.as_deref().map(paused_recordings).unwrap_or_default();
            format!("{id} is proven: no stream within it runs{}{recordings}", stops.concat())
        }
        Notice::PauseUnproven { id } => format!("{id} is NOT proven: audio may still leave or be recorded"),
        Notice::PauseOverdue { id } => format!("the time of {id} is up, and it stays"),
        Notice::GuardLeft { call } => format!("{call} was the customer's leg, and its guard STAYS lowered"),
        Notice::OnHold => "the customer is on hold: streams with on_hold = \"stop\" rest".to_owned(),
        Notice::OffHold => "the customer is off hold: streams that rested start again".to_owned(),
        Notice::NoCall => "no call is found for the task".to_owned(),
        Notice::StartUnproven { name, replace: false } => format!("nothing is heard of {name}: is its socket open?"),
        Notice::StartUnproven { name, replace: true } => {
            format!("nothing is heard of {name}: it is stopped, and another one started")
        }
        Notice::StopUnproven { name } => format!("{name} was stopped twice, and Twilio does not say that it is over"),
        Notice::RedirectVoid => "the redirect whose answer was lost never happened".to_owned(),
        Notice::LegMoved { name } => format!("the customer's leg MOVED when {name} was started"),
        Notice::LegStayed { name } => format!("the customer's leg stayed where it was when {name} was started"),
        Notice::LegUnverified { name } => format!("whether the leg stayed when {name} was started could not be read"),
    }
}

fn paused_recordings(recordings: &[PausedRecording]) -> String {
    let paused =
        |row: &PausedRecording| format!("; {} of {} is paused: {}", row.sid, row.of.kind().as_str(), row.by.as_str());
    if recordings.is_empty() { "; no recording to pause".to_owned() } else { recordings.iter().map(paused).collect() }
}

/// Who pauses or resumes.
pub fn origin(by: &PauseOrigin) -> String {
    match by {
        PauseOrigin::TaskAttribute => "the task's attribute".to_owned(),
        PauseOrigin::SignedRequest => "a signed request".to_owned(),
        PauseOrigin::Operator(Some(name)) => format!("operator {name}"),
        PauseOrigin::Operator(None) => "an operator".to_owned(),
        PauseOrigin::Expiry => "the end of its time".to_owned(),
    }
}

fn stream(event: &StreamEvent) -> String {
    let StreamEvent { name, change, error, .. } = event;
    match (change, error) {
        (StreamChange::Started, _) => format!("{name} has begun"),
        (StreamChange::Stopped, _) => format!("{name} has ended"),
        (StreamChange::Error, Some(code)) => format!("{name} has failed (Twilio error {code})"),
        (StreamChange::Error, None) => format!("{name} has failed"),
    }
}

fn seen(customer: &ParticipantRow) -> String {
    let guard = match customer.guard {
        Some(Guard::Lowered) => "guard lowered",
        Some(Guard::Raised) => "guard raised",
        None => "guard unknown",
    };
    let hold = if customer.hold == Some(true) { ", held" } else { "" };
    format!("{guard}{hold}")
}
