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
        @if call.over { span.pill.over { "over" } } @else { span.pill.live { "live" } }
    }
}

/// A shortened SID; the whole one is its tooltip.
pub(super) fn sid(sid: &str) -> Markup {
    let (head, tail) = (sid.get(..6).unwrap_or(sid), sid.get(sid.len().saturating_sub(6)..).unwrap_or_default());
    html! { abbr.sid title=(sid) { (head) "…" (tail) } }
}

/// A time of day; the date is in its tooltip.
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
