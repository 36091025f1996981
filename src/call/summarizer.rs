//! Sums up a call while its facts are folded: how each agent's stream fared, and what stood in its way.

use super::fact::{EpochMs, Fact, FactKind, ReservationChange};
use super::sid::ReservationSid;
use super::state::Call;
use super::step::Goal;
use super::streams::{Stream, StreamState};
use super::summary::{AgentSummary, LATE_MS, ParkedSummary, PauseSummary, StreamOutcome, StreamSummary, Summary};
use super::task::{Reservation, ReservationStatus};
use std::collections::{BTreeMap, BTreeSet};

/// What took longer than this explains a late stream.
const SLOW_MS: i64 = 1_000;

/// A name with so many digits may be a phone number.
const PHONE_DIGITS: usize = 7;

/// A longer name is cut.
const NAME_LENGTH: usize = 60;

/// Gathers what the call itself does not keep, fact by fact.
#[derive(Debug, Clone, Default)]
pub struct Summarizer {
    /// Reservations in the order in which they were told, and when their acceptance was journaled.
    agents: Vec<(ReservationSid, Option<EpochMs>)>,
    customer_known_at: Option<EpochMs>,
    over_at: Option<EpochMs>,
    /// What last stood in the way of a reservation's stream.
    difficulties: BTreeMap<ReservationSid, String>,
    errors: BTreeSet<u32>,
}

/// Sums up a call by its facts, oldest first; `None` without facts.
pub fn summarize(facts: &[Fact]) -> Option<Summary> {
    let (mut call, mut summarizer) = (Call::default(), Summarizer::default());
    for fact in facts {
        if !call.is_foreign(&fact.kind) {
            call.apply(fact);
            summarizer.folded(fact, &call);
        }
    }
    summarizer.summary(&call, i64::try_from(facts.len()).unwrap_or(i64::MAX))
}

impl Summarizer {
    /// Takes a fact into account that `call` has just folded.
    pub fn folded(&mut self, fact: &Fact, call: &Call) {
        match &fact.kind {
            FactKind::Reservation(event) => {
                if !self.agents.iter().any(|(known, _)| *known == event.reservation) {
                    self.agents.push((event.reservation.clone(), None));
                }
                let known = self.agents.iter_mut().find(|(known, _)| *known == event.reservation);
                if let (ReservationChange::Accepted, Some((_, heard_at))) = (event.change, known) {
                    heard_at.get_or_insert(fact.at);
                }
            }
            FactKind::Settled(settled) => {
                let trouble = settled.outcome.trouble();
                self.errors.extend(trouble.and_then(|trouble| trouble.code.or(trouble.status.map(u32::from))));
            }
            FactKind::Stream(event) => self.errors.extend(event.error),
            FactKind::Task(_)
            | FactKind::Transfer(_)
            | FactKind::Participant(_)
            | FactKind::Begun(_)
            | FactKind::Parked(_)
            | FactKind::Recovered(_)
            | FactKind::Noticed(_)
            | FactKind::Redriven
            | FactKind::Dismissed
            | FactKind::Operated(_)
            | FactKind::Paused(_)
            | FactKind::Resumed(_)
            | FactKind::Unparked => {}
        }
        if call.customer().is_some() {
            self.customer_known_at.get_or_insert(fact.at);
        }
        self.over_at = call.is_over().then(|| self.over_at.unwrap_or(fact.at));
        for (goal, reason) in call.tried() {
            if let Goal::Start(reservation) = goal {
                self.difficulties.insert(reservation.clone(), reason.to_owned());
            }
        }
    }

    /// The call as it stands after `facts` facts; `None` without any.
    pub fn summary(&self, call: &Call, facts: i64) -> Option<Summary> {
        let agents: Vec<AgentSummary> = self.agents.iter().filter_map(|agent| self.agent(call, agent)).collect();
        let outcome = if call.has_no_call() {
            StreamOutcome::NoCall
        } else {
            agents.iter().map(|agent| agent.outcome).max().unwrap_or(StreamOutcome::NotAccepted)
        };
        let queue = agents.iter().find_map(|agent| call.field(&agent.reservation, "task.queue.name").first());
        Some(Summary {
            facts,
            account: call.account().cloned(),
            customer: call.customer().cloned(),
            queue: queue.and_then(|name| shown(name)),
            began_at: call.first_fact_at()?,
            changed_at: call.last_fact_at(),
            over_at: self.over_at,
            no_call: call.has_no_call(),
            shadow: call.is_shadow(),
            guard: call.guard(),
            held: call.held(),
            outcome,
            agents,
            streams: call.streams().iter().map(stream).collect(),
            pauses: call.pauses().iter().map(|pause| PauseSummary::of(call, pause)).collect(),
            parked: call.parked().map(|(goal, reason)| parked(call, goal, reason)).collect(),
            errors: self.errors.clone(),
        })
    }

    fn agent(&self, call: &Call, (sid, heard_at): &(ReservationSid, Option<EpochMs>)) -> Option<AgentSummary> {
        let (_, reservation) = call.reservations().find(|(known, _)| *known == sid)?;
        let streams: Vec<&Stream> = call.streams().iter().filter(|stream| stream.reservation == *sid).collect();
        let began_at = streams.iter().filter_map(|stream| stream.started_at()).min();
        let began_at = began_at.or_else(|| streams.iter().filter_map(|stream| stream.taken_at()).min());
        let audio_after_ms = reservation.accepted_at.zip(began_at).map(|(accepted, began)| (began - accepted).max(0));
        let outcome = outcome(call, sid, reservation, &streams, audio_after_ms);
        let reason = match outcome {
            StreamOutcome::Missing => Some(self.why_missing(call, sid, &streams)),
            StreamOutcome::Late => Some(self.why_late(sid, reservation, *heard_at, &streams)),
            StreamOutcome::Interrupted => failure(&streams),
            StreamOutcome::Unproven => Some(why_unproven(&streams)),
            StreamOutcome::Pending => self.difficulties.get(sid).cloned(),
            StreamOutcome::NotAccepted | StreamOutcome::NoCall | StreamOutcome::NotSent | StreamOutcome::Streamed => {
                None
            }
        };
        Some(AgentSummary {
            reservation: sid.clone(),
            worker: reservation.worker.clone(),
            name: call.field(sid, "worker.name").first().and_then(|name| shown(name)),
            status: reservation.status,
            accepted_at: reservation.accepted_at,
            audio_after_ms,
            outcome,
            reason,
        })
    }

    fn why_missing(&self, call: &Call, sid: &ReservationSid, streams: &[&Stream]) -> String {
        let parked = parked_start(call, sid).map(str::to_owned);
        let known = parked.or_else(|| failure(streams)).or_else(|| self.difficulties.get(sid).cloned());
        let accepted_at = call.reservations().find(|(known, _)| *known == sid).and_then(|(_, found)| found.accepted_at);
        let met = |to: EpochMs| accepted_at.is_none_or(|at| to >= at);
        let was_on_hold = || call.holds().iter().any(|span| span.to.is_none_or(met));
        known.unwrap_or_else(|| {
            let why = match call.customer() {
                None => "the customer's leg was never known",
                Some(_) if call.is_outbound() => "an outbound call: not streamed unless eligibility.outbound is set",
                Some(_) if !streams.is_empty() => "its start never took effect",
                Some(_) if call.pauses().iter().any(|pause| pause.scope.covers(sid)) => "it was paused",
                Some(_) if was_on_hold() => "the customer was on hold, and its destination's on_hold is \"stop\"",
                Some(_) => "none was asked for: the agent left first, or rules or the track budget allowed none",
            };
            why.to_owned()
        })
    }

    fn why_late(
        &self,
        sid: &ReservationSid,
        reservation: &Reservation,
        heard_at: Option<EpochMs>,
        streams: &[&Stream],
    ) -> String {
        if let Some(reason) = self.difficulties.get(sid) {
            return reason.clone();
        }
        let accepted_at = reservation.accepted_at.unwrap_or_default();
        let slow = |at: Option<EpochMs>| at.map(|at| at - accepted_at).filter(|ms| *ms > SLOW_MS);
        let opening = streams.iter().find_map(|stream| Some(stream.started_at()? - stream.taken_at()?));
        if let Some(ms) = slow(heard_at) {
            format!("the event came {} after the agent accepted", seconds(ms))
        } else if let Some(ms) = slow(self.customer_known_at) {
            format!("the customer's leg was known {} after the agent accepted", seconds(ms))
        } else if let Some(ms) = opening.filter(|ms| *ms > SLOW_MS) {
            format!("the socket opened {} after Twilio took the start", seconds(ms))
        } else {
            failure(streams).unwrap_or_else(|| "the start was sent late: see the timeline".to_owned())
        }
    }
}

fn outcome(
    call: &Call,
    sid: &ReservationSid,
    reservation: &Reservation,
    streams: &[&Stream],
    audio_after_ms: Option<i64>,
) -> StreamOutcome {
    let failed = |stream: &Stream| stream.state() == StreamState::Failed;
    let all_failed = streams.iter().all(|stream| failed(stream));
    let mut ran = streams.iter().copied().filter(|stream| stream.started_at().is_some());
    let may_come = reservation.status == ReservationStatus::Accepted && !call.is_over();
    match audio_after_ms {
        _ if reservation.accepted_at.is_none() => StreamOutcome::NotAccepted,
        _ if call.is_shadow() => StreamOutcome::NotSent,
        Some(_) if ran.clone().any(failed) => StreamOutcome::Interrupted,
        Some(ms) if ran.next().is_some() => {
            if ms > LATE_MS {
                StreamOutcome::Late
            } else {
                StreamOutcome::Streamed
            }
        }
        Some(_) if !all_failed => StreamOutcome::Unproven,
        Some(_) | None if may_come && parked_start(call, sid).is_none() => StreamOutcome::Pending,
        Some(_) | None => StreamOutcome::Missing,
    }
}

/// Why this agent's stream was given up, or with it that of everybody.
fn parked_start<'a>(call: &'a Call, sid: &ReservationSid) -> Option<&'a str> {
    let start = Goal::Start(sid.clone());
    call.parked().find(|(goal, _)| **goal == start || **goal == Goal::FindCustomer).map(|(_, reason)| reason)
}

fn stream(stream: &Stream) -> StreamSummary {
    StreamSummary {
        name: stream.name.clone(),
        slot: stream.slot,
        reservation: stream.reservation.clone(),
        state: stream.state(),
        live: stream.may_run(),
        proven: stream.is_proven(),
        orphan: stream.is_orphan(),
        error: stream.error(),
        from: stream.started_at().or(stream.taken_at()),
        to: stream.over_at(),
    }
}

fn parked(call: &Call, goal: &Goal, reason: &str) -> ParkedSummary {
    let helpable = match goal {
        // What is left of a call that is over: agents in its conference, and work that nobody began.
        Goal::EndConference | Goal::Serve => true,
        Goal::Start(_) | Goal::LowerGuard | Goal::FindCustomer | Goal::CheckHold => !call.is_over(),
        Goal::Stop(_)
        | Goal::RaiseGuard
        | Goal::HoldAgain
        | Goal::Rejoin
        | Goal::CheckCall
        | Goal::VerifyLeg
        | Goal::PauseRecording(_)
        | Goal::ResumeRecording(_) => !call.is_call_over(),
    };
    ParkedSummary { goal: goal.clone(), reason: reason.to_owned(), helpable }
}

fn failure(streams: &[&Stream]) -> Option<String> {
    let failed = streams.iter().rev().find(|stream| stream.state() == StreamState::Failed)?;
    Some(match failed.error() {
        Some(code) => format!("the stream failed with Twilio error {code}"),
        None => "the stream failed, and Twilio gave no error".to_owned(),
    })
}

fn why_unproven(streams: &[&Stream]) -> String {
    if streams.iter().any(|stream| stream.confirms) {
        "Twilio did not tell that its socket is open".to_owned()
    } else {
        "its destination has no status callbacks".to_owned()
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// A name as it may be shown: none that could be a phone number, or that holds what names do not.
fn shown(name: &str) -> Option<String> {
    let is_phone = name.chars().filter(|c| c.is_numeric()).count() >= PHONE_DIGITS;
    let is_name = name.chars().all(|c| c.is_alphanumeric() || " .,-_@'&/()+".contains(c));
    let is_blank = name.trim().is_empty();
    (is_name && !is_phone && !is_blank).then(|| name.chars().take(NAME_LENGTH).collect())
}
