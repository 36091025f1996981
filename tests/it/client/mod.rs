//! The Twilio client, against a server that answers by a script.

mod ends;
mod reading;
mod requests;
mod script;

use script::{Reply, Script, answer};
use secrecy::SecretString;
use std::time::Duration;
use taskrouter_streams::call::sid::{CallSid, ConferenceSid, ReservationSid, TaskSid, WorkerSid};
use taskrouter_streams::call::step::{Guard, Operation, Outcome, StreamStart};
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

fn settings(base: &str) -> ClientSettings {
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
        reservation: RESERVATION.parse::<ReservationSid>().unwrap(),
        worker: WORKER.parse::<WorkerSid>().unwrap(),
        task: task(),
        parameters: Vec::new(),
    }
}

fn fetch_task() -> Operation {
    Operation::FetchTask { task: task() }
}

fn find_conference() -> Operation {
    Operation::FindConference { friendly_name: TASK.into() }
}

fn fetch_conference() -> Operation {
    Operation::FetchConference { conference: conference() }
}

fn read_participants() -> Operation {
    Operation::ReadParticipants { conference: conference() }
}

fn update_customer(guard: Option<Guard>, hold: Option<bool>) -> Operation {
    Operation::UpdateCustomer { conference: conference(), customer: customer(), guard, hold }
}

fn redirect() -> Operation {
    Operation::Redirect { customer: customer(), room: TASK.into(), stop: vec![], start: vec![start(0)] }
}

fn stop_stream() -> Operation {
    Operation::StopStream { customer: customer(), name: "Stream_1".into(), sid: None }
}

/// One of each.
fn every_operation() -> Vec<Operation> {
    vec![
        fetch_task(),
        find_conference(),
        fetch_conference(),
        read_participants(),
        update_customer(Some(Guard::Lowered), None),
        redirect(),
        stop_stream(),
    ]
}
