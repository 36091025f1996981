//! The list of calls.

use super::error::ConsoleError;
use super::layout::{Frame, page};
use super::page_error::PageError;
use super::queries::{ListQuery, ListState};
use super::state::Console;
use super::view::{AgentView, CallList, CallView, StreamView};
use super::widgets::{agent_class, guard, hold, sid, slot_class, state, time};
use crate::journal::Backlog;
use actix_web::{HttpResponse, web};
use maud::{Markup, html};

/// `GET /console?state=…&find=…&after=…`.
pub(super) async fn list(console: web::Data<Console>, query: web::Query<ListQuery>) -> Result<HttpResponse, PageError> {
    let content = list_content(&console, &query).await?;
    let live = format!("/console/live?{}", query_string(&query, &query.after));
    let frame = Frame { title: title(&query), state: Some(query.state), find: &query.find, live: Some(live) };
    Ok(page(&frame, &content))
}

/// Every other path.
pub(super) async fn not_found() -> Result<HttpResponse, PageError> {
    Err(PageError(ConsoleError::NoSuchPage))
}

fn title(query: &ListQuery) -> &'static str {
    match (query.find.is_empty(), query.state) {
        (false, _) => "Calls found",
        (true, ListState::Live) => "Live calls",
        (true, ListState::Parked) => "Calls with parked changes",
        (true, ListState::Over) => "Ended calls",
        (true, ListState::All) => "All calls",
    }
}

/// The query string of another page of the same list.
fn query_string(query: &ListQuery, after: &str) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.append_pair("state", query.state.word()).append_pair("find", &query.find).append_pair("after", after);
    text.finish()
}

/// The list itself, without its frame.
pub(super) async fn list_content(console: &Console, query: &ListQuery) -> Result<Markup, ConsoleError> {
    let backlog = console.queries.backlog().await?;
    let list = console.queries.calls(query).await?;
    Ok(html! {
        (numbers(&backlog))
        h1 { (title(query)) }
        @if list.calls.is_empty() { (empty(query)) } @else { (table(&list)) }
        @if list.next.is_some() || !query.after.is_empty() {
            nav.pages aria-label="Pages" {
                @if !query.after.is_empty() { a id="first" href=(format!("/console?{}", query_string(query, ""))) { "First page" } }
                @if let Some(next) = &list.next { a id="next" rel="next" href=(format!("/console?{}", query_string(query, next))) { "Next page" } }
            }
        }
    })
}

fn numbers(backlog: &Backlog) -> Markup {
    let Backlog { active, waiting, live, parked, .. } = backlog;
    html! {
        dl.numbers {
            div { dt { "Live calls" } dd { (live) } }
            div { dt { "In work" } dd { (active) } }
            div { dt { "Waiting" } dd { (waiting) } }
            div.alarm[*parked > 0] { dt { "With parked changes" } dd { (parked) } }
        }
    }
}

fn empty(query: &ListQuery) -> Markup {
    let text = match (query.find.is_empty(), query.state) {
        (false, _) => "No call has this SID. Calls are deleted journal.retention_hours after their end.",
        (true, ListState::Live) => "No live calls. A call appears here with its first TaskRouter event.",
        (true, ListState::Parked) => "No calls with parked changes.",
        (true, ListState::Over | ListState::All) => "No calls yet.",
    };
    html! { p.empty { (text) } }
}

fn table(list: &CallList) -> Markup {
    html! {
        div.table id="calls" data-keep-scroll {
            table {
                caption.visually-hidden { "Calls, the most recently changed first" }
                thead {
                    tr {
                        th scope="col" { "Call" }
                        th scope="col" { "Agents" }
                        th scope="col" { "Streams" }
                        th scope="col" { "Guard" }
                        th scope="col" { "Hold" }
                        th scope="col" { "State" }
                        th scope="col" { "Last change (UTC)" }
                    }
                }
                tbody { @for call in &list.calls { (row(call)) } }
            }
        }
    }
}

fn row(call: &CallView) -> Markup {
    html! {
        tr {
            th scope="row" {
                a id=(call.task) href=(format!("/console/calls/{}", call.task)) { (sid(call.task.as_str())) }
                @if let Some(customer) = &call.customer { span.below { "leg " (sid(customer.as_str())) } }
                @if let Some(account) = &call.account { span.below { "account " (account) } }
            }
            td { (agents(&call.agents)) }
            td { (streams(&call.streams)) }
            td { (guard(call)) }
            td { (hold(call)) }
            td { (state(call)) }
            td { (time(call.changed_ms)) }
        }
    }
}

fn agents(agents: &[AgentView]) -> Markup {
    html! {
        @if agents.is_empty() { span.quiet { "none yet" } }
        ul.chips { @for agent in agents { li class=(agent_class(&agent.status)) { (agent.name) ", " (agent.status) } } }
    }
}

fn streams(streams: &[StreamView]) -> Markup {
    let live = || streams.iter().filter(|stream| stream.live);
    html! {
        @if live().count() == 0 { span.quiet { "none" } }
        ul.chips {
            @for stream in live() {
                li.chip.stream { span class=(slot_class(&stream.destination)) aria-hidden="true" {} (stream.destination) ", " (stream.agent) }
            }
        }
    }
}
