//! Requests that are not steps of a call: why one of them got no answer.

use crate::call::step::{Outcome, Trouble};

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
