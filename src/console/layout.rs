//! The frame of every page.

use super::queries::ListState;
use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use maud::{DOCTYPE, Markup, html};

/// The title of the page with charts, which the navigation knows it by.
pub(super) const DAY: &str = "Last day";

/// What differs between the frames of pages.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// The list that is shown.
    pub(super) state: Option<ListState>,
    pub(super) find: &'a str,
    /// The address of its live updates.
    pub(super) live: Option<String>,
}

pub(super) fn page(frame: &Frame<'_>, content: &Markup) -> HttpResponse {
    let text = framed(frame, content).into_string();
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(text)
}

pub(super) fn framed(frame: &Frame<'_>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " · taskrouter-streams" }
                link rel="stylesheet" href="/console/console.css";
                link rel="icon" type="image/svg+xml" href="/console/icon.svg";
                script src="/console/console.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.brand href="/console" { span.mark aria-hidden="true" {} "taskrouter-streams" }
                    nav aria-label="Lists of calls" {
                        ul {
                            @for state in ListState::EACH {
                                li {
                                    a href=(format!("/console?state={}", state.word()))
                                        aria-current=[(frame.state == Some(state)).then_some("page")] {
                                        (name(state))
                                    }
                                }
                            }
                            li { a href="/console/day" aria-current=[(frame.title == DAY).then_some("page")] { "Last day" } }
                        }
                    }
                    form.search action="/console" method="get" role="search" {
                        input type="hidden" name="state" value="all";
                        label for="find" { "Find calls" }
                        input id="find" type="search" name="find" value=(frame.find) placeholder="SID, agent, queue, reason" maxlength="100"
                            autocomplete="off" spellcheck="false";
                        button { "Find" }
                    }
                    button.live id="live" type="button" hidden aria-pressed="true" { "Live" }
                }
                main id="main" tabindex="-1" data-live=[frame.live.as_deref()] { (content) }
                p.visually-hidden id="news" role="status" {}
            }
        }
    }
}

fn name(state: ListState) -> &'static str {
    match state {
        ListState::Live => "Live",
        ListState::Parked => "Parked",
        ListState::Over => "Ended",
        ListState::All => "All",
    }
}
