//! The names of the REST endpoints, and what they answer.

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
