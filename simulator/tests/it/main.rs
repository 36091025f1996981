//! The simulator itself: Twilio's rules one by one, then its doors over real sockets, and the program.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod call_outlives;
mod callbacks;
mod demo;
mod faults;
mod media;
mod media_streams;
mod openapi;
mod others;
#[path = "../../../tests/it/pace.rs"]
mod pace;
mod recorded;
mod resources;
mod rest;
mod scenarios;
mod second_task;
mod serve;
mod taskrouter;
mod twiml;
mod voice;

use serde_json::Value;
use std::process::{Command, Stdio};
use taskrouter_streams::call::sid::{CallSid, ConferenceSid, TaskSid};
use twilio_simulator::world::{
    CallAction, Event, ListQuery, ParticipantChange, Reply, Request, StreamOrder, TwimlSource, World,
};
use twilio_simulator::{Ms, Settings, SimConfig, Simulator};

const ACCOUNT: &str = "AC0000000000000000000000000000ac01";
const WORKSPACE: &str = "WS0000000000000000000000000000a501";
const TOKEN: &str = "an auth token of the tests";
const START: Ms = 1_760_000_000_000;

/// The program as its users start it.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twilio-simulator"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn world(config: SimConfig) -> World {
    World::new(config, ACCOUNT.parse().unwrap(), WORKSPACE.parse().unwrap(), START)
}

async fn simulator(config: SimConfig) -> Simulator {
    let settings = Settings {
        config,
        account: ACCOUNT.parse().unwrap(),
        auth_token: TOKEN.into(),
        api_key: Some(("SK00000000000000000000000000005e01".to_owned(), "the key's secret".into())),
        workspace: WORKSPACE.parse().unwrap(),
    };
    Simulator::start(settings).await.unwrap()
}

/// A call that alice has accepted, and what a test needs to get at it.
struct Talk {
    world: World,
    now: Ms,
    task: TaskSid,
    customer: CallSid,
    conference: ConferenceSid,
}

impl Talk {
    fn begin(config: SimConfig) -> Self {
        let mut world = world(config);
        let task = world.advance(START).customer_calls();
        world.advance(START).accepts(&task, "alice").unwrap();
        let customer = world.report(&task).unwrap().customer.unwrap();
        let conference = world.conference(&task).unwrap();
        world.take_events();
        Self { world, now: START, task, customer, conference }
    }

    fn happens(&mut self, action: CallAction) {
        self.world.advance(self.now).happens(&self.task, action).unwrap();
    }

    /// The service acknowledges all that it has been told so far.
    fn acknowledge(&mut self) {
        for event in self.world.advance(self.now).take_events() {
            self.world.acknowledged(&event.sid);
        }
    }

    /// The rows of the conference, the customer's first.
    fn rows(&mut self) -> Vec<Value> {
        let conference = self.conference.to_string();
        let body = self.perform(&Request::ListParticipants { conference, query: ListQuery::default() }).body;
        let mut rows = body["participants"].as_array().unwrap().clone();
        rows.sort_by_key(|row| row["call_sid"] != self.customer.as_str());
        rows
    }

    fn wait(&mut self, span: Ms) {
        self.now += span;
        self.world.advance(self.now);
    }

    fn perform(&mut self, request: &Request) -> Reply {
        self.world.advance(self.now).perform(request, "/2010-04-01/some/path.json")
    }

    fn update(&mut self, guard: Option<bool>, hold: Option<bool>) -> Reply {
        let (conference, call) = (self.conference.to_string(), self.customer.to_string());
        self.perform(&Request::UpdateParticipant { conference, call, change: change(guard, hold) })
    }

    fn redirect(&mut self, twiml: &str) -> Reply {
        let call = self.customer.to_string();
        self.perform(&Request::RedirectCall { call, source: TwimlSource::Inline(twiml.to_owned()) })
    }

    fn create(&mut self, order: StreamOrder) -> Reply {
        let call = self.customer.to_string();
        self.perform(&Request::CreateStream { call, order })
    }

    fn stop(&mut self, stream: &str) -> Reply {
        let call = self.customer.to_string();
        self.perform(&Request::StopStream { call, stream: stream.to_owned() })
    }

    /// The customer's row, or the refusal's status.
    fn row(&mut self) -> Result<Value, u16> {
        let (conference, call) = (self.conference.to_string(), self.customer.to_string());
        let reply = self.perform(&Request::FetchParticipant { conference, call });
        if reply.status == 200 { Ok(reply.body) } else { Err(reply.status) }
    }

    fn participants(&mut self) -> usize {
        let conference = self.conference.to_string();
        let reply = self.perform(&Request::ListParticipants { conference, query: ListQuery::default() });
        reply.body["participants"].as_array().unwrap().len()
    }

    fn conference_status(&mut self) -> String {
        let conference = self.conference.to_string();
        self.perform(&Request::FetchConference { conference }).body["status"].as_str().unwrap().to_owned()
    }

    fn call_status(&mut self) -> String {
        let call = self.customer.to_string();
        self.perform(&Request::FetchCall { call }).body["status"].as_str().unwrap().to_owned()
    }

    fn rejoin(&self, streams: &str) -> String {
        rejoin(streams, self.task.as_str())
    }

    fn violations(&self) -> Vec<String> {
        self.world.violations().iter().map(ToString::to_string).collect()
    }

    fn events(&mut self) -> Vec<String> {
        self.world.take_events().iter().map(told).collect()
    }
}

fn change(guard: Option<bool>, hold: Option<bool>) -> ParticipantChange {
    ParticipantChange { guard, hold, ..ParticipantChange::default() }
}

fn rejoin(streams: &str, room: &str) -> String {
    format!(
        "<Response>{streams}<Dial><Conference beep=\"false\" endConferenceOnExit=\"true\">{room}</Conference></Dial></Response>"
    )
}

fn start(name: &str) -> String {
    format!("<Start><Stream name=\"{name}\" url=\"wss://media.example/a\" track=\"both_tracks\"/></Start>")
}

/// The same by the Streams resource.
fn order(name: &str) -> StreamOrder {
    StreamOrder {
        url: Some("wss://media.example/a".to_owned()),
        name: Some(name.to_owned()),
        track: Some("both_tracks".to_owned()),
        ..StreamOrder::default()
    }
}

async fn json(answer: reqwest::Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// An event as "reservation.wrapup reserved": its type and the task's status.
fn told(event: &Event) -> String {
    let status = event.form.iter().find(|(name, _)| name == "TaskAssignmentStatus").unwrap();
    format!("{} {}", event.event_type, status.1)
}
