//! The streams of a call. Twilio cannot list them, so this is the truth about them.
//!
//! One row per name, from the moment at which its start is begun. A row says what we asked for, what Twilio answered, and what
//! Twilio told by itself, which is later than any answer. Everything else follows from that.
//!
//! ```text
//! start:  Sent ──▶ Taken | Unknown                        (not performed: the row goes)
//! told:   started ──▶ over
//!                 └─ failing (an error that ends no stream) ──stopped──▶ over
//! stop:   Sent ──▶ Taken | Missing (Twilio's 404) | Unknown
//! closed: what shows that it is over, when Twilio does not tell
//! ```

use super::fact::{EpochMs, StreamChange, StreamEvent};
use super::pause::StopProof;
use super::policy::Policy;
use super::sid::{CallSid, ReservationSid, StreamSid};
use super::step::{StreamStart, reservation_in};
use serde::{Deserialize, Serialize};

/// A stream that ran for this long was a success, whatever ends it: earlier failures no longer count.
const SUCCESS_MS: i64 = 60_000;

/// Twilio's answers that make an end certain: a 404 after a stop that was taken, or two.
const PROOFS: u32 = 2;

/// The same of a stream of which Twilio has told an error.
const PROOFS_AFTER_ERROR: u32 = 1;

/// Every stream of a call, in the order in which they were begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Streams {
    rows: Vec<Stream>,
    /// When a destination's last callback arrived, by slot.
    heard: Vec<(usize, EpochMs)>,
}

/// A stream on the customer's leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name, unique on the leg for ever.
    pub name: String,
    /// The leg.
    pub call: CallSid,
    /// The destination's index.
    pub slot: usize,
    /// Tracks that it costs.
    pub tracks: usize,
    /// Twilio tells how it fares.
    pub confirms: bool,
    /// The reservation that it is for.
    pub reservation: ReservationSid,
    /// When its start was begun; when it was first heard of, if nobody asked for it.
    begun_at: EpochMs,
    start: Start,
    stop: Option<Stop>,
    told: Told,
    closed: Option<Closed>,
    notice: Noticed,
    /// An operator wants its failure forgotten.
    forgiven: bool,
}

/// What became of the request that starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Nobody asked for it, as far as this journal knows.
    Unasked,
    Sent(EpochMs),
    Taken(EpochMs),
    Unknown {
        sent_at: EpochMs,
        lost: bool,
    },
}

/// What became of the requests that stop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stop {
    last: StopEnd,
    at: EpochMs,
    by_redirect: bool,
    taken: u32,
    missing: u32,
    /// An earlier one has an unknown end.
    doubtful: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopEnd {
    Sent,
    Taken,
    Missing,
    Unknown,
}

/// Twilio's own word: status callbacks and events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    sid: Option<StreamSid>,
    started_at: Option<EpochMs>,
    over: Option<(EpochMs, StreamChange, Option<u32>)>,
    /// An error that came ahead of any stop and does not say that it is over.
    failing: Option<(EpochMs, Option<u32>)>,
}

/// What shows that it is over, or never was, when Twilio does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    /// Its stop was taken, and shown by a rejoin, a 404 or the lack of callbacks.
    Stopped(EpochMs),
    /// Twilio does not know it, twice.
    NotFound(EpochMs),
    /// The call is over, or not in progress.
    CallOver(EpochMs),
    /// Its start never happened.
    Void(EpochMs),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Noticed {
    start_unproven: bool,
    /// The next one takes its place.
    replaced: bool,
    stop_unproven: Option<EpochMs>,
}

/// How a stream stands, as a person is shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// Asked for; no answer yet.
    Starting,
    /// Twilio took the request. Whether it runs is not proven.
    Taken,
    /// Twilio told that its socket is open.
    Running,
    /// Its start or its stop has an unknown end, or is not proven in time.
    InDoubt,
    /// Its stop was asked for and is not proven.
    Stopping,
    /// We stopped it, and that is proven.
    Stopped,
    /// Over without our asking: ended by somebody, or with the call.
    Ended,
    /// Twilio told that it failed.
    Failed,
    /// It never ran.
    NeverStarted,
}

/// What is due about a stream that should not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopDue {
    /// Send a stop: by its SID or by its name; `conclusive` when a 404 to it says something.
    Send { by_sid: bool, conclusive: bool },
    /// Nothing before that time.
    Wait(EpochMs),
    /// Twilio took it twice and never told that it is over.
    Unproven,
}

/// Whether a stream is over with this error. Twilio's documents call the numbers of its socket and of its configuration errors, and
/// those of single messages (31930, 31931, 31950, 31951) warnings, beside which it goes on
/// (<https://www.twilio.com/docs/api/errors>). What has no number may be either.
fn ends_stream(error: Option<u32>) -> bool {
    matches!(error, Some(31_900..=31_929 | 31_940..=31_949))
}

impl Stream {
    fn new(start: &StreamStart, call: &CallSid, at: EpochMs) -> Self {
        Self {
            name: start.name.clone(),
            call: call.clone(),
            slot: start.slot,
            tracks: start.tracks,
            confirms: start.confirms,
            reservation: start.reservation.clone(),
            begun_at: at,
            start: Start::Sent(at),
            stop: None,
            told: Told::default(),
            closed: None,
            notice: Noticed::default(),
            forgiven: false,
        }
    }

    /// Its SID, once Twilio has told it.
    pub fn sid(&self) -> Option<&StreamSid> {
        self.told.sid.as_ref()
    }

    /// Whether it may have tracks on the leg, as far as anybody knows.
    pub fn may_run(&self) -> bool {
        match (&self.told.over, self.closed) {
            (Some(_), _) => false,
            // Twilio's word is later than what we concluded from a silence.
            (None, Some(Closed::Void(at) | Closed::NotFound(at))) => {
                self.told.started_at.is_some_and(|started| started > at)
            }
            (None, Some(Closed::Stopped(_) | Closed::CallOver(_))) => false,
            (None, None) => true,
        }
    }

    /// Whether Twilio's own word says that it runs.
    pub fn is_proven(&self) -> bool {
        self.told.started_at.is_some() && self.may_run() && !self.is_failing()
    }

    /// Whether Twilio told an error of it that does not say that it is over: it is stopped before another takes its place.
    pub(super) fn is_failing(&self) -> bool {
        self.told.failing.is_some()
    }

    /// When Twilio told that its socket is open.
    pub fn started_at(&self) -> Option<EpochMs> {
        self.told.started_at
    }

    /// When Twilio took its start.
    pub fn taken_at(&self) -> Option<EpochMs> {
        match self.start {
            Start::Taken(at) => Some(at),
            Start::Unasked | Start::Sent(_) | Start::Unknown { .. } => None,
        }
    }

    /// When it was over, as far as anybody knows.
    pub fn over_at(&self) -> Option<EpochMs> {
        if self.may_run() {
            return None;
        }
        let closed = self.closed.map(|closed| match closed {
            Closed::Stopped(at) | Closed::NotFound(at) | Closed::CallOver(at) | Closed::Void(at) => at,
        });
        self.told.over.map(|(at, _, _)| at).or(closed)
    }

    /// What shows that it is over; `None` while it may run.
    pub fn over_by(&self) -> Option<StopProof> {
        match (&self.told.over, self.closed) {
            _ if self.may_run() => None,
            (Some(_), _) => Some(StopProof::Reported),
            (None, Some(Closed::Stopped(_))) => Some(match self.stop {
                Some(stop) if stop.missing > 0 => StopProof::NotFound,
                Some(stop) if stop.by_redirect => StopProof::Rejoined,
                Some(_) | None => StopProof::Answer,
            }),
            (None, Some(Closed::NotFound(_))) => Some(StopProof::NotFound),
            (None, Some(Closed::CallOver(_))) => Some(StopProof::CallOver),
            (None, Some(Closed::Void(_))) => Some(StopProof::NeverStarted),
            (None, None) => None,
        }
    }

    /// Whether its start was begun before that time.
    pub(super) fn is_older_than(&self, at: EpochMs) -> bool {
        self.begun_at < at
    }

    /// Whether it ran, by what Twilio tells; by its answer, where it does not tell.
    pub(super) fn has_run(&self) -> bool {
        self.told.started_at.is_some() || !self.confirms && self.taken_at().is_some()
    }

    /// Twilio's number for what went wrong.
    pub fn error(&self) -> Option<u32> {
        let failing = || self.told.failing.and_then(|(_, error)| error);
        self.told.over.and_then(|(_, _, error)| error).or_else(failing)
    }

    /// Nobody is meant to hear it: it started after it had been given up, or replaced.
    pub fn is_orphan(&self) -> bool {
        let given_up = matches!(self.closed, Some(Closed::Void(_) | Closed::NotFound(_)));
        self.start == Start::Unasked || self.notice.replaced || given_up
    }

    /// A stop was taken, or may have been.
    fn is_stopped_by_us(&self) -> bool {
        self.stop.is_some_and(|stop| stop.taken > 0 || matches!(stop.last, StopEnd::Sent | StopEnd::Unknown))
    }

    /// A stop of it is under way, taken or in doubt.
    pub(super) fn is_being_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// How it stands.
    pub fn state(&self) -> StreamState {
        match (&self.told.over, self.closed) {
            _ if self.may_run() => self.live_state(),
            (Some((_, StreamChange::Error, _)), _) => StreamState::Failed,
            _ if self.is_failing() => StreamState::Failed,
            (Some(_), _) if self.is_stopped_by_us() => StreamState::Stopped,
            (_, Some(Closed::Stopped(_))) => StreamState::Stopped,
            (_, Some(Closed::Void(_))) => StreamState::NeverStarted,
            (Some(_), _) | (None, Some(Closed::NotFound(_) | Closed::CallOver(_)) | None) => StreamState::Ended,
        }
    }

    fn live_state(&self) -> StreamState {
        match (self.stop, self.start) {
            _ if self.notice.stop_unproven.is_some() => StreamState::InDoubt,
            (Some(Stop { last: StopEnd::Unknown, .. }), _) => StreamState::InDoubt,
            (Some(_), _) => StreamState::Stopping,
            (None, _) if self.is_failing() => StreamState::InDoubt,
            (None, _) if self.told.started_at.is_some() => StreamState::Running,
            (None, Start::Unknown { .. }) => StreamState::InDoubt,
            (None, _) if self.notice.start_unproven => StreamState::InDoubt,
            (None, Start::Sent(_)) => StreamState::Starting,
            (None, Start::Taken(_) | Start::Unasked) => StreamState::Taken,
        }
    }

    /// From when on its start can no longer take effect; `None` when it was answered.
    fn lands_by(&self, policy: &Policy) -> Option<EpochMs> {
        match self.start {
            _ if self.told.started_at.is_some() || self.is_failing() => None,
            Start::Unasked | Start::Taken(_) => None,
            Start::Sent(at) => Some(at + policy.landing_ms),
            Start::Unknown { sent_at, lost } => Some(sent_at + policy.landing(lost)),
        }
    }

    /// When a start was sent whose answer was lost.
    pub(super) fn lost_at(&self) -> Option<EpochMs> {
        match self.start {
            Start::Unknown { sent_at, .. } => Some(sent_at),
            Start::Unasked | Start::Sent(_) | Start::Taken(_) => None,
        }
    }

    /// Until when nothing is known of its start: it counts as running, and the next one has to wait.
    pub(super) fn start_in_doubt_until(&self, policy: &Policy) -> Option<EpochMs> {
        self.lands_by(policy).filter(|_| self.may_run())
    }

    /// It ended without our asking, which speaks against another try.
    fn failed_at(&self) -> Option<EpochMs> {
        if self.is_failing() {
            return self.over_at().filter(|_| !self.forgiven);
        }
        let (at, _, _) = self.told.over.filter(|_| !self.is_stopped_by_us() && !self.forgiven)?;
        Some(at)
    }

    fn is_success(&self) -> bool {
        self.told.started_at.zip(self.over_at()).is_some_and(|(started, over)| over - started >= SUCCESS_MS)
    }

    /// What is to be done so that it is over.
    pub(super) fn stop_due(&self, now: EpochMs, policy: &Policy) -> StopDue {
        let conclusive = self.lands_by(policy).is_none_or(|at| now >= at);
        let Some(stop) = self.stop else {
            return StopDue::Send { by_sid: self.told.sid.is_some(), conclusive };
        };
        // Each time by the other handle, where there are two.
        let by_sid = self.told.sid.is_some() && (stop.taken + stop.missing).is_multiple_of(2);
        match stop.last {
            StopEnd::Taken => {
                let is_told = self.notice.stop_unproven.is_some();
                let due = stop.at + if is_told { policy.slow_retry_ms } else { policy.confirm_ms };
                match stop.taken {
                    _ if now < due => StopDue::Wait(due),
                    0..PROOFS => StopDue::Send { by_sid, conclusive },
                    _ if is_told => StopDue::Send { by_sid, conclusive },
                    _ => StopDue::Unproven,
                }
            }
            // A 404 to a start that may still land says nothing yet.
            StopEnd::Missing if !conclusive => StopDue::Wait(self.lands_by(policy).unwrap_or(now)),
            StopEnd::Sent | StopEnd::Missing | StopEnd::Unknown => StopDue::Send { by_sid, conclusive },
        }
    }

    /// When its start has to be proven, where Twilio tells how it fares.
    pub(super) fn proof_due(&self, policy: &Policy) -> Option<EpochMs> {
        let waits = self.confirms && self.told.started_at.is_none() && !self.notice.start_unproven;
        self.taken_at().filter(|_| waits && self.stop.is_none() && self.may_run()).map(|at| at + policy.confirm_ms)
    }

    fn close(&mut self, closed: Closed) {
        if self.may_run() {
            self.closed = Some(closed);
        }
    }

    fn tell(&mut self, event: &StreamEvent, at: EpochMs) {
        if self.told.sid.as_ref() != Some(&event.stream) {
            // A word about an older stream of the name says nothing about the newer one.
            if self.told.sid.is_some() && event.change != StreamChange::Started {
                return;
            }
            self.told = Told { sid: Some(event.stream.clone()), ..Told::default() };
        }
        match event.change {
            StreamChange::Started => _ = self.told.started_at.get_or_insert(at),
            StreamChange::Stopped => _ = self.told.over.get_or_insert((at, event.change, None)),
            StreamChange::Error if self.told.over.is_some() || ends_stream(event.error) => {
                self.told.over = Some((at, event.change, event.error));
            }
            // What is being stopped is told to be over, or is not known when it is stopped once more.
            StreamChange::Error if self.is_stopped_by_us() => {}
            StreamChange::Error => _ = self.told.failing.get_or_insert((at, event.error)),
        }
    }
}

impl Streams {
    pub(super) fn rows(&self) -> &[Stream] {
        &self.rows
    }

    /// Rows that may have tracks on the leg.
    pub(super) fn live(&self) -> impl Iterator<Item = &Stream> {
        self.rows.iter().filter(|stream| stream.may_run())
    }

    fn find(&self, name: &str) -> Option<&Stream> {
        self.rows.iter().find(|stream| stream.name == name)
    }

    fn row(&mut self, name: &str) -> Option<&mut Stream> {
        self.rows.iter_mut().find(|stream| stream.name == name)
    }

    /// Whether this stream may still run; of one that is not known it is not asked.
    pub(super) fn may_run(&self, name: &str) -> bool {
        self.find(name).is_some_and(Stream::may_run)
    }

    /// Whether Twilio has told that this stream began.
    pub(super) fn is_started(&self, name: &str) -> bool {
        self.find(name).is_some_and(|stream| stream.told.started_at.is_some())
    }

    /// The reservation of this stream, once it is proven that it runs for it.
    pub(super) fn proven(&self, name: &str) -> Option<&ReservationSid> {
        let stream = self.find(name).filter(|stream| stream.is_proven() && !stream.is_orphan())?;
        Some(&stream.reservation)
    }

    /// The last stream of this reservation that ran.
    pub(super) fn last_run(&self, reservation: &ReservationSid) -> Option<&Stream> {
        self.rows.iter().rfind(|stream| stream.reservation == *reservation && stream.has_run())
    }

    /// The name of a reservation's next stream begins with this; how many it has had.
    pub(super) fn names_used(&self, reservation: &ReservationSid) -> usize {
        self.rows.iter().filter(|stream| stream.reservation == *reservation).count()
    }

    /// How often in a row the streams of this reservation ended without our asking, and when the last one did.
    pub(super) fn failures(&self, reservation: &ReservationSid) -> (u32, Option<&Stream>) {
        let own =
            self.rows.iter().rev().filter(|stream| stream.reservation == *reservation && stream.over_at().is_some());
        let failed = own.filter(|stream| !matches!(stream.closed, Some(Closed::Void(_))));
        let (mut count, mut last) = (0, None);
        for stream in failed.take_while(|stream| stream.failed_at().is_some()) {
            count += 1;
            last = last.or(Some(stream));
            if stream.is_success() {
                break;
            }
        }
        (count, last)
    }

    /// Whether a stream of this reservation has been replaced because its start was not proven.
    fn has_been_replaced(&self, reservation: &ReservationSid) -> bool {
        self.rows.iter().any(|stream| stream.reservation == *reservation && stream.notice.replaced)
    }

    /// Whether a start that is not proven in time is worth another one: our own door was open since, and it is the first.
    pub(super) fn is_worth_replacing(&self, stream: &Stream) -> bool {
        let heard_since = |taken_at| self.heard.iter().any(|(slot, at)| *slot == stream.slot && *at > taken_at);
        stream.taken_at().is_some_and(heard_since) && !self.has_been_replaced(&stream.reservation)
    }

    /// Starts are about to be sent. A name that comes back was not used: its request had not been performed.
    pub(super) fn starts_begun(&mut self, starts: &[StreamStart], call: &CallSid, at: EpochMs) {
        for start in starts {
            if self.find(&start.name).is_none() {
                self.rows.push(Stream::new(start, call, at));
            }
        }
    }

    /// In shadow mode nothing was asked for, and so nothing will be told.
    pub(super) fn nobody_tells(&mut self) {
        self.rows.iter_mut().for_each(|stream| stream.confirms = false);
    }

    pub(super) fn starts_taken(&mut self, starts: &[StreamStart], sid: Option<&StreamSid>, at: EpochMs) {
        for start in starts {
            let Some(stream) = self.row(&start.name) else { continue };
            stream.start = Start::Taken(at);
            if stream.told.sid.is_none() {
                stream.told.sid = sid.cloned();
            }
        }
    }

    pub(super) fn starts_unknown(&mut self, starts: &[StreamStart], sent_at: EpochMs, lost: bool) {
        for start in starts {
            if let Some(stream) = self.row(&start.name) {
                stream.start = Start::Unknown { sent_at, lost };
            }
        }
    }

    /// Certainly not performed: as if it had never been begun.
    pub(super) fn starts_not_performed(&mut self, starts: &[StreamStart]) {
        let meant = |stream: &Stream| starts.iter().any(|start| start.name == stream.name);
        self.rows.retain(|stream| !meant(stream) || stream.told.started_at.is_some());
    }

    /// Nothing of their start can land any more, and nothing shows that it did. The names are not used again.
    pub(super) fn starts_void(&mut self, names: &[String], at: EpochMs) {
        for stream in self.rows.iter_mut().filter(|stream| names.contains(&stream.name)) {
            if stream.told.started_at.is_none() {
                stream.close(Closed::Void(at));
            }
        }
    }

    pub(super) fn stop_begun(&mut self, name: &str, by_redirect: bool, at: EpochMs) {
        if let Some(stream) = self.row(name) {
            let (taken, missing) = stream.stop.map_or((0, 0), |stop| (stop.taken, stop.missing));
            let unknown = |stop: Stop| stop.doubtful || matches!(stop.last, StopEnd::Sent | StopEnd::Unknown);
            let doubtful = stream.stop.is_some_and(unknown);
            stream.stop = Some(Stop { last: StopEnd::Sent, at, by_redirect, taken, missing, doubtful });
        }
    }

    /// Twilio took a stop. Where it does not tell how the stream fares, that is all that there will be.
    pub(super) fn stop_taken(&mut self, name: &str, at: EpochMs) {
        let Some(stream) = self.row(name) else { return };
        let (silent, failing) = (!stream.confirms, stream.is_failing());
        let Some(stop) = &mut stream.stop else { return };
        (stop.last, stop.at, stop.taken) = (StopEnd::Taken, at, stop.taken + 1);
        if silent && !stop.by_redirect || failing {
            stream.close(Closed::Stopped(at));
        }
    }

    /// Twilio does not know the stream. Twice, or after a stop that it took, is its end.
    pub(super) fn stop_missing(&mut self, name: &str, conclusive: bool, at: EpochMs) {
        let Some(stream) = self.row(name) else { return };
        let proofs = if stream.is_failing() { PROOFS_AFTER_ERROR } else { PROOFS };
        let Some(stop) = &mut stream.stop else { return };
        (stop.last, stop.at) = (StopEnd::Missing, at);
        stop.missing += u32::from(conclusive);
        if stop.missing > 0 && stop.missing + stop.taken >= proofs {
            let closed = if stop.taken > 0 { Closed::Stopped(at) } else { Closed::NotFound(at) };
            stream.close(closed);
        }
    }

    /// The call is not in progress, as Twilio says of a stop.
    pub(super) fn stop_not_in_progress(&mut self, name: &str, at: EpochMs) {
        if let Some(stream) = self.row(name) {
            stream.close(Closed::CallOver(at));
        }
    }

    pub(super) fn stop_unknown(&mut self, name: &str, at: EpochMs) {
        if let Some(stop) = self.row(name).and_then(|stream| stream.stop.as_mut()) {
            (stop.last, stop.at) = (StopEnd::Unknown, at);
        }
    }

    /// Certainly not performed.
    pub(super) fn stop_not_performed(&mut self, name: &str) {
        let Some(stream) = self.row(name) else { return };
        match &mut stream.stop {
            Some(stop) if stop.taken > 0 => stop.last = StopEnd::Taken,
            Some(stop) if stop.missing > 0 => stop.last = StopEnd::Missing,
            Some(stop) if stop.doubtful => stop.last = StopEnd::Unknown,
            Some(_) | None => stream.stop = None,
        }
    }

    /// The customer is back from a redirect, whose TwiML has run: its stops are proven.
    pub(super) fn rejoined(&mut self, at: EpochMs) {
        for stream in &mut self.rows {
            if stream.stop.is_some_and(|stop| stop.by_redirect && stop.last == StopEnd::Taken) {
                stream.close(Closed::Stopped(at));
            }
        }
    }

    /// The leg is over, and its streams with it.
    pub(super) fn call_over(&mut self, call: &CallSid, at: EpochMs) {
        for stream in self.rows.iter_mut().filter(|stream| stream.call == *call) {
            stream.close(Closed::CallOver(at));
        }
    }

    /// Twilio tells of a stream. One that nobody asked for has a name of ours all the same: it is one to be stopped.
    pub(super) fn tell(&mut self, event: &StreamEvent, at: EpochMs) {
        if self.find(&event.name).is_none() {
            let Some(reservation) = reservation_in(&event.name).filter(|_| event.change == StreamChange::Started)
            else {
                return;
            };
            self.rows.push(Stream::unasked(event, reservation, at));
        }
        let Some(stream) = self.row(&event.name) else { return };
        stream.tell(event, at);
        let slot = stream.slot;
        self.heard.retain(|(known, _)| *known != slot);
        self.heard.push((slot, at));
    }

    pub(super) fn start_unproven(&mut self, name: &str, replace: bool) {
        if let Some(stream) = self.row(name) {
            (stream.notice.start_unproven, stream.notice.replaced) = (true, replace);
        }
    }

    pub(super) fn stop_unproven(&mut self, name: &str, at: EpochMs) {
        if let Some(stream) = self.row(name) {
            stream.notice.stop_unproven = Some(at);
        }
    }

    /// Since when stops have been told to prove nothing, while one of them does.
    pub(super) fn stops_unproven_since(&self) -> Option<EpochMs> {
        self.live().filter_map(|stream| stream.notice.stop_unproven).min()
    }

    /// An operator wants everything to be tried again.
    pub(super) fn forgive(&mut self) {
        for stream in &mut self.rows {
            stream.forgiven = true;
            if std::mem::take(&mut stream.notice.stop_unproven).is_some() {
                let at = stream.stop.map_or(0, |stop| stop.at);
                let (taken, missing) = (0, 0);
                let last = StopEnd::Unknown;
                stream.stop = Some(Stop { last, at, by_redirect: false, taken, missing, doubtful: true });
            }
        }
    }
}

impl Stream {
    fn unasked(event: &StreamEvent, reservation: ReservationSid, at: EpochMs) -> Self {
        Self {
            name: event.name.clone(),
            call: event.call.clone(),
            slot: 0,
            tracks: 2,
            confirms: true,
            reservation,
            begun_at: at,
            start: Start::Unasked,
            stop: None,
            told: Told::default(),
            closed: None,
            notice: Noticed::default(),
            forgiven: false,
        }
    }
}
