use crate::call::step::{Outcome, Trouble};

/// Why a request that is no step of a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// There is no such resource in this account.
    #[error("Twilio does not know it in this account (404)")]
    NotFound,
    /// A retry may succeed.
    #[error("{}", describe(.0))]
    Later(Trouble),
    /// A retry will not succeed.
    #[error("{}", describe(.0))]
    Refused(Trouble),
}

impl ApiError {
    /// A 2xx whose body is not what Twilio documents.
    pub(super) fn unreadable() -> Self {
        let reason = "Twilio's answer could not be read".to_owned();
        ApiError::Refused(Trouble { status: None, code: None, reason, retry_after_ms: None })
    }
}

fn describe(trouble: &Trouble) -> String {
    let status = trouble.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    let code = trouble.code.map(|code| format!(", see https://www.twilio.com/docs/api/errors/{code}"));
    format!("{}{status}{}", trouble.reason, code.unwrap_or_default())
}

impl From<Outcome> for ApiError {
    /// An outcome that is an answer is never passed here; if one were, nothing better would be known of it.
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Gone | Outcome::Done(_) => ApiError::NotFound,
            Outcome::TryLater(trouble) | Outcome::Unknown(trouble) => ApiError::Later(trouble),
            Outcome::Refused(trouble) => ApiError::Refused(trouble),
        }
    }
}
