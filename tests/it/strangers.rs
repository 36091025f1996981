//! What those can take who cannot sign: bytes, connections, descriptors, time and lines in the log, each within a limit.

use crate::ingress::{FORM, Fake, TARGET, account, event, fake, raw, send, settings, signed_json_by, status, streamed};
use crate::pace::scaled;
use crate::program::{self, Serving};
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use taskrouter_streams::http::{EVENT_STREAMS_PATH, IngressSettings, descriptors, public};
use taskrouter_streams::telemetry::metrics::{Metrics, PREFIX};
use taskrouter_streams::twilio::signature::sign;

pub(crate) const MIB: usize = 1024 * 1024;

/// Longer than anything here may take; nothing is expected to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    metrics: Arc<Metrics>,
}

pub(crate) fn listen(journal: Arc<Fake>, change: impl FnOnce(&mut IngressSettings)) -> Listener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new("0", "0"));
    let mut settings = settings(vec![account(1, &["token"])]);
    settings.client_timeout = PATIENCE;
    settings.keep_alive = PATIENCE;
    settings.body_limit_bytes = 64 * 1024;
    change(&mut settings);
    let counted = metrics.clone();
    std::thread::spawn(move || {
        let serve = async move { public(settings, journal, counted, listener).unwrap().run().await };
        actix_web::rt::System::new().block_on(serve)
    });
    Listener { address, metrics }
}

impl Listener {
    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(scaled(PATIENCE))).unwrap();
        socket
    }

    pub(crate) fn slow(&self, sent: &[u8]) -> TcpStream {
        let mut socket = self.connect();
        socket.write_all(sent).unwrap();
        socket
    }

    pub(crate) fn sample(&self, name: &str) -> usize {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{PREFIX}_{name} ")));
        line.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
    }

    pub(crate) fn until(&self, name: &str, is_wanted: impl Fn(usize) -> bool) {
        let deadline = Instant::now() + scaled(PATIENCE);
        while !is_wanted(self.sample(name)) {
            assert!(Instant::now() < deadline, "{name} is {}", self.sample(name));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What a request that Twilio signed is answered with.
    pub(crate) fn good(&self) -> String {
        let (body, signature) = event(1, 1);
        status(&send(self.address, &raw(TARGET, FORM, &[&signature], body.as_bytes()))).to_owned()
    }
}

pub(crate) fn is_closed(socket: &mut TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let read = socket.read(&mut [0; 512]);
    socket.set_nonblocking(false).unwrap();
    match read {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// Everything that comes until the other side closes the connection.
pub(crate) fn rest(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset ends it just as well.
    let _ = socket.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

/// A head and all of its body but the last byte.
fn unfinished_body(bytes: usize) -> Vec<u8> {
    let head = format!("POST {TARGET} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: {bytes}\r\n\r\n");
    [head.into_bytes(), vec![b'a'; bytes - 1]].concat()
}

fn unfinished_head(bytes: usize) -> Vec<u8> {
    [format!("POST {TARGET} HTTP/1.1\r\nX-Long: ").into_bytes(), vec![b'a'; bytes]].concat()
}

/// Requests of HTTP/2 without their ends: preface, settings, and for each a head of nothing but the method, the path, the scheme and the
/// host, and data.
fn unfinished_streams(count: u8, bytes: usize) -> Vec<u8> {
    streams(count, |stream| {
        let data = vec![b'a'; bytes];
        data.chunks(16 * 1024).flat_map(|chunk| frame(0, 0, stream, chunk)).collect()
    })
}

/// A connection of HTTP/2 with so many requests, and what follows the head of each.
fn streams(count: u8, rest: impl Fn(u8) -> Vec<u8>) -> Vec<u8> {
    let literal = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let head = [vec![0x83, 0x86], literal(0x04, TARGET), literal(0x01, "x")].concat();
    let numbers = (0..count).map(|number| 2 * number + 1);
    let requests = numbers.flat_map(|stream| [frame(1, 4, stream, &head), rest(stream)].concat()).collect();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), requests].concat()
}

fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], content].concat()
}

#[test]
fn bytes_that_nobody_has_verified_are_bounded_and_the_oldest_go() {
    for sent in [unfinished_body(64 * 1024), unfinished_head(64 * 1024)] {
        let listener = listen(fake(9, false), |settings| {
            settings.connections.unverified_bytes = MIB;
            settings.connections.head_bytes = MIB;
        });
        let mut slow: Vec<TcpStream> = Vec::new();
        for number in 1..=32 {
            slow.push(listener.slow(&sent));
            listener.until("unverified_bytes", |bytes| bytes > 900 * 1024 || bytes >= number * 64 * 1024);
            assert!(listener.sample("unverified_bytes") <= MIB);
        }
        assert_eq!(rest(&mut slow[0]), "", "the oldest is closed");
        assert!(!is_closed(slow.last_mut().unwrap()), "the newest is not");
        assert_eq!(listener.good(), "204");
        listener.until("connections_evicted_total{reason=\"unverified_bytes\"}", |count| count >= 16);
        drop(slow);
        listener.until("unverified_bytes", |bytes| bytes == 0);
    }
}

#[test]
fn a_head_that_is_too_long_closes_its_connection() {
    let listener = listen(fake(9, false), |_| {});
    assert_eq!(rest(&mut listener.slow(&unfinished_head(20 * 1024))), "");
    assert_eq!(listener.sample("connections_evicted_total{reason=\"head\"}"), 1);
    let mut kept = listener.slow(&unfinished_head(15 * 1024));
    listener.until("unverified_bytes", |bytes| bytes > 47 * 1024);
    assert!(!is_closed(&mut kept));
}

#[test]
fn what_is_read_only_to_be_discarded_takes_nothing() {
    let listener = listen(fake(9, false), |settings| settings.connections.unverified_bytes = MIB);
    let _slow = listener.slow(&unfinished_body(64 * 1024));
    let mut pushing = listener.connect();
    let head = format!("POST {TARGET} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 99999999\r\n\r\n");
    pushing.write_all(head.as_bytes()).unwrap();
    // Until it has been refused and is not read any more.
    while pushing.write_all(&[b'a'; 64 * 1024]).is_ok() {}
    assert_eq!(listener.sample("connections_evicted_total{reason=\"unverified_bytes\"}"), 0);
    listener.until("unverified_bytes", |bytes| (92 * 1024..102 * 1024).contains(&bytes));
}

#[test]
fn deliveries_whose_url_is_signed_have_a_budget_of_their_own() {
    let journal = fake(9_000, false);
    let listener = listen(journal, |settings| {
        settings.connections.unverified_bytes = 128 * 1024;
        settings.event_streams_bytes_limit = 3 * MIB;
    });
    let events: Vec<_> = (0..1_500).map(|number| streamed(number, 1, 1)).collect();
    let delivery = signed_json_by(serde_json::Value::from(events).to_string().as_bytes(), "token");
    assert!((MIB..2 * MIB).contains(&delivery.len()), "two fit, three do not: {}", delivery.len());
    let short = &delivery[..delivery.len() - 1];
    let mut slow = [listener.slow(short), listener.slow(short), listener.slow(short)];
    let mut answers = slow.each_mut().map(|socket| {
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        rest(socket)
    });
    answers.sort();
    assert_eq!(answers.each_ref().map(|answer| status(answer)), ["", "", "503"], "the third does not fit");
    assert!(answers[2].to_lowercase().contains("retry-after: 7"));
    assert_eq!(listener.good(), "204", "other requests have a budget of their own");
    for socket in &mut slow {
        socket.set_read_timeout(Some(scaled(PATIENCE))).unwrap();
        let _ = socket.write_all(&delivery[delivery.len() - 1..]);
    }
    let mut answers = slow.each_mut().map(rest);
    answers.sort();
    assert_eq!(answers.each_ref().map(|answer| status(answer)), ["", "204", "204"]);
    assert_eq!(status(&send(listener.address, &delivery)), "204", "and what they took is free again");
}

#[test]
fn a_form_with_too_many_parameters_is_refused_before_they_are_sorted() {
    let listener = listen(fake(9, false), |_| {});
    let empty = "=&".repeat(30 * 1024);
    let began = Instant::now();
    assert_eq!(status(&send(listener.address, &raw(TARGET, FORM, &["x"], empty.as_bytes()))), "413");
    assert!(began.elapsed() < scaled(Duration::from_secs(5)));
    for (count, expected) in [(500, "400"), (501, "413")] {
        let pairs: Vec<(String, &str)> = (0..count).map(|number| (format!("p{number}"), "v")).collect();
        let body = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let signature = sign(&format!("{}{TARGET}", crate::ingress::BASE), &pairs, "token");
        let answer = send(listener.address, &raw(TARGET, FORM, &[&signature], body.as_bytes()));
        assert_eq!(status(&answer), expected, "{count} parameters");
    }
}

#[test]
fn whoever_is_refused_is_not_kept_connected() {
    let listener = listen(fake(9, false), |_| {});
    let (body, signature) = event(1, 1);
    let post = |target: &str, media_type: &str, signature: &str, body: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\nX-Twilio-Signature: {signature}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (request, expected) in [
        (post(TARGET, FORM, "x", &body), "403"),
        (post("/nowhere", FORM, "x", &body), "404"),
        (post(TARGET, FORM, &signature, &"a".repeat(65 * 1024)), "413"),
        (format!("GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n"), "405"),
    ] {
        let mut socket = listener.slow(request.as_bytes());
        let answer = rest(&mut socket);
        assert_eq!(status(&answer), expected);
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    }
    let mut socket = listener.connect();
    for _ in 0..2 {
        socket.write_all(post(TARGET, FORM, &signature, &body).as_bytes()).unwrap();
        let mut answer = [0; 512];
        let read = socket.read(&mut answer).unwrap();
        assert_eq!(status(std::str::from_utf8(&answer[..read]).unwrap()), "204", "whoever signs is kept");
    }
}

#[test]
fn when_it_is_full_the_connection_that_has_been_idle_for_the_longest_makes_room() {
    let listener = listen(fake(9, false), |settings| settings.connections.max = 4);
    let (body, signature) = event(1, 1);
    let request = raw(TARGET, FORM, &[&signature], body.as_bytes());
    let kept = String::from_utf8(request).unwrap().replace("Connection: close\r\n", "");
    let mut twilio = listener.slow(kept.as_bytes());
    assert!(twilio.read(&mut [0; 512]).unwrap() > 0);
    let mut strangers = Vec::new();
    for number in 2..=40 {
        strangers.push(listener.connect());
        listener.until("connections", |count| count == number.min(4));
        // So that the order in which they are accepted is the order here.
        listener.until("connections_evicted_total{reason=\"full\"}", |count| count + 4 == number.max(4));
    }
    assert_eq!(rest(&mut strangers[0]), "", "the oldest stranger is closed");
    assert!(!is_closed(strangers.last_mut().unwrap()));
    assert_eq!(listener.good(), "204");
    twilio.write_all(kept.as_bytes()).unwrap();
    assert!(twilio.read(&mut [0; 512]).unwrap() > 0, "whoever has signed goes last");
}

#[test]
fn one_peer_has_so_many_connections_unless_it_may_be_a_proxy() {
    let capped = listen(fake(9, false), |settings| {
        settings.connections.per_peer = 3;
        settings.connections.uncapped = vec!["192.0.2.0/24".parse().unwrap()];
    });
    let held: Vec<TcpStream> = (0..3).map(|_| capped.connect()).collect();
    capped.until("connections", |count| count == 3);
    assert_eq!(rest(&mut capped.connect()), "", "one too many");
    drop(held);
    capped.until("connections", |count| count == 0);
    assert_eq!(capped.good(), "204");
    let uncapped = listen(fake(9, false), |settings| settings.connections.per_peer = 3);
    let _held: Vec<TcpStream> = (0..5).map(|_| uncapped.connect()).collect();
    uncapped.until("connections", |count| count == 5);
}

/// The program, with so many open files at most.
fn with_open_files(limit: u32) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_taskrouter-streams")]);
    command.env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn get(address: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    send(address.parse().unwrap(), request.as_bytes())
}

#[test]
fn health_answers_however_many_connect_and_however_few_files_can_be_open() {
    let folder = tempfile::tempdir().unwrap();
    let journal = format!("sqlite:{}", folder.path().join("journal.db").display());
    let serving = Serving::start_as(with_open_files(300), &journal, "http://127.0.0.1:9", &[]);
    let public: SocketAddr = serving.public.parse().unwrap();
    let held: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(public).unwrap()).collect();
    for _ in 0..5 {
        assert_eq!(status(&get(&serving.admin, "/health/ready")), "200");
    }
    let refused = send(public, &raw(TARGET, FORM, &["x"], b"a=b"));
    assert_eq!(status(&refused), "403", "it still answers");
    drop(held);
}

#[test]
fn a_probe_is_answered_beside_however_many_idle_connections_of_the_admin_listener() {
    let folder = tempfile::tempdir().unwrap();
    let journal = format!("sqlite:{}", folder.path().join("journal.db").display());
    let reserve = [("TRS__SERVER__DESCRIPTOR_RESERVE", "64"), ("TRS__SERVER__MAX_CONNECTIONS", "64")];
    let serving = Serving::start_as(with_open_files(300), &journal, "http://127.0.0.1:9", &reserve);
    let admin: SocketAddr = serving.admin.parse().unwrap();
    let at_rest = open_files(serving.pid());
    let began = Instant::now();
    let ask = |socket: &mut TcpStream| {
        let sent = socket.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
        sent.and_then(|()| socket.read(&mut [0; 512])).is_ok_and(|bytes| bytes > 0)
    };
    let mut collector = TcpStream::connect(admin).unwrap();
    collector.set_read_timeout(Some(scaled(PATIENCE))).unwrap();
    assert!(ask(&mut collector));
    let mut held: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(admin).unwrap()).collect();
    // Silent connections are closed by themselves only after five seconds: later than common probes give up.
    for path in ["/health/live", "/health/ready"] {
        let asked = Instant::now();
        assert_eq!(status(&get(&serving.admin, path)), "200");
        assert!(asked.elapsed() < scaled(Duration::from_secs(3)), "{:?}", asked.elapsed());
    }
    assert!(is_closed(&mut held[0]), "the one that was idle for the longest has made room");
    // An idle connection is kept for five seconds, which this machine may have taken.
    assert!(ask(&mut collector) || began.elapsed() > Duration::from_secs(4), "whoever has asked something goes last");
    // Half of the reserve, and a few that the program opens for itself.
    let taken = || open_files(serving.pid()).saturating_sub(at_rest);
    while taken() > 64 / 2 + 16 {
        assert!(began.elapsed() < scaled(PATIENCE), "{} are taken", taken());
    }
}

/// Of a process.
fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn too_few_open_files_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let output = with_open_files(100)
        .arg("serve")
        .envs(program::ENVIRONMENT)
        .env("TRS__JOURNAL__URL", format!("sqlite:{}", folder.path().join("journal.db").display()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = program::text(&output.stderr);
    assert!(told.contains("100 files") && told.contains("server.descriptor_reserve"), "{told}");
}

/// The service as its users start it, and its log.
struct Logged {
    serving: Serving,
    folder: tempfile::TempDir,
}

impl Logged {
    fn start(more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program::program();
        command.stderr(std::fs::File::create(folder.path().join("log")).unwrap());
        let journal = format!("sqlite:{}", folder.path().join("journal.db").display());
        Self { serving: Serving::start_logging(command, &journal, "http://127.0.0.1:9", more), folder }
    }

    fn send(&self, request: &[u8]) -> String {
        status(&send(self.serving.public.parse().unwrap(), request)).to_owned()
    }

    /// The lines of this level.
    fn lines(&self, level: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.lines().filter(|line| line.contains(level)).map(str::to_owned).collect()
    }
}

/// What a request of this form is answered with, and the WARN that it leaves.
fn warned(request: &[u8], more: &[(&str, &str)]) -> (String, String) {
    let logged = Logged::start(more);
    let answer = logged.send(request);
    let warnings: Vec<String> = logged.lines("WARN").into_iter().filter(|line| line.contains("answered")).collect();
    (answer, warnings.concat())
}

fn signed(target: &str, media_type: &str, pairs: &[(&str, &str)], body: &str) -> Vec<u8> {
    let signature = sign(&format!("{}{target}", program::PUBLIC_URL), pairs, program::TOKEN);
    raw(target, media_type, &[&signature], body.as_bytes())
}

#[test]
fn a_signed_request_that_a_limit_refuses_is_told_with_the_key_to_raise() {
    let large = "a".repeat(66_000);
    let body = format!("TaskAddons={large}");
    let addons = signed(TARGET, FORM, &[("TaskAddons", &large)], &body);
    let pairs: Vec<(String, &str)> = (0..501).map(|number| (format!("p{number}"), "v")).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let many = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let delivery = |token: &str| {
        let hash: String = Sha256::digest(large.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let target = format!("{EVENT_STREAMS_PATH}?bodySHA256={hash}");
        let nothing: [(&str, &str); 0] = [];
        let signature = sign(&format!("{}{target}", program::PUBLIC_URL), &nothing, token);
        raw(&target, "application/json", &[&signature], large.as_bytes())
    };
    let small = [("TRS__SERVER__EVENT_STREAMS_BODY_LIMIT_BYTES", "65536")];
    for (request, more, path, key) in [
        (addons.clone(), &[][..], TARGET, "server.body_limit_bytes"),
        (signed(TARGET, FORM, &pairs, &many), &[], TARGET, "server.form_pairs_limit"),
        (delivery(program::TOKEN), &small, EVENT_STREAMS_PATH, "server.event_streams_body_limit_bytes"),
        (delivery("another"), &[], EVENT_STREAMS_PATH, "server.public_url"),
    ] {
        let (answer, said) = warned(&request, more);
        assert_eq!(answer, "413", "{key}");
        assert!(said.contains(key) && said.contains(path) && !said.contains("aaaa"), "{key}: {said}");
    }
    let unfinished = &addons[..addons.len() - 60_000];
    let (answer, said) = warned(unfinished, &[("TRS__SERVER__CLIENT_TIMEOUT_MS", "300")]);
    assert!(answer == "408" && said.contains("server.client_timeout_ms") && !said.contains("aaaa"), "{answer} {said}");
    let logged = Logged::start(&[]);
    let unsigned = String::from_utf8(addons.clone()).unwrap().replace("X-Twilio-Signature", "X-Other");
    assert_eq!(logged.send(unsigned.as_bytes()), "413");
    assert!(!logged.lines("WARN").concat().contains("413"), "a stranger's is not told");
    for _ in 0..50 {
        assert_eq!(logged.send(&addons), "413");
    }
    assert!(logged.lines("WARN").len() < 10, "strangers may send the header too: {:?}", logged.lines("WARN"));
}

#[test]
fn a_signed_request_on_the_path_of_another_is_told_with_what_to_change() {
    let form = signed(EVENT_STREAMS_PATH, FORM, &[("a", "b")], "a=b");
    let (answer, said) = warned(&form, &[]);
    assert!(answer == "415" && said.contains(TARGET) && said.contains("Event Callback URL"), "{answer} {said}");
    let got = signed(EVENT_STREAMS_PATH, FORM, &[], "");
    let (answer, said) = warned(&[b"GET", &got[4..]].concat(), &[]);
    assert!(answer == "405" && said.contains("POST") && said.contains(EVENT_STREAMS_PATH), "{answer} {said}");
    let assignment = signed("/taskrouter/assignment", FORM, &[("a", "b")], "a=b");
    let (answer, said) = warned(&assignment, &[]);
    assert!(answer == "404" && said.contains("assignment.enabled"), "{answer} {said}");
    let pause = b"POST /calls/WT1/pause HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Pause-Signature: 00\r\n\r\n";
    let (answer, said) = warned(pause, &[]);
    assert!(answer == "404" && said.contains("pause.secret"), "{answer} {said}");
}

#[test]
fn a_refused_form_is_told_with_the_account_that_it_names_if_it_is_ours() {
    for (account, is_named) in [(program::ACCOUNT, true), ("AC7a5c00000000000000000000000000ff", false)] {
        let logged = Logged::start(&[]);
        let request = raw(TARGET, FORM, &["x"], format!("AccountSid={account}").as_bytes());
        assert_eq!(logged.send(&request), "403");
        let said = logged.lines("rejected a request without").concat();
        assert!(said.contains(program::ACCOUNT) == is_named && !said.contains("00ff"), "{said}");
        assert!(said.contains("names no configured account") != is_named, "{said}");
    }
}

#[test]
fn the_path_of_a_stranger_is_logged_without_telephone_numbers() {
    for number in ["+15005550006", "%2B15005550006", "1-500-555-0006", "(500)%20555.0006", "12345"] {
        let request = raw(&format!("/sms/{number}/v1.2"), FORM, &["x"], b"");
        let (answer, said) = warned(&request, &[]);
        assert!(answer == "404" && said.contains("/sms/") && said.contains("v1.2"), "{said}");
        for part in ["15005550006", "0006", "12345"] {
            assert!(!said.contains(part), "{number}: {said}");
        }
    }
}

#[test]
fn requests_of_http2_that_are_taken_back_leave_no_lines() {
    let logged = Logged::start(&[]);
    let taken_back = streams(60, |stream| frame(3, 0, stream, &8_u32.to_be_bytes()));
    for _ in 0..20 {
        let mut socket = TcpStream::connect(&logged.serving.public).unwrap();
        socket.set_read_timeout(Some(scaled(PATIENCE))).unwrap();
        socket.write_all(&taken_back).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let of_http2: Vec<String> = logged.lines("h2::");
    assert!(of_http2.is_empty(), "{} lines: {:?}", of_http2.len(), of_http2.first());
}

#[test]
fn malformed_requests_are_counted_and_not_logged() {
    let logged = Logged::start(&[]);
    for _ in 0..200 {
        assert_eq!(logged.send(b"\x00\x01 no request\r\n\r\n"), "400");
    }
    let metrics = get(&logged.serving.admin, "/metrics");
    let counted = format!("{PREFIX}_connections_broken_total{{reason=\"malformed\"}} 200");
    assert!(metrics.contains(&counted), "{metrics}");
    let log = logged.lines("");
    assert!(!log.concat().contains("ERROR") && log.len() < 50, "{log:?}");
}

/// Kilobytes in memory.
fn resident(pid: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_thousand_slow_strangers_take_less_than_a_sixth_of_what_the_manifest_allows() {
    assert!(descriptors::allow(1_200, 200).is_some_and(|allowed| allowed >= 1_100));
    for sent in [
        unfinished_body(64 * 1024),
        unfinished_head(15 * 1024),
        unfinished_streams(1, 63 * 1024),
        unfinished_streams(30, 9),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let journal = format!("sqlite:{}", folder.path().join("journal.db").display());
        let serving = Serving::start_as(program::program(), &journal, "http://127.0.0.1:9", &[]);
        let public: SocketAddr = serving.public.parse().unwrap();
        assert_eq!(status(&send(public, &raw(TARGET, FORM, &["x"], b"a=b"))), "403");
        let at_rest = resident(serving.pid());
        let held: Vec<TcpStream> = (0..1_000)
            .filter_map(|_| {
                let mut socket = TcpStream::connect(public).unwrap();
                // One that is evicted meanwhile cannot be written to.
                socket.write_all(&sent).ok().map(|()| socket)
            })
            .collect();
        assert_eq!(status(&send(public, &raw(TARGET, FORM, &["x"], b"a=b"))), "403", "beside {} others", held.len());
        let taken = resident(serving.pid()).saturating_sub(at_rest);
        // Of 512 MiB. Any build takes 60 MiB at most.
        assert!(taken <= 80 * 1024, "{taken} KiB");
    }
}
