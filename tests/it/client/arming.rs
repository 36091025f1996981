//! Commands that are given up at the last moment: nothing of them is ever completed.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use taskrouter_streams::call::step::Answer;
use taskrouter_streams::twilio::client::Arming;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What `may_send` says, and how often it was asked.
fn armed(says: &Arc<AtomicBool>, asked: &Arc<AtomicUsize>) -> Arming {
    let (says, asked) = (says.clone(), asked.clone());
    Arming::new(move || {
        asked.fetch_add(1, Ordering::SeqCst);
        says.load(Ordering::SeqCst)
    })
}

fn commands() -> [Operation; 5] {
    [update_customer(Some(Guard::Lowered), None), redirect(), create_stream(), stop_stream(), end_conference()]
}

#[track_caller]
fn is_given_up(performed: &Performed) {
    let Outcome::TryLater(trouble) = &performed.outcome else { panic!("{performed:?}") };
    assert!(trouble.reason.contains("given up") && !trouble.lost, "{trouble:?}");
}

/// I1.
#[tokio::test]
async fn a_command_that_may_not_be_sent_any_more_is_never_completed() {
    for operation in commands() {
        for used in [false, true] {
            let good = || Reply::Bytes(answer(200, &[], &stopped()));
            let script = Script::start([good(), good()]).await;
            let client = Client::new(settings(&script.url())).unwrap();
            let mut expected = 0;
            if used {
                client.perform(&stop_stream()).await;
                expected += 1;
            }
            let (says, asked) = (Arc::new(AtomicBool::new(false)), Arc::default());
            let performed = client.permit().await.perform(&operation, armed(&says, &asked)).await;
            is_given_up(&performed);
            assert_eq!(asked.load(Ordering::SeqCst), 1, "{}", operation.name());
            assert_eq!(script.seen().len(), expected, "{}, on a used connection: {used}", operation.name());
            // The next one goes its way.
            let performed = client.permit().await.perform(&stop_stream(), Arming::always()).await;
            assert_eq!(performed.outcome, Outcome::Done(Answer::Accepted));
            assert_eq!(script.seen().len(), expected + 1);
        }
    }
}

#[tokio::test]
async fn a_command_that_may_be_sent_is_asked_for_once_and_sent_whole() {
    let script = Script::start([Reply::Bytes(answer(200, &[], &stopped()))]).await;
    let client = Client::new(settings(&script.url())).unwrap();
    let (says, asked) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let performed = client.permit().await.perform(&stop_stream(), armed(&says, &asked)).await;
    assert_eq!(performed.outcome, Outcome::Done(Answer::Accepted));
    assert_eq!((asked.load(Ordering::SeqCst), script.only().body.as_str()), (1, "Status=stopped"));
}

/// A listener whose queue is full, so that the next connection hangs; with what fills it.
async fn full() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        fillers.push(filler.unwrap());
        assert!(fillers.len() < 50, "the queue is never full");
    }
    (listener, fillers)
}

/// I1: between the decision and the bytes lies a connection that hangs, and meanwhile the lease ends.
#[tokio::test]
async fn a_command_whose_time_passes_while_its_connection_is_made_is_never_completed() {
    let (listener, fillers) = full().await;
    let client = Client::new(settings(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    let (says, asked) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicUsize>::default());
    let arming = armed(&says, &asked);
    let performing = tokio::spawn(async move { client.permit().await.perform(&redirect(), arming).await });
    // The connection hangs, and nobody is asked yet.
    let hangs = tokio::time::timeout(Duration::from_millis(300), async {
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    });
    assert!(hangs.await.is_err(), "asked before there was a connection");
    says.store(false, Ordering::SeqCst);
    drop(fillers);
    let received = tokio::spawn(async move {
        let mut received = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if stream.read_to_end(&mut received).await.is_err() || !received.is_empty() {
                return String::from_utf8(received).unwrap();
            }
        }
    });
    let performed = tokio::time::timeout(Duration::from_secs(10), performing).await.unwrap().unwrap();
    is_given_up(&performed);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "once the connection was ready");
    received.abort();
    if let Ok(received) = received.await {
        assert!(!received.contains("Twiml"), "{received}");
    }
}
