//! The signed door over real sockets.

use crate::pace::scaled;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::future::{pending, ready};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use taskrouter_streams::http::{AdminSettings, ConnectionLimits, IngressAccount, IngressSettings, admin, public};
use taskrouter_streams::journal::{
    Backlog, Clock, Ingest, Ingested, JournalError, MachineTime, NewFact, Promise, Storage, Timekeeping, Workload,
};
use taskrouter_streams::telemetry::metrics::Metrics;
use taskrouter_streams::telemetry::traces::Traces;
use taskrouter_streams::twilio::assignment::ConferenceInstruction;
use taskrouter_streams::twilio::interest::Interest;
use taskrouter_streams::twilio::signature::{Verifier, sign};
use tokio::sync::{Notify, Semaphore};

pub(crate) const BASE: &str = "https://a.example";
pub(crate) const ADMIN: AdminSettings = AdminSettings { connections: 64, shutdown_grace_s: 1 };
pub(crate) const TARGET: &str = "/taskrouter/events";
const STREAMS: &str = "/taskrouter/event-streams";
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// Keeps identities; each `ingest` waits for a permit to commit.
pub(crate) struct Fake {
    pub(crate) kept: Mutex<Vec<String>>,
    entered: Notify,
    permits: Semaphore,
    overloaded: bool,
    clock: Clock,
}

pub(crate) fn fake(permits: usize, overloaded: bool) -> Arc<Fake> {
    fake_at(Clock::of_machine(MachineTime::default(), None), permits, overloaded)
}

pub(crate) fn fake_at(clock: Clock, permits: usize, overloaded: bool) -> Arc<Fake> {
    let (kept, permits) = (Mutex::default(), Semaphore::new(permits));
    Arc::new(Fake { kept, entered: Notify::new(), permits, overloaded, clock })
}

impl Timekeeping for Fake {
    fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Ingest for Fake {
    fn ingest(&self, fact: NewFact) -> Promise<'_, Ingested> {
        Box::pin(async move {
            if self.overloaded {
                return Err(JournalError::Overloaded { limit: 1 });
            }
            self.entered.notify_one();
            self.permits.acquire().await.unwrap().forget();
            let mut kept = self.kept.lock().unwrap();
            if kept.contains(&fact.identity) {
                return Ok(Ingested::Duplicate);
            }
            kept.push(fact.identity);
            Ok(Ingested::New)
        })
    }
}

impl Workload for Fake {
    fn ready(&self) -> Promise<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn backlog(&self) -> Promise<'_, Backlog> {
        let answer = if self.overloaded { Err(JournalError::Overloaded { limit: 1 }) } else { Ok(Backlog::default()) };
        Box::pin(ready(answer))
    }

    fn storage(&self) -> Promise<'_, Storage> {
        Box::pin(ready(Ok(Storage::default())))
    }
}

pub(crate) fn sid(prefix: &str, n: u32) -> String {
    format!("{prefix}{n:032x}")
}

/// The account of this number, with these tokens and the workspace of the same number.
pub(crate) fn account(number: u32, tokens: &[&str]) -> IngressAccount {
    IngressAccount {
        verifier: Verifier::new(BASE, tokens.iter().map(|token| SecretString::from(*token)).collect()).unwrap(),
        account: sid("AC", number).parse().unwrap(),
        workspace: sid("WS", number).parse().unwrap(),
        interest: Interest::default(),
    }
}

pub(crate) fn serve(journal: Arc<Fake>, private: bool) -> SocketAddr {
    serve_all(journal, vec![account(1, &["token"])], private)
}

pub(crate) fn serve_all(journal: Arc<Fake>, accounts: Vec<IngressAccount>, private: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let metrics = Arc::new(Metrics::new("0", "0"));
        actix_web::rt::System::new().block_on(async move {
            if private {
                return admin(journal, metrics, |_| {}, listener, ADMIN).unwrap().run().await;
            }
            public(settings(accounts), journal, metrics, listener).unwrap().run().await
        })
    });
    address
}

pub(crate) fn settings(accounts: Vec<IngressAccount>) -> IngressSettings {
    IngressSettings {
        witness: None,
        pauses: None,
        accounts,
        traces: Traces::default(),
        outage: Arc::default(),
        assignment: Some(ConferenceInstruction { from: None, ring: Duration::from_secs(20) }),
        body_limit_bytes: 256 * 1024,
        form_pairs_limit: 500,
        event_streams_body_limit_bytes: 8 * 1024 * 1024,
        event_streams_bytes_limit: 64 * 1024 * 1024,
        ingest_at_once: 300,
        late_after: Duration::from_secs(240 * 60),
        retry_after_s: 7,
        threads: 1,
        client_timeout: Duration::from_secs(2),
        keep_alive: Duration::from_secs(1),
        connections: ConnectionLimits {
            max: 100,
            per_peer: 100,
            uncapped: vec!["127.0.0.0/8".parse().unwrap()],
            head_bytes: 16 * 1024,
            unverified_bytes: 32 * 1024 * 1024,
        },
        shutdown_grace_s: 1,
    }
}

pub(crate) fn send(address: SocketAddr, raw: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(raw).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

pub(crate) fn raw(target: &str, media_type: &str, signatures: &[&str], body: &[u8]) -> Vec<u8> {
    let lines: String = signatures.iter().map(|s| format!("X-Twilio-Signature: {s}\r\n")).collect();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {media_type}\r\n{lines}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn event(account: u32, workspace: u32) -> (String, String) {
    let pairs = [
        ("EventType", "task.created".to_owned()),
        ("AccountSid", sid("AC", account)),
        ("WorkspaceSid", sid("WS", workspace)),
        ("Sid", sid("EV", 1)),
        ("Timestamp", "1760000005".to_owned()),
        ("TaskSid", sid("WT", 1)),
    ];
    let body = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("&");
    (body, sign(&format!("{BASE}{TARGET}"), &pairs, "token"))
}

#[test]
fn only_what_was_signed_for_us_is_let_in() {
    let journal = fake(9, false);
    let address = serve(journal.clone(), false);
    let (body, good) = event(1, 1);
    let other = sign(&format!("{BASE}{TARGET}"), &[("a", "b")], "wrong");
    let changed = body.replace("task.created", "task.deleted");
    for request in [
        raw(TARGET, FORM, &[&good], changed.as_bytes()),
        raw("/taskrouter/events?x=1", FORM, &[&good], body.as_bytes()),
        raw(TARGET, FORM, &[&other], b"a=b"),
        raw(TARGET, FORM, &[], body.as_bytes()),
        raw(TARGET, FORM, &[&good, &good], body.as_bytes()),
        raw(TARGET, FORM, &[&good], b"a=\xff\xfe%ff"),
        raw(TARGET, "application/json", &[&good], b"{}"),
    ] {
        assert_eq!(status(&send(address, &request)), "403");
    }
    for (account, workspace) in [(2, 1), (1, 2)] {
        let (body, good) = event(account, workspace);
        assert_eq!(status(&send(address, &raw(TARGET, FORM, &[&good], body.as_bytes()))), "403");
    }
    assert!(journal.kept.lock().unwrap().is_empty());
    for _ in 0..2 {
        assert_eq!(status(&send(address, &raw(TARGET, FORM, &[&good], body.as_bytes()))), "204", "also a duplicate");
    }
    assert_eq!(*journal.kept.lock().unwrap(), [sid("EV", 1)]);
}

#[test]
fn what_cannot_be_used_is_refused_with_its_own_status() {
    let address = serve(fake(9, false), false);
    let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let target = format!("{TARGET}?bodySHA256={hash}");
    let nothing: [(&str, &str); 0] = [];
    let good = sign(&format!("{BASE}{target}"), &nothing, "token");
    assert_eq!(status(&send(address, &raw(&target, "application/json", &[&good], b"{}"))), "415");
    let good = sign(&format!("{BASE}{TARGET}"), &[("EventType", "secret")], "token");
    let answer = send(address, &raw(TARGET, FORM, &[&good], b"EventType=secret"));
    assert_eq!(status(&answer), "400");
    assert!(answer.contains("AccountSid") && !answer.contains("secret"));
    assert_eq!(status(&send(address, &raw(TARGET, FORM, &[], &vec![b'a'; 300 * 1024]))), "413");
    let mut chunked =
        format!("POST {TARGET} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4b000\r\n").into_bytes();
    chunked.extend(vec![b'a'; 0x4b000]);
    chunked.extend(b"\r\n0\r\n\r\n");
    assert_eq!(status(&send(address, &chunked)), "413");
    let slow = format!("POST {TARGET} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na");
    assert_eq!(status(&send(address, slow.as_bytes())), "408");
    let get =
        |path: &str| send(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    assert_eq!(status(&get(TARGET)), "405");
    assert_eq!(status(&get("/nowhere")), "404");
}

#[test]
fn a_load_balancer_that_sees_only_this_listener_finds_it_alive() {
    let address = serve(fake(9, false), false);
    for (method, expected) in [("GET", "200"), ("HEAD", "200"), ("POST", "404")] {
        let request = format!("{method} / HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&send(address, request.as_bytes())), expected);
    }
}

#[test]
fn paths_that_are_nearly_right_are_taken_with_what_was_signed_for_them() {
    let journal = fake(99, false);
    let mut prefixed = account(1, &["token"]);
    let base = format!("{BASE}/prod");
    prefixed.verifier = Verifier::new(&base, vec![SecretString::from("token")]).unwrap();
    let address = serve_all(journal.clone(), vec![prefixed], false);
    let (body, _) = event(1, 1);
    let pairs = taskrouter_streams::twilio::signature::parse_pairs(body.as_bytes());
    for (asked, signed, expected) in [
        ("/taskrouter/events", "/taskrouter/events", "204"),
        ("/prod/taskrouter/events", "/taskrouter/events", "204"),
        ("/a/b//taskrouter/events/", "/taskrouter/events", "204"),
        ("/taskrouter/events/", "/taskrouter/events/", "204"),
        ("//taskrouter/events", "//taskrouter/events", "204"),
        ("//taskrouter//events?x=1", "//taskrouter//events?x=1", "204"),
        ("/prod/taskrouter/events?x=1", "/taskrouter/events?x=1", "204"),
        ("/prod/taskrouter/events?x=1", "/taskrouter/events", "403"),
        ("/taskrouter/events", "/taskrouter/events/", "403"),
        ("/xtaskrouter/events", "/taskrouter/events", "404"),
        ("/TaskRouter/Events", "/TaskRouter/Events", "404"),
        ("/taskrouter/events/more", "/taskrouter/events", "404"),
    ] {
        let signature = sign(&format!("{base}{signed}"), &pairs, "token");
        let answer = send(address, &raw(asked, FORM, &[&signature], body.as_bytes()));
        assert_eq!(status(&answer), expected, "{asked} signed as {signed}");
    }
    assert_eq!(*journal.kept.lock().unwrap(), [sid("EV", 1)]);
}

/// A delivery to the door of Event Streams, and what signs it.
fn delivery(events: &[serde_json::Value]) -> Vec<u8> {
    delivery_by(events, "token")
}

pub(crate) fn delivery_by(events: &[serde_json::Value], token: &str) -> Vec<u8> {
    signed_json_by(serde_json::Value::from(events).to_string().as_bytes(), token)
}

fn signed_json(body: &[u8]) -> Vec<u8> {
    signed_json_by(body, "token")
}

pub(crate) fn signed_json_by(body: &[u8], token: &str) -> Vec<u8> {
    let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let target = format!("{STREAMS}?bodySHA256={hash}");
    let nothing: [(&str, &str); 0] = [];
    raw(&target, "application/json", &[&sign(&format!("{BASE}{target}"), &nothing, token)], body)
}

pub(crate) fn streamed(number: u32, account: u32, workspace: u32) -> serde_json::Value {
    let mut form = crate::event_stream::accepted();
    for (name, value) in &mut form {
        match name.as_str() {
            "AccountSid" => *value = sid("AC", account),
            "WorkspaceSid" => *value = sid("WS", workspace),
            "Sid" => *value = sid("EV", number),
            _ => {}
        }
    }
    crate::event_stream::cloud_event(&form)
}

#[test]
fn a_delivery_of_a_thousand_events_is_kept_to_the_last() {
    let journal = fake(2_000, false);
    let address = serve(journal.clone(), false);
    let events: Vec<_> = (0..1_000).map(|number| streamed(number, 1, 1)).collect();
    let request = delivery(&events);
    assert!(request.len() > 256 * 1024, "longer than a callback may be");
    assert_eq!(status(&send(address, &request)), "204");
    let expected: std::collections::BTreeSet<_> = (0..1_000).map(|number| sid("EV", number)).collect();
    let kept = || journal.kept.lock().unwrap().iter().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(kept(), expected);
    assert_eq!(status(&send(address, &request)), "204", "also when it comes again");
    assert_eq!(journal.kept.lock().unwrap().len(), 1_000);
}

#[test]
fn an_event_that_came_through_both_doors_is_kept_once() {
    let journal = fake(9, false);
    let address = serve(journal.clone(), false);
    let (body, good) = event(1, 1);
    assert_eq!(status(&send(address, &raw(TARGET, FORM, &[&good], body.as_bytes()))), "204");
    assert_eq!(status(&send(address, &delivery(&[streamed(1, 1, 1), streamed(2, 1, 1)]))), "204");
    assert_eq!(*journal.kept.lock().unwrap(), [sid("EV", 1), sid("EV", 2)]);
}

#[test]
fn what_of_a_delivery_is_not_for_us_costs_only_itself_and_what_is_not_signed_is_refused() {
    let journal = fake(9, false);
    let address = serve(journal.clone(), false);
    for (account, workspace) in [(2, 1), (2, 2)] {
        let events = [streamed(2, account, workspace), streamed(3, 1, 1)];
        assert_eq!(status(&send(address, &delivery(&events))), "204");
        assert_eq!(*journal.kept.lock().unwrap(), [sid("EV", 3)]);
    }
    journal.kept.lock().unwrap().clear();
    let good = delivery(&[streamed(1, 1, 1)]);
    let text = String::from_utf8(good.clone()).unwrap();
    let unsigned = text.replace("X-Twilio-Signature", "X-Other");
    assert_eq!(status(&send(address, unsigned.as_bytes())), "403");
    let changed = text.replace(&sid("EV", 1), &sid("EV", 2));
    assert_eq!(status(&send(address, changed.as_bytes())), "403", "the body is not the one that was signed");
    assert!(journal.kept.lock().unwrap().is_empty());
    assert_eq!(status(&send(address, &good)), "204");
}

#[test]
fn events_of_the_accounts_other_workspaces_are_passed_over_and_hold_nothing_up() {
    let journal = fake(9, false);
    let address = serve(journal.clone(), false);
    let events = [streamed(1, 1, 2), streamed(2, 1, 1), streamed(3, 1, 3)];
    assert_eq!(status(&send(address, &delivery(&events))), "204");
    assert_eq!(*journal.kept.lock().unwrap(), [sid("EV", 2)]);
}

#[test]
fn a_large_body_is_read_only_when_its_url_is_signed() {
    let address = serve(fake(9, false), false);
    let large = vec![b' '; 300 * 1024];
    let good = signed_json(&[&large[..], b"[]"].concat());
    assert_eq!(status(&send(address, &good)), "204");
    let forged = String::from_utf8(good).unwrap().replace("bodySHA256=", "bodySHA256=0");
    assert_eq!(status(&send(address, forged.as_bytes())), "413");
}

#[test]
fn tests_of_the_sink_are_acknowledged_and_what_is_no_delivery_is_not() {
    let journal = fake(9, false);
    let address = serve(journal.clone(), false);
    let test = serde_json::json!({"type": "com.twilio.eventstreams.test-event", "data": {"test_id": "a"}});
    let other = serde_json::json!({"type": "com.twilio.messaging.message.sent"});
    assert_eq!(status(&send(address, &delivery(&[test, other]))), "204");
    assert_eq!(status(&send(address, &signed_json(b"[{"))), "400");
    for unreadable in
        ["[7, null, {\"type\": }, []]", "[{\"specversion\": \"1.0\"}]", "{\"payload\": {}}", "[{\"type\": 7}]"]
    {
        assert_eq!(status(&send(address, &signed_json(unreadable.as_bytes()))), "400", "{unreadable}");
    }
    let said = send(address, &signed_json(b"[7, null]"));
    assert!(
        said.contains("JSON object") && !said.contains("binary"),
        "what is no object was not sent in binary mode: {said}"
    );
    let mixed = format!("[7, null, {{}}, {}]", streamed(1, 1, 1));
    assert_eq!(status(&send(address, &signed_json(mixed.as_bytes()))), "204", "each is judged alone");
    assert_eq!(std::mem::take(&mut *journal.kept.lock().unwrap()), [sid("EV", 1)]);
    let form = [("a", "b")];
    let good = sign(&format!("{BASE}{STREAMS}"), &form, "token");
    assert_eq!(status(&send(address, &raw(STREAMS, FORM, &[&good], b"a=b"))), "415");
    let get = format!("GET {STREAMS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&send(address, get.as_bytes())), "405");
    assert!(journal.kept.lock().unwrap().is_empty());
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn encoded(body: &[u8], encoding: &str) -> Vec<u8> {
    let request = signed_json(body);
    let at = request.windows(13).position(|bytes| bytes == b"Content-Type:").unwrap();
    [&request[..at], format!("Content-Encoding: {encoding}\r\n").as_bytes(), &request[at..]].concat()
}

#[test]
fn a_compressed_delivery_is_taken_and_bounded_by_what_it_inflates_to() {
    let journal = fake(9, false);
    let address = serve(journal.clone(), false);
    let delivery = serde_json::Value::from(vec![streamed(1, 1, 1)]).to_string();
    let (first, second) = delivery.as_bytes().split_at(99);
    for body in [gzip(delivery.as_bytes()), [gzip(first), gzip(second)].concat()] {
        assert_eq!(status(&send(address, &encoded(&body, "GZIP"))), "204");
        assert_eq!(std::mem::take(&mut *journal.kept.lock().unwrap()), [sid("EV", 1)]);
    }
    assert_eq!(status(&send(address, &encoded(delivery.as_bytes(), "identity"))), "204");
    assert_eq!(status(&send(address, &encoded(delivery.as_bytes(), "gzip"))), "400", "it is not compressed");
    assert_eq!(status(&send(address, &encoded(&gzip(delivery.as_bytes())[..50], "gzip"))), "400", "it is cut off");
    assert_eq!(status(&send(address, &encoded(delivery.as_bytes(), "br"))), "415");
    let bomb = gzip(&vec![b' '; 9 * 1024 * 1024]);
    assert!(bomb.len() < 64 * 1024);
    assert_eq!(status(&send(address, &encoded(&bomb, "gzip"))), "413", "more than a delivery may have");
    let unsigned = String::from_utf8_lossy(&encoded(b"x", "gzip")).replace("bodySHA256=", "bodySHA256=0");
    assert_eq!(status(&send(address, unsigned.as_bytes())), "403", "not even looked at");
}

#[test]
fn a_delivery_of_which_one_event_cannot_be_kept_is_to_be_repeated() {
    let journal = fake(0, true);
    let answer = send(serve(journal, false), &delivery(&[streamed(1, 1, 1), streamed(2, 1, 1)]));
    assert_eq!(status(&answer), "503");
    assert!(answer.to_lowercase().contains("retry-after: 7"));
}

#[tokio::test]
async fn a_delivery_is_acknowledged_only_after_the_last_commit() {
    let journal = fake(2, false);
    let address = serve(journal.clone(), false);
    let request = delivery(&[streamed(1, 1, 1), streamed(2, 1, 1), streamed(3, 1, 1)]);
    let answer = tokio::task::spawn_blocking(move || send(address, &request));
    for _ in 0..1000 {
        if journal.kept.lock().unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(journal.kept.lock().unwrap().len(), 2);
    assert!(!answer.is_finished());
    journal.permits.add_permits(1);
    assert_eq!(status(&answer.await.unwrap()), "204");
}

#[tokio::test]
async fn the_answer_waits_for_the_commit() {
    let journal = fake(0, false);
    let address = serve(journal.clone(), false);
    let (body, good) = event(1, 1);
    let answer = tokio::task::spawn_blocking(move || send(address, &raw(TARGET, FORM, &[&good], body.as_bytes())));
    tokio::time::timeout(scaled(Duration::from_secs(10)), journal.entered.notified()).await.unwrap();
    assert!(!answer.is_finished());
    journal.permits.add_permits(1);
    let answer = answer.await.unwrap();
    assert_eq!(status(&answer), "204");
    assert!(answer.to_lowercase().contains("content-type: application/json"));
}

#[test]
fn a_journal_that_cannot_keep_up_is_said_to_twilio_and_to_probes() {
    let (body, good) = event(1, 1);
    let answer = send(serve(fake(0, true), false), &raw(TARGET, FORM, &[&good], body.as_bytes()));
    assert_eq!(status(&answer), "503");
    assert!(answer.to_lowercase().contains("retry-after: 7"));
    for (overloaded, path, expected) in
        [(true, "/health/ready", "503"), (false, "/health/ready", "200"), (true, "/health/live", "200")]
    {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&send(serve(fake(0, overloaded), true), request.as_bytes())), expected);
    }
}

/// A journal that never says how many calls it has, and how often it was asked.
#[derive(Default)]
struct Mute(AtomicUsize);

impl Workload for Mute {
    fn ready(&self) -> Promise<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn backlog(&self) -> Promise<'_, Backlog> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(pending())
    }

    fn storage(&self) -> Promise<'_, Storage> {
        Box::pin(ready(Ok(Storage::default())))
    }
}

#[test]
fn collectors_of_metrics_wait_for_one_attempt_to_count_and_not_for_one_another() {
    const COLLECTORS: usize = 8;
    let (journal, listener) = (Arc::new(Mute::default()), TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, asked) = (listener.local_addr().unwrap(), journal.clone());
    std::thread::spawn(move || {
        let server = async move {
            admin(journal, Arc::new(Metrics::new("0", "0")), |_| {}, listener, ADMIN).unwrap().run().await
        };
        actix_web::rt::System::new().block_on(server)
    });
    std::thread::scope(|scope| {
        for _ in 0..COLLECTORS {
            scope.spawn(|| {
                let mut socket = TcpStream::connect(address).unwrap();
                socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
                let mut answer = String::new();
                socket.read_to_string(&mut answer).unwrap();
                assert_eq!(status(&answer), "200");
            });
        }
    });
    // One that comes a second after an attempt begins another.
    assert!(asked.0.load(Ordering::Relaxed) < COLLECTORS);
}
