//! The streams' sockets over real connections: what a destination hears, and what becomes of one that behaves badly.

use super::rest::Client;
use super::{TOKEN, simulator};
use crate::pace::scaled;
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use std::time::Duration;
use taskrouter_streams::call::sid::{StreamSid, TaskSid};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use twilio_simulator::consumer::{Consumer, Farewell, Heard, Misconduct, Transcript};
use twilio_simulator::world::{SocketFailure, StreamReport};
use twilio_simulator::{Ms, Route, SimConfig, Simulator};

const PUBLIC: &str = "wss://media.example";
const LIMIT: Duration = Duration::from_secs(10);

/// A simulated Twilio and a destination, and a customer who talks to alice.
struct Talk {
    sim: Simulator,
    consumer: Consumer,
    task: TaskSid,
}

impl Talk {
    async fn begin() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut SimConfig)) -> Self {
        let consumer = Consumer::start(PUBLIC, TOKEN.into()).await.unwrap();
        let mut config = SimConfig { sockets: vec![consumer.route()], ..SimConfig::default() };
        change(&mut config);
        let sim = simulator(config).await;
        let task = talking(&sim).await;
        Self { sim, consumer, task }
    }

    async fn streams(&self, name: &str, track: &str) {
        streams(&self.sim, &self.task, name, track).await;
    }

    async fn hears(&self, wanted: impl Fn(&[Heard]) -> bool) {
        assert!(self.consumer.until(wanted, scaled(LIMIT)).await, "{:#?}", self.consumer.heard());
    }

    async fn fails(&self) -> SocketFailure {
        fails(&self.sim, &self.task).await
    }

    async fn end(self) {
        self.sim.stop().await;
        self.consumer.stop().await;
    }
}

async fn talking(sim: &Simulator) -> TaskSid {
    let task = sim.act(|world| world.customer_calls()).await;
    sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    task
}

async fn streams(sim: &Simulator, task: &TaskSid, name: &str, track: &str) {
    let customer = sim.world(|world| world.report(task)).unwrap().customer.unwrap();
    let form = [
        ("Url", "wss://media.example/a"),
        ("Name", name),
        ("Track", track),
        ("Parameter1.Name", "who"),
        ("Parameter1.Value", "Zoë & co"),
    ];
    let answer = Client::of(sim).post(&format!("/Calls/{customer}/Streams.json"), &form).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// Waits until the newest stream has failed.
async fn fails(sim: &Simulator, task: &TaskSid) -> SocketFailure {
    let wait = async {
        loop {
            if let Some(failure) = stream(sim, task).failure {
                return failure;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(scaled(LIMIT), wait).await.expect("the stream does not fail")
}

fn stream(sim: &Simulator, task: &TaskSid) -> StreamReport {
    sim.world(|world| world.report(task)).unwrap().streams.pop().unwrap()
}

#[tokio::test]
async fn a_destination_hears_both_tracks_as_documented_until_the_stop() {
    let talk = Talk::begin().await;
    talk.streams("a", "both_tracks").await;
    talk.hears(|heard| heard.first().is_some_and(|heard| heard.total() >= 10)).await;
    let report = stream(&talk.sim, &talk.task);
    assert!(report.opened_at.is_some());
    let customer = talk.sim.world(|world| world.report(&talk.task)).unwrap().customer.unwrap();
    let stop = format!("/Calls/{customer}/Streams/{}.json", report.sid);
    Client::of(&talk.sim).post(&stop, &[("Status", "stopped")]).send().await.unwrap();
    assert!(talk.sim.quiet(scaled(LIMIT)).await);
    let heard = talk.consumer.heard().remove(0);
    assert!(heard.is_complete(), "{heard:?}");
    assert_eq!((&heard.path, &heard.stream, &heard.call), (&"/a".to_owned(), &Some(report.sid), &Some(customer)));
    assert_eq!(heard.parameters["who"], "Zoë & co");
    assert_eq!(heard.frames["inbound"], heard.frames["outbound"]);
    assert!(heard.began_at.unwrap() < heard.ended_at.unwrap());
    talk.end().await;
}

#[tokio::test]
async fn a_stream_of_one_track_has_that_one_only_and_ends_with_the_call() {
    let talk = Talk::begin().await;
    talk.streams("a", "inbound_track").await;
    talk.streams("b", "outbound_track").await;
    talk.hears(|heard| heard.len() == 2 && heard.iter().all(|heard| heard.total() > 0)).await;
    talk.sim.act(|world| world.customer_hangs_up(&talk.task)).await.unwrap();
    assert!(talk.sim.quiet(scaled(LIMIT)).await);
    let heard = talk.consumer.heard();
    let tracks: Vec<Vec<&String>> = heard.iter().map(|heard| heard.frames.keys().collect()).collect();
    assert_eq!(tracks, [["inbound"], ["outbound"]]);
    assert!(heard.iter().all(Heard::is_complete), "{heard:?}");
    talk.end().await;
}

#[tokio::test]
async fn a_stream_whose_address_leads_nowhere_near_opens_in_name_only() {
    let talk = Talk::with(|config| config.sockets[0].public = "wss://elsewhere.example".to_owned()).await;
    talk.streams("a", "both_tracks").await;
    assert!(talk.sim.quiet(scaled(LIMIT)).await);
    assert!(stream(&talk.sim, &talk.task).opened_at.is_some());
    assert_eq!(talk.consumer.heard(), []);
    talk.end().await;
}

/// The request itself, read by hand: its signature must not be checked by the code that made it.
#[tokio::test]
async fn the_handshake_bears_the_public_host_and_is_signed_over_the_public_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = Route { public: PUBLIC.to_owned(), local: format!("ws://{}/inner", listener.local_addr().unwrap()) };
    let sim = simulator(SimConfig { sockets: vec![route], ..SimConfig::default() }).await;
    let task = talking(&sim).await;
    streams(&sim, &task, "a", "both_tracks").await;
    let (mut tcp, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(b"wss://media.example/a");
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let signature = format!("x-twilio-signature: {signature}").to_ascii_lowercase();
    for line in ["get /inner/a http/1.1", "host: media.example", "upgrade: websocket", &signature] {
        assert!(head.lines().any(|found| found == line), "{line} is missing in {head}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_destination_with_another_token_refuses_and_the_stream_has_failed() {
    let consumer = Consumer::start(PUBLIC, "another token".into()).await.unwrap();
    let sim = simulator(SimConfig { sockets: vec![consumer.route()], ..SimConfig::default() }).await;
    let task = talking(&sim).await;
    streams(&sim, &task, "a", "both_tracks").await;
    assert_eq!(fails(&sim, &task).await, SocketFailure::Handshake);
    assert_eq!((consumer.forged(), consumer.heard()), (1, Vec::new()));
    sim.stop().await;
    consumer.stop().await;
}

#[tokio::test]
async fn a_destination_that_is_not_there_refuses_or_hangs_fails_the_stream_with_twilios_number() {
    let talk = Talk::with(|config| config.socket_connect_ms = 100).await;
    talk.consumer.misbehaves(Misconduct::Hangs, 1);
    talk.streams("a", "both_tracks").await;
    assert_eq!(talk.fails().await, SocketFailure::TimedOut);
    talk.end().await;

    let talk = Talk::begin().await;
    for status in [403, 503] {
        talk.consumer.misbehaves(Misconduct::Refuses(status), 1);
        talk.streams(&status.to_string(), "both_tracks").await;
        assert_eq!(talk.fails().await, SocketFailure::Handshake);
    }
    assert!(talk.sim.quiet(scaled(LIMIT)).await);
    assert_eq!(talk.sim.world(|world| world.snapshot(&talk.task)).unwrap().streams, Vec::<String>::new());
    talk.streams("well", "both_tracks").await;
    talk.hears(|heard| heard.len() == 1 && heard[0].total() > 0).await;
    talk.end().await;

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (local, failure) in [
        (format!("ws://{free}"), SocketFailure::Refused),
        (format!("wss://{free}"), SocketFailure::Unreachable),
        ("ws://".to_owned(), SocketFailure::Unreachable),
    ] {
        let route = Route { public: PUBLIC.to_owned(), local };
        let sim = simulator(SimConfig { sockets: vec![route], ..SimConfig::default() }).await;
        let task = talking(&sim).await;
        streams(&sim, &task, "a", "both_tracks").await;
        assert_eq!(fails(&sim, &task).await, failure);
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_destination_that_leaves_in_the_middle_fails_the_stream_which_is_not_opened_again() {
    for (farewell, failure) in
        [(Farewell::Closes, SocketFailure::ClosedByServer), (Farewell::Dies, SocketFailure::BrokenPipe)]
    {
        let talk = Talk::begin().await;
        talk.streams("a", "both_tracks").await;
        talk.hears(|heard| heard.first().is_some_and(|heard| heard.total() > 0)).await;
        let sid = stream(&talk.sim, &talk.task).sid;
        assert!(talk.consumer.ends(&sid, farewell));
        assert_eq!(talk.fails().await, failure);
        assert!(!talk.consumer.ends(&sid, farewell), "it is over already");
        assert!(talk.sim.quiet(scaled(LIMIT)).await);
        assert_eq!(talk.consumer.heard().len(), 1);
        talk.end().await;
    }
}

#[tokio::test]
async fn a_socket_that_dies_by_script_is_cut_without_a_stop() {
    let talk = Talk::begin().await;
    let worker = talk.sim.world(|world| world.agent_sid("alice")).unwrap();
    let customer = talk.sim.world(|world| world.report(&talk.task)).unwrap().customer.unwrap();
    let form =
        [("Url", "wss://media.example/a"), ("Parameter1.Name", "workerSid"), ("Parameter1.Value", worker.as_str())];
    Client::of(&talk.sim).post(&format!("/Calls/{customer}/Streams.json"), &form).send().await.unwrap();
    talk.hears(|heard| heard.first().is_some_and(|heard| heard.total() > 0)).await;
    talk.sim.act(|world| world.socket_dies(&talk.task, "alice")).await.unwrap();
    talk.hears(|heard| heard[0].closed).await;
    assert_eq!(talk.consumer.heard()[0].wrong, ["it ended without stop"]);
    assert_eq!(talk.fails().await, SocketFailure::ClosedByServer);
    talk.end().await;
}

#[tokio::test]
async fn a_stream_that_is_stopped_while_its_destination_hangs_is_over_at_once() {
    let talk = Talk::begin().await;
    talk.consumer.misbehaves(Misconduct::Hangs, 1);
    talk.streams("a", "both_tracks").await;
    let customer = talk.sim.world(|world| world.report(&talk.task)).unwrap().customer.unwrap();
    let stop = format!("/Calls/{customer}/Streams/a.json");
    assert_eq!(Client::of(&talk.sim).post(&stop, &[("Status", "stopped")]).send().await.unwrap().status(), 200);
    assert!(talk.sim.quiet(Duration::from_secs(4)).await, "it does not wait for the connect timeout of 5 s");
    let stream = stream(&talk.sim, &talk.task);
    assert_eq!((stream.opened_at, stream.failure), (None, None));
    talk.end().await;
}

#[tokio::test]
async fn stopping_the_simulator_ends_every_socket() {
    let talk = Talk::begin().await;
    talk.streams("a", "both_tracks").await;
    talk.hears(|heard| heard.first().is_some_and(|heard| heard.total() > 0)).await;
    let Talk { sim, consumer, .. } = talk;
    tokio::time::timeout(scaled(LIMIT), sim.stop()).await.unwrap();
    assert!(consumer.until(|heard| heard[0].closed, scaled(LIMIT)).await);
    tokio::time::timeout(scaled(LIMIT), consumer.stop()).await.unwrap();
}

const NOW: Ms = 1_760_000_000_000;
const STREAM: &str = "MZ00000000000000000000000000000001";
const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;

fn start() -> String {
    format!(
        r#"{{"event":"start","sequenceNumber":"1","streamSid":"{STREAM}","start":{{"accountSid":"AC1","streamSid":"{STREAM}","callSid":"CA00000000000000000000000000000001","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{}}}}}}"#
    )
}

fn media(sequence: u32, track: &str, bytes: usize) -> String {
    let payload = base64::engine::general_purpose::STANDARD.encode(vec![0xff; bytes]);
    format!(
        r#"{{"event":"media","sequenceNumber":"{sequence}","streamSid":"{STREAM}","media":{{"track":"{track}","chunk":"1","timestamp":"0","payload":"{payload}"}}}}"#
    )
}

fn stop(sequence: u32) -> String {
    format!(
        r#"{{"event":"stop","sequenceNumber":"{sequence}","streamSid":"{STREAM}","stop":{{"accountSid":"AC1","callSid":"CA00000000000000000000000000000001"}}}}"#
    )
}

fn heard(messages: &[String]) -> Heard {
    let mut transcript = Transcript::of("/a");
    messages.iter().for_each(|message| transcript.take(message, NOW));
    transcript.closed(true);
    transcript.heard().clone()
}

#[test]
fn a_transcript_in_order_is_complete() {
    let heard = heard(&[CONNECTED.to_owned(), start(), media(2, "inbound", 160), stop(3)]);
    assert!(heard.is_complete(), "{heard:?}");
    assert_eq!(heard.stream, STREAM.parse::<StreamSid>().ok());
    assert_eq!((heard.total(), heard.began_at), (1, Some(NOW)));
}

#[test]
fn whatever_is_not_as_documented_is_remarked() {
    let connected = || CONNECTED.to_owned();
    let cases = [
        (vec![start()], "start came out of turn"),
        (vec![connected(), media(1, "inbound", 160)], "media came out of turn"),
        (vec![connected(), start(), start()], "start came out of turn"),
        (vec![connected(), start(), media(3, "inbound", 160)], "gap"),
        (vec![connected(), start(), media(2, "outbound", 160)], "did not tell"),
        (vec![connected(), start(), media(2, "inbound", 159)], "160 bytes"),
        (vec![connected(), start(), media(2, "inbound", 160).replace(STREAM, "MZ2")], "another stream"),
        (vec![connected(), start(), stop(2), media(3, "inbound", 160)], "media came out of turn"),
        (vec![connected(), start()], "ended without stop"),
        (vec![connected(), start().replace("8000", "16000")], "media format"),
        (vec![connected(), start().replace("\"1\"", "1")], "cannot be read"),
        (vec![connected(), r#"{"event":"mark"}"#.to_owned()], "cannot be read"),
    ];
    for (messages, remark) in cases {
        let wrong = heard(&messages).wrong;
        assert!(wrong.iter().any(|found| found.contains(remark)), "{remark}: {wrong:?}");
    }
}
