//! The request of each operation, as a value. Nothing is sent here.

use super::hosts::Product;
use super::request::{Form, Request};
use super::settings::StreamDestination;
use crate::call::sid::{AccountSid, CallSid, ConferenceSid, WorkspaceSid};
use crate::call::step::{Guard, Operation, StreamStart, Trouble};
use crate::twilio::failure::About;
use crate::twilio::twiml::{self, ConferenceVerb, Document, StreamVerb};
use url::form_urlencoded::Serializer;

/// A conference takes 250 participants at most (`maxParticipants`), so one page holds them all.
const PARTICIPANTS_PER_PAGE: u16 = 250;

/// What every request needs to know of the account besides the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountContext {
    /// The account that owns the calls.
    pub account_sid: AccountSid,
    /// The workspace that owns the tasks.
    pub workspace_sid: WorkspaceSid,
    /// [`StreamStart::slot`] is an index into it.
    pub destinations: Vec<StreamDestination>,
    /// The address for status callbacks of streams; the task is added as a query.
    pub status_url: String,
}

impl AccountContext {
    /// The first request of an operation, or why it cannot be made.
    pub fn request(&self, operation: &Operation) -> Result<Request, Trouble> {
        Ok(match operation {
            Operation::FetchTask { task } => {
                let path = ["v1", "Workspaces", self.workspace_sid.as_str(), "Tasks", task.as_str()];
                Request::get(Product::TaskRouter, &path)
            }
            Operation::FindConference { friendly_name } => {
                let mut query = Serializer::new(String::new());
                query.append_pair("FriendlyName", friendly_name).append_pair("Status", "in-progress");
                self.get(&["Conferences.json"]).with_query(query.finish())
            }
            Operation::FetchConference { conference } => self.get(&["Conferences", &format!("{conference}.json")]),
            Operation::ReadParticipants { conference } => self
                .get(&["Conferences", conference.as_str(), "Participants.json"])
                .with_query(format!("PageSize={PARTICIPANTS_PER_PAGE}")),
            Operation::UpdateCustomer { conference, customer, guard, hold } => {
                self.update(conference, customer, *guard, *hold)
            }
            Operation::Redirect { customer, room, stop, start } => {
                let twiml = self.redirect_twiml(room, stop, start)?;
                self.command(&["Calls", &format!("{customer}.json")], vec![("Twiml".into(), twiml)])
            }
            Operation::CreateStream { customer, stream } => {
                let form = create_form(self.stream_verb(stream)?);
                Request { is_command: false, ..self.command(&["Calls", customer.as_str(), "Streams.json"], form) }
            }
            Operation::StopStream { customer, name, sid } => {
                let which = sid.as_ref().map_or(name.as_str(), |sid| sid.as_str());
                let path = ["Calls", customer.as_str(), "Streams", &format!("{which}.json")];
                self.command(&path, vec![("Status".into(), "stopped".to_owned())])
            }
            Operation::FetchCall { customer } => {
                Request { about: About::Call, ..self.get(&["Calls", &format!("{customer}.json")]) }
            }
        })
    }

    /// A request about one of the account's resources.
    pub(super) fn get(&self, path: &[&str]) -> Request {
        let account = ["2010-04-01", "Accounts", self.account_sid.as_str()];
        Request::get(Product::Api, &[&account, path].concat())
    }

    fn update(
        &self,
        conference: &ConferenceSid,
        customer: &CallSid,
        guard: Option<Guard>,
        hold: Option<bool>,
    ) -> Request {
        let guard = guard.map(|guard| match guard {
            Guard::Raised => ("EndConferenceOnExit".into(), "true".to_owned()),
            Guard::Lowered => ("EndConferenceOnExit".into(), "false".to_owned()),
        });
        let hold = hold.map(|hold| ("Hold".into(), hold.to_string()));
        let path = ["Conferences", conference.as_str(), "Participants", &format!("{customer}.json")];
        self.get(&path).with_form(guard.into_iter().chain(hold).collect())
    }

    fn command(&self, path: &[&str], form: Form) -> Request {
        Request { about: About::Call, is_command: true, ..self.get(path).with_form(form) }
    }

    fn redirect_twiml(&self, room: &str, stop: &[String], start: &[StreamStart]) -> Result<String, Trouble> {
        let start = start.iter().map(|stream| self.stream_verb(stream)).collect::<Result<Vec<_>, _>>()?;
        let conference = ConferenceVerb { room: room.to_owned(), beep: false, end_conference_on_exit: true };
        let document = Document { stop: stop.to_vec(), start, conference };
        twiml::render(&document).map_err(|error| not_sent(error.to_string()))
    }

    fn stream_verb(&self, stream: &StreamStart) -> Result<StreamVerb, Trouble> {
        let Some(destination) = self.destinations.get(stream.slot) else {
            return Err(not_sent(format!(
                "the stream needs destination {}, but streams.destinations has {}: add one, then redrive",
                stream.slot + 1,
                self.destinations.len()
            )));
        };
        let sids = [
            ("workerSid".to_owned(), stream.worker.to_string()),
            ("reservationSid".to_owned(), stream.reservation.to_string()),
            ("taskSid".to_owned(), stream.task.to_string()),
        ];
        Ok(StreamVerb {
            name: stream.name.clone(),
            url: destination.url.clone(),
            track: destination.track,
            parameters: sids.into_iter().chain(stream.parameters.iter().cloned()).collect(),
            // The callback itself names only the leg, which may have had another task before.
            status_callback: destination.confirms.then(|| format!("{}?task={}", self.status_url, stream.task)),
        })
    }
}

/// A stream as the parameters of its resource: <https://www.twilio.com/docs/voice/api/stream-resource>.
fn create_form(stream: StreamVerb) -> Form {
    let StreamVerb { name, url, track, parameters, status_callback } = stream;
    let mut form: Form = vec![("Url".into(), url), ("Name".into(), name), ("Track".into(), track.as_str().to_owned())];
    form.extend(status_callback.map(|url| ("StatusCallback".into(), url)));
    for (number, (name, value)) in (1..).zip(parameters) {
        form.push((format!("Parameter{number}.Name").into(), name));
        form.push((format!("Parameter{number}.Value").into(), value));
    }
    form
}

fn not_sent(reason: String) -> Trouble {
    Trouble { status: None, code: None, reason, retry_after_ms: None }
}
