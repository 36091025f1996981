//! The facts of claimed calls that this process knows without asking: those that a claim brought along, those appended under it, and events
//! that were journaled here meanwhile; until the worker has taken them.

use crate::call::fact::Fact;
use crate::call::sid::TaskSid;
use crate::journal::{Claim, Seq};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By call.
#[derive(Default)]
pub(super) struct Handed(Mutex<HashMap<TaskSid, Facts>>);

struct Facts {
    fence: i64,
    /// Those after number `from` that have not been taken yet. One that is missing in between is from elsewhere.
    facts: BTreeMap<Seq, Fact>,
    from: Seq,
    /// Nothing was taken since the claim, so that it is known when there is nothing.
    is_fresh: bool,
}

impl Facts {
    fn insert(&mut self, seq: Seq, fact: Fact) {
        if seq > self.from {
            self.facts.insert(seq, fact);
        }
    }

    /// The number of the last, if none is missing.
    fn last(&self) -> Option<Seq> {
        let last = self.facts.last_key_value().map_or(self.from, |(seq, _)| *seq);
        (usize::try_from(last - self.from) == Ok(self.facts.len())).then_some(last)
    }
}

impl Handed {
    /// All facts of the call so far after number `from`, if they are as many as the claim counts. Others were committed by whoever had
    /// the call before, after the claim's statement had begun and before it locked the row: they have to be asked for.
    pub(super) fn claimed(&self, claim: &Claim, from: Seq, facts: Vec<(Seq, Fact)>) {
        let facts = Facts { fence: claim.fence, facts: facts.into_iter().collect(), from, is_fresh: true };
        let mut all = self.facts();
        if facts.last().is_some_and(|last| last >= claim.facts) {
            all.insert(claim.call.clone(), facts);
        } else {
            all.remove(&claim.call);
        }
    }

    /// A fact of our own.
    pub(super) fn appended(&self, claim: &Claim, seq: Seq, fact: Fact) {
        if let Some(known) = self.facts().get_mut(&claim.call).filter(|known| known.fence == claim.fence) {
            known.insert(seq, fact);
        }
    }

    /// An event that was journaled by this process, whoever has the call.
    pub(super) fn ingested(&self, call: &TaskSid, seq: Seq, fact: &Fact) {
        if let Some(known) = self.facts().get_mut(call) {
            known.insert(seq, fact.clone());
        }
    }

    /// The facts after this number, once; `None` when that is not known here, and the database has to be asked.
    pub(super) fn take(&self, claim: &Claim, after: Seq) -> Option<Vec<(Seq, Fact)>> {
        let mut all = self.facts();
        let known = all.get_mut(&claim.call).filter(|known| known.fence == claim.fence)?;
        let is_fresh = std::mem::take(&mut known.is_fresh);
        if known.facts.is_empty() && !is_fresh {
            return None;
        }
        if known.from <= after
            && let Some(last) = known.last()
        {
            known.from = last;
            let facts = std::mem::take(&mut known.facts).into_iter();
            return Some(facts.filter(|(seq, _)| *seq > after).collect());
        }
        // More is asked for than is here.
        all.remove(&claim.call);
        None
    }

    pub(super) fn released(&self, claim: &Claim) {
        let mut all = self.facts();
        if all.get(&claim.call).is_some_and(|known| known.fence == claim.fence) {
            all.remove(&claim.call);
        }
    }

    fn facts(&self) -> MutexGuard<'_, HashMap<TaskSid, Facts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
