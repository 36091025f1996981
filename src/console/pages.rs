//! The list of calls.

use super::error::ConsoleError;
use super::filter::PROBLEM;
use super::layout::{DAY, Frame, page};
use super::page_error::PageError;
use super::queries::{ListQuery, ListState};
use super::state::Console;
use super::view::{AgentView, CallList, CallView, OUTCOMES, StreamView};
use super::widgets::{agent_class, long_time, outcome, seconds, sid, slot_class, span, state};
use crate::journal::Backlog;
use actix_web::{HttpResponse, web};
use maud::{Markup, PreEscaped, html};

/// `GET /console?state=…&find=…&after=…`, and what [`super::filter::Wanted`] filters by.
pub(super) async fn list(console: web::Data<Console>, query: web::Query<ListQuery>) -> Result<HttpResponse, PageError> {
    let content = list_content(&console, &query).await?;
    // A search looks at many calls: it is not made anew every second.
    let is_search = !query.wanted.is_any() || !query.find.is_empty();
    let live = (!is_search).then(|| format!("/console/live?{}", query_string(&query, &query.after)));
    let frame = Frame { title: title(&query), state: Some(query.state), find: &query.find, live };
    Ok(page(&frame, &content))
}

/// `GET /console/day`.
pub(super) async fn day(console: web::Data<Console>) -> Result<HttpResponse, PageError> {
    let content = PreEscaped(console.charts.drawn(&console.queries).await?);
    Ok(page(&Frame { title: DAY, state: None, find: "", live: None }, &content))
}

/// Every other path.
pub(super) async fn not_found() -> Result<HttpResponse, PageError> {
    Err(PageError(ConsoleError::NoSuchPage))
}

fn title(query: &ListQuery) -> &'static str {
    match (query.find.is_empty() && query.wanted.is_any(), query.state) {
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
    text.extend_pairs(query.wanted.pairs().into_iter().filter(|(_, value)| !value.is_empty()));
    text.finish()
}

/// The list itself, without its frame.
pub(super) async fn list_content(console: &Console, query: &ListQuery) -> Result<Markup, ConsoleError> {
    let backlog = console.queries.backlog().await?;
    let list = console.queries.calls(query).await?;
    Ok(html! {
        (numbers(&backlog))
        h1 { (title(query)) }
        (filters(query, console.queries.has_accounts()))
        @if query.state == ListState::Parked && !list.calls.is_empty() { (bulk()) }
        @if list.calls.is_empty() { (empty(query)) } @else { (table(&list)) }
        @if list.unfinished { p.hint { "The search stopped after many calls: the next page goes on with it." } }
        @if list.next.is_some() || !query.after.is_empty() {
            nav.pages aria-label="Pages" {
                @if !query.after.is_empty() { a id="first" href=(format!("/console?{}", query_string(query, ""))) { "First page" } }
                @if let Some(next) = &list.next { a id="next" rel="next" href=(format!("/console?{}", query_string(query, next))) { "Next page" } }
            }
        }
    })
}

fn numbers(backlog: &Backlog) -> Markup {
    let Backlog { active, waiting, live, parked, parked_over } = backlog;
    html! {
        dl.numbers {
            div { dt { "Live calls" } dd { (live) } }
            div { dt { "In work" } dd { (active) } }
            div { dt { "Waiting" } dd { (waiting) } }
            div.alarm[*parked > 0] { dt { "With parked changes" } dd { (parked) } }
            div.warning[*parked_over > 0] { dt { "Parked, call over" } dd { (parked_over) } }
        }
    }
}

/// A form, open when something is filtered by.
fn filters(query: &ListQuery, has_accounts: bool) -> Markup {
    let wanted = &query.wanted;
    let text = |id: &str, name: &str, value: &str, hint: &str| {
        html! {
            div {
                label for=(id) { (name) }
                input id=(id) name=(id) value=(value) placeholder=(hint) maxlength="100" autocomplete="off" spellcheck="false";
            }
        }
    };
    html! {
        details.filters open[!wanted.is_any()] {
            summary { "Filter" }
            form action="/console" method="get" {
                input type="hidden" name="state" value=(query.state.word());
                input type="hidden" name="find" value=(query.find);
                (text("from", "From (UTC)", &wanted.from, "yesterday, 24h"))
                (text("to", "To (UTC)", &wanted.to, "2026-11-26T08:30"))
                (text("agent", "Agent", &wanted.agent, "name or WK…"))
                (text("queue", "Queue", &wanted.queue, ""))
                (text("destination", "Destination", &wanted.destination, "A"))
                div {
                    label for="outcome" { "Outcome" }
                    select id="outcome" name="outcome" {
                        option value="" selected[wanted.outcome.is_empty()] { "any" }
                        option value=(PROBLEM) selected[wanted.outcome == PROBLEM] { "any problem" }
                        @for (_, word) in OUTCOMES { option value=(word) selected[wanted.outcome == word] { (word) } }
                    }
                }
                (text("error", "Twilio error", &wanted.error, "31920"))
                @if has_accounts { (text("account", "Account", &wanted.account, "")) }
                div.buttons { button.primary { "Show" } a href=(format!("/console?state={}", query.state.word())) { "Clear" } }
            }
        }
        p.shortcuts {
            a href=(format!("/console?state=all&from=yesterday&to=yesterday&outcome={PROBLEM}")) { "Yesterday's problems" }
            " · "
            a href=(format!("/console?state=all&from=24h&outcome={PROBLEM}")) { "Problems of the last 24 hours" }
        }
    }
}

fn bulk() -> Markup {
    html! {
        p.shortcuts {
            a id="redrive-all" href="/console/parked/redrive" { "Redrive all…" }
            " · "
            a id="dismiss-all" href="/console/parked/dismiss" { "Dismiss all…" }
            " (each shows first what it would do)"
        }
    }
}

fn empty(query: &ListQuery) -> Markup {
    let text = match (query.find.is_empty() && query.wanted.is_any(), query.state) {
        (false, _) => "No call fits. Calls are deleted journal.retention_hours after their end.",
        (true, ListState::Live) => "No live calls. A call appears here with its first TaskRouter event.",
        (true, ListState::Parked) => "No calls with parked changes.",
        (true, ListState::Over | ListState::All) => "No calls yet.",
    };
    html! { p.empty { (text) } }
}

fn table(list: &CallList) -> Markup {
    html! {
        div.table id="calls" data-keep-scroll tabindex="0" role="region" aria-label="Calls" {
            table.stacks {
                caption.visually-hidden { "Calls, the most recently changed first" }
                thead {
                    tr {
                        th scope="col" { "Call" }
                        th scope="col" { "Start" }
                        th scope="col" { "Duration" }
                        th scope="col" { "Agents" }
                        th scope="col" { "Streams" }
                        th scope="col" { "First audio" }
                        th scope="col" { "Outcome" }
                        th scope="col" { "State" }
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
                @if let Some(queue) = &call.queue { span.below { "queue " (queue) } }
                @if let Some(account) = &call.account { span.below { "account " (account) } }
            }
            td data-label="Start" { (long_time(call.began_ms)) }
            td data-label="Duration" {
                @match call.ended_ms { Some(ended) => (span(ended - call.began_ms)), None => span.quiet { "live" } }
            }
            td data-label="Agents" { (agents(&call.agents)) }
            td data-label="Streams" { (streams(call)) }
            td data-label="First audio" {
                @match call.audio_after_ms { Some(ms) => (seconds(ms)), None => span.quiet { "–" } }
            }
            td data-label="Outcome" {
                (outcome(&call.outcome))
                @if let Some(trouble) = call.trouble() { span.below { (trouble) } }
            }
            td data-label="State" { (state(call)) }
        }
    }
}

fn agents(agents: &[AgentView]) -> Markup {
    html! {
        @if agents.is_empty() { span.quiet { "none yet" } }
        ul.chips { @for agent in agents { li class=(agent_class(&agent.status)) { (agent.shown()) ", " (agent.status) } } }
    }
}

/// Those that run; of a call that is over, those that ran.
fn streams(call: &CallView) -> Markup {
    let shown: Vec<&StreamView> = call.streams.iter().filter(|stream| stream.live || call.over).collect();
    let agent = |stream: &StreamView| {
        let agent = call.agents.iter().find(|agent| agent.name == stream.agent);
        agent.map_or_else(|| stream.agent.clone(), |agent| agent.shown().to_owned())
    };
    html! {
        @if shown.is_empty() { span.quiet { "none" } }
        ul.chips {
            @for stream in shown {
                li.chip.stream {
                    span class=(slot_class(&stream.destination)) aria-hidden="true" {}
                    (stream.destination) ", " (agent(stream))
                    @if let (false, Some(from), Some(to)) = (stream.live, stream.from_ms, stream.to_ms) {
                        ", " (span((to - from).max(0)))
                    }
                }
            }
        }
    }
}
