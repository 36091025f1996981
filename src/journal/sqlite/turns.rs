//! Our own reader and the folding of the write-ahead log take turns: a reading that is under way would prevent it, and where
//! readings follow one another closely there is always one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The writer waits no longer for a reading of ours to end. Most take a millisecond.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_reading: bool,
    is_folding: bool,
}

impl Turns {
    /// Reads, after a folding that is under way.
    pub(super) fn read(&self, work: impl FnOnce()) {
        let state = self.state();
        let waited = self.changed.wait_while(state, |state| state.is_folding);
        waited.unwrap_or_else(PoisonError::into_inner).is_reading = true;
        work();
        self.state().is_reading = false;
        self.changed.notify_all();
    }

    /// Folds, while no new reading begins and, unless one takes long, none is under way.
    pub(super) fn fold<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut state = self.state();
        state.is_folding = true;
        drop(self.changed.wait_timeout_while(state, LONGEST_WAIT, |state| state.is_reading));
        let done = work();
        self.state().is_folding = false;
        self.changed.notify_all();
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
