//! The requests with which `doctor` checks whether a stream can be started on a leg without moving it.

use super::account_context::AccountContext;
use super::api_error::ApiError;
use super::transport::Transport;
use crate::call::sid::{CallSid, ConferenceSid};
use serde::Deserialize;

/// A row has some seven hundred bytes, and a page must stay below `twilio.answer_limit_bytes`.
const CONFERENCES_PER_PAGE: u16 = 500;

/// Starts a stream that belongs to no agent.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    pub(super) transport: &'a Transport,
    pub(super) account: &'a AccountContext,
}

#[derive(Deserialize)]
struct ConferenceSids {
    conferences: Vec<WithSid>,
}

#[derive(Deserialize)]
struct WithSid {
    sid: Option<String>,
}

impl Probe<'_> {
    /// Lists the newest conferences in progress.
    pub async fn conferences_in_progress(self) -> Result<Vec<ConferenceSid>, ApiError> {
        let query = format!("Status=in-progress&PageSize={CONFERENCES_PER_PAGE}");
        let request = self.account.get(&["Conferences.json"]).with_query(query);
        let list: ConferenceSids = self.transport.fetch_json("list conferences", &request).await?;
        Ok(list.conferences.into_iter().filter_map(|conference| conference.sid?.parse().ok()).collect())
    }

    /// Starts a stream of the caller's audio. It has no status callback, because the worker would take it for one of its
    /// own.
    ///
    /// # Errors
    /// After [`ApiError::Later`] the stream may have been started.
    pub async fn start(self, call: &CallSid, name: &str, url: &str) -> Result<(), ApiError> {
        let form = [("Name", name), ("Url", url), ("Track", "inbound_track")];
        let form = form.map(|(name, value)| (name.into(), value.to_owned())).to_vec();
        let request = self.account.get(&["Calls", call.as_str(), "Streams.json"]).with_form(form);
        self.transport.fetch("start probe", &request).await.map(drop)
    }
}
