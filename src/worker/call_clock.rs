//! The time that a call sees: the journal's, unless facts of the call lie in the future of that.
//!
//! Such stamps are from before a clock was set back, or from a worker that measured the database's clock a little differently.
//! The call's time goes on from them, or what it waits for would not come until the journal's clock has caught up.

use crate::call::fact::EpochMs;
use crate::call::sid::TaskSid;
use crate::journal::{Clock, TOLERANCE_MS};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How far calls are ahead of the journal's clock, from one claim to the next. Most calls are not, and have no entry.
#[derive(Default)]
pub(super) struct Leads(Mutex<BTreeMap<TaskSid, EpochMs>>);

impl Leads {
    fn of(&self, task: &TaskSid) -> Option<EpochMs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(task).copied()
    }

    /// Remembers how far ahead a call is when it is given back. After less than the tolerance the journal's clock has caught
    /// up before anybody notices.
    pub(super) fn keep(&self, task: &TaskSid, clock: &CallClock, journal: &Clock) {
        let lead = clock.now() - journal.now();
        let mut leads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lead > TOLERANCE_MS {
            leads.insert(task.clone(), lead);
        } else {
            leads.remove(task);
        }
    }

    /// Nothing more will be done for this call.
    pub(super) fn forget(&self, task: &TaskSid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(task);
    }
}

/// The clock of one call while it is claimed. It never goes back, is never behind the call's newest fact, and runs on from
/// there however clocks are set.
pub(super) struct CallClock {
    base: EpochMs,
    since: Instant,
    told: bool,
}

impl CallClock {
    /// The journal's time, or the call's own where that was ahead when the call was last given back.
    pub(super) fn new(task: &TaskSid, journal: &Clock, leads: &Leads) -> Self {
        let lead = leads.of(task);
        Self { base: journal.now() + lead.unwrap_or(0), since: Instant::now(), told: lead.is_some() }
    }

    pub(super) fn now(&self) -> EpochMs {
        self.base.saturating_add(i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// Takes into account that the call's newest fact is stamped with this time.
    pub(super) fn not_before(&mut self, at: EpochMs, task: &TaskSid) {
        let ahead_ms = at.saturating_sub(self.now());
        if ahead_ms <= 0 {
            return;
        }
        if ahead_ms > TOLERANCE_MS && !self.told {
            self.told = true;
            tracing::warn!(
                task_sid = %task, ahead_ms,
                "facts of this call are stamped in the future of the journal's clock; the call's time goes on from them"
            );
        }
        (self.base, self.since) = (at, Instant::now());
    }
}
