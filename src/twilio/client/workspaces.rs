//! The account's workspaces: where TaskRouter tells its events.
//! Source: <https://www.twilio.com/docs/taskrouter/api/workspace>.

use super::unanswered::Unanswered;
use super::wire::Exchange;
use super::{Client, at};
use crate::call::fact::EpochMs;
use crate::call::sid::WorkspaceSid;
use crate::twilio::failure::About;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

/// Accounts have few workspaces; Flex accounts have one.
const WORKSPACES_PER_PAGE: u16 = 100;

/// A workspace, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceRow {
    /// Its SID.
    pub sid: WorkspaceSid,
    /// `friendly_name`.
    pub name: String,
    /// `event_callback_url`, with its fragment; empty when there is none.
    pub event_callback_url: String,
    /// `events_filter`; empty when every event is told.
    pub events_filter: String,
}

#[derive(Deserialize)]
struct WireWorkspace {
    sid: Option<String>,
    friendly_name: Option<String>,
    event_callback_url: Option<String>,
    events_filter: Option<String>,
}

#[derive(Deserialize)]
struct WireWorkspaces {
    workspaces: Vec<WireWorkspace>,
    #[serde(default)]
    meta: Value,
}

impl Client {
    /// Every workspace of the account.
    ///
    /// # Errors
    /// When Twilio does not answer with them.
    pub async fn workspaces(&self) -> Result<Vec<WorkspaceRow>, Unanswered> {
        let mut exchange = self.exchange("list workspaces");
        let mut query = format!("PageSize={WORKSPACES_PER_PAGE}");
        let mut all = Vec::new();
        for _ in 0..self.max_pages {
            let mut url = at(&self.taskrouter_base_url, &["v1", "Workspaces"]);
            url.set_query(Some(&query));
            let body = self.wire.get(&mut exchange, url.clone()).await?;
            let page: WireWorkspaces = serde_json::from_slice(&body).map_err(|_| exchange.unreadable())?;
            all.extend(page.workspaces.into_iter().filter_map(WireWorkspace::into_row));
            let next = page.meta.get("next_page_url").and_then(Value::as_str).and_then(|next| url.join(next).ok());
            // Only the query is taken over: whatever host the list names, our credentials go where they went before.
            match next.filter(|next| next.path().ends_with("/Workspaces")).as_ref().and_then(Url::query) {
                Some(next) => next.clone_into(&mut query),
                None => return Ok(all),
            }
        }
        Err(exchange.unknown("the list has more pages than twilio.max_pages").into())
    }

    /// A workspace, and the time by Twilio's clock.
    ///
    /// # Errors
    /// When there is no such workspace, or Twilio does not answer.
    pub async fn workspace(&self, sid: &WorkspaceSid) -> Result<(WorkspaceRow, Option<EpochMs>), Unanswered> {
        let mut exchange = self.exchange("fetch workspace");
        let url = at(&self.taskrouter_base_url, &["v1", "Workspaces", sid.as_str()]);
        let body = self.wire.get(&mut exchange, url).await?;
        let row = read(&body).ok_or_else(|| exchange.unreadable())?;
        Ok((row, exchange.date))
    }

    /// Tells a workspace's events at `event_callback_url`, those that `events_filter` lists; empty means all.
    ///
    /// # Errors
    /// When Twilio does not do so; [`Unanswered::Later`] leaves open whether it did.
    pub async fn tell_events(
        &self,
        sid: &WorkspaceSid,
        event_callback_url: &str,
        events_filter: &str,
    ) -> Result<WorkspaceRow, Unanswered> {
        let mut exchange = self.exchange("update workspace");
        let url = at(&self.taskrouter_base_url, &["v1", "Workspaces", sid.as_str()]);
        let form = [("EventCallbackUrl", event_callback_url), ("EventsFilter", events_filter)];
        let body = self.wire.post(&mut exchange, url, &form, About::Other).await?;
        read(&body).ok_or_else(|| exchange.unreadable().into())
    }

    fn exchange(&self, operation: &'static str) -> Exchange {
        Exchange::new(operation, Instant::now() + self.request_timeout)
    }
}

fn read(body: &[u8]) -> Option<WorkspaceRow> {
    serde_json::from_slice::<WireWorkspace>(body).ok()?.into_row()
}

impl WireWorkspace {
    fn into_row(self) -> Option<WorkspaceRow> {
        Some(WorkspaceRow {
            sid: self.sid?.parse().ok()?,
            name: self.friendly_name.unwrap_or_default(),
            event_callback_url: self.event_callback_url.unwrap_or_default(),
            events_filter: self.events_filter.unwrap_or_default(),
        })
    }
}
