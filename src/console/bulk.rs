//! Redrive and dismiss for all parked calls at once. The page shows first what it would do, and then does it for what was shown.

use super::actions::Action;
use super::error::ConsoleError;
use super::layout::{Frame, page};
use super::page_error::PageError;
use super::queries::{ListQuery, ListState, task};
use super::state::Console;
use super::view::CallView;
use super::widgets::sid;
use super::{access, actions};
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

/// `GET /console/parked/{redrive|dismiss}`: the preview.
pub(super) async fn preview(console: web::Data<Console>, path: web::Path<String>) -> Result<HttpResponse, PageError> {
    let action = actions::Action::named(&path).ok_or(ConsoleError::NoSuchPage)?;
    let list = console.queries.calls(&ListQuery::of(ListState::Parked)).await?;
    let (helpable, over): (Vec<CallView>, Vec<CallView>) = list.calls.into_iter().partition(CallView::is_helpable);
    let title = match action {
        Action::Redrive => "Redrive all parked changes",
        Action::Dismiss => "Dismiss all parked changes",
    };
    let content = html! {
        p.crumbs { a id="back" href="/console?state=parked" { "Parked" } }
        h1 { (title) }
        @if helpable.is_empty() { p.empty { "No call with a parked change can still be helped." } } @else {
            p.lead { (what(action, helpable.len())) }
            form method="post" action=(format!("/console/parked/{}", action.word())) {
                ul.previewed {
                    @for call in &helpable {
                        li {
                            input type="hidden" name="task" value=(call.task);
                            a href=(format!("/console/calls/{}", call.task)) { (sid(call.task.as_str())) }
                            @for parked in call.parked.iter().filter(|parked| parked.helpable) {
                                span.below { strong { (parked.change) } ": " (parked.reason) }
                            }
                        }
                    }
                }
                div.actions { button.primary id="confirm" { (confirm(action, helpable.len())) } a href="/console?state=parked" { "Cancel" } }
            }
        }
        @if !over.is_empty() { p.hint { (over.len()) " more are left out: their calls are over, so that nothing can help them." } }
        @if list.next.is_some() { p.hint { "There are more than a page shows: come back here afterwards." } }
    };
    let frame = Frame { title, state: Some(ListState::Parked), find: "", live: None };
    Ok(page(&frame, &content))
}

/// `POST /console/parked/{redrive|dismiss}` with a `task` for each call that was shown.
pub(super) async fn perform(
    console: web::Data<Console>,
    path: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, PageError> {
    let action = Action::named(&path).ok_or(ConsoleError::NoSuchPage)?;
    let operator = access::operator(&request);
    for (_, value) in form_urlencoded::parse(&body).filter(|(name, _)| name == "task") {
        match console.actions.perform(&task(&value)?, action, operator.as_deref()).await {
            // Somebody was faster, or it is over and gone.
            Ok(()) | Err(ConsoleError::NothingParked | ConsoleError::NoSuchCall) => {}
            Err(error) => return Err(PageError(error)),
        }
    }
    Ok(HttpResponse::SeeOther().insert_header(("Location", "/console?state=parked")).finish())
}

fn what(action: Action, calls: usize) -> Markup {
    let calls = counted(calls);
    html! {
        @match action {
            Action::Redrive => { "Whatever is parked of " (calls) " is tried again at once:" }
            Action::Dismiss => { "Whatever is parked of " (calls) " is left undone and no longer shown as parked:" }
        }
    }
}

fn confirm(action: Action, calls: usize) -> String {
    let verb = match action {
        Action::Redrive => "Redrive",
        Action::Dismiss => "Dismiss",
    };
    format!("{verb} {}", counted(calls))
}

fn counted(calls: usize) -> String {
    if calls == 1 { "1 call".to_owned() } else { format!("{calls} calls") }
}
