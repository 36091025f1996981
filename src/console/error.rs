use crate::call::pause::NotAllowed;
use crate::ingest::pause_requests::PauseRefusal;
use crate::journal::JournalError;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};

/// Why an operator's request failed, as JSON for programs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConsoleError {
    #[error("no such call: it was never received, or is past journal.retention_hours")]
    NoSuchCall,
    #[error("no such page")]
    NoSuchPage,
    #[error("{0}")]
    InvalidQuery(&'static str),
    #[error("nothing of this call is parked: it may have been redriven or dismissed meanwhile")]
    NothingParked,
    #[error("{0}")]
    PauseRefused(String),
    #[error("the id or the reason of a pause {0}")]
    InvalidPause(NotAllowed),
    #[error("there are already admin.live_views live pages: close one, or raise the limit")]
    TooManyViews,
    #[error("the journal did not answer: {0}")]
    Journal(String),
}

impl From<JournalError> for ConsoleError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error.to_string())
    }
}

impl From<PauseRefusal> for ConsoleError {
    fn from(refusal: PauseRefusal) -> Self {
        match refusal {
            PauseRefusal::NoSuchCall => Self::NoSuchCall,
            PauseRefusal::Journal(error) => error.into(),
            PauseRefusal::NoSuchReservation
            | PauseRefusal::OtherPause
            | PauseRefusal::Shadow
            | PauseRefusal::TooMany => Self::PauseRefused(refusal.to_string()),
        }
    }
}

impl ResponseError for ConsoleError {
    fn status_code(&self) -> StatusCode {
        match self {
            ConsoleError::NoSuchCall | ConsoleError::NoSuchPage => StatusCode::NOT_FOUND,
            ConsoleError::InvalidQuery(_) | ConsoleError::InvalidPause(_) => StatusCode::BAD_REQUEST,
            ConsoleError::NothingParked | ConsoleError::PauseRefused(_) => StatusCode::CONFLICT,
            ConsoleError::TooManyViews | ConsoleError::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code()).json(serde_json::json!({"error": self.to_string()}))
    }
}
