//! The request of each operation, as a value. Nothing is sent here.

use super::hosts::Product;
use super::request::{Form, Request};
use super::settings::StreamDestination;
use crate::call::recording::Recorded;
use crate::call::sid::{AccountSid, CallSid, ConferenceSid, WorkspaceSid};
use crate::call::step::{Command, Guard, Operation, Read, StreamStart, Trouble};
use crate::twilio::failure::About;
use crate::twilio::twiml::{self, ConferenceVerb, Document, StreamVerb};
use url::form_urlencoded::Serializer;

/// A conference takes 250 participants at most (`maxParticipants`), so one page holds them all.
const PARTICIPANTS_PER_PAGE: u16 = 250;

/// Of a list of recordings, the newest first. More of one call than a page holds are read page by page.
const RECORDINGS_PER_PAGE: u16 = 250;

/// The recording that is active (<https://www.twilio.com/docs/voice/api/recording#update-a-recording-resource>).
const CURRENT_RECORDING: &str = "Twilio.CURRENT";

/// Twilio tries a callback again on 5xx, on time-outs and when a connection fails. The fragment is not part of what is signed
/// (<https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>).
pub const CALLBACK_RETRIES: &str = "#rc=3&rp=5xx,ct,rt";

/// The parameters that every stream carries, before those of its destination.
pub const OWN_PARAMETERS: [&str; 3] = ["workerSid", "reservationSid", "taskSid"];

/// The parameters of a stream that goes on after a pause, and after a hold the second.
pub const RESUME_PARAMETERS: [&str; 2] = ["pauseId", "resumeOf"];

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
        match operation {
            Operation::Read(read) => Ok(self.read(read)),
            Operation::Command(command) => self.command(command),
        }
    }

    fn read(&self, read: &Read) -> Request {
        match read {
            Read::Task { task } => {
                let path = ["v1", "Workspaces", self.workspace_sid.as_str(), "Tasks", task.as_str()];
                Request::get(Product::TaskRouter, &path)
            }
            Read::FindConference { friendly_name } => {
                let mut query = Serializer::new(String::new());
                query.append_pair("FriendlyName", friendly_name).append_pair("Status", "in-progress");
                self.get(&["Conferences.json"]).with_query(query.finish())
            }
            Read::Conference { conference } => self.get(&["Conferences", &format!("{conference}.json")]),
            Read::Participants { conference } => self
                .get(&["Conferences", conference.as_str(), "Participants.json"])
                .with_query(format!("PageSize={PARTICIPANTS_PER_PAGE}")),
            Read::Call { call } => self.get(&["Calls", &format!("{call}.json")]),
            Read::Recordings { of } => {
                let [place, sid] = recorded(of);
                self.get(&[place, sid, "Recordings.json"]).with_query(format!("PageSize={RECORDINGS_PER_PAGE}"))
            }
        }
    }

    fn command(&self, command: &Command) -> Result<Request, Trouble> {
        Ok(match command {
            Command::UpdateCustomer { conference, customer, guard, hold } => {
                self.update(conference, customer, *guard, *hold)
            }
            Command::Redirect { customer, friendly_name, guard, stop, start, .. } => {
                let twiml = self.redirect_twiml(friendly_name, *guard, stop, start)?;
                self.about_call(&["Calls", &format!("{customer}.json")], vec![("Twiml".into(), twiml)])
            }
            Command::CreateStream { customer, stream } => {
                let form = create_form(self.stream_verb(stream)?);
                self.about_call(&["Calls", customer.as_str(), "Streams.json"], form)
            }
            Command::StopStream { customer, name, sid, .. } => {
                let which = sid.as_ref().map_or(name.as_str(), |sid| sid.as_str());
                let path = ["Calls", customer.as_str(), "Streams", &format!("{which}.json")];
                self.about_call(&path, vec![("Status".into(), "stopped".to_owned())])
            }
            Command::PauseRecording { of, recording, current } => {
                let which = if *current { CURRENT_RECORDING } else { recording.as_str() };
                // Silence keeps the recording as long as the call, which whoever listens to it counts on.
                let form = [("Status", "paused"), ("PauseBehavior", "silence")];
                self.update_recording(of, which, &form)
            }
            Command::ResumeRecording { of, recording } => {
                self.update_recording(of, recording.as_str(), &[("Status", "in-progress")])
            }
            Command::EndConference { conference } => self
                .get(&["Conferences", &format!("{conference}.json")])
                .with_form(vec![("Status".into(), "completed".to_owned())]),
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
        let mut form = Form::new();
        match guard {
            Some(Guard::Raised) => form.push(("EndConferenceOnExit".into(), "true".to_owned())),
            Some(Guard::Lowered) => {
                form.push(("EndConferenceOnExit".into(), "false".to_owned()));
                // A leg that entered with a beep would beep when we take it out.
                form.push(("BeepOnExit".into(), "false".to_owned()));
            }
            None => {}
        }
        form.extend(hold.map(|hold| ("Hold".into(), hold.to_string())));
        let path = ["Conferences", conference.as_str(), "Participants", &format!("{customer}.json")];
        self.get(&path).with_form(form)
    }

    /// A command whose refusal with 21220 says that the call is not in progress.
    fn about_call(&self, path: &[&str], form: Form) -> Request {
        Request { about: About::Call, ..self.get(path).with_form(form) }
    }

    fn update_recording(&self, of: &Recorded, which: &str, form: &[(&'static str, &str)]) -> Request {
        let [place, sid] = recorded(of);
        let form = form.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
        let path = [place, sid, "Recordings", &format!("{which}.json")];
        match of {
            Recorded::Call(_) => self.about_call(&path, form),
            Recorded::Conference(_) => self.get(&path).with_form(form),
        }
    }

    /// The operation as it can be sent: with the parameters of its streams shortened where the TwiML would be longer than Twilio takes.
    /// The Streams resource has no such limit.
    pub fn fit(&self, mut operation: Operation) -> Operation {
        if let Operation::Command(Command::Redirect { friendly_name, guard, stop, start, .. }) = &mut operation
            && let Ok(mut document) = self.redirect_document(friendly_name, *guard, stop, start)
        {
            twiml::shorten(&mut document, OWN_PARAMETERS.len());
            for (stream, verb) in start.iter_mut().zip(document.start) {
                let fitting: Vec<_> = verb.parameters.into_iter().skip(own_parameters(stream).len()).collect();
                let lost = std::mem::take(&mut stream.parameters).into_iter().filter(|own| !fitting.contains(own));
                let names = lost.map(|(name, _)| name).filter(|name| !stream.altered.contains(name));
                stream.altered = stream.altered.iter().cloned().chain(names).collect();
                stream.parameters = fitting;
            }
        }
        operation
    }

    fn redirect_twiml(
        &self,
        friendly_name: &str,
        guard: Guard,
        stop: &[String],
        start: &[StreamStart],
    ) -> Result<String, Trouble> {
        let document = self.redirect_document(friendly_name, guard, stop, start)?;
        twiml::render(&document).map_err(|error| not_sent(error.to_string()))
    }

    fn redirect_document(
        &self,
        friendly_name: &str,
        guard: Guard,
        stop: &[String],
        start: &[StreamStart],
    ) -> Result<Document, Trouble> {
        let start = start.iter().map(|stream| self.stream_verb(stream)).collect::<Result<Vec<_>, _>>()?;
        let end_conference_on_exit = guard == Guard::Raised;
        let conference = ConferenceVerb { room: friendly_name.to_owned(), beep: false, end_conference_on_exit };
        Ok(Document { stop: stop.to_vec(), start, conference })
    }

    fn stream_verb(&self, stream: &StreamStart) -> Result<StreamVerb, Trouble> {
        let Some(destination) = self.destinations.get(stream.slot) else {
            return Err(not_sent(format!(
                "the stream needs destination {}, but streams.destinations has {}: add one, then redrive",
                stream.slot + 1,
                self.destinations.len()
            )));
        };
        Ok(StreamVerb {
            name: stream.name.clone(),
            url: destination.url.clone(),
            track: destination.track,
            parameters: own_parameters(stream).into_iter().chain(stream.parameters.iter().cloned()).collect(),
            // The callback itself names only the leg, which may have had another task before.
            status_callback: destination
                .confirms
                .then(|| format!("{}?task={}{CALLBACK_RETRIES}", self.status_url, stream.task)),
        })
    }
}

/// Where the recordings of a leg or a conference are.
pub(super) fn recorded(of: &Recorded) -> [&str; 2] {
    match of {
        Recorded::Call(call) => ["Calls", call.as_str()],
        Recorded::Conference(conference) => ["Conferences", conference.as_str()],
    }
}

/// What every stream tells its socket, and what one after a pause or a hold tells besides.
fn own_parameters(stream: &StreamStart) -> Vec<(String, String)> {
    let sids = [stream.worker.to_string(), stream.reservation.to_string(), stream.task.to_string()];
    let mut parameters: Vec<_> = OWN_PARAMETERS.map(str::to_owned).into_iter().zip(sids).collect();
    if let Some(resumes) = &stream.resumes {
        let [pause_id, resume_of] = RESUME_PARAMETERS.map(str::to_owned);
        parameters.extend(resumes.pause.as_ref().map(|pause| (pause_id, pause.to_string())));
        parameters.extend(resumes.of.clone().map(|name| (resume_of, name)));
    }
    parameters
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
    Trouble { status: None, code: None, reason, retry_after_ms: None, lost: false }
}
