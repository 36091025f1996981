//! The names of the REST endpoints, and what they answer.

use crate::sim_config::RestError;
use serde_json::{Value, json};

/// The endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpName {
    /// `GET /Conferences.json`.
    FindConferences,
    /// `GET /Conferences/{CF}.json`.
    FetchConference,
    /// `POST /Conferences/{CF}.json` with `Status`.
    EndConference,
    /// `GET /Conferences/{CF}/Participants.json`.
    ListParticipants,
    /// `GET /Conferences/{CF}/Participants/{CA}.json`.
    FetchParticipant,
    /// `POST /Conferences/{CF}/Participants/{CA}.json`.
    UpdateParticipant,
    /// `POST /Conferences/{CF or name}/Participants.json`.
    CreateParticipant,
    /// `DELETE /Conferences/{CF}/Participants/{CA or label}.json`.
    RemoveParticipant,
    /// `GET /Calls.json`.
    ListCalls,
    /// `POST /Calls.json`.
    CreateCall,
    /// `GET /Calls/{CA}.json`.
    FetchCall,
    /// `POST /Calls/{CA}.json` with `Twiml` or `Url`.
    RedirectCall,
    /// `POST /Calls/{CA}.json` with `Status`.
    EndCall,
    /// `POST /Calls/{CA}/Streams.json`.
    CreateStream,
    /// `POST /Calls/{CA}/Streams/{MZ or name}.json`.
    StopStream,
    /// `GET /Calls/{CA}/Recordings.json` and `GET /Conferences/{CF}/Recordings.json`.
    ListRecordings,
    /// `GET …/Recordings/{RE}.json`, of either.
    FetchRecording,
    /// `POST /Calls/{CA}/Recordings.json`.
    CreateRecording,
    /// `POST …/Recordings/{RE or Twilio.CURRENT}.json`, of either.
    UpdateRecording,
    /// `GET /v1/Workspaces/{WS}/Tasks/{WT}`.
    FetchTask,
    /// `GET /v1/Workspaces/{WS}/Tasks/{WT}/Reservations`.
    ListReservations,
    /// `GET /v1/Workspaces/{WS}/Tasks`.
    ListTasks,
    /// `POST /v1/Workspaces/{WS}/Tasks`.
    CreateTask,
    /// `POST /v1/Workspaces/{WS}/Tasks/{WT}`.
    UpdateTask,
    /// `DELETE /v1/Workspaces/{WS}/Tasks/{WT}`.
    DeleteTask,
    /// `GET /v1/Workspaces/{WS}/Tasks/{WT}/Reservations/{WR}`, and below a worker.
    FetchReservation,
    /// `POST /v1/Workspaces/{WS}/Tasks/{WT}/Reservations/{WR}`, and below a worker.
    UpdateReservation,
    /// `GET /v1/Workspaces/{WS}/Workers`.
    ListWorkers,
    /// `GET /v1/Workspaces/{WS}/Workers/{WK}`.
    FetchWorker,
    /// `GET /v1/Workspaces/{WS}/TaskQueues`.
    ListTaskQueues,
    /// `GET /v1/Workspaces/{WS}/TaskQueues/{WQ}`.
    FetchTaskQueue,
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
    /// `GET /v1/Sinks/{DG}`.
    FetchSink,
    /// `POST /v1/Sinks/{DG}`.
    UpdateSink,
    /// `DELETE /v1/Sinks/{DG}`.
    DeleteSink,
    /// `GET /v1/Subscriptions`.
    ListSubscriptions,
    /// `POST /v1/Subscriptions`.
    CreateSubscription,
    /// `GET /v1/Subscriptions/{DF}`.
    FetchSubscription,
    /// `POST /v1/Subscriptions/{DF}`.
    UpdateSubscription,
    /// `DELETE /v1/Subscriptions/{DF}`.
    DeleteSubscription,
    /// `GET /v1/Subscriptions/{DF}/SubscribedEvents`.
    ListSubscribedEvents,
    /// `POST /v1/Subscriptions/{DF}/SubscribedEvents`.
    AddSubscribedEvent,
    /// `GET /v1/Subscriptions/{DF}/SubscribedEvents/{type}`.
    FetchSubscribedEvent,
    /// `DELETE /v1/Subscriptions/{DF}/SubscribedEvents/{type}`.
    RemoveSubscribedEvent,
}

impl RestError {
    pub(super) fn reply(self, message: &str) -> Reply {
        Reply::error(self.status, self.code, message)
    }
}

/// An answer: HTTP status and JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

impl Reply {
    /// Twilio's error body. Documented: <https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions>.
    pub fn error(status: u16, code: u32, message: &str) -> Self {
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        Self { status, body: json!({"code": code, "message": message, "more_info": more_info, "status": status}) }
    }

    /// 501 for what Twilio has and the simulator has not. Twilio itself never answers so.
    pub(super) fn not_simulated(what: &str) -> Self {
        let mut reply = Self::error(501, 501, &format!("{what} is not simulated by twilio-simulator"));
        reply.body["more_info"] = Value::Null;
        reply
    }

    /// 204, as for what was deleted.
    pub(super) fn no_content() -> Self {
        Self { status: 204, body: Value::Null }
    }

    /// 200 with the body, or 404 for the path without one.
    pub(super) fn found(body: Option<Value>, path: &str) -> Self {
        body.map_or_else(|| Self::not_found(path), |body| Self { status: 200, body })
    }

    /// 404/20404 for a path.
    pub fn not_found(path: &str) -> Self {
        Self::error(404, 20404, &format!("The requested resource {path} was not found"))
    }
}
