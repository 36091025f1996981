//! How requests end when they do not end well, and that nothing is sent twice.

use super::*;
use serde_json::json;
use std::io::Write;
use std::sync::{Arc, Mutex};
use taskrouter_streams::call::step::{Answer, Trouble};
use taskrouter_streams::twilio::failure::{error_code, retry_after_ms};
use tokio::sync::watch;
use tracing_subscriber::fmt::MakeWriter;

/// How a request ends when it does not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotFound,
    NotInProgress,
    TryLater,
    Unknown,
    Denied,
    Refused,
}

#[track_caller]
fn end(outcome: Outcome) -> (End, Trouble) {
    match outcome {
        Outcome::Done(answer) => panic!("done: {answer:?}"),
        Outcome::NotFound(trouble) => (End::NotFound, trouble),
        Outcome::NotInProgress(trouble) => (End::NotInProgress, trouble),
        Outcome::TryLater(trouble) => (End::TryLater, trouble),
        Outcome::Unknown(trouble) => (End::Unknown, trouble),
        Outcome::Denied(trouble) => (End::Denied, trouble),
        Outcome::Refused(trouble) => (End::Refused, trouble),
    }
}

fn error_body(code: u32, status: u16) -> String {
    let page = format!("https://www.twilio.com/docs/errors/{code}");
    json!({"code": code, "message": "must-not-show", "more_info": page, "status": status}).to_string()
}

/// An end, and whether the request may still be carried out.
type Judged = (End, bool);

/// Each status: as Twilio's own answer, and as anybody else's.
const ENDS: [(u16, Judged, Judged); 21] = [
    (301, (End::Denied, false), (End::Denied, false)),
    (302, (End::Denied, false), (End::Denied, false)),
    (304, (End::Denied, false), (End::Denied, false)),
    (307, (End::Denied, false), (End::Denied, false)),
    (400, (End::Refused, false), (End::Unknown, false)),
    (401, (End::Denied, false), (End::Unknown, false)),
    (403, (End::Denied, false), (End::Unknown, false)),
    (404, (End::NotFound, false), (End::Unknown, false)),
    (405, (End::Refused, false), (End::Unknown, false)),
    (408, (End::Unknown, true), (End::Unknown, true)),
    (409, (End::TryLater, false), (End::TryLater, false)),
    (410, (End::NotFound, false), (End::Unknown, false)),
    (412, (End::Refused, false), (End::Unknown, false)),
    (425, (End::TryLater, false), (End::TryLater, false)),
    (429, (End::TryLater, false), (End::TryLater, false)),
    (499, (End::Refused, false), (End::Unknown, false)),
    (500, (End::Unknown, false), (End::Unknown, true)),
    (502, (End::Unknown, false), (End::Unknown, true)),
    (503, (End::Unknown, false), (End::Unknown, true)),
    (504, (End::Unknown, false), (End::Unknown, true)),
    (599, (End::Unknown, false), (End::Unknown, true)),
];

#[tokio::test]
async fn every_status_has_its_end_for_every_operation_by_twilios_word_and_by_others() {
    for operation in every_operation() {
        for twilios in [true, false] {
            let body = |status| match (status, twilios) {
                (304, _) => String::new(),
                (_, true) => error_body(20_001, status),
                (_, false) => "<html>must-not-show</html>".to_owned(),
            };
            let replies = ENDS.map(|(status, ..)| Reply::Bytes(answer(status, &[], &body(status))));
            let script = Script::start(replies).await;
            let client = Client::new(settings(&script.url())).unwrap();
            for (status, by_twilio, by_others) in ENDS {
                let (found, trouble) = end(client.perform(&operation).await.outcome);
                let expected = if twilios { by_twilio } else { by_others };
                assert_eq!((found, trouble.lost), expected, "{status} for {}, {twilios}", operation.name());
                let code = (twilios && status != 304).then_some(20_001);
                assert_eq!((trouble.status, trouble.code, trouble.retry_after_ms), (Some(status), code, None));
                assert!(!trouble.reason.contains("must-not-show") && !trouble.reason.is_empty(), "{trouble:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_is_not_in_progress_is_so_for_commands_to_the_call_alone() {
    for (operation, expected) in [
        (redirect(), End::NotInProgress),
        (create_stream(), End::NotInProgress),
        (stop_stream(), End::NotInProgress),
        (update_customer(Some(Guard::Lowered), None), End::Refused),
        (fetch_task(), End::Refused),
    ] {
        assert_eq!(end(outcome(&operation, 400, &[], &error_body(21220, 400)).await).0, expected);
    }
    let (found, trouble) = end(outcome(&redirect(), 400, &[], &error_body(21218, 400)).await);
    assert_eq!((found, trouble.code), (End::Refused, Some(21218)));
    // A server that fails has perhaps processed it, whatever the body says.
    assert_eq!(end(outcome(&redirect(), 500, &[], &error_body(21220, 500)).await).0, End::Unknown);
}

#[tokio::test]
async fn too_many_requests_is_told_by_the_code_too() {
    let (found, trouble) = end(outcome(&redirect(), 400, &[], &error_body(20429, 400)).await);
    assert_eq!((found, trouble.code), (End::TryLater, Some(20429)));
}

#[tokio::test]
async fn retry_after_is_passed_on_as_it_came() {
    for (status, expected) in [(429, End::TryLater), (503, End::Unknown)] {
        let (found, trouble) = end(outcome(&redirect(), status, &[("Retry-After", "7")], "").await);
        assert_eq!((found, trouble.retry_after_ms), (expected, Some(7000)));
        let (_, trouble) = end(outcome(&redirect(), status, &[("Retry-After", "soon")], "").await);
        assert_eq!(trouble.retry_after_ms, None);
    }
    let past = [("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT")];
    assert_eq!(end(outcome(&redirect(), 429, &past, "").await).1.retry_after_ms, Some(0));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = 1_445_412_480_000; // Wed, 21 Oct 2015 07:28:00 GMT
    for (text, expected) in [
        ("0", Some(0)),
        (" 120 ", Some(120_000)),
        ("18446744073709551615", Some(u64::MAX)),
        ("Wed, 21 Oct 2015 07:28:09 GMT", Some(9000)),
        ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
        ("Wed, 21 Oct 2015 07:28:09 +0000", Some(9000)),
        ("-1", None),
        ("1.5", None),
        ("tomorrow", None),
        ("", None),
    ] {
        assert_eq!(retry_after_ms(text, now), expected, "{text:?}");
    }
}

#[test]
fn the_error_code_is_found_in_every_form_of_body() {
    for (body, expected) in [
        (
            r#"{"code":20404,"message":"m","more_info":"https://www.twilio.com/docs/errors/20404","status":404}"#,
            Some(20404),
        ),
        (r#"{"code":20429,"message":"m","httpStatusCode":429,"params":{},"userError":true}"#, Some(20429)),
        (
            r#"{"type":"https://www.twilio.com/docs/api/errors/20001","title":"t","status":400,"code":20001}"#,
            Some(20001),
        ),
        (r#"{"type":"https://www.twilio.com/docs/api/errors/20001/","title":"t","status":400}"#, Some(20001)),
        (r#"{"code":"21220"}"#, Some(21220)),
        (r#"{"code":null,"more_info":"https://www.twilio.com/docs/errors/20003"}"#, Some(20003)),
        (r#"{"code":null,"more_info":null,"type":"https://x/errors/20003"}"#, Some(20003)),
        (r#"{"code":-1}"#, None),
        (r#"{"code":99999999999}"#, None),
        (r#"{"code":[1]}"#, None),
        (r#"{"status":404}"#, None),
        ("[20404]", None),
        ("20404", None),
        ("<html>20404</html>", None),
        ("\u{0}", None),
        ("", None),
    ] {
        assert_eq!(error_code(body.as_bytes()), expected, "{body}");
    }
    assert_eq!(error_code(&[0xff, 0xfe]), None);
}

#[tokio::test]
async fn a_redirecting_answer_is_not_followed() {
    let elsewhere = Script::start([]).await;
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url();
        let (found, _) = end(outcome(&redirect(), status, &[("Location", &location)], "").await);
        assert_eq!(found, End::Denied);
    }
    assert_eq!(elsewhere.seen().len(), 0);
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown_and_is_not_tried_again() {
    let cuts = [
        Reply::Reset,
        Reply::Last(vec![]),
        Reply::Last(b"HTTP/1.1 2".to_vec()),
        Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
        Reply::Last(b"SMTP ready\r\n\r\n".to_vec()),
    ];
    for operation in every_operation() {
        for cut in &cuts {
            let (performed, script) = performed(&operation, [cut.clone()]).await;
            let (found, trouble) = end(performed.outcome);
            assert_eq!((found, trouble.status), (End::Unknown, None), "{cut:?}");
            script.only();
        }
    }
}

#[tokio::test]
async fn a_used_connection_that_breaks_is_not_tried_again_either() {
    let ok = || Reply::Bytes(answer(200, &[], &stopped()));
    for cut in [Reply::Reset, Reply::Last(vec![])] {
        let script = Script::start([ok(), cut, ok()]).await;
        let client = Client::new(settings(&script.url())).unwrap();
        assert_eq!(client.perform(&stop_stream()).await.outcome, Outcome::Done(Answer::Accepted));
        let (found, _) = end(client.perform(&redirect()).await.outcome);
        assert_eq!(found, End::Unknown);
        assert_eq!(script.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_unknown_to_whoever_needs_it() {
    let cut = Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"participants\"".to_vec());
    let (performed, script) = performed(&read_participants(), [cut]).await;
    let (found, trouble) = end(performed.outcome);
    assert_eq!((found, trouble.status), (End::Unknown, Some(200)));
    script.only();
}

#[tokio::test]
async fn an_error_whose_body_breaks_off_is_judged_by_its_status() {
    let cut = Reply::Last(b"HTTP/1.1 429 Too Many\r\nRetry-After: 2\r\nContent-Length: 500\r\n\r\n{".to_vec());
    let (performed, _) = performed(&redirect(), [cut]).await;
    let (found, trouble) = end(performed.outcome);
    assert_eq!((found, trouble.retry_after_ms), (End::TryLater, Some(2000)));
}

#[tokio::test]
async fn an_error_page_of_megabytes_is_not_read_to_its_end() {
    let mut page = b"HTTP/1.1 502 Bad\r\nContent-Length: 999999999\r\n\r\n".to_vec();
    page.resize(300_000, b'x');
    let (performed, _) = performed(&redirect(), [Reply::HangAfter(page)]).await;
    let (found, trouble) = end(performed.outcome);
    assert_eq!((found, trouble.status), (End::Unknown, Some(502)));
}

#[tokio::test]
async fn silence_ends_with_the_time_out() {
    let beginning = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{".to_vec();
    for (silence, status) in [(Reply::Hang, None), (Reply::HangAfter(beginning), Some(200))] {
        let script = Script::start([silence]).await;
        let (found, trouble) = end(impatient(&script.url()).perform(&read_participants()).await.outcome);
        assert_eq!((found, trouble.status), (End::Unknown, status));
        assert!(trouble.reason.contains("in time"), "{trouble:?}");
        script.only();
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_safe_to_repeat() {
    // Bound and not listened on: the port is ours, and refuses.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    let client = Client::new(settings(&base)).unwrap();
    for operation in every_operation() {
        let performed = client.perform(&operation).await;
        let (found, trouble) = end(performed.outcome);
        assert_eq!((found, performed.request_id), (End::TryLater, None));
        assert_eq!(trouble.reason, "could not connect to Twilio");
    }
}

#[tokio::test]
async fn a_tls_connection_that_cannot_be_made_is_safe_to_repeat() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"not TLS at all\r\n").await.ok();
        }
    });
    let performed = Client::new(settings(&base)).unwrap().perform(&redirect()).await;
    assert_eq!(end(performed.outcome).0, End::TryLater);
}

#[tokio::test]
async fn the_request_id_is_kept_from_every_answer() {
    for status in [200, 404, 429, 500] {
        let reply = Reply::Bytes(answer(status, &[("Twilio-Request-Id", REQUEST)], ""));
        let (performed, _) = performed(&redirect(), [reply]).await;
        assert_eq!(performed.request_id.as_deref(), Some(REQUEST), "{status}");
    }
    let long = "R".repeat(65);
    for strange in ["", "has space", "line=injected", long.as_str()] {
        let reply = Reply::Bytes(answer(200, &[("Twilio-Request-Id", strange)], ""));
        let (performed, _) = performed(&redirect(), [reply]).await;
        assert_eq!(performed.request_id, None, "{strange}");
    }
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_allowed() {
    let (open, gate) = watch::channel(false);
    let replies = (0..9).map(|_| Reply::Gated(gate.clone(), answer(200, &[], &stopped())));
    let script = Script::start(replies).await;
    let client = Arc::new(Client::new(ClientSettings { max_in_flight: 3, ..settings(&script.url()) }).unwrap());
    let all: Vec<_> = (0..9)
        .map(|n| {
            let client = Arc::clone(&client);
            let operation = stop_named(&format!("Stream_{n}"), None);
            tokio::spawn(async move { client.perform(&operation).await.outcome })
        })
        .collect();
    script.wait_for(3).await;
    // Every task runs in this thread: enough turns for a fourth request to be written, if there were one.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(script.seen().len(), 3);
    open.send(true).unwrap();
    for one in all {
        assert_eq!(one.await.unwrap(), Outcome::Done(Answer::Accepted));
    }
    assert_eq!((script.seen().len(), script.most_at_once()), (9, 3));
}

#[tokio::test]
async fn waiting_for_ones_turn_does_not_count_against_the_time_out() {
    let latency = Duration::from_millis(150);
    let script = Script::start((0..4).map(|_| Reply::After(latency, answer(200, &[], &stopped())))).await;
    let settings =
        ClientSettings { max_in_flight: 1, request_timeout: Duration::from_millis(400), ..settings(&script.url()) };
    let client = Arc::new(Client::new(settings).unwrap());
    let all: Vec<_> = (0..4)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.perform(&stop_stream()).await.outcome })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Outcome::Done(Answer::Accepted));
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_gives_its_turn_back() {
    let script = Script::start([Reply::Hang, Reply::Bytes(answer(200, &[], &stopped()))]).await;
    let client = Arc::new(Client::new(ClientSettings { max_in_flight: 1, ..settings(&script.url()) }).unwrap());
    let hanging = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.perform(&redirect()).await }
    });
    script.wait_for(1).await;
    hanging.abort();
    assert_eq!(client.perform(&stop_stream()).await.outcome, Outcome::Done(Answer::Accepted));
}

/// What is logged, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;
    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

#[tokio::test]
async fn a_request_is_one_debug_line_and_shows_no_secret() {
    let lines = Lines::default();
    // With a single subscriber, tracing asks the thread that comes by a log line first whether anybody listens, and
    // remembers its answer for all threads: another test's. With two it asks the subscribers.
    let _second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let headers = [("Twilio-Request-Id", REQUEST)];
    let reply = Reply::Bytes(answer(400, &headers, &error_body(21218, 400)));
    let (performed, script) = performed(&redirect(), [reply]).await;
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("request to Twilio")).collect();
    assert_eq!(ours.len(), 1, "{text}");
    for part in ["DEBUG", "operation=\"redirect\"", "status=400", "ms=", REQUEST] {
        assert!(ours[0].contains(part), "{part} in {}", ours[0]);
    }
    let authorization = script.only().headers["authorization"].clone();
    for hidden in [SECRET, &authorization, "must-not-show", "wss://", WORKER] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert!(!format!("{performed:?}").contains("must-not-show"));
}

#[tokio::test]
async fn neither_the_client_nor_its_settings_show_the_secret() {
    let settings = settings("http://127.0.0.1:1");
    let shown = format!("{settings:?} {:?}", Client::new(settings.clone()).unwrap());
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(shown.contains(ACCOUNT));
}
