//! Requests to the API and its answers: of a request where it went and which of its parameters are harmless, of an answer the
//! fields that the program reads.

use super::attributes;
use super::forms::Paths;
use super::pseudonyms::{Pseudonyms, small_number};
use crate::twilio::client::Request;
use serde_json::{Map, Value, json};

/// Segments of a path that are Twilio's. A request to another place is not recorded.
const PLACES: [&str; 11] = [
    "2010-04-01",
    "Accounts",
    "Calls",
    "Conferences",
    "Participants",
    "Recordings",
    "Streams",
    "Tasks",
    "Twilio.CURRENT",
    "Workspaces",
    "v1",
];

/// What Twilio says of calls, conferences, participants, recordings, streams and tasks, and what is asked of them.
const STATUSES: [&str; 23] = [
    "absent",
    "assigned",
    "busy",
    "canceled",
    "complete",
    "completed",
    "connected",
    "connecting",
    "failed",
    "in-progress",
    "init",
    "no-answer",
    "paused",
    "pending",
    "processing",
    "queued",
    "reserved",
    "ringing",
    "stopped",
    "wrapping",
    "inbound_track",
    "outbound_track",
    "both_tracks",
];
const DIRECTIONS: [&str; 4] = ["inbound", "outbound-api", "outbound-dial", "trunking-originating"];
const LABELS: [&str; 3] = ["customer", "supervisor", "worker"];

/// What becomes of a field of an answer.
enum KeepField {
    Sid,
    Status,
    Direction,
    Label,
    Flag,
    SmallNumber,
    Time,
    Address,
    /// A conference's own is its task's SID.
    Name,
    StreamName,
    Message,
    TaskAttributes,
    Rows,
}

fn field(name: &str) -> Option<KeepField> {
    Some(match name {
        "sid" | "account_sid" | "call_sid" | "conference_sid" | "workspace_sid" | "task_sid" | "call_sid_to_coach" => {
            KeepField::Sid
        }
        "status" | "assignment_status" => KeepField::Status,
        "direction" => KeepField::Direction,
        "label" => KeepField::Label,
        "end_conference_on_exit" | "hold" | "muted" | "coaching" | "start_conference_on_enter" => KeepField::Flag,
        "code" | "page" | "page_size" | "start" | "end" | "age" | "priority" => KeepField::SmallNumber,
        "date_created" | "date_updated" | "start_time" | "end_time" => KeepField::Time,
        "from" | "to" => KeepField::Address,
        "friendly_name" => KeepField::Name,
        "name" => KeepField::StreamName,
        "message" => KeepField::Message,
        "attributes" => KeepField::TaskAttributes,
        "conferences" | "participants" | "recordings" => KeepField::Rows,
        _ => return None,
    })
}

/// The request and its answer without what is not kept; nothing where the request is of no use.
pub(super) fn kept(
    request: &Request,
    status: u16,
    body: &[u8],
    paths: &Paths,
    pseudonyms: &mut Pseudonyms,
) -> Option<Value> {
    let path = of_path(&request.path, pseudonyms)?;
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(request.query.as_deref().unwrap_or_default().as_bytes()).into_owned().collect();
    let form: Vec<(String, String)> =
        request.form.iter().flatten().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    Some(json!({
        "method": if request.form.is_some() { "POST" } else { "GET" }, "path": path,
        "query": of_parameters(&query, pseudonyms), "form": of_parameters(&form, pseudonyms),
        "status": status, "body": of_body(&body, paths, pseudonyms),
    }))
}

/// What a request does, as its file's name tells it.
pub(super) fn action(request: &Request) -> &'static str {
    let (path, is_post) = (&request.path, request.form.is_some());
    let has = |place: &str| path.iter().any(|segment| segment.trim_end_matches(".json") == place);
    let is_list = path.last().is_some_and(|last| PLACES.contains(&last.trim_end_matches(".json")));
    if has("Recordings") {
        return if is_post { "update-recording" } else { "recordings" };
    }
    match (has("Streams"), has("Participants"), has("Conferences"), has("Calls"), is_post) {
        (true, _, _, _, _) if is_list => "create-stream",
        (true, _, _, _, _) => "stop-stream",
        (_, true, _, _, true) => "update-participant",
        (_, true, _, _, false) => "participants",
        (_, _, true, _, true) => "end-conference",
        (_, _, true, _, false) => "conference",
        (_, _, _, true, true) => "redirect",
        (_, _, _, true, false) => "call",
        (_, _, _, _, _) => "task",
    }
}

fn of_path(path: &[String], pseudonyms: &mut Pseudonyms) -> Option<String> {
    let mut kept = String::new();
    let mut above = "";
    for segment in path {
        let (name, json) = segment.strip_suffix(".json").map_or((segment.as_str(), ""), |name| (name, ".json"));
        let name = match PLACES.into_iter().find(|place| *place == name) {
            Some(place) => place.to_owned(),
            None if above == "Streams" => pseudonyms.stream_name(name),
            None => pseudonyms.sid(name)?,
        };
        kept = format!("{kept}/{name}{json}");
        above = segment;
    }
    Some(kept)
}

/// The parameters of a query or a form. New TwiML and destinations' addresses stand for themselves no longer.
fn of_parameters(parameters: &[(String, String)], pseudonyms: &mut Pseudonyms) -> Value {
    let kept = parameters.iter().filter_map(|(name, value)| {
        let kept = match name.as_str() {
            "Status" | "Track" => STATUSES.into_iter().find(|known| known == value)?.to_owned(),
            "PauseBehavior" => ["silence", "skip"].into_iter().find(|known| known == value)?.to_owned(),
            "EndConferenceOnExit" | "BeepOnExit" | "Hold" => flag(value)?.to_string(),
            "PageSize" | "Page" => small_number(value)?.to_string(),
            "FriendlyName" => pseudonyms.sid_or_word(value),
            "Name" => pseudonyms.stream_name(value),
            "Url" => format!("wss://audio.example.com/{}", pseudonyms.word("destination", value)),
            "Twiml" => "<Response/>".to_owned(),
            _ => return None,
        };
        Some((name.clone(), json!(kept)))
    });
    Value::Object(kept.collect())
}

fn flag(text: &str) -> Option<bool> {
    text.parse().ok()
}

fn of_body(body: &Value, paths: &Paths, pseudonyms: &mut Pseudonyms) -> Value {
    let Some(fields) = body.as_object() else { return Value::Null };
    let kept = fields.iter().filter_map(|(name, value)| {
        let kept = if value.is_null() { Value::Null } else { of_field(&field(name)?, value, paths, pseudonyms)? };
        field(name).map(|_| (name.clone(), kept))
    });
    let mut kept: Map<String, Value> = kept.collect();
    if kept.contains_key("participants") || kept.contains_key("recordings") {
        // Each page stands for itself: the next one's address would hold its token.
        kept.insert("next_page_uri".to_owned(), Value::Null);
    }
    Value::Object(kept)
}

fn of_field(keep: &KeepField, value: &Value, paths: &Paths, pseudonyms: &mut Pseudonyms) -> Option<Value> {
    if let KeepField::Rows = keep {
        return Some(value.as_array()?.iter().map(|row| of_body(row, paths, pseudonyms)).collect());
    }
    if let Value::Bool(truth) = value {
        return matches!(keep, KeepField::Flag).then(|| json!(truth));
    }
    if let Value::Number(number) = value {
        let number = small_number(&number.to_string())?;
        // In an error's body, `status` is that of the answer.
        return matches!(keep, KeepField::SmallNumber | KeepField::Status).then(|| json!(number));
    }
    let text = value.as_str()?;
    let listed = |known: &[&str]| known.iter().find(|known| **known == text).map(|known| (*known).to_owned());
    Some(json!(match keep {
        KeepField::Sid => pseudonyms.sid(text)?,
        KeepField::Status => listed(&STATUSES)?,
        KeepField::Direction => listed(&DIRECTIONS)?,
        KeepField::Label => listed(&LABELS).unwrap_or_else(|| pseudonyms.word("label", text)),
        KeepField::SmallNumber => small_number(text)?.to_string(),
        KeepField::Time => pseudonyms.time(text)?,
        KeepField::Address => pseudonyms.address(text),
        KeepField::Name => pseudonyms.sid_or_word(text),
        KeepField::StreamName => pseudonyms.stream_name(text),
        KeepField::Message => "message".to_owned(),
        KeepField::TaskAttributes => attributes::of_task(text, &paths.task, pseudonyms),
        KeepField::Flag | KeepField::Rows => return None,
    }))
}
