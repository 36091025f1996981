//! The streams' sockets: each is opened with a signed handshake and given `connected`, `start`, 20 ms of audio per track 50
//! times a second, and `stop`.
//!
//! Source: <https://www.twilio.com/docs/voice/media-streams/websocket-messages>. A stream of this kind is unidirectional:
//! `mark`, `clear` and `dtmf` are never sent, and what the destination says is not listened to. A socket that is lost stays
//! lost, as with Twilio, and the world is told why.

use super::shared::Shared;
use super::sim_config::Chunks;
use super::world::{SocketFailure, SocketOrder, SocketTarget};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use taskrouter_streams::call::sid::StreamSid;
use taskrouter_streams::twilio::signature::sign;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What one media message carries. That it is 20 ms is observed, not documented.
const FRAME: Duration = Duration::from_millis(20);

/// 20 ms at 8000 Hz; in µ-law a sample is a byte.
pub(super) const FRAME_SAMPLES: u8 = 160;

/// How long a destination may leave a message in its way before the connection counts as broken.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// How long a destination may take to answer the closing of its socket.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// How a stream ends that has not failed by itself.
enum End {
    Stopped,
    Cut,
}

/// One thing that the simulator is not quiet without; over when dropped.
struct Pending(Arc<Shared>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.delivery_done();
    }
}

/// Carries out the world's orders until cancelled. Each came with one delivery to expect.
pub(super) async fn dispatch(
    shared: Arc<Shared>,
    mut orders: mpsc::UnboundedReceiver<SocketOrder>,
    tracker: TaskTracker,
    cancel: CancellationToken,
) {
    let mut open: BTreeMap<StreamSid, oneshot::Sender<(End, Pending)>> = BTreeMap::new();
    loop {
        let order = tokio::select! {
            () = cancel.cancelled() => return,
            order = orders.recv() => match order { Some(order) => order, None => return },
        };
        let pending = Pending(shared.clone());
        let (stream, end) = match order {
            SocketOrder::Open(target) => {
                let (sender, ended) = oneshot::channel();
                // Those that failed are never ordered to end.
                open.retain(|_, sender| !sender.is_closed());
                open.insert(target.stream.clone(), sender);
                let (shared, cancel) = (shared.clone(), cancel.clone());
                tracker.spawn(async move {
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = carry(&shared, *target, pending, ended) => {}
                    }
                });
                continue;
            }
            SocketOrder::Stop(stream) => (stream, End::Stopped),
            SocketOrder::Cut(stream) => (stream, End::Cut),
        };
        if let Some(sender) = open.remove(&stream) {
            // A stream that has failed meanwhile has nothing left to end.
            let _ = sender.send((end, pending));
        }
    }
}

/// A stream's socket from its handshake to its end.
async fn carry(shared: &Shared, target: SocketTarget, opening: Pending, mut ended: oneshot::Receiver<(End, Pending)>) {
    let stream = target.stream.clone();
    let opened = async {
        let socket =
            tokio::time::timeout(shared.socket_connect(), connect(&target, shared.auth_token().expose_secret())).await;
        let mut line = Line { socket: socket.map_err(|_| SocketFailure::TimedOut)??, target, sequence: 0 };
        line.begin().await?;
        Ok(line)
    };
    let opened = tokio::select! {
        // Stopped before it was open: the destination never hears of it.
        _ = &mut ended => return,
        opened = opened => opened,
    };
    let failure = match opened {
        Ok(line) => {
            shared.with(|world| world.socket_opened(&stream));
            drop(opening);
            line.talk(shared.chunks(), ended).await
        }
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failure {
        shared.with(|world| world.socket_failed(&stream, failure));
    }
}

async fn connect(target: &SocketTarget, token: &str) -> Result<WebSocketStream<TcpStream>, SocketFailure> {
    let request = handshake(target, token).ok_or(SocketFailure::Unreachable)?;
    let authority = request.uri().authority().filter(|_| request.uri().scheme_str() == Some("ws"));
    let authority = authority.ok_or(SocketFailure::Unreachable)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await.map_err(|error| {
        if error.kind() == ErrorKind::ConnectionRefused { SocketFailure::Refused } else { SocketFailure::Unreachable }
    })?;
    // A frame every 20 ms must not wait for the acknowledgement of the one before; without it the stream is late only.
    let _ = tcp.set_nodelay(true);
    let answered = tokio_tungstenite::client_async(request, tcp).await;
    answered.map(|(socket, _)| socket).map_err(|_| SocketFailure::Handshake)
}

/// The request to the local address, as a proxy in front would pass it on: with the public host, signed for the public
/// `wss://` address. `None` when an address cannot be read.
fn handshake(target: &SocketTarget, token: &str) -> Option<Request> {
    let public = target.url.as_str().into_client_request().ok()?;
    let mut request = target.local.as_str().into_client_request().ok()?;
    let signature = sign::<&str, &str>(&target.url, &[], token);
    request.headers_mut().insert("X-Twilio-Signature", HeaderValue::from_str(&signature).ok()?);
    request.headers_mut().insert("Host", public.headers().get("Host")?.clone());
    Some(request)
}

/// An open socket and how far its messages are numbered.
struct Line {
    socket: WebSocketStream<TcpStream>,
    target: SocketTarget,
    sequence: u64,
}

impl Line {
    async fn begin(&mut self) -> Result<(), SocketFailure> {
        self.send(vec![json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})]).await?;
        let target = &self.target;
        let parameters: BTreeMap<_, _> = target.parameters.iter().map(|(name, value)| (name, value)).collect();
        let start = json!({
            "accountSid": target.account.as_str(), "streamSid": target.stream.as_str(),
            "callSid": target.call.as_str(), "tracks": tracks(target.track),
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        });
        let start = self.numbered("start", start);
        self.send(vec![start]).await
    }

    /// Sends audio until the stream ends; says why when it failed by itself.
    async fn talk(mut self, chunks: Chunks, mut ended: oneshot::Receiver<(End, Pending)>) -> Option<SocketFailure> {
        let voices: Vec<(&str, String)> =
            tracks(self.target.track).iter().map(|track| (*track, voice(track))).collect();
        let tracks: u64 = voices.iter().zip(1..).last().map_or(1, |(_, count)| count);
        let mut beat = tokio::time::interval(FRAME);
        let mut frame: u64 = 0;
        loop {
            tokio::select! {
                end = &mut ended => {
                    if let Ok((End::Stopped, _pending)) = end {
                        self.end().await;
                    }
                    return None;
                }
                heard = self.socket.next() => match heard {
                    Some(Ok(Message::Close(_))) | None => return Some(SocketFailure::ClosedByServer),
                    Some(Err(_)) => return Some(SocketFailure::BrokenPipe),
                    Some(Ok(_)) => {}
                },
                _ = beat.tick() => {
                    let timestamp = (frame * 20).to_string();
                    let media = voices.iter().zip(1..).map(|((track, payload), place)| {
                        let chunk = match chunks {
                            Chunks::PerTrack => frame + 1,
                            Chunks::PerStream => frame * tracks + place,
                        };
                        let chunk = chunk.to_string();
                        let media = json!({"track": track, "chunk": chunk, "timestamp": timestamp, "payload": payload});
                        self.numbered("media", media)
                    });
                    let media = media.collect();
                    if let Err(failure) = self.send(media).await {
                        return Some(failure);
                    }
                    frame += 1;
                }
            }
        }
    }

    /// Says `stop` and closes; the stream is over whatever the destination makes of it.
    async fn end(mut self) {
        let stop = json!({"accountSid": self.target.account.as_str(), "callSid": self.target.call.as_str()});
        let stop = self.numbered("stop", stop);
        let farewell = async {
            if self.send(vec![stop]).await.is_ok() && self.socket.close(None).await.is_ok() {
                // Until the destination has read all of it and closed on its side.
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = tokio::time::timeout(CLOSE_LIMIT, farewell).await;
    }

    /// A message with the next sequence number. Numbers are strings.
    fn numbered(&mut self, event: &str, content: Value) -> Value {
        self.sequence += 1;
        json!({
            "event": event, "sequenceNumber": self.sequence.to_string(), event: content,
            "streamSid": self.target.stream.as_str(),
        })
    }

    async fn send(&mut self, messages: Vec<Value>) -> Result<(), SocketFailure> {
        let sent = async {
            for message in messages {
                self.socket.feed(Message::text(message.to_string())).await?;
            }
            self.socket.flush().await
        };
        match tokio::time::timeout(SEND_LIMIT, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => Err(SocketFailure::ClosedByServer),
            Ok(Err(_)) | Err(_) => Err(SocketFailure::BrokenPipe),
        }
    }
}

/// The tracks as the messages name them; REST and TwiML say `inbound_track`, `outbound_track`, `both_tracks`.
fn tracks(track: &str) -> &'static [&'static str] {
    match track {
        "inbound_track" => &["inbound"],
        "outbound_track" => &["outbound"],
        _ => &["inbound", "outbound"],
    }
}

/// 20 ms of a tone, the customer's 400 Hz and the agents' 500 Hz, so that somebody who listens hears which track it is. Both
/// fit the frame in whole periods.
fn voice(track: &str) -> String {
    let periods = if track == "inbound" { 8.0 } else { 10.0 };
    let sample =
        |place: u8| (f64::from(place) / f64::from(FRAME_SAMPLES) * periods * std::f64::consts::TAU).sin() * 8_000.0;
    STANDARD.encode((0..FRAME_SAMPLES).map(|place| mu_law(sample(place))).collect::<Vec<u8>>())
}

/// A sample of 16 bits in µ-law (ITU-T G.711): sign, segment and step, inverted.
fn mu_law(sample: f64) -> u8 {
    let sign = if sample < 0.0 { 0x80 } else { 0 };
    let magnitude = sample.abs().min(32_635.0) + 132.0;
    let (mut segment, mut step) = (0_u8, magnitude / 8.0);
    while step >= 32.0 && segment < 7 {
        step /= 2.0;
        segment += 1;
    }
    // `step` is now 16 to 32, of which the lowest four bits count.
    let step = step as u8 & 0x0f;
    !(sign | segment << 4 | step)
}
