//! Which request a path and its parameters mean.

use super::world::twiml::DocumentUrl;
use super::world::{
    CallOrder, EventQuery, ListQuery, ParticipantChange, ParticipantOrder, Recorded, RecordingChange, Request,
    SinkRequest, StreamOrder, TaskChange, TaskRouterRequest, TwimlSource,
};
use taskrouter_streams::call::sid::{AccountSid, WorkspaceSid};

/// The account and the workspace that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The account.
    pub account: AccountSid,
    /// Its workspace.
    pub workspace: WorkspaceSid,
}

const WORKER_FILTERS_NOT_SIMULATED: [&str; 4] =
    ["Ordering", "TargetWorkersExpression", "TaskQueueName", "TaskQueueSid"];

/// A request's parameters, decoded.
#[derive(Clone, Copy)]
struct Parameters<'a>(&'a [(String, String)]);

impl Parameters<'_> {
    fn get(self, name: &str) -> Option<String> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }

    fn has(self, name: &str) -> bool {
        self.has_any(&[name])
    }

    fn has_any(self, names: &[&str]) -> bool {
        self.0.iter().any(|(found, _)| names.contains(&found.as_str()))
    }

    /// Documented: "any other text is read as false".
    fn flag(self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value.eq_ignore_ascii_case("true"))
    }

    fn query(self) -> ListQuery {
        ListQuery::read(self.0)
    }

    /// Where a call's TwiML is. Documented: of a new call, `Url` counts when both are given.
    fn source(self) -> Option<TwimlSource> {
        match (self.get("Url"), self.get("Twiml")) {
            (Some(url), _) => {
                let get = self.get("Method").is_some_and(|method| method == "GET");
                Some(TwimlSource::At(DocumentUrl { url, get }))
            }
            (None, twiml) => twiml.map(TwimlSource::Inline),
        }
    }
}

impl Site {
    /// The request that a path, as it is on the wire, and its decoded parameters mean; `None` when the simulator has no such
    /// endpoint, or not with these parameters.
    pub fn request(&self, method: &str, path: &str, parameters: &[(String, String)]) -> Option<Request> {
        let given = Parameters(parameters);
        let segments = segments(path);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["v1", "Workspaces", rest @ ..] => self.taskrouter_request(method, rest, given).map(Request::TaskRouter),
            ["v1", rest @ ..] => SinkRequest::read(method, rest, parameters).map(Request::Sinks),
            ["2010-04-01", "Accounts", account, rest @ .., last] if self.account.as_str() == *account => {
                voice_request(method, rest, last.strip_suffix(".json")?, given)
            }
            _ => None,
        }
    }

    /// Whether Twilio itself may well have an endpoint there.
    pub(super) fn is_twilios(&self, path: &str) -> bool {
        let segments = segments(path);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["2010-04-01", "Accounts", account, ..] => self.account.as_str() == account.trim_end_matches(".json"),
            ["v1", "Workspaces", workspace, ..] => self.workspace.as_str() == *workspace,
            ["v1" | "v2" | "v3", ..] => true,
            _ => false,
        }
    }

    fn taskrouter_request(&self, method: &str, path: &[&str], given: Parameters<'_>) -> Option<TaskRouterRequest> {
        use TaskRouterRequest as Asked;
        let own = |text: &&str| (*text).to_owned();
        let (query, get) = (given.query(), |name: &str| given.get(name));
        let below = path.first().is_some_and(|workspace| self.workspace.as_str() == *workspace);
        Some(match (method, path) {
            ("GET", []) => Asked::ListWorkspaces { query },
            ("GET", [workspace]) => Asked::FetchWorkspace { workspace: own(workspace) },
            ("POST", [workspace]) => Asked::UpdateWorkspace {
                workspace: own(workspace),
                event_callback_url: get("EventCallbackUrl"),
                events_filter: get("EventsFilter"),
            },
            _ if !below => return None,
            ("GET", [_, "Events"]) => Asked::ListEvents { query: EventQuery::read(given.0, query.page) },
            ("GET", [_, "Tasks"]) if !given.has_any(&["EvaluateTaskAttributes", "HasAddons", "Ordering"]) => {
                Asked::ListTasks { query }
            }
            ("POST", [_, "Tasks"]) => Asked::CreateTask {
                attributes: get("Attributes"),
                priority: get("Priority").and_then(|text| text.parse().ok()),
            },
            ("GET", [_, "Tasks", task]) => Asked::FetchTask { task: own(task) },
            ("POST", [_, "Tasks", task]) => Asked::UpdateTask {
                task: own(task),
                change: TaskChange {
                    attributes: get("Attributes"),
                    status: get("AssignmentStatus"),
                    reason: get("Reason"),
                    priority: get("Priority").and_then(|text| text.parse().ok()),
                },
            },
            ("DELETE", [_, "Tasks", task]) => Asked::DeleteTask { task: own(task) },
            ("GET", [_, "Tasks", task, "Reservations"]) => Asked::ListReservations { task: own(task), query },
            ("GET", [_, "Workers", worker, "Reservations"]) => {
                Asked::ListWorkerReservations { worker: own(worker), query }
            }
            ("GET", [_, "Tasks" | "Workers", _, "Reservations", reservation]) => {
                Asked::FetchReservation { reservation: own(reservation) }
            }
            ("POST", [_, "Tasks" | "Workers", _, "Reservations", reservation]) => {
                Asked::UpdateReservation { reservation: own(reservation), status: get("ReservationStatus")? }
            }
            ("GET", [_, "Workers"]) if !given.has_any(&WORKER_FILTERS_NOT_SIMULATED) => Asked::ListWorkers { query },
            ("GET", [_, "Workers", worker]) => Asked::FetchWorker { worker: own(worker) },
            ("GET", [_, "TaskQueues"]) if !given.has_any(&["EvaluateWorkerAttributes", "Ordering", "WorkerSid"]) => {
                Asked::ListTaskQueues { query }
            }
            ("GET", [_, "TaskQueues", queue]) => Asked::FetchTaskQueue { queue: own(queue) },
            _ => return None,
        })
    }
}

fn voice_request(method: &str, path: &[&str], last: &str, given: Parameters<'_>) -> Option<Request> {
    let last = last.to_owned();
    let own = |text: &&str| (*text).to_owned();
    let is = |name: &str, value: &str| given.get(name).as_deref() == Some(value);
    Some(match (method, path, last.as_str()) {
        ("GET", [], "Conferences") => Request::FindConferences { query: given.query() },
        ("GET", ["Conferences"], _) => Request::FetchConference { conference: last },
        ("POST", ["Conferences"], _) if is("Status", "completed") => Request::EndConference { conference: last },
        ("GET", ["Conferences", conference], "Participants") => {
            Request::ListParticipants { conference: own(conference), query: given.query() }
        }
        ("POST", ["Conferences", conference], "Participants") => {
            Request::CreateParticipant { conference: own(conference), order: participant_order(given) }
        }
        ("GET", ["Conferences", conference, "Participants"], _) => {
            Request::FetchParticipant { conference: own(conference), call: last }
        }
        ("POST", ["Conferences", conference, "Participants"], _) if !given.has("AnnounceUrl") => {
            Request::UpdateParticipant { conference: own(conference), call: last, change: participant_change(given) }
        }
        ("DELETE", ["Conferences", conference, "Participants"], _) => {
            Request::RemoveParticipant { conference: own(conference), call: last }
        }
        (_, ["Calls", call], "Recordings") | (_, ["Calls", call, "Recordings"], _) => {
            return recording_request(method, path.len(), Recorded::Call(own(call)), last, given);
        }
        (_, ["Conferences", conference], "Recordings") | (_, ["Conferences", conference, "Recordings"], _) => {
            return recording_request(method, path.len(), Recorded::Conference(own(conference)), last, given);
        }
        ("GET", [], "Calls") => Request::ListCalls { query: given.query() },
        ("POST", [], "Calls") if !given.has("ApplicationSid") => Request::CreateCall {
            order: CallOrder { to: given.get("To"), from: given.get("From"), source: given.source() },
        },
        ("GET", ["Calls"], _) => Request::FetchCall { call: last },
        // Documented: of a call that there is, `Url` and `Twiml` exclude one another. What comes of both is not published.
        ("POST", ["Calls"], _) if given.has("Url") && given.has("Twiml") => return None,
        ("POST", ["Calls"], _) => match (given.source(), given.get("Status").as_deref()) {
            (Some(source), None) => Request::RedirectCall { call: last, source },
            (None, Some("completed" | "canceled")) => Request::EndCall { call: last },
            (_, _) => return None,
        },
        ("POST", ["Calls", call], "Streams") => {
            Request::CreateStream { call: own(call), order: StreamOrder::read(given.0) }
        }
        ("POST", ["Calls", call, "Streams"], _) if is("Status", "stopped") => {
            Request::StopStream { call: own(call), stream: last }
        }
        _ => return None,
    })
}

/// Documented for both kinds but the creation, which a conference's recordings have not.
fn recording_request(
    method: &str,
    depth: usize,
    of: Recorded<String, String>,
    last: String,
    given: Parameters<'_>,
) -> Option<Request> {
    const OF_ALL: usize = 2;
    Some(match (method, depth, of) {
        ("GET", OF_ALL, of) => Request::ListRecordings { of, query: given.query() },
        ("POST", OF_ALL, Recorded::Call(call)) => Request::CreateRecording { call },
        ("GET", _, of) => Request::FetchRecording { of, recording: last },
        ("POST", depth, of) if depth != OF_ALL => {
            let change = RecordingChange { status: given.get("Status"), pause_behavior: given.get("PauseBehavior") };
            Request::UpdateRecording { of, recording: last, change }
        }
        _ => return None,
    })
}

fn participant_change(given: Parameters<'_>) -> ParticipantChange {
    ParticipantChange {
        guard: given.flag("EndConferenceOnExit"),
        hold: given.flag("Hold"),
        muted: given.flag("Muted"),
        coaching: given.flag("Coaching"),
        call_sid_to_coach: given.get("CallSidToCoach"),
    }
}

/// Twilio's defaults for what is absent.
fn participant_order(given: Parameters<'_>) -> ParticipantOrder {
    ParticipantOrder {
        to: given.get("To"),
        from: given.get("From"),
        label: given.get("Label"),
        guard: given.flag("EndConferenceOnExit").unwrap_or(false),
        starts: given.flag("StartConferenceOnEnter").unwrap_or(true),
        muted: given.flag("Muted").unwrap_or(false),
        call_sid_to_coach: given.get("CallSidToCoach"),
    }
}

/// Split before decoding: an encoded slash belongs to its segment.
fn segments(path: &str) -> Vec<String> {
    path.trim_start_matches('/').split('/').map(percent_decoded).collect()
}

/// One segment of a path, percent-decoded. The form decoder would read `+` and `&` as its own signs.
fn percent_decoded(segment: &str) -> String {
    let protected = format!("={}", segment.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(protected.as_bytes()).next().map_or_else(String::new, |(_, segment)| segment.into_owned())
}
