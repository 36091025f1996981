//! What should be: which streams ought to run, and which changes lead there from what runs.

use super::leg::Stream;
use super::policy::Policy;
use super::sid::ReservationSid;
use super::state::Call;
use super::step::{Change, StreamStart};
use std::collections::BTreeSet;

/// The streams to start and to stop; both together are one redirect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order of acceptance.
    pub(super) start: Vec<StreamStart>,
    /// In the order of starting.
    pub(super) stop: Vec<Stream>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.start.is_empty() && self.stop.is_empty()
    }

    /// Every change, stops first.
    pub(super) fn changes(&self) -> Vec<Change> {
        let stops = self.stop.iter().map(|stream| Change::Stop(stream.reservation.clone()));
        let starts = self.start.iter().map(|start| Change::Start(start.reservation.clone()));
        stops.chain(starts).collect()
    }
}

impl Call {
    /// The changes that are due: a stream for every accepted reservation, within the budget, and no other.
    ///
    /// Over the budget the latest to accept come first: the agent who has just been given the call needs its audio most,
    /// and one who has had it for long is about to leave. When room returns, an evicted stream starts again.
    pub(super) fn plan(&self, policy: &Policy) -> Plan {
        let live: Vec<&Stream> = self.streams().iter().filter(|stream| stream.live).collect();
        let parked = |change: Change| self.leg.parked.contains_key(&change);
        let accepted = self.accepted();

        // What cannot be stopped keeps its tracks, also when its agent is still on the call.
        let stuck: Vec<&Stream> =
            live.iter().copied().filter(|stream| parked(Change::Stop(stream.reservation.clone()))).collect();
        let is_stuck = |sid: &ReservationSid| stuck.iter().any(|stream| stream.reservation == *sid);
        let mut used: usize = stuck.iter().map(|stream| policy.tracks(stream.slot)).sum();
        let mut taken: BTreeSet<usize> = self.streams().iter().map(|stream| stream.slot).collect();
        let mut started = self.streams().len();
        let mut wanted: BTreeSet<&ReservationSid> = BTreeSet::new();
        for (sid, _) in accepted.iter().rev().filter(|(sid, _)| !is_stuck(sid)) {
            let slot = live.iter().find(|stream| stream.reservation == **sid).map(|stream| stream.slot);
            let cost = policy.tracks(slot.unwrap_or_else(|| free_slot(&taken, started, policy)));
            if used + cost > policy.track_budget {
                break;
            }
            used += cost;
            wanted.insert(*sid);
        }

        let mut plan = Plan::default();
        for (sid, reservation) in &accepted {
            let runs = live.iter().any(|stream| stream.reservation == **sid);
            let Some(worker) = &reservation.worker else { continue };
            let Some(task) = self.task() else { continue };
            if runs || !wanted.contains(*sid) || parked(Change::Start((*sid).clone())) {
                continue;
            }
            let slot = free_slot(&taken, started, policy);
            taken.insert(slot);
            started += 1;
            plan.start.push(StreamStart {
                name: self.stream_name(policy, worker.as_str(), sid),
                slot,
                reservation: (*sid).clone(),
                worker: worker.clone(),
                task: task.clone(),
            });
        }
        plan.stop = live
            .into_iter()
            .filter(|stream| !wanted.contains(&stream.reservation))
            .filter(|stream| !parked(Change::Stop(stream.reservation.clone())))
            .cloned()
            .collect();
        plan
    }

    /// By worker *and* reservation: after A→B→A one worker has two. A later stream of the same reservation gets a number,
    /// because nobody has published whether a stopped name may be used again.
    fn stream_name(&self, policy: &Policy, worker: &str, reservation: &ReservationSid) -> String {
        let earlier = self.streams().iter().filter(|stream| stream.reservation == *reservation).count();
        let number = if earlier == 0 { String::new() } else { format!("_{}", earlier + 1) };
        format!("{}{worker}_{reservation}{number}", policy.name_prefix)
    }
}

/// The lowest slot never used on this call; once all have been, they take turns.
fn free_slot(taken: &BTreeSet<usize>, started: usize, policy: &Policy) -> usize {
    let slots = policy.slot_tracks.len().max(1);
    (0..slots).find(|slot| !taken.contains(slot)).unwrap_or(started % slots)
}
