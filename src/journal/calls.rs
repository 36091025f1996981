//! The operator's view of a journal: which calls there are, a page at a time.

use super::Seq;
use crate::call::Summary;
use crate::call::fact::{EpochMs, FactKind, ReservationChange, TaskChange};
use crate::call::sid::{CallSid, TaskSid};
use crate::call::step::{Answer, Outcome, Settled};
use std::time::Duration;

/// Rows of one page at most, whatever a query asks for.
pub const PAGE_LIMIT: usize = 1_000;

/// Which calls are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallState {
    /// Every call that has not been pruned.
    #[default]
    All,
    /// Calls that are not over.
    Live,
    /// Calls with a change that was given up and neither redriven nor dismissed; they may be over by now.
    Parked,
    /// Calls that are over.
    Over,
}

/// A page of calls, the most recently changed first. A page costs the reading of its rows, however many calls there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallQuery {
    /// Only these.
    pub state: CallState,
    /// Only calls whose TaskSid, or whose customer's CallSid, is this or begins with it. Finding a whole SID costs one look
    /// into an index; a beginning costs the sorting of every call that it fits.
    pub find: Option<String>,
    /// Only calls after this one: the last row of the page before.
    pub after: Option<Cursor>,
    /// With [`CallRow::summary`].
    pub summaries: bool,
    /// Rows at most; never more than [`PAGE_LIMIT`].
    pub limit: usize,
}

/// A row's place in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// [`CallRow::changed`].
    pub changed: EpochMs,
    /// [`CallRow::call`].
    pub call: TaskSid,
}

/// What the journal itself knows of a call, without reading its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRow {
    /// The call.
    pub call: TaskSid,
    /// The customer's leg, once a fact has named it.
    pub customer: Option<CallSid>,
    /// How many facts it has.
    pub facts: Seq,
    /// When the last of them was journaled, or it was given back as over after that, by the store's clock.
    pub changed: EpochMs,
    /// How long until it is looked at again; `None` when it waits for a fact, and while a worker has it.
    pub due: Option<Duration>,
    /// A worker has it.
    pub leased: bool,
    /// It is over.
    pub over: bool,
    /// It has a change that was given up and neither redriven nor dismissed.
    pub parked: bool,
    /// What the last worker to give it back made of it, where the store has kept it: of a call that is live it need not. Out of date
    /// when the call has more facts than it is made of.
    pub summary: Option<Summary>,
}

impl CallRow {
    /// Where the next page begins when this is the last row of a page.
    pub fn cursor(&self) -> Cursor {
        Cursor { changed: self.changed, call: self.call.clone() }
    }
}

/// What [`CallQuery::find`] is a value of, or the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SearchKey {
    Task,
    Customer,
}

impl SearchKey {
    /// `None` when it is the beginning of no SID that a call is found by.
    pub(super) fn parse(find: &str) -> Option<Self> {
        match find.get(..2)? {
            "WT" => Some(SearchKey::Task),
            "CA" => Some(SearchKey::Customer),
            _ => None,
        }
    }

    pub(super) fn column(self) -> &'static str {
        match self {
            SearchKey::Task => "task",
            SearchKey::Customer => "customer",
        }
    }
}

/// The customer's leg, when the fact names it.
pub(super) fn customer(kind: &FactKind) -> Option<&CallSid> {
    let attributes = if let FactKind::Settled(Settled { outcome: Outcome::Done(Answer::Task(attributes)), .. }) = kind {
        attributes
    } else {
        &kind.task_view()?.attributes
    };
    attributes.customer.as_ref().or_else(|| attributes.call_sid.as_ref().filter(|_| !attributes.outbound))
}

/// Whether a worker has to look at a call because of this event. That a call was begun, or offered to somebody, is nothing to act
/// on while nothing else is known of it.
pub(super) fn wakes(kind: &FactKind, seq: Seq) -> bool {
    let is_beginning = matches!(kind, FactKind::Task(event) if event.change == TaskChange::Created)
        || matches!(kind, FactKind::Reservation(event) if event.change == ReservationChange::Created);
    !(is_beginning && seq == 1)
}

/// A summary as it is stored; `None` when it cannot be, and then the facts are read instead.
pub(super) fn text(summary: &Summary) -> Option<String> {
    serde_json::to_string(summary).ok()
}

/// A stored summary; `None` of one that another version wrote and this one cannot read.
pub(super) fn summary(text: &str) -> Option<Summary> {
    serde_json::from_str(text).ok()
}
