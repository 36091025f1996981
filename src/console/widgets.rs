//! Parts that several pages show.

use super::view::CallView;
use jiff::Timestamp;
use maud::{Markup, html};

/// The class of an agent's status.
pub(super) fn agent_class(status: &str) -> &'static str {
    match status {
        "on the call" => "chip on",
        "offered" => "chip offered",
        "wrapping up" => "chip wrapping",
        _ => "chip gone",
    }
}

/// The class of a destination's colour.
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
        @if call.shadow { span.pill.shadow title="Shadow mode: no command was sent" { "shadow" } " " }
        @if call.held == Some(true) && !call.over { span.pill.held { "held" } " " }
        @if call.over { span.pill.over { "over" } } @else { span.pill.live { "live" } }
    }
}

/// A whole SID, which a click selects and the page's script offers to copy; one that the Twilio Console has a page for leads there.
pub(super) fn whole_sid(sid: &str) -> Markup {
    html! {
        span.sid data-copy=(sid) { (sid) }
        @if sid.starts_with("CA") {
            " " a.away href=(format!("https://console.twilio.com/us1/monitor/logs/calls/{sid}")) rel="noreferrer" { "Twilio Console" }
        }
    }
}

/// A shortened SID; the whole one is its tooltip.
pub(super) fn sid(sid: &str) -> Markup {
    let (head, tail) = (sid.get(..6).unwrap_or(sid), sid.get(sid.len().saturating_sub(6)..).unwrap_or_default());
    html! { abbr.sid title=(sid) { (head) "…" (tail) } }
}

/// A date and a time of day, in UTC; the page's script adds the local time.
pub(super) fn long_time(ms: i64) -> Markup {
    clock(ms, "%Y-%m-%d %H:%M:%S UTC")
}

/// A time of day in UTC, to the millisecond.
pub(super) fn time(ms: i64) -> Markup {
    clock(ms, "%H:%M:%S%.3f UTC")
}

fn clock(ms: i64, format: &str) -> Markup {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => html! {
            time.clock datetime=(at.to_string()) title=(at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()) {
                (at.strftime(format).to_string())
            }
        },
        Err(_) => html! { "–" },
    }
}

/// As in "0.42 s".
pub(super) fn seconds(ms: i64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

/// How long something took, as in "12 s", "3:05" and "1:02:03".
pub(super) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}

/// What became of the streams, in its colour.
pub(super) fn outcome(word: &str) -> Markup {
    let class = match word {
        "streamed" => "pill live",
        "missing" | "interrupted" => "pill parked",
        "late" | "unproven" => "pill held",
        "not-sent" => "pill shadow",
        _ => "pill over",
    };
    html! { span class=(class) { (word) } }
}
