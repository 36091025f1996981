//! Reads calls from the journal into views.

use super::error::ConsoleError;
use super::export::Evidence;
use super::filter::{Filter, Wanted};
use super::view::{AccountNames, CallList, CallStory, CallView};
use crate::call::fact::Fact;
use crate::call::sid::{SID_LENGTH, TaskSid};
use crate::journal::{Backlog, CallQuery, CallRow, CallState, Cursor, JournalError, Operators, Seq};
use jiff::Timestamp;
use serde::Deserialize;
use std::sync::Arc;

/// The default number of calls on a page.
const PAGE_SIZE: usize = 50;

/// The maximum number of calls on a page.
const MAX_PAGE_SIZE: usize = 500;

/// Rows read at once while calls are searched for.
const SEARCH_ROWS: usize = 500;

/// Rows that one page of a search looks at; the next page goes on.
const SEARCH_LIMIT: usize = 20_000;

/// The query string of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    pub(super) state: ListState,
    /// The beginning of a SID, or a text.
    #[serde(default)]
    pub(super) find: String,
    #[serde(default)]
    pub(super) after: String,
    limit: Option<usize>,
    #[serde(flatten)]
    pub(super) wanted: Wanted,
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
    /// The first and longest page of a list.
    pub(super) fn of(state: ListState) -> Self {
        Self { state, limit: Some(MAX_PAGE_SIZE), ..Self::default() }
    }

    fn parse(&self) -> Result<(CallQuery, Filter), ConsoleError> {
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
        let find = self.sid();
        let text = if find.is_some() { "" } else { &self.find };
        let filter = self.wanted.filter(text, Timestamp::now())?;
        Ok((CallQuery { state, find: find.map(str::to_owned), after, summaries: true, limit }, filter))
    }

    /// The SID to find, or its beginning, when it is one that the journal finds calls by.
    fn sid(&self) -> Option<&str> {
        let find = self.find.trim();
        let is_like_a_sid = (find.starts_with("WT") || find.starts_with("CA"))
            && find.len() <= SID_LENGTH
            && find.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit());
        is_like_a_sid.then_some(find)
    }
}

fn written(Cursor { changed, call }: Cursor) -> String {
    format!("{changed}.{call}")
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

    /// Whether calls are of several accounts.
    pub(super) fn has_accounts(&self) -> bool {
        self.accounts.0.len() > 1
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

    /// A call's evidence.
    pub(super) async fn evidence(&self, task: &TaskSid) -> Result<Evidence, ConsoleError> {
        let (facts, _) = self.facts(task).await?;
        Evidence::new(task, &facts, &self.accounts, Timestamp::now()).ok_or(ConsoleError::NoSuchCall)
    }

    /// A call, and the number of its last fact.
    pub(super) async fn call(&self, task: &TaskSid) -> Result<(CallView, Seq), ConsoleError> {
        let (facts, last) = self.facts(task).await?;
        Ok((CallView::of(task, &facts, &self.accounts).ok_or(ConsoleError::NoSuchCall)?, last))
    }

    /// A page of calls. With a filter, rows are looked at until the page is full or [`SEARCH_LIMIT`] of them were.
    pub(super) async fn calls(&self, query: &ListQuery) -> Result<CallList, ConsoleError> {
        let (mut page, filter) = query.parse()?;
        let wanted = page.limit;
        // One row more than the page shows whether there is another page.
        page.limit = if filter.is_any() { wanted + 1 } else { SEARCH_ROWS };
        let (mut calls, mut searched) = (Vec::new(), 0);
        loop {
            let rows = self.journal.calls(page.clone()).await?;
            let is_last = rows.len() < page.limit;
            for row in rows {
                // No later row has changed since, and none began after it changed.
                if filter.from.is_some_and(|from| row.changed < from) {
                    return Ok(CallList { calls, next: None, unfinished: false });
                }
                let cursor = row.cursor();
                let fits = self.view(row).await?.filter(|view| filter.fits(view));
                if fits.is_some() && calls.len() == wanted {
                    return Ok(CallList { calls, next: page.after.map(written), unfinished: false });
                }
                calls.extend(fits);
                page.after = Some(cursor);
                searched += 1;
            }
            if is_last {
                return Ok(CallList { calls, next: None, unfinished: false });
            }
            if searched >= SEARCH_LIMIT {
                return Ok(CallList { calls, next: page.after.map(written), unfinished: true });
            }
        }
    }

    /// A row's call: by its summary, or by its facts when it has changed since. `None` when it was deleted meanwhile.
    async fn view(&self, row: CallRow) -> Result<Option<CallView>, ConsoleError> {
        match row.summary {
            Some(summary) if summary.facts == row.facts => Ok(Some(CallView::new(&row.call, &summary, &self.accounts))),
            Some(_) | None => Ok(CallView::of(&row.call, &self.facts(&row.call).await?.0, &self.accounts)),
        }
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
