//! Every answer of the public listener that is not 204.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, ResponseError};

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The body is longer than allowed.
    #[error("the body is too large")]
    TooLarge,
    /// The body broke off.
    #[error("the body broke off")]
    Broken,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// Twilio did not sign it for us, or it is about another account or workspace.
    #[error("not for us")]
    Forbidden,
    /// Another media type than this path takes.
    #[error("another media type is wanted here")]
    MediaType,
    /// Authentic and unusable; the text says what is wrong without any of the values.
    #[error("{0}")]
    Malformed(String),
    /// The journal did not take it: Twilio should try again.
    #[error("the journal cannot take it now")]
    Unavailable {
        /// `Retry-After`, in seconds.
        retry_after_s: u64,
    },
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Broken | Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::Forbidden => StatusCode::FORBIDDEN,
            Refusal::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            // What is left of the body is not waited for, so the connection cannot be used again.
            Refusal::TooLarge | Refusal::Broken | Refusal::TooSlow => response.force_close().finish(),
            Refusal::Forbidden | Refusal::MediaType => response.finish(),
            Refusal::Malformed(what) => response.json(serde_json::json!({"error": what})),
            Refusal::Unavailable { retry_after_s } => {
                response.insert_header((RETRY_AFTER, retry_after_s.to_string())).finish()
            }
        }
    }
}
