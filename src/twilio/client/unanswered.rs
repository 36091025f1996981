//! Requests that are not steps of a call: how they are asked, and why one of them got no answer.

use super::wire::Exchange;
use super::{Client, Form, Product, Request};
use crate::call::fact::EpochMs;
use crate::call::step::{Outcome, Trouble};
use crate::twilio::failure::About;
use tokio::time::Instant;

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
        let base = match request.product {
            Product::Api => &self.api_base_url,
            Product::TaskRouter => &self.taskrouter_base_url,
        };
        let body = self.wire.send(&mut exchange, request.url(base), request).await?;
        Ok((body, exchange.date))
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
