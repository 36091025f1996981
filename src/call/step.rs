//! What can be done about a call, one request to Twilio at a time, and how a request can end.

use super::fact::{CallAttributes, EpochMs};
use super::sid::{CallSid, ConferenceSid, ReservationSid, StreamSid, TaskSid, WorkerSid};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One request to Twilio, with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number within the call, from 1.
    pub id: u32,
    /// The request.
    pub operation: Operation,
    /// The changes that it serves; never empty.
    pub why: Vec<Change>,
}

/// A change that a call is in need of: the unit of retrying and of giving up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Start the stream of this reservation.
    Start(ReservationSid),
    /// Stop the stream of this reservation.
    Stop(ReservationSid),
    /// Lower the guard ahead of an announced transfer.
    LowerAhead,
    /// Raise the guard that we lowered.
    RaiseGuard,
    /// Hold the customer again, whom we took off hold.
    HoldAgain,
    /// See the customer, whom we redirected, back in the conference.
    Rejoin,
    /// Stop the stream of this name, which outlived its purpose.
    Orphan(String),
    /// See whether a call that has long been quiet is still there.
    Reconcile,
    /// Work on the call at all, with its own account's credentials.
    Serve,
}

/// The requests that the core can ask for. Each is one method of the Twilio client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Read the task's attributes. `GET /v1/Workspaces/{WS}/Tasks/{WT}`. Answered with [`Answer::Task`].
    FetchTask {
        /// The task.
        task: TaskSid,
    },
    /// Look for the conference in progress that bears this name.
    /// `GET /Conferences.json?FriendlyName=…&Status=in-progress`. Answered with [`Answer::Conference`].
    FindConference {
        /// The conference's friendly name: the TaskSid.
        friendly_name: String,
    },
    /// Read a conference: its friendly name and whether it is in progress.
    /// `GET /Conferences/{CF}.json`. Answered with [`Answer::Conference`].
    FetchConference {
        /// The conference.
        conference: ConferenceSid,
    },
    /// Read who is in the conference. `GET /Conferences/{CF}/Participants.json`, every page.
    /// Answered with [`Answer::Participants`].
    ReadParticipants {
        /// The conference.
        conference: ConferenceSid,
    },
    /// Change the customer's guard, hold, or both. `POST /Conferences/{CF}/Participants/{CA}.json`.
    /// Answered with [`Answer::Participant`], whose guard is an echo and not a proof.
    UpdateCustomer {
        /// The conference.
        conference: ConferenceSid,
        /// The customer's leg.
        customer: CallSid,
        /// `EndConferenceOnExit`, unless unchanged.
        guard: Option<Guard>,
        /// `Hold`, unless unchanged.
        hold: Option<bool>,
    },
    /// Give the customer's leg new TwiML that stops and starts streams and dials back into the conference.
    /// `POST /Calls/{CA}.json`. Not idempotent. Answered with [`Answer::Accepted`].
    Redirect {
        /// The customer's leg.
        customer: CallSid,
        /// The conference that it dials back into, by its own friendly name.
        room: String,
        /// Names of the streams to stop, before the starts.
        stop: Vec<String>,
        /// The streams to start.
        start: Vec<StreamStart>,
    },
    /// Start one stream without touching the call. `POST /Calls/{CA}/Streams.json`. Not idempotent.
    /// Answered with [`Answer::Stream`].
    CreateStream {
        /// The customer's leg.
        customer: CallSid,
        /// The stream.
        stream: StreamStart,
    },
    /// Stop one stream without touching the call. `POST /Calls/{CA}/Streams/{MZ or name}.json`.
    /// Answered with [`Answer::Accepted`].
    StopStream {
        /// The customer's leg.
        customer: CallSid,
        /// The stream's name.
        name: String,
        /// Its SID, when Twilio has told it.
        #[serde(default)]
        sid: Option<StreamSid>,
    },
    /// Read whether the leg is still in progress. `GET /Calls/{CA}.json`. Answered with [`Answer::Call`].
    FetchCall {
        /// The customer's leg.
        customer: CallSid,
    },
}

/// A stream to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStart {
    /// Its name, unique on the call for ever.
    pub name: String,
    /// Index into `streams.destinations`.
    pub slot: usize,
    /// The reservation that it is for.
    pub reservation: ReservationSid,
    /// The agent that it is for.
    pub worker: WorkerSid,
    /// The task, sent along as a parameter.
    pub task: TaskSid,
    /// The parameters that the destination's configuration adds, in its order.
    #[serde(default)]
    pub parameters: Vec<(String, String)>,
}

/// The customer participant's `endConferenceOnExit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// True: the conference ends when the customer leaves it.
    Raised,
    /// False: the customer may leave and come back.
    Lowered,
}

/// A performed step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The step.
    pub step: Step,
    /// When the request was sent, by our clock.
    pub sent_at: EpochMs,
    /// How it ended.
    pub outcome: Outcome,
    /// `Twilio-Request-Id`, when there was an answer that bore one.
    pub request_id: Option<String>,
    /// What of the outcome is not Twilio's word. Nothing but in shadow mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<Assumed>,
}

/// What of an outcome is assumed, because in shadow mode Twilio is only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assumed {
    /// The request was not sent; the outcome is what Twilio would have answered.
    NotSent,
    /// Requests that were not sent show in this reading of the participants as if they had been.
    Seen {
        /// The customer's guard reads as it would.
        guard: bool,
        /// The customer reads as not held.
        hold: bool,
    },
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 2xx.
    Done(Answer),
    /// 404/20404, or 21220 for a call: the resource is over or was never there.
    Gone,
    /// Certainly not processed (429, no connection): safe to send again.
    TryLater(Trouble),
    /// Perhaps processed (5xx, time-out, reset, unreadable answer): look before sending again what is not idempotent.
    Unknown(Trouble),
    /// Any other 4xx: sending it again would be refused again.
    Refused(Trouble),
}

/// What went wrong with a request, without personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// HTTP status, when there was one.
    pub status: Option<u16>,
    /// Twilio's error code, when the body bore one.
    pub code: Option<u32>,
    /// One of our own sentences: never text from the network.
    pub reason: String,
    /// `Retry-After`, in milliseconds, unclamped.
    pub retry_after_ms: Option<u64>,
}

/// The part of a successful answer that the core uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Of [`Operation::FetchTask`].
    Task(CallAttributes),
    /// Of [`Operation::FindConference`] and [`Operation::FetchConference`]; `None` when there is none in progress.
    Conference(Option<ConferenceRow>),
    /// Of [`Operation::ReadParticipants`].
    Participants(Vec<ParticipantRow>),
    /// Of [`Operation::UpdateCustomer`].
    Participant(ParticipantRow),
    /// Of [`Operation::CreateStream`]: its SID, when the answer bore one.
    Stream(Option<StreamSid>),
    /// Of [`Operation::FetchCall`]: whether the leg is in progress, or on its way there.
    Call {
        /// False once the leg has ended, however it did.
        live: bool,
    },
    /// Of the others: Twilio took it.
    Accepted,
}

/// A conference as Twilio reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceRow {
    /// Its SID.
    pub sid: ConferenceSid,
    /// Its friendly name.
    pub friendly_name: String,
    /// Status is `in-progress`.
    pub in_progress: bool,
    /// Status is `init`: it has not begun yet, because nobody or one participant is connected.
    #[serde(default)]
    pub to_come: bool,
}

/// A participant as Twilio reports it. Every field but the call is nullable in Twilio's specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantRow {
    /// The leg.
    pub call: CallSid,
    /// `end_conference_on_exit`.
    pub guard: Option<Guard>,
    /// `hold`.
    pub hold: Option<bool>,
    /// Status is `connected` (or absent, as in older answers).
    pub connected: bool,
    /// `date_created`, RFC 2822, one second's resolution: a leg that left and came back has a younger row.
    pub date_created: Option<String>,
}

impl Operation {
    /// Whether sending it twice could do what once does not.
    pub fn is_idempotent(&self) -> bool {
        match self {
            Operation::Redirect { .. } | Operation::CreateStream { .. } => false,
            Operation::FetchTask { .. }
            | Operation::FindConference { .. }
            | Operation::FetchConference { .. }
            | Operation::ReadParticipants { .. }
            | Operation::UpdateCustomer { .. }
            | Operation::StopStream { .. }
            | Operation::FetchCall { .. } => true,
        }
    }

    /// Whether it changes something at Twilio, or only asks.
    pub fn is_command(&self) -> bool {
        match self {
            Operation::UpdateCustomer { .. }
            | Operation::Redirect { .. }
            | Operation::CreateStream { .. }
            | Operation::StopStream { .. } => true,
            Operation::FetchTask { .. }
            | Operation::FindConference { .. }
            | Operation::FetchConference { .. }
            | Operation::ReadParticipants { .. }
            | Operation::FetchCall { .. } => false,
        }
    }

    /// The streams that it starts.
    pub fn starts(&self) -> &[StreamStart] {
        match self {
            Operation::Redirect { start, .. } => start,
            Operation::CreateStream { stream, .. } => std::slice::from_ref(stream),
            Operation::FetchTask { .. }
            | Operation::FindConference { .. }
            | Operation::FetchConference { .. }
            | Operation::ReadParticipants { .. }
            | Operation::UpdateCustomer { .. }
            | Operation::StopStream { .. }
            | Operation::FetchCall { .. } => &[],
        }
    }

    /// Whether it is journaled as begun before it is sent, because what it may have done must be known after a crash: a stream
    /// that was stopped may be wanted again by then.
    pub fn is_announced(&self) -> bool {
        !self.is_idempotent() || matches!(self, Operation::UpdateCustomer { .. } | Operation::StopStream { .. })
    }

    /// A short name for logs and the timeline, as in "read participants".
    pub fn name(&self) -> &'static str {
        match self {
            Operation::FetchTask { .. } => "fetch task",
            Operation::FindConference { .. } => "find conference",
            Operation::FetchConference { .. } => "fetch conference",
            Operation::ReadParticipants { .. } => "read participants",
            Operation::UpdateCustomer { .. } => "update customer",
            Operation::Redirect { .. } => "redirect",
            Operation::CreateStream { .. } => "create stream",
            Operation::StopStream { .. } => "stop stream",
            Operation::FetchCall { .. } => "fetch call",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Start(reservation) => write!(f, "start the stream of {reservation}"),
            Change::Stop(reservation) => write!(f, "stop the stream of {reservation}"),
            Change::LowerAhead => f.write_str("lower the guard ahead of the transfer"),
            Change::RaiseGuard => f.write_str("raise the guard again"),
            Change::HoldAgain => f.write_str("hold the customer again"),
            Change::Rejoin => f.write_str("see the customer back in the conference"),
            Change::Orphan(name) => write!(f, "stop {name}, which outlived its purpose"),
            Change::Reconcile => f.write_str("see whether the quiet call is still there"),
            Change::Serve => f.write_str("work on the call"),
        }
    }
}
