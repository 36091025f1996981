//! What should be: which streams ought to run, and which changes lead there from what runs.

use super::fact::{EpochMs, Parked};
use super::ledger::Stream;
use super::policy::Policy;
use super::rules::PARAMETER_CHARACTERS;
use super::sid::{ReservationSid, WorkerSid};
use super::state::Call;
use super::step::{Change, StreamStart};
use std::collections::{BTreeMap, BTreeSet};

/// The streams to start and to stop; with the redirect strategy both together are one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order of acceptance.
    pub(super) start: Vec<StreamStart>,
    /// In the order of starting.
    pub(super) stop: Vec<Stream>,
    /// Streams that outlived their purpose, which are stopped without a redirect.
    pub(super) orphans: Vec<Stream>,
    /// A stream that failed too often.
    pub(super) give_up: Option<Parked>,
    /// When the next stream that ended may be started again.
    pub(super) not_before: Option<EpochMs>,
    /// Reservations whose stream ended and may be started again, if the call is still there.
    pub(super) look: Vec<Change>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.start.is_empty() && self.stop.is_empty() && self.orphans.is_empty()
    }

    /// Every change that a redirect makes, stops first.
    pub(super) fn changes(&self) -> Vec<Change> {
        let stops = self.stop.iter().map(|stream| Change::Stop(stream.reservation.clone()));
        let starts = self.start.iter().map(|start| Change::Start(start.reservation.clone()));
        stops.chain(starts).collect()
    }
}

impl Call {
    /// The changes that are due: a stream for every accepted reservation that the rules allow one, within the budget, and
    /// no other.
    ///
    /// Over the budget the latest to accept come first: the agent who has just been given the call needs its audio most,
    /// and one who has had it for long is about to leave. When room returns, an evicted stream starts again.
    pub(super) fn plan(&self, policy: &Policy, now: EpochMs) -> Plan {
        let live: Vec<&Stream> = self.streams().iter().filter(|stream| stream.is_live() && !stream.orphan).collect();
        let parked = |change: Change| self.leg.parked.contains_key(&change);
        let wanted = self.wanted(policy, &live);
        let mut plan = Plan::default();
        let mut places = Places::new(self, policy);
        for (sid, reservation) in self.accepted() {
            let runs = live.iter().any(|stream| stream.reservation == *sid);
            let (Some(slots), Some(worker)) = (wanted.get(sid), &reservation.worker) else { continue };
            if runs || parked(Change::Start(sid.clone())) {
                continue;
            }
            match self.allowed_at(sid, policy) {
                Err(parked) => plan.give_up = Some(parked),
                Ok(at) if at > now => plan.not_before = Some(plan.not_before.map_or(at, |known| known.min(at))),
                // The end of the call ends streams too, and may be the first that is heard of it.
                Ok(at) if at > EpochMs::MIN && self.leg.alive_at.is_none_or(|seen| seen < at) => {
                    plan.look.push(Change::Start(sid.clone()))
                }
                Ok(_) => plan.start.extend(self.start(policy, sid, worker, places.take(slots))),
            }
        }
        // One that is wanted and perhaps stopped is stopped for certain, so that another can take its place.
        let due = |stream: &&Stream| stream.stop_in_doubt.is_some() || !wanted.contains_key(&stream.reservation);
        let unwanted = live.into_iter().filter(due);
        plan.stop = unwanted.filter(|stream| !parked(Change::Stop(stream.reservation.clone()))).cloned().collect();
        let orphans = self.streams().iter().filter(|stream| stream.is_live() && stream.orphan);
        plan.orphans = orphans.filter(|stream| !parked(Change::Orphan(stream.name.clone()))).cloned().collect();
        plan
    }

    /// The reservations that should have a stream, with the slots that it may take.
    fn wanted(&self, policy: &Policy, live: &[&Stream]) -> BTreeMap<ReservationSid, Vec<usize>> {
        // What cannot be stopped keeps its tracks, also when its agent is still on the call.
        let is_stuck = |sid: &ReservationSid| {
            let stuck = self.leg.parked.contains_key(&Change::Stop(sid.clone()));
            stuck && live.iter().any(|stream| stream.reservation == *sid)
        };
        let orphans = self.streams().iter().filter(|stream| stream.is_live() && stream.orphan);
        let orphans = orphans.filter(|stream| self.leg.parked.contains_key(&Change::Orphan(stream.name.clone())));
        let stuck = live.iter().copied().filter(|stream| is_stuck(&stream.reservation)).chain(orphans);
        let mut used: usize = stuck.map(|stream| policy.tracks(stream.slot)).sum();
        let mut wanted = BTreeMap::new();
        for (sid, _) in self.accepted().into_iter().rev().filter(|(sid, _)| !is_stuck(sid)) {
            let slots = self.slots(policy, sid);
            if slots.is_empty() {
                continue;
            }
            let running =
                live.iter().find(|stream| stream.reservation == *sid).map(|stream| policy.tracks(stream.slot));
            // Which slot a new one will get depends on what is started beside it: room for the dearest.
            let dearest = || slots.iter().map(|slot| policy.tracks(*slot)).max().unwrap_or(0);
            let cost = running.unwrap_or_else(dearest);
            if used + cost > policy.track_budget {
                break;
            }
            used += cost;
            wanted.insert(sid.clone(), slots);
        }
        wanted
    }

    /// The destinations that the rules allow this reservation's stream.
    fn slots(&self, policy: &Policy, reservation: &ReservationSid) -> Vec<usize> {
        let field = |name: &str| self.field(reservation, name);
        match policy.rules.iter().find(|rule| rule.fits(&field)) {
            Some(rule) => rule.slots.clone(),
            None => (0..policy.destinations.len()).collect(),
        }
    }

    /// When the reservation's stream may be started: at once, or a while after the last one failed.
    fn allowed_at(&self, reservation: &ReservationSid, policy: &Policy) -> Result<EpochMs, Parked> {
        let (failures, last) = self.leg.ledger.failures(reservation);
        let Some(last) = last else { return Ok(EpochMs::MIN) };
        if failures > policy.restart_limit {
            let error = last.error.map(|code| format!(", at last with Twilio's error {code}")).unwrap_or_default();
            let reason = format!("the stream ended {failures} times without being stopped{error}");
            return Err(Parked { change: Change::Start(reservation.clone()), reason });
        }
        Ok(last.over_at.unwrap_or(EpochMs::MIN).saturating_add(policy.restart_pause(failures)))
    }

    fn start(
        &self,
        policy: &Policy,
        reservation: &ReservationSid,
        worker: &WorkerSid,
        slot: usize,
    ) -> Option<StreamStart> {
        Some(StreamStart {
            name: self.stream_name(policy, worker, reservation),
            slot,
            reservation: reservation.clone(),
            worker: worker.clone(),
            task: self.task()?.clone(),
            parameters: self.parameters(policy, slot, reservation, worker),
        })
    }

    /// By worker *and* reservation: after A→B→A one worker has two. A later stream of the same reservation gets a number,
    /// because nobody has published whether a stopped name may be used again.
    fn stream_name(&self, policy: &Policy, worker: &WorkerSid, reservation: &ReservationSid) -> String {
        let number = match self.leg.ledger.names_used(reservation) {
            0 => String::new(),
            earlier => format!("_{}", earlier + 1),
        };
        format!("{}{worker}_{reservation}{number}", policy.name_prefix)
    }

    fn parameters(
        &self,
        policy: &Policy,
        slot: usize,
        reservation: &ReservationSid,
        worker: &WorkerSid,
    ) -> Vec<(String, String)> {
        let value = |field: &str| match field {
            "task.sid" => self.task().map(ToString::to_string).unwrap_or_default(),
            "reservation.sid" => reservation.to_string(),
            "worker.sid" => worker.to_string(),
            "call.sid" => self.customer().map(ToString::to_string).unwrap_or_default(),
            "conference.sid" => self.conference().map(ToString::to_string).unwrap_or_default(),
            name => self.field(reservation, name).join(","),
        };
        let added = policy.destinations.get(slot).map(|destination| destination.parameters.as_slice());
        let fill = |(name, template): &(String, super::rules::Template)| {
            let room = (PARAMETER_CHARACTERS - 1).saturating_sub(name.chars().count());
            (name.clone(), template.fill(room, value))
        };
        added.unwrap_or_default().iter().map(fill).collect()
    }
}

/// Slots in turn: the lowest never used on this call; once all have been, they take turns.
struct Places {
    taken: BTreeSet<usize>,
    started: usize,
}

impl Places {
    fn new(call: &Call, policy: &Policy) -> Self {
        let slots = call.streams().iter().map(|stream| stream.slot);
        let taken = slots.filter(|slot| *slot < policy.destinations.len()).collect();
        Self { taken, started: call.streams().len() }
    }

    fn free(&self, slots: &[usize]) -> usize {
        let unused = slots.iter().copied().find(|slot| !self.taken.contains(slot));
        let in_turn = || slots.get(self.started % slots.len().max(1)).copied().unwrap_or(0);
        unused.unwrap_or_else(in_turn)
    }

    fn take(&mut self, slots: &[usize]) -> usize {
        let slot = self.free(slots);
        self.taken.insert(slot);
        self.started += 1;
        slot
    }
}
