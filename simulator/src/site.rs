//! Which request a path and its parameters mean.

use super::world::{EventQuery, PageQuery, Request, SinkRequest, StreamOrder};
use taskrouter_streams::call::sid::{AccountSid, WorkspaceSid};

/// Twilio's default for `PageSize`.
const PAGE_SIZE: usize = 50;

/// The account and the workspace that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The account.
    pub account: AccountSid,
    /// Its workspace.
    pub workspace: WorkspaceSid,
}

impl Site {
    /// The request that a path, as it is on the wire, and its decoded parameters mean; `None` when there is no such endpoint.
    pub fn request(&self, method: &str, path: &str, parameters: &[(String, String)]) -> Option<Request> {
        parse(self, method, path, parameters)
    }
}

fn parse(site: &Site, method: &str, path: &str, parameters: &[(String, String)]) -> Option<Request> {
    let get = |name: &str| parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    // Documented: "any other text is read as false".
    let flag = |name: &str| get(name).map(|value| value.eq_ignore_ascii_case("true"));
    let number = |name: &str| get(name).and_then(|value| value.parse::<usize>().ok());
    let page = PageQuery { number: number("Page").unwrap_or(0), size: number("PageSize").unwrap_or(PAGE_SIZE) };
    // Split before decoding: an encoded slash belongs to its segment.
    let segments: Vec<String> = path.trim_start_matches('/').split('/').map(percent_decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (read, write) = (method == "GET", method == "POST");
    match segments.as_slice() {
        ["v1", "Workspaces", workspace] if write => Some(Request::UpdateWorkspace {
            workspace: (*workspace).to_owned(),
            event_callback_url: get("EventCallbackUrl"),
            events_filter: get("EventsFilter"),
        }),
        ["v1", "Workspaces"] if read => Some(Request::ListWorkspaces { name: get("FriendlyName"), page }),
        ["v1", "Workspaces", workspace] if read => Some(Request::FetchWorkspace { workspace: (*workspace).to_owned() }),
        ["v1", "Workspaces", workspace, rest @ ..] if read && site.workspace.as_str() == *workspace => match rest {
            ["Events"] => Some(Request::ListEvents { query: EventQuery::read(parameters, page) }),
            ["Tasks", task] => Some(Request::FetchTask { task: (*task).to_owned() }),
            ["Tasks", task, "Reservations"] => Some(Request::ListReservations { task: (*task).to_owned(), page }),
            _ => None,
        },
        ["v1", rest @ ..] if read || write => SinkRequest::read(write, rest, parameters, page).map(Request::Sinks),
        ["2010-04-01", "Accounts", account, rest @ .., last] if site.account.as_str() == *account => {
            let last = last.strip_suffix(".json")?.to_owned();
            match (rest, last.as_str()) {
                ([], "Conferences") if read => {
                    Some(Request::FindConferences { friendly_name: get("FriendlyName"), status: get("Status"), page })
                }
                (["Conferences"], _) if read => Some(Request::FetchConference { conference: last }),
                (["Conferences"], _) if write && get("Status").as_deref() == Some("completed") => {
                    Some(Request::EndConference { conference: last })
                }
                (["Conferences", conference], "Participants") if read => {
                    Some(Request::ListParticipants { conference: (*conference).to_owned(), page })
                }
                (["Conferences", conference, "Participants"], _) if read => {
                    Some(Request::FetchParticipant { conference: (*conference).to_owned(), call: last })
                }
                (["Conferences", conference, "Participants"], _) if write => Some(Request::UpdateParticipant {
                    conference: (*conference).to_owned(),
                    call: last,
                    guard: flag("EndConferenceOnExit"),
                    hold: flag("Hold"),
                }),
                (["Calls"], _) if read => Some(Request::FetchCall { call: last }),
                (["Calls"], _) if write => match (get("Twiml"), get("Status").as_deref()) {
                    (Some(twiml), None) => Some(Request::RedirectCall { call: last, twiml }),
                    (None, Some("completed" | "canceled")) => Some(Request::EndCall { call: last }),
                    (_, _) => None,
                },
                (["Calls", call], "Streams") if write => {
                    Some(Request::CreateStream { call: (*call).to_owned(), order: StreamOrder::read(parameters) })
                }
                (["Calls", call, "Streams"], _) if write && get("Status").as_deref() == Some("stopped") => {
                    Some(Request::StopStream { call: (*call).to_owned(), stream: last })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// One segment of a path, percent-decoded. The form decoder would read `+` and `&` as its own signs.
fn percent_decoded(segment: &str) -> String {
    let protected = format!("={}", segment.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(protected.as_bytes()).next().map_or_else(String::new, |(_, segment)| segment.into_owned())
}
