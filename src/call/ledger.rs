//! The ledger of streams. Twilio cannot list a call's streams, so this is the truth about them.
//!
//! ```text
//! (planned) ──begun──▶ in doubt ──taken by Twilio──▶ Accepted ──status callback──▶ Confirmed
//!                          └─ burnt: stopped unseen      │  └─ we stop it ─▶ Stopped   │
//!                                                        └───────── error ─▶ Failed ◀──┘  (or ended by somebody: Ended)
//! ```
//!
//! A stop that has begun and not settled leaves the stream live and in doubt: it is stopped for certain, which is idempotent,
//! even when it is wanted again by then, and started anew under another name.
//!
//! Status callbacks come at any time, also ahead of the answer to the request that caused them, and twice: they are kept by
//! name and applied to the entry whenever there is one.

use super::fact::{EpochMs, StreamChange, StreamEvent};
use super::sid::{ReservationSid, StreamSid};
use super::step::StreamStart;
use std::collections::BTreeMap;

/// Every stream of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    streams: Vec<Stream>,
    heard: BTreeMap<String, Heard>,
    /// Names that were asked for and given up unseen: never used again.
    burnt: BTreeMap<String, ReservationSid>,
}

/// A stream on the customer's leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name, unique on the call.
    pub name: String,
    /// The destination's index.
    pub slot: usize,
    /// The reservation that it is for.
    pub reservation: ReservationSid,
    /// Its SID, once Twilio has told it.
    pub sid: Option<StreamSid>,
    /// How far it has come.
    pub state: StreamState,
    /// Nobody is meant to hear it: it started after it had been given up.
    pub orphan: bool,
    /// Whether it was ever started nobody will know, unless a status callback tells.
    pub assumed: bool,
    /// It was reported as not confirmed in time.
    pub unconfirmed: bool,
    /// When Twilio took it, by our clock.
    pub accepted_at: EpochMs,
    /// When we heard that its socket is open.
    pub confirmed_at: Option<EpochMs>,
    /// The first request that may have stopped it, while nobody knows whether it did.
    pub stop_in_doubt: Option<u32>,
    /// When we stopped it, or heard that it is over.
    pub over_at: Option<EpochMs>,
    /// Twilio's number for what went wrong.
    pub error: Option<u32>,
    /// It counts as failed when it is decided whether another one is worth a try.
    pub held_against: bool,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamState {
    /// Twilio took the request; whether its socket is open is not known.
    Accepted,
    /// Twilio said that its socket is open.
    Confirmed,
    /// We stopped it.
    Stopped,
    /// It ended without our asking: somebody stopped it, or the call ended.
    Ended,
    /// It failed.
    Failed,
}

/// What Twilio said of the newest stream of a name, and when we heard it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Heard {
    sid: Option<StreamSid>,
    started: Option<EpochMs>,
    over: Option<(EpochMs, StreamState, Option<u32>)>,
}

impl Heard {
    fn take(&mut self, event: &StreamEvent, at: EpochMs) {
        if self.sid.as_ref() != Some(&event.stream) {
            // A word about an older stream of the name says nothing about the newer one.
            if self.sid.is_some() && event.change != StreamChange::Started {
                return;
            }
            *self = Self { sid: Some(event.stream.clone()), ..Self::default() };
        }
        let over = |state, error| (at, state, error);
        match event.change {
            StreamChange::Started => _ = self.started.get_or_insert(at),
            StreamChange::Stopped => _ = self.over.get_or_insert(over(StreamState::Ended, None)),
            StreamChange::Error => self.over = Some(over(StreamState::Failed, event.error)),
        }
    }

    fn runs(&self) -> bool {
        self.started.is_some() && self.over.is_none()
    }
}

impl Stream {
    /// Whether it has tracks on the leg, as far as anybody knows.
    pub fn is_live(&self) -> bool {
        match self.state {
            StreamState::Accepted | StreamState::Confirmed => true,
            StreamState::Stopped | StreamState::Ended | StreamState::Failed => false,
        }
    }

    fn new(name: String, slot: usize, reservation: ReservationSid, at: EpochMs) -> Self {
        Self {
            name,
            slot,
            reservation,
            sid: None,
            state: StreamState::Accepted,
            orphan: false,
            assumed: false,
            unconfirmed: false,
            accepted_at: at,
            confirmed_at: None,
            stop_in_doubt: None,
            over_at: None,
            error: None,
            held_against: false,
        }
    }

    fn hear(&mut self, heard: &Heard) {
        if self.sid.is_some() && self.sid != heard.sid {
            return;
        }
        self.sid.clone_from(&heard.sid);
        self.confirmed_at = heard.started;
        if heard.started.is_some() {
            self.state = self.state.max(StreamState::Confirmed);
        }
        let Some((at, state, error)) = heard.over else { return };
        if self.is_live() || self.state == StreamState::Ended {
            // The stop whose effect was not known is what ended it.
            let by_us = state == StreamState::Ended && self.stop_in_doubt.is_some();
            self.state = if by_us { StreamState::Stopped } else { state };
            self.over_at = Some(at);
            self.error = error;
            self.held_against = !by_us;
        }
    }
}

impl Ledger {
    pub(super) fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// How many names of this reservation have been used.
    pub(super) fn names_used(&self, reservation: &ReservationSid) -> usize {
        let started = self.streams.iter().filter(|stream| stream.reservation == *reservation);
        let burnt = self.burnt.iter().filter(|(name, of)| *of == reservation && self.find(name).is_none());
        started.count() + burnt.count()
    }

    fn find(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.name == name)
    }

    /// Twilio took these.
    pub(super) fn accepted<'a>(
        &mut self,
        starts: impl IntoIterator<Item = &'a StreamStart>,
        sid: Option<&StreamSid>,
        at: EpochMs,
    ) {
        for start in starts {
            // A name comes back only behind a stop of the same name: the older one is over.
            self.streams.retain(|stream| stream.name != start.name);
            let mut stream = Stream::new(start.name.clone(), start.slot, start.reservation.clone(), at);
            stream.sid = sid.cloned();
            if let Some(heard) = self.heard.get(&start.name) {
                stream.hear(heard);
            }
            self.streams.push(stream);
        }
    }

    /// We stopped it, or it was over already.
    pub(super) fn stopped(&mut self, name: &str, at: EpochMs) {
        for stream in self.streams.iter_mut().filter(|stream| stream.name == name) {
            // Twilio's word on the end that we caused may come ahead of the answer to us.
            if stream.is_live() || stream.state == StreamState::Ended {
                stream.state = StreamState::Stopped;
                stream.over_at = Some(at);
                stream.held_against = false;
            }
        }
    }

    /// A request to stop it is under way, or its answer was lost.
    pub(super) fn perhaps_stopped(&mut self, name: &str, step: u32) {
        for stream in self.streams.iter_mut().filter(|stream| stream.name == name && stream.is_live()) {
            stream.stop_in_doubt.get_or_insert(step);
        }
    }

    /// That request was not performed. An earlier one may still have been.
    pub(super) fn not_stopped(&mut self, name: &str, step: u32) {
        for stream in self.streams.iter_mut().filter(|stream| stream.name == name) {
            stream.stop_in_doubt.take_if(|first| *first == step);
        }
    }

    /// How many streams of this reservation ended without our asking, and when the last one did.
    pub(super) fn failures(&self, reservation: &ReservationSid) -> (u32, Option<&Stream>) {
        let mut failed = self.streams.iter().filter(|stream| stream.held_against && stream.reservation == *reservation);
        let last = failed.clone().max_by_key(|stream| stream.over_at);
        (u32::try_from(failed.by_ref().count()).unwrap_or(u32::MAX), last)
    }

    /// An operator wants it to be tried again.
    pub(super) fn forgive(&mut self) {
        self.streams.iter_mut().for_each(|stream| stream.held_against = false);
    }

    /// Nobody will know whether it started; it was stopped by name, and the name is not used again.
    pub(super) fn burn(&mut self, start: &StreamStart) {
        self.burnt.insert(start.name.clone(), start.reservation.clone());
    }

    /// Twilio said something of a stream. One that runs and that nobody waits for is an orphan, unless it is `expected`.
    pub(super) fn hear(&mut self, event: &StreamEvent, expected: bool, at: EpochMs) {
        let heard = self.heard.entry(event.name.clone()).or_default();
        heard.take(event, at);
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.name == event.name) {
            stream.hear(heard);
        } else if heard.runs() && !expected {
            let reservation = self.burnt.get(&event.name).cloned().or_else(|| reservation_in(&event.name));
            if let Some(reservation) = reservation {
                let mut stream = Stream::new(event.name.clone(), 0, reservation, at);
                stream.orphan = true;
                stream.hear(heard);
                self.streams.push(stream);
            }
        }
    }

    /// It is taken for live because nobody will ever know.
    pub(super) fn assume(&mut self, name: &str) {
        for stream in self.streams.iter_mut().filter(|stream| stream.name == name) {
            stream.assumed = true;
        }
    }

    /// What was only taken for live, and never heard of, is stopped, so that another one can take its place.
    pub(super) fn disown_assumed(&mut self) {
        for stream in self.streams.iter_mut().filter(|stream| stream.assumed && stream.state == StreamState::Accepted) {
            stream.orphan = true;
        }
    }

    pub(super) fn reported_unconfirmed(&mut self, name: &str) {
        for stream in self.streams.iter_mut().filter(|stream| stream.name == name) {
            stream.unconfirmed = true;
        }
    }
}

/// The reservation in a name of ours: `{prefix}{WorkerSid}_{ReservationSid}` and perhaps a number.
fn reservation_in(name: &str) -> Option<ReservationSid> {
    name.split('_').find_map(|part| part.parse().ok())
}
