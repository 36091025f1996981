//! Who decides what is done first about a call before its events are committed, and what it is told afterwards.

use super::{Claim, Foresight};
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

/// A call that was taken. Dropped before its events are durable, as by a failure, whoever took it is told that they are not.
pub(super) struct Taken {
    pub(super) claim: Claim,
    foresight: Arc<dyn Foresight>,
    is_durable: bool,
}

impl Taken {
    pub(super) fn new(claim: Claim, foresight: Arc<dyn Foresight>) -> Self {
        Self { claim, foresight, is_durable: false }
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
