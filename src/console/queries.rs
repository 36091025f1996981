//! Reads calls from the journal into views.

use super::error::ConsoleError;
use super::view::{AccountNames, CallList, CallStory, CallView};
use crate::call::fact::Fact;
use crate::call::sid::TaskSid;
use crate::journal::{Backlog, CallQuery, CallState, Cursor, JournalError, Operators, Seq};
use serde::Deserialize;
use std::sync::Arc;

/// The default number of calls on a page, whose facts are all read.
const PAGE_SIZE: usize = 50;

/// The maximum number of calls on a page.
const MAX_PAGE_SIZE: usize = 500;

/// A SID has 34 characters.
const MAX_SID_LENGTH: usize = 34;

/// The query string of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    pub(super) state: ListState,
    #[serde(default)]
    pub(super) find: String,
    #[serde(default)]
    pub(super) after: String,
    limit: Option<usize>,
}

/// Which calls are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ListState {
    #[default]
    Live,
    Parked,
    Over,
    All,
}

impl ListState {
    pub(super) const EACH: [ListState; 4] = [ListState::Live, ListState::Parked, ListState::Over, ListState::All];

    pub(super) fn word(self) -> &'static str {
        match self {
            ListState::Live => "live",
            ListState::Parked => "parked",
            ListState::Over => "over",
            ListState::All => "all",
        }
    }
}

impl ListQuery {
    fn parse(&self) -> Result<CallQuery, ConsoleError> {
        let state = match self.state {
            ListState::Live => CallState::Live,
            ListState::Parked => CallState::Parked,
            ListState::Over => CallState::Over,
            ListState::All => CallState::All,
        };
        let after = match self.after.as_str() {
            "" => None,
            text => Some(cursor(text).ok_or(ConsoleError::InvalidQuery("after must be `next` of the previous page"))?),
        };
        let limit = self.limit.unwrap_or(PAGE_SIZE).clamp(1, MAX_PAGE_SIZE);
        Ok(CallQuery { state, find: self.sid()?.map(str::to_owned), after, summaries: false, limit })
    }

    /// The SID to find, or its beginning.
    pub(super) fn sid(&self) -> Result<Option<&str>, ConsoleError> {
        let find = self.find.trim();
        let is_like_a_sid = (find.starts_with("WT") || find.starts_with("CA"))
            && find.len() <= MAX_SID_LENGTH
            && find.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match find {
            "" => Ok(None),
            _ if is_like_a_sid => Ok(Some(find)),
            _ => Err(ConsoleError::InvalidQuery(
                "find must be the beginning of a TaskSid (WT…) or of the customer's CallSid (CA…)",
            )),
        }
    }
}

fn cursor(text: &str) -> Option<Cursor> {
    let (changed, call) = text.split_once('.')?;
    Some(Cursor { changed: changed.parse().ok()?, call: call.parse().ok()? })
}
#[derive(Clone)]
pub(super) struct Queries {
    journal: Arc<dyn Operators>,
    accounts: AccountNames,
}

impl Queries {
    pub(super) fn new(journal: Arc<dyn Operators>, accounts: AccountNames) -> Self {
        Self { journal, accounts }
    }

    /// How many calls there are, by state.
    pub(super) async fn backlog(&self) -> Result<Backlog, ConsoleError> {
        Ok(self.journal.backlog().await?)
    }

    /// A call with its story and its facts.
    pub(super) async fn story(&self, task: &TaskSid) -> Result<(CallStory, Vec<Fact>), ConsoleError> {
        let (facts, _) = self.facts(task).await?;
        let story = CallStory::of(task, &facts, &self.accounts).ok_or(ConsoleError::NoSuchCall)?;
        Ok((story, facts))
    }

    /// A call, and the number of its last fact.
    pub(super) async fn call(&self, task: &TaskSid) -> Result<(CallView, Seq), ConsoleError> {
        let (facts, last) = self.facts(task).await?;
        Ok((CallView::of(task, &facts, &self.accounts).ok_or(ConsoleError::NoSuchCall)?, last))
    }

    pub(super) async fn calls(&self, query: &ListQuery) -> Result<CallList, ConsoleError> {
        let query = query.parse()?;
        // One row more than the page shows whether there is another page.
        let mut rows = self.journal.calls(CallQuery { limit: query.limit + 1, ..query.clone() }).await?;
        let more = rows.len() > query.limit;
        rows.truncate(query.limit);
        let next = rows.last().filter(|_| more).map(|row| format!("{}.{}", row.changed, row.call));
        let mut calls = Vec::with_capacity(rows.len());
        for row in rows {
            // A call may have been pruned meanwhile.
            if let Some(view) = CallView::of(&row.call, &self.facts(&row.call).await?.0, &self.accounts) {
                calls.push(view);
            }
        }
        Ok(CallList { calls, next })
    }

    /// A call's facts, oldest first, and the number of the last.
    async fn facts(&self, task: &TaskSid) -> Result<(Vec<Fact>, Seq), ConsoleError> {
        let facts = match self.journal.facts(task, 0).await {
            // The worker parks such a call, and says so in a fact of its own.
            Err(JournalError::Unreadable { readable, .. }) => readable,
            facts => facts?,
        };
        let last = facts.last().map_or(0, |(seq, _)| *seq);
        Ok((facts.into_iter().map(|(_, fact)| fact).collect(), last))
    }
}

/// A TaskSid in a path.
pub(super) fn task(text: &str) -> Result<TaskSid, ConsoleError> {
    text.parse().map_err(|_| ConsoleError::NoSuchCall)
}
