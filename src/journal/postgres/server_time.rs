//! The server's time as this process was last told it, to find out that it was set back.
//!
//! A server's clock is stepped back, or a standby takes over whose clock is behind. What was put off to a time lies further ahead
//! then than it was put off for. Each claim says what time it must be there by now, and puts that right when it is earlier.

use crate::call::fact::EpochMs;
use crate::journal::TOLERANCE_MS;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What time it was there, and when that was known here.
pub(super) struct ServerTime(Mutex<(EpochMs, Instant)>);

impl ServerTime {
    /// Nothing in the database is stamped later than `newest`, which a server of another time may have done.
    pub(super) fn new(now: EpochMs, newest: EpochMs) -> Self {
        Self(Mutex::new((now.max(newest), Instant::now())))
    }

    /// An earlier time means that the clock was set back. Less than the tolerance is not worth the work.
    pub(super) fn earliest(&self) -> EpochMs {
        let (told, at) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = EpochMs::try_from(at.elapsed().as_millis()).unwrap_or(EpochMs::MAX);
        told.saturating_add(passed).saturating_sub(TOLERANCE_MS)
    }

    /// It is `now` there, in answer to a question that was asked when `earliest` was expected.
    pub(super) fn told(&self, now: EpochMs, earliest: EpochMs) {
        if now < earliest {
            tracing::warn!(
                behind_ms = earliest - now,
                "the database's clock was set back, or a server has taken over whose clock is behind: what waits is looked at now; synchronise the servers (NTP)"
            );
        }
        // As of the answer, so that the time which it took makes nothing early.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (now, Instant::now());
    }
}
