//! The facts that a claim brought along, and those appended under it, until the worker has taken them: it need not ask for them.

use crate::call::fact::Fact;
use crate::call::sid::TaskSid;
use crate::journal::{Claim, Seq};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By call.
#[derive(Default)]
pub(super) struct Handed(Mutex<HashMap<TaskSid, Facts>>);

struct Facts {
    fence: i64,
    /// Those after number `from` up to number `last` that have not been taken yet.
    facts: Vec<(Seq, Fact)>,
    from: Seq,
    last: Seq,
    /// Nothing was taken since the claim, so that it is known when there is nothing.
    is_fresh: bool,
}

impl Handed {
    /// All facts of the call so far after number `from`, if they are as many as the claim counts. Others were committed by whoever had
    /// the call before, after the claim's statement had begun and before it locked the row: they have to be asked for.
    pub(super) fn claimed(&self, claim: &Claim, from: Seq, facts: Vec<(Seq, Fact)>) {
        let last = facts.last().map_or(from, |(seq, _)| *seq);
        if last < claim.facts {
            self.facts().remove(&claim.call);
            return;
        }
        let facts = Facts { fence: claim.fence, facts, from, last, is_fresh: true };
        self.facts().insert(claim.call.clone(), facts);
    }

    /// A fact of our own. After one from elsewhere, what is here is not all there is.
    pub(super) fn appended(&self, claim: &Claim, seq: Seq, fact: Fact) {
        let mut all = self.facts();
        let Some(known) = all.get_mut(&claim.call).filter(|known| known.fence == claim.fence) else { return };
        if seq == known.last + 1 {
            known.facts.push((seq, fact));
            known.last = seq;
        } else if seq > known.last {
            all.remove(&claim.call);
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
        let from = std::mem::replace(&mut known.from, known.last);
        let mut facts = std::mem::take(&mut known.facts);
        if from <= after {
            facts.retain(|(seq, _)| *seq > after);
            return Some(facts);
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
