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
    /// Those that have not been taken yet, without gaps.
    facts: Vec<(Seq, Fact)>,
    last: Seq,
}

impl Handed {
    /// All facts of the call so far.
    pub(super) fn claimed(&self, claim: &Claim, facts: Vec<(Seq, Fact)>) {
        let last = facts.last().map_or(0, |(seq, _)| *seq);
        self.facts().insert(claim.call.clone(), Facts { fence: claim.fence, facts, last });
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

    /// The facts after this number, once; `None` when there are none here, and the database has to be asked.
    pub(super) fn take(&self, claim: &Claim, after: Seq) -> Option<Vec<(Seq, Fact)>> {
        let mut all = self.facts();
        let known = all.get_mut(&claim.call).filter(|known| known.fence == claim.fence)?;
        let mut facts = std::mem::take(&mut known.facts);
        let (first, _) = facts.first()?;
        if *first <= after + 1 {
            facts.retain(|(seq, _)| *seq > after);
            return Some(facts);
        }
        // It knows more already, so what is here may have a gap before it.
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
