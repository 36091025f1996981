//! Reads the bodies of successful answers into what the core uses. Every property is nullable in Twilio's specification, and
//! unknown ones are ignored. A body without a property that the core needs is unreadable (`None`).

use super::account_context::{AccountContext, recorded};
use crate::call::fact::CallAttributes;
use crate::call::recording::{RecordingRow, RecordingStatus};
use crate::call::sid::{CallSid, StreamSid};
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
    attributes: Option<String>,
}

#[derive(Deserialize)]
struct WireStream {
    sid: Option<String>,
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
            Operation::Read(Read::Task { .. }) => read_task(body).map(Answer::Task),
            Operation::Read(Read::FindConference { friendly_name }) => {
                read_conferences(body, friendly_name).map(Answer::Conference)
            }
            Operation::Read(Read::Conference { .. }) => read_conference(body).map(|row| Answer::Conference(Some(row))),
            Operation::Read(Read::Participants { conference }) => {
                let path = self.list(&["Conferences", conference.as_str(), "Participants.json"]);
                let (rows, next) = read_participants(body, &path).ok_or(UNREADABLE)?;
                self.rows.extend(rows);
                return self.page(next, |reader| Answer::Participants(std::mem::take(&mut reader.rows)));
            }
            Operation::Read(Read::Recordings { of }) => {
                let [place, sid] = recorded(of);
                let (rows, next) =
                    read_recordings(body, &self.list(&[place, sid, "Recordings.json"])).ok_or(UNREADABLE)?;
                self.recordings.extend(rows);
                return self.page(next, |reader| Answer::Recordings(std::mem::take(&mut reader.recordings)));
            }
            Operation::Read(Read::Call { .. }) => read_call(body).map(Answer::Call),
            Operation::Command(Command::UpdateCustomer { customer, .. }) => {
                read_participant(body, customer).map(Answer::Participant)
            }
            Operation::Command(Command::CreateStream { .. }) => read_stream(body).map(Answer::Stream),
            Operation::Command(Command::StopStream { .. }) => read_stopped(body).then_some(Answer::Accepted),
            Operation::Command(Command::Redirect { customer, .. }) => {
                names(body, customer.as_str()).then_some(Answer::Accepted)
            }
            Operation::Command(Command::PauseRecording { .. }) => {
                read_recording(body, RecordingStatus::Paused).map(Answer::Recording)
            }
            Operation::Command(Command::ResumeRecording { .. }) => {
                read_recording(body, RecordingStatus::InProgress).map(Answer::Recording)
            }
            Operation::Command(Command::EndConference { conference }) => {
                names(body, conference.as_str()).then_some(Answer::Accepted)
            }
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

/// `GET …/Tasks/{WT}`: `attributes` is a JSON text within the JSON.
fn read_task(body: &[u8]) -> Option<CallAttributes> {
    let task: WireTask = serde_json::from_slice(body).ok()?;
    Some(task.attributes.as_deref().map(|json| Attributes::read(json).call()).unwrap_or_default())
}

/// `POST …/Streams.json`.
fn read_stream(body: &[u8]) -> Option<StreamSid> {
    serde_json::from_slice::<WireStream>(body).ok()?.sid?.parse().ok()
}

/// `POST …/Streams/{MZ or name}.json`: documented is `status: "stopped"`.
fn read_stopped(body: &[u8]) -> bool {
    let stream = serde_json::from_slice::<WireStream>(body).ok();
    stream.is_some_and(|stream| stream.sid.is_some() && stream.status.as_deref() == Some("stopped"))
}

/// Whether it is the representation of this resource.
fn names(body: &[u8], sid: &str) -> bool {
    let body = serde_json::from_slice::<WireCall>(body).ok();
    body.and_then(|body| body.sid).is_some_and(|found| found == sid)
}

/// `GET …/Calls/{CA}.json`. An unknown status counts as live, because a call that is believed to have ended is never looked
/// at again.
fn read_call(body: &[u8]) -> Option<CallRow> {
    let call = serde_json::from_slice::<WireCall>(body).ok()?;
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

/// `GET …/Conferences.json`: the newest one in progress of exactly this name. Twilio allows one.
fn read_conferences(body: &[u8], friendly_name: &str) -> Option<Option<ConferenceRow>> {
    let list: WireConferences = serde_json::from_slice(body).ok()?;
    let rows = list.conferences.into_iter().filter_map(|wire| {
        let created = wire.date_created.as_deref().and_then(moment);
        Some((created, wire.into_row()?))
    });
    let candidates = rows.filter(|(_, row)| row.in_progress && row.friendly_name == friendly_name);
    // `max_by` would take the last of equals; Twilio lists the newest first.
    let newest = candidates.reduce(|best, next| if next.0 > best.0 { next } else { best });
    Some(newest.map(|(_, row)| row))
}

/// `GET …/Conferences/{CF}.json`.
fn read_conference(body: &[u8]) -> Option<ConferenceRow> {
    serde_json::from_slice::<WireConference>(body).ok()?.into_row()
}

/// `POST …/Participants/{CA}.json`: of the leg that was requested.
fn read_participant(body: &[u8], requested: &CallSid) -> Option<ParticipantRow> {
    let wire: WireParticipant = serde_json::from_slice(body).ok()?;
    let call = wire.call_sid.as_deref()?.parse().ok().filter(|found| found == requested)?;
    Some(wire.into_row(call))
}

/// One page of `GET …/Participants.json`, requested at `path`. A row without a call is ignored.
fn read_participants(body: &[u8], path: &str) -> Option<(Vec<ParticipantRow>, Option<NextPage>)> {
    let page: WireParticipants = serde_json::from_slice(body).ok()?;
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
fn read_recordings(body: &[u8], path: &str) -> Option<(Vec<RecordingRow>, Option<NextPage>)> {
    let page: WireRecordings = serde_json::from_slice(body).ok()?;
    let rows = page.recordings.into_iter().map(WireRecording::into_row).collect::<Option<_>>()?;
    Some((rows, next_page(page.next_page_uri, path)))
}

/// `POST …/Recordings/{RE or Twilio.CURRENT}.json`: documented is the recording with its new status.
fn read_recording(body: &[u8], asked: RecordingStatus) -> Option<RecordingRow> {
    let row = serde_json::from_slice::<WireRecording>(body).ok()?.into_row()?;
    (row.status == asked).then_some(row)
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
    fn into_row(self) -> Option<RecordingRow> {
        let status = match self.status.as_deref() {
            Some("paused") => RecordingStatus::Paused,
            Some("stopped" | "processing" | "completed" | "absent") => RecordingStatus::Over,
            Some(_) | None => RecordingStatus::InProgress,
        };
        Some(RecordingRow { sid: self.sid?.parse().ok()?, status })
    }
}

impl WireParticipant {
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
