//! The account's workspaces: where TaskRouter tells its events.
//! Source: <https://www.twilio.com/docs/taskrouter/api/workspace>.

use super::Client;
use super::unanswered::{Unanswered, taskrouter};
use crate::call::fact::EpochMs;
use crate::call::sid::WorkspaceSid;
use serde::Deserialize;

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

impl Client {
    /// Every workspace of the account.
    ///
    /// # Errors
    /// When Twilio does not answer with them.
    pub async fn workspaces(&self) -> Result<Vec<WorkspaceRow>, Unanswered> {
        let request = taskrouter(&["v1", "Workspaces"], Some(format!("PageSize={WORKSPACES_PER_PAGE}")), None);
        let rows = self.pages("list workspaces", request, "workspaces").await?;
        let rows: Result<Vec<WireWorkspace>, _> = rows.into_iter().map(serde_json::from_value).collect();
        let rows = rows.map_err(|_| Unanswered::unreadable())?;
        Ok(rows.into_iter().filter_map(WireWorkspace::into_row).collect())
    }

    /// A workspace, and the time by Twilio's clock.
    ///
    /// # Errors
    /// When there is no such workspace, or Twilio does not answer.
    pub async fn workspace(&self, sid: &WorkspaceSid) -> Result<(WorkspaceRow, Option<EpochMs>), Unanswered> {
        let request = taskrouter(&["v1", "Workspaces", sid.as_str()], None, None);
        let (body, date) = self.asked("fetch workspace", &request).await?;
        Ok((read(&body).ok_or_else(Unanswered::unreadable)?, date))
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
        let form = [("EventCallbackUrl", event_callback_url), ("EventsFilter", events_filter)];
        let form = form.map(|(name, value)| (name.into(), value.to_owned())).to_vec();
        let request = taskrouter(&["v1", "Workspaces", sid.as_str()], None, Some(form));
        let (body, _) = self.asked("update workspace", &request).await?;
        read(&body).ok_or_else(Unanswered::unreadable)
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
