//! One run: world and worker in one thread, time as a number, everything else from the plan.

use super::bridge::{Bridge, Crossing, unanswered};
use super::ledger::Ledger;
use super::plan::{AGENTS, Action, Crash, DeliveryFault, LANDING_MS, Plan, REQUEST_TIMEOUT_MS};
use super::{
    hold::{Deed, Hold},
    rng,
};
use std::collections::{BTreeMap, BTreeSet};
use taskrouter_streams::call::fact::{
    EpochMs, Fact, FactKind, ParticipantChange, ParticipantEvent, ReservationChange, TransferChange, TransferMode,
};
use taskrouter_streams::call::pause::{OnExpiry, PauseId, PauseOrigin, PauseScope, Paused, Resumed};
use taskrouter_streams::call::recording::Recorded;
use taskrouter_streams::call::rules::OnHold;
use taskrouter_streams::call::sid::{EventSid, ReservationSid, TaskSid, WorkerSid};
use taskrouter_streams::call::step::{Answer, Command, Operation, Outcome, Read, Settled, Step};
use taskrouter_streams::call::{Around, Call, Next};
use twilio_simulator::callbacks;
use twilio_simulator::faults::{Fault, FaultBody, Faults, Lost, Side};
use twilio_simulator::scenario::Verb;
use twilio_simulator::world::{CallAction, Event, InvalidAction, Mode, OpName, Snapshot, Target, World};

/// When every run begins.
pub(super) const START: EpochMs = 1_700_000_000_000;

/// Whatever happens, all is at rest again after this time: some changes are given up, one after the other.
const REST_LIMIT_MS: i64 = 400_000;

/// What comes later than this is no movement: a look at a quiet call, a try of what was given up.
const SLOW_MS: i64 = 20_000;

/// A worker that finds its clock set differently has been away for so long: until then nothing of its forerunner's can land.
const SETTING_MS: i64 = 5_000;

/// More requests than any run needs.
const MOST_REQUESTS: u32 = 3_000;

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    bridge: Bridge,
    pub(super) world: World,
    pub(super) task: Option<TaskSid>,
    pub(super) now: EpochMs,
    /// The journal, and the identities of the events in it.
    pub(super) facts: Vec<Fact>,
    known_events: BTreeSet<String>,
    worker: Worker,
    clock: Clock,
    /// Requests of workers that have died.
    strays: Vec<Flight>,
    deliveries: BTreeMap<(EpochMs, u32), Delivery>,
    /// Events of holds on their way, and whether the customer was held when it was last looked.
    hold_events: BTreeMap<(EpochMs, u32), ParticipantEvent>,
    seen_held: bool,
    /// When a command was last sent.
    commanded_at: EpochMs,
    /// What happened to the events in the world, and what has been told.
    pub(super) truth: Ledger,
    pub(super) told: Ledger,
    pub(super) hold: Hold,
    /// Pauses by number: whose, since when, and whether they were resumed.
    pauses: BTreeMap<u32, (Option<(PauseScope, EpochMs)>, bool)>,
    pub(super) last_reading_at: EpochMs,
    /// When the worker last heard what is recorded, by what it is of: when Twilio said it.
    pub(super) recordings_read: BTreeMap<Recorded, EpochMs>,
    /// When somebody last left the conference without our doing, and when the worker first heard an event from then or later.
    pub(super) last_leave_at: EpochMs,
    pub(super) leave_told_at: Option<EpochMs>,
    /// When the last redirect that took effect was sent.
    pub(super) redirect_sent_at: EpochMs,
    /// The next acceptance is that of a transferee to whom the call is handed over cold.
    cold_acceptance: bool,
    /// The worker has heard that the transfer is cold; and that it was accepted.
    cold_heard: (bool, bool),
    scripted: Faults,
    delivery_faults: Vec<(Option<String>, callbacks::DeliveryFault)>,
    pub(super) counted: Counted,
    /// An event has been lost.
    pub(super) lossy: bool,
    /// The n-th event that was told last; and whether a later one had been told before it.
    last_told: u32,
    pub(super) reordered: bool,
    /// How many transfers there have been, and how the newest is made.
    transfers: u32,
    mode: Option<Mode>,
    workers: BTreeMap<String, WorkerSid>,
    pub(super) violations_seen: usize,
    /// How many facts have been folded anew.
    pub(super) facts_folded: usize,
    /// Since when, by what the worker has been told, nobody is entitled to the audio.
    pub(super) unentitled_since: Option<EpochMs>,
    /// When a request landed whose answer had been lost.
    pub(super) landed_at: EpochMs,
    /// A race has sent the customer into a conference of their own.
    pub(super) doomed_by_race: bool,
    /// Nothing goes wrong any more.
    calm: bool,
    /// Twilio has said of a stream that runs that it does not know it.
    lied: bool,
    /// What people did and what went wrong, for the report.
    pub(super) log: Vec<(EpochMs, String)>,
}

/// Numbers that the plan refers to, and figures.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counted {
    pub(super) requests: u32,
    pub(super) events: u32,
    deliveries: u32,
    pub(super) redirects: u32,
    /// Races that nobody can win: a caller lost, a hold against everybody's will, a hold that missed the customer or
    /// cannot be told from another.
    pub(super) lost_races: u32,
    pub(super) held_races: u32,
    pub(super) unknowable_holds: u32,
    /// Moments at which a pause was proven and still on.
    pub(super) proven_pauses: u32,
    /// Recordings that we paused, and resumed.
    pub(super) paused_recordings: u32,
    pub(super) resumed_recordings: u32,
}

/// The process that may die.
#[derive(Default)]
struct Worker {
    call: Call,
    seen: usize,
    flight: Option<Flight>,
    wake: Option<EpochMs>,
    /// Not there until then.
    down_until: Option<EpochMs>,
}

/// What facts are stamped by. While a worker lives its clock only runs on; the next one finds it set differently.
struct Clock {
    /// How far it is off in the lives of this worker and the next ones.
    offsets: Vec<i64>,
    /// How far the call's own time is ahead of it: that never is behind its newest fact.
    lead_ms: i64,
}

impl Clock {
    fn new(plan: &Plan) -> Self {
        Self { offsets: plan.clocks.iter().rev().copied().collect(), lead_ms: 0 }
    }

    /// How far the journal's clock is off the truth.
    fn journal(&self) -> i64 {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// How far the call's time is.
    fn call(&self) -> i64 {
        self.journal() + self.lead_ms
    }

    /// The next worker's. Whether it differs.
    fn set_anew(&mut self) -> bool {
        let before = self.journal();
        self.offsets.pop();
        self.lead_ms = 0;
        self.journal() != before
    }

    /// Takes into account what the newest fact is stamped with, when in truth it is `now`.
    fn not_before(&mut self, newest: EpochMs, now: EpochMs) {
        self.lead_ms = self.lead_ms.max(newest - now - self.journal());
    }
}

/// A request under way.
struct Flight {
    number: u32,
    step: Step,
    crossing: Crossing,
    sent_at: EpochMs,
    /// The same by the call's time.
    stamp: EpochMs,
    arrives_at: EpochMs,
    /// Its answer is lost already; nothing goes wrong with it any more but that it takes effect.
    landing: bool,
    /// The answer, and when it is there.
    answer: Option<(EpochMs, Outcome)>,
}

/// An event on its way.
struct Delivery {
    number: u32,
    sid: EventSid,
    identity: String,
    happened_at: EpochMs,
    /// Flex takes the customer off hold for it.
    foretells: bool,
    /// How many transfers there had been.
    transfer: u32,
    what: FactKind,
}

impl Flight {
    /// The same request, on its way once more.
    fn again(&self) -> Self {
        Self {
            number: self.number,
            step: self.step.clone(),
            crossing: self.crossing.clone(),
            sent_at: self.sent_at,
            stamp: self.stamp,
            arrives_at: self.arrives_at,
            landing: true,
            answer: None,
        }
    }
}

impl Counted {
    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.redirects += other.redirects;
        self.lost_races += other.lost_races;
        self.held_races += other.held_races;
        self.unknowable_holds += other.unknowable_holds;
        self.proven_pauses += other.proven_pauses;
        self.paused_recordings += other.paused_recordings;
        self.resumed_recordings += other.resumed_recordings;
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let bridge = Bridge::new(&plan.policy.destinations);
        Self {
            plan,
            world: bridge.world(plan.behaviour.clone(), START),
            bridge,
            task: None,
            now: START,
            facts: Vec::new(),
            known_events: BTreeSet::new(),
            worker: Worker::default(),
            clock: Clock::new(plan),
            strays: Vec::new(),
            deliveries: BTreeMap::new(),
            hold_events: BTreeMap::new(),
            seen_held: false,
            commanded_at: 0,
            truth: Ledger::default(),
            told: Ledger::default(),
            hold: Hold::default(),
            pauses: BTreeMap::new(),
            last_reading_at: 0,
            recordings_read: BTreeMap::new(),
            last_leave_at: 0,
            leave_told_at: None,
            redirect_sent_at: 0,
            cold_acceptance: false,
            cold_heard: (false, false),
            scripted: Faults::default(),
            delivery_faults: Vec::new(),
            counted: Counted::default(),
            lossy: false,
            last_told: 0,
            reordered: false,
            transfers: 0,
            mode: None,
            workers: BTreeMap::new(),
            violations_seen: 0,
            facts_folded: 0,
            unentitled_since: Some(START),
            landed_at: 0,
            doomed_by_race: false,
            calm: false,
            lied: false,
            log: Vec::new(),
        }
    }

    pub(super) fn counted(&self) -> Counted {
        Counted { unknowable_holds: self.hold.unknowable(), ..self.counted }
    }

    /// The call as the worker knows it at rest.
    pub(super) fn call(&self) -> &Call {
        &self.worker.call
    }

    /// The facts that the worker has taken into account.
    pub(super) fn facts_seen(&self) -> &[Fact] {
        &self.facts[..self.worker.seen]
    }

    pub(super) fn picture(&self) -> Option<Snapshot> {
        self.world.snapshot(self.task.as_ref()?)
    }

    /// Whether the customer is held, unless they are not in the conference.
    fn held(&self) -> Option<bool> {
        self.picture()?.held
    }

    /// From now on nothing goes wrong.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
    }

    /// An operator wants what was given up to be tried again.
    pub(super) fn redrive(&mut self) -> Result<(), String> {
        self.ingest(FactKind::Redriven);
        self.settle_moment()
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, ms: i64) -> Result<(), String> {
        let until = self.now + ms;
        while let Some(due) = self.next_due().filter(|due| *due <= until) {
            self.step_to(due)?;
        }
        self.step_to(until)
    }

    /// Lets time pass until nothing moves any more.
    pub(super) fn rest(&mut self) -> Result<(), String> {
        let limit = self.now + REST_LIMIT_MS;
        while let Some(due) = self.next_due() {
            if due > limit && self.plan.policy.pause_recording && self.now - self.commanded_at > REST_LIMIT_MS / 2 {
                // Several looks now and then, in turn, are no movement either.
                return Ok(());
            }
            if due > limit {
                return Err(format!("no rest within {REST_LIMIT_MS} ms"));
            }
            self.step_to(due)?;
        }
        Ok(())
    }

    fn next_due(&self) -> Option<EpochMs> {
        let worker = &self.worker;
        let flights = worker.flight.iter().chain(&self.strays);
        let flights = flights.map(|flight| flight.answer.as_ref().map_or(flight.arrives_at, |(at, _)| *at)).min();
        let wake = worker.wake.filter(|_| worker.flight.is_none() && worker.down_until.is_none());
        // A look at a call that has gone quiet is no movement, nor is a try now and then of what was given up.
        let wake = wake.filter(|at| *at < self.now + SLOW_MS);
        let delivery = self.deliveries.first_key_value().map(|((at, _), _)| *at);
        let hold_event = self.hold_events.first_key_value().map(|((at, _), _)| *at);
        let due =
            [self.world.next_due(), flights, wake, delivery, hold_event, worker.down_until].into_iter().flatten().min();
        due.map(|due| due.max(self.now))
    }

    fn step_to(&mut self, at: EpochMs) -> Result<(), String> {
        self.now = self.now.max(at);
        let before = self.held();
        self.world.advance(self.now);
        self.hold.flex_acted(self.now, before, self.held());
        self.settle_moment()
    }

    /// Everything that follows at this very moment.
    fn settle_moment(&mut self) -> Result<(), String> {
        self.post_events();
        while let Some(entry) = self.deliveries.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let delivery = entry.remove();
            self.receive(delivery);
        }
        self.post_hold();
        while let Some(entry) = self.hold_events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let event = entry.remove();
            self.ingest(FactKind::Participant(event));
        }
        self.fly()?;
        self.work()?;
        self.post_events();
        self.post_hold();
        super::laws::always(self)
    }

    /// Twilio tells of a hold and of its end, whoever brought them about, but not of one that ends because the customer leaves.
    fn post_hold(&mut self) {
        let held = self.held();
        let was_held = std::mem::replace(&mut self.seen_held, held == Some(true));
        let goes_by_holds = self.plan.policy.destinations[0].on_hold == OnHold::Stop;
        let customer = self.task.as_ref().and_then(|task| self.world.report(task)?.customer);
        let (Some(held), Some(call), true) = (held, customer, goes_by_holds) else { return };
        if held == was_held {
            return;
        }
        self.counted.deliveries += 1;
        let number = self.counted.deliveries;
        let mut rng = rng::at(self.plan.seed, u64::from(number) << 32 | 3);
        let due = self.now + rng.ms(1, self.plan.hold_event_ms.max(1));
        let change = if held { ParticipantChange::Hold } else { ParticipantChange::Unhold };
        let (account, conference) = (self.bridge.account(), "CF00000000000000000000000000000001".parse().unwrap());
        let event = ParticipantEvent { account, at: self.now, conference, call, change };
        self.log(format!("{change:?} of the customer is told {} ms later", due - self.now));
        self.hold_events.insert((due, number), event);
    }

    fn post_events(&mut self) {
        for event in self.world.take_events() {
            self.counted.events += 1;
            let number = self.counted.events;
            let Some((identity, what)) = self.bridge.receive(&event, self.now) else { continue };
            self.truth.learn(&what);
            let parameter =
                |name: &str| event.form.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
            if let (Some(name), Some(sid)) = (parameter("WorkerName"), parameter("WorkerSid")) {
                self.workers.insert(name, sid.parse().unwrap());
            }
            let mut rng = rng::at(self.plan.seed, u64::from(self.counted.events));
            let due = self.now + rng.ms(1, self.plan.delivery_ms.max(1));
            let accepts = matches!(&what, FactKind::Reservation(event) if event.change == ReservationChange::Accepted);
            let foretells = accepts && std::mem::take(&mut self.cold_acceptance);
            let (happened_at, transfer) = (self.now, self.transfers);
            let delivery = |identity: &str| Delivery {
                number,
                happened_at,
                foretells,
                transfer,
                sid: event.sid.clone(),
                identity: identity.to_owned(),
                what: what.clone(),
            };
            match self.delivery_fault(&event) {
                Some(DeliveryFault::Lost) => {
                    self.lossy = true;
                    self.log(format!("{} is lost", event.event_type));
                }
                Some(DeliveryFault::Late(ms)) => self.post(due + ms, delivery(&identity)),
                Some(DeliveryFault::Twice(ms, recognised)) => {
                    self.post(due, delivery(&identity));
                    let again = if recognised { identity.clone() } else { format!("{identity} again") };
                    self.post(due + ms, delivery(&again));
                }
                None => self.post(due, delivery(&identity)),
            }
        }
    }

    fn delivery_fault(&mut self, event: &Event) -> Option<DeliveryFault> {
        let meant = |(wanted, _): &(Option<String>, callbacks::DeliveryFault)| {
            wanted.as_deref().is_none_or(|w| w == event.event_type)
        };
        if let Some(place) = self.delivery_faults.iter().position(meant) {
            return Some(match self.delivery_faults.remove(place).1 {
                callbacks::DeliveryFault::Dropped => DeliveryFault::Lost,
                callbacks::DeliveryFault::Duplicated => DeliveryFault::Twice(1, true),
                callbacks::DeliveryFault::Delayed(ms) => DeliveryFault::Late(i64::try_from(ms).unwrap()),
                callbacks::DeliveryFault::Swapped => DeliveryFault::Late(10),
            });
        }
        self.plan.delivery_faults.get(&self.counted.events).copied().filter(|_| !self.calm)
    }

    fn post(&mut self, due: EpochMs, delivery: Delivery) {
        self.counted.deliveries += 1;
        self.deliveries.insert((due, self.counted.deliveries), delivery);
    }

    fn receive(&mut self, delivery: Delivery) {
        if self.known_events.insert(delivery.identity) {
            self.reordered |= delivery.number < self.last_told;
            self.last_told = delivery.number;
            self.told.learn(&delivery.what);
            let entitled = !self.told.is_over() && !self.told.on_the_call().is_empty();
            self.unentitled_since = if entitled { None } else { self.unentitled_since.or(Some(self.now)) };
            if matches!(&delivery.what, FactKind::Transfer(event) if event.change == TransferChange::Initiated) {
                self.hold.transfer_told();
            }
            let cold = matches!(&delivery.what, FactKind::Transfer(event) if event.mode == Some(TransferMode::Cold));
            // Of the newest transfer: the next one begins with a hold, which comes later.
            let newest = delivery.transfer == self.transfers;
            self.cold_heard.0 |= cold && newest;
            self.cold_heard.1 |= delivery.foretells && newest;
            if self.cold_heard == (true, true) && (cold || delivery.foretells) {
                self.hold.foretold(self.now);
            }
            if delivery.happened_at >= self.last_leave_at {
                self.leave_told_at.get_or_insert(self.now);
            }
            self.ingest(delivery.what);
        }
        self.world.advance(self.now).acknowledged(&delivery.sid);
    }

    /// What comes from outside is stamped by the journal's clock.
    fn ingest(&mut self, what: FactKind) {
        self.journal(self.now + self.clock.journal(), what);
    }

    /// What the worker has done is stamped by the call's time.
    fn append(&mut self, what: FactKind) {
        self.journal(self.now + self.clock.call(), what);
    }

    fn journal(&mut self, at: EpochMs, kind: FactKind) {
        self.facts.push(Fact { at, kind });
        let number = self.facts.len();
        if let Some(away) = self.plan.crashes.get(&Crash::AfterFact(number)).filter(|_| !self.calm) {
            self.log(format!("the worker dies after fact {number}"));
            self.die(*away);
        }
    }

    fn die(&mut self, away: i64) {
        let worker = std::mem::take(&mut self.worker);
        let is_set = self.clock.set_anew();
        let away = if is_set { away.max(SETTING_MS) } else { away };
        self.worker.down_until = Some(self.now + away);
        let Some(flight) = worker.flight.filter(|flight| flight.answer.is_none()) else { return };
        let mut rng = rng::at(self.plan.seed, u64::from(flight.number) << 32 | 2);
        let late = if self.calm { 0 } else { rng.ms(0, self.plan.posthumous_ms) };
        let arrives_at = flight.arrives_at.max(self.now + late);
        self.log(format!("request {} lands {} ms later", flight.number, arrives_at - self.now));
        self.strays.push(Flight { arrives_at, landing: late > 0, ..flight });
        if late == 0 {
            // What was sent arrives before the next worker begins.
            self.worker.down_until = Some((self.now + away).max(arrives_at));
        }
    }

    fn fly(&mut self) -> Result<(), String> {
        let (here, still): (Vec<_>, Vec<_>) = self.strays.drain(..).partition(|flight| flight.arrives_at <= self.now);
        self.strays = still;
        for mut stray in here {
            if stray.landing {
                self.landed_at = self.now;
                self.perform(&stray);
            } else {
                self.arrive(&mut stray);
            }
        }
        let Some(mut flight) = self.worker.flight.take() else { return Ok(()) };
        if flight.answer.is_none() && flight.arrives_at <= self.now {
            self.arrive(&mut flight);
        }
        match flight.answer.take() {
            Some((at, outcome)) if at <= self.now => {
                if let Some(away) = self.plan.crashes.get(&Crash::BeforeSettled(flight.number)).filter(|_| !self.calm) {
                    self.log(format!("the worker dies before request {} is written down", flight.number));
                    self.die(*away);
                    return Ok(());
                }
                self.hear(&flight, &outcome);
                let settled =
                    Settled { step: flight.step, sent_at: flight.stamp, outcome, request_id: None, assumed: None };
                self.append(FactKind::Settled(settled));
            }
            answer => self.worker.flight = Some(Flight { answer, ..flight }),
        }
        Ok(())
    }

    /// The worker hears how a request ended, and perhaps whether the customer is held.
    fn hear(&mut self, flight: &Flight, outcome: &Outcome) {
        let given_at = flight.arrives_at;
        if takes_off(&flight.step.operation) {
            let perhaps = matches!(outcome, Outcome::Unknown(_));
            let lost = matches!(outcome, Outcome::Unknown(trouble) if trouble.lost);
            let last_at = if lost { flight.sent_at + LANDING_MS } else { given_at };
            self.hold.told_of_ours(self.now, last_at, perhaps);
        }
        if let (Operation::Read(Read::Recordings { of }), Outcome::Done(_)) = (&flight.step.operation, outcome) {
            self.recordings_read.insert(of.clone(), given_at);
        }
        let changes = |wanted: fn(&Command) -> bool| {
            u32::from(flight.step.operation.command().is_some_and(wanted) && matches!(outcome, Outcome::Done(_)))
        };
        self.counted.paused_recordings += changes(|command| matches!(command, Command::PauseRecording { .. }));
        self.counted.resumed_recordings += changes(|command| matches!(command, Command::ResumeRecording { .. }));
        let customer = self.worker.call.customer();
        let held = match outcome {
            Outcome::Done(Answer::Participants(rows)) => {
                rows.iter().find(|row| Some(&row.call) == customer && row.connected).and_then(|row| row.hold)
            }
            Outcome::Done(Answer::Participant(row)) => row.hold,
            Outcome::Done(
                Answer::Task(_)
                | Answer::Conference(_)
                | Answer::Stream(_)
                | Answer::Call { .. }
                | Answer::Recordings(_)
                | Answer::Recording(_)
                | Answer::Accepted,
            )
            | Outcome::NotFound(_)
            | Outcome::NotInProgress(_)
            | Outcome::TryLater(_)
            | Outcome::Unknown(_)
            | Outcome::Denied(_)
            | Outcome::Refused(_) => return,
        };
        self.hold.told(flight.sent_at, given_at, held);
    }

    /// A request reaches Twilio.
    fn arrive(&mut self, flight: &mut Flight) {
        let op = flight.crossing.op();
        let fault =
            self.plan.faults.get(&flight.number).filter(|_| !self.calm).cloned().or_else(|| self.scripted.take(op));
        let fault = fault.filter(|fault| !self.lies_again(op, fault));
        if let Some(fault) = &fault {
            self.log(format!("request {}: {}", flight.number, fault.name()));
            self.obstructed();
        }
        let half = rng::at(self.plan.seed, u64::from(flight.number) << 32).ms(1, self.plan.latency_ms.max(1));
        let (outcome, pause) = match &fault {
            None => (self.perform(flight), half),
            Some(fault @ Fault::Answer { took_effect, .. }) => {
                if *took_effect {
                    self.perform(flight);
                }
                (self.bridge.faulty(&flight.crossing, fault, self.now), half)
            }
            Some(Fault::Cut { took_effect } | Fault::Hang { took_effect }) => {
                let late = self.plan.late.get(&flight.number).filter(|_| *took_effect && !self.calm);
                if let Some(late) = late {
                    self.log(format!("request {} will land {late} ms late", flight.number));
                    self.strays.push(Flight { arrives_at: self.now + late, landing: true, ..flight.again() });
                } else if *took_effect {
                    self.perform(flight);
                }
                (unanswered(), if matches!(fault, Some(Fault::Hang { .. })) { REQUEST_TIMEOUT_MS } else { half })
            }
            Some(Fault::LandsLate { lost, after_ms }) => {
                let arrives_at = self.now + i64::try_from(*after_ms).unwrap();
                self.strays.push(Flight { arrives_at, landing: true, ..flight.again() });
                (unanswered(), if *lost == Lost::Hang { REQUEST_TIMEOUT_MS } else { half })
            }
            Some(Fault::ConferenceEnds(side) | Fault::CustomerHangsUp(side)) => {
                if *side == Side::Before {
                    self.strike(fault.as_ref());
                }
                let outcome = self.perform(flight);
                if *side == Side::After {
                    self.strike(fault.as_ref());
                }
                (outcome, half)
            }
        };
        flight.answer = Some((self.now + pause, outcome));
    }

    /// Twilio's own word that it does not know a stream is wrong once at most: two of them are a proof.
    fn lies_again(&mut self, op: OpName, fault: &Fault) -> bool {
        let lie = op == OpName::StopStream
            && matches!(fault, Fault::Answer { status: 404, body: FaultBody::Json, took_effect: false, .. });
        lie && std::mem::replace(&mut self.lied, true)
    }

    fn obstructed(&mut self) {
        if let Some(task) = &self.task {
            self.world.advance(self.now).obstructed(task);
        }
    }

    fn somebody_leaves(&mut self) {
        (self.last_leave_at, self.leave_told_at) = (self.now, None);
    }

    fn strike(&mut self, fault: Option<&Fault>) {
        let Some(task) = self.task.clone() else { return };
        self.somebody_leaves();
        if matches!(fault, Some(Fault::ConferenceEnds(_))) {
            self.world.advance(self.now).conference_ends(&task);
        } else {
            self.world.advance(self.now).customer_hangs_up(&task).ok();
        }
    }

    fn perform(&mut self, flight: &Flight) -> Outcome {
        let before = self.held();
        let op = flight.crossing.op();
        self.counted.redirects += u32::from(op == OpName::RedirectCall);
        let outcome = self.bridge.perform(&flight.crossing, &mut self.world, self.now);
        if op == OpName::ListParticipants {
            self.last_reading_at = self.now;
        }
        if op == OpName::RedirectCall {
            self.redirect_sent_at = flight.sent_at;
        }
        let takes_off = takes_off(&flight.step.operation);
        self.hold.we_acted(self.now, Deed { sent_at: flight.sent_at, takes_off, before, after: self.held() });
        outcome
    }

    /// The worker catches up with its journal and does what is due.
    fn work(&mut self) -> Result<(), String> {
        if let Some(until) = self.worker.down_until {
            if until > self.now {
                return Ok(());
            }
            self.obstructed();
            self.worker =
                Worker { call: super::laws::refolded(&self.facts)?, seen: self.facts.len(), ..Worker::default() };
        }
        if self.counted.requests > MOST_REQUESTS {
            return Err(format!("more than {MOST_REQUESTS} requests: it does not stop asking"));
        }
        while self.worker.flight.is_none() && self.worker.down_until.is_none() {
            for fact in &self.facts[self.worker.seen..] {
                self.worker.call.apply(fact);
            }
            self.worker.seen = self.facts.len();
            self.worker.wake = None;
            self.clock.not_before(self.worker.call.last_fact_at(), self.now);
            let now = self.now + self.clock.call();
            match self.worker.call.next(now, &self.plan.policy, Around::default()) {
                Next::Do(step) => self.begin(step),
                Next::Park(parked) => self.append(FactKind::Parked(parked)),
                Next::Report(what) => {
                    if let FactKind::Settled(settled) = &what
                        && takes_off(&settled.step.operation)
                    {
                        self.hold.told_of_ours(self.now, self.now + LANDING_MS, true);
                    }
                    self.append(what);
                }
                Next::WaitUntil(at) if at <= now => return Err(format!("it waits for the past: {at}")),
                Next::WaitUntil(at) => {
                    self.worker.wake = Some(at - self.clock.call());
                    return Ok(());
                }
                Next::Idle | Next::Over => return Ok(()),
            }
        }
        Ok(())
    }

    fn begin(&mut self, step: Step) {
        if step.operation.command().is_some() {
            self.commanded_at = self.now;
            self.append(FactKind::Begun(step.clone()));
            if self.worker.down_until.is_some() {
                return;
            }
        }
        self.counted.requests += 1;
        let number = self.counted.requests;
        self.log(format!("request {number}: {}", step.operation.name()));
        match self.bridge.send(&step.operation) {
            Ok(crossing) => {
                let half = rng::at(self.plan.seed, u64::from(number) << 32 | 1).ms(1, self.plan.latency_ms.max(1));
                let arrives_at = self.now + half;
                self.worker.flight = Some(Flight {
                    number,
                    step,
                    crossing,
                    sent_at: self.now,
                    stamp: self.now + self.clock.call(),
                    arrives_at,
                    landing: false,
                    answer: None,
                });
            }
            Err(outcome) => self.append(FactKind::Settled(Settled {
                step,
                sent_at: self.now + self.clock.call(),
                outcome,
                request_id: None,
                assumed: None,
            })),
        }
    }

    pub(super) fn log(&mut self, line: String) {
        self.log.push((self.now, line));
    }

    pub(super) fn raced(&mut self, what: &str) {
        self.log(format!("a race that nobody can win: {what}"));
    }
}

/// What people do.
impl Run<'_> {
    pub(super) fn act(&mut self, action: &Action) -> Result<(), String> {
        let verb = match action {
            Action::Rest => {
                self.rest()?;
                return super::laws::at_rest(self, false);
            }
            Action::Tell(verb) => {
                let verb = verb.clone();
                if let Err(impossible) = self.tell(&verb) {
                    self.log(format!("not possible: {verb:?}: {impossible}"));
                }
                return self.settle_moment();
            }
            Action::Pause(number, whose) => {
                self.pause(*number, *whose);
                return self.settle_moment();
            }
            Action::Resume(number) => {
                self.resume(*number);
                return self.settle_moment();
            }
            Action::HangUp => vec![Verb::CustomerHangsUp],
            Action::ConferenceEnds => vec![Verb::ConferenceEnds],
            Action::Accept(who) => each(*who, Verb::Accepts),
            Action::Reject(who) => each(*who, Verb::Rejects),
            Action::TimeOut(who) => each(*who, Verb::TimesOut),
            Action::Unreachable(who) => each(*who, Verb::CannotBeReached),
            Action::Cancel(who) => each(*who, Verb::CancelsTransfer),
            Action::Hold(who) => each(*who, |name| Verb::Hold(vec![name])),
            Action::Unhold(who) => each(*who, |name| Verb::Unhold(vec![name])),
            Action::Leave(who) => each(*who, Verb::Leaves),
            // Without a callback nobody can know.
            Action::SocketDies(_) if !self.plan.policy.destinations[0].confirms || self.plan.is_lossy() => {
                return Ok(());
            }
            Action::SocketDies(who) => each(*who, Verb::SocketDies),
            Action::Complete(who) => each(*who, Verb::Completes),
            Action::Transfer { from, to, queue, mode } => {
                let free: Vec<String> = names(*to).filter(|name| !self.is_busy(name)).collect();
                let target = match (free.first(), queue) {
                    (None, _) => return Ok(()),
                    (Some(first), 0) => Target::Agent(first.clone()),
                    (Some(_), count) => Target::Queue(free.iter().take(*count).cloned().collect()),
                };
                each(*from, |name| Verb::Transfers(name, target.clone(), *mode))
            }
        };
        for verb in verb {
            if self.tell(&verb).is_ok() {
                break;
            }
        }
        self.settle_moment()
    }

    fn pause(&mut self, number: u32, whose: Option<u32>) {
        let on = self.truth.on_the_call();
        let scope = match whose {
            None => PauseScope::Call,
            Some(place) if on.is_empty() => return self.log(format!("nobody is there for pause {number}, {place}")),
            Some(place) => PauseScope::Reservation(on[place as usize % on.len()].clone()),
        };
        self.log(format!("pause {number}: {scope:?}"));
        self.pauses.entry(number).or_default().0 = Some((scope.clone(), self.now));
        let by = PauseOrigin::SignedRequest;
        self.ingest(FactKind::Paused(Paused { id: pause_id(number), scope, reason: None, seconds: None, by }));
    }

    fn resume(&mut self, number: u32) {
        self.log(format!("resume {number}"));
        self.pauses.entry(number).or_default().1 = true;
        self.ingest(FactKind::Resumed(Resumed { id: pause_id(number), by: PauseOrigin::SignedRequest }));
    }

    /// Whether this agent's streams are paused, whatever the core makes of it.
    pub(super) fn is_paused(&self, reservation: &ReservationSid) -> bool {
        let policy = &self.plan.policy;
        let expires = policy.pause_on_expiry == OnExpiry::Resume;
        let is_on = |since: EpochMs| !expires || self.now - since < policy.pause_max_ms;
        self.pauses.values().any(|(paused, resumed)| {
            paused.as_ref().is_some_and(|(scope, since)| !resumed && scope.covers(reservation) && is_on(*since))
        })
    }

    /// Whether this agent is on the call or being asked.
    fn is_busy(&self, name: &str) -> bool {
        self.workers.get(name).is_some_and(|worker| self.truth.is_busy(worker))
    }

    /// Performs a step of a story.
    pub(super) fn tell(&mut self, verb: &Verb) -> Result<(), InvalidAction> {
        let now = self.now;
        if let Verb::CustomerCalls = verb {
            self.task = Some(self.world.advance(now).customer_calls());
            return Ok(());
        }
        let task = self.task.clone().ok_or_else(|| InvalidAction("nobody has called".to_owned()))?;
        let before = self.held();
        let was_held = before == Some(true);
        let world = &mut self.world;
        match verb {
            Verb::CustomerCalls => {}
            Verb::CustomerWrites => self.task = Some(world.advance(now).customer_writes()),
            Verb::CallsOut(agent) => self.task = Some(world.advance(now).calls_out(agent)?),
            Verb::CustomerAnswers => world.advance(now).customer_answers(&task)?,
            Verb::CustomerHangsUp => world.advance(now).customer_hangs_up(&task)?,
            Verb::ConferenceEnds => world.advance(now).conference_ends(&task),
            Verb::Accepts(agent) => {
                let cold = self.truth.has_open_transfer() && self.mode == Some(Mode::Cold);
                world.advance(now).accepts(&task, agent)?;
                if cold {
                    self.cold_acceptance = true;
                    self.hold.handed_over_cold(now, now + self.plan.behaviour.cold_unhold_ms);
                }
            }
            Verb::Rejects(agent) => world.advance(now).rejects(&task, agent)?,
            Verb::TimesOut(agent) => world.advance(now).times_out(&task, agent)?,
            Verb::CannotBeReached(agent) => world.advance(now).cannot_be_reached(&task, agent)?,
            Verb::Transfers(from, to, mode) => {
                world.advance(now).transfers(&task, from, to, *mode)?;
                self.hold.flex_will(now + self.plan.behaviour.transfer_hold_ms, true);
                self.mode = Some(*mode);
                self.hold.transfer_begins();
                (self.transfers, self.cold_heard) = (self.transfers + 1, (false, false));
                if *mode == Mode::Cold {
                    self.somebody_leaves();
                }
            }
            Verb::CancelsTransfer(agent) => world.advance(now).cancels_transfer(&task, agent)?,
            Verb::Hold(agents) => {
                for agent in agents {
                    world.advance(now).holds(&task, agent)?;
                    self.hold.wanted(now, true, was_held);
                }
            }
            Verb::Unhold(agents) => {
                for agent in agents {
                    world.advance(now).unholds(&task, agent)?;
                    self.hold.wanted(now, false, was_held);
                }
            }
            Verb::Leaves(agent) => world.advance(now).leaves(&task, agent)?,
            Verb::Completes(agent) => world.advance(now).completes(&task, agent)?,
            Verb::SocketsFail(failure, times) => world.next_sockets_fail(*failure, *times),
            Verb::SocketDies(agent) => world.advance(now).socket_dies(&task, agent)?,
            Verb::DeliveryFault(event, delivery_fault) => self.delivery_faults.push((event.clone(), *delivery_fault)),
            Verb::Fault(on, fault) => self.scripted.script(*on, 1, fault.clone()),
            Verb::Happens(action) => world.happens(&task, *action)?,
            Verb::StopsIgnored(times) => world.ignore_next_stops(*times),
            Verb::Comes(_) => return Err(InvalidAction("the lab has one task".to_owned())),
            Verb::Wait(_) | Verb::Settle | Verb::Expect { .. } => {}
        }
        if is_a_leaving(verb) {
            self.somebody_leaves();
        }
        self.hold.flex_acted(now, before, self.held());
        self.log(format!("{verb:?}"));
        Ok(())
    }
}

/// Whether somebody leaves the conference with it.
fn is_a_leaving(verb: &Verb) -> bool {
    let leavings = [CallAction::CustomerMovesOn, CallAction::ExternalLeaves, CallAction::SupervisorLeaves];
    matches!(verb, Verb::Leaves(_) | Verb::CustomerHangsUp | Verb::ConferenceEnds)
        || matches!(verb, Verb::Happens(action) if leavings.contains(action))
}

fn takes_off(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Command(Command::Redirect { .. } | Command::UpdateCustomer { hold: Some(false), .. })
    )
}

fn pause_id(number: u32) -> PauseId {
    format!("pause-{number}").parse().unwrap()
}

fn names(first: u32) -> impl Iterator<Item = String> {
    let count = AGENTS.len();
    (0..count).map(move |turn| AGENTS[(first as usize + turn) % count].to_owned())
}

fn each(first: u32, verb: impl Fn(String) -> Verb) -> Vec<Verb> {
    names(first).map(verb).collect()
}
