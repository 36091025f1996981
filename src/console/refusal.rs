//! Why there is no answer: as JSON for programs, as a page for people.

use crate::journal::JournalError;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, ResponseError};

/// Why a request of an operator is not answered as it was meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No such call in the journal.
    #[error("there is no such call: it was never heard of, or is past journal.retention_hours")]
    NoSuchCall,
    /// No such page.
    #[error("there is nothing here")]
    Nothing,
    /// A parameter that is not understood.
    #[error("{0}")]
    Misunderstood(&'static str),
    /// There is nothing to redrive or to dismiss.
    #[error("nothing of this call is parked: it may have been redriven or dismissed meanwhile")]
    NothingParked,
    /// As many pages are kept up to date as may be.
    #[error("admin.live_views pages are kept up to date already")]
    TooManyViews,
    /// The journal did not answer.
    #[error("the journal did not answer: {0}")]
    Journal(String),
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        Self::Journal(error.to_string())
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Refusal::NoSuchCall | Refusal::Nothing => StatusCode::NOT_FOUND,
            Refusal::Misunderstood(_) => StatusCode::BAD_REQUEST,
            Refusal::NothingParked => StatusCode::CONFLICT,
            Refusal::TooManyViews | Refusal::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code()).json(serde_json::json!({"error": self.to_string()}))
    }
}

/// The same, said to a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Page(pub(super) Refusal);

impl<E: Into<Refusal>> From<E> for Page {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl ResponseError for Page {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let page = super::pages::refused(&self.0);
        HttpResponse::build(self.status_code())
            .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
            .body(page.into_string())
    }
}
