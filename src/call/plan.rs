//! What should be: which streams ought to run, and which changes lead there from what runs.

use super::fact::{EpochMs, Parked};
use super::next::Decision;
use super::rules::{PARAMETER_CHARACTERS, Template, characters};
use super::sid::{ReservationSid, WorkerSid};
use super::step::{Goal, StreamStart};
use super::streams::Stream;
use std::collections::{BTreeMap, BTreeSet};

/// The streams to start and to stop.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// In the order of acceptance.
    pub(super) start: Vec<PlannedStart>,
    /// In the order of starting.
    pub(super) stop: Vec<&'a Stream>,
    /// A stream that failed too often.
    pub(super) give_up: Option<Parked>,
    /// When there is something to be looked at again.
    pub(super) not_before: Option<EpochMs>,
    /// Reservations whose stream ended and may be started again, if the call is still there.
    pub(super) check: Vec<Goal>,
}

/// A stream that is due.
#[derive(Debug)]
pub(super) struct PlannedStart {
    pub(super) stream: StreamStart,
    /// An earlier one failed, was given up, was paused, or rested during a hold: without touching the call, whatever the strategy.
    pub(super) again: bool,
}

impl PlannedStart {
    pub(super) fn goal(&self) -> Goal {
        Goal::Start(self.stream.reservation.clone())
    }
}

impl Plan<'_> {
    fn wait(&mut self, at: EpochMs) {
        self.not_before = Some(self.not_before.map_or(at, |known| known.min(at)));
    }
}

impl<'a> Decision<'a> {
    /// The changes that are due: a stream for every accepted reservation that the rules allow one, within the budget, and
    /// no other.
    ///
    /// Over the budget the latest to accept come first: the agent who has just been given the call needs its audio most,
    /// and one who has had it for long is about to leave. When room returns, an evicted stream starts again.
    pub(super) fn plan(&self) -> Plan<'a> {
        let wanted = self.wanted();
        let mut plan = Plan::default();
        let mut kept = BTreeSet::new();
        let mut places = Places::new(self);
        for (sid, reservation) in self.call.accepted() {
            let (Some(slots), Some(worker)) = (wanted.get(sid), &reservation.worker) else { continue };
            let own: Vec<_> = self.call.streams.live().filter(|stream| stream.reservation == *sid).collect();
            if let Some(current) = own.iter().rfind(|stream| self.may_stay(stream)) {
                kept.insert(current.name.as_str());
                if let Some(at) = self.doubt_of(current) {
                    plan.wait(at);
                }
            }
            if own.is_empty() {
                self.plan_start(&mut plan, sid, worker, slots, &mut places);
            } else if !own.iter().any(|stream| self.may_stay(stream)) {
                plan.give_up = self.start_given_up(sid, &own).or(plan.give_up);
            }
        }
        plan.stop = self.call.streams.live().filter(|stream| !kept.contains(stream.name.as_str())).collect();
        plan
    }

    /// A start that has to wait for the stop of the one before, and has for too long, is told of by its own name.
    fn start_given_up(&self, sid: &ReservationSid, own: &[&Stream]) -> Option<Parked> {
        let goal = Goal::Start(sid.clone());
        let start = self.call.retries.tries(&goal)?;
        let stops = own.iter().filter_map(|stream| self.call.retries.tries(&Goal::Stop(stream.name.clone())));
        let stop = stops.max_by_key(|stop| stop.last_at)?;
        let lost_at = own.iter().filter_map(|stream| stream.lost_at()).min();
        let since = lost_at.map_or(start.first_at, |at| at.min(start.first_at));
        let is_exhausted = self.policy.is_exhausted(&start.followed_by(stop, since), since, false);
        is_exhausted.then(|| Parked { reason: start.reason.clone(), goal })
    }

    fn plan_start(
        &self,
        plan: &mut Plan<'_>,
        sid: &ReservationSid,
        worker: &WorkerSid,
        slots: &[usize],
        places: &mut Places,
    ) {
        let goal = Goal::Start(sid.clone());
        let (failures, last) = self.call.streams.failures(sid);
        let given_up = self.call.retries.is_parked(&goal);
        let Some(task) = self.call.task() else { return };
        if let Some(over_at) = last.and_then(Stream::over_at) {
            if failures > self.policy.restart_limit && !given_up {
                let error = last.and_then(Stream::error).map(|code| format!(", at last with Twilio's error {code}"));
                let error = error.unwrap_or_default();
                let reason = format!("the stream ended {failures} times without being stopped{error}");
                plan.give_up = Some(Parked { goal, reason });
                return;
            }
            let pause = if given_up { self.policy.slow_retry_ms } else { self.policy.restart_pause(failures) };
            let at = over_at.saturating_add(pause);
            // The end of the call ends streams too, and may be the first that is heard of it.
            if at > self.now {
                return plan.wait(at);
            } else if !self.call.leg.is_alive_since(over_at) {
                return plan.check.push(goal);
            }
        }
        let resumes = self.resumption(sid);
        // Where the stream was that it goes on with.
        let same = resumes.as_ref().and_then(|_| self.call.streams.last_run(sid)).map(|stream| stream.slot);
        let slot = same.filter(|slot| slots.contains(slot)).unwrap_or_else(|| places.take(slots));
        let destination = self.policy.destinations.get(slot);
        let (parameters, altered) = self.parameters(slot, sid, worker);
        let stream = StreamStart {
            name: self.stream_name(worker, sid),
            slot,
            tracks: self.policy.tracks(slot),
            confirms: destination.is_some_and(|destination| destination.confirms),
            reservation: sid.clone(),
            worker: worker.clone(),
            task: task.clone(),
            parameters,
            resumes,
            altered,
        };
        // Nobody leaves a conference for a pause or a hold.
        let again = failures > 0 || given_up || stream.resumes.is_some();
        plan.start.push(PlannedStart { stream, again });
    }

    /// The reservations that should have a stream, with the slots that it may take.
    fn wanted(&self) -> BTreeMap<ReservationSid, Vec<usize>> {
        let mut wanted = BTreeMap::new();
        if self.call.is_over() || !self.call.is_eligible(self.policy) {
            return wanted;
        }
        // What cannot be stopped keeps its tracks, also when its agent is still on the call; and so do other tasks' streams.
        let is_stuck = |stream: &&Stream| self.call.retries.is_parked(&Goal::Stop(stream.name.clone()));
        let stuck: Vec<_> = self.call.streams.live().filter(is_stuck).collect();
        let own: usize = stuck.iter().map(|stream| stream.tracks).sum();
        let mut used = own + self.others_tracks();
        let is_kept = |sid: &ReservationSid| stuck.iter().any(|stream| stream.reservation == *sid);
        let accepted = self.call.accepted().into_iter().rev();
        for (sid, _) in accepted.filter(|(sid, _)| !self.call.pauses.cover(sid) && !is_kept(sid)) {
            let slots = self.left_by_hold(sid, self.slots(sid));
            if slots.is_empty() {
                continue;
            }
            let running =
                self.call.streams.live().find(|stream| stream.reservation == *sid).map(|stream| stream.tracks);
            // Which slot a new one will get depends on what is started beside it: room for the dearest.
            let dearest = || slots.iter().map(|slot| self.policy.tracks(*slot)).max().unwrap_or(0);
            let cost = running.unwrap_or_else(dearest);
            if used + cost > self.policy.track_budget {
                break;
            }
            used += cost;
            wanted.insert(sid.clone(), slots);
        }
        wanted
    }

    /// Tracks of other tasks' streams that may run on the leg.
    fn others_tracks(&self) -> usize {
        self.around.neighbours.iter().map(|other| other.tracks).sum()
    }

    /// Whether the tracks for these are free once `stopped` are over.
    pub(super) fn has_room<'s>(&self, starts: impl Iterator<Item = &'s StreamStart>, stopped: &[&Stream]) -> bool {
        let stays = |stream: &&Stream| !stopped.iter().any(|stopped| stopped.name == stream.name);
        let used: usize = self.call.streams.live().filter(stays).map(|stream| stream.tracks).sum();
        let cost: usize = starts.map(|start| start.tracks).sum();
        used + self.others_tracks() + cost <= self.policy.track_budget
    }

    /// Whether this stream may go on for an agent who should have one.
    fn may_stay(&self, stream: &Stream) -> bool {
        let on_the_leg = Some(&stream.call) == self.call.customer();
        let resolved = stream.start_in_doubt_until(self.policy).is_none_or(|at| self.now < at);
        // One that is perhaps stopped is stopped for certain, so that another can take its place.
        on_the_leg && resolved && !stream.is_orphan() && !stream.is_being_stopped() && !stream.is_failing()
    }

    fn doubt_of(&self, stream: &Stream) -> Option<EpochMs> {
        stream.start_in_doubt_until(self.policy).filter(|at| *at > self.now)
    }

    /// The destinations that the rules allow this reservation's stream.
    fn slots(&self, reservation: &ReservationSid) -> Vec<usize> {
        let field = |name: &str| self.call.task.field(reservation, name);
        match self.policy.rules.iter().find(|rule| rule.fits(&field)) {
            Some(rule) => rule.slots.clone(),
            None => (0..self.policy.destinations.len()).collect(),
        }
    }

    /// By worker *and* reservation: after A→B→A one worker has two. A later stream of the same reservation gets a number,
    /// because nobody has published whether a stopped name may be used again.
    fn stream_name(&self, worker: &WorkerSid, reservation: &ReservationSid) -> String {
        let number = match self.call.streams.names_used(reservation) {
            0 => String::new(),
            earlier => format!("_{}", earlier + 1),
        };
        format!("{}{worker}_{reservation}{number}", self.policy.name_prefix)
    }

    /// The destination's parameters, and the names of those of whose value something was lost.
    fn parameters(
        &self,
        slot: usize,
        reservation: &ReservationSid,
        worker: &WorkerSid,
    ) -> (Vec<(String, String)>, Vec<String>) {
        let value = |field: &str| match field {
            "task.sid" => self.call.task().map(ToString::to_string).unwrap_or_default(),
            "reservation.sid" => reservation.to_string(),
            "worker.sid" => worker.to_string(),
            "call.sid" => self.call.customer().map(ToString::to_string).unwrap_or_default(),
            "conference.sid" => self.call.conference().map(ToString::to_string).unwrap_or_default(),
            name => self.call.task.field(reservation, name).join(","),
        };
        let added = self.policy.destinations.get(slot).map(|destination| destination.parameters.as_slice());
        let mut altered = Vec::new();
        let fill = |(name, template): &(String, Template)| {
            let (text, is_altered) = template.fill((PARAMETER_CHARACTERS - 1).saturating_sub(characters(name)), value);
            altered.extend(is_altered.then(|| name.clone()));
            (name.clone(), text)
        };
        let parameters = added.unwrap_or_default().iter().map(fill).collect();
        (parameters, altered)
    }
}

/// Slots in turn: the lowest never used on this call; once all have been, they take turns.
struct Places {
    taken: BTreeSet<usize>,
    started: usize,
}

impl Places {
    fn new(decision: &Decision<'_>) -> Self {
        let streams = decision.call.streams();
        let slots = streams.iter().map(|stream| stream.slot);
        let taken = slots.filter(|slot| *slot < decision.policy.destinations.len()).collect();
        Self { taken, started: streams.len() }
    }

    fn take(&mut self, slots: &[usize]) -> usize {
        let unused = slots.iter().copied().find(|slot| !self.taken.contains(slot));
        let in_turn = || slots.get(self.started % slots.len().max(1)).copied().unwrap_or(0);
        let slot = unused.unwrap_or_else(in_turn);
        self.taken.insert(slot);
        self.started += 1;
        slot
    }
}
