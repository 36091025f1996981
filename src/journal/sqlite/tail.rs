//! The newest facts of a call, in memory from their commit until the worker has taken them into account: handed to it without
//! reading the file.

use crate::call::fact::Fact;
use crate::journal::Seq;
use std::sync::Arc;

/// Of one call. One that gets more at once has them read from the file.
const LONGEST: usize = 64;

/// Of all calls together: some ten megabytes.
const ALL: usize = 16_384;

/// Facts without a gap between them, up to the call's last.
#[derive(Default)]
pub(super) struct Tail(Vec<(Seq, Arc<Fact>)>);

impl Tail {
    /// Adds a fact where there is room beside the facts in all tails, whose new number it returns.
    pub(super) fn push(&mut self, seq: Seq, fact: Arc<Fact>, all: usize) -> usize {
        if self.0.len() >= LONGEST || all >= ALL {
            return all - self.clear();
        }
        self.0.push((seq, fact));
        all + 1
    }

    /// The facts after this number, when they are all here. `last` is the call's last.
    pub(super) fn after(&self, after: Seq, last: Seq) -> Option<Vec<(Seq, Fact)>> {
        if after >= last {
            return Some(Vec::new());
        }
        let is_whole = self.0.first().is_some_and(|(first, _)| *first <= after + 1);
        let later = self.0.iter().filter(|(seq, _)| *seq > after);
        is_whole.then(|| later.map(|(seq, fact)| (*seq, Fact::clone(fact))).collect())
    }

    /// Returns how many there were.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }
}
