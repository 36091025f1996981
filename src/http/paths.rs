//! The paths of the public listener, and what proxies and typing errors make of them.
//!
//! A gateway leaves the prefix of its stage in place, and a URL is put together with one slash too many. Twilio signed what it was
//! given, so such a request can be verified as it came, or without the prefix; it is taken, and said in the log.

use super::pause_signature;
use super::state::IngestState;
use crate::telemetry::labels;
use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};

/// For TaskRouter's event callbacks.
pub const EVENTS_PATH: &str = "/taskrouter/events";

/// For an Event Streams sink.
pub const EVENT_STREAMS_PATH: &str = "/taskrouter/event-streams";

/// For status callbacks of streams. The worker adds `?task=` and the TaskSid, for which Twilio's form has no field.
pub const STREAM_STATUS_PATH: &str = "/streams/status";

/// For assignment callbacks of a Workflow.
pub(super) const ASSIGNMENT_PATH: &str = "/taskrouter/assignment";

/// For requests to pause a call's streams, and to end a pause.
pub(super) const PAUSE_PATH: &str = "/calls/{task}/pause";
pub(super) const RESUME_PATH: &str = "/calls/{task}/resume";

/// The header of Twilio's signature, which anybody may send.
pub(super) const SIGNATURE: &str = "x-twilio-signature";

const SIGNED_PATHS: [&str; 4] = [EVENTS_PATH, EVENT_STREAMS_PATH, STREAM_STATUS_PATH, ASSIGNMENT_PATH];

/// So much of a stranger's path is logged.
const LOGGED_CHARACTERS: usize = 200;

/// A number of so many digits may be somebody's.
const NUMBER_DIGITS: usize = 5;

/// The target that a request came with, where its path was not quite one of ours.
struct AskedTarget(String);

/// Has a request with nearly one of our paths handled as one with that path.
pub(super) fn correct(request: &mut ServiceRequest) {
    if let Some(uri) = corrected(request.uri()) {
        let asked = AskedTarget(target(request.uri()).to_owned());
        request.extensions_mut().insert(asked);
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

fn corrected(uri: &Uri) -> Option<Uri> {
    let path = nearly(uri.path())?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

/// The path that was meant: with single slashes, and behind any prefix.
fn nearly(path: &str) -> Option<&'static str> {
    if SIGNED_PATHS.contains(&path) {
        return None;
    }
    let segments = || path.split('/').filter(|segment| !segment.is_empty());
    let ends_with = |own: &&str| {
        let own: Vec<&str> = own.split('/').skip(1).collect();
        segments().count().checked_sub(own.len()).is_some_and(|before| segments().skip(before).eq(own))
    };
    SIGNED_PATHS.into_iter().find(ends_with)
}

/// The targets that Twilio may have signed: as it came, and without what a gateway may have left in front of it.
pub(super) fn signed_targets(request: &HttpRequest) -> Vec<String> {
    let asked = request.extensions().get::<AskedTarget>().map(|asked| asked.0.clone());
    asked.into_iter().chain([target(request.uri()).to_owned()]).collect()
}

/// The raw target: Twilio signed it before any decoding or normalisation.
fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

/// Says that Twilio asked for another path than it should.
pub(super) fn note_corrected(request: &HttpRequest, state: &IngestState) {
    if let Some(AskedTarget(asked)) = request.extensions().get() {
        state.astray.log(|suppressed| {
            tracing::warn!(
                path = shown(asked),
                expected = request.path(),
                suppressed,
                "took a signed request whose path is not quite right: correct the URL configured in Twilio, or have the proxy remove its prefix and set server.public_url to the URL that Twilio is given"
            );
        });
    }
}

/// The path of a request with Twilio's signature, for the log: whoever says that they are Twilio may be, and learns of a loss there.
pub(super) fn path_if_signed(request: &HttpRequest) -> Option<&'static str> {
    request.headers().contains_key(SIGNATURE).then(|| labels::path(request.match_pattern().as_deref()))
}

/// Answers what asks for no path of ours. With a signature it may be Twilio, whose events go astray.
pub(super) async fn not_found(request: HttpRequest, state: web::Data<IngestState>) -> HttpResponse {
    let is_signed = [SIGNATURE, pause_signature::SIGNATURE].iter().any(|name| request.headers().contains_key(*name));
    if is_signed {
        state.astray.log(|suppressed| {
            let remedy = remedy(request.path());
            tracing::warn!(
                path = shown(request.path()),
                suppressed,
                "answered a request with a signature with 404: {remedy}"
            );
        });
    }
    HttpResponse::NotFound().finish()
}

/// What may be wrong where there is nothing at a path. Those of ours that are not enabled look no different from outside.
fn remedy(path: &str) -> String {
    let is_pause = path.starts_with("/calls/") && (path.ends_with("/pause") || path.ends_with("/resume"));
    if path == ASSIGNMENT_PATH {
        "assignment callbacks are not answered unless assignment.enabled = true".to_owned()
    } else if is_pause {
        "requests to pause and resume are not taken unless pause.secret is set".to_owned()
    } else {
        format!(
            "if it came from Twilio, the URL configured there must end in {EVENTS_PATH}, {EVENT_STREAMS_PATH} or {ASSIGNMENT_PATH}"
        )
    }
}

/// A path without its query, which may hold anything, without what would disturb a terminal, and without what may be a telephone
/// number.
fn shown(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    without_numbers(path).chars().flat_map(char::escape_default).take(LOGGED_CHARACTERS).collect()
}

/// A text with its numbers masked, also those that are written in groups.
fn without_numbers(text: &str) -> String {
    let is_within = |c: char| c.is_numeric() || "+-._~()%,; ".contains(c);
    let mut masked = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(char::is_numeric) {
        let (before, number) = rest.split_at(begin);
        let end = number.find(|c| !is_within(c)).unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        let is_long = number.chars().filter(|c| c.is_numeric()).count() >= NUMBER_DIGITS;
        masked.push_str(before);
        masked.push_str(if is_long { "***" } else { number });
        rest = after;
    }
    masked + rest
}
