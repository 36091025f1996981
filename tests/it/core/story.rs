//! A call told from both sides: TaskRouter's events, and a Twilio of a few lines that answers the steps.

use taskrouter_streams::call::fact::{
    CallAttributes, EventStamp, Fact, FactKind, Parked, ReservationChange, ReservationEvent, StreamChange, StreamEvent,
    TaskChange, TaskEvent, TaskStatus, TaskView, TransferChange, TransferEvent, TransferMode,
};
use taskrouter_streams::call::pause::OnExpiry;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::recording::{Recorded, RecordingRow, RecordingStatus};
use taskrouter_streams::call::rules::{Destination, Fields, OnHold};
use taskrouter_streams::call::sid::{CallSid, RecordingSid, ReservationSid, TaskSid, WorkerSid};
use taskrouter_streams::call::step::{
    Answer, CallRow, CallStatus, Command, ConferenceRow, Guard, Operation, Outcome, ParticipantRow, Read, Role,
    Settled, Step, StreamStart, Trouble,
};
use taskrouter_streams::call::{Around, Call, Neighbour, Next, Policy};

pub(super) const START: i64 = 1_700_000_000_000;

/// A call that need not be looked at for this long is at rest: longer than any retry before a goal is parked, and less than
/// the guard's watch takes.
const REST_MS: i64 = 10_000;

/// The program's defaults, but for the strategy, and with no start checked.
pub(crate) fn policy() -> Policy {
    Policy {
        strategy: Strategy::Redirect,
        channels: vec!["voice".to_owned()],
        outbound: false,
        outbound_wait_ms: 60_000,
        destinations: vec![
            Destination { tracks: 2, parameters: Vec::new(), confirms: false, on_hold: OnHold::Stream };
            2
        ],
        rules: Vec::new(),
        track_budget: 4,
        name_prefix: "Stream_".to_owned(),
        verify_guard_ms: 3_000,
        rejoin_ms: 10_000,
        doubt_ms: 1_000,
        landing_ms: 5_000,
        poll_ms: vec![0, 50, 100, 200],
        reading_max_age_ms: 1_000,
        retry_first_ms: 100,
        retry_cap_ms: 5_000,
        give_up_ms: 30_000,
        slow_retry_ms: 30_000,
        end_grace_ms: 1_000,
        confirm_ms: 10_000,
        restart_ms: 1_000,
        restart_cap_ms: 15_000,
        restart_limit: 5,
        verify_per_mille: 0,
        quiet_ms: 3_600_000,
        watch_ms: 12_000,
        hold_poll_ms: 0,
        pause_confirm_ms: 2_000,
        pause_max_ms: 900_000,
        pause_on_expiry: OnExpiry::Stay,
        pause_recording: false,
    }
}

pub(super) fn sid<T: std::str::FromStr>(prefix: &str, number: u32) -> T {
    format!("{prefix}{number:032x}").parse().ok().unwrap()
}

pub(super) fn task() -> TaskSid {
    sid("WT", 1)
}

pub(super) fn customer() -> CallSid {
    sid("CA", 1)
}

pub(super) fn reservation(number: u32) -> ReservationSid {
    sid("WR", number)
}

pub(super) fn worker(number: u32) -> WorkerSid {
    sid("WK", number)
}

/// The name of the first stream of a reservation.
pub(super) fn name(of_worker: u32, of_reservation: u32) -> String {
    format!("Stream_{}_{}", worker(of_worker), reservation(of_reservation))
}

pub(super) fn view(status: TaskStatus, version: u64) -> TaskView {
    TaskView {
        account: None,
        task: task(),
        channel: Some("voice".to_owned()),
        version: Some(version),
        status: Some(status),
        attributes: CallAttributes {
            customer: Some(customer()),
            conference: Some(sid("CF", 1)),
            ..CallAttributes::default()
        },
        fields: Fields::new(),
    }
}

pub(super) fn reservation_event(at: i64, change: ReservationChange, number: u32, by: u32, task: TaskView) -> FactKind {
    FactKind::Reservation(ReservationEvent {
        stamp: EventStamp { sid: None, at },
        change,
        reservation: reservation(number),
        worker: Some(worker(by)),
        version: None,
        worker_fields: Fields::new(),
        task,
    })
}

pub(super) fn transfer_event(at: i64, change: TransferChange, number: u32, task: TaskView) -> FactKind {
    transfer_event_as(at, change, number, None, task)
}

pub(super) fn transfer_event_as(
    at: i64,
    change: TransferChange,
    number: u32,
    mode: Option<TransferMode>,
    task: TaskView,
) -> FactKind {
    FactKind::Transfer(TransferEvent {
        stamp: EventStamp { sid: None, at },
        change,
        transfer: Some(sid("TT", number)),
        mode,
        initiating_reservation: None,
        to: None,
        task,
    })
}

pub(super) fn task_event(at: i64, change: TaskChange, task: TaskView) -> FactKind {
    FactKind::Task(TaskEvent { stamp: EventStamp { sid: None, at }, change, task })
}

pub(super) fn stream_event(at: i64, name: &str, stream: u32, change: StreamChange) -> FactKind {
    let error = (change == StreamChange::Error).then_some(31_921);
    FactKind::Stream(StreamEvent {
        account: None,
        at,
        call: customer(),
        stream: sid("MZ", stream),
        name: name.to_owned(),
        change,
        error,
    })
}

pub(super) fn trouble(status: Option<u16>) -> Trouble {
    Trouble { status, code: None, reason: "it did not work".to_owned(), retry_after_ms: None, lost: false }
}

/// No answer came, so that the request may still be carried out.
pub(super) fn lost_answer() -> Outcome {
    Outcome::Unknown(Trouble { lost: true, ..trouble(None) })
}

/// Twilio's own 404.
pub(super) fn not_found() -> Outcome {
    Outcome::NotFound(Trouble { code: Some(20_404), ..trouble(Some(404)) })
}

/// Twilio's 21220.
pub(super) fn not_in_progress() -> Outcome {
    Outcome::NotInProgress(Trouble { code: Some(21_220), ..trouble(Some(400)) })
}

/// What a reading of a leg answers.
pub(super) fn call_is(status: CallStatus) -> Outcome {
    Outcome::Done(Answer::Call(CallRow { status, inbound: true, client: false }))
}

pub(super) fn row(call: CallSid) -> ParticipantRow {
    ParticipantRow {
        call,
        guard: Some(Guard::Raised),
        hold: Some(false),
        connected: true,
        date_created: Some("join 0".to_owned()),
        role: Role::Unsaid,
    }
}

/// What Twilio would answer from.
pub(super) struct World {
    pub(super) customer: ParticipantRow,
    pub(super) agents: usize,
    /// How often the customer has come back: their row's age.
    pub(super) joined: u32,
    /// How many streams were created by their resource.
    pub(super) created: u32,
    /// How far the customer's call has come.
    pub(super) call: CallStatus,
    /// Whether the customer called.
    pub(super) inbound: bool,
    /// The task's, when they are asked for.
    pub(super) attributes: CallAttributes,
    /// Of the leg and of the conference.
    pub(super) recordings: Vec<(Recorded, RecordingRow)>,
}

impl World {
    pub(super) fn rows(&self) -> Vec<ParticipantRow> {
        let agent =
            |number| ParticipantRow { call: sid("CA", 100 + number), role: Role::Other, ..self.customer.clone() };
        let agents = (0..u32::try_from(self.agents).unwrap()).map(agent);
        std::iter::once(self.customer.clone()).chain(agents).collect()
    }

    pub(super) fn perform(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Read(read) => self.read(read),
            Operation::Command(command) => self.command(command),
        }
    }

    /// How a recording stands.
    pub(super) fn recording(&mut self, recording: &RecordingSid) -> &mut RecordingStatus {
        let found = self.recordings.iter_mut().find(|(_, row)| row.sid == *recording);
        &mut found.unwrap().1.status
    }

    fn change_recording(&mut self, recording: &RecordingSid, status: RecordingStatus) -> Answer {
        *self.recording(recording) = status;
        Answer::Recording(RecordingRow { sid: recording.clone(), status })
    }

    fn read(&self, read: &Read) -> Outcome {
        let conference =
            ConferenceRow { sid: sid("CF", 1), friendly_name: task().to_string(), in_progress: true, to_come: false };
        match read {
            Read::Task { .. } => Outcome::Done(Answer::Task(self.attributes.clone())),
            Read::FindConference { .. } | Read::Conference { .. } => {
                Outcome::Done(Answer::Conference(Some(conference)))
            }
            Read::Participants { .. } => Outcome::Done(Answer::Participants(self.rows())),
            Read::Call { .. } => {
                let row = CallRow { status: self.call, inbound: self.inbound, client: false };
                Outcome::Done(Answer::Call(row))
            }
            Read::Recordings { of } => {
                let listed = self.recordings.iter().filter(|(recorded, _)| recorded == of);
                Outcome::Done(Answer::Recordings(listed.map(|(_, row)| row.clone()).collect()))
            }
        }
    }

    fn command(&mut self, command: &Command) -> Outcome {
        Outcome::Done(match command {
            Command::UpdateCustomer { guard, hold, .. } => {
                let held = hold.unwrap_or(self.customer.hold == Some(true));
                self.customer.hold = Some(held);
                if !held && guard.is_some() {
                    self.customer.guard = *guard;
                }
                Answer::Participant(ParticipantRow { guard: guard.or(self.customer.guard), ..self.customer.clone() })
            }
            Command::Redirect { guard, .. } => {
                self.joined += 1;
                self.customer.date_created = Some(format!("join {}", self.joined));
                self.customer.guard = Some(*guard);
                self.customer.hold = Some(false);
                Answer::Accepted
            }
            Command::CreateStream { .. } => {
                self.created += 1;
                Answer::Stream(sid("MZ", self.created))
            }
            Command::PauseRecording { recording, .. } => self.change_recording(recording, RecordingStatus::Paused),
            Command::ResumeRecording { recording, .. } => self.change_recording(recording, RecordingStatus::InProgress),
            Command::StopStream { .. } | Command::EndConference { .. } => Answer::Accepted,
        })
    }
}

/// A call, its time and its world.
pub(super) struct Story {
    pub(super) call: Call,
    pub(super) facts: Vec<Fact>,
    pub(super) now: i64,
    pub(super) policy: Policy,
    pub(super) world: World,
    /// Other tasks on the leg.
    pub(super) neighbours: Vec<Neighbour>,
    /// The next start is checked.
    pub(super) verify: bool,
    version: u64,
}

impl Story {
    pub(super) fn new() -> Self {
        let world = World {
            customer: row(customer()),
            agents: 1,
            joined: 0,
            created: 0,
            call: CallStatus::Live,
            inbound: true,
            attributes: view(TaskStatus::Assigned, 1).attributes,
            recordings: Vec::new(),
        };
        let (call, facts, neighbours) = (Call::default(), Vec::new(), Vec::new());
        Self { call, facts, now: START, policy: policy(), world, neighbours, verify: false, version: 0 }
    }

    /// The same by the other strategy.
    pub(super) fn by_api() -> Self {
        let mut story = Self::new();
        story.policy.strategy = Strategy::StreamsApi;
        story
    }

    /// By the other strategy: of two agents the first has left, and the stop of their stream was sent, at the time that is
    /// returned, and its answer lost.
    pub(super) fn with_a_lost_stop() -> (Self, i64) {
        let mut story = Self::by_api();
        story.accepted(1, 1);
        story.accepted(2, 2);
        story.run();
        story.left(1, 1);
        let stop = story.step();
        let sent = story.now;
        story.begin(&stop);
        story.settle(stop, lost_answer());
        (story, sent)
    }

    /// By the other strategy, with status callbacks.
    pub(super) fn confirming() -> Self {
        let mut story = Self::by_api();
        story.policy.destinations.iter_mut().for_each(|destination| destination.confirms = true);
        story
    }

    /// A call whose first agent has their stream.
    pub(super) fn streaming() -> Self {
        let mut story = Self::new();
        story.accepted(1, 1);
        story.run();
        assert_eq!(story.live(), [name(1, 1)]);
        story
    }

    pub(super) fn learn(&mut self, what: FactKind) {
        let fact = Fact { at: self.now, kind: what };
        self.call.apply(&fact);
        self.facts.push(fact);
    }

    fn view(&mut self, status: TaskStatus) -> TaskView {
        self.now += 1;
        self.version += 1;
        view(status, self.version)
    }

    pub(super) fn reservation(&mut self, change: ReservationChange, number: u32, by: u32, status: TaskStatus) {
        let view = self.view(status);
        self.learn(reservation_event(self.now, change, number, by, view));
    }

    pub(super) fn accepted(&mut self, number: u32, by: u32) {
        self.reservation(ReservationChange::Accepted, number, by, TaskStatus::Assigned);
    }

    /// An agent leaves while the task goes on.
    pub(super) fn left(&mut self, number: u32, by: u32) {
        self.reservation(ReservationChange::Wrapup, number, by, TaskStatus::Assigned);
    }

    pub(super) fn task(&mut self, change: TaskChange, status: TaskStatus) {
        let view = self.view(status);
        self.learn(task_event(self.now, change, view));
    }

    pub(super) fn transfer(&mut self, change: TransferChange, number: u32) {
        let view = self.view(TaskStatus::Assigned);
        self.learn(transfer_event(self.now, change, number, view));
    }

    pub(super) fn transfer_as(&mut self, change: TransferChange, number: u32, mode: TransferMode) {
        let view = self.view(TaskStatus::Assigned);
        self.learn(transfer_event_as(self.now, change, number, Some(mode), view));
    }

    pub(super) fn next(&self) -> Next {
        self.call.next(self.now, &self.policy, Around { neighbours: &self.neighbours, verify: self.verify })
    }

    /// The next step; time passes until it is due, and what is reported on the way is learned.
    pub(super) fn step(&mut self) -> Step {
        for _ in 0..100 {
            match self.next() {
                Next::Do(step) => return step,
                Next::WaitUntil(at) => {
                    assert!(at > self.now);
                    self.now = at;
                }
                Next::Report(kind) => self.learn(kind),
                next @ (Next::Park(_) | Next::Idle | Next::Over) => panic!("no step, but {next:?}"),
            }
        }
        panic!("it only ever waits");
    }

    pub(super) fn begin(&mut self, step: &Step) {
        if step.operation.command().is_some() {
            self.learn(FactKind::Begun(step.clone()));
        }
    }

    pub(super) fn settle(&mut self, step: Step, outcome: Outcome) {
        let sent_at = self.now;
        self.now += 10;
        self.learn(FactKind::Settled(Settled { step, sent_at, outcome, request_id: None, assumed: None }));
    }

    /// Performs one step as the world answers.
    pub(super) fn perform(&mut self, step: Step) {
        self.begin(&step);
        let outcome = self.world.perform(&step.operation);
        self.settle(step, outcome);
    }

    /// Performs one step with this answer, or as the world answers.
    fn perform_answered(&mut self, step: Step, answer: impl Fn(&Operation) -> Option<Outcome>) {
        match answer(&step.operation) {
            Some(outcome) => {
                self.begin(&step);
                self.settle(step, outcome);
            }
            None => self.perform(step),
        }
    }

    /// Performs steps until a redirect is next.
    pub(super) fn until_redirect(&mut self) -> Step {
        for _ in 0..30 {
            let step = self.step();
            if matches!(step.operation, Operation::Command(Command::Redirect { .. })) {
                return step;
            }
            self.perform(step);
        }
        panic!("no redirect came");
    }

    /// Performs steps until nothing is left to do, and returns them in words.
    pub(super) fn run(&mut self) -> Vec<String> {
        self.run_to_end().0
    }

    pub(super) fn run_to_end(&mut self) -> (Vec<String>, Vec<Parked>) {
        self.run_answered(|_| None)
    }

    /// The same with other answers than the world's to some steps.
    pub(super) fn run_answered(
        &mut self,
        answer: impl Fn(&Operation) -> Option<Outcome>,
    ) -> (Vec<String>, Vec<Parked>) {
        let (mut done, mut given_up) = (Vec::new(), Vec::new());
        for _ in 0..400 {
            match self.next() {
                Next::Do(step) => {
                    done.push(words(&step.operation));
                    self.perform_answered(step, &answer);
                }
                Next::Park(parked) => {
                    given_up.push(parked.clone());
                    self.learn(FactKind::Parked(parked));
                }
                Next::Report(what) => self.learn(what),
                Next::WaitUntil(at) if at - self.now < REST_MS => {
                    assert!(at > self.now);
                    self.now = at;
                }
                Next::WaitUntil(_) | Next::Idle | Next::Over => return (done, given_up),
            }
        }
        panic!("it never rests: {done:?}");
    }

    /// Twilio tells of a stream, under the SID that it has.
    pub(super) fn tells(&mut self, name: &str, change: StreamChange) {
        let stream = self.call.streams().iter().find(|stream| stream.name == name);
        let number = u32::try_from(self.call.streams().len()).unwrap();
        let stream = stream.and_then(|stream| stream.sid().cloned()).unwrap_or_else(|| sid("MZ", 500 + number));
        let FactKind::Stream(event) = stream_event(START, name, 0, change) else { unreachable!() };
        self.learn(FactKind::Stream(StreamEvent { stream, ..event }));
    }

    /// Lets time pass, and performs nothing.
    pub(super) fn wait_until(&mut self, at: i64) {
        while self.now < at {
            match self.next() {
                Next::WaitUntil(due) => self.now = due.min(at),
                Next::Idle | Next::Over => self.now = at,
                next @ (Next::Do(_) | Next::Park(_) | Next::Report(_)) => panic!("ahead of its time: {next:?}"),
            }
        }
    }

    /// What is reported next, which is learned.
    pub(super) fn report(&mut self) -> FactKind {
        for _ in 0..100 {
            match self.next() {
                Next::Report(kind) => {
                    self.learn(kind.clone());
                    return kind;
                }
                Next::WaitUntil(at) => self.now = at,
                next @ (Next::Do(_) | Next::Park(_) | Next::Idle | Next::Over) => panic!("no report, but {next:?}"),
            }
        }
        panic!("it only ever waits");
    }

    /// Answers every step alike until something is parked, which is learned.
    pub(super) fn until_parked(&mut self, answer: impl Fn(&Operation) -> Option<Outcome>) -> Parked {
        for _ in 0..1_000 {
            match self.next() {
                Next::Do(step) => self.perform_answered(step, &answer),
                Next::WaitUntil(at) => self.now = at,
                Next::Park(parked) => {
                    self.learn(FactKind::Parked(parked.clone()));
                    return parked;
                }
                Next::Report(kind) => self.learn(kind),
                next @ (Next::Idle | Next::Over) => panic!("{next:?}"),
            }
        }
        panic!("it tries for ever");
    }

    /// Whether there is nothing to do but to look after the call now and then.
    pub(super) fn rests(&self) -> bool {
        match self.next() {
            Next::Idle => true,
            Next::WaitUntil(at) => at - self.now >= REST_MS,
            Next::Do(_) | Next::Park(_) | Next::Report(_) | Next::Over => false,
        }
    }

    pub(super) fn live(&self) -> Vec<&str> {
        self.call.streams().iter().filter(|stream| stream.may_run()).map(|stream| stream.name.as_str()).collect()
    }
}

/// An operation in a few words.
pub(super) fn words(operation: &Operation) -> String {
    match operation {
        Operation::Command(Command::UpdateCustomer { guard, hold, .. }) => {
            let guard = guard.map(|guard| if guard == Guard::Lowered { " lower" } else { " raise" });
            let hold = hold.map(|hold| if hold { " hold" } else { " unhold" });
            format!("update{}{}", guard.unwrap_or_default(), hold.unwrap_or_default())
        }
        Operation::Command(Command::Redirect { stop, start, .. }) => {
            format!("redirect -{} +{}", stop.len(), start.len())
        }
        Operation::Command(
            Command::CreateStream { .. }
            | Command::StopStream { .. }
            | Command::EndConference { .. }
            | Command::PauseRecording { .. }
            | Command::ResumeRecording { .. },
        )
        | Operation::Read(_) => operation.name().to_owned(),
    }
}

/// The stream that a step starts through the Streams resource.
#[track_caller]
pub(super) fn created(step: &Step) -> &StreamStart {
    match &step.operation {
        Operation::Command(Command::CreateStream { stream, .. }) => stream,
        Operation::Command(_) | Operation::Read(_) => panic!("not a create: {step:?}"),
    }
}

/// The name of the stream that a step stops through the Streams resource, and whether by its SID.
#[track_caller]
pub(super) fn stopped(step: &Step) -> (&str, bool) {
    match &step.operation {
        Operation::Command(Command::StopStream { name, sid, .. }) => (name, sid.is_some()),
        Operation::Command(_) | Operation::Read(_) => panic!("not a stop: {step:?}"),
    }
}

/// Whether the step reads the customer's call.
pub(super) fn fetches_call(step: &Step) -> bool {
    matches!(step.operation, Operation::Read(Read::Call { .. }))
}
