//! What each operation asks of Twilio: method, place, query and form, as values. Nothing is sent here.

use super::{Destination, Product};
use crate::call::sid::{AccountSid, CallSid, ConferenceSid, WorkspaceSid};
use crate::call::step::{Guard, Operation, StreamStart, Trouble};
use crate::twilio::failure::About;
use crate::twilio::twiml::{self, ConferenceVerb, Document, StreamVerb};
use std::borrow::Cow;
use url::Url;
use url::form_urlencoded::Serializer;

/// A conference takes 250 participants at most (`maxParticipants`), so one page holds them all.
const PARTICIPANTS_PER_PAGE: u16 = 250;

/// What requests are filled in with besides their operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Whose calls.
    pub account_sid: AccountSid,
    /// Whose tasks.
    pub workspace_sid: WorkspaceSid,
    /// Where streams go; [`StreamStart::slot`] is an index into it.
    pub destinations: Vec<Destination>,
    /// Where Twilio tells how streams fare; the task is added as a query.
    pub status_url: String,
}

/// The names and values of a form, in order.
pub type Form = Vec<(Cow<'static, str>, String)>;

/// One HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whose host it goes to.
    pub product: Product,
    /// The path's segments below the host's base, not percent-encoded.
    pub path: Vec<String>,
    /// The query, encoded.
    pub query: Option<String>,
    /// The form of a POST; a GET has none.
    pub form: Option<Form>,
    /// Whose state it is about, which decides what a failure means.
    pub about: About,
    /// Whether a 2xx is all that matters, whatever its body is.
    pub is_command: bool,
}

impl Request {
    /// The address below a base, with the path percent-encoded.
    pub fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        // Fails for URLs without a host only, which `Client::new` refuses.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&self.path);
        }
        url.set_query(self.query.as_deref());
        url
    }
}

impl Site {
    /// The first request of an operation, or why there is none, which happens before anything is sent.
    pub fn request(&self, operation: &Operation) -> Result<Request, Trouble> {
        Ok(match operation {
            Operation::FetchTask { task } => Request {
                product: Product::TaskRouter,
                path: owned(&["v1", "Workspaces", self.workspace_sid.as_str(), "Tasks", task.as_str()]),
                ..self.read(&[])
            },
            Operation::FindConference { friendly_name } => {
                let mut query = Serializer::new(String::new());
                query.append_pair("FriendlyName", friendly_name).append_pair("Status", "in-progress");
                Request { query: Some(query.finish()), ..self.read(&["Conferences.json"]) }
            }
            Operation::FetchConference { conference } => self.read(&["Conferences", &format!("{conference}.json")]),
            Operation::ReadParticipants { conference } => Request {
                query: Some(format!("PageSize={PARTICIPANTS_PER_PAGE}")),
                ..self.read(&["Conferences", conference.as_str(), "Participants.json"])
            },
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
                Request { about: About::Call, ..self.read(&["Calls", &format!("{customer}.json")]) }
            }
        })
    }

    fn read(&self, path: &[&str]) -> Request {
        let account = ["2010-04-01", "Accounts", self.account_sid.as_str()];
        Request {
            product: Product::Api,
            path: owned(&[&account, path].concat()),
            query: None,
            form: None,
            about: About::Other,
            is_command: false,
        }
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
        Request { form: Some(guard.into_iter().chain(hold).collect()), ..self.read(&path) }
    }

    fn command(&self, path: &[&str], form: Form) -> Request {
        Request { form: Some(form), about: About::Call, is_command: true, ..self.read(path) }
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
                "the stream wants destination {} and streams.destinations has {}: add one, then redrive",
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
            // The callback names the leg only, and a leg can have had another task before.
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

fn owned(segments: &[&str]) -> Vec<String> {
    segments.iter().map(|segment| (*segment).to_owned()).collect()
}

fn not_sent(reason: String) -> Trouble {
    Trouble { status: None, code: None, reason, retry_after_ms: None }
}
