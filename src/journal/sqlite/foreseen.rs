//! Calls that are taken before their events are committed.

use super::live::CallId;
use super::schedule::Schedule;
use crate::journal::{Claim, Foresight};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Who is asked.
#[derive(Default)]
pub(super) struct Consulted(Mutex<Option<Weak<dyn Foresight>>>);

impl Consulted {
    pub(super) fn consult(&self, foresight: Weak<dyn Foresight>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(foresight);
    }

    pub(super) fn foresight(&self) -> Option<Arc<dyn Foresight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }
}

/// A call that was taken. Dropped before its events are durable, as by a failure, it is told that they are not.
pub(super) struct Taken {
    pub(super) id: CallId,
    /// The call's schedule, if nothing of it is committed.
    pub(super) before: Schedule,
    pub(super) has_first: bool,
    claim: Claim,
    foresight: Arc<dyn Foresight>,
    is_durable: bool,
}

impl Taken {
    pub(super) fn new(
        id: CallId,
        before: Schedule,
        claim: Claim,
        foresight: Arc<dyn Foresight>,
        has_first: bool,
    ) -> Self {
        Self { id, before, has_first, claim, foresight, is_durable: false }
    }

    pub(super) fn durable(mut self) {
        self.is_durable = true;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.foresight.settled(&self.claim, self.is_durable);
    }
}
