//! One call: its parked changes, its diagram, its agents and streams, and its story in words.

use super::access;
use super::actions::Action;
use super::diagram::{self, LEGEND};
use super::error::ConsoleError;
use super::error_codes::linked;
use super::layout::{Frame, page};
use super::page_error::PageError;
use super::pauses;
use super::queries::task;
use super::state::Console;
use super::view::{CallStory, CallView, LineView, StreamView};
use super::widgets::{
    agent_class, guard, hold, long_time, outcome, seconds, sid, slot_class, span, state, time, whole_sid,
};
use crate::call::sid::TaskSid;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

/// A longer word is a name or a SID, which has 34 characters.
const LONG_WORD: usize = 30;

/// `GET /console/calls/{WT}`.
pub(super) async fn show(console: web::Data<Console>, path: web::Path<String>) -> Result<HttpResponse, PageError> {
    let task = task(&path)?;
    let content = content(&console, &task).await?;
    let title = format!("Call {task}");
    let live = Some(format!("/console/calls/{task}/live"));
    Ok(page(&Frame { title: &title, state: None, find: "", live }, &content))
}

/// `POST /console/calls/{WT}/redrive`.
pub(super) async fn redrive(
    console: web::Data<Console>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, PageError> {
    done(&console, &path, Action::Redrive, &request).await
}

/// `POST /console/calls/{WT}/dismiss`.
pub(super) async fn dismiss(
    console: web::Data<Console>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, PageError> {
    done(&console, &path, Action::Dismiss, &request).await
}

/// Redirects to the call, so that a reload does not repeat the action.
async fn done(console: &Console, path: &str, action: Action, request: &HttpRequest) -> Result<HttpResponse, PageError> {
    let task = task(path)?;
    console.actions.perform(&task, action, access::operator(request).as_deref()).await?;
    Ok(HttpResponse::SeeOther().insert_header(("Location", format!("/console/calls/{task}"))).finish())
}

/// The call itself, without its frame.
pub(super) async fn content(console: &Console, task: &TaskSid) -> Result<Markup, ConsoleError> {
    let (CallStory { call, timeline }, facts) = console.queries.story(task).await?;
    Ok(html! {
        p.crumbs { a id="back" href="/console" { "Calls" } }
        div.title { h1 { "Call " (whole_sid(task.as_str())) } div { (state(&call)) } }
        @if call.shadow {
            p.hint { "Shadow mode: guard, hold and streams are shown as they would be. No command was sent." }
        }
        @if !call.parked.is_empty() { (parked(&call)) }
        (summary(&call))
        section aria-labelledby="diagram-heading" {
            h2 id="diagram-heading" { "Diagram" }
            (diagram::draw(&facts))
            (legend(call.shadow))
        }
        (agents(&call))
        (streams(&call))
        (pauses::section(&call))
        section aria-labelledby="story-heading" {
            h2 id="story-heading" { "Timeline" }
            (story(&timeline))
        }
    })
}

fn parked(call: &CallView) -> Markup {
    html! {
        section.parked-changes aria-labelledby="parked-heading" {
            h2 id="parked-heading" { "Parked changes" }
            ul {
                @for parked in &call.parked {
                    li {
                        strong { (parked.change) } ": " (parked.reason)
                        @if !parked.helpable { span.hint { " (the call is over: redriving cannot help)" } }
                    }
                }
            }
            div.actions {
                form method="post" action=(format!("/console/calls/{}/redrive", call.task)) {
                    button.primary id="redrive" { "Redrive" }
                    span.hint { "Retry all of them" }
                }
                form method="post" action=(format!("/console/calls/{}/dismiss", call.task)) {
                    button id="dismiss" { "Dismiss" }
                    span.hint { "Leave them undone" }
                }
            }
        }
    }
}

fn summary(call: &CallView) -> Markup {
    html! {
        dl.summary {
            @if let Some(account) = &call.account { div { dt { "Account" } dd { (account) } } }
            @if let Some(queue) = &call.queue { div { dt { "Queue" } dd { (queue) } } }
            div { dt { "Start" } dd { (long_time(call.began_ms)) } }
            div { dt { "Duration" } dd { @match call.ended_ms { Some(ended) => (span(ended - call.began_ms)), None => "live" } } }
            div { dt { "First audio" } dd { @match call.audio_after_ms { Some(ms) => (seconds(ms)), None => "–" } } }
            div { dt { "Outcome" } dd { (outcome(&call.outcome)) } }
            @if let Some(reason) = &call.reason { div { dt { "Reason" } dd { (reason) } } }
            @if !call.errors.is_empty() {
                div { dt { "Errors" } dd { @for (place, code) in call.errors.iter().enumerate() { @if place > 0 { ", " } (linked(*code)) } } }
            }
            div { dt { "Customer's leg" } dd { @match &call.customer { Some(leg) => (whole_sid(leg.as_str())), None => "unknown" } } }
            div { dt { "Guard" } dd { (guard(call)) } }
            div { dt { "Hold" } dd { (hold(call)) } }
            div { dt { "Facts" } dd { (call.facts) } }
            div { dt { "Last change" } dd { (long_time(call.changed_ms)) } }
            div { dt { "Evidence" } dd { a href=(format!("/calls/{}/export", call.task)) { "Export as JSON" } } }
        }
    }
}

fn legend(shadow: bool) -> Markup {
    let mut marks = LEGEND.to_vec();
    marks.extend([("request parked", "parked"), ("request operator", "an operator acted")]);
    if shadow {
        marks.push(("request not-sent", "not sent (shadow mode)"));
    }
    html! {
        ul.legend aria-label="What the colours mean" {
            @for (class, text) in marks {
                li { svg aria-hidden="true" width="18" height="12" { rect class=(class) width="18" height="12" rx="3" {} } (text) }
            }
        }
    }
}

fn agents(call: &CallView) -> Markup {
    html! {
        section aria-labelledby="agents-heading" {
            h2 id="agents-heading" { "Agents" }
            @if call.agents.is_empty() { p.empty { "No agent has been offered the call yet." } } @else {
                div.table id="agents" data-keep-scroll tabindex="0" role="region" aria-label="Table of agents" {
                    table.stacks {
                        thead {
                            tr {
                                th scope="col" { "Agent" } th scope="col" { "Status" } th scope="col" { "Stream" }
                                th scope="col" { "Worker" } th scope="col" { "Reservation" }
                            }
                        }
                        tbody {
                            @for agent in &call.agents {
                                tr {
                                    th scope="row" {
                                        (agent.name)
                                        @if let Some(name) = &agent.worker_name { span.below { (name) } }
                                    }
                                    td data-label="Status" { span class=(agent_class(&agent.status)) { (agent.status) } }
                                    td data-label="Stream" {
                                        (outcome(&agent.outcome))
                                        @if let Some(ms) = agent.audio_after_ms { " after " (seconds(ms)) }
                                        @if let Some(reason) = &agent.reason { span.below { (reason) } }
                                    }
                                    td data-label="Worker" { @match &agent.worker { Some(worker) => (whole_sid(worker.as_str())), None => "unknown" } }
                                    td data-label="Reservation" { (whole_sid(agent.reservation.as_str())) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn streams(call: &CallView) -> Markup {
    html! {
        section aria-labelledby="streams-heading" {
            h2 id="streams-heading" { "Streams" }
            @if call.streams.is_empty() { p.empty { "No stream has been started." } } @else {
                div.table id="streams" data-keep-scroll tabindex="0" role="region" aria-label="Table of streams" {
                    table.stacks {
                        thead {
                            tr {
                                th scope="col" { "Destination" } th scope="col" { "For" } th scope="col" { "State" }
                                th scope="col" { "From" } th scope="col" { "To" } th scope="col" { "Name" }
                            }
                        }
                        tbody {
                            @for stream in &call.streams {
                                tr {
                                    th scope="row" { span class=(slot_class(&stream.destination)) aria-hidden="true" {} (stream.destination) }
                                    td data-label="For" { (stream.agent) }
                                    td data-label="State" { (stream_state(stream)) }
                                    td data-label="From" { @match stream.from_ms { Some(at) => (time(at)), None => "–" } }
                                    td data-label="To" { @match stream.to_ms { Some(at) => (time(at)), None => "–" } }
                                    td data-label="Name" { (whole_sid(&stream.name)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A line's text with long names and SIDs shortened.
fn words(text: &str) -> Markup {
    html! {
        @for (place, word) in text.split(' ').enumerate() {
            @if place > 0 { " " }
            @let name = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            @if name.len() >= LONG_WORD && let Some((before, after)) = word.split_once(name) {
                (before) (sid(name)) (after)
            } @else { (word) }
        }
    }
}

fn stream_state(stream: &StreamView) -> Markup {
    let class = match stream.state.as_str() {
        "running" => "pill live",
        "would run" => "pill shadow",
        "starting" | "taken" => "chip offered",
        "in doubt" | "stopping" => "pill held",
        "failed" => "pill parked",
        _ => "pill over",
    };
    html! {
        span class=(class) {
            (stream.state)
        }
        @if let Some(error) = stream.error { " Twilio error " (linked(error)) }
        @if stream.live && stream.orphan { " " span.pill.parked { "orphan" } }
    }
}

fn story(lines: &[LineView]) -> Markup {
    html! {
        div.table id="story" data-keep-scroll tabindex="0" role="region" aria-label="Table of what happened" {
            table.story {
                thead {
                    tr { th scope="col" { "Time" } th scope="col" { "After" } th scope="col" { "What" } th scope="col" { "Why" } }
                }
                tbody {
                    @for line in lines {
                        tr class=(line.kind) {
                            td.at { (time(line.at_ms)) }
                            td.after { time datetime=(format!("PT{}.{:03}S", line.after_ms / 1000, line.after_ms % 1000)) {
                                (line.after_ms / 1000) "." (format!("{:03}", line.after_ms % 1000)) " s"
                            } }
                            td.what {
                                (words(&line.text))
                                @if let Some(took) = line.took_ms { span.took title="From sending until it settled" { " " (took) " ms" } }
                            }
                            td.why { @if let Some(why) = &line.why { "to " (why) } }
                        }
                    }
                }
            }
        }
    }
}
