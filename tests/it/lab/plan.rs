//! What will happen in one run: drawn from a seed, and cut down to what makes it fail.

use super::rng::Rng;
use std::collections::BTreeMap;
use taskrouter_streams::call::Policy;
use taskrouter_streams::call::pause::OnExpiry;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::rules::{Destination, OnHold};
use twilio_simulator::SimConfig;
use twilio_simulator::faults::{Fault, FaultBody, Side};
use twilio_simulator::scenario::Verb;
use twilio_simulator::world::{CallAction, Mode, RecordingAct};

pub(super) const AGENTS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// `twilio.request_timeout_ms`.
pub(super) const REQUEST_TIMEOUT_MS: i64 = 4_000;

/// A request whose answer was lost may be carried out for so long: that and `retry.landing_margin_ms`.
pub(super) const LANDING_MS: i64 = REQUEST_TIMEOUT_MS + 1_000;

/// For so long after a worker has died its last request may be carried out.
const POSTHUMOUS_MS: i64 = REQUEST_TIMEOUT_MS / 2 + 1_000;

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) policy: Policy,
    pub(super) behaviour: SimConfig,
    /// What people do, each after a pause in milliseconds.
    pub(super) actions: Vec<(i64, Action)>,
    /// What goes wrong with the n-th request.
    pub(super) faults: BTreeMap<u32, Fault>,
    /// What becomes of the n-th event.
    pub(super) delivery_faults: BTreeMap<u32, DeliveryFault>,
    /// Where the worker dies, and for how many milliseconds it is away.
    pub(super) crashes: BTreeMap<Crash, i64>,
    /// By how many milliseconds the n-th request lands late, when its answer is lost and it takes effect.
    pub(super) late: BTreeMap<u32, i64>,
    /// By how many milliseconds at most the last request of a worker that dies lands late.
    pub(super) posthumous_ms: i64,
    /// How far the journal's clock is off the truth, in milliseconds: for the first worker, the second, …; then it is right.
    pub(super) clocks: Vec<i64>,
    /// Half a request takes so many milliseconds at most.
    pub(super) latency_ms: i64,
    /// An event is on its way for so many milliseconds at most.
    pub(super) delivery_ms: i64,
    /// The longest time that an event of a hold takes.
    pub(super) hold_event_ms: i64,
}

/// What somebody does. A number names the first agent to be asked; the others follow until one can do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Accept(u32),
    Reject(u32),
    TimeOut(u32),
    Unreachable(u32),
    /// To the `to`-th agent who is not on the call, or to a queue of so many of them from there on.
    Transfer {
        from: u32,
        to: u32,
        queue: usize,
        mode: Mode,
    },
    Cancel(u32),
    Hold(u32),
    Unhold(u32),
    Leave(u32),
    Complete(u32),
    SocketDies(u32),
    HangUp,
    ConferenceEnds,
    /// A pause of this number: of the n-th agent on the call, or of the whole call.
    Pause(u32, Option<u32>),
    /// Its end, perhaps ahead of it.
    Resume(u32),
    /// Nobody does anything until nothing moves any more.
    Rest,
    /// A step of a story.
    Tell(Verb),
}

/// What becomes of an event on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryFault {
    Lost,
    /// So many milliseconds later than it would have arrived.
    Late(i64),
    /// Also that much later, and recognised as the same event or not.
    Twice(i64, bool),
}

/// A moment at which the worker dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Crash {
    /// Right after the n-th fact is durable; a request that was about to be sent never is.
    AfterFact(usize),
    /// When the n-th request has been sent and its answer is about to be written down.
    BeforeSettled(u32),
}

/// How rough a run is.
#[derive(Debug, Clone, Copy)]
struct Weather {
    faults: bool,
    crashes: bool,
    lossy: bool,
    disorder: bool,
    lags: bool,
}

impl Plan {
    pub(super) fn drawn(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let weather = Weather {
            faults: rng.percent(50),
            crashes: rng.percent(30),
            lossy: rng.percent(20),
            disorder: rng.percent(40),
            lags: rng.percent(60),
        };
        let behaviour = behaviour(&mut rng, seed, weather);
        let policy = policy(&mut rng);
        let actions = actions(&mut rng);
        let mut plan = Self {
            seed,
            policy,
            behaviour,
            actions,
            faults: BTreeMap::new(),
            delivery_faults: BTreeMap::new(),
            crashes: BTreeMap::new(),
            late: BTreeMap::new(),
            posthumous_ms: 0,
            clocks: Vec::new(),
            latency_ms: rng.of(&[2, 40, 150]),
            delivery_ms: rng.of(&[1, 30, 200]),
            hold_event_ms: 1,
        };
        if weather.faults {
            let density = rng.of(&[2, 10, 30]);
            plan.faults = BTreeMap::new();
            for number in 1..300 {
                if rng.percent(density) {
                    plan.faults.insert(number, fault(&mut rng));
                }
            }
        }
        if weather.disorder || weather.lossy {
            for number in 1..150 {
                if weather.disorder && rng.percent(20) {
                    plan.delivery_faults.insert(number, disorder(&mut rng));
                }
                if weather.lossy && rng.percent(10) {
                    plan.delivery_faults.insert(number, DeliveryFault::Lost);
                }
            }
        }
        if weather.crashes {
            for _ in 0..rng.below(4) + 1 {
                let at = if rng.percent(50) {
                    Crash::AfterFact(rng.below(80) as usize + 1)
                } else {
                    Crash::BeforeSettled(rng.below(50) + 1)
                };
                plan.crashes.insert(at, rng.of(&[0, 5, 200, 2_000, 20_000]));
            }
        }
        plan.worsen(&mut Rng::new(!seed));
        plan.set_clocks(&mut Rng::new(seed.rotate_left(32)));
        plan.add_pauses(&mut Rng::new(!seed.rotate_left(16)));
        plan.go_by_holds(&mut Rng::new(seed.rotate_left(48)));
        plan.add_recordings(&mut Rng::new(!seed.rotate_left(48)));
        plan
    }

    /// Requests of workers that have died land late, and every worker finds the clock set differently: a little, by minutes, or by an hour.
    fn set_clocks(&mut self, rng: &mut Rng) {
        if !rng.percent(40) {
            return;
        }
        self.posthumous_ms = rng.of(&[0, 1_000, POSTHUMOUS_MS]);
        for _ in 0..rng.below(3) {
            self.crashes.insert(Crash::AfterFact(rng.below(40) as usize + 1), rng.of(&[0, 200, 2_000]));
        }
        const MINUTES_MS: i64 = 300_000;
        const HOUR_MS: i64 = 3_600_000;
        for _ in 0..self.crashes.len() {
            self.clocks.push(match rng.below(4) {
                0 => 0,
                1 => rng.ms(0, 4_000) - 2_000,
                2 => rng.ms(0, 2 * MINUTES_MS) - MINUTES_MS,
                _ => rng.of(&[-HOUR_MS, HOUR_MS]),
            });
        }
    }

    /// What later versions of the lab have added, drawn by itself so that the rest of a seed stays what it was: requests that land
    /// late, answers that are not Twilio's, and callers who are patient when their agent has left.
    fn worsen(&mut self, rng: &mut Rng) {
        if rng.percent(30) {
            self.behaviour.patience_ms = rng.of(&[200, 4_000, 60_000]);
        }
        if rng.percent(40) {
            for _ in 0..rng.below(3) + 1 {
                let action = rng.of(&[
                    CallAction::ExternalJoins { guard: false },
                    CallAction::ExternalJoins { guard: false },
                    CallAction::ExternalLeaves,
                    CallAction::SupervisorJoins,
                    CallAction::SupervisorLeaves,
                    CallAction::CustomerMovesOn,
                    CallAction::TaskCanceled,
                    CallAction::TaskDeleted,
                ]);
                let place = 1 + rng.below(u32::try_from(self.actions.len()).unwrap()) as usize;
                self.actions.insert(place.min(self.actions.len()), (pause(rng), Action::Tell(Verb::Happens(action))));
            }
        }
        if self.faults.is_empty() {
            return;
        }
        if rng.percent(60) {
            for number in self.faults.keys() {
                self.late.insert(*number, rng.ms(1, REQUEST_TIMEOUT_MS));
            }
        }
        if rng.percent(50) {
            for fault in self.faults.values_mut() {
                if rng.percent(30) {
                    *fault = wrong_answer(rng);
                }
            }
        }
    }

    /// Pauses at random moments, several at a time, some of which are resumed before they are asked for.
    fn add_pauses(&mut self, rng: &mut Rng) {
        if !rng.percent(40) {
            return;
        }
        for number in 0..rng.below(4) + 1 {
            let scope = rng.percent(60).then(|| rng.below(3));
            let mut moments = vec![Action::Pause(number, scope)];
            if rng.percent(70) {
                moments.push(Action::Resume(number));
            }
            if rng.percent(15) {
                moments.reverse();
            }
            let mut place = 1;
            for moment in moments {
                place += rng.below(u32::try_from(self.actions.len() - place + 1).unwrap()) as usize;
                // In the middle of somebody's pause, so that everything else happens when it would.
                let whole = self.actions.get(place).map_or_else(|| pause(rng), |(pause, _)| *pause);
                let before = rng.ms(0, whole);
                if let Some((pause, _)) = self.actions.get_mut(place) {
                    *pause -= before;
                }
                self.actions.insert(place, (before, moment));
                place += 1;
            }
        }
        // By whose clock a pause's time is up is another matter.
        if self.clocks.is_empty() && rng.percent(30) {
            self.policy.pause_max_ms = rng.of(&[500, 3_000]);
            self.policy.pause_on_expiry = rng.of(&[OnExpiry::Resume, OnExpiry::Stay]);
        }
    }

    /// In half of the runs that have pauses, these cover recordings: some are there, and others start, pause, resume and stop them.
    fn add_recordings(&mut self, rng: &mut Rng) {
        let has_pauses = self.actions.iter().any(|(_, action)| matches!(action, Action::Pause(..)));
        // Looks at a hold and looks at recordings in turn would take a run for one that never rests.
        let rests_on_hold = self.policy.destinations.iter().any(|destination| destination.on_hold == OnHold::Stop);
        if !has_pauses || rests_on_hold || !rng.percent(60) {
            return;
        }
        self.policy.pause_recording = true;
        for number in 0..rng.below(5) + 1 {
            let act = if number == 0 {
                RecordingAct::Starts
            } else {
                rng.of(&[RecordingAct::Starts, RecordingAct::Pauses, RecordingAct::Resumes, RecordingAct::Stops])
            };
            let action =
                if rng.percent(50) { CallAction::CallRecording(act) } else { CallAction::ConferenceRecording(act) };
            let first = 2.min(self.actions.len());
            let place = first + rng.below(u32::try_from(self.actions.len() - first + 1).unwrap()) as usize;
            let place = if number == 0 { first } else { place };
            self.actions.insert(place, (rng.ms(0, 50), Action::Tell(Verb::Happens(action))));
        }
    }

    /// Streams rest while the customer is on hold, which events tell, a while later.
    fn go_by_holds(&mut self, rng: &mut Rng) {
        if !rng.percent(30) {
            return;
        }
        self.policy.destinations.iter_mut().for_each(|destination| destination.on_hold = OnHold::Stop);
        self.hold_event_ms = rng.of(&[1, 300, 2_500]);
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.delivery_faults.values().any(|delivery_fault| *delivery_fault == DeliveryFault::Lost)
    }

    /// Twilio answers stops that it does not carry out.
    pub(super) fn has_ignored_stops(&self) -> bool {
        self.actions.iter().any(|(_, action)| matches!(action, Action::Tell(Verb::StopsIgnored(_))))
    }

    /// Nothing goes wrong with requests, events or workers.
    pub(super) fn is_smooth(&self) -> bool {
        self.faults.is_empty() && self.delivery_faults.is_empty() && self.crashes.is_empty()
    }

    /// How much there is to read in it.
    pub(super) fn weight(&self) -> usize {
        let plain = SimConfig { agents: self.behaviour.agents.clone(), seed: self.seed, ..SimConfig::default() };
        let odd = usize::from(self.behaviour != plain)
            + usize::from(self.policy != plain_policy())
            + usize::from(self.posthumous_ms > 0)
            + usize::from(self.latency_ms > 2)
            + usize::from(self.delivery_ms > 1)
            + usize::from(self.hold_event_ms > 1);
        self.actions.len()
            + self.faults.len()
            + self.delivery_faults.len()
            + self.crashes.len()
            + self.late.len()
            + self.clocks.len()
            + odd
    }

    /// Plans that are this one with something left out, large pieces first.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            plans.push(plan);
        };
        with(&|plan| plan.faults.clear());
        with(&|plan| plan.crashes.clear());
        with(&|plan| plan.delivery_faults.clear());
        with(&|plan| {
            plan.behaviour =
                SimConfig { agents: plan.behaviour.agents.clone(), seed: plan.seed, ..SimConfig::default() }
        });
        with(&|plan| plan.late.clear());
        with(&|plan| plan.clocks.clear());
        with(&|plan| plan.posthumous_ms = 0);
        with(&|plan| plan.latency_ms = 2);
        with(&|plan| plan.delivery_ms = 1);
        with(&|plan| plan.hold_event_ms = 1);
        with(&|plan| plan.policy = plain_policy());
        let half = self.actions.len() / 2;
        with(&|plan| plan.actions.truncate(half));
        for number in (0..self.actions.len()).rev() {
            with(&|plan| drop(plan.actions.remove(number)));
        }
        for number in self.faults.keys().rev() {
            with(&|plan| plan.faults.retain(|n, _| n != number));
        }
        for number in self.delivery_faults.keys().rev() {
            with(&|plan| plan.delivery_faults.retain(|n, _| n != number));
        }
        for crash in self.crashes.keys() {
            with(&|plan| plan.crashes.retain(|c, _| c != crash));
        }
        plans
    }
}

/// The program's defaults, for two destinations that do not tell how their streams fare.
pub(super) fn plain_policy() -> Policy {
    Policy { landing_ms: LANDING_MS, verify_per_mille: 20, watch_ms: 25_000, ..crate::core::story::policy() }
}

fn destination(tracks: usize, confirms: bool) -> Destination {
    Destination { tracks, parameters: Vec::new(), confirms, on_hold: OnHold::Stream }
}

fn policy(rng: &mut Rng) -> Policy {
    let tracks = rng.of(&[2, 2, 1]);
    Policy {
        strategy: rng.of(&[Strategy::Redirect, Strategy::Redirect, Strategy::StreamsApi]),
        destinations: vec![destination(tracks, rng.percent(70)); rng.of(&[1, 2, 2, 3])],
        track_budget: rng.of(&[4, 4, 4, 2]),
        ..plain_policy()
    }
}

fn behaviour(rng: &mut Rng, seed: u64, weather: Weather) -> SimConfig {
    let agents = AGENTS.map(str::to_owned).to_vec();
    if !weather.lags {
        return SimConfig { seed, agents, ..SimConfig::default() };
    }
    SimConfig {
        seed,
        agents,
        guard_lag_ms: rng.of(&[0, 60, 400, 1_500]),
        rejoin_ms: rng.of(&[5, 300, 1_500, 5_000]),
        customer_join_ms: rng.of(&[0, 300, 3_000, 12_000]),
        connecting_ms: rng.of(&[0, 0, 100, 1_000]),
        conference_attributes_ms: rng.of(&[0, 500, 5_000]),
        conference_attributes_missing: rng.percent(20),
        transfer_hold_ms: rng.of(&[0, 100, 900]),
        cold_unhold_ms: rng.of(&[5, 300, 2_000]),
        ..SimConfig::default()
    }
}

fn actions(rng: &mut Rng) -> Vec<(i64, Action)> {
    let mut actions = vec![(0, Action::Tell(Verb::CustomerCalls)), (pause(rng), Action::Accept(rng.below(4)))];
    for _ in 0..rng.below(18) + 2 {
        if rng.percent(25) {
            actions.push((0, Action::Rest));
        }
        actions.push((pause(rng), action(rng)));
    }
    actions
}

fn pause(rng: &mut Rng) -> i64 {
    match rng.below(4) {
        0 => rng.ms(0, 10),
        1 => rng.ms(0, 150),
        2 => rng.ms(100, 2_000),
        _ => rng.ms(0, 6_000),
    }
}

fn action(rng: &mut Rng) -> Action {
    let who = rng.below(4);
    match rng.below(100) {
        0..32 => Action::Accept(who),
        32..36 => Action::Reject(who),
        36..39 => Action::TimeOut(who),
        39..41 => Action::Unreachable(who),
        41..66 => Action::Transfer {
            from: who,
            to: rng.below(4),
            queue: rng.of(&[0, 0, 0, 1, 2, 3]),
            mode: rng.of(&[Mode::Warm, Mode::Warm, Mode::Cold]),
        },
        66..70 => Action::Cancel(who),
        70..76 => Action::Hold(who),
        76..83 => Action::Unhold(who),
        83..92 => Action::Leave(who),
        92..95 => Action::Complete(who),
        95..97 => Action::SocketDies(who),
        97..99 => Action::HangUp,
        _ => Action::ConferenceEnds,
    }
}

fn fault(rng: &mut Rng) -> Fault {
    let took_effect = rng.percent(50);
    let answer = |status, body, took_effect| Fault::Answer { status, retry_after: None, body, took_effect };
    match rng.below(14) {
        0 => answer(429, FaultBody::Json, false),
        1 => {
            Fault::Answer { status: 429, retry_after: Some("2".to_owned()), body: FaultBody::Json, took_effect: false }
        }
        2..4 => answer(503, FaultBody::Json, took_effect),
        4..6 => answer(500, FaultBody::Html, took_effect),
        6 => answer(200, FaultBody::Html, true),
        7..10 => Fault::Cut { took_effect },
        10..12 => Fault::Hang { took_effect },
        12 => answer(401, FaultBody::Json, false),
        _ if rng.percent(80) => answer(400, FaultBody::Json, false),
        _ if rng.percent(50) => Fault::ConferenceEnds(rng.of(&[Side::Before, Side::After])),
        _ => Fault::CustomerHangsUp(rng.of(&[Side::Before, Side::After])),
    }
}

/// An answer that is not what Twilio says of the request: a proxy's page, or one wrong word of Twilio's.
fn wrong_answer(rng: &mut Rng) -> Fault {
    let took_effect = rng.percent(30);
    let (status, body, took_effect) = match rng.below(6) {
        0 => (404, FaultBody::Html, took_effect),
        1 => (404, FaultBody::Json, false),
        2 => (403, FaultBody::Html, took_effect),
        3 => (504, FaultBody::Empty, took_effect),
        4 => (502, FaultBody::Html, took_effect),
        _ => (200, FaultBody::Html, took_effect),
    };
    Fault::Answer { status, retry_after: None, body, took_effect }
}

fn disorder(rng: &mut Rng) -> DeliveryFault {
    match rng.below(3) {
        0 => DeliveryFault::Late(rng.ms(1, 300)),
        1 => DeliveryFault::Late(rng.ms(1, 4_000)),
        _ => DeliveryFault::Twice(rng.ms(0, 3_000), rng.percent(50)),
    }
}
