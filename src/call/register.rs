//! A value at Twilio that we write, that others write too, and that only a reading proves.
//!
//! ```text
//! write:  begun ──▶ taken | perhaps taken | denied   (or not performed: as if it had never been begun)
//! read:   proves the value once no write can land after it
//! ```
//!
//! The answer to a write is an echo, and Twilio's own copies lag; so two writes of different values may land in either order
//! for a while, and a reading from that time proves nothing.

use super::fact::EpochMs;
use super::policy::Policy;

/// Looks that lie further apart do not belong together. `redirect.poll_ms` and a request take less.
const LOOKS_APART_MS: i64 = 10_000;

/// What we wrote, and what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Register<T> {
    /// As it was read before our first write.
    original: Option<T>,
    /// We have written it once.
    touched: bool,
    write: Option<Write<T>>,
    /// An earlier write of another value that had not been seen to land.
    contrary: Option<Write<T>>,
    /// The newest writes of unknown end, and denied ones, one for each value: they may land whatever came of the resource since.
    strays: Vec<Write<T>>,
    read: Option<Reading<T>>,
    /// Readings since the write.
    polls: u32,
}

/// A value that we sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Write<T> {
    value: T,
    /// The same value had been taken before, and was not seen.
    again: bool,
    sent_at: EpochMs,
    end: WriteEnd,
}

/// How sending it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteEnd {
    Begun,
    Taken(EpochMs),
    Unknown(EpochMs),
    /// The answer says that it was not performed. It may have been all the same.
    Denied(EpochMs),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading<T> {
    value: T,
    asked_at: EpochMs,
    at: EpochMs,
}

/// How a value that should be stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Read, after everything that could change it.
    Proven,
    /// Written and not read yet, or perhaps about to be overwritten by an earlier write: read again.
    Awaited(Poll),
    /// It has to be written.
    Missing,
}

/// Whether a value is left as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Fine,
    /// A write of unknown end may still change it until then.
    LookAt(EpochMs),
    /// It has to be written, or read.
    Missing,
}

/// Something that is being waited for by reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poll {
    pub(super) since: EpochMs,
    pub(super) polls: u32,
    pub(super) last_at: EpochMs,
}

impl Poll {
    pub(super) fn begin(at: EpochMs) -> Self {
        Self { since: at, polls: 0, last_at: at }
    }

    /// What was not looked at for a while is waited for anew: it is judged by looks, not by an absence or a clock that was set.
    pub(super) fn polled(&mut self, at: EpochMs) {
        if at - self.last_at > LOOKS_APART_MS {
            *self = Self::begin(at);
        }
        self.polls += 1;
        self.last_at = at;
    }
}

impl<T> Default for Register<T> {
    fn default() -> Self {
        Self { original: None, touched: false, write: None, contrary: None, strays: Vec::new(), read: None, polls: 0 }
    }
}

impl<T: Copy + PartialEq> Register<T> {
    /// A write is sent. Until it settles it counts as perhaps taken.
    pub(super) fn begun(&mut self, value: T, at: EpochMs) {
        let earlier = self.write.take();
        let again = earlier.as_ref().is_some_and(|w| w.value == value && matches!(w.end, WriteEnd::Taken(_)));
        if let Some(earlier) = earlier.filter(|earlier| earlier.value != value && !self.shows(earlier)) {
            self.contrary = Some(earlier);
        }
        self.write = Some(Write { value, again, sent_at: at, end: WriteEnd::Begun });
        self.touched = true;
        self.polls = 0;
    }

    pub(super) fn taken(&mut self, at: EpochMs) {
        self.settled(WriteEnd::Taken(at));
    }

    pub(super) fn perhaps_taken(&mut self, at: EpochMs) {
        self.settled(WriteEnd::Unknown(at));
        if let Some(write) = self.write.clone() {
            self.strays.retain(|stray| stray.value != write.value);
            self.strays.push(write);
        }
    }

    /// The answer to a write that has been taken back says that it was not performed: a claim, which a reading shows to be true.
    /// What is read from now on is not what was there before us.
    pub(super) fn denied(&mut self, value: T, sent_at: EpochMs, at: EpochMs) {
        self.touched = true;
        self.strays.retain(|stray| stray.value != value || !matches!(stray.end, WriteEnd::Denied(_)));
        if self.strays.iter().all(|stray| stray.value != value) {
            self.strays.push(Write { value, again: false, sent_at, end: WriteEnd::Denied(at) });
        }
    }

    fn settled(&mut self, end: WriteEnd) {
        if let Some(write) = &mut self.write {
            write.end = end;
        }
    }

    /// Takes a reading into account.
    pub(super) fn read(&mut self, value: T, asked_at: EpochMs, at: EpochMs) {
        if !self.touched {
            self.original = Some(value);
        }
        self.read = Some(Reading { value, asked_at, at });
        self.polls += 1;
    }

    /// Whether we have begun to write it once.
    pub(super) fn is_touched(&self) -> bool {
        self.touched
    }

    /// Whether nobody knows what our first write would overwrite.
    pub(super) fn is_unknown(&self) -> bool {
        !self.touched && self.original.is_none()
    }

    /// As it was before our first write.
    pub(super) fn original(&self) -> Option<T> {
        self.original
    }

    /// The last value that we wrote, unless it has been undone.
    pub(super) fn written(&self) -> Option<T> {
        self.write.as_ref().map(|write| write.value)
    }

    /// When that was sent.
    pub(super) fn written_at(&self) -> Option<EpochMs> {
        self.write.as_ref().map(|write| write.sent_at)
    }

    /// Whether a value that had been taken has been written once more.
    pub(super) fn is_rewritten(&self) -> bool {
        self.write.as_ref().is_some_and(|write| write.again)
    }

    /// The last word on it: a reading that is newer than our last write.
    pub(super) fn known(&self) -> Option<T> {
        let read = self.read.as_ref()?;
        self.write.as_ref().is_none_or(|write| self.shows(write)).then_some(read.value)
    }

    /// Our hand is off it: it is as it was before our first write.
    pub(super) fn undone(&mut self) {
        (self.write, self.contrary) = (None, None);
    }

    /// The resource that bore the value is gone; the next one will bear it as it was before our first write.
    pub(super) fn left(&mut self) {
        (self.write, self.contrary, self.read) = (None, None, None);
    }

    /// The resource that bore the value is gone for good, and so is whatever would still have changed it.
    pub(super) fn ended(&mut self) {
        self.left();
        self.strays.clear();
    }

    /// Whether Twilio took this value, which we wrote last.
    pub(super) fn is_taken(&self, value: T) -> bool {
        self.write.as_ref().is_some_and(|write| write.value == value && matches!(write.end, WriteEnd::Taken(_)))
    }

    /// Whether the value that we wrote last is this one, and a reading made after that shows it, whatever may still land.
    pub(super) fn is_shown(&self, value: T) -> bool {
        let written = self.write.as_ref().filter(|write| write.value == value);
        let since = written.map(|write| match write.end {
            WriteEnd::Taken(at) => at,
            WriteEnd::Begun | WriteEnd::Unknown(_) | WriteEnd::Denied(_) => write.sent_at,
        });
        let read = self.read.as_ref().filter(|read| read.value == value);
        since.zip(read).is_some_and(|(since, read)| read.asked_at >= since)
    }

    /// Whether Twilio's answer to our last write says that it is so: nothing that was sent earlier can land after it, and no later
    /// reading says otherwise.
    pub(super) fn is_claimed(&self, value: T, policy: &Policy) -> bool {
        let Some(write) = self.write.as_ref().filter(|write| write.value == value) else { return false };
        let WriteEnd::Taken(taken_at) = write.end else { return false };
        let is_settled = self.strays_land_by(value, policy).is_none_or(|at| at <= write.sent_at);
        is_settled && self.read.as_ref().is_none_or(|read| read.value == value || read.asked_at < taken_at)
    }

    /// Whether it was read as this value when nothing that we ever wrote could still change it, as far as is known.
    pub(super) fn is_read_for_good(&self, value: T, policy: &Policy) -> bool {
        let writes = self.write.iter().chain(&self.contrary).chain(&self.strays);
        let settled_by = writes.map(|write| write.lands_by(policy)).max();
        let read = self.read.as_ref().filter(|read| read.value == value);
        read.is_some_and(|read| settled_by.is_none_or(|at| read.asked_at >= at))
    }

    /// From when on no write of another value whose end is unknown can land any more.
    pub(super) fn strays_land_by(&self, value: T, policy: &Policy) -> Option<EpochMs> {
        let unknown = self.unknown().filter(|write| write.value != value);
        unknown.map(|write| write.sent_at + policy.landing_ms).max()
    }

    /// When the newest write was sent whose end is unknown, whatever its value.
    pub(super) fn unknown_sent_at(&self) -> Option<EpochMs> {
        self.unknown().map(|write| write.sent_at).max()
    }

    fn unknown(&self) -> impl Iterator<Item = &Write<T>> {
        let writes = self.contrary.iter().chain(&self.strays);
        writes.filter(|write| matches!(write.end, WriteEnd::Begun | WriteEnd::Unknown(_)))
    }

    /// Whether a reading shows the effect of this write.
    fn shows(&self, write: &Write<T>) -> bool {
        let settled = match write.end {
            WriteEnd::Taken(at) => at,
            WriteEnd::Begun | WriteEnd::Unknown(_) | WriteEnd::Denied(_) => return false,
        };
        let shows = |read: &Reading<T>| read.value == write.value && read.asked_at >= settled;
        self.contrary.is_none() && self.read.as_ref().is_some_and(shows)
    }

    /// How a value that should be stands.
    pub(super) fn standing(&self, value: T, now: EpochMs, policy: &Policy) -> Standing {
        let Some(write) = self.write.as_ref().filter(|write| write.value == value) else { return Standing::Missing };
        let WriteEnd::Taken(taken_at) = write.end else { return Standing::Missing };
        let certain_from = self.certain_from(value, policy);
        match &self.read {
            Some(read) if read.value == value && read.asked_at >= certain_from => Standing::Proven,
            Some(read) if read.value == value && now < certain_from + policy.verify_guard_ms => {
                Standing::Awaited(Poll { since: read.at, polls: u32::MAX, last_at: read.at })
            }
            read => {
                let last_at = read.as_ref().map_or(taken_at, |read| read.at.max(taken_at));
                let poll = Poll { since: taken_at, polls: self.polls, last_at };
                // What nobody has looked at yet need not be written again.
                let is_unseen = read.as_ref().is_none_or(|read| read.asked_at < taken_at);
                let is_awaited = is_unseen || now < taken_at + policy.verify_guard_ms;
                if is_awaited { Standing::Awaited(poll) } else { Standing::Missing }
            }
        }
    }

    /// How a value that we do not want to be different stands, also when we have not written it last.
    pub(super) fn rest(&self, value: T, now: EpochMs, policy: &Policy) -> Rest {
        if !self.touched {
            return Rest::Fine;
        }
        let read = self.read.as_ref();
        let is_written = self.write.is_some() && self.standing(value, now, policy) != Standing::Proven;
        if is_written || read.is_some_and(|read| read.value != value) {
            return Rest::Missing;
        }
        let stray = self.strays.iter().filter(|stray| stray.value != value).map(|stray| stray.lands_by(policy)).max();
        match stray {
            Some(at) if read.is_none_or(|read| read.asked_at < at) => Rest::LookAt(at),
            Some(_) | None => Rest::Fine,
        }
    }

    /// From when on a reading proves the value: our write is taken, and no other one can land any more.
    fn certain_from(&self, value: T, policy: &Policy) -> EpochMs {
        let own = self.write.as_ref().map_or(EpochMs::MIN, |write| match write.end {
            WriteEnd::Taken(at) => at,
            WriteEnd::Begun | WriteEnd::Unknown(_) | WriteEnd::Denied(_) => EpochMs::MAX,
        });
        let strays = self.strays.iter().filter(|stray| stray.value != value);
        let others = self.contrary.iter().chain(strays).map(|write| write.lands_by(policy));
        others.fold(own, EpochMs::max)
    }
}

impl<T> Write<T> {
    /// From when on a reading shows it, if it has landed at all.
    fn lands_by(&self, policy: &Policy) -> EpochMs {
        match self.end {
            WriteEnd::Taken(at) => at + policy.verify_guard_ms,
            WriteEnd::Begun | WriteEnd::Unknown(_) => self.sent_at + policy.landing_ms + policy.verify_guard_ms,
            WriteEnd::Denied(at) => at,
        }
    }
}
