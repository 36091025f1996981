//! The answers of the public listener.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};

/// 204 with a media type although there is no body, because Twilio's page on event callbacks requires one.
pub(super) fn no_content() -> HttpResponse {
    HttpResponse::NoContent().insert_header((CONTENT_TYPE, "application/json")).finish()
}

/// Why a request is rejected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error("the body is too large or has too many parameters")]
    TooLarge,
    #[error("the body was cut off")]
    CutOff,
    #[error("the body did not arrive in time")]
    TooSlow,
    /// Twilio did not sign it for us, or it is about another account or workspace.
    #[error("not signed for this service")]
    Forbidden,
    #[error("this path does not accept the media type")]
    MediaType,
    /// Authentic but unusable. The text says what is wrong, without any of the values.
    #[error("{0}")]
    Malformed(String),
    /// The journal did not take it, or too much is being received. Twilio should try again.
    #[error("unavailable")]
    Unavailable { retry_after_s: u64 },
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        match self {
            Rejection::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::CutOff | Rejection::Malformed(_) => StatusCode::BAD_REQUEST,
            Rejection::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Rejection::Forbidden => StatusCode::FORBIDDEN,
            Rejection::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Rejection::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Rejection::TooLarge
            | Rejection::CutOff
            | Rejection::TooSlow
            | Rejection::Forbidden
            | Rejection::MediaType => response.finish(),
            Rejection::Malformed(what) => response.json(serde_json::json!({"error": what})),
            Rejection::Unavailable { retry_after_s } => {
                response.insert_header((RETRY_AFTER, retry_after_s.to_string())).finish()
            }
        }
    }
}
