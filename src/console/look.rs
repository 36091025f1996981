//! Calls, read from the journal into views.

use super::Console;
use super::refusal::Refusal;
use super::view::{CallList, CallView};
use crate::call::fact::Fact;
use crate::call::sid::TaskSid;
use crate::journal::{CallQuery, CallState, Cursor, Seq};
use serde::Deserialize;

/// Calls on a page when nobody asks for another number: a page costs the reading of their facts.
const PAGE: usize = 50;

/// Calls on a page at most.
const LONGEST_PAGE: usize = 500;

/// A SID has 34 characters; what is longer is not looked for.
const LONGEST_SID: usize = 34;

/// Which calls are asked for, as the query string has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) state: State,
    #[serde(default)]
    pub(super) find: String,
    #[serde(default)]
    pub(super) after: String,
    limit: Option<usize>,
}

/// Which calls are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    #[default]
    Live,
    Parked,
    Over,
    All,
}

impl State {
    pub(super) const EACH: [State; 4] = [State::Live, State::Parked, State::Over, State::All];

    pub(super) fn word(self) -> &'static str {
        match self {
            State::Live => "live",
            State::Parked => "parked",
            State::Over => "over",
            State::All => "all",
        }
    }
}

impl Asked {
    fn query(&self) -> Result<CallQuery, Refusal> {
        let state = match self.state {
            State::Live => CallState::Live,
            State::Parked => CallState::Parked,
            State::Over => CallState::Over,
            State::All => CallState::All,
        };
        let after = match self.after.as_str() {
            "" => None,
            text => Some(cursor(text).ok_or(Refusal::Misunderstood("after is not the end of a page"))?),
        };
        let limit = self.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        Ok(CallQuery { state, find: self.sid()?.map(str::to_owned), after, limit })
    }

    /// The SID that is looked for, or its beginning.
    pub(super) fn sid(&self) -> Result<Option<&str>, Refusal> {
        let find = self.find.trim();
        let is_like_a_sid = (find.starts_with("WT") || find.starts_with("CA"))
            && find.len() <= LONGEST_SID
            && find.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match find {
            "" => Ok(None),
            _ if is_like_a_sid => Ok(Some(find)),
            _ => Err(Refusal::Misunderstood(
                "calls are found by a TaskSid (WT…) or a customer's CallSid (CA…), or its beginning",
            )),
        }
    }
}

fn cursor(text: &str) -> Option<Cursor> {
    let (changed, call) = text.split_once('.')?;
    Some(Cursor { changed: changed.parse().ok()?, call: call.parse().ok()? })
}

impl Console {
    /// A page of calls.
    pub(super) async fn calls(&self, asked: &Asked) -> Result<CallList, Refusal> {
        let query = asked.query()?;
        // One row more than the page has tells whether there is another page.
        let mut rows = self.journal.calls(CallQuery { limit: query.limit + 1, ..query.clone() }).await?;
        let more = rows.len() > query.limit;
        rows.truncate(query.limit);
        let next = rows.last().filter(|_| more).map(|row| format!("{}.{}", row.changed, row.call));
        let mut calls = Vec::with_capacity(rows.len());
        for row in rows {
            // One that was pruned meanwhile is left out.
            if let Some(view) = CallView::of(&row.call, &self.facts(&row.call).await?.0, &self.settings.accounts) {
                calls.push(view);
            }
        }
        Ok(CallList { calls, next })
    }

    /// A call's facts, oldest first, and the number of the last.
    pub(super) async fn facts(&self, task: &TaskSid) -> Result<(Vec<Fact>, Seq), Refusal> {
        let facts = self.journal.facts(task, 0).await?;
        let last = facts.last().map_or(0, |(seq, _)| *seq);
        Ok((facts.into_iter().map(|(_, fact)| fact).collect(), last))
    }
}

/// A TaskSid in a path.
pub(super) fn task(text: &str) -> Result<TaskSid, Refusal> {
    text.parse().map_err(|_| Refusal::NoSuchCall)
}
