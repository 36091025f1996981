//! Live calls by a SID of theirs, in memory.

use super::live::CallId;
use std::ops::RangeInclusive;

/// Calls with so many bits in common are in one bucket: two dozen of 400,000 live ones.
const BUCKET_BITS: u32 = 14;

/// As many digits as a key has.
const DIGITS: usize = 16;

/// Calls by the first digits of a SID, as a number. Every new call is looked for at a place that no processor's cache holds, and here
/// that is one place: a tree has one on each of its levels. SIDs that begin alike are told apart by whoever asks.
pub(super) struct SidIndex(Vec<Vec<(u64, CallId)>>);

impl Default for SidIndex {
    fn default() -> Self {
        Self(vec![Vec::new(); 1 << BUCKET_BITS])
    }
}

impl SidIndex {
    pub(super) fn insert(&mut self, sid: &str, id: CallId) {
        if let Some((key, bucket)) = self.bucket(sid) {
            bucket.push((key, id));
        }
    }

    pub(super) fn remove(&mut self, sid: &str, id: CallId) {
        if let Some((_, bucket)) = self.bucket(sid) {
            bucket.retain(|(_, other)| *other != id);
        }
    }

    /// The calls whose SID may begin with this, and few others: whoever asks compares.
    pub(super) fn candidates(&self, beginning: &str) -> impl Iterator<Item = CallId> {
        let keys = keys(beginning);
        let buckets = keys.as_ref().and_then(|keys| self.0.get(place(*keys.start())..=place(*keys.end())));
        let entries = buckets.into_iter().flatten().flatten();
        entries.filter(move |(key, _)| keys.as_ref().is_some_and(|keys| keys.contains(key))).map(|(_, id)| *id)
    }

    fn bucket(&mut self, sid: &str) -> Option<(u64, &mut Vec<(u64, CallId)>)> {
        let key = *keys(sid)?.start();
        Some((key, self.0.get_mut(place(key))?))
    }
}

fn place(key: u64) -> usize {
    usize::try_from(key >> (u64::BITS - BUCKET_BITS)).unwrap_or(0)
}

/// The keys of all SIDs with this beginning, of a whole SID its only one; `None` when it holds another character than digits.
fn keys(beginning: &str) -> Option<RangeInclusive<u64>> {
    let digits = beginning.get(2..)?;
    let digits = digits.get(..DIGITS).unwrap_or(digits);
    let known = 4 * u32::try_from(digits.len()).ok()?;
    let number = if digits.is_empty() { 0 } else { u64::from_str_radix(digits, 16).ok()? };
    // Beyond a shift by all bits there is nothing.
    let first = number.checked_shl(u64::BITS - known).unwrap_or(0);
    let rest = u64::MAX.checked_shr(known).unwrap_or(0);
    Some(first..=first + rest)
}
