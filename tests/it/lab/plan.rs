//! What will happen in one night: drawn from a seed, and cut down to what makes it fail.

use super::dice::Dice;
pub(super) use crate::core::story::policy as plain_policy;
use std::collections::BTreeMap;
use taskrouter_streams::call::Policy;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::rules::Destination;
use twilio_simulator::SimConfig;
use twilio_simulator::faults::{Fault, FaultBody, Side};
use twilio_simulator::scenario::Verb;
use twilio_simulator::world::Mode;

pub(super) const AGENTS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// One night.
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
    pub(super) mishaps: BTreeMap<u32, DeliveryFault>,
    /// Where the worker dies, and for how many milliseconds it is away.
    pub(super) crashes: BTreeMap<Crash, i64>,
    /// Half a request takes so many milliseconds at most.
    pub(super) latency_ms: i64,
    /// An event is on its way for so many milliseconds at most.
    pub(super) delivery_ms: i64,
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

/// How rough a night is.
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
        let mut dice = Dice::new(seed);
        let weather = Weather {
            faults: dice.percent(50),
            crashes: dice.percent(30),
            lossy: dice.percent(20),
            disorder: dice.percent(40),
            lags: dice.percent(60),
        };
        let behaviour = behaviour(&mut dice, seed, weather);
        let policy = policy(&mut dice);
        let actions = actions(&mut dice);
        let mut plan = Self {
            seed,
            policy,
            behaviour,
            actions,
            faults: BTreeMap::new(),
            mishaps: BTreeMap::new(),
            crashes: BTreeMap::new(),
            latency_ms: dice.of(&[2, 40, 150]),
            delivery_ms: dice.of(&[1, 30, 200]),
        };
        if weather.faults {
            let density = dice.of(&[2, 10, 30]);
            plan.faults = BTreeMap::new();
            for number in 1..300 {
                if dice.percent(density) {
                    plan.faults.insert(number, fault(&mut dice));
                }
            }
        }
        if weather.disorder || weather.lossy {
            for number in 1..150 {
                if weather.disorder && dice.percent(20) {
                    plan.mishaps.insert(number, disorder(&mut dice));
                }
                if weather.lossy && dice.percent(10) {
                    plan.mishaps.insert(number, DeliveryFault::Lost);
                }
            }
        }
        if weather.crashes {
            for _ in 0..dice.below(4) + 1 {
                let at = if dice.percent(50) {
                    Crash::AfterFact(dice.below(80) as usize + 1)
                } else {
                    Crash::BeforeSettled(dice.below(50) + 1)
                };
                plan.crashes.insert(at, dice.of(&[0, 5, 200, 2_000, 20_000]));
            }
        }
        plan
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.mishaps.values().any(|mishap| *mishap == DeliveryFault::Lost)
    }

    /// Nothing goes wrong with requests, events or workers.
    pub(super) fn is_smooth(&self) -> bool {
        self.faults.is_empty() && self.mishaps.is_empty() && self.crashes.is_empty()
    }

    /// How much there is to read in it.
    pub(super) fn weight(&self) -> usize {
        let plain = SimConfig { agents: self.behaviour.agents.clone(), seed: self.seed, ..SimConfig::default() };
        let odd = usize::from(self.behaviour != plain)
            + usize::from(self.policy != plain_policy())
            + usize::from(self.latency_ms > 2)
            + usize::from(self.delivery_ms > 1);
        self.actions.len() + self.faults.len() + self.mishaps.len() + self.crashes.len() + odd
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
        with(&|plan| plan.mishaps.clear());
        with(&|plan| {
            plan.behaviour =
                SimConfig { agents: plan.behaviour.agents.clone(), seed: plan.seed, ..SimConfig::default() }
        });
        with(&|plan| plan.latency_ms = 2);
        with(&|plan| plan.delivery_ms = 1);
        with(&|plan| plan.policy = plain_policy());
        let half = self.actions.len() / 2;
        with(&|plan| plan.actions.truncate(half));
        for number in (0..self.actions.len()).rev() {
            with(&|plan| drop(plan.actions.remove(number)));
        }
        for number in self.faults.keys().rev() {
            with(&|plan| plan.faults.retain(|n, _| n != number));
        }
        for number in self.mishaps.keys().rev() {
            with(&|plan| plan.mishaps.retain(|n, _| n != number));
        }
        for crash in self.crashes.keys() {
            with(&|plan| plan.crashes.retain(|c, _| c != crash));
        }
        plans
    }
}

fn destination(tracks: usize, confirms: bool) -> Destination {
    Destination { tracks, parameters: Vec::new(), confirms }
}

fn policy(dice: &mut Dice) -> Policy {
    let tracks = dice.of(&[2, 2, 1]);
    Policy {
        strategy: dice.of(&[Strategy::Redirect, Strategy::Redirect, Strategy::StreamsApi]),
        destinations: vec![destination(tracks, dice.percent(70)); dice.of(&[1, 2, 2, 3])],
        track_budget: dice.of(&[4, 4, 4, 2]),
        ..plain_policy()
    }
}

fn behaviour(dice: &mut Dice, seed: u64, weather: Weather) -> SimConfig {
    let agents = AGENTS.map(str::to_owned).to_vec();
    if !weather.lags {
        return SimConfig { seed, agents, ..SimConfig::default() };
    }
    SimConfig {
        seed,
        agents,
        guard_lag_ms: dice.of(&[0, 60, 400, 1_500]),
        rejoin_ms: dice.of(&[5, 300, 1_500, 5_000]),
        customer_join_ms: dice.of(&[0, 300, 3_000, 12_000]),
        connecting_ms: dice.of(&[0, 0, 100, 1_000]),
        conference_attributes_ms: dice.of(&[0, 500, 5_000]),
        conference_attributes_missing: dice.percent(20),
        transfer_hold_ms: dice.of(&[0, 100, 900]),
        cold_unhold_ms: dice.of(&[5, 300, 2_000]),
        ..SimConfig::default()
    }
}

fn actions(dice: &mut Dice) -> Vec<(i64, Action)> {
    let mut actions = vec![(0, Action::Tell(Verb::CustomerCalls)), (pause(dice), Action::Accept(dice.below(4)))];
    for _ in 0..dice.below(18) + 2 {
        if dice.percent(25) {
            actions.push((0, Action::Rest));
        }
        actions.push((pause(dice), action(dice)));
    }
    actions
}

fn pause(dice: &mut Dice) -> i64 {
    match dice.below(4) {
        0 => dice.ms(0, 10),
        1 => dice.ms(0, 150),
        2 => dice.ms(100, 2_000),
        _ => dice.ms(0, 6_000),
    }
}

fn action(dice: &mut Dice) -> Action {
    let who = dice.below(4);
    match dice.below(100) {
        0..32 => Action::Accept(who),
        32..36 => Action::Reject(who),
        36..39 => Action::TimeOut(who),
        39..41 => Action::Unreachable(who),
        41..66 => Action::Transfer {
            from: who,
            to: dice.below(4),
            queue: dice.of(&[0, 0, 0, 1, 2, 3]),
            mode: dice.of(&[Mode::Warm, Mode::Warm, Mode::Cold]),
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

fn fault(dice: &mut Dice) -> Fault {
    let took_effect = dice.percent(50);
    let answer = |status, body, took_effect| Fault::Answer { status, retry_after: None, body, took_effect };
    match dice.below(14) {
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
        _ if dice.percent(80) => answer(400, FaultBody::Json, false),
        _ if dice.percent(50) => Fault::ConferenceEnds(dice.of(&[Side::Before, Side::After])),
        _ => Fault::CustomerHangsUp(dice.of(&[Side::Before, Side::After])),
    }
}

fn disorder(dice: &mut Dice) -> DeliveryFault {
    match dice.below(3) {
        0 => DeliveryFault::Late(dice.ms(1, 300)),
        1 => DeliveryFault::Late(dice.ms(1, 4_000)),
        _ => DeliveryFault::Twice(dice.ms(0, 3_000), dice.percent(50)),
    }
}
