use super::error::ConsoleError;
use super::layout::{Frame, framed};
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, ResponseError};
use maud::{Markup, html};

/// A [`ConsoleError`] shown as a page.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct PageError(pub(super) ConsoleError);

impl<E: Into<ConsoleError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code())
            .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
            .body(page(&self.0).into_string())
    }
}

fn page(error: &ConsoleError) -> Markup {
    let frame = Frame { title: "Error", state: None, find: "", live: None };
    framed(
        &frame,
        &html! {
            h1 { "Request failed" }
            p.lead { (sentence(&error.to_string())) }
            p { a href="/console" { "Show live calls" } }
        },
    )
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>());
    format!("{}.", first.unwrap_or_default())
}
