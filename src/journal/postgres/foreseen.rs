//! Calls that are taken with their events: one commit makes an event durable, and the claim to its call, and what is done first about it.
//!
//! What is done first is decided beforehand, by what this process remembers of the call. So the call is taken only if it still is as this
//! process gave it back, and the event is all that is new. Otherwise the event makes it due, as any other does.

use super::handed::Handed;
use super::sql::{Statement, Value, now_ms};
use super::under_claims::OwnFact;
use super::wake::CHANNEL;
use crate::call::fact::Fact;
use crate::call::sid::{CallSid, TaskSid};
use crate::journal::foresight::Taken;
use crate::journal::{Claim, Foreseen, Foresight, GivenBack, NewFact};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A call that its event is to be committed with.
pub(super) struct Ahead<'a> {
    identity: &'a str,
    /// No other call is on it, or what was decided is void.
    leg: Option<CallSid>,
    first: Option<(Fact, OwnFact)>,
    taken: Taken,
}

impl<'a> Ahead<'a> {
    /// Lets the worker decide about calls that it remembers and of which one event is in the batch: with a second one a call would not be
    /// as it was decided about. In the order of their tasks.
    pub(super) fn of(facts: &[&'a NewFact], foresight: &Arc<dyn Foresight>) -> Vec<Self> {
        let now = Instant::now();
        let mut remembered: BTreeMap<&TaskSid, Vec<(&'a NewFact, GivenBack)>> = BTreeMap::new();
        for fact in facts.iter().copied() {
            if let Some(given_back) = foresight.given_back(&fact.call) {
                remembered.entry(&fact.call).or_default().push((fact, given_back));
            }
        }
        let alone = remembered.into_values().filter_map(|events| <[_; 1]>::try_from(events).ok());
        alone.filter_map(|[(event, given_back)]| Self::decide(event, given_back, foresight, now)).collect()
    }

    fn decide(event: &'a NewFact, given_back: GivenBack, foresight: &Arc<dyn Foresight>, now: Instant) -> Option<Self> {
        let (NewFact { call, identity, fact }, GivenBack { fence, seen, alone_on }) = (event, given_back);
        let facts = seen + 1;
        let claim = Claim { call: call.clone(), fence: fence + 1, facts, alone_on: None };
        let leg = Cell::new(None);
        // As far as it was known. The statement finds out.
        let is_alone = |asked: &CallSid| {
            let was_alone = alone_on.as_ref() == Some(asked);
            if was_alone {
                leg.set(Some(asked.clone()));
            }
            was_alone
        };
        let news = vec![(facts, Fact::clone(fact))];
        let Foreseen { first } = foresight.foresee(&claim, now, news, &is_alone)?;
        // From here on whoever decided is told what became of it.
        let taken = Taken::new(claim, foresight.clone());
        let first = first.map(|fact| OwnFact::new(&fact).map(|own| (fact, own))).transpose().ok()?;
        Some(Self { identity, leg: leg.into_inner(), first, taken })
    }

    pub(super) fn call(&self) -> &str {
        self.taken.claim.call.as_str()
    }

    /// All of it is durable: the holder begins, who knows the facts up to the event.
    pub(super) fn durable(self, handed: &Handed) {
        let Self { first, taken, .. } = self;
        let known = taken.claim.facts;
        handed.claimed(&taken.claim, known, first.into_iter().map(|(fact, _)| (known + 1, fact)).collect());
        taken.durable();
    }

    fn own(&self) -> Option<&OwnFact> {
        self.first.as_ref().map(|(_, own)| own)
    }
}

/// Which process takes calls, for how long, and how others hear of those that it could not take.
pub(super) struct Taker<'a> {
    pub(super) keeper: i64,
    pub(super) lease_ms: i64,
    /// `None` when others are told nothing.
    pub(super) origin: Option<&'a str>,
}

/// What comes after the events: takes the calls and says of each, in their order, whether it is taken. A call that is not taken is due, and
/// others are told.
///
/// A call is as it was given back when nobody has claimed it since, and its facts are those that were known and the event. Its row was
/// locked with its event. What is found was taken by a transaction before this one, whose answer was lost: the call is claimed by this
/// process, with this event as what it knows, and a claim in the usual way leaves `kept_seq` as it is. A subquery looks each row up, which
/// the server plans sooner than a join.
pub(super) fn takes<'a>(ahead: &'a [Ahead<'_>], taker: &Taker<'a>) -> Statement<'a> {
    // Of equal notifications in one transaction the server delivers one.
    let told = ", CASE WHEN NOT is_taken THEN pg_notify($13, $14) END";
    let text = [TAKEN, if taker.origin.is_some() { told } else { "" }, " FROM answered ORDER BY place"];
    let claims = || ahead.iter().map(|call| &call.taken.claim);
    let own = |column: fn(&OwnFact) -> Option<&str>| ahead.iter().map(|call| call.own().and_then(column)).collect();
    let values = vec![
        Value::Texts(ahead.iter().map(Ahead::call).collect()),
        Value::Numbers(claims().map(|claim| claim.fence).collect()),
        Value::Numbers(claims().map(|claim| claim.facts).collect()),
        Value::Texts(ahead.iter().map(|call| call.identity).collect()),
        Value::OptionalTexts(ahead.iter().map(|call| call.leg.as_ref().map(CallSid::as_str)).collect()),
        Value::Numbers(ahead.iter().map(|call| i64::from(call.first.is_some())).collect()),
        Value::OptionalTexts(own(|own| Some(&own.body))),
        Value::OptionalNumbers(ahead.iter().map(|call| call.own().map(|own| own.hash)).collect()),
        Value::OptionalTruths(ahead.iter().map(|call| call.own().and_then(|own| own.parks)).collect()),
        Value::OptionalTexts(own(|own| own.customer.as_ref().map(CallSid::as_str))),
        Value::Number(taker.keeper),
        Value::Number(taker.lease_ms),
        Value::Text(CHANNEL),
        Value::Text(taker.origin.unwrap_or_default()),
    ];
    Statement::new(text.concat(), values)
}

const TAKEN: &str = concat!(
    "WITH asked AS MATERIALIZED (
         SELECT asked.*,
             (SELECT call FROM taskrouter_streams.fact
              WHERE fact.call = (SELECT id FROM taskrouter_streams.call WHERE call.task = asked.task)
                AND fact.seq = asked.facts AND fact.identity = asked.identity) AS id,
             NOT EXISTS (
                 SELECT FROM taskrouter_streams.call AS other
                 WHERE other.customer = asked.leg AND other.task <> asked.task) AS is_alone
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) WITH ORDINALITY
             AS asked (task, fence, facts, identity, leg, own, body, hash, parked, customer, place)),
     held AS (
         UPDATE taskrouter_streams.call
         SET leased = true, fence = asked.fence, due_ms = ",
    now_ms!(),
    " + $12, last_seq = last_seq + own, kept_seq = last_seq + own,
             own_seq = CASE own WHEN 1 THEN last_seq + 1 ELSE own_seq END, own_hash = coalesce(asked.hash, own_hash),
             parked = coalesce(asked.parked, call.parked), customer = coalesce(asked.customer, call.customer)
         FROM asked
         WHERE call.id = asked.id AND call.fence = asked.fence - 1 AND NOT leased AND kept_by = $11 AND last_seq = asked.facts
           AND is_alone
         RETURNING call.id, last_seq, body, place),
     begun AS (
         INSERT INTO taskrouter_streams.fact (call, seq, body) SELECT id, last_seq, body FROM held WHERE body IS NOT NULL),
     answered AS (
         SELECT place, EXISTS (SELECT FROM held WHERE held.place = asked.place) OR EXISTS (
             SELECT FROM taskrouter_streams.call
             WHERE call.id = asked.id AND call.fence = asked.fence AND leased AND kept_by = $11 AND kept_seq = facts + own) AS is_taken
         FROM asked)
     SELECT is_taken"
);
