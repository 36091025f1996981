//! A command is sent whole when it may be, and never completed when it may not.

use super::*;
use crate::queue::Queue;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use taskrouter_streams::call::step::Answer;
use taskrouter_streams::twilio::client::Arming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(30);

fn commands() -> [Operation; 5] {
    [update_customer(Some(Guard::Lowered), None), redirect(), create_stream(), stop_stream(), end_conference()]
}

/// Keeps what each connection brought until its end, and answers nothing.
fn listening() -> (Queue, Arc<Mutex<Vec<String>>>) {
    let ended = Arc::new(Mutex::new(Vec::new()));
    let kept = ended.clone();
    let queue = Queue::start(move |mut stream: TcpStream| {
        let kept = kept.clone();
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            // A reset ends it as well.
            let _ = stream.read_to_end(&mut bytes).await;
            kept.lock().unwrap().push(String::from_utf8(bytes).unwrap());
            stream.shutdown().await.ok();
        });
    });
    (queue, ended)
}

/// Whether the server could act on what it was sent.
fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.map_or(0, |length| length.parse().unwrap()) <= body.len()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[track_caller]
fn assert_given_up(outcome: &Outcome, name: &str) {
    let Outcome::TryLater(trouble) = outcome else { panic!("{name}: {outcome:?}") };
    assert!(trouble.reason.contains("given up"), "{name}: {trouble:?}");
    assert!(!trouble.lost, "{name}: nothing of it can land");
}

#[tokio::test]
async fn a_command_that_may_not_be_sent_is_never_completed() {
    for operation in commands() {
        let (queue, ended) = listening();
        let client = Client::new(settings(&queue.url())).unwrap();
        let performed = client.permit().await.perform(&operation, Arming::new(|| false)).await;
        assert_given_up(&performed.outcome, operation.name());
        until("the end of the connection", || !ended.lock().unwrap().is_empty()).await;
        let sent = ended.lock().unwrap().clone();
        assert!(sent.len() == 1 && !is_whole(&sent[0]), "{}: {sent:?}", operation.name());
    }
}

#[tokio::test]
async fn a_command_that_may_not_be_sent_is_not_completed_on_a_used_connection_either() {
    for operation in commands() {
        let script = Script::start([Reply::Bytes(answer(200, &[], &stopped()))]).await;
        let client = Client::new(settings(&script.url())).unwrap();
        assert_eq!(client.perform(&stop_stream()).await.outcome, Outcome::Done(Answer::Accepted));
        let performed = client.permit().await.perform(&operation, Arming::new(|| false)).await;
        assert_given_up(&performed.outcome, operation.name());
        script.only();
    }
}

#[tokio::test]
async fn a_command_that_may_be_sent_arrives_whole_with_its_length() {
    for operation in commands() {
        let asked = Arc::new(AtomicUsize::new(0));
        let script = Script::start([Reply::Bytes(answer(503, &[], ""))]).await;
        let client = Client::new(settings(&script.url())).unwrap();
        let counted = asked.clone();
        let arming = Arming::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            true
        });
        client.permit().await.perform(&operation, arming).await;
        let seen = script.only();
        assert!(!seen.body.is_empty(), "{}", operation.name());
        assert_eq!(seen.headers["content-length"], seen.body.len().to_string(), "{}", operation.name());
        assert_eq!(seen.headers.get("transfer-encoding"), None, "{}", operation.name());
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{}", operation.name());
    }
}

#[tokio::test]
async fn a_command_is_asked_about_when_it_has_a_connection_and_not_before() {
    let (queue, ended) = listening();
    let client = Client::new(settings(&queue.url())).unwrap();
    queue.fill().await;
    let (may_send, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let arming = Arming::new({
        let (may_send, asked) = (may_send.clone(), asked.clone());
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            may_send.load(Ordering::SeqCst)
        }
    });
    let performing = tokio::spawn(async move { client.permit().await.perform(&redirect(), arming).await.outcome });
    until("a connection under way", || queue.is_awaited()).await;
    assert_eq!(asked.load(Ordering::SeqCst), 0, "there is no connection yet");
    may_send.store(false, Ordering::SeqCst);
    queue.drain();
    assert_given_up(&performing.await.unwrap(), "redirect");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    until("the end of the connection", || !ended.lock().unwrap().is_empty()).await;
    let sent = ended.lock().unwrap().clone();
    assert!(sent.iter().all(|request| !is_whole(request)), "{sent:?}");
}
