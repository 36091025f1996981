//! Live calls by a SID of theirs, in memory.

use super::live::CallId;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Calls with so many bits in common are in one bucket: two dozen of 400,000 live ones.
const BUCKET_BITS: u32 = 14;

/// A bucket with more, and looking through it would take longer than finding a place in a tree.
const BUCKET_LIMIT: usize = 64;

/// Digits of a half of a SID.
const DIGITS: usize = 16;

/// A SID's two halves, as numbers.
type Key = [u64; 2];

/// Calls by the digits of a SID. Every new call is looked for at a place that no processor's cache holds, and here that is one place:
/// the bucket of the SID's first bits. A tree has such a place on each of its levels. SIDs that begin alike are told apart by whoever
/// asks.
pub(super) struct SidIndex {
    buckets: Vec<Vec<(Key, CallId)>>,
    /// Those that their bucket has no room for. Twilio's SIDs are random, and it is empty; others may count them.
    rest: BTreeSet<(Key, CallId)>,
}

impl Default for SidIndex {
    fn default() -> Self {
        Self { buckets: vec![Vec::new(); 1 << BUCKET_BITS], rest: BTreeSet::new() }
    }
}

impl SidIndex {
    pub(super) fn insert(&mut self, sid: &str, id: CallId) {
        let Some(key) = key(sid) else { return };
        match self.buckets.get_mut(place(key)).filter(|bucket| bucket.len() < BUCKET_LIMIT) {
            Some(bucket) => bucket.push((key, id)),
            None => _ = self.rest.insert((key, id)),
        }
    }

    pub(super) fn remove(&mut self, sid: &str, id: CallId) {
        let Some(entry) = key(sid).map(|key| (key, id)) else { return };
        if !self.rest.remove(&entry)
            && let Some(bucket) = self.buckets.get_mut(place(entry.0))
        {
            bucket.retain(|other| *other != entry);
        }
    }

    /// The calls whose SID may begin with this, and few others: whoever asks compares.
    pub(super) fn candidates(&self, beginning: &str) -> impl Iterator<Item = CallId> {
        keys(beginning).into_iter().flat_map(|keys| {
            let (first, last) = (*keys.start(), *keys.end());
            let buckets = self.buckets.get(place(first)..=place(last)).into_iter().flatten().flatten();
            let rest = self.rest.range((first, CallId::MIN)..=(last, CallId::MAX));
            buckets.filter(move |(key, _)| keys.contains(key)).chain(rest).map(|(_, id)| *id)
        })
    }
}

fn place([first, _]: Key) -> usize {
    usize::try_from(first >> (u64::BITS - BUCKET_BITS)).unwrap_or(0)
}

fn key(sid: &str) -> Option<Key> {
    keys(sid).map(|keys| *keys.start())
}

/// The keys of all SIDs with this beginning, of a whole SID its only one; `None` when it holds another character than digits.
fn keys(beginning: &str) -> Option<RangeInclusive<Key>> {
    let digits = beginning.get(2..)?;
    let (first, second) = digits.split_at_checked(digits.len().min(DIGITS))?;
    let (first, second) = (half(first)?, half(second.get(..DIGITS).unwrap_or(second))?);
    Some([*first.start(), *second.start()]..=[*first.end(), *second.end()])
}

/// The numbers that begin with these digits, of which there are no more than they have.
fn half(digits: &str) -> Option<RangeInclusive<u64>> {
    let number = if digits.is_empty() { 0 } else { u64::from_str_radix(digits, 16).ok()? };
    let known = 4 * u32::try_from(digits.len()).ok()?;
    // Beyond a shift by all bits there is nothing.
    let first = number.checked_shl(u64::BITS.checked_sub(known)?).unwrap_or(0);
    Some(first..=first + u64::MAX.checked_shr(known).unwrap_or(0))
}
