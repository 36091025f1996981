//! Events over real sockets: signed, in order, and with the mishaps of the way.

use super::{TOKEN, simulator};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use taskrouter_streams::sim::callbacks::{Delivered, Destination, Mishap, Overrides};
use taskrouter_streams::sim::{Behaviour, Simulator};

const SIGNED_URL: &str = "https://worker.example/taskrouter/events";

#[derive(Default)]
struct Inbox {
    /// Signature and body of each request, as they came.
    seen: Mutex<Vec<(String, String)>>,
    /// Statuses of the next answers; 204 when there are none.
    answers: Mutex<VecDeque<u16>>,
}

impl Inbox {
    fn types(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(_, body)| parameter(body, "EventType")).collect()
    }
}

fn parameter(body: &str, name: &str) -> String {
    form_urlencoded::parse(body.as_bytes()).find(|(found, _)| found == name).unwrap().1.into_owned()
}

/// A simulator and a worker that only writes down what it is told.
async fn posting(fragment: &str) -> (Simulator, Arc<Inbox>, actix_web::dev::ServerHandle) {
    let sim = simulator(Behaviour::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let post_url = format!("http://{}/taskrouter/events", listener.local_addr().unwrap());
    let inbox = Arc::new(Inbox::default());
    let data = web::Data::from(inbox.clone());
    let app = move || App::new().app_data(data.clone()).route("/taskrouter/events", web::post().to(take));
    let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
    let handle = server.handle();
    tokio::spawn(server);
    let overrides = Overrides::from_fragment(fragment);
    sim.post_events_to(Destination { signed_url: SIGNED_URL.to_owned(), post_url, overrides });
    (sim, inbox, handle)
}

async fn take(request: HttpRequest, body: web::Bytes, inbox: web::Data<Inbox>) -> HttpResponse {
    let signature = request.headers().get("X-Twilio-Signature").unwrap().to_str().unwrap().to_owned();
    inbox.seen.lock().unwrap().push((signature, String::from_utf8(body.to_vec()).unwrap()));
    let status = inbox.answers.lock().unwrap().pop_front().unwrap_or(204);
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).finish()
}

#[tokio::test]
async fn every_event_is_signed_over_the_public_url_and_the_decoded_form() {
    let (sim, inbox, server) = posting("").await;
    sim.customer_calls().await;
    for (signature, body) in inbox.seen.lock().unwrap().iter() {
        let mut pairs: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        pairs.sort();
        let text = pairs.into_iter().fold(SIGNED_URL.to_owned(), |text, (key, value)| text + &key + &value);
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(TOKEN.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let expected = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(signature, &expected);
    }
    assert_eq!(inbox.types(), ["task.created", "reservation.created"]);
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn a_verb_returns_when_its_events_are_answered_and_the_answers_are_on_record() {
    let (sim, inbox, server) = posting("").await;
    let task = sim.customer_calls().await;
    sim.accepts(&task, "alice").await.unwrap();
    assert_eq!(inbox.types(), ["task.created", "reservation.created", "reservation.accepted"]);
    assert!(sim.deliveries().iter().all(|delivery| delivery.outcome == Delivered::Answered(204)));
    sim.stop().await;
    server.stop(false).await;
}

#[tokio::test]
async fn a_dropped_event_never_arrives_and_a_duplicated_one_arrives_twice_with_one_sid() {
    let (sim, inbox, server) = posting("").await;
    sim.mishap(Some("task.created"), Mishap::Dropped);
    sim.mishap(Some("reservation.created"), Mishap::Duplicated);
    sim.customer_calls().await;
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
    sim.mishap(Some("task.created"), Mishap::Swapped);
    let task = sim.customer_calls().await;
    assert!(sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(inbox.types(), ["reservation.created", "task.created"]);
    sim.mishap(Some("reservation.rejected"), Mishap::Delayed(30));
    sim.rejects(&task, "alice").await.unwrap();
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
        sim.customer_calls().await;
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
    let sim = simulator(Behaviour::default()).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let post_url = format!("http://{port}/taskrouter/events");
    sim.post_events_to(Destination { signed_url: SIGNED_URL.to_owned(), post_url, overrides: Overrides::default() });
    sim.customer_calls().await;
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
