//! The REST resources: what each request does to the world and what it is answered.
//!
//! Statuses of failures are documented only in part: 20404, 21220,
//! 20429 and 20003 are; the answer to writing the guard of a connecting participant is assumed, and so is every refusal of
//! a new stream (see `streams.rs`).

use super::event_streams::SinkRequest;
use super::{Call, Conference, Effect, EventQuery, Misuse, Ms, Role, StreamOrder, Task, World};
use serde_json::{Value, json};
use taskrouter_streams::call::sid::{CallSid, TaskSid};

/// A page of a list: `Page` and `PageSize`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// From 0.
    pub number: usize,
    /// Rows asked for; Twilio's default is 50.
    pub size: usize,
}

/// A request that the simulated REST API understands. Path segments are as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is one endpoint, named in OpName, with its parameters")]
pub enum Request {
    FindConferences { friendly_name: Option<String>, status: Option<String>, page: Page },
    FetchConference { conference: String },
    ListParticipants { conference: String, page: Page },
    FetchParticipant { conference: String, call: String },
    UpdateParticipant { conference: String, call: String, guard: Option<bool>, hold: Option<bool> },
    FetchCall { call: String },
    RedirectCall { call: String, twiml: String },
    EndCall { call: String },
    CreateStream { call: String, order: StreamOrder },
    StopStream { call: String, stream: String },
    FetchTask { task: String },
    ListReservations { task: String, page: Page },
    ListEvents { query: EventQuery },
    ListWorkspaces { name: Option<String>, page: Page },
    FetchWorkspace { workspace: String },
    UpdateWorkspace { workspace: String, event_callback_url: Option<String>, events_filter: Option<String> },
    Sinks(SinkRequest),
}

/// The endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpName {
    /// `GET /Conferences.json`.
    FindConferences,
    /// `GET /Conferences/{CF}.json`.
    FetchConference,
    /// `GET /Conferences/{CF}/Participants.json`.
    ListParticipants,
    /// `GET /Conferences/{CF}/Participants/{CA}.json`.
    FetchParticipant,
    /// `POST /Conferences/{CF}/Participants/{CA}.json`.
    UpdateParticipant,
    /// `GET /Calls/{CA}.json`.
    FetchCall,
    /// `POST /Calls/{CA}.json` with `Twiml`.
    RedirectCall,
    /// `POST /Calls/{CA}.json` with `Status`.
    EndCall,
    /// `POST /Calls/{CA}/Streams.json`.
    CreateStream,
    /// `POST /Calls/{CA}/Streams/{MZ or name}.json`.
    StopStream,
    /// `GET /v1/Workspaces/{WS}/Tasks/{WT}`.
    FetchTask,
    /// `GET /v1/Workspaces/{WS}/Tasks/{WT}/Reservations`.
    ListReservations,
    /// `GET /v1/Workspaces/{WS}/Events`.
    ListEvents,
    /// `GET /v1/Workspaces`.
    ListWorkspaces,
    /// `GET /v1/Workspaces/{WS}`.
    FetchWorkspace,
    /// `POST /v1/Workspaces/{WS}`.
    UpdateWorkspace,
    /// `GET /v1/Sinks`.
    ListSinks,
    /// `POST /v1/Sinks`.
    CreateSink,
    /// `GET /v1/Subscriptions`.
    ListSubscriptions,
    /// `POST /v1/Subscriptions`.
    CreateSubscription,
    /// `GET /v1/Subscriptions/{DF}/SubscribedEvents`.
    ListSubscribedEvents,
    /// `POST /v1/Subscriptions/{DF}/SubscribedEvents`.
    AddSubscribedEvent,
}

/// An answer: HTTP status and JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

impl Request {
    /// The endpoint.
    pub fn op(&self) -> OpName {
        match self {
            Request::FindConferences { .. } => OpName::FindConferences,
            Request::FetchConference { .. } => OpName::FetchConference,
            Request::ListParticipants { .. } => OpName::ListParticipants,
            Request::FetchParticipant { .. } => OpName::FetchParticipant,
            Request::UpdateParticipant { .. } => OpName::UpdateParticipant,
            Request::FetchCall { .. } => OpName::FetchCall,
            Request::RedirectCall { .. } => OpName::RedirectCall,
            Request::EndCall { .. } => OpName::EndCall,
            Request::CreateStream { .. } => OpName::CreateStream,
            Request::StopStream { .. } => OpName::StopStream,
            Request::FetchTask { .. } => OpName::FetchTask,
            Request::ListReservations { .. } => OpName::ListReservations,
            Request::ListEvents { .. } => OpName::ListEvents,
            Request::ListWorkspaces { .. } => OpName::ListWorkspaces,
            Request::FetchWorkspace { .. } => OpName::FetchWorkspace,
            Request::UpdateWorkspace { .. } => OpName::UpdateWorkspace,
            Request::Sinks(request) => request.op(),
        }
    }
}

impl Reply {
    /// Twilio's error body. Documented: <https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions>.
    pub fn error(status: u16, code: u32, message: &str) -> Self {
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        Self { status, body: json!({"code": code, "message": message, "more_info": more_info, "status": status}) }
    }

    /// 404/20404 for a path.
    pub fn not_found(path: &str) -> Self {
        Self::error(404, 20404, &format!("The requested resource {path} was not found"))
    }
}

impl World {
    /// Performs a request that came for `path` and answers it.
    pub fn perform(&mut self, request: &Request, path: &str, now: Ms) -> Reply {
        self.advance(now);
        let reply = match request {
            Request::FindConferences { friendly_name, status, page } => {
                Some(self.find_conferences(friendly_name.as_deref(), status.as_deref(), *page, path))
            }
            Request::FetchConference { conference } => self.get_conference(conference).map(|c| self.conference_body(c)),
            Request::ListParticipants { conference, page } => self.get_conference(conference).map(|found| {
                let rows = found.rows.iter().map(|row| self.participant_body(found, row)).collect();
                self.listed("participants", rows, *page, path, &[])
            }),
            Request::FetchParticipant { conference, call } => self.get_conference(conference).and_then(|found| {
                let row = found.rows.iter().find(|row| row.call.as_str() == call)?;
                Some(self.participant_body(found, row))
            }),
            Request::UpdateParticipant { conference, call, guard, hold } => {
                return self
                    .update_participant(conference, call, *guard, *hold)
                    .unwrap_or_else(|| Reply::not_found(path));
            }
            Request::FetchCall { call } => self.get_call(call).map(|call| self.call_body(call)),
            Request::RedirectCall { call, twiml } => return self.command_call(call, Some(twiml), path),
            Request::EndCall { call } => return self.command_call(call, None, path),
            Request::CreateStream { call, order } => return self.command_start(call, order, path),
            Request::StopStream { call, stream } => return self.command_stop(call, stream, path),
            Request::FetchTask { task } => self.get_task(task).map(|task| self.task_body(task)),
            Request::ListReservations { task, page } => self.get_task(task).map(|task| {
                let mut rows: Vec<_> = self.reservations.values().filter(|found| found.task == task.sid).collect();
                rows.sort_by_key(|found| found.order);
                self.reservations_listed(rows, *page, path)
            }),
            Request::ListEvents { query } => Some(self.events_listed(query, path)),
            Request::ListWorkspaces { name, page } => Some(self.workspaces_listed(name.as_deref(), *page, path)),
            Request::FetchWorkspace { workspace } => self.workspace_body(workspace),
            Request::UpdateWorkspace { workspace, event_callback_url, events_filter } => {
                self.update_workspace(workspace, event_callback_url.as_deref(), events_filter.as_deref())
            }
            Request::Sinks(request) => return self.perform_on_sinks(request, path),
        };
        reply.map_or_else(|| Reply::not_found(path), |body| Reply { status: 200, body })
    }

    /// The task that a request is about, where that can be told.
    pub fn subject(&self, request: &Request) -> Option<TaskSid> {
        match request {
            Request::FindConferences { friendly_name, .. } => {
                self.get_task(friendly_name.as_deref()?).map(|t| t.sid.clone())
            }
            Request::FetchConference { conference }
            | Request::ListParticipants { conference, .. }
            | Request::FetchParticipant { conference, .. }
            | Request::UpdateParticipant { conference, .. } => {
                let name = &self.get_conference(conference)?.name;
                self.get_task(name).map(|task| task.sid.clone())
            }
            Request::FetchCall { call }
            | Request::RedirectCall { call, .. }
            | Request::EndCall { call }
            | Request::CreateStream { call, .. }
            | Request::StopStream { call, .. } => self.task_of(&self.get_call(call)?.sid),
            Request::FetchTask { task } | Request::ListReservations { task, .. } => {
                self.get_task(task).map(|task| task.sid.clone())
            }
            Request::ListEvents { .. }
            | Request::ListWorkspaces { .. }
            | Request::FetchWorkspace { .. }
            | Request::UpdateWorkspace { .. }
            | Request::Sinks(_) => None,
        }
    }

    /// Notes that somebody asked for an endpoint that does not exist.
    pub fn unknown_endpoint(&mut self, target: &str, now: Ms) {
        self.advance(now);
        self.violated(Misuse::UnknownEndpoint { target: target.to_owned() });
    }

    fn update_participant(&mut self, cf: &str, ca: &str, guard: Option<bool>, hold: Option<bool>) -> Option<Reply> {
        let call = self.get_call(ca)?.sid.clone();
        self.check_command(&call);
        let sid = self.get_conference(cf)?.sid.clone();
        let (now, lag) = (self.now, self.config.guard_lag_ms);
        let row = self.conferences.get_mut(&sid)?.rows.iter_mut().find(|row| row.call == call)?;
        if guard.is_some() && !row.connected {
            // Observed: it "will fail"; status and code are assumed.
            return Some(Reply::error(400, 20001, "Participant is not connected"));
        }
        row.hold = hold.unwrap_or(row.hold);
        row.updated = now;
        let (id, held) = (row.row, row.hold);
        let mut echo = row.clone();
        echo.guard = guard.unwrap_or(row.guard);
        // Observed: written while held, the guard is echoed and not stored; with Hold=false in the same request it is.
        if let Some(raised) = guard.filter(|_| !held) {
            self.after(lag, Effect::Guard { conference: sid.clone(), row: id, raised });
        }
        let conference = self.conferences.get(&sid)?;
        Some(Reply { status: 200, body: self.participant_body(conference, &echo) })
    }

    fn command_call(&mut self, ca: &str, twiml: Option<&String>, path: &str) -> Reply {
        let Some(call) = self.get_call(ca) else {
            return Reply::not_found(path);
        };
        let (sid, live, customer) = (call.sid.clone(), call.live, matches!(call.role, Role::Customer(_)));
        self.check_command(&sid);
        if !live {
            return Reply::error(400, 21220, "Call is not in-progress. Cannot redirect.");
        }
        match twiml {
            Some(text) => self.redirect(&sid, text),
            None => self.dropped(&sid, customer),
        }
        let body = self.calls.get(&sid).map_or(Value::Null, |call| self.call_body(call));
        Reply { status: 200, body }
    }

    /// A command on a worker's leg, or on a call whose end the worker has acknowledged long enough ago, is a violation.
    pub(super) fn check_command(&mut self, sid: &CallSid) {
        let Some(call) = self.calls.get(sid) else { return };
        let (live, worker) = (call.live, matches!(call.role, Role::Worker(_)));
        let told = self.task_of(sid).and_then(|task| self.tasks.get(&task)?.told_over_at);
        if !live && told.is_some_and(|told| self.now - told > self.config.over_grace_ms) {
            self.violated(Misuse::CommandAfterOver { call: sid.clone() });
        }
        if worker {
            self.violated(Misuse::WorkerLegTouched { call: sid.clone() });
        }
    }

    fn get_conference(&self, sid: &str) -> Option<&Conference> {
        self.conferences.get(&sid.parse().ok()?)
    }

    pub(super) fn get_call(&self, sid: &str) -> Option<&Call> {
        self.calls.get(&sid.parse().ok()?)
    }

    fn get_task(&self, sid: &str) -> Option<&Task> {
        self.tasks.get(&sid.parse().ok()?)
    }

    fn find_conferences(&self, name: Option<&str>, status: Option<&str>, page: Page, path: &str) -> Value {
        let mut found: Vec<&Conference> = self
            .conferences
            .values()
            .filter(|conference| name.is_none_or(|name| conference.name == name))
            .filter(|conference| status.is_none_or(|status| conference.status.as_str() == status))
            .collect();
        found.sort_by_key(|conference| std::cmp::Reverse(conference.created));
        let rows = found.into_iter().map(|conference| self.conference_body(conference)).collect();
        let mut filters = Vec::new();
        filters.extend(name.map(|name| ("FriendlyName", name)));
        filters.extend(status.map(|status| ("Status", status)));
        self.listed("conferences", rows, page, path, &filters)
    }
}
