//! What an unsuccessful answer means: Twilio's error bodies and headers, read into a verdict ([`Outcome`]).
//!
//! Twilio's specification documents only success, so any body is accepted. The status decides where the body does not say
//! more. Only numbers of an answer are passed on, never text.

use crate::call::fact::EpochMs;
use crate::call::step::{Outcome, Trouble};
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::Value;

/// "Call is not in-progress. Cannot redirect.": <https://www.twilio.com/docs/api/errors/21220>.
pub const CALL_NOT_IN_PROGRESS: u32 = 21220;
/// Too many requests at once; never processed: <https://www.twilio.com/docs/api/errors/20429>.
pub const TOO_MANY_REQUESTS: u32 = 20429;

const BUSY: &str = "Twilio has too many requests of this account at once";

/// The resource that a failed request was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The call itself: 21220 means that it has ended.
    Call,
    Other,
}

/// The parts of an answer other than 2xx that are read.
#[derive(Debug, Clone, Copy)]
pub struct ErrorResponse<'a> {
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<&'a str>,
    /// The body, or its beginning.
    pub body: &'a [u8],
}

/// The verdict on an answer other than 2xx; `now` is for a `Retry-After` that is a date.
pub fn verdict(error: ErrorResponse<'_>, about: About, now: EpochMs) -> Outcome {
    let code = error_code(error.body);
    let trouble = |reason: &str| Trouble {
        status: Some(error.status),
        code,
        reason: reason.to_owned(),
        retry_after_ms: error.retry_after.and_then(|text| retry_after_ms(text, now)),
        lost: false,
    };
    // Whoever answered may have passed the request on, and Twilio may still carry it out.
    let lost = |reason: &str| Trouble { lost: true, ..trouble(reason) };
    let twilio_says = code.is_some();
    match error.status {
        400..500 if about == About::Call && code == Some(CALL_NOT_IN_PROGRESS) => {
            Outcome::NotInProgress(trouble("the call is not in progress"))
        }
        400..500 if code == Some(TOO_MANY_REQUESTS) => Outcome::TryLater(trouble(BUSY)),
        // A hotel's login page, or a base URL that has moved.
        300..400 => Outcome::Denied(trouble(
            "Twilio's address answered with a redirect, which is not followed: check the base URL",
        )),
        401 | 403 if twilio_says => {
            Outcome::Denied(trouble("Twilio refused the credentials: check the account, the key and the region"))
        }
        404 | 410 if twilio_says => Outcome::NotFound(trouble(
            "Twilio does not know the resource: is the account or twilio.region another one?",
        )),
        // 408 may come from a proxy that has already forwarded the request.
        408 => Outcome::Unknown(lost("the request took too long to arrive")),
        409 => Outcome::TryLater(trouble("Twilio was changing the same resource")),
        425 => Outcome::TryLater(trouble("Twilio was not ready for the request")),
        429 => Outcome::TryLater(trouble(BUSY)),
        400..500 if twilio_says => Outcome::Refused(trouble("Twilio refused the request")),
        400..500 => Outcome::Unknown(trouble("the request was refused, and not by Twilio: is a proxy in between?")),
        500..600 if twilio_says => Outcome::Unknown(trouble("Twilio failed while it handled the request")),
        500..600 => Outcome::Unknown(lost("the answer came from between us and Twilio, or Twilio failed")),
        _ => Outcome::Unknown(trouble("the answer's status is not one of HTTP")),
    }
}

/// Twilio's error code, from any of its forms: `code` as a number or as digits (v2010 and V1, RFC 9457), else the last
/// part of the address of the error's page (`more_info`, `type`), else `<Code>` of a `<RestException>`.
pub fn error_code(body: &[u8]) -> Option<u32> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return code_in_xml(body) };
    let stated = match body.get("code").unwrap_or(&Value::Null) {
        Value::Number(number) => number.as_u64().and_then(|code| u32::try_from(code).ok()),
        Value::String(digits) => digits.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    stated.or_else(|| ["more_info", "type"].iter().find_map(|field| code_of_page(body.get(field)?.as_str()?)))
}

fn code_in_xml(body: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, exception) = text.split_once("<RestException>")?;
    exception.split_once("<Code>")?.1.split_once("</Code>")?.0.trim().parse().ok()
}

fn code_of_page(address: &str) -> Option<u32> {
    address.rsplit_once("/errors/")?.1.trim_end_matches('/').parse().ok()
}

/// `Retry-After` in milliseconds from `now`: whole seconds, or an HTTP date (RFC 9110 §10.2.3), which may be past.
pub fn retry_after_ms(text: &str, now: EpochMs) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(u64::try_from(date.as_millisecond().saturating_sub(now)).unwrap_or(0))
}
