//! What facts are stamped by: one clock per journal, so that the stamps of one journal can be compared.
//!
//! ```text
//! SQLite:      the machine's wall clock, read once when the file is opened ─┐
//! PostgreSQL:  the server's clock, measured whenever a session connects ────┴─▶ base ──monotonic──▶ now
//! ```
//!
//! Between two measurements only monotonic time counts, so that setting a wall clock changes nothing for a running process.

use crate::call::fact::EpochMs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Clocks that differ by no more are taken for the same: NTP corrects as much without anybody noticing.
pub(crate) const TOLERANCE_MS: EpochMs = 2_000;

/// Where a clock gets its time from.
pub trait TimeSource: Send + Sync + 'static {
    /// The time of day, which can be set.
    fn wall(&self) -> EpochMs;

    /// The time since some moment of the past, which only grows.
    fn monotonic(&self) -> Duration;
}

/// This machine's time.
#[derive(Debug, Clone, Copy)]
pub struct MachineTime(Instant);

impl Default for MachineTime {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl TimeSource for MachineTime {
    fn wall(&self) -> EpochMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EpochMs::try_from(since.as_millis()).unwrap_or(EpochMs::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What a server's clock said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// The server's time, once its answer had arrived.
    pub at: EpochMs,
    /// Half the round trip: how far off that may be.
    pub uncertainty_ms: EpochMs,
}

impl Measurement {
    /// The server said `told`, in answer to a question that took `round_trip`.
    pub fn new(told: EpochMs, round_trip: Duration) -> Self {
        let half = EpochMs::try_from(round_trip.as_millis() / 2).unwrap_or(EpochMs::MAX);
        Self { at: told.saturating_add(half), uncertainty_ms: half.saturating_add(1) }
    }
}

/// The clock of a journal. It never goes back while the process lives.
pub struct Clock {
    source: Box<dyn TimeSource>,
    course: Mutex<Course>,
    /// A difference from the machine's clock was logged.
    told: AtomicBool,
}

/// From a point on, the clock runs with monotonic time, or at half its speed until it has lost what it was ahead.
#[derive(Debug, Clone, Copy)]
struct Course {
    base: EpochMs,
    since: Duration,
    ahead_ms: EpochMs,
}

impl Clock {
    /// The machine's clock, in whose file `newest` is the newest stamp. Small corrections of the machine's clock between two
    /// processes are covered up; a stamp far from the future is told, and the clock does not wait for it.
    pub fn of_machine(source: impl TimeSource, newest: Option<EpochMs>) -> Self {
        let wall = source.wall();
        let ahead_ms = newest.map_or(0, |newest| newest.saturating_sub(wall));
        if ahead_ms > TOLERANCE_MS {
            tracing::warn!(
                ahead_ms,
                "the journal has facts from the future: this machine's clock was set back, or it was wrong before; new facts are stamped by it as it is now"
            );
        }
        let base = if (0..=TOLERANCE_MS).contains(&ahead_ms) { wall.saturating_add(ahead_ms) } else { wall };
        Self::starting_at(source, base)
    }

    /// The clock of a server, as it was first measured.
    pub fn of_server(source: impl TimeSource, first: Measurement) -> Self {
        let clock = Self::starting_at(source, first.at);
        clock.compare(first);
        clock
    }

    fn starting_at(source: impl TimeSource, base: EpochMs) -> Self {
        let course = Course { base, since: source.monotonic(), ahead_ms: 0 };
        Self { source: Box::new(source), course: Mutex::new(course), told: AtomicBool::new(false) }
    }

    /// What time it is.
    pub fn now(&self) -> EpochMs {
        let course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        course.at(self.source.monotonic())
    }

    /// Follows the server's clock as it was just measured: forward at once, back by running at half speed.
    pub fn follow(&self, measured: Measurement) {
        self.compare(measured);
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        let since = self.source.monotonic();
        let now = course.at(since);
        let difference = measured.at.saturating_sub(now);
        if difference.saturating_abs() > measured.uncertainty_ms {
            *course = Course { base: now.max(measured.at), since, ahead_ms: difference.saturating_neg().max(0) };
        }
    }

    fn compare(&self, measured: Measurement) {
        let ahead_ms = self.source.wall().saturating_sub(measured.at);
        let differs = ahead_ms.saturating_abs() > TOLERANCE_MS.saturating_add(measured.uncertainty_ms);
        if differs && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                ahead_ms,
                "this machine's clock differs from the database's, which facts are stamped by: synchronise both (NTP)"
            );
        }
    }
}

impl Course {
    fn at(&self, monotonic: Duration) -> EpochMs {
        let elapsed = monotonic.saturating_sub(self.since).as_millis();
        let elapsed = EpochMs::try_from(elapsed).unwrap_or(EpochMs::MAX);
        self.base.saturating_add(elapsed - (elapsed / 2).min(self.ahead_ms))
    }
}
