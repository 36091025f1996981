//! The Twilio client, against a server that answers by a script.

mod arming;
mod ends;
mod reading;
mod records;
mod requests;
mod script;

use script::{Reply, Script, answer};
use secrecy::SecretString;
use std::time::Duration;
use taskrouter_streams::call::recording::Recorded;
use taskrouter_streams::call::sid::{CallSid, ConferenceSid, ReservationSid, TaskSid, WorkerSid};
use taskrouter_streams::call::step::{Command, Guard, Operation, Outcome, Read, StreamStart};
use taskrouter_streams::twilio::client::{Client, ClientSettings, Credentials, Performed, StreamDestination};
use taskrouter_streams::twilio::twiml::Track;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const WORKSPACE: &str = "WS00000000000000000000000000000001";
const TASK: &str = "WT00000000000000000000000000000001";
const CONFERENCE: &str = "CF00000000000000000000000000000001";
const CUSTOMER: &str = "CA00000000000000000000000000000001";
const AGENT: &str = "CA00000000000000000000000000000002";
const WORKER: &str = "WK00000000000000000000000000000001";
const RESERVATION: &str = "WR00000000000000000000000000000001";
const REQUEST: &str = "RQ00000000000000000000000000000001";
const SECRET: &str = "a-secret-that-must-not-show";

pub(crate) fn settings(base: &str) -> ClientSettings {
    ClientSettings {
        account_sid: ACCOUNT.parse().unwrap(),
        workspace_sid: WORKSPACE.parse().unwrap(),
        credentials: Credentials::AuthToken(SecretString::from(SECRET)),
        api_base_url: base.parse().unwrap(),
        taskrouter_base_url: base.parse().unwrap(),
        destinations: vec![
            StreamDestination { url: "wss://audio.example.com/a".into(), track: Track::BothTracks, confirms: false },
            StreamDestination {
                url: "wss://audio.example.com/b&c".into(),
                track: Track::InboundTrack,
                confirms: false,
            },
        ],
        status_url: "https://streams.example.com/streams/status".into(),
        proxy: None,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
        max_in_flight: 4,
        pool_idle: Duration::from_secs(30),
        answer_limit_bytes: 100_000,
        max_pages: 3,
    }
}

/// A client that gives up soon, for servers that say nothing.
fn impatient(base: &str) -> Client {
    Client::new(ClientSettings { request_timeout: Duration::from_millis(200), ..settings(base) }).unwrap()
}

/// Performs one operation against these replies.
async fn performed(operation: &Operation, replies: impl IntoIterator<Item = Reply>) -> (Performed, Script) {
    let script = Script::start(replies).await;
    let client = Client::new(settings(&script.url())).unwrap();
    (client.perform(operation).await, script)
}

/// The end of one operation that is answered so.
async fn outcome(operation: &Operation, status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
    let (performed, script) = performed(operation, [Reply::Bytes(answer(status, headers, body))]).await;
    script.only();
    performed.outcome
}

fn customer() -> CallSid {
    CUSTOMER.parse().unwrap()
}

fn conference() -> ConferenceSid {
    CONFERENCE.parse().unwrap()
}

fn task() -> TaskSid {
    TASK.parse().unwrap()
}

fn start(slot: usize) -> StreamStart {
    StreamStart {
        name: format!("Stream_{WORKER}_{RESERVATION}"),
        slot,
        tracks: 2,
        confirms: false,
        reservation: RESERVATION.parse::<ReservationSid>().unwrap(),
        worker: WORKER.parse::<WorkerSid>().unwrap(),
        task: task(),
        parameters: Vec::new(),
        resumes: None,
        altered: Vec::new(),
    }
}

fn fetch_task() -> Operation {
    Operation::Read(Read::Task { task: task() })
}

fn find_conference() -> Operation {
    Operation::Read(Read::FindConference { friendly_name: TASK.into() })
}

fn fetch_conference() -> Operation {
    Operation::Read(Read::Conference { conference: conference() })
}

fn read_participants() -> Operation {
    Operation::Read(Read::Participants { conference: conference() })
}

fn update_customer(guard: Option<Guard>, hold: Option<bool>) -> Operation {
    Operation::Command(Command::UpdateCustomer { conference: conference(), customer: customer(), guard, hold })
}

fn fetch_call() -> Operation {
    Operation::Read(Read::Call { call: customer() })
}

fn redirect_to(friendly_name: &str, stop: Vec<String>, start: Vec<StreamStart>) -> Operation {
    Operation::Command(Command::Redirect {
        customer: customer(),
        friendly_name: friendly_name.to_owned(),
        guard: Guard::Raised,
        read_at: 0,
        stop,
        start,
    })
}

fn redirect() -> Operation {
    redirect_to(TASK, vec![], vec![start(0)])
}

fn create_stream() -> Operation {
    Operation::Command(Command::CreateStream { customer: customer(), stream: start(0) })
}

pub(crate) fn stop_named(name: &str, sid: Option<&str>) -> Operation {
    let sid = sid.map(|sid| sid.parse().unwrap());
    Operation::Command(Command::StopStream { customer: customer(), name: name.to_owned(), sid, conclusive: true })
}

fn stop_stream() -> Operation {
    stop_named("Stream_1", None)
}

fn end_conference() -> Operation {
    Operation::Command(Command::EndConference { conference: conference() })
}

pub(crate) const RECORDING: &str = "RE00000000000000000000000000000001";

fn of_call() -> Recorded {
    Recorded::Call(customer())
}

fn of_conference() -> Recorded {
    Recorded::Conference(conference())
}

fn list_recordings(of: Recorded) -> Operation {
    Operation::Read(Read::Recordings { of })
}

fn pause_recording(of: Recorded, current: bool) -> Operation {
    Operation::Command(Command::PauseRecording { of, recording: RECORDING.parse().unwrap(), current })
}

fn resume_recording(of: Recorded) -> Operation {
    Operation::Command(Command::ResumeRecording { of, recording: RECORDING.parse().unwrap() })
}

/// What Twilio documents as the answer to a stop.
fn stopped() -> String {
    r#"{"sid": "MZ00000000000000000000000000000001", "status": "stopped"}"#.to_owned()
}

/// What Twilio documents as the answer to a redirect.
fn redirected() -> String {
    format!(r#"{{"sid": "{CUSTOMER}", "status": "in-progress"}}"#)
}

/// One of each.
fn every_operation() -> Vec<Operation> {
    vec![
        fetch_task(),
        find_conference(),
        fetch_conference(),
        read_participants(),
        fetch_call(),
        update_customer(Some(Guard::Lowered), None),
        redirect(),
        create_stream(),
        stop_stream(),
        end_conference(),
        list_recordings(of_call()),
        pause_recording(of_call(), true),
        resume_recording(of_conference()),
    ]
}
