//! The REST resources of calls and conferences: what each request asks for. What the commands among them do stands in
//! `commands`.

use super::commands::{
    command_call, create_call, create_participant, end_conference, redirect_call, remove_participant, start_stream,
    stop_stream, update_participant,
};
use super::list::{Compare, Filter};
use super::recordings::{self, Recorded, RecordedPath, RecordingChange};
use super::twiml::DocumentUrl;
use super::{ListQuery, OpName, Reply, SinkRequest, StreamOrder, TaskRouterRequest, World};
use serde_json::Value;
use taskrouter_streams::call::sid::TaskSid;

/// A request that the simulated REST API understands. Path segments are as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is one endpoint, named in OpName, with its parameters")]
pub enum Request {
    FindConferences { query: ListQuery },
    FetchConference { conference: String },
    EndConference { conference: String },
    ListParticipants { conference: String, query: ListQuery },
    FetchParticipant { conference: String, call: String },
    UpdateParticipant { conference: String, call: String, change: ParticipantChange },
    CreateParticipant { conference: String, order: ParticipantOrder },
    RemoveParticipant { conference: String, call: String },
    ListCalls { query: ListQuery },
    CreateCall { order: CallOrder },
    FetchCall { call: String },
    RedirectCall { call: String, source: TwimlSource },
    EndCall { call: String },
    CreateStream { call: String, order: StreamOrder },
    StopStream { call: String, stream: String },
    ListRecordings { of: RecordedPath, query: ListQuery },
    FetchRecording { of: RecordedPath, recording: String },
    CreateRecording { call: String },
    UpdateRecording { of: RecordedPath, recording: String, change: RecordingChange },
    TaskRouter(TaskRouterRequest),
    Sinks(SinkRequest),
}

/// Where a call's new TwiML is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwimlSource {
    /// In the request.
    Inline(String),
    /// To be fetched.
    At(DocumentUrl),
}

/// What of a participant is changed; the rest stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a parameter of the resource")]
pub struct ParticipantChange {
    /// `EndConferenceOnExit`.
    pub guard: Option<bool>,
    pub hold: Option<bool>,
    pub muted: Option<bool>,
    pub coaching: Option<bool>,
    pub call_sid_to_coach: Option<String>,
}

/// A call that is to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a parameter of the resource")]
pub struct CallOrder {
    pub to: Option<String>,
    pub from: Option<String>,
    pub source: Option<TwimlSource>,
}

/// A participant who is to be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a parameter of the resource")]
pub struct ParticipantOrder {
    pub to: Option<String>,
    pub from: Option<String>,
    pub label: Option<String>,
    /// `EndConferenceOnExit`.
    pub guard: bool,
    /// `StartConferenceOnEnter`.
    pub starts: bool,
    pub muted: bool,
    pub call_sid_to_coach: Option<String>,
}

/// Documented for the Conferences resource.
const CONFERENCE_FILTERS: [Filter; 4] = [
    Filter("FriendlyName", "friendly_name", Compare::Text),
    Filter("Status", "status", Compare::Text),
    Filter("DateCreated", "date_created", Compare::Date),
    Filter("DateUpdated", "date_updated", Compare::Date),
];

/// Documented for the Participants resource.
const PARTICIPANT_FILTERS: [Filter; 3] = [
    Filter("Muted", "muted", Compare::Flag),
    Filter("Hold", "hold", Compare::Flag),
    Filter("Coaching", "coaching", Compare::Flag),
];

/// Documented for both lists of recordings.
const RECORDING_FILTERS: [Filter; 1] = [Filter("DateCreated", "date_created", Compare::Date)];

/// Documented for the Calls resource.
const CALL_FILTERS: [Filter; 6] = [
    Filter("To", "to", Compare::Text),
    Filter("From", "from", Compare::Text),
    Filter("ParentCallSid", "parent_call_sid", Compare::Text),
    Filter("Status", "status", Compare::Text),
    Filter("StartTime", "start_time", Compare::Date),
    Filter("EndTime", "end_time", Compare::Date),
];

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
            Request::CreateParticipant { .. } => OpName::CreateParticipant,
            Request::RemoveParticipant { .. } => OpName::RemoveParticipant,
            Request::ListCalls { .. } => OpName::ListCalls,
            Request::CreateCall { .. } => OpName::CreateCall,
            Request::FetchCall { .. } => OpName::FetchCall,
            Request::RedirectCall { .. } => OpName::RedirectCall,
            Request::EndCall { .. } => OpName::EndCall,
            Request::CreateStream { .. } => OpName::CreateStream,
            Request::StopStream { .. } => OpName::StopStream,
            Request::ListRecordings { .. } => OpName::ListRecordings,
            Request::FetchRecording { .. } => OpName::FetchRecording,
            Request::CreateRecording { .. } => OpName::CreateRecording,
            Request::UpdateRecording { .. } => OpName::UpdateRecording,
            Request::TaskRouter(request) => request.op(),
            Request::Sinks(request) => request.op(),
        }
    }

    /// Performs the request, which came for `path`, and answers it.
    pub(super) fn perform(&self, world: &mut World, path: &str) -> Reply {
        let World { cx, voice, event_streams, .. } = world;
        match self {
            Request::FindConferences { query } => {
                let rows = voice.conferences.all().into_iter().map(|found| found.body(&cx.account)).collect();
                list(query, "conferences", rows, &CONFERENCE_FILTERS, (cx.config.page_size_limit, path))
            }
            Request::FetchConference { conference } => {
                Reply::found(voice.conferences.find(conference).map(|found| found.body(&cx.account)), path)
            }
            Request::EndConference { conference } => end_conference(world, conference, path),
            Request::ListParticipants { conference, query } => {
                let Some(found) = voice.conferences.find(conference) else { return Reply::not_found(path) };
                let rows = found.participants().iter().map(|row| row.body(&cx.account, &found.sid)).collect();
                list(query, "participants", rows, &PARTICIPANT_FILTERS, (cx.config.page_size_limit, path))
            }
            Request::FetchParticipant { conference, call } => {
                let found = voice.conferences.find(conference);
                let body = found.and_then(|found| Some(found.named(call)?.body(&cx.account, &found.sid)));
                Reply::found(body, path)
            }
            Request::UpdateParticipant { conference, call, change } => {
                update_participant(world, conference, call, change).unwrap_or_else(|| Reply::not_found(path))
            }
            Request::CreateParticipant { conference, order } => create_participant(world, conference, order, path),
            Request::RemoveParticipant { conference, call } => {
                remove_participant(world, conference, call).unwrap_or_else(|| Reply::not_found(path))
            }
            Request::ListCalls { query } => {
                let rows = voice.calls.all().into_iter().map(|call| call.body(&cx.account)).collect();
                list(query, "calls", rows, &CALL_FILTERS, (cx.config.page_size_limit, path))
            }
            Request::CreateCall { order } => create_call(world, order),
            Request::FetchCall { call } => {
                Reply::found(voice.calls.find(call).map(|call| call.body(&cx.account)), path)
            }
            Request::RedirectCall { call, source } => redirect_call(world, call, source, path),
            Request::EndCall { call } => {
                command_call(world, call, path, |world, call| world.voice.end_by_command(&mut world.cx, call))
            }
            Request::CreateStream { call, order } => start_stream(world, call, order, path),
            Request::StopStream { call, stream } => stop_stream(world, call, stream, path),
            Request::ListRecordings { of, query } => {
                let limit = cx.config.page_size_limit;
                let Some(rows) = recordings::rows(world, of) else { return Reply::not_found(path) };
                list(query, "recordings", rows, &RECORDING_FILTERS, (limit, path))
            }
            Request::FetchRecording { of, recording } => Reply::found(recordings::body(world, of, recording), path),
            Request::CreateRecording { call } => recordings::create(world, call, path),
            Request::UpdateRecording { of, recording, change } => {
                recordings::update(world, of, recording, change, path)
            }
            Request::TaskRouter(request) => request.perform(world, path),
            Request::Sinks(request) => event_streams.perform(cx, request, path),
        }
    }

    /// The task that the request is about, where that can be told.
    pub(super) fn subject(&self, world: &World) -> Option<TaskSid> {
        let task = match self {
            Request::FindConferences { query } => query.get("FriendlyName")?,
            Request::FetchConference { conference }
            | Request::EndConference { conference }
            | Request::ListParticipants { conference, .. }
            | Request::FetchParticipant { conference, .. }
            | Request::UpdateParticipant { conference, .. }
            | Request::CreateParticipant { conference, .. }
            | Request::RemoveParticipant { conference, .. } => &world.voice.conferences.find(conference)?.name,
            Request::ListRecordings { of: Recorded::Conference(conference), .. }
            | Request::FetchRecording { of: Recorded::Conference(conference), .. }
            | Request::UpdateRecording { of: Recorded::Conference(conference), .. } => {
                &world.voice.conferences.find(conference)?.name
            }
            Request::ListRecordings { of: Recorded::Call(call), .. }
            | Request::FetchRecording { of: Recorded::Call(call), .. }
            | Request::UpdateRecording { of: Recorded::Call(call), .. }
            | Request::CreateRecording { call }
            | Request::FetchCall { call }
            | Request::RedirectCall { call, .. }
            | Request::EndCall { call }
            | Request::CreateStream { call, .. }
            | Request::StopStream { call, .. } => return Some(world.voice.calls.find(call)?.task.clone()),
            Request::TaskRouter(request) => request.task()?,
            Request::ListCalls { .. } | Request::CreateCall { .. } | Request::Sinks(_) => return None,
        };
        world.taskrouter.tasks.find(task).map(|task| task.sid.clone())
    }
}

fn list(query: &ListQuery, key: &str, rows: Vec<Value>, filters: &[Filter], (limit, path): (usize, &str)) -> Reply {
    match query.select(rows, filters) {
        Ok(rows) => Reply { status: 200, body: query.list_2010(key, rows, limit, path) },
        Err(refusal) => refusal,
    }
}
