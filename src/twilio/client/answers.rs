//! Reads the bodies of successful answers into what the core uses. Every property is nullable in Twilio's specification, and
//! unknown ones are ignored. A body without a property that the core needs is unreadable (`None`), and so is one that says that
//! it is about something else than was asked for: a gateway or a cache may answer in Twilio's place.

use super::account_context::{AccountContext, recorded};
use crate::call::fact::CallAttributes;
use crate::call::recording::{Recorded, RecordingRow, RecordingStatus};
use crate::call::sid::{CallSid, ConferenceSid, RecordingSid, StreamSid, TaskSid};
use crate::call::step::{
    Answer, CallRow, CallStatus, Command, ConferenceRow, Guard, Operation, ParticipantRow, Read, Role,
};
use crate::twilio::attributes::Attributes;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;

/// What the address of a far end begins with that is no telephone: <https://www.twilio.com/docs/voice/api/call-resource>.
const ADDRESSES: [&str; 2] = ["client:", "sip:"];

/// A 2xx whose body is not what Twilio documents.
const UNREADABLE: &str = "Twilio's answer could not be read";

#[derive(Deserialize)]
struct WireTask {
    sid: Option<String>,
    attributes: Option<String>,
}

#[derive(Deserialize)]
struct WireStream {
    call_sid: Option<String>,
    sid: Option<String>,
    name: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct WireCall {
    sid: Option<String>,
    status: Option<String>,
    direction: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Deserialize)]
struct WireConference {
    sid: Option<String>,
    friendly_name: Option<String>,
    status: Option<String>,
    date_created: Option<String>,
}

#[derive(Deserialize)]
struct WireConferences {
    conferences: Vec<WireConference>,
}

#[derive(Deserialize)]
struct WireParticipant {
    conference_sid: Option<String>,
    call_sid: Option<String>,
    end_conference_on_exit: Option<bool>,
    hold: Option<bool>,
    status: Option<String>,
    date_created: Option<String>,
    label: Option<String>,
    coaching: Option<bool>,
}

#[derive(Deserialize)]
struct WireParticipants {
    participants: Vec<WireParticipant>,
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
struct WireRecording {
    conference_sid: Option<String>,
    sid: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct WireRecordings {
    recordings: Vec<WireRecording>,
    next_page_uri: Option<String>,
}

/// Reads the bodies of one operation's successful answers, page after page.
#[derive(Debug)]
pub struct Reader<'a> {
    context: &'a AccountContext,
    operation: &'a Operation,
    rows: Vec<ParticipantRow>,
    recordings: Vec<RecordingRow>,
    pages_left: usize,
}

/// What a body turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// The whole answer, or its last page.
    Whole(Answer),
    /// A page; the next one has this query.
    NextPage(String),
}

/// Where the next page is.
enum NextPage {
    /// The same list with this query string.
    Query(String),
    /// Another address, to which our credentials are not sent.
    Elsewhere,
}

impl<'a> Reader<'a> {
    /// For the answers to `operation`. A list may have `max_pages` pages.
    pub fn new(context: &'a AccountContext, operation: &'a Operation, max_pages: usize) -> Self {
        Self { context, operation, rows: Vec::new(), recordings: Vec::new(), pages_left: max_pages }
    }

    /// Reads the body of a 2xx. The error is in our own words.
    pub fn read(&mut self, body: &[u8]) -> Result<Body, &'static str> {
        let answer = match self.operation {
            Operation::Read(read) => return self.read_asked(read, body),
            Operation::Command(command) => read_command(body, command),
        };
        answer.map(Body::Whole).ok_or(UNREADABLE)
    }

    fn read_asked(&mut self, read: &Read, body: &[u8]) -> Result<Body, &'static str> {
        let answer = match read {
            Read::Task { task } => read_task(body, task).map(Answer::Task),
            Read::FindConference { friendly_name } => read_conferences(body, friendly_name).map(Answer::Conference),
            Read::Conference { conference } => {
                read_conference(body, conference).map(|row| Answer::Conference(Some(row)))
            }
            Read::Participants { conference } => {
                let path = self.list(&["Conferences", conference.as_str(), "Participants.json"]);
                let (rows, next) = read_participants(body, conference, &path).ok_or(UNREADABLE)?;
                self.rows.extend(rows);
                return self.page(next, |reader| Answer::Participants(std::mem::take(&mut reader.rows)));
            }
            Read::Recordings { of } => {
                let [place, sid] = recorded(of);
                let (rows, next) =
                    read_recordings(body, of, &self.list(&[place, sid, "Recordings.json"])).ok_or(UNREADABLE)?;
                self.recordings.extend(rows);
                return self.page(next, |reader| Answer::Recordings(std::mem::take(&mut reader.recordings)));
            }
            Read::Call { call } => read_call(body, call).map(Answer::Call),
        };
        answer.map(Body::Whole).ok_or(UNREADABLE)
    }

    /// The path of a list, as Twilio writes it into `next_page_uri`: without the base's own path.
    fn list(&self, path: &[&str]) -> String {
        format!("/2010-04-01/Accounts/{}/{}", self.context.account_sid, path.join("/"))
    }

    fn page(&mut self, next: Option<NextPage>, whole: impl Fn(&mut Self) -> Answer) -> Result<Body, &'static str> {
        self.pages_left = self.pages_left.saturating_sub(1);
        match next {
            None => Ok(Body::Whole(whole(self))),
            Some(NextPage::Elsewhere) => Err("the list's next page is at another address, which is not followed"),
            Some(NextPage::Query(_)) if self.pages_left == 0 => Err("the list has more pages than twilio.max_pages"),
            Some(NextPage::Query(query)) => Ok(Body::NextPage(query)),
        }
    }
}

fn read_command(body: &[u8], command: &Command) -> Option<Answer> {
    match command {
        Command::UpdateCustomer { conference, customer, .. } => {
            read_participant(body, conference, customer).map(Answer::Participant)
        }
        Command::CreateStream { customer, stream } => {
            read_stream(body, customer, &stream.name)?.sid?.parse().ok().map(Answer::Stream)
        }
        Command::StopStream { customer, name, sid, .. } => {
            read_stopped(body, customer, name, sid.as_ref()).then_some(Answer::Accepted)
        }
        Command::Redirect { customer, .. } => names(body, customer.as_str()).then_some(Answer::Accepted),
        Command::PauseRecording { of, recording, current } => {
            let recording = (!current).then_some(recording);
            read_recording(body, of, recording, RecordingStatus::Paused).map(Answer::Recording)
        }
        Command::ResumeRecording { of, recording } => {
            read_recording(body, of, Some(recording), RecordingStatus::InProgress).map(Answer::Recording)
        }
        Command::EndConference { conference } => names(body, conference.as_str()).then_some(Answer::Accepted),
    }
}

/// Whether a property that may be null names what was asked for.
fn fits(said: Option<&str>, asked: &str) -> bool {
    said.is_none_or(|said| said == asked)
}

/// `GET …/Tasks/{WT}`: `attributes` is a JSON text within the JSON.
fn read_task(body: &[u8], asked: &TaskSid) -> Option<CallAttributes> {
    let task: WireTask = serde_json::from_slice(body).ok()?;
    if !fits(task.sid.as_deref(), asked.as_str()) {
        return None;
    }
    Some(task.attributes.as_deref().map(|json| Attributes::read(json).call()).unwrap_or_default())
}

/// `POST …/Streams.json`, and `POST …/Streams/{MZ or name}.json`.
fn read_stream(body: &[u8], call: &CallSid, name: &str) -> Option<WireStream> {
    let stream = serde_json::from_slice::<WireStream>(body).ok()?;
    let is_asked = fits(stream.call_sid.as_deref(), call.as_str()) && fits(stream.name.as_deref(), name);
    is_asked.then_some(stream)
}

/// `POST …/Streams/{MZ or name}.json`: documented is `status: "stopped"`.
fn read_stopped(body: &[u8], call: &CallSid, name: &str, asked: Option<&StreamSid>) -> bool {
    read_stream(body, call, name).is_some_and(|stream| {
        let is_asked = |sid: String| asked.is_none_or(|asked| sid == asked.as_str());
        stream.sid.is_some_and(is_asked) && stream.status.as_deref() == Some("stopped")
    })
}

/// Whether it is the representation of this resource.
fn names(body: &[u8], sid: &str) -> bool {
    let body = serde_json::from_slice::<WireCall>(body).ok();
    body.and_then(|body| body.sid).is_some_and(|found| found == sid)
}

/// `GET …/Calls/{CA}.json`. An unknown status counts as live, because a call that is believed to have ended is never looked
/// at again.
fn read_call(body: &[u8], asked: &CallSid) -> Option<CallRow> {
    let call = serde_json::from_slice::<WireCall>(body).ok()?;
    call.sid.filter(|sid| sid == asked.as_str())?;
    let status = match call.status?.as_str() {
        "queued" | "initiated" | "ringing" => CallStatus::Coming,
        "completed" | "busy" | "failed" | "no-answer" | "canceled" => CallStatus::Over,
        _ => CallStatus::Live,
    };
    let inbound = call.direction.is_some_and(|direction| direction.starts_with("inbound"));
    let far_end = if inbound { call.from } else { call.to };
    let client = far_end.is_some_and(|end| ADDRESSES.iter().any(|scheme| end.starts_with(scheme)));
    Some(CallRow { status, inbound, client })
}

/// `GET …/Conferences.json`: the newest one in progress of exactly this name. Twilio allows one. A list of others only is no answer
/// to what was asked.
fn read_conferences(body: &[u8], friendly_name: &str) -> Option<Option<ConferenceRow>> {
    let list: WireConferences = serde_json::from_slice(body).ok()?;
    let is_other = |wire: &WireConference| wire.friendly_name.as_deref() != Some(friendly_name);
    let others_only = !list.conferences.is_empty() && list.conferences.iter().all(is_other);
    let rows = list.conferences.into_iter().filter_map(|wire| {
        let created = wire.date_created.as_deref().and_then(moment);
        Some((created, wire.into_row()?))
    });
    let candidates = rows.filter(|(_, row)| row.in_progress && row.friendly_name == friendly_name);
    // `max_by` would take the last of equals; Twilio lists the newest first.
    let newest = candidates.reduce(|best, next| if next.0 > best.0 { next } else { best });
    (!others_only).then(|| newest.map(|(_, row)| row))
}

/// `GET …/Conferences/{CF}.json`.
fn read_conference(body: &[u8], asked: &ConferenceSid) -> Option<ConferenceRow> {
    serde_json::from_slice::<WireConference>(body).ok()?.into_row().filter(|row| row.sid == *asked)
}

/// `POST …/Participants/{CA}.json`: of the leg that was requested.
fn read_participant(body: &[u8], conference: &ConferenceSid, requested: &CallSid) -> Option<ParticipantRow> {
    let wire: WireParticipant =
        serde_json::from_slice(body).ok().filter(|wire: &WireParticipant| wire.is_in(conference))?;
    let call = wire.call_sid.as_deref()?.parse().ok().filter(|found| found == requested)?;
    Some(wire.into_row(call))
}

/// One page of `GET …/Participants.json`, requested at `path`. A row without a call is ignored; with one of another conference the
/// whole is of another.
fn read_participants(
    body: &[u8],
    conference: &ConferenceSid,
    path: &str,
) -> Option<(Vec<ParticipantRow>, Option<NextPage>)> {
    let page: WireParticipants = serde_json::from_slice(body).ok()?;
    if !page.participants.iter().all(|wire| wire.is_in(conference)) {
        return None;
    }
    let rows = page.participants.into_iter().filter_map(|wire| {
        let call = wire.call_sid.as_deref()?.parse().ok()?;
        Some(wire.into_row(call))
    });
    Some((rows.collect(), next_page(page.next_page_uri, path)))
}

/// The page behind one that was requested at `path`.
fn next_page(uri: Option<String>, path: &str) -> Option<NextPage> {
    uri.filter(|uri| !uri.is_empty()).map(|uri| match uri.split_once('?') {
        Some((place, query)) if place == path => NextPage::Query(query.to_owned()),
        _ => NextPage::Elsewhere,
    })
}

/// One page of `GET …/Recordings.json`, requested at `path`. A recording that cannot be named could not be paused: then the whole is
/// unreadable.
fn read_recordings(body: &[u8], of: &Recorded, path: &str) -> Option<(Vec<RecordingRow>, Option<NextPage>)> {
    let page: WireRecordings = serde_json::from_slice(body).ok()?;
    let rows = page.recordings.into_iter().map(|wire| wire.into_row(of)).collect::<Option<_>>()?;
    Some((rows, next_page(page.next_page_uri, path)))
}

/// `POST …/Recordings/{RE or Twilio.CURRENT}.json`: documented is the recording with its new status.
fn read_recording(
    body: &[u8],
    of: &Recorded,
    asked: Option<&RecordingSid>,
    status: RecordingStatus,
) -> Option<RecordingRow> {
    let row = serde_json::from_slice::<WireRecording>(body).ok()?.into_row(of)?;
    (row.status == status && asked.is_none_or(|asked| row.sid == *asked)).then_some(row)
}

impl WireConference {
    /// `None` without a name: dialling a guessed one would create another conference.
    fn into_row(self) -> Option<ConferenceRow> {
        Some(ConferenceRow {
            sid: self.sid?.parse().ok()?,
            friendly_name: self.friendly_name.filter(|name| !name.is_empty())?,
            in_progress: self.status.as_deref() == Some("in-progress"),
            to_come: self.status.as_deref() == Some("init"),
        })
    }
}

impl WireRecording {
    /// Of a leg's recordings `call_sid` does not tell whose they are: it names the parent leg
    /// (<https://www.twilio.com/docs/voice/api/recording>).
    fn into_row(self, of: &Recorded) -> Option<RecordingRow> {
        if let Recorded::Conference(conference) = of
            && !fits(self.conference_sid.as_deref(), conference.as_str())
        {
            return None;
        }
        let status = match self.status.as_deref() {
            Some("paused") => RecordingStatus::Paused,
            Some("stopped" | "processing" | "completed" | "absent") => RecordingStatus::Over,
            Some(_) | None => RecordingStatus::InProgress,
        };
        Some(RecordingRow { sid: self.sid?.parse().ok()?, status })
    }
}

impl WireParticipant {
    fn is_in(&self, conference: &ConferenceSid) -> bool {
        fits(self.conference_sid.as_deref(), conference.as_str())
    }

    fn into_row(self, call: CallSid) -> ParticipantRow {
        ParticipantRow {
            call,
            guard: self.end_conference_on_exit.map(|raised| if raised { Guard::Raised } else { Guard::Lowered }),
            hold: self.hold,
            connected: self.status.is_none_or(|status| status == "connected"),
            date_created: self.date_created,
            role: match self.label.as_deref() {
                _ if self.coaching == Some(true) => Role::Other,
                None | Some("") => Role::Unsaid,
                Some("customer") => Role::Customer,
                Some(_) => Role::Other,
            },
        }
    }
}

fn moment(date: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(date).ok()
}
