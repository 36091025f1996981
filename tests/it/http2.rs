//! HTTP/2 without TLS on the public listener: what proxies speak, within the same limits.

use crate::ingress::{BASE, FORM, TARGET, event, fake, sid, status};
use crate::pace::scaled;
use crate::strangers::{Listener, MIB, PATIENCE, is_closed, listen, rest};
use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use taskrouter_streams::twilio::signature::sign;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A proxy's connection, over which anybody's requests go.
struct Proxy {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

async fn connect(address: SocketAddr) -> Proxy {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (requests, connection) = Builder::new().handshake(socket).await.unwrap();
    Proxy { requests, connection: tokio::spawn(connection) }
}

impl Proxy {
    async fn begin(&mut self, target: &str, headers: &[(&str, &str)]) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = http::Request::post(format!("http://worker.example{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut ready = self.requests.clone().ready().await.unwrap();
        ready.send_request(request.body(()).unwrap(), false).unwrap()
    }

    async fn post(&mut self, target: &str, signature: &str, body: &str) -> Result<u16, h2::Error> {
        let headers = [("content-type", FORM), ("x-twilio-signature", signature)];
        let (response, mut sending) = self.begin(target, &headers).await;
        sending.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
        timeout(scaled(PATIENCE), response).await.unwrap().map(|response| response.status().as_u16())
    }

    /// What a request that Twilio signed is answered with.
    async fn good(&mut self) -> u16 {
        let (body, signature) = event(1, 1);
        self.post(TARGET, &signature, &body).await.unwrap()
    }

    /// A stranger's request, of which so much arrives and the rest does not.
    async fn unfinished(&mut self, bytes: usize) -> (ResponseFuture, SendStream<Bytes>) {
        let (response, mut sending) = self.begin(TARGET, &[("content-type", FORM)]).await;
        sending.send_data(Bytes::from(vec![b'a'; bytes]), false).unwrap();
        (response, sending)
    }

    async fn ended(self) -> bool {
        drop(self.requests);
        timeout(scaled(PATIENCE), self.connection).await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_requests_are_taken_over_http2_many_at_a_time() {
    let journal = fake(99, false);
    let listener = listen(journal.clone(), |_| {});
    let mut proxy = connect(listener.address).await;
    assert_eq!(proxy.good().await, 204);
    let several = (0..20).map(|_| {
        let mut proxy = Proxy { requests: proxy.requests.clone(), connection: tokio::spawn(async { Ok(()) }) };
        tokio::spawn(async move { proxy.good().await })
    });
    for answer in several.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), 204);
    }
    assert_eq!(*journal.kept.lock().unwrap(), [sid("EV", 1)]);
    let with_query = format!("{TARGET}?env=prod&x=a%20b");
    let signature = sign(&format!("{BASE}{with_query}"), &[("a", "b")], "token");
    assert_eq!(proxy.post(&with_query, &signature, "a=b").await.unwrap(), 400, "signed, and no event");
    let (body, _) = event(1, 1);
    assert_eq!(proxy.post(TARGET, &signature, &body).await.unwrap(), 403, "another request's signature");
    assert_eq!(proxy.good().await, 204, "whoever has signed is kept");
    assert_eq!(listener.good(), "204", "and HTTP/1 is spoken beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_is_not_kept_connected() {
    let listener = listen(fake(9, false), |_| {});
    let mut stranger = connect(listener.address).await;
    assert_eq!(stranger.post(TARGET, "x", "a=b").await.unwrap(), 403);
    assert!(stranger.ended().await);
    listener.until("connections", |count| count == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_nobody_has_verified_are_bounded_over_connections() {
    let listener = listen(fake(9, false), |settings| settings.connections.unverified_bytes = MIB);
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stranger = connect(listener.address).await;
        let request = stranger.unfinished(60 * 1024).await;
        held.push((stranger, request));
        assert!(listener.sample("unverified_bytes") <= MIB);
    }
    listener.until("connections_evicted_total{reason=\"unverified_bytes\"}", |count| count >= 6);
    let (oldest, _) = held.remove(0);
    assert!(oldest.ended().await, "the oldest is closed");
    assert_eq!(connect(listener.address).await.good().await, 204);
    assert_eq!(listener.good(), "204");
    drop(held);
    listener.until("unverified_bytes", |bytes| bytes == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_behind_a_proxy_do_not_cost_twilio_the_connection_that_they_share() {
    let listener = listen(fake(99, false), |settings| settings.connections.unverified_bytes = 256 * 1024);
    let mut proxy = connect(listener.address).await;
    assert_eq!(proxy.good().await, 204);
    let mut held = Vec::new();
    for _ in 0..8 {
        // As much as the window of the connection holds; what has been read of it may be sent again.
        held.push(proxy.unfinished(48 * 1024).await);
        assert_eq!(proxy.good().await, 204);
        assert!(listener.sample("unverified_bytes") <= 256 * 1024);
    }
    listener.until("connections_evicted_total{reason=\"unverified_bytes\"}", |count| count >= 2);
    let (oldest, _sending) = held.remove(0);
    let error = timeout(scaled(PATIENCE), oldest).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM), "the oldest request goes alone");
    assert_eq!(proxy.post(TARGET, "x", "a=b").await.unwrap(), 403);
    assert_eq!(proxy.good().await, 204, "a stranger's refusal is not the proxy's");
    drop(held);
    listener.until("unverified_bytes", |bytes| bytes == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_refused() {
    let listener = listen(fake(9, false), |_| {});
    let mut proxy = connect(listener.address).await;
    let long = "a".repeat(20 * 1024);
    let (response, _sending) = proxy.begin(TARGET, &[("x-long", &long)]).await;
    let answer = timeout(scaled(PATIENCE), response).await.unwrap();
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status().as_u16() == 431));
    assert_eq!(listener.good(), "204");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let listener = listen(fake(9, false), |settings| settings.client_timeout = Duration::from_millis(200));
    let mut proxy = connect(listener.address).await;
    let (response, _sending) = proxy.unfinished(9).await;
    assert_eq!(timeout(scaled(PATIENCE), response).await.unwrap().unwrap().status().as_u16(), 408);
}

#[test]
fn connections_that_say_nothing_or_half_a_preface_are_closed() {
    let quick = |listener: &Listener, sent: &[u8]| {
        let mut socket = TcpStream::connect(listener.address).unwrap();
        socket.set_read_timeout(Some(scaled(PATIENCE))).unwrap();
        socket.write_all(sent).unwrap();
        socket
    };
    let listener = listen(fake(9, false), |settings| {
        settings.client_timeout = Duration::from_millis(200);
        settings.keep_alive = Duration::from_millis(200);
    });
    for sent in [b"".as_slice(), b"P", b"PRI * HTTP/2.0\r\n"] {
        assert_eq!(status(&rest(&mut quick(&listener, sent))), "408", "{sent:?}");
    }
    // A whole preface, and then nothing: first the settings, then that it goes away.
    let settings = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let mut idle = quick(&listener, &settings);
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut idle, &mut answer);
    assert_eq!(answer.get(3), Some(&4), "{answer:?}");
    assert!(is_closed(&mut idle));
    // What only begins as the preface does is HTTP/1, if anything.
    for (sent, expected) in [(b"PRI * HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(), "404"), (b"PR\0\r\n\r\n", "400")] {
        assert_eq!(status(&rest(&mut quick(&listener, sent))), expected, "{sent:?}");
    }
    listener.until("connections", |count| count == 0);
}
