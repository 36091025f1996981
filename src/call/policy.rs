//! The limits that the core obeys. All of them come from the configuration; times are in milliseconds.

use super::fact::EpochMs;
use super::pause::OnExpiry;
use super::retry::{Retry, RetryKind};
use super::rules::{Destination, Rule};

/// What the core may do, and for how long it tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How streams are started and stopped.
    pub strategy: Strategy,
    /// Task channels (`TaskChannelUniqueName`) whose tasks are voice calls.
    pub channels: Vec<String>,
    /// Stream calls that we placed as well.
    pub outbound: bool,
    /// How long the customer of a call that we placed may take to answer.
    pub outbound_wait_ms: i64,
    /// Where streams go: slot A first. Never empty.
    pub destinations: Vec<Destination>,
    /// The first that fits decides; without one, every destination is used in turn.
    pub rules: Vec<Rule>,
    /// Tracks that may run at once on one call. Twilio allows four
    /// (<https://www.twilio.com/docs/voice/api/stream-resource>).
    pub track_budget: usize,
    /// What a stream's name begins with. Never empty: a stream cannot be stopped by a name that is a bare SID.
    pub name_prefix: String,
    /// How long the guard may take to read lowered after the request that lowers it.
    pub verify_guard_ms: i64,
    /// How long the customer may take to be seen in the conference after a redirect.
    pub rejoin_ms: i64,
    /// How long a command that was answered, and not as Twilio answers, may take to show.
    pub doubt_ms: i64,
    /// How long after it was sent a command whose answer was lost may still be carried out: it may be written late and
    /// delivered late, and take a margin.
    pub landing_ms: i64,
    /// Pauses before the first, second, … reading after a change; the last one repeats. Never empty.
    pub poll_ms: Vec<i64>,
    /// How old a reading of the conference may be for a redirect to rely on it.
    pub reading_max_age_ms: i64,
    /// The first retry comes about this long after the failure.
    pub retry_first_ms: i64,
    /// No retry comes later than this after the failure.
    pub retry_cap_ms: i64,
    /// A goal that has not been reached for this long is parked.
    pub give_up_ms: i64,
    /// A goal that is parked is tried again this long after the last try.
    pub slow_retry_ms: i64,
    /// Streams that nobody is entitled to any more are stopped this long after, unless the call takes them along.
    pub end_grace_ms: i64,
    /// How long a stream may take to be confirmed before it is reported.
    pub confirm_ms: i64,
    /// The first restart of a stream that failed comes this long after; doubled each time, up to `restart_cap_ms`.
    pub restart_ms: i64,
    /// The longest pause between restarts.
    pub restart_cap_ms: i64,
    /// Restarts of one reservation's stream before it is parked, and tried now and then only.
    pub restart_limit: u32,
    /// Of a thousand starts that do not touch the call, so many are checked: the leg must be where it was.
    pub verify_per_mille: u32,
    /// A call with streams of which nothing was heard for this long is looked at.
    pub quiet_ms: i64,
    /// While we hold the guard lowered, the call is looked at this often: a customer who hangs up leaves agents behind.
    pub watch_ms: i64,
    /// While a stream goes by holds, the conference is read this often to see one; 0: only when an event tells of it.
    pub hold_poll_ms: i64,
    /// A pause that is not proven so long after it was asked for is an alarm.
    pub pause_confirm_ms: i64,
    /// The time of a pause is up after this long, also when none was asked for.
    pub pause_max_ms: i64,
    /// What happens then.
    pub pause_on_expiry: OnExpiry,
    /// A pause pauses the call's recordings as well.
    pub pause_recording: bool,
}

/// How streams are started and stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// New TwiML for the customer's leg, which rejoins the conference.
    Redirect,
    /// Requests to the leg's Streams resource, which leave the leg where it is.
    StreamsApi,
}

impl Strategy {
    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Redirect => "redirect",
            Strategy::StreamsApi => "streams-api",
        }
    }
}

/// How often a denial is tried again: a key that was just made, or a proxy's bad moment.
const DENIALS: u32 = 2;

/// The longest pause while waiting for something that others do (the customer joins, the conference appears).
const WAIT_CAP_MS: i64 = 1_000;

impl Policy {
    /// The pause before the reading number `polls` (from 0) after a change.
    pub fn poll_gap(&self, polls: u32) -> i64 {
        let last = self.poll_ms.len().saturating_sub(1);
        self.poll_ms.get((polls as usize).min(last)).copied().unwrap_or(WAIT_CAP_MS)
    }

    /// When a goal that has not been reached may be tried again. The customer of an `outbound` call is looked for less often:
    /// an event tells when they have answered.
    pub fn next_try(&self, retry: &Retry, outbound: bool) -> EpochMs {
        let wait_cap = if outbound { self.retry_cap_ms } else { WAIT_CAP_MS.min(self.retry_cap_ms) };
        let doubling = retry.count.saturating_sub(1).min(16);
        let pause = match retry.kind {
            RetryKind::Waiting => (self.retry_first_ms << doubling).min(wait_cap),
            RetryKind::Denied => ((10 * self.retry_first_ms) << doubling).min(self.retry_cap_ms),
            RetryKind::Failing | RetryKind::Refused => {
                // Full jitter with a mean of `retry_first_ms` at first; the hash makes it reproducible.
                let ceiling = (self.retry_first_ms << (doubling + 1)).min(self.retry_cap_ms).max(1);
                let drawn = 1 + (mix(u64::from(retry.step)) % ceiling.unsigned_abs()).cast_signed();
                let asked = retry.retry_after_ms.map_or(0, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
                drawn.max(asked).min(self.retry_cap_ms)
            }
        };
        retry.last_at + pause
    }

    /// Whether a goal should be given up: refused outright, denied thrice, or its next try would come after the limit, counted from
    /// `since`. The customer of an `outbound` call may take longer to be there than anything that fails.
    pub fn is_exhausted(&self, retry: &Retry, since: EpochMs, outbound: bool) -> bool {
        let limit = match retry.kind {
            RetryKind::Refused => return true,
            RetryKind::Denied if retry.denials > DENIALS => return true,
            RetryKind::Waiting if outbound => self.outbound_wait_ms.max(self.give_up_ms),
            RetryKind::Waiting | RetryKind::Failing | RetryKind::Denied => self.give_up_ms,
        };
        // A gap longer than any pause and request is an absence: of a process that died, or by a clock that was set.
        let absence = (retry.longest_gap_ms - self.retry_cap_ms - self.landing_ms).max(0);
        self.next_try(retry, outbound) > since + absence + limit
    }

    /// What a stream in this slot costs in tracks.
    pub fn tracks(&self, slot: usize) -> usize {
        self.destinations.get(slot).or(self.destinations.last()).map_or(2, |destination| destination.tracks)
    }

    /// The pause after this many failures of a reservation's stream, from 1.
    pub fn restart_pause(&self, failures: u32) -> i64 {
        (self.restart_ms << failures.saturating_sub(1).min(16)).min(self.restart_cap_ms.max(self.restart_ms))
    }
}

impl Policy {
    /// How long after it was sent a command of unknown end may still be carried out.
    pub(super) fn landing(&self, lost: bool) -> i64 {
        if lost { self.landing_ms } else { self.doubt_ms }
    }

    /// Whether the start of this stream is one of those that are checked.
    pub(super) fn is_sampled(&self, name: &str) -> bool {
        let hash = name.bytes().fold(0, |hash: u64, byte| mix(hash ^ u64::from(byte)));
        hash % 1_000 < u64::from(self.verify_per_mille)
    }
}

/// SplitMix64's finaliser: neighbouring step numbers give unrelated values.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
