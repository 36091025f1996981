//! Events over real sockets: signed, in order, and with the mishaps of the way.

use super::rest::Client;
use super::{ACCOUNT, TOKEN, simulator};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::StatusCode;
use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use taskrouter_streams::call::sid::TaskSid;
use twilio_simulator::callbacks::{Delivered, DeliveryFault, Destination, Overrides};
use twilio_simulator::world::SocketFailure;
use twilio_simulator::{Route, SimConfig, Simulator};

const PUBLIC_URL: &str = "https://worker.example";
const STATUS_URL: &str = "https://worker.example/streams/status?task=WT1&x=%26";
const SIGNED_URL: &str = "https://worker.example/taskrouter/events";

#[derive(Default)]
struct Inbox {
    /// Signature and body of each request, as they came.
    seen: Mutex<Vec<(String, String)>>,
    /// Path and query of each.
    targets: Mutex<Vec<String>>,
    /// Statuses of the next answers; 204 when there are none.
    answers: Mutex<VecDeque<u16>>,
}

impl Inbox {
    fn types(&self) -> Vec<String> {
        let mut bodies: Vec<_> = self.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
        bodies.retain(|body| body.contains("EventType="));
        bodies.iter().map(|body| parameter(body, "EventType")).collect()
    }

    /// The streams' callbacks, as in "stream-started a", in the order in which they came.
    fn streams(&self) -> Vec<String> {
        let mut bodies: Vec<_> = self.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
        bodies.retain(|body| body.contains("StreamEvent="));
        let told = |body: &String| format!("{} {}", parameter(body, "StreamEvent"), parameter(body, "StreamName"));
        bodies.iter().map(told).collect()
    }
}

fn parameter(body: &str, name: &str) -> String {
    form_urlencoded::parse(body.as_bytes()).find(|(found, _)| found == name).unwrap().1.into_owned()
}

/// A simulator and a worker that only writes down what it is told.
async fn posting(fragment: &str) -> (Simulator, Arc<Inbox>, actix_web::dev::ServerHandle) {
    posting_with(SimConfig::default(), fragment).await
}

async fn posting_with(config: SimConfig, fragment: &str) -> (Simulator, Arc<Inbox>, actix_web::dev::ServerHandle) {
    let sim = simulator(config).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = format!("http://{}", listener.local_addr().unwrap());
    let inbox = Arc::new(Inbox::default());
    let data = web::Data::from(inbox.clone());
    let app = move || {
        let app = App::new().app_data(data.clone()).route("/taskrouter/events", web::post().to(take));
        app.route("/streams/status", web::post().to(take))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
    let handle = server.handle();
    tokio::spawn(server);
    let route = Route { public: PUBLIC_URL.to_owned(), local };
    sim.post_events_to(Destination { events_url: format!("{SIGNED_URL}#{fragment}"), route });
    (sim, inbox, handle)
}

async fn take(request: HttpRequest, body: web::Bytes, inbox: web::Data<Inbox>) -> HttpResponse {
    inbox.targets.lock().unwrap().push(request.uri().to_string());
    let signature = request.headers().get("X-Twilio-Signature").unwrap().to_str().unwrap().to_owned();
    inbox.seen.lock().unwrap().push((signature, String::from_utf8(body.to_vec()).unwrap()));
    let status = inbox.answers.lock().unwrap().pop_front().unwrap_or(204);
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).finish()
}

/// The signature as Twilio documents it.
fn signed(url: &str, body: &str) -> String {
    let mut pairs: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    pairs.sort();
    let text = pairs.into_iter().fold(url.to_owned(), |text, (key, value)| text + &key + &value);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn every_event_is_signed_over_the_public_url_and_the_decoded_form() {
    let (sim, inbox, server) = posting("").await;
    sim.act(|world| world.customer_calls()).await;
    for (signature, body) in inbox.seen.lock().unwrap().iter() {
        assert_eq!(signature, &signed(SIGNED_URL, body));
    }
    assert_eq!(inbox.types(), ["task.created", "reservation.created"]);
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn a_verb_returns_when_its_events_are_answered_and_the_answers_are_on_record() {
    let (sim, inbox, server) = posting("").await;
    let task = sim.act(|world| world.customer_calls()).await;
    sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    assert_eq!(inbox.types(), ["task.created", "reservation.created", "reservation.accepted"]);
    assert!(sim.deliveries().iter().all(|delivery| delivery.outcome == Delivered::Answered(204)));
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn a_dropped_event_never_arrives_and_a_duplicated_one_arrives_twice_with_one_sid() {
    let (sim, inbox, server) = posting("").await;
    sim.delivery_fault(Some("task.created"), DeliveryFault::Dropped);
    sim.delivery_fault(Some("reservation.created"), DeliveryFault::Duplicated);
    sim.act(|world| world.customer_calls()).await;
    assert!(sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(inbox.types(), ["reservation.created", "reservation.created"]);
    let seen = inbox.seen.lock().unwrap().clone();
    assert_eq!(parameter(&seen[0].1, "Sid"), parameter(&seen[1].1, "Sid"));
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn a_swapped_event_follows_the_next_one_and_a_delayed_one_comes_later() {
    let (sim, inbox, server) = posting("").await;
    sim.delivery_fault(Some("task.created"), DeliveryFault::Swapped);
    let task = sim.act(|world| world.customer_calls()).await;
    assert!(sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(inbox.types(), ["reservation.created", "task.created"]);
    sim.delivery_fault(Some("reservation.rejected"), DeliveryFault::Delayed(30));
    sim.act(|world| world.rejects(&task, "alice")).await.unwrap();
    assert!(sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(inbox.types()[2..], ["reservation.created", "reservation.rejected"]);
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn an_answer_of_503_is_retried_only_when_the_fragment_says_so() {
    for (fragment, attempts) in [("", 1), ("rc=3&rp=5xx,ct,rt", 3)] {
        let (sim, inbox, server) = posting(fragment).await;
        inbox.answers.lock().unwrap().extend([503, 503]);
        sim.act(|world| world.customer_calls()).await;
        let first = sim.deliveries()[0].event.clone();
        let outcomes: Vec<_> = sim
            .deliveries()
            .iter()
            .filter(|delivery| delivery.event == first)
            .map(|delivery| delivery.outcome)
            .collect();
        assert_eq!(outcomes.len(), attempts, "{outcomes:?}");
        assert_eq!(outcomes.last() == Some(&Delivered::Answered(204)), attempts == 3);
        sim.stop().await;
        server.stop(false).await;
    }
}

#[tokio::test]
async fn without_a_connection_an_event_is_tried_once_more_and_given_up() {
    let sim = simulator(SimConfig::default()).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let route = Route { public: PUBLIC_URL.to_owned(), local: format!("http://{port}") };
    sim.post_events_to(Destination { events_url: SIGNED_URL.to_owned(), route });
    sim.act(|world| world.customer_calls()).await;
    let outcomes: Vec<_> = sim.deliveries().iter().map(|delivery| (delivery.attempt, delivery.outcome)).collect();
    let twice = [(1, Delivered::NoConnection), (2, Delivered::NoConnection)];
    assert_eq!(outcomes, [twice, twice].concat());
    sim.stop().await;
}

#[test]
fn a_fragment_is_read_within_twilios_limits() {
    let read = Overrides::from_fragment("rc=9&rp=5xx,rt&rt=4000&nonsense=1");
    let expected = Overrides {
        retries: 5,
        on_4xx: false,
        on_5xx: true,
        on_connect: false,
        on_read: true,
        read_timeout_ms: 4_000,
        total_timeout_ms: 15_000,
    };
    assert_eq!(read, expected);
    assert_eq!(Overrides::from_fragment(""), Overrides::default());
}

/// A stream of alice's by the Streams resource, whose callbacks go to the worker.
async fn streams(sim: &Simulator, task: &TaskSid, name: &str) -> StatusCode {
    streams_telling(sim, task, name, STATUS_URL).await
}

async fn streams_telling(sim: &Simulator, task: &TaskSid, name: &str, callback: &str) -> StatusCode {
    let customer = sim.world(|world| world.report(task)).unwrap().customer.unwrap();
    let worker = sim.world(|world| world.agent_sid("alice")).unwrap();
    let form = [
        ("Url", "wss://media.example/a"),
        ("Name", name),
        ("StatusCallback", callback),
        ("Parameter1.Name", "workerSid"),
        ("Parameter1.Value", worker.as_str()),
    ];
    Client::of(sim).post(&format!("/Calls/{customer}/Streams.json"), &form).send().await.unwrap().status()
}

async fn talking_to(sim: &Simulator) -> TaskSid {
    let task = sim.act(|world| world.customer_calls()).await;
    sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    task
}

#[tokio::test]
async fn a_streams_callbacks_are_signed_over_its_own_url_with_its_query() {
    let (sim, inbox, server) = posting("").await;
    let task = talking_to(&sim).await;
    assert_eq!(streams(&sim, &task, "a").await, StatusCode::OK);
    assert!(sim.quiet(Duration::from_secs(5)).await);
    sim.act(|world| world.customer_hangs_up(&task)).await.unwrap();
    assert_eq!(inbox.streams(), ["stream-started a", "stream-stopped a"]);
    let stream = sim.world(|world| world.report(&task)).unwrap().streams.remove(0);
    let seen = inbox.seen.lock().unwrap().clone();
    let (signature, body) = seen.iter().find(|(_, body)| body.contains("stream-started")).unwrap();
    assert_eq!(signature, &signed(STATUS_URL, body));
    assert_eq!(parameter(body, "AccountSid"), ACCOUNT);
    assert_eq!(parameter(body, "CallSid"), sim.world(|world| world.report(&task)).unwrap().customer.unwrap().as_str());
    assert_eq!(parameter(body, "StreamSid"), stream.sid.as_str());
    let at: jiff::Timestamp = parameter(body, "Timestamp").parse().unwrap();
    assert_eq!(Some(at.as_millisecond()), stream.opened_at);
    assert!(!body.contains("StreamError"), "{body}");
    assert!(inbox.targets.lock().unwrap().contains(&"/streams/status?task=WT1&x=%26".to_owned()));
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn a_destination_that_refuses_or_hangs_is_told_of_after_the_stream_was_accepted() {
    let (sim, inbox, server) = posting("").await;
    let task = talking_to(&sim).await;
    for (failure, error) in [(SocketFailure::Handshake, "31920"), (SocketFailure::Refused, "31902")] {
        sim.world(|world| world.next_sockets_fail(failure, 1));
        assert_eq!(streams(&sim, &task, error).await, StatusCode::OK);
        assert!(sim.quiet(Duration::from_secs(5)).await);
        assert_eq!(inbox.streams().last().unwrap(), &format!("stream-error {error}"));
        let seen = inbox.seen.lock().unwrap().clone();
        assert!(parameter(&seen.last().unwrap().1, "StreamError").starts_with(error));
    }
    assert_eq!(sim.world(|world| world.snapshot(&task)).unwrap().streams, Vec::<String>::new());
    assert_eq!(streams(&sim, &task, "well").await, StatusCode::OK);
    assert!(sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(sim.world(|world| world.snapshot(&task)).unwrap().streams, ["alice"]);
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn a_socket_that_dies_ends_its_stream_and_is_told_of_once() {
    let (sim, inbox, server) = posting("").await;
    let task = talking_to(&sim).await;
    assert!(sim.act(|world| world.socket_dies(&task, "alice")).await.is_err(), "there is none yet");
    streams(&sim, &task, "a").await;
    assert!(sim.quiet(Duration::from_secs(5)).await);
    sim.act(|world| world.socket_dies(&task, "alice")).await.unwrap();
    sim.act(|world| world.customer_hangs_up(&task)).await.unwrap();
    assert_eq!(inbox.streams(), ["stream-started a", "stream-error a"]);
    let stream = sim.world(|world| world.report(&task)).unwrap().streams.remove(0);
    assert_eq!((stream.failure, stream.ended_with_call), (Some(SocketFailure::ClosedByServer), false));
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn the_mishaps_of_the_way_befall_a_streams_callbacks_by_name_only() {
    let (sim, inbox, server) = posting("").await;
    let task = talking_to(&sim).await;
    sim.delivery_fault(Some("stream-started"), DeliveryFault::Dropped);
    sim.delivery_fault(Some("stream-stopped"), DeliveryFault::Duplicated);
    sim.delivery_fault(None, DeliveryFault::Dropped);
    streams(&sim, &task, "a").await;
    assert!(sim.quiet(Duration::from_secs(5)).await);
    sim.act(|world| world.customer_hangs_up(&task)).await.unwrap();
    assert!(sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(inbox.streams(), ["stream-stopped a", "stream-stopped a"]);
    assert!(!inbox.types().contains(&"reservation.wrapup".to_owned()), "{:?}", inbox.types());
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn the_settings_lose_every_callback_of_a_kind_and_delay_the_others() {
    let lost =
        SimConfig { callbacks_lost: vec!["stream-started".to_owned()], callbacks_late_ms: 500, ..SimConfig::default() };
    let (sim, inbox, server) = posting_with(lost, "").await;
    let task = talking_to(&sim).await;
    for name in ["a", "b"] {
        streams(&sim, &task, name).await;
    }
    assert!(sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(inbox.streams(), Vec::<String>::new());
    sim.act(|world| world.customer_hangs_up(&task)).await.unwrap();
    assert_eq!(inbox.streams(), Vec::<String>::new(), "they are late");
    assert!(sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(inbox.streams().len(), 2);
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn a_swapped_callback_follows_the_next_one_of_the_streams() {
    let (sim, inbox, server) = posting("").await;
    let task = talking_to(&sim).await;
    sim.delivery_fault(Some("stream-started"), DeliveryFault::Swapped);
    streams(&sim, &task, "a").await;
    assert!(sim.quiet(Duration::from_secs(5)).await);
    sim.act(|world| world.customer_hangs_up(&task)).await.unwrap();
    assert!(sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(inbox.streams(), ["stream-stopped a", "stream-started a"]);
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn a_streams_callback_is_tried_again_as_the_fragment_of_its_own_url_says() {
    let (sim, inbox, server) = posting("rc=3&rp=5xx,ct,rt").await;
    let task = talking_to(&sim).await;
    for (name, fragment, attempts) in [("once", "", 1), ("thrice", "#rc=2&rp=5xx", 3)] {
        inbox.answers.lock().unwrap().extend([503, 503]);
        streams_telling(&sim, &task, name, &format!("{STATUS_URL}{fragment}")).await;
        assert!(sim.quiet(Duration::from_secs(5)).await);
        inbox.answers.lock().unwrap().clear();
        let told = inbox.streams().iter().filter(|told| **told == format!("stream-started {name}")).count();
        assert_eq!(told, attempts, "{name}");
    }
    let seen = inbox.seen.lock().unwrap().clone();
    let (signature, body) = seen.last().unwrap();
    assert_eq!(signature, &signed(STATUS_URL, body), "the fragment is not signed");
    sim.stop().await;
    server.stop(false).await;
}
