//! What `doctor` asks to find out whether a stream can be started on a leg without moving it.

use super::unanswered::Unanswered;
use super::{Client, Form, Product, Request};
use crate::call::sid::{CallSid, ConferenceSid};
use crate::twilio::failure::About;
use serde::Deserialize;

/// A row has some seven hundred bytes, and a page must stay below `twilio.answer_limit_bytes`.
const CONFERENCES_PER_PAGE: u16 = 500;

#[derive(Deserialize)]
struct WireConferences {
    conferences: Vec<WireConference>,
}

#[derive(Deserialize)]
struct WireConference {
    sid: Option<String>,
}

impl Client {
    /// The newest conferences in progress.
    ///
    /// # Errors
    /// When Twilio does not answer with them.
    pub async fn conferences_in_progress(&self) -> Result<Vec<ConferenceSid>, Unanswered> {
        let query = format!("Status=in-progress&PageSize={CONFERENCES_PER_PAGE}");
        let request = self.api(&["Conferences.json"], Some(query), None);
        let (body, _) = self.asked("list conferences", &request).await?;
        let list: WireConferences = serde_json::from_slice(&body).map_err(|_| Unanswered::unreadable())?;
        Ok(list.conferences.into_iter().filter_map(|conference| conference.sid?.parse().ok()).collect())
    }

    /// Starts a stream of the caller's audio that belongs to nobody. It has no status callback: the worker would take it
    /// for one of its own.
    ///
    /// # Errors
    /// When Twilio does not start it; [`Unanswered::Later`] leaves open whether it did.
    pub async fn start_probe(&self, call: &CallSid, name: &str, url: &str) -> Result<(), Unanswered> {
        let form = [("Name", name), ("Url", url), ("Track", "inbound_track")];
        let form = form.map(|(name, value)| (name.into(), value.to_owned())).to_vec();
        let request = self.api(&["Calls", call.as_str(), "Streams.json"], None, Some(form));
        self.asked("start probe", &request).await.map(drop)
    }

    fn api(&self, path: &[&str], query: Option<String>, form: Option<Form>) -> Request {
        let account = ["2010-04-01", "Accounts", self.site.account_sid.as_str()];
        Request {
            product: Product::Api,
            path: [&account, path].concat().into_iter().map(str::to_owned).collect(),
            query,
            form,
            about: About::Other,
            is_command: false,
        }
    }
}
