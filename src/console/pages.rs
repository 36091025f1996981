//! The frame of every page, and the list of calls.

use super::Console;
use super::look::{Asked, State};
use super::refusal::{Page, Refusal};
use super::view::{AgentView, CallList, CallView, StreamView};
use crate::journal::Backlog;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

/// What a page is, for its frame.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// Which list is open.
    pub(super) state: Option<State>,
    pub(super) find: &'a str,
    /// Where its content comes from again when it changes.
    pub(super) live: Option<String>,
}

/// `GET /console?state=…&find=…&after=…`.
pub(super) async fn list(console: web::Data<Console>, asked: web::Query<Asked>) -> Result<HttpResponse, Page> {
    let content = list_content(&console, &asked).await?;
    let live = format!("/console/live?{}", query(&asked, &asked.after));
    let frame = Frame { title: title(&asked), state: Some(asked.state), find: &asked.find, live: Some(live) };
    Ok(page(&frame, &content))
}

/// What no other page answers to.
pub(super) async fn nothing() -> Result<HttpResponse, Page> {
    Err(Page(Refusal::Nothing))
}

pub(super) fn page(frame: &Frame<'_>, content: &Markup) -> HttpResponse {
    let text = framed(frame, content).into_string();
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(text)
}

pub(super) fn refused(refusal: &Refusal) -> Markup {
    let frame = Frame { title: "Not here", state: None, find: "", live: None };
    framed(
        &frame,
        &html! {
            h1 { "That did not work" }
            p.lead { (sentence(&refusal.to_string())) }
            p { a href="/console" { "To the live calls" } }
        },
    )
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>());
    format!("{}.", first.unwrap_or_default())
}

fn framed(frame: &Frame<'_>, content: &Markup) -> Markup {
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
                            @for state in State::EACH {
                                li {
                                    a href=(format!("/console?state={}", state.word()))
                                        aria-current=[(frame.state == Some(state)).then_some("page")] {
                                        (name(state))
                                    }
                                }
                            }
                        }
                    }
                    form.search action="/console" method="get" role="search" {
                        input type="hidden" name="state" value="all";
                        label for="find" { "Find a call" }
                        input id="find" type="search" name="find" value=(frame.find) placeholder="WT… or CA…" maxlength="34"
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

fn name(state: State) -> &'static str {
    match state {
        State::Live => "Live",
        State::Parked => "Parked",
        State::Over => "Over",
        State::All => "All",
    }
}

fn title(asked: &Asked) -> &'static str {
    match (asked.find.is_empty(), asked.state) {
        (false, _) => "Calls found",
        (true, State::Live) => "Live calls",
        (true, State::Parked) => "Calls with parked work",
        (true, State::Over) => "Calls that are over",
        (true, State::All) => "All calls",
    }
}

/// The query string of the same list from another place on.
fn query(asked: &Asked, after: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("state", asked.state.word()).append_pair("find", &asked.find).append_pair("after", after);
    query.finish()
}

/// The list itself, without its frame.
pub(super) async fn list_content(console: &Console, asked: &Asked) -> Result<Markup, Refusal> {
    let backlog = console.journal.backlog().await?;
    let list = console.calls(asked).await?;
    Ok(html! {
        (numbers(&backlog))
        h1 { (title(asked)) }
        @if list.calls.is_empty() { (nobody(asked)) } @else { (table(&list)) }
        @if list.next.is_some() || !asked.after.is_empty() {
            nav.pages aria-label="Pages" {
                @if !asked.after.is_empty() { a id="first" href=(format!("/console?{}", query(asked, ""))) { "First page" } }
                @if let Some(next) = &list.next { a id="next" rel="next" href=(format!("/console?{}", query(asked, next))) { "Next page" } }
            }
        }
    })
}

fn numbers(backlog: &Backlog) -> Markup {
    let Backlog { active, waiting, live, parked } = backlog;
    html! {
        dl.numbers {
            div { dt { "Live calls" } dd { (live) } }
            div { dt { "Being worked on" } dd { (active) } }
            div { dt { "Looked at again later" } dd { (waiting) } }
            div.alarm[*parked > 0] { dt { "With parked work" } dd { (parked) } }
        }
    }
}

fn nobody(asked: &Asked) -> Markup {
    let text = match (asked.find.is_empty(), asked.state) {
        (false, _) => {
            "No call has this SID. Calls that have been over for longer than journal.retention_hours are gone."
        }
        (true, State::Live) => "Nobody is on the phone. A call appears here with its first TaskRouter event.",
        (true, State::Parked) => "Nothing is parked: every stream is as it should be.",
        (true, State::Over | State::All) => "There is no call here yet.",
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
        @if agents.is_empty() { span.quiet { "nobody yet" } }
        ul.chips { @for agent in agents { li class=(agent_class(&agent.status)) { (agent.name) ", " (agent.status) } } }
    }
}

/// A class for an agent's status, which is one of ours.
pub(super) fn agent_class(status: &str) -> &'static str {
    match status {
        "on the call" => "chip on",
        "offered" => "chip offered",
        "wrapping up" => "chip wrapping",
        _ => "chip gone",
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

/// A destination's colour.
pub(super) fn slot_class(destination: &str) -> String {
    let place = destination.bytes().next().unwrap_or(b'A').wrapping_sub(b'A') % 6;
    format!("slot slot-{place}")
}

pub(super) fn guard(call: &CallView) -> Markup {
    match (&call.guard, call.over || call.customer.is_none()) {
        (_, true) => html! { span.quiet { "–" } },
        (Some(guard), false) => html! { (guard) },
        (None, false) => html! { "changing" },
    }
}

pub(super) fn hold(call: &CallView) -> Markup {
    match (call.held, call.over) {
        (Some(true), false) => html! { span.pill.held { "held" } },
        (Some(false), false) => html! { "not held" },
        (None, _) | (_, true) => html! { span.quiet { "–" } },
    }
}

pub(super) fn state(call: &CallView) -> Markup {
    html! {
        @if !call.parked.is_empty() { span.pill.parked { (call.parked.len()) " parked" } " " }
        @if call.shadow { span.pill.shadow title="Decided and shown; nothing was commanded" { "shadow" } " " }
        @if call.over { span.pill.over { "over" } } @else { span.pill.live { "live" } }
    }
}

/// A SID, shortened for the eye, whole for whoever points at it.
pub(super) fn sid(sid: &str) -> Markup {
    let (head, tail) = (sid.get(..6).unwrap_or(sid), sid.get(sid.len().saturating_sub(6)..).unwrap_or_default());
    html! { abbr.sid title=(sid) { (head) "…" (tail) } }
}

/// A time of day, with its date for whoever points at it.
pub(super) fn time(ms: i64) -> Markup {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => html! {
            time datetime=(at.to_string()) title=(at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()) {
                (at.strftime("%H:%M:%S").to_string())
            }
        },
        Err(_) => html! { "–" },
    }
}
