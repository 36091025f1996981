//! A limit on lines that others can provoke.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A sender who can reach the listener must not be able to fill the log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Logs at most once per ten seconds, with the number of lines suppressed since.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<(Option<Instant>, u64)>);

impl LogThrottle {
    pub fn log(&self, write: impl FnOnce(u64)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, suppressed) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < LOG_INTERVAL) {
            *suppressed += 1;
            return;
        }
        *last = Some(Instant::now());
        let count = std::mem::take(suppressed);
        drop(state);
        write(count);
    }
}
