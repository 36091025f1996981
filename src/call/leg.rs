//! The customer's leg as Twilio's answers tell it: which conference it is in, its guard and hold, where a redirect has led it,
//! and whether it is still in progress. Its streams have rows of their own.
//!
//! ```text
//! whereabouts:  There ──redirect begun──▶ Perhaps away ──taken, or seen to have taken effect──▶ Away ──seen connected──▶ There
//!                 ▲                            │ not performed, or nothing of it can land any more
//!                 └────────────────────────────┘
//! call:         in progress ──▶ gone
//!                     └─ doubted (a 404, 21220) ──fetched──▶ in progress | gone
//! ```
//!
//! The answer to a request that sets the guard is an echo, and a guard written while the participant is held is ignored:
//! only a reading counts (twilio-go issue 259; flex-dialpad-addon-plugin issue 60).

use super::fact::EpochMs;
use super::hold::{Absence, Hold};
use super::policy::Policy;
use super::register::{Poll, Register, Rest};
use super::sid::{CallSid, ConferenceSid};
use super::step::{Command, ConferenceRow, Guard, ParticipantRow, Step};
use super::task::Task;
use std::collections::BTreeSet;

/// How old a reading of the leg may be to say where it was when a stream was started.
const PROBE_AGE_MS: i64 = 2_000;

/// Looks that do not find a customer whose call is in progress before their guard counts as moot: at once, when the call was found in
/// progress, and late. A list may leave out who is there for a while.
const RAISE_MISSES: u32 = 3;

/// How long a list may still show the row that a redirect has taken the customer from.
const STALE_ROW_MS: i64 = 5_000;

/// How often readings may contradict an un-hold before we believe that somebody held the customer again.
const STALE_READINGS: u32 = 3;

/// What is known of the customer's leg.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Leg {
    conference: Option<ConferenceSid>,
    /// The conference's own name, once Twilio has told it together with "in progress".
    friendly_name: Option<String>,
    distrusted: BTreeSet<ConferenceSid>,
    reading: Option<ConferenceReading>,
    /// The last request found no such participant: read before the next change.
    absent: bool,
    /// When the customer was first read absent, and not seen since.
    missed_at: Option<EpochMs>,
    /// Looks for a customer whose guard is to be raised again that did not find them.
    raise_misses: Option<Poll>,
    guard: Register<Guard>,
    hold: Hold,
    /// Guard and hold as they were ahead of an update that was begun and has not settled.
    before_update: Option<Box<(Register<Guard>, Hold)>>,
    whereabouts: Whereabouts,
    /// When the row was made that a redirect has taken the customer from.
    row_left: Option<String>,
    gone: bool,
    /// When the call was last asked for and found in progress.
    alive_at: Option<EpochMs>,
    /// When a command was last answered as if there were no such call in progress.
    doubted_at: Option<EpochMs>,
    conference_ended: bool,
    probe: Option<Probe>,
}

/// Who was in the conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConferenceReading {
    pub(super) conference: ConferenceSid,
    pub(super) asked_at: EpochMs,
    pub(super) at: EpochMs,
    pub(super) customer: Option<ParticipantRow>,
    /// Connected participants besides the customer.
    pub(super) others: usize,
}

/// Where the customer's leg is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// Wherever Flex put it.
    #[default]
    There,
    /// A redirect is under way, or its answer was lost.
    Perhaps(Box<Redirect>),
    /// A redirect took effect; not seen back yet.
    Away(Poll),
}

/// A redirect whose effect is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) step: Step,
    sent_at: EpochMs,
    /// No whole answer came.
    lost: bool,
    pub(super) poll: Poll,
    row_before: Option<ParticipantRow>,
}

/// Where the leg was ahead of the start of a stream that must not move it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Probe {
    name: String,
    conference: ConferenceSid,
    date_created: Option<String>,
    taken_at: Option<EpochMs>,
    /// Whether it has moved, once it was read.
    moved: Option<bool>,
}

/// What a reading of the conference showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// The redirect under way has taken effect.
    pub(super) redirected: bool,
    /// The customer is back from a redirect.
    pub(super) rejoined: bool,
    /// The customer is not in the conference, and no redirect of ours is why.
    pub(super) absent: bool,
    /// The customer is the only one there.
    pub(super) alone: bool,
    /// The customer's row does not tell their guard.
    pub(super) guard_untold: bool,
}

impl Redirect {
    /// From when on it can no longer take effect.
    pub(super) fn lands_by(&self, policy: &Policy) -> EpochMs {
        self.sent_at + policy.landing(self.lost)
    }

    /// Its names, of streams to start.
    pub(super) fn starts(&self) -> Vec<String> {
        let starts = self.step.operation.command().map(Command::starts).unwrap_or_default();
        starts.iter().map(|start| start.name.clone()).collect()
    }
}

/// The conference.
impl Leg {
    pub(super) fn conference(&self) -> Option<&ConferenceSid> {
        self.conference.as_ref()
    }

    pub(super) fn friendly_name(&self) -> Option<&str> {
        self.friendly_name.as_deref()
    }

    pub(super) fn is_distrusted(&self, conference: &ConferenceSid) -> bool {
        self.distrusted.contains(conference)
    }

    pub(super) fn reading(&self) -> Option<&ConferenceReading> {
        self.reading.as_ref()
    }

    pub(super) fn is_absent(&self) -> bool {
        self.absent
    }

    /// Takes an answer about a conference into account: of the one that was asked for, or of the one found by its name.
    /// Whether it is in progress.
    pub(super) fn conference_told(&mut self, asked: Option<&ConferenceSid>, row: Option<&ConferenceRow>) -> bool {
        if let Some(row) = row.filter(|row| row.in_progress) {
            self.conference = Some(row.sid.clone());
            self.friendly_name = Some(row.friendly_name.clone());
            self.distrusted.remove(&row.sid);
            return true;
        }
        if !row.is_some_and(|row| row.to_come) {
            self.conference_lost(asked);
            if asked.is_none() {
                // None of the task's is in progress: what was written went with it, and nobody can be held there.
                self.guard.left();
                self.hold.forget();
            }
        }
        false
    }

    /// Twilio does not know it any more, or nobody is in it. That may be one wrong answer: what was written to it is kept in mind.
    fn conference_lost(&mut self, conference: Option<&ConferenceSid>) {
        self.distrusted.extend(conference.cloned());
        self.conference = None;
        self.friendly_name = None;
        self.absent = false;
    }

    /// Whether agents stay behind in the conference of a customer whose call is over, because of us: a raised guard would have
    /// ended it.
    pub(super) fn leaves_agents_behind(&self) -> bool {
        let away = matches!(self.whereabouts, Whereabouts::Away(_)) && self.own_guard() == Guard::Raised;
        (self.may_be_lowered_by_us() || away) && !self.conference_ended
    }

    /// Twilio does not know the conference whose participants were asked for.
    pub(super) fn conference_unknown(&mut self, conference: &ConferenceSid, at: EpochMs) {
        match &mut self.whereabouts {
            Whereabouts::There => {}
            Whereabouts::Perhaps(redirect) => redirect.poll.polled(at),
            Whereabouts::Away(poll) => poll.polled(at),
        }
        self.conference_lost(Some(conference));
    }

    pub(super) fn conference_ended(&mut self) {
        self.conference_ended = true;
    }

    /// Takes a reading of the participants into account.
    pub(super) fn participants_read(
        &mut self,
        conference: &ConferenceSid,
        rows: &[ParticipantRow],
        customer: Option<&CallSid>,
        asked_at: EpochMs,
        at: EpochMs,
    ) -> Sight {
        let is_customer = |row: &&ParticipantRow| Some(&row.call) == customer;
        let row = rows.iter().find(is_customer).filter(|row| row.connected);
        let customer = row.filter(|row| !self.is_row_left(row, asked_at)).cloned();
        let others = rows.iter().filter(|row| row.connected && !is_customer(row)).count();
        let guard_untold = customer.as_ref().is_some_and(|row| row.guard.is_none());
        let mut sight = Sight { alone: customer.is_some() && others == 0, guard_untold, ..Sight::default() };
        self.absent = customer.is_none();
        if !self.absent {
            (self.missed_at, self.raise_misses) = (None, None);
        }
        // First: a redirect that turns out to have taken effect took a hold with it that only the earlier word knows of.
        if let Whereabouts::Perhaps(redirect) = &mut self.whereabouts {
            redirect.poll.polled(at);
            if redirect.has_taken_effect(customer.as_ref(), self.guard.known()) {
                self.redirected(at);
                sight.redirected = true;
            } else {
                self.hold.spared();
            }
        }
        let back = matches!(self.whereabouts, Whereabouts::Away(_));
        if let Some(row) = &customer {
            self.hold.told(row.hold == Some(true), asked_at, at, back);
        }
        self.probe_read(conference, customer.as_ref(), asked_at);
        match (&mut self.whereabouts, &customer) {
            (Whereabouts::Away(_), Some(row)) => {
                self.whereabouts = Whereabouts::There;
                self.guard.left();
                sight.rejoined = true;
                self.guard_read(row, asked_at, at);
            }
            (Whereabouts::Away(poll), None) => {
                poll.polled(at);
                if rows.is_empty() {
                    self.conference_lost(Some(conference));
                }
            }
            (Whereabouts::There | Whereabouts::Perhaps(_), Some(row)) => self.guard_read(row, asked_at, at),
            (Whereabouts::Perhaps(_), None) => sight.absent = true,
            (Whereabouts::There, None) => {
                if rows.is_empty() {
                    self.conference_lost(Some(conference));
                }
                sight.absent = true;
            }
        }
        self.reading = Some(ConferenceReading { conference: conference.clone(), asked_at, at, customer, others });
        sight
    }

    /// Whether this is the row that the customer was in before the redirect that they are away by: the one that follows it is
    /// younger, and its guard was raised by our TwiML.
    fn is_row_left(&self, row: &ParticipantRow, asked_at: EpochMs) -> bool {
        let Whereabouts::Away(poll) = &self.whereabouts else { return false };
        let is_older = self.row_left.is_some() && row.date_created == self.row_left;
        let is_lowered = row.guard == Some(Guard::Lowered) && self.own_guard() == Guard::Raised;
        is_older && is_lowered && asked_at < poll.since + STALE_ROW_MS
    }

    fn guard_read(&mut self, row: &ParticipantRow, asked_at: EpochMs, at: EpochMs) {
        if let Some(guard) = row.guard {
            self.guard.read(guard, asked_at, at);
        }
        // Our raise has been seen to take effect.
        if self.guard.written() == Some(Guard::Raised) && self.guard.known() == Some(Guard::Raised) {
            self.guard.undone();
        }
    }
}

/// Guard and hold.
impl Leg {
    pub(super) fn guard(&self) -> &Register<Guard> {
        &self.guard
    }

    /// The guard as it should be while no redirect is due: as it was before our first write. Flex raises it.
    pub(super) fn own_guard(&self) -> Guard {
        self.guard.original().unwrap_or(Guard::Raised)
    }

    /// Whether nobody has looked yet how the guard is. A row without one cannot tell.
    pub(super) fn is_own_guard_unread(&self) -> bool {
        self.guard.is_unknown() && self.reading.as_ref().is_none_or(|reading| reading.customer.is_none())
    }

    /// Whether our hand is on a guard that was raised before.
    pub(super) fn is_guard_lowered_by_us(&self) -> bool {
        self.guard.written() == Some(Guard::Lowered) && self.own_guard() == Guard::Raised
    }

    /// The same, also once we have written it raised again, until that is seen.
    pub(super) fn may_be_lowered_by_us(&self) -> bool {
        self.guard.written().is_some() && self.own_guard() == Guard::Raised
    }

    /// Whether the guard is left as we found it, when we have touched it at all.
    pub(super) fn guard_rest(&self, now: EpochMs, policy: &Policy) -> Rest {
        match self.own_guard() {
            Guard::Raised => match self.guard.rest(Guard::Raised, now, policy) {
                // What has landed by then met nobody.
                Rest::LookAt(at) if self.was_absent_since(at) => Rest::Fine,
                rest @ (Rest::LookAt(_) | Rest::Fine | Rest::Missing) => rest,
            },
            Guard::Lowered => Rest::Fine,
        }
    }

    /// Whether the last reading, asked for then or later, shows no customer.
    fn was_absent_since(&self, at: EpochMs) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.customer.is_none() && reading.asked_at >= at)
    }

    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    pub(super) fn hold_mut(&mut self) -> &mut Hold {
        &mut self.hold
    }

    /// Whether people have the customer on hold. Who has left the conference is not.
    pub(super) fn is_on_hold(&self, now: EpochMs, task: &Task) -> bool {
        let is_there = self.whereabouts == Whereabouts::There;
        let left = self.reading.as_ref().filter(|reading| is_there && reading.customer.is_none());
        self.hold.is_peoples(now, task) && left.is_none_or(|reading| self.hold.was_since(reading.at))
    }

    /// What a hold that comes now would meet.
    pub(super) fn absence(&self) -> Absence {
        match &self.whereabouts {
            Whereabouts::There => Absence::None,
            Whereabouts::Perhaps(_) => Absence::Perhaps,
            Whereabouts::Away(poll) => Absence::Since(poll.since),
        }
    }

    /// Until an update settles, as it never may after a crash, it counts as perhaps performed.
    pub(super) fn update_begun(&mut self, guard: Option<Guard>, hold: Option<bool>, at: EpochMs) {
        self.before_update = Some(Box::new((self.guard.clone(), self.hold.clone())));
        if let Some(guard) = guard {
            self.guard.begun(guard, at);
        }
        if hold == Some(false) {
            self.hold.perhaps_unheld(at);
        }
    }

    /// The update has settled, and it is certain what it did: that follows.
    pub(super) fn update_certain(&mut self) {
        if let Some(before) = self.before_update.take() {
            (self.guard, self.hold) = *before;
        }
    }

    /// The update has settled, and its answer says that it was not performed.
    pub(super) fn update_denied(&mut self, guard: Option<Guard>, sent_at: EpochMs, at: EpochMs) {
        if guard == Some(Guard::Lowered) {
            self.guard.denied(Guard::Lowered, sent_at, at);
        }
    }

    pub(super) fn update_unknown(
        &mut self,
        guard: Option<Guard>,
        hold: Option<bool>,
        lost: bool,
        sent_at: EpochMs,
        at: EpochMs,
    ) {
        self.before_update = None;
        if let Some(guard) = guard {
            self.guard.begun(guard, sent_at);
            self.guard.perhaps_taken(at);
        }
        if hold == Some(false) && lost {
            self.hold.may_be_unheld_late(sent_at);
        }
    }

    /// Twilio took an update. Of a customer who is held, and stays so, it ignores the guard in spite of its echo.
    pub(super) fn update_taken(
        &mut self,
        guard: Option<Guard>,
        hold: Option<bool>,
        row: &ParticipantRow,
        sent_at: EpochMs,
        at: EpochMs,
    ) {
        let held = hold.unwrap_or(row.hold == Some(true));
        (self.absent, self.missed_at, self.raise_misses) = (false, None, None);
        match hold {
            Some(held) => self.hold.set_by_us(held, at),
            None => self.hold.told(held, sent_at, at, false),
        }
        if let Some(guard) = guard.filter(|_| !held) {
            self.guard.begun(guard, sent_at);
            self.guard.taken(at);
        }
    }

    /// Nothing can be done to, or need be undone for, a customer who is not in the conference.
    pub(super) fn is_not_there(&mut self) {
        self.absent = true;
    }

    /// The customer whose guard is to be raised again is not there. Nothing need be undone for one who has moved on, once that is
    /// sure.
    pub(super) fn raise_missed(&mut self, at: EpochMs, moved_on: bool) {
        let misses = self.raise_misses.get_or_insert_with(|| Poll::begin(at));
        (misses.polls, misses.last_at) = (misses.polls + 1, at);
        if moved_on && misses.polls >= RAISE_MISSES {
            self.guard.ended();
            self.raise_misses = None;
        }
    }

    /// When to look again for a customer who was not there when their guard was to be raised.
    pub(super) fn raise_look_at(&self, policy: &Policy) -> Option<EpochMs> {
        let misses = self.raise_misses?;
        let at_once = misses.polls == 1 && self.missed_at.is_some_and(|since| self.is_alive_since(since));
        Some(misses.last_at + if at_once { 0 } else { policy.slow_retry_ms })
    }

    /// Whether the customer reads held although we have just lifted the hold, which may be stale.
    pub(super) fn reads_held_again(&self, polls: u32) -> bool {
        self.hold.is() == Some(true) && polls >= STALE_READINGS
    }
}

/// Redirects.
impl Leg {
    pub(super) fn whereabouts(&self) -> &Whereabouts {
        &self.whereabouts
    }

    pub(super) fn redirect_begun(&mut self, step: &Step, at: EpochMs) {
        let row_before = self.reading.as_ref().and_then(|reading| reading.customer.clone());
        let poll = Poll::begin(at);
        self.whereabouts =
            Whereabouts::Perhaps(Box::new(Redirect { step: step.clone(), sent_at: at, lost: true, poll, row_before }));
    }

    /// It took effect: Twilio took it, or it was seen to have.
    pub(super) fn redirected(&mut self, at: EpochMs) {
        if let Whereabouts::Perhaps(redirect) = &self.whereabouts {
            self.row_left = redirect.row_before.as_ref().and_then(|row| row.date_created.clone());
        }
        self.hold.redirected(at);
        self.guard.left();
        self.whereabouts = Whereabouts::Away(Poll::begin(at));
    }

    pub(super) fn redirect_unknown(&mut self, sent_at: EpochMs, lost: bool, at: EpochMs) {
        if let Whereabouts::Perhaps(redirect) = &mut self.whereabouts {
            redirect.sent_at = sent_at;
            redirect.lost = lost;
            redirect.poll = Poll::begin(at);
        }
    }

    /// Somebody wants what was not seen in time to be looked for as if for the first time.
    pub(super) fn look_anew(&mut self, at: EpochMs) {
        if let Whereabouts::Away(poll) = &mut self.whereabouts {
            *poll = Poll::begin(at);
        }
    }

    /// It was not performed, or nothing of it can land any more.
    pub(super) fn redirect_void(&mut self) {
        if let Whereabouts::Perhaps(_) = self.whereabouts {
            self.whereabouts = Whereabouts::There;
            self.hold.spared();
            // An answer that denies it may be wrong: no other redirect goes out on what was read before this one.
            self.reading = None;
        }
    }
}

impl Redirect {
    /// A redirect pulls the leg out at once and puts a younger row in its place, whose guard our TwiML has set.
    fn has_taken_effect(&self, customer: Option<&ParticipantRow>, guard: Option<Guard>) -> bool {
        customer.is_none_or(|row| {
            let younger = self.row_before.as_ref().is_some_and(|before| before.date_created != row.date_created);
            younger || (guard == Some(Guard::Lowered) && row.guard == Some(Guard::Raised))
        })
    }
}

/// Whether the call is in progress.
impl Leg {
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(super) fn went(&mut self) {
        self.gone = true;
        self.redirect_void();
    }

    pub(super) fn seen_alive(&mut self, asked_at: EpochMs) {
        self.alive_at = self.alive_at.max(Some(asked_at));
    }

    /// When the call was last asked for and found in progress.
    pub(super) fn alive_at(&self) -> Option<EpochMs> {
        self.alive_at
    }

    /// Whether the call was found in progress since.
    pub(super) fn is_alive_since(&self, since: EpochMs) -> bool {
        self.alive_at.is_some_and(|at| at >= since)
    }

    /// Since when our hand has been on a guard that was raised before, without a look at whether the call is in progress.
    pub(super) fn guard_lowered_since(&self) -> Option<EpochMs> {
        let written_at = self.guard.written_at().filter(|_| self.is_guard_lowered_by_us())?;
        Some(self.alive_at.map_or(written_at, |seen| seen.max(written_at)))
    }

    /// An answer speaks as if the customer were not there. While our hand is on the guard, one who has hung up leaves agents
    /// behind.
    pub(super) fn missed(&mut self, at: EpochMs) {
        self.absent = true;
        if self.may_be_lowered_by_us() && self.missed_at.is_none() {
            self.doubted(at);
        }
    }

    /// A reading shows that the customer is not there. Whether they left the conference while their call went on.
    pub(super) fn read_absent(&mut self, at: EpochMs) -> bool {
        self.missed(at);
        let since = *self.missed_at.get_or_insert(at);
        self.is_alive_since(since)
    }

    pub(super) fn doubted(&mut self, at: EpochMs) {
        self.doubted_at = Some(at);
    }

    /// Whether the call has to be asked for, because an answer spoke as if it were not in progress.
    pub(super) fn is_doubted(&self) -> bool {
        !self.gone && self.doubted_at.is_some_and(|at| !self.is_alive_since(at))
    }
}

/// Whether the leg stays where it is when a stream is started through its resource.
impl Leg {
    /// Remembers where the leg is, when that is known well enough.
    pub(super) fn probe(&mut self, name: &str, at: EpochMs) {
        let fresh = self.reading.as_ref().filter(|reading| at - reading.asked_at <= PROBE_AGE_MS);
        self.probe = fresh.and_then(|reading| {
            let customer = reading.customer.as_ref()?;
            let (conference, date_created) = (reading.conference.clone(), customer.date_created.clone());
            Some(Probe { name: name.to_owned(), conference, date_created, taken_at: None, moved: None })
        });
    }

    pub(super) fn probe_taken(&mut self, at: EpochMs) {
        if let Some(probe) = &mut self.probe {
            probe.taken_at = Some(at);
        }
    }

    pub(super) fn probe_void(&mut self) {
        self.probe = None;
    }

    fn probe_read(&mut self, conference: &ConferenceSid, customer: Option<&ParticipantRow>, asked_at: EpochMs) {
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.taken_at.is_some_and(|at| asked_at >= at)) else {
            return;
        };
        let stayed = customer.is_some_and(|row| row.date_created == probe.date_created);
        let moved = !stayed || *conference != probe.conference;
        probe.moved = Some(moved);
        if moved {
            // A caller who has hung up has not been moved by us.
            self.doubted_at = Some(asked_at);
        }
    }

    /// The stream whose start is to be checked, in the conference where the leg was.
    pub(super) fn unverified(&self) -> Option<(&str, &ConferenceSid)> {
        let probe = self.probe.as_ref().filter(|probe| probe.taken_at.is_some() && probe.moved.is_none())?;
        Some((&probe.name, &probe.conference))
    }

    /// The stream whose start has been checked, and whether the leg moved.
    pub(super) fn verified(&self) -> Option<(&str, bool)> {
        let probe = self.probe.as_ref()?;
        probe.moved.map(|moved| (probe.name.as_str(), moved))
    }

    /// Whether where the leg is now is known well enough to start a stream under watch.
    pub(super) fn can_be_probed(&self, now: EpochMs) -> bool {
        self.reading.as_ref().is_some_and(|reading| now - reading.asked_at <= PROBE_AGE_MS / 2)
    }
}
