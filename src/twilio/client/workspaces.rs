//! The account's workspaces, whose Event Callback URL TaskRouter posts events to.
//! Source: <https://www.twilio.com/docs/taskrouter/api/workspace>.

use super::api_error::ApiError;
use super::hosts::Product;
use super::request::Request;
use super::transport::Transport;
use crate::call::fact::EpochMs;
use crate::call::sid::WorkspaceSid;
use serde::Deserialize;

/// Accounts have few workspaces; Flex accounts have one.
const WORKSPACES_PER_PAGE: u16 = 100;

/// Reads and configures workspaces.
#[derive(Debug, Clone, Copy)]
pub struct Workspaces<'a>(pub(super) &'a Transport);

/// The properties of a workspace that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceRow {
    /// Begins with WS.
    pub sid: WorkspaceSid,
    /// `friendly_name`.
    pub name: String,
    /// `event_callback_url`, with its fragment; empty when there is none.
    pub event_callback_url: String,
    /// `events_filter`; empty when every event is sent.
    pub events_filter: String,
}

#[derive(Deserialize)]
struct WireWorkspace {
    sid: Option<String>,
    friendly_name: Option<String>,
    event_callback_url: Option<String>,
    events_filter: Option<String>,
}

impl Workspaces<'_> {
    /// Lists every workspace of the account.
    pub async fn list(self) -> Result<Vec<WorkspaceRow>, ApiError> {
        let query = format!("PageSize={WORKSPACES_PER_PAGE}");
        let request = Request::get(Product::TaskRouter, &["v1", "Workspaces"]).with_query(query);
        let rows = self.0.fetch_all("list workspaces", request, "workspaces").await?;
        let rows: Result<Vec<WireWorkspace>, _> = rows.into_iter().map(serde_json::from_value).collect();
        let rows = rows.map_err(|_| ApiError::unreadable())?;
        Ok(rows.into_iter().filter_map(WireWorkspace::into_row).collect())
    }

    /// Fetches a workspace, and the time by Twilio's clock.
    pub async fn fetch(self, sid: &WorkspaceSid) -> Result<(WorkspaceRow, Option<EpochMs>), ApiError> {
        let (body, date) = self.0.fetch("fetch workspace", &resource(sid)).await?;
        Ok((read(&body).ok_or_else(ApiError::unreadable)?, date))
    }

    /// Sets where a workspace's events are posted, and which; an empty filter means all.
    ///
    /// # Errors
    /// After [`ApiError::Later`] the change may have been made.
    pub async fn set_event_callback(
        self,
        sid: &WorkspaceSid,
        event_callback_url: &str,
        events_filter: &str,
    ) -> Result<WorkspaceRow, ApiError> {
        let form = [("EventCallbackUrl", event_callback_url), ("EventsFilter", events_filter)];
        let form = form.map(|(name, value)| (name.into(), value.to_owned())).to_vec();
        let (body, _) = self.0.fetch("update workspace", &resource(sid).with_form(form)).await?;
        read(&body).ok_or_else(ApiError::unreadable)
    }
}

fn resource(sid: &WorkspaceSid) -> Request {
    Request::get(Product::TaskRouter, &["v1", "Workspaces", sid.as_str()])
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
