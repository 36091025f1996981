//! Whose leg is whose: the customer's, which may be commanded, and everybody else's, which never is.
//!
//! An inbound task's customer is `conference.participants.customer`, else `call_sid`; an outbound task's only the former,
//! because there `call_sid` may be anybody's. Where neither is told, the leg is deduced from who is in the conference that
//! bears the task's name: whoever is labelled "customer"; else of an inbound task the only inbound leg, and of an outbound
//! one the only leg beside a worker's that is neither labelled, coaching, nor an address of the account's own. Once deduced,
//! it stays the customer's: they may be away for a moment, others come and go, and who stays after them is somebody else.

use super::fact::{CallAttributes, EpochMs};
use super::lww_register::LwwRegister;
use super::sid::{CallSid, ConferenceSid};
use super::step::{CallRow, ParticipantRow, Role};
use std::collections::{BTreeMap, BTreeSet};

/// Participants beyond these are not looked at: a conference of agents and one customer has a handful.
const CANDIDATES: usize = 8;

/// What is known of the legs around the task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Legs {
    outbound: bool,
    internal: bool,
    customer: LwwRegister<CallSid>,
    call_sid: LwwRegister<CallSid>,
    conference: LwwRegister<ConferenceSid>,
    others: BTreeSet<CallSid>,
    /// As the conference last listed them.
    listed: Vec<ParticipantRow>,
    deduced: Option<CallSid>,
    /// As Twilio's call resource tells them.
    rows: BTreeMap<CallSid, CallRow>,
}

impl Legs {
    /// Takes a task's attributes into account, in the order of their version.
    pub(super) fn named(&mut self, order: (u64, EpochMs), attributes: &CallAttributes) {
        self.outbound |= attributes.outbound;
        self.internal |= attributes.internal;
        self.customer.tell(order, attributes.customer.clone());
        self.call_sid.tell(order, attributes.call_sid.clone());
        self.conference.tell(order, attributes.conference.clone());
        self.others.extend(attributes.other_legs.iter().cloned());
    }

    /// Takes the rows of the task's own conference into account.
    pub(super) fn listed(&mut self, rows: &[ParticipantRow]) {
        if self.named_customer().is_none() {
            self.listed = rows.to_vec();
            self.deduce();
        }
    }

    /// Takes note of whose leg it is.
    pub(super) fn fetched(&mut self, call: &CallSid, row: CallRow) {
        self.rows.insert(call.clone(), row);
        self.deduce();
    }

    /// Whether we placed the call.
    pub(super) fn is_outbound(&self) -> bool {
        self.outbound
    }

    /// The conference that the attributes name.
    pub(super) fn conference(&self) -> Option<&ConferenceSid> {
        self.conference.get()
    }

    /// The customer's leg, once it is known.
    pub(super) fn customer(&self) -> Option<&CallSid> {
        self.named_customer()
            .or_else(|| self.deduced.as_ref().filter(|leg| !self.internal && !self.others.contains(leg)))
    }

    fn named_customer(&self) -> Option<&CallSid> {
        // Where a worker's leg and `call_sid` are one, nobody knows whose it is.
        let by_call_sid = || self.call_sid.get().filter(|leg| !self.outbound && !self.others.contains(leg));
        self.customer.get().or_else(by_call_sid).filter(|_| !self.internal)
    }

    fn deduce(&mut self) {
        if self.customer().is_none() {
            self.deduced = self.deducible().cloned();
        }
    }

    /// A participant whose call must be read before the customer can be deduced.
    pub(super) fn unread(&self) -> Option<&CallSid> {
        let rows = self.listed.iter().take(CANDIDATES).filter(|row| self.may_be_the_customer(row));
        rows.map(|row| &row.call).find(|call| !self.rows.contains_key(call))
    }

    /// Whether somebody is in the conference who may be the customer.
    pub(super) fn has_candidates(&self) -> bool {
        !self.internal && self.listed.iter().any(|row| row.connected && self.may_be_the_customer(row))
    }

    fn may_be_the_customer(&self, row: &ParticipantRow) -> bool {
        let client = self.rows.get(&row.call).is_some_and(|row| row.client);
        row.role != Role::Other && !client && !self.others.contains(&row.call)
    }

    fn deducible(&self) -> Option<&CallSid> {
        if self.internal {
            return None;
        }
        let mut labelled = self.listed.iter().filter(|row| row.role == Role::Customer && self.may_be_the_customer(row));
        if let Some(row) = labelled.next() {
            return Some(&row.call).filter(|_| labelled.next().is_none() && row.connected);
        }
        if self.unread().is_some() {
            return None;
        }
        // A leg that still rings counts: with it there are two that may be meant.
        let candidates: Vec<_> = self.listed.iter().filter(|row| self.may_be_the_customer(row)).collect();
        let inbound = |row: &&&ParticipantRow| self.rows.get(&row.call).is_some_and(|call| call.inbound);
        let meant = if self.outbound {
            // Whoever is alone may be the worker.
            let known = |row: &ParticipantRow| {
                self.others.contains(&row.call) || self.rows.get(&row.call).is_some_and(|call| call.client)
            };
            let beside_a_worker = self.listed.iter().any(known);
            candidates.first().filter(|row| beside_a_worker && candidates.len() == 1 && !inbound(row))
        } else {
            let mut inbound = candidates.iter().filter(inbound);
            inbound.next().filter(|_| inbound.next().is_none())
        };
        meant.filter(|row| row.connected).map(|row| &row.call)
    }
}
