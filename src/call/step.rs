//! What can be done about a call, one request to Twilio at a time, and how a request can end.
//!
//! A [`Read`] only asks. A [`Command`] changes something at Twilio: it is journaled as begun before it is sent, because what
//! it may have done must be known after a crash.

use super::fact::{CallAttributes, EpochMs};
use super::pause::PauseId;
use super::recording::{Recorded, RecordedKind, RecordingRow};
use super::sid::{CallSid, ConferenceSid, RecordingSid, ReservationSid, StreamSid, TaskSid, WorkerSid};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One request to Twilio, with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number within the call, from 1.
    pub id: u32,
    /// The request.
    pub operation: Operation,
    /// The goals that it serves; never empty.
    pub why: Vec<Goal>,
}

/// What is to be reached for a call: the unit of retrying and of giving up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// A stream runs for this reservation.
    Start(ReservationSid),
    /// The stream of this name is over.
    Stop(String),
    /// The guard is lowered ahead of an announced transfer.
    LowerGuard,
    /// The guard is as it was before we lowered it.
    RaiseGuard,
    /// The customer, whom we took off hold, is held again.
    HoldAgain,
    /// The customer, whom we redirected, is back in the conference.
    Rejoin,
    /// The customer's leg is known.
    FindCustomer,
    /// Whether the customer's call is in progress is known.
    CheckCall,
    /// Whether the customer is on hold is known.
    CheckHold,
    /// The leg stayed where it was when a stream was started.
    VerifyLeg,
    /// The conference of a customer who hung up while we held the guard lowered has ended.
    EndConference,
    /// No recording of the call, or of its conference, is in progress within a pause.
    PauseRecording(RecordedKind),
    /// The recording that we paused is in progress again.
    ResumeRecording(RecordedKind),
    /// Somebody works on the call, with its own account's credentials.
    Serve,
}

/// A request: one method of the Twilio client each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "half of the requests are commands, and few exist at a time")]
pub enum Operation {
    /// Asks.
    Read(Read),
    /// Changes something.
    Command(Command),
}

/// A request that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// The task's attributes. `GET /v1/Workspaces/{WS}/Tasks/{WT}`. Answered with [`Answer::Task`].
    Task {
        /// The task.
        task: TaskSid,
    },
    /// The conference in progress of this name.
    /// `GET /Conferences.json?FriendlyName=…&Status=in-progress`. Answered with [`Answer::Conference`].
    FindConference {
        /// The conference's friendly name: the TaskSid.
        friendly_name: String,
    },
    /// A conference: its friendly name and whether it is in progress. `GET /Conferences/{CF}.json`.
    /// Answered with [`Answer::Conference`].
    Conference {
        /// The conference.
        conference: ConferenceSid,
    },
    /// Who is in the conference. `GET /Conferences/{CF}/Participants.json`, every page.
    /// Answered with [`Answer::Participants`].
    Participants {
        /// The conference.
        conference: ConferenceSid,
    },
    /// A leg: whether it is in progress, and whose it is. `GET /Calls/{CA}.json`. Answered with [`Answer::Call`].
    Call {
        /// The leg.
        call: CallSid,
    },
    /// The recordings of a leg or of a conference. `GET /Calls/{CA}/Recordings.json` or `/Conferences/{CF}/Recordings.json`, every
    /// page. Answered with [`Answer::Recordings`].
    Recordings {
        /// Of what.
        of: Recorded,
    },
}

/// A request that changes something at Twilio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Changes the customer's guard, hold, or both. `POST /Conferences/{CF}/Participants/{CA}.json`.
    /// Answered with [`Answer::Participant`], whose guard is an echo and not a proof.
    UpdateCustomer {
        /// The conference.
        conference: ConferenceSid,
        /// The customer's leg.
        customer: CallSid,
        /// `EndConferenceOnExit`, unless unchanged. A lowered one comes with `BeepOnExit=false`.
        guard: Option<Guard>,
        /// `Hold`, unless unchanged.
        hold: Option<bool>,
    },
    /// Gives the customer's leg new TwiML that stops and starts streams and dials back into the conference.
    /// `POST /Calls/{CA}.json`. Answered with [`Answer::Accepted`].
    Redirect {
        /// The customer's leg.
        customer: CallSid,
        /// The conference that it dials back into, by its own friendly name.
        friendly_name: String,
        /// `endConferenceOnExit` of the way back: the guard as it was before our first write.
        guard: Guard,
        /// When the guard was last read lowered. The redirect is not sent when that is too long ago.
        read_at: EpochMs,
        /// Names of the streams to stop, before the starts.
        stop: Vec<String>,
        /// The streams to start.
        start: Vec<StreamStart>,
    },
    /// Starts one stream without touching the call. `POST /Calls/{CA}/Streams.json`. Answered with [`Answer::Stream`].
    CreateStream {
        /// The customer's leg.
        customer: CallSid,
        /// The stream.
        stream: StreamStart,
    },
    /// Stops one stream without touching the call. `POST /Calls/{CA}/Streams/{MZ or name}.json`.
    /// Answered with [`Answer::Accepted`].
    StopStream {
        /// The customer's leg.
        customer: CallSid,
        /// The stream's name.
        name: String,
        /// Its SID, when it is to be stopped by that.
        #[serde(default)]
        sid: Option<StreamSid>,
        /// Its start can no longer land, so that a 404 says something.
        #[serde(default)]
        conclusive: bool,
    },
    /// Ends the conference. `POST /Conferences/{CF}.json`, `Status=completed`. Answered with [`Answer::Accepted`].
    EndConference {
        /// The conference.
        conference: ConferenceSid,
    },
    /// Pauses a recording: silence in place of the audio. `POST …/Recordings/{RE or Twilio.CURRENT}.json`, `Status=paused`.
    /// Answered with [`Answer::Recording`].
    PauseRecording {
        /// What it is of.
        of: Recorded,
        /// The recording that was read.
        recording: RecordingSid,
        /// It is the only one there, and meant as `Twilio.CURRENT`: also one that has taken its place.
        current: bool,
    },
    /// Resumes a recording that we paused. `POST …/Recordings/{RE}.json`, `Status=in-progress`.
    /// Answered with [`Answer::Recording`].
    ResumeRecording {
        /// What it is of.
        of: Recorded,
        /// The recording.
        recording: RecordingSid,
    },
}

/// A stream to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStart {
    /// Its name, unique on the leg for ever.
    pub name: String,
    /// Index into `streams.destinations`.
    pub slot: usize,
    /// Tracks that it costs.
    pub tracks: usize,
    /// Its destination has status callbacks.
    pub confirms: bool,
    /// The reservation that it is for.
    pub reservation: ReservationSid,
    /// The agent that it is for.
    pub worker: WorkerSid,
    /// The task, sent along as a parameter.
    pub task: TaskSid,
    /// The parameters that the destination's configuration adds, in its order.
    #[serde(default)]
    pub parameters: Vec<(String, String)>,
    /// It goes on after a pause or a hold, which its parameters tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<Resumption>,
    /// Names of those that are sent shortened, without characters that Twilio refuses, or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub altered: Vec<String>,
}

/// What a stream after a pause or a hold goes on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// The pause that ended, if it was one: the parameter `pauseId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseId>,
    /// The name of the reservation's stream before it, if there was one: the parameter `resumeOf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
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
    /// When the request was sent, by the call's clock.
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

/// How a request ended. An answer is a claim: what it says is *taken*, and proven by something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 2xx with the documented body.
    Done(Answer),
    /// Twilio's own 404, with its code. It does not say that the call is over.
    NotFound(Trouble),
    /// Twilio's 21220: the call is not in progress.
    NotInProgress(Trouble),
    /// Certainly not processed (429, no connection): safe to send again.
    TryLater(Trouble),
    /// Perhaps processed (5xx, time-out, reset, an answer that is not Twilio's).
    Unknown(Trouble),
    /// 401 or 403: the credentials, for a moment or for good.
    Denied(Trouble),
    /// Any other 4xx of Twilio's: sending it again would be refused again.
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
    /// No whole answer came from whoever had the request, so that it may still be carried out for a while.
    #[serde(default)]
    pub lost: bool,
}

/// The part of a successful answer that the core uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Of [`Read::Task`].
    Task(CallAttributes),
    /// Of [`Read::FindConference`] and [`Read::Conference`]; `None` when there is none in progress.
    Conference(Option<ConferenceRow>),
    /// Of [`Read::Participants`].
    Participants(Vec<ParticipantRow>),
    /// Of [`Command::UpdateCustomer`].
    Participant(ParticipantRow),
    /// Of [`Command::CreateStream`].
    Stream(StreamSid),
    /// Of [`Read::Call`].
    Call(CallRow),
    /// Of [`Read::Recordings`].
    Recordings(Vec<RecordingRow>),
    /// Of [`Command::PauseRecording`] and [`Command::ResumeRecording`].
    Recording(RecordingRow),
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
    /// What its label, or its coaching of another, says of whose leg it is.
    #[serde(default)]
    pub role: Role,
}

/// Whose leg a participant's row says that it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It says nothing.
    #[default]
    Unsaid,
    /// Its label is "customer".
    Customer,
    /// It has another label, or coaches somebody.
    Other,
}

/// A leg as Twilio reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRow {
    /// How far it has come.
    pub status: CallStatus,
    /// `direction` begins with "inbound".
    pub inbound: bool,
    /// The far end is an address of the account's own (`client:`, `sip:`) and not a telephone.
    pub client: bool,
}

/// A leg's `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// Queued, initiated or ringing.
    Coming,
    /// In progress, or a word that this version does not know: a call believed to be over is left alone for ever.
    Live,
    /// Completed, busy, failed, not answered or cancelled.
    Over,
}

impl Operation {
    /// The command that it is, unless it only asks.
    pub fn command(&self) -> Option<&Command> {
        match self {
            Operation::Command(command) => Some(command),
            Operation::Read(_) => None,
        }
    }

    /// Whether what other tasks do to the same leg bears on it.
    pub fn is_shared(&self) -> bool {
        let command = self.command();
        matches!(
            command,
            Some(Command::Redirect { .. } | Command::CreateStream { .. } | Command::ResumeRecording { .. })
        )
    }

    /// A short name for logs and the timeline, as in "read participants".
    pub fn name(&self) -> &'static str {
        match self {
            Operation::Read(Read::Task { .. }) => "fetch task",
            Operation::Read(Read::FindConference { .. }) => "find conference",
            Operation::Read(Read::Conference { .. }) => "fetch conference",
            Operation::Read(Read::Participants { .. }) => "read participants",
            Operation::Read(Read::Call { .. }) => "fetch call",
            Operation::Read(Read::Recordings { .. }) => "list recordings",
            Operation::Command(Command::UpdateCustomer { .. }) => "update customer",
            Operation::Command(Command::Redirect { .. }) => "redirect",
            Operation::Command(Command::CreateStream { .. }) => "create stream",
            Operation::Command(Command::StopStream { .. }) => "stop stream",
            Operation::Command(Command::EndConference { .. }) => "end conference",
            Operation::Command(Command::PauseRecording { .. }) => "pause recording",
            Operation::Command(Command::ResumeRecording { .. }) => "resume recording",
        }
    }
}

impl Command {
    /// The streams that it starts.
    pub fn starts(&self) -> &[StreamStart] {
        match self {
            Command::Redirect { start, .. } => start,
            Command::CreateStream { stream, .. } => std::slice::from_ref(stream),
            Command::UpdateCustomer { .. }
            | Command::StopStream { .. }
            | Command::EndConference { .. }
            | Command::PauseRecording { .. }
            | Command::ResumeRecording { .. } => &[],
        }
    }
}

impl From<Read> for Operation {
    fn from(read: Read) -> Self {
        Operation::Read(read)
    }
}

impl From<Command> for Operation {
    fn from(command: Command) -> Self {
        Operation::Command(command)
    }
}

impl Settled {
    /// How a command ends that was begun by a process which did not live to tell. It may have been sent at any time before
    /// `now`, when another process takes it up, and not since: that one's lease had ended, or the process itself.
    pub fn interrupted(step: Step, now: EpochMs) -> Self {
        let reason = "the process that sent it did not live to tell how it ended".to_owned();
        let trouble = Trouble { status: None, code: None, reason, retry_after_ms: None, lost: true };
        Self { step, sent_at: now, outcome: Outcome::Unknown(trouble), request_id: None, assumed: None }
    }
}

impl Outcome {
    /// What went wrong, if anything did.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Outcome::Done(_) => None,
            Outcome::NotFound(trouble)
            | Outcome::NotInProgress(trouble)
            | Outcome::TryLater(trouble)
            | Outcome::Unknown(trouble)
            | Outcome::Denied(trouble)
            | Outcome::Refused(trouble) => Some(trouble),
        }
    }
}

impl Goal {
    /// The reservation whose stream it is about. A stream's name bears it: `{prefix}{WorkerSid}_{ReservationSid}`.
    pub fn reservation(&self) -> Option<ReservationSid> {
        match self {
            Goal::Start(reservation) => Some(reservation.clone()),
            Goal::Stop(name) => reservation_in(name),
            Goal::LowerGuard
            | Goal::RaiseGuard
            | Goal::HoldAgain
            | Goal::Rejoin
            | Goal::FindCustomer
            | Goal::CheckCall
            | Goal::CheckHold
            | Goal::VerifyLeg
            | Goal::EndConference
            | Goal::PauseRecording(_)
            | Goal::ResumeRecording(_)
            | Goal::Serve => None,
        }
    }
}

/// The reservation in a name of ours: `{prefix}{WorkerSid}_{ReservationSid}` and perhaps a number.
pub(super) fn reservation_in(name: &str) -> Option<ReservationSid> {
    name.split('_').find_map(|part| part.parse().ok())
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::Start(reservation) => write!(f, "start the stream of {reservation}"),
            Goal::Stop(name) => write!(f, "stop {name}"),
            Goal::LowerGuard => f.write_str("lower the guard ahead of the transfer"),
            Goal::RaiseGuard => f.write_str("raise the guard again"),
            Goal::HoldAgain => f.write_str("hold the customer again"),
            Goal::Rejoin => f.write_str("see the customer back in the conference"),
            Goal::FindCustomer => f.write_str("find the customer's call"),
            Goal::CheckCall => f.write_str("see whether the customer's call is in progress"),
            Goal::CheckHold => f.write_str("see whether the customer is on hold"),
            Goal::VerifyLeg => f.write_str("see that the customer's leg stayed where it was"),
            Goal::EndConference => f.write_str("end the conference that the customer has left"),
            Goal::PauseRecording(kind) => write!(f, "pause the recording of {}", kind.as_str()),
            Goal::ResumeRecording(kind) => write!(f, "resume the recording of {}", kind.as_str()),
            Goal::Serve => f.write_str("work on the call"),
        }
    }
}
