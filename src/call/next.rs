//! The next step: desired against proven.
//!
//! What is to be reached comes in the order of danger: whether there is a call at all, streams within a pause, recordings within it, a customer on
//! the way back from a redirect, streams that nobody is entitled to, streams that are missing, the guard, the hold, and then what is only to be
//! proven. The first goal about which something can be done now is what is done; where nothing can, the soonest is waited for.

use super::fact::{EpochMs, FactKind, Notice, Parked};
use super::leg::{Leg, Redirect, Whereabouts};
use super::plan::{Plan, PlannedStart};
use super::policy::{Policy, Strategy};
use super::register::{Poll, Rest, Standing};
use super::retry::Readiness;
use super::sid::{AccountSid, CallSid, ConferenceSid, ReservationSid};
use super::state::{Call, Neighbour};
use super::step::{Command, Goal, Guard, Operation, Read, Settled, Step};
use super::streams::{StopDue, Stream};

/// No call of Twilio's lasts longer (<https://www.twilio.com/docs/voice/api/call-resource>, `TimeLimit`).
const LONGEST_CALL_MS: i64 = 24 * 60 * 60 * 1000;

/// A stream that was given up and runs for this long is well again.
const STABLE_MS: i64 = 10_000;

/// How long to wait for tracks that another task's streams have: no fact of this task tells when they are free.
pub(super) const NEIGHBOUR_POLL_MS: i64 = 1_000;

/// Who is not back so long after a redirect may have hung up meanwhile. Twilio takes a fraction of it.
const LATE_REJOIN_MS: i64 = 3_000;

/// The longest pause between readings while a redirect is in doubt.
const DOUBT_POLL_MS: i64 = 1_000;

/// What to do about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Perform this step, journal how it ended, and ask again.
    Do(Step),
    /// Journal that this was given up, tell somebody, and ask again.
    Park(Parked),
    /// Journal this, tell somebody, and ask again.
    Report(FactKind),
    /// Ask again at this time, or when a fact arrives.
    WaitUntil(EpochMs),
    /// Ask again when a fact arrives.
    Idle,
    /// The call is over: nothing will be done any more.
    Over,
}

impl Next {
    /// Whether what other tasks do to the same leg bears on it.
    pub fn is_shared(&self) -> bool {
        match self {
            Next::Do(step) => step.operation.is_shared(),
            Next::Report(what) => matches!(what, FactKind::Noticed(Notice::PauseProven { .. })),
            Next::Park(_) | Next::WaitUntil(_) | Next::Idle | Next::Over => false,
        }
    }
}

/// What a decision rests on besides the call's own facts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around<'a> {
    /// The other tasks that have named the same leg.
    pub neighbours: &'a [Neighbour],
    /// The next start that does not touch the call is checked: the leg must be where it was.
    pub verify: bool,
}

impl Call {
    /// The next step at `now`.
    pub fn next(&self, now: EpochMs, policy: &Policy, around: Around<'_>) -> Next {
        // Of a task that no event has told of, only a late word about a stream can be there.
        if self.task().is_none() {
            return Next::Over;
        }
        if let Some(step) = self.under_way() {
            return Next::Report(FactKind::Settled(Settled::interrupted(step.clone(), now)));
        }
        if self.said_parked && self.parked().next().is_none() {
            return Next::Report(FactKind::Unparked);
        }
        Decision { call: self, leg: &self.leg, now, policy, around }.next()
    }

    /// What to journal of a call whose account we have no credentials of: that it was given up, once.
    pub fn unserved(&self, policy: &Policy) -> Option<Parked> {
        if self.has_nothing_left() || !self.is_eligible(policy) || self.retries.is_parked(&Goal::Serve) {
            return None;
        }
        let account = self.account().map_or("its account", AccountSid::as_str);
        let reason = format!("{account} is not configured: configure it again, restart, and redrive the call");
        Some(Parked { goal: Goal::Serve, reason })
    }

    /// Whether nothing is left to be done about the call, whatever its account.
    pub fn has_nothing_left(&self) -> bool {
        self.task().is_none() || self.is_over() && self.streams.live().next().is_none()
    }
}

/// One decision: the call, the time and the limits.
pub(super) struct Decision<'a> {
    pub(super) call: &'a Call,
    pub(super) leg: &'a Leg,
    pub(super) now: EpochMs,
    pub(super) policy: &'a Policy,
    pub(super) around: Around<'a>,
}

impl Decision<'_> {
    fn next(&self) -> Next {
        if let Some(goal) = self.recovered() {
            return Next::Report(FactKind::Recovered(goal));
        }
        let pauses = self.pauses();
        if let Some(report) = pauses.iter().find(|next| matches!(next, Next::Report(_))) {
            return report.clone();
        }
        if let Some(notice) = self.hold_changed() {
            return notice;
        }
        if let Some(call) = self.call.lowered_on() {
            return self.notice(Notice::GuardLeft { call: call.clone() });
        }
        let at_rest = if self.call.is_over() { Next::Over } else { Next::Idle };
        if self.leg.is_gone() {
            return self.end_conference().unwrap_or(Next::Over);
        }
        let too_long = self.call.first_fact_at().is_some_and(|at| self.now - at > LONGEST_CALL_MS);
        if too_long && self.call.is_over() {
            return Next::Over;
        }
        soonest(self.goals().into_iter().chain(pauses).collect()).unwrap_or(at_rest)
    }

    /// What there is to do about each goal that is not reached, in the order of danger.
    fn goals(&self) -> Vec<Next> {
        let plan = self.plan();
        let mut goals: Vec<Next> = self.check_call().into_iter().chain(self.paused_stops(&plan)).collect();
        goals.extend(self.pause_recordings());
        goals.extend(self.whereabouts());
        if let Some(parked) = &plan.give_up {
            goals.push(Next::Park(parked.clone()));
        }
        let is_there = *self.leg.whereabouts() == Whereabouts::There;
        let shared = if is_there { self.shared_redirect(&plan) } else { Default::default() };
        let stops = plan.stop.iter().filter(|stream| !shared.stops(stream) && !self.is_paused(stream));
        goals.extend(stops.filter_map(|stream| self.stop(stream)));
        if is_there {
            goals.extend(self.starts(&plan, &shared));
            if shared.is_empty() {
                goals.extend(self.restore());
            }
        }
        goals.extend(self.look_at_hold());
        goals.extend(self.hold_forgotten());
        goals.extend(self.resume_recordings());
        goals.extend(self.verify_leg());
        goals.extend(self.unproven_start(&plan));
        goals.extend(plan.not_before.map(Next::WaitUntil));
        goals.extend(self.recovery());
        goals.extend(self.watch());
        goals
    }

    /// A goal that was given up and is reached, or moot.
    fn recovered(&self) -> Option<Goal> {
        let reached = |goal: &Goal| match goal {
            Goal::Stop(name) => !self.call.streams.may_run(name),
            Goal::PauseRecording(kind) => self.needs_no_recording_pause(*kind),
            Goal::ResumeRecording(kind) => self.needs_no_recording_resume(*kind),
            _ if self.call.is_over() => false,
            Goal::Start(reservation) => self.stable_from(reservation).is_some_and(|at| self.now >= at),
            Goal::LowerGuard => !self.call.has_open_transfer(),
            Goal::RaiseGuard => self.leg.guard_rest(self.now, self.policy) == Rest::Fine,
            Goal::HoldAgain => !self.leg.hold().should_be(&self.call.task),
            Goal::Rejoin => *self.leg.whereabouts() == Whereabouts::There,
            Goal::CheckCall => self.call.retries.parked_at(goal).is_some_and(|at| self.leg.is_alive_since(at)),
            Goal::CheckHold => {
                let read_at = self.call.holds.read_at();
                self.call.retries.parked_at(goal).zip(read_at).is_some_and(|(parked_at, read_at)| read_at >= parked_at)
            }
            Goal::FindCustomer | Goal::VerifyLeg | Goal::EndConference | Goal::Serve => false,
        };
        self.call.parked().map(|(goal, _)| goal).find(|goal| reached(goal)).cloned()
    }

    /// From when on a reservation's stream that runs now is well.
    fn stable_from(&self, reservation: &ReservationSid) -> Option<EpochMs> {
        let own = self.call.streams.live().filter(|stream| stream.reservation == *reservation);
        let since = own.filter_map(|stream| {
            let proven = stream.started_at().filter(|_| stream.is_proven());
            if stream.confirms { proven } else { stream.taken_at() }
        });
        since.min().map(|at| at + STABLE_MS)
    }

    /// When the soonest of the starts that were given up is well again.
    fn recovery(&self) -> Option<Next> {
        let starts = self.call.parked().filter_map(|(goal, _)| {
            let Goal::Start(reservation) = goal else { return None };
            self.stable_from(reservation)
        });
        starts.min().filter(|_| !self.call.is_over()).map(Next::WaitUntil)
    }

    /// A command was answered as if there were no such call in progress: whether that is so decides what it means.
    fn check_call(&self) -> Option<Next> {
        let customer = self.call.customer().filter(|_| self.leg.is_doubted())?;
        Some(self.attempt(&[Goal::CheckCall], |why| self.fetch_call(customer, why)))
    }

    /// A redirect that may have taken effect, or one that did.
    fn whereabouts(&self) -> Option<Next> {
        match self.leg.whereabouts() {
            Whereabouts::There => None,
            Whereabouts::Perhaps(redirect) => Some(self.redirect_in_doubt(redirect)),
            Whereabouts::Away(poll) => Some(self.rejoin(*poll)),
        }
    }

    /// Looks at the customer's row until it has told, or until nothing of the redirect can land any more.
    fn redirect_in_doubt(&self, redirect: &Redirect) -> Next {
        let lands_by = redirect.lands_by(self.policy);
        let poll = redirect.poll;
        if poll.polls > 0 && poll.last_at >= lands_by {
            return Next::Report(FactKind::Noticed(Notice::RedirectVoid));
        }
        let goal = [Goal::Rejoin];
        let Some(conference) = self.call.conference() else {
            return self.attempt(&goal, |why| self.find_conference(why));
        };
        let gap = (self.policy.poll_gap(poll.polls) << poll.polls.saturating_sub(4).min(8)).min(DOUBT_POLL_MS);
        let due = (poll.last_at + gap).min(lands_by.max(poll.last_at + 1));
        self.attempt(&goal, |why| self.read_at(due, conference, why))
    }

    /// The customer is on the way back into the conference. Judged by a reading made after the time allowed, never unseen.
    fn rejoin(&self, poll: Poll) -> Next {
        let deadline = poll.since + self.policy.rejoin_ms;
        let parked = self.call.retries.is_parked(&Goal::Rejoin);
        if poll.last_at >= deadline && !parked {
            if let Some(customer) = self.call.customer().filter(|_| !self.leg.is_alive_since(deadline)) {
                return self.attempt(&[Goal::Rejoin], |why| self.fetch_call(customer, why));
            }
            let waited = self.policy.rejoin_ms;
            let reason = format!("the customer was not seen back in the conference within {waited} ms of the redirect");
            return Next::Park(Parked { goal: Goal::Rejoin, reason });
        }
        let Some(conference) = self.call.conference() else { return self.rejoin_another(poll, parked) };
        let late = poll.since + LATE_REJOIN_MS;
        if let Some(customer) = self.call.customer().filter(|_| self.now >= late && !self.leg.is_alive_since(late)) {
            return self.attempt(&[Goal::Rejoin], |why| self.fetch_call(customer, why));
        }
        self.attempt(&[Goal::Rejoin], |why| match parked {
            true => self.read_at(poll.last_at + self.policy.slow_retry_ms, conference, why),
            false => self.poll(conference, poll, why),
        })
    }

    /// The conference ended while the customer was away: they may have hung up. TwiML leads into whichever bears its name.
    fn rejoin_another(&self, poll: Poll, parked: bool) -> Next {
        // Once parked, at every other look.
        let alive_since = if parked { self.now - 2 * self.policy.slow_retry_ms } else { poll.since };
        let gone = self.call.customer().filter(|_| !self.leg.is_alive_since(alive_since));
        self.attempt(&[Goal::Rejoin], |why| match gone {
            Some(customer) => self.fetch_call(customer, why),
            None => self.find_conference(why),
        })
    }

    /// Stops a stream that should not run, without touching the call.
    pub(super) fn stop(&self, stream: &Stream) -> Option<Next> {
        let goal = Goal::Stop(stream.name.clone());
        let nobody_since =
            self.call.task.unentitled_since().filter(|_| self.call.accepted().is_empty() || self.call.is_over());
        let grace_ends = nobody_since.filter(|_| !self.is_paused(stream)).map(|at| at + self.policy.end_grace_ms);
        if let Some(due) = grace_ends.filter(|due| *due > self.now) {
            return Some(Next::WaitUntil(due));
        }
        Some(match stream.stop_due(self.now, self.policy) {
            StopDue::Send { by_sid, conclusive } => self.attempt(&[goal], |why| {
                let sid = stream.sid().filter(|_| by_sid).cloned();
                let (customer, name) = (stream.call.clone(), stream.name.clone());
                self.step(Command::StopStream { customer, name, sid, conclusive }, why)
            }),
            StopDue::Wait(at) => Next::WaitUntil(at),
            StopDue::Unproven => self.notice(Notice::StopUnproven { name: stream.name.clone() }),
        })
    }

    /// The starts that are due: by the shared redirect, and one by one without touching the call.
    fn starts(&self, plan: &Plan<'_>, shared: &super::redirect::Shared<'_>) -> Vec<Next> {
        let nothing = plan.start.is_empty() && plan.check.is_empty();
        let Some(customer) = self.call.customer() else {
            return if nothing { Vec::new() } else { self.find_customer().into_iter().collect() };
        };
        let check = (!plan.check.is_empty()).then(|| self.attempt(&plan.check, |why| self.fetch_call(customer, why)));
        let redirect = (!shared.is_empty()).then(|| self.redirect(shared, customer));
        let creates = plan.start.iter().filter(|start| !shared.starts(start)).map(|start| self.create(start, customer));
        check.into_iter().chain(redirect).chain(creates).collect()
    }

    /// Starts one stream through the leg's Streams resource, which leaves the leg where it is.
    fn create(&self, start: &PlannedStart, customer: &CallSid) -> Next {
        if !self.has_room(std::iter::once(&start.stream), &[]) {
            // What is stopped for it tells when it is over; another task's streams do not.
            let others = !self.around.neighbours.is_empty();
            return if others { Next::WaitUntil(self.now + NEIGHBOUR_POLL_MS) } else { Next::Idle };
        }
        self.attempt(&[start.goal()], |why| {
            if let Some(look) = self.look_ahead(start) {
                return look;
            }
            self.step(Command::CreateStream { customer: customer.clone(), stream: start.stream.clone() }, why)
        })
    }

    /// Where the leg is ahead of a start that is to be checked. What fails here holds up no start.
    fn look_ahead(&self, start: &PlannedStart) -> Option<Next> {
        let sampled = self.around.verify || self.policy.is_sampled(&start.stream.name);
        let wanted = self.policy.strategy == Strategy::StreamsApi && sampled && !start.again;
        let why = vec![Goal::VerifyLeg];
        if !wanted || self.leg.can_be_probed(self.now) || self.call.retries.is_tried(&Goal::VerifyLeg) {
            return None;
        }
        Some(self.read_or_find(self.now, why))
    }

    /// Reads the leg after a start that is to be checked, and says what was seen.
    fn verify_leg(&self) -> Option<Next> {
        if let Some((name, moved)) = self.leg.verified() {
            let name = name.to_owned();
            return (!self.leg.is_doubted())
                .then(|| self.notice(if moved { Notice::LegMoved { name } } else { Notice::LegStayed { name } }));
        }
        let (name, conference) = self.leg.unverified()?;
        let goal = Goal::VerifyLeg;
        match self.readiness(&goal) {
            Readiness::Exhausted(..) => Some(self.notice(Notice::LegUnverified { name: name.to_owned() })),
            Readiness::Now | Readiness::At(_) | Readiness::Never => {
                Some(self.attempt(&[goal], |why| self.read_at(self.now, conference, why)))
            }
        }
    }

    /// The customer's leg is not named: it may be in newer attributes, or show in the conference.
    pub(super) fn find_customer(&self) -> Option<Next> {
        if self.call.looked_in_vain() {
            return None;
        }
        let goal = Goal::FindCustomer;
        // Where looking fails, nobody knows whether there is a call: that is given up like anything else.
        if matches!(self.readiness(&goal), Readiness::Exhausted(..)) && self.call.retries.is_waiting(&goal) {
            return Some(self.notice(Notice::NoCall));
        }
        let task = self.call.task()?;
        Some(self.attempt(&[goal], |why| {
            if let Some(call) = self.call.legs.unread() {
                return self.fetch_call(call, why);
            }
            // In turn. A conference that is found is read at once.
            match self.leg.conference() {
                _ if self.call.retries.count(&Goal::FindCustomer).is_multiple_of(2) => {
                    self.step(Read::Task { task: task.clone() }, why)
                }
                Some(conference) => self.read_at(self.now, conference, why),
                None => self.find_conference(why),
            }
        }))
    }

    /// Guard and hold as they should be while no stream changes by redirect. A guard is not taken from a customer who is held, so
    /// that comes last, unless raising the guard was given up.
    fn restore(&self) -> Vec<Next> {
        let guard = self.guard();
        let given_up = self.call.retries.is_parked(&Goal::RaiseGuard);
        let hold = if guard.is_none() || given_up { self.hold() } else { None };
        guard.into_iter().chain(hold).collect()
    }

    /// The guard as it should be while no stream changes by redirect.
    fn guard(&self) -> Option<Next> {
        let customer = self.call.customer()?;
        let ahead = self.call.has_open_transfer() && !self.call.is_over() && self.may_redirect();
        let (guard, goal, due) = if ahead && !self.call.retries.is_parked(&Goal::LowerGuard) {
            match self.leg.guard().standing(Guard::Lowered, self.now, self.policy) {
                Standing::Proven => return None,
                Standing::Awaited(_) | Standing::Missing => (Guard::Lowered, Goal::LowerGuard, None),
            }
        } else {
            match self.leg.guard_rest(self.now, self.policy) {
                Rest::Fine => return None,
                Rest::LookAt(at) => (Guard::Raised, Goal::RaiseGuard, Some(at)),
                Rest::Missing => (Guard::Raised, Goal::RaiseGuard, self.leg.raise_look_at(self.policy)),
            }
        };
        Some(self.attempt(&[goal], |why| match (self.call.conference(), due) {
            (None, _) => self.find_conference(why),
            (Some(conference), Some(due)) => self.read_at(due, conference, why),
            (Some(conference), None) => self.set_guard(guard, conference, customer, why),
        }))
    }

    /// The hold as it should be.
    fn hold(&self) -> Option<Next> {
        let customer = self.call.customer()?;
        let goal = [Goal::HoldAgain];
        if self.leg.hold().should_be(&self.call.task) {
            return Some(self.attempt(&goal, |why| match self.call.conference() {
                Some(conference) => self.update(conference, customer, None, Some(true), why),
                None => self.find_conference(why),
            }));
        }
        let conference = self.call.conference()?;
        let due = self.leg.hold().look_at(&self.call.task, self.policy)?;
        Some(self.attempt(&goal, |why| self.read_at(due, conference, why)))
    }

    /// The conference of a customer who hung up while we held the guard lowered ends, as Twilio would have ended it.
    fn end_conference(&self) -> Option<Next> {
        let conference = self.call.conference().filter(|_| self.leg.leaves_agents_behind())?.clone();
        Some(self.attempt(&[Goal::EndConference], |why| self.step(Command::EndConference { conference }, why)))
    }

    /// A start that Twilio took, and of which it should have told by now.
    fn unproven_start(&self, plan: &Plan<'_>) -> Option<Next> {
        let is_stopped = |stream: &Stream| plan.stop.iter().any(|stopped| stopped.name == stream.name);
        // Nobody tells of a stream that was never started.
        let waiting = self.call.streams.live().filter(|stream| !self.call.is_shadow() && !is_stopped(stream));
        let dues = waiting.filter_map(|stream| Some((stream.proof_due(self.policy)?, stream)));
        let (due, stream) = dues.min_by_key(|(due, _)| *due)?;
        if due > self.now {
            return Some(Next::WaitUntil(due));
        }
        let replace = self.call.streams.is_worth_replacing(stream);
        Some(self.notice(Notice::StartUnproven { name: stream.name.clone(), replace }))
    }

    /// Looks after calls that have gone quiet: whether they are still there.
    fn watch(&self) -> Option<Next> {
        let customer = self.call.customer()?;
        let due = match self.leg.guard_lowered_since() {
            // Whatever else is read meanwhile does not tell whether the customer is still on the phone.
            Some(since) => since + self.policy.watch_ms,
            None => {
                self.call.streams.live().next()?;
                // Stops that are sent now and then, and prove nothing, do not tell that it is there.
                let unproven = self.call.streams.stops_unproven_since();
                let heard_at = unproven.map(|since| self.leg.alive_at().map_or(since, |seen| seen.max(since)));
                heard_at.unwrap_or(self.call.last_fact_at()) + self.policy.quiet_ms
            }
        };
        if due > self.now && !self.call.retries.is_tried(&Goal::CheckCall) {
            return Some(Next::WaitUntil(due));
        }
        Some(self.attempt(&[Goal::CheckCall], |why| self.fetch_call(customer, why)))
    }
}

/// Steps, and whether they may be tried.
impl Decision<'_> {
    pub(super) fn step(&self, operation: impl Into<Operation>, why: Vec<Goal>) -> Next {
        Next::Do(Step { id: self.call.last_step() + 1, operation: operation.into(), why })
    }

    pub(super) fn notice(&self, notice: Notice) -> Next {
        Next::Report(FactKind::Noticed(notice))
    }

    fn fetch_call(&self, call: &CallSid, why: Vec<Goal>) -> Next {
        self.step(Read::Call { call: call.clone() }, why)
    }

    /// By the name that Flex gives a task's conference.
    pub(super) fn find_conference(&self, why: Vec<Goal>) -> Next {
        match self.call.task() {
            Some(task) => self.step(Read::FindConference { friendly_name: task.to_string() }, why),
            None => Next::Idle,
        }
    }

    /// A reading of the conference, when its time has come.
    pub(super) fn read_at(&self, due: EpochMs, conference: &ConferenceSid, why: Vec<Goal>) -> Next {
        if self.now < due {
            return Next::WaitUntil(due);
        }
        self.step(Read::Participants { conference: conference.clone() }, why)
    }

    /// The same of the conference that is known; one that is not is looked for.
    pub(super) fn read_or_find(&self, due: EpochMs, why: Vec<Goal>) -> Next {
        match self.call.conference() {
            Some(conference) => self.read_at(due, conference, why),
            None => self.find_conference(why),
        }
    }

    pub(super) fn poll(&self, conference: &ConferenceSid, poll: Poll, why: Vec<Goal>) -> Next {
        self.read_at(poll.last_at + self.policy.poll_gap(poll.polls), conference, why)
    }

    pub(super) fn update(
        &self,
        conference: &ConferenceSid,
        customer: &CallSid,
        guard: Option<Guard>,
        hold: Option<bool>,
        why: Vec<Goal>,
    ) -> Next {
        let conference = conference.clone();
        if self.leg.is_absent() {
            return self.step(Read::Participants { conference }, why);
        }
        // A guard written while the customer is held is ignored, unless the same request takes the hold off.
        let held = self.leg.hold().was_since(self.now - self.policy.reading_max_age_ms);
        let hold = hold.or_else(|| (guard.is_some() && held).then_some(false));
        self.step(Command::UpdateCustomer { conference, customer: customer.clone(), guard, hold }, why)
    }

    /// On the way to a guard that reads as it should.
    pub(super) fn set_guard(
        &self,
        guard: Guard,
        conference: &ConferenceSid,
        customer: &CallSid,
        why: Vec<Goal>,
    ) -> Next {
        match self.leg.guard().standing(guard, self.now, self.policy) {
            Standing::Awaited(poll) if !self.leg.reads_held_again(poll.polls) => {
                // The reading would come too early for Twilio's lag anyway: use the time to learn the conference's name.
                if guard == Guard::Lowered && self.leg.friendly_name().is_none() && poll.polls == 0 {
                    return self.step(Read::Conference { conference: conference.clone() }, why);
                }
                self.poll(conference, poll, why)
            }
            // How it was is what it will be again.
            Standing::Missing if self.leg.is_own_guard_unread() => self.read_at(self.now, conference, why),
            Standing::Awaited(_) | Standing::Missing | Standing::Proven => {
                self.update(conference, customer, Some(guard), None, why)
            }
        }
    }

    fn readiness(&self, goal: &Goal) -> Readiness {
        self.call.retries.readiness(goal, self.now, self.call.is_outbound(), self.policy)
    }

    /// Tries to reach some goals: parks one that has been tried for long enough, and waits while none may be tried yet.
    pub(super) fn attempt(&self, goals: &[Goal], how: impl FnOnce(Vec<Goal>) -> Next) -> Next {
        let mut soonest = None;
        for goal in goals {
            let at = match self.readiness(goal) {
                Readiness::Exhausted(parked, since) => {
                    return self.is_call_there(goal, since).unwrap_or(Next::Park(parked));
                }
                Readiness::Now => self.now,
                Readiness::At(at) => at,
                Readiness::Never => continue,
            };
            soonest = Some(soonest.map_or(at, |known: EpochMs| known.min(at)));
        }
        match soonest {
            None => Next::Idle,
            Some(at) if at > self.now => Next::WaitUntil(at),
            Some(_) => how(goals.to_vec()),
        }
    }

    /// Before a stream is given up: a call that is over needs none. Asked for once: who waits for the stream is to be told in time.
    fn is_call_there(&self, goal: &Goal, since: EpochMs) -> Option<Next> {
        let retries = &self.call.retries;
        let unsure = matches!(goal, Goal::Start(_)) && !self.leg.is_alive_since(since);
        let asked = retries.is_tried(&Goal::CheckCall) || retries.is_parked(&Goal::CheckCall);
        let customer = self.call.customer().filter(|_| unsure && !asked)?;
        Some(self.attempt(&[Goal::CheckCall], |why| self.fetch_call(customer, why)))
    }
}

/// Of what could be done independently, what can be done first.
fn soonest(options: Vec<Next>) -> Option<Next> {
    let first = options.into_iter().min_by_key(|next| match next {
        Next::Do(_) | Next::Park(_) | Next::Report(_) => (0, 0),
        Next::WaitUntil(at) => (1, *at),
        Next::Idle | Next::Over => (2, 0),
    });
    first.filter(|next| !matches!(next, Next::Idle | Next::Over))
}
