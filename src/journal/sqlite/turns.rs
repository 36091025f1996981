//! The threads and the folding of the write-ahead log take turns. A reading that is under way would prevent it, and where
//! readings follow one another closely there is always one. A commit would find the file locked, and try again late.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A folding waits no longer for a reading or a commit to end. Most take a millisecond.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_reading: bool,
    is_writing: bool,
    is_folding: bool,
}

impl Turns {
    /// Reads, after a folding that is under way.
    pub(super) fn read<T>(&self, work: impl FnOnce() -> T) -> T {
        self.take(|state| &mut state.is_reading, work)
    }

    /// Writes, after a folding that is under way.
    pub(super) fn write<T>(&self, work: impl FnOnce() -> T) -> T {
        self.take(|state| &mut state.is_writing, work)
    }

    fn take<T>(&self, turn: impl Fn(&mut State) -> &mut bool, work: impl FnOnce() -> T) -> T {
        let waited = self.changed.wait_while(self.state(), |state| state.is_folding);
        *turn(&mut waited.unwrap_or_else(PoisonError::into_inner)) = true;
        let done = work();
        *turn(&mut self.state()) = false;
        self.changed.notify_all();
        done
    }

    /// Folds, while nothing new begins and, unless it takes long, nothing is under way.
    pub(super) fn fold<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut state = self.state();
        state.is_folding = true;
        let is_busy = |state: &mut State| state.is_reading || state.is_writing;
        drop(self.changed.wait_timeout_while(state, LONGEST_WAIT, is_busy));
        let done = work();
        self.state().is_folding = false;
        self.changed.notify_all();
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
