//! File descriptors: connections of strangers must leave some for health, the journal and Twilio.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the process's soft limit of open files to what `connections` and `reserve` need, as far as the hard limit allows.
/// Returns how many connections there can be; `None` when the limit leaves none.
pub fn allow(connections: usize, reserve: usize) -> Option<usize> {
    let needed = u64::try_from(connections.saturating_add(reserve)).unwrap_or(u64::MAX);
    let allowed = usize::try_from(raise(needed)).unwrap_or(usize::MAX);
    Some(allowed.saturating_sub(reserve).min(connections)).filter(|connections| *connections > 0)
}

/// The soft limit of open files.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn raise(needed: u64) -> u64 {
    let current = limit();
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    if raised <= current {
        return current;
    }
    // A sandbox may forbid it; then the connections have to do with fewer.
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(_) => current,
    }
}
