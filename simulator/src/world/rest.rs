//! The REST resources: what each request does to the world and what it is answered.
//!
//! Statuses of failures are documented only in part: 20404, 21220,
//! 20429 and 20003 are; the answer to writing the guard of a connecting participant is assumed, and so is every refusal of
//! a new stream (see `streams.rs`).

use super::context::VoiceEffect;
use super::streams::Unstarted;
use super::voice::Ended;
use super::{EventQuery, Misuse, OpName, PageQuery, Reply, SinkRequest, StreamOrder, World};
use serde_json::Value;
use taskrouter_streams::call::sid::{CallSid, StreamSid, TaskSid};

/// A request that the simulated REST API understands. Path segments are as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is one endpoint, named in OpName, with its parameters")]
pub enum Request {
    FindConferences { friendly_name: Option<String>, status: Option<String>, page: PageQuery },
    FetchConference { conference: String },
    EndConference { conference: String },
    ListParticipants { conference: String, page: PageQuery },
    FetchParticipant { conference: String, call: String },
    UpdateParticipant { conference: String, call: String, guard: Option<bool>, hold: Option<bool> },
    FetchCall { call: String },
    RedirectCall { call: String, twiml: String },
    EndCall { call: String },
    CreateStream { call: String, order: StreamOrder },
    StopStream { call: String, stream: String },
    FetchTask { task: String },
    ListReservations { task: String, page: PageQuery },
    ListEvents { query: EventQuery },
    ListWorkspaces { name: Option<String>, page: PageQuery },
    FetchWorkspace { workspace: String },
    UpdateWorkspace { workspace: String, event_callback_url: Option<String>, events_filter: Option<String> },
    Sinks(SinkRequest),
}

impl Request {
    /// The endpoint.
    pub fn op(&self) -> OpName {
        match self {
            Request::FindConferences { .. } => OpName::FindConferences,
            Request::FetchConference { .. } => OpName::FetchConference,
            Request::EndConference { .. } => OpName::EndConference,
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

    /// Performs the request, which came for `path`, and answers it.
    pub(super) fn perform(&self, world: &mut World, path: &str) -> Reply {
        let World { cx, taskrouter, voice, workspace, event_streams, .. } = world;
        let limit = cx.config.page_size_limit;
        let reply = match self {
            Request::FindConferences { friendly_name, status, page } => {
                let (name, status) = (friendly_name.as_deref(), status.as_deref());
                let found = voice.conferences.list(name, status);
                let rows = found.into_iter().map(|conference| conference.body(&cx.account)).collect();
                let filters = [("FriendlyName", name), ("Status", status)];
                let filters: Vec<_> = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                Some(page.list_2010("conferences", rows, limit, path, &filters))
            }
            Request::FetchConference { conference } => {
                voice.conferences.find(conference).map(|found| found.body(&cx.account))
            }
            Request::EndConference { conference } => return end_conference(world, conference, path),
            Request::ListParticipants { conference, page } => voice.conferences.find(conference).map(|found| {
                let rows = found.participants().iter().map(|row| row.body(&cx.account, &found.sid)).collect();
                page.list_2010("participants", rows, limit, path, &[])
            }),
            Request::FetchParticipant { conference, call } => {
                let found = voice.conferences.find(conference).zip(voice.calls.find(call));
                found.and_then(|(found, call)| Some(found.participant(&call.sid)?.body(&cx.account, &found.sid)))
            }
            Request::UpdateParticipant { conference, call, guard, hold } => {
                return update_participant(world, conference, call, *guard, *hold)
                    .unwrap_or_else(|| Reply::not_found(path));
            }
            Request::FetchCall { call } => voice.calls.find(call).map(|call| call.body(&cx.account)),
            Request::RedirectCall { call, twiml } => {
                return command_call(world, call, path, |world, call| world.voice.redirect(&mut world.cx, call, twiml));
            }
            Request::EndCall { call } => {
                return command_call(world, call, path, |world, call| world.voice.end_by_command(&mut world.cx, call));
            }
            Request::CreateStream { call, order } => return start_stream(world, call, order, path),
            Request::StopStream { call, stream } => return stop_stream(world, call, stream, path),
            Request::FetchTask { task } => {
                taskrouter.tasks.find(task).filter(|task| !task.deleted).map(|task| task.body(cx))
            }
            Request::ListReservations { task, page } => taskrouter.tasks.find(task).map(|task| {
                let rows = taskrouter.reservations().of(&task.sid).into_iter().map(|found| found.body(cx)).collect();
                page.list_v1("reservations", rows, limit, path, &[])
            }),
            Request::ListEvents { query } => Some(taskrouter.log.list(cx, query, path)),
            Request::ListWorkspaces { name, page } => Some(workspace.list(cx, name.as_deref(), *page, path)),
            Request::FetchWorkspace { workspace: sid } => workspace.fetch(cx, sid),
            Request::UpdateWorkspace { workspace: sid, event_callback_url, events_filter } => {
                workspace.update(cx, sid, event_callback_url.as_deref(), events_filter.as_deref())
            }
            Request::Sinks(request) => return event_streams.perform(cx, request, path),
        };
        reply.map_or_else(|| Reply::not_found(path), |body| Reply { status: 200, body })
    }

    /// The task that the request is about, where that can be told.
    pub(super) fn subject(&self, world: &World) -> Option<TaskSid> {
        let task = match self {
            Request::FindConferences { friendly_name, .. } => friendly_name.as_deref()?,
            Request::FetchConference { conference }
            | Request::EndConference { conference }
            | Request::ListParticipants { conference, .. }
            | Request::FetchParticipant { conference, .. }
            | Request::UpdateParticipant { conference, .. } => &world.voice.conferences.find(conference)?.name,
            Request::FetchCall { call }
            | Request::RedirectCall { call, .. }
            | Request::EndCall { call }
            | Request::CreateStream { call, .. }
            | Request::StopStream { call, .. } => return Some(world.voice.calls.find(call)?.task.clone()),
            Request::FetchTask { task } | Request::ListReservations { task, .. } => task,
            Request::ListEvents { .. }
            | Request::ListWorkspaces { .. }
            | Request::FetchWorkspace { .. }
            | Request::UpdateWorkspace { .. }
            | Request::Sinks(_) => return None,
        };
        world.taskrouter.tasks.find(task).map(|task| task.sid.clone())
    }
}

fn update_participant(
    world: &mut World,
    conference: &str,
    call: &str,
    guard: Option<bool>,
    hold: Option<bool>,
) -> Option<Reply> {
    let call = world.voice.calls.find(call)?.sid.clone();
    // A guard that is raised again undoes what was done before the end. Of who is held that takes `Hold=false`.
    if guard == Some(true) && hold != Some(true) {
        check_leg(world, &call)
    } else {
        check_command(world, &call)
    }
    let World { cx, voice, .. } = world;
    let sid = voice.conferences.find(conference)?.sid.clone();
    let row = voice.conferences.get_mut(&sid)?.participant_mut(&call)?;
    if guard.is_some() && !row.is_connected() {
        // Observed: it "will fail"; status and code are assumed.
        return Some(Reply::error(400, 20001, "Participant is not connected"));
    }
    row.set_hold(hold.unwrap_or(row.hold), cx.now());
    let (number, held) = (row.row, row.hold);
    let mut echo = row.clone();
    echo.guard = guard.unwrap_or(row.guard);
    let reply = Reply { status: 200, body: echo.body(&cx.account, &sid) };
    // Observed: written while held, the guard is echoed and not stored; with Hold=false in the same request it is.
    if let Some(raised) = guard.filter(|_| !held) {
        let effect = VoiceEffect::Guard { conference: sid.clone(), row: number, raised };
        if cx.after_voice(cx.config.guard_lag_ms, effect).is_some() {
            voice.conferences.set_guard(&sid, number, raised);
        }
    }
    Some(reply)
}

fn command_call(
    world: &mut World,
    call: &str,
    path: &str,
    command: impl FnOnce(&mut World, &CallSid) -> Ended,
) -> Reply {
    let Some(found) = world.voice.calls.find(call) else {
        return Reply::not_found(path);
    };
    let (sid, live) = (found.sid.clone(), found.is_live());
    check_command(world, &sid);
    if !live {
        return Reply::error(400, 21220, "Call is not in-progress. Cannot redirect.");
    }
    let ended = command(world, &sid);
    world.notice(ended);
    let body = world.voice.calls.get(&sid).map_or(Value::Null, |call| call.body(&world.cx.account));
    Reply { status: 200, body }
}

/// `POST …/Streams.json`. That a call which is over is answered 400/21220, as when it is redirected, is assumed; so are
/// 400/20001 for what Twilio cannot open and for a fifth track, and 409/20409 for a name that is taken: Twilio documents
/// no code for any of them.
fn start_stream(world: &mut World, call: &str, order: &StreamOrder, path: &str) -> Reply {
    let over = || Reply::error(400, 21220, "Call is not in-progress");
    let Some((sid, live)) = world.voice.calls.find(call).map(|call| (call.sid.clone(), call.is_live())) else {
        return Reply::not_found(path);
    };
    check_command(world, &sid);
    let World { cx, voice, .. } = world;
    let Some(call) = voice.calls.get(&sid).filter(|_| live) else { return over() };
    if !cx.config.callback_fragments && order.status_callback.as_ref().is_some_and(|url| url.contains('#')) {
        return Reply::error(400, 20001, "StatusCallback is not a valid URL");
    }
    let stream: StreamSid = cx.mint(StreamSid::PREFIX);
    let verb = match order.clone().verb(&stream) {
        Ok(verb) => verb,
        Err(reason) => {
            let reply = Reply::error(400, 20001, &reason);
            cx.violated(Misuse::BadStream { call: sid, reason });
            return reply;
        }
    };
    match voice.streams.start(cx, call, stream, verb) {
        Ok(stream) => Reply { status: cx.config.stream_created_status, body: stream.body(&cx.account, &sid) },
        Err(Unstarted::CallOver) => over(),
        Err(Unstarted::NameTaken) => Reply::error(409, 20409, "A stream of this name exists on the call"),
        Err(Unstarted::NoTrackLeft) => Reply::error(400, 20001, "No track is left on the call"),
    }
}

/// `POST …/Streams/{MZ or name}.json`, `Status=stopped`, for streams of either origin (documented). 404/20404 for one
/// that is over or never was is assumed.
fn stop_stream(world: &mut World, call: &str, stream: &str, path: &str) -> Reply {
    let Some(call) = world.voice.calls.find(call).map(|call| call.sid.clone()) else {
        return Reply::not_found(path);
    };
    check_leg(world, &call);
    let Some(stopped) = world.voice.streams.stop(&mut world.cx, &call, stream) else {
        return Reply::not_found(path);
    };
    Reply { status: 200, body: stopped.body(&world.cx.account, &call) }
}

/// `POST …/Conferences/{CF}.json`, `Status=completed` (documented). It ends every leg that is in it, so doing it to a customer
/// who is there drops a caller.
fn end_conference(world: &mut World, conference: &str, path: &str) -> Reply {
    let World { cx, voice, .. } = world;
    let Some(found) = voice.conferences.find(conference).filter(|found| found.is_open()) else {
        return Reply::not_found(path);
    };
    let sid = found.sid.clone();
    let customers =
        found.participants().iter().map(|row| row.call.clone()).filter(|call| voice.calls.is_customer(call));
    for call in customers.collect::<Vec<_>>() {
        cx.violated(Misuse::CustomerDropped { call, how: super::Drop::HungUp });
    }
    let ended = voice.end_conference(cx, &sid, "conference-ended-via-api", None);
    let body = voice.conferences.find(conference).map_or(Value::Null, |found| found.body(&cx.account));
    world.notice(ended);
    Reply { status: 200, body }
}

/// A command on a call whose end the service has acknowledged long enough ago is a violation. Stops are none.
fn check_command(world: &mut World, sid: &CallSid) {
    let World { cx, taskrouter, voice, .. } = world;
    let Some(call) = voice.calls.get(sid) else { return };
    let told = taskrouter.task(&call.task).and_then(|task| task.told_over_at);
    let sent_at = cx.sent_at.unwrap_or(cx.now());
    if !call.is_live() && told.is_some_and(|told| sent_at - told > cx.config.over_grace_ms) {
        cx.violated(Misuse::CommandAfterOver { call: sid.clone() });
    }
    check_leg(world, sid);
}

/// A command on any other leg than the customer's is a violation.
fn check_leg(world: &mut World, sid: &CallSid) {
    let World { cx, voice, .. } = world;
    let Some(call) = voice.calls.get(sid) else { return };
    if !call.is_customer() {
        cx.violated(Misuse::OtherLegTouched { call: sid.clone(), whose: call.role.whose() });
    }
}
