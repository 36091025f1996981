//! The names of Twilio's error codes that a call can show; every other one has its page all the same.

use maud::{Markup, html};

/// Code and name, after <https://www.twilio.com/docs/api/errors>.
const NAMES: [(u32, &str); 22] = [
    (20001, "unknown parameters"),
    (20003, "authentication failed"),
    (20006, "access denied"),
    (20404, "not found"),
    (20409, "conflict"),
    (20429, "too many requests"),
    (20500, "internal server error"),
    (20503, "service unavailable"),
    (21218, "invalid ApplicationSid"),
    (21220, "call is not in progress"),
    (31901, "socket: connection timed out"),
    (31902, "socket: connection refused"),
    (31903, "socket: connection broken"),
    (31904, "socket: host unreachable"),
    (31920, "socket: handshake failed"),
    (31921, "socket: closed by the server"),
    (31922, "socket: unknown scheme"),
    (31923, "socket: malformed message"),
    (31924, "socket: protocol error"),
    (31930, "socket: buffer overflow"),
    (31940, "connector missing or not enabled"),
    (31941, "stream: invalid track"),
];

/// The name of a code.
pub(super) fn name(code: u32) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// A code with its name, linked to Twilio's page; an HTTP status as it is.
pub(super) fn linked(code: u32) -> Markup {
    html! {
        @if code < 1_000 { "HTTP " (code) } @else {
            a href=(format!("https://www.twilio.com/docs/api/errors/{code}")) rel="noreferrer" { (code) }
            @if let Some(name) = name(code) { " (" (name) ")" }
        }
    }
}
