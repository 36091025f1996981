//! Requests that are not steps of a call: how they are asked, and why one of them got no answer.

use super::wire::Exchange;
use super::{Client, Form, Product, Request};
use crate::call::fact::EpochMs;
use crate::call::step::{Outcome, Trouble};
use crate::twilio::failure::About;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

/// Why Twilio did not answer as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// There is no such resource in this account.
    #[error("Twilio does not know it in this account (404)")]
    NotFound,
    /// Trying again may help.
    #[error("{}", told(.0))]
    Later(Trouble),
    /// Trying again does not help.
    #[error("{}", told(.0))]
    Refused(Trouble),
}

impl Unanswered {
    /// A 2xx whose body is not what Twilio documents.
    pub(super) fn unreadable() -> Self {
        let reason = "Twilio's answer could not be read".to_owned();
        Unanswered::Refused(Trouble { status: None, code: None, reason, retry_after_ms: None })
    }
}

impl Client {
    /// Asks once, in turn with the steps of calls; the body of a 2xx, and when Twilio answered by its own clock.
    pub(super) async fn asked(
        &self,
        operation: &'static str,
        request: &Request,
    ) -> Result<(Vec<u8>, Option<EpochMs>), Unanswered> {
        let _turn = self.in_flight.acquire().await.ok();
        let mut exchange = Exchange::new(operation, Instant::now() + self.request_timeout);
        let body = self.wire.send(&mut exchange, request.url(self.base_url(request.product)), request).await?;
        Ok((body, exchange.date))
    }

    /// Every row of a list whose rows stand under `key`.
    pub(super) async fn pages(
        &self,
        operation: &'static str,
        mut request: Request,
        key: &str,
    ) -> Result<Vec<Value>, Unanswered> {
        let mut rows = Vec::new();
        for _ in 0..self.max_pages {
            let (body, _) = self.asked(operation, &request).await?;
            let mut page: Value = serde_json::from_slice(&body).map_err(|_| Unanswered::unreadable())?;
            let found = page.get_mut(key).and_then(Value::as_array_mut).ok_or_else(Unanswered::unreadable)?;
            rows.append(found);
            let asked = request.url(self.base_url(request.product));
            let next = page.pointer("/meta/next_page_url").and_then(Value::as_str);
            let next = next.and_then(|next| asked.join(next).ok()).filter(|next| last(next) == last(&asked));
            // Only the query is taken over: whatever host the list names, our credentials go where they went before.
            match next.as_ref().and_then(Url::query) {
                Some(next) => request.query = Some(next.to_owned()),
                None => return Ok(rows),
            }
        }
        Err(Unanswered::unreadable())
    }
}

/// A request to TaskRouter: a form is posted, without one it is a GET.
pub(super) fn taskrouter(path: &[&str], query: Option<String>, form: Option<Form>) -> Request {
    Request {
        product: Product::TaskRouter,
        path: path.iter().map(|segment| (*segment).to_owned()).collect(),
        query,
        form,
        about: About::Other,
        is_command: false,
    }
}

/// The last segment of a path.
fn last(url: &Url) -> Option<&str> {
    url.path_segments()?.next_back()
}

fn told(trouble: &Trouble) -> String {
    let status = trouble.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    let code = trouble.code.map(|code| format!(", see https://www.twilio.com/docs/api/errors/{code}"));
    format!("{}{status}{}", trouble.reason, code.unwrap_or_default())
}

impl From<Outcome> for Unanswered {
    /// An outcome that is an answer is never passed here; should one be, nothing better is known of it.
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Gone | Outcome::Done(_) => Unanswered::NotFound,
            Outcome::TryLater(trouble) | Outcome::Unknown(trouble) => Unanswered::Later(trouble),
            Outcome::Refused(trouble) => Unanswered::Refused(trouble),
        }
    }
}
