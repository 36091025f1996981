//! A destination of streams, as a customer of Twilio would run it: it takes the sockets, checks everything that Twilio
//! documents of them, and writes down who was heard and for how long. It can also behave badly on command.

mod transcript;

pub use transcript::{BROKEN_OFF, Heard, Transcript};

use super::shared::{locked, system_now};
use super::sim_config::Route;
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use taskrouter_streams::call::sid::StreamSid;
use taskrouter_streams::twilio::signature::sign;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stream's socket may take over its handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How the next socket is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misconduct {
    /// The handshake is answered with this status.
    Refuses(u16),
    /// The handshake is never answered.
    Hangs,
}

/// How a stream under way is ended from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// With a closing frame, as a server that shuts down.
    Closes,
    /// The connection just ends, as when a machine dies.
    Dies,
}

/// A running destination. Dropping it stops it; [`Consumer::stop`] also waits.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    public: String,
    auth_token: SecretString,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which the sockets came.
    transcripts: Vec<Transcript>,
    misconduct: VecDeque<Misconduct>,
    farewells: BTreeMap<StreamSid, (Farewell, CancellationToken)>,
    forged: u64,
}

impl Consumer {
    /// Starts on a free port of 127.0.0.1 as the destination of all addresses below `public` (`wss://…`), whose sockets must
    /// be signed with the account's token.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(public: &str, auth_token: SecretString) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { public: public.to_owned(), auth_token, state: Mutex::default(), changed: Notify::new() });
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(accept(shared.clone(), listener, tasks.clone(), cancel.clone()));
        Ok(Self { shared, address, tasks, cancel })
    }

    /// Where the destination is, for [`super::SimConfig::sockets`].
    pub fn route(&self) -> Route {
        Route { public: self.shared.public.clone(), local: format!("ws://{}", self.address) }
    }

    /// What was heard so far, one entry a socket, in the order in which they came.
    pub fn heard(&self) -> Vec<Heard> {
        locked(&self.shared.state).transcripts.iter().map(|transcript| transcript.heard().clone()).collect()
    }

    /// How many sockets were refused for their signature.
    pub fn forged(&self) -> u64 {
        locked(&self.shared.state).forged
    }

    /// The next `times` sockets are treated like this.
    pub fn misbehaves(&self, misconduct: Misconduct, times: usize) {
        locked(&self.shared.state).misconduct.extend((0..times).map(|_| misconduct));
    }

    /// Ends a stream under way from this side; false when there is none of that SID.
    pub fn ends(&self, stream: &StreamSid, farewell: Farewell) -> bool {
        let mut state = locked(&self.shared.state);
        state.farewells.get_mut(stream).is_some_and(|(how, now)| {
            *how = farewell;
            now.cancel();
            true
        })
    }

    /// Waits until what was heard is as wanted; false when that took longer than `limit`.
    pub async fn until(&self, wanted: impl Fn(&[Heard]) -> bool, limit: Duration) -> bool {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if wanted(&self.heard()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Hangs up on everybody and waits until all of it is over.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, tracker: TaskTracker, cancel: CancellationToken) {
    loop {
        let taken = tokio::select! {
            () = cancel.cancelled() => return,
            taken = listener.accept() => taken,
        };
        // A connection that was gone again before it was taken is nobody's.
        let Ok((tcp, _)) = taken else { continue };
        let (shared, cancel) = (shared.clone(), cancel.clone());
        tracker.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = serve(&shared, tcp) => {}
            }
        });
    }
}

async fn serve(shared: &Shared, tcp: TcpStream) {
    let misconduct = locked(&shared.state).misconduct.pop_front();
    if misconduct == Some(Misconduct::Hangs) {
        // Held until the other side gives up, which shows as the end of what it sends.
        let _ = drain(&tcp).await;
        return;
    }
    if let Some((socket, path)) = greet(shared, tcp, misconduct).await {
        let place = {
            let mut state = locked(&shared.state);
            state.transcripts.push(Transcript::of(&path));
            state.transcripts.len() - 1
        };
        shared.changed.notify_waiters();
        listen(shared, socket, place).await;
        shared.changed.notify_waiters();
    }
}

/// Answers the handshake; the socket and the path that it asked for, unless it was refused.
async fn greet(
    shared: &Shared,
    tcp: TcpStream,
    misconduct: Option<Misconduct>,
) -> Option<(WebSocketStream<TcpStream>, String)> {
    let mut path = String::new();
    let mut forged = false;
    #[expect(clippy::result_large_err, reason = "the library's callback has this type")]
    let answer = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        path = request.uri().path().to_owned();
        if let Some(Misconduct::Refuses(status)) = misconduct {
            return Err(refusal(StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)));
        }
        forged = !is_signed(shared, request);
        if forged { Err(refusal(StatusCode::FORBIDDEN)) } else { Ok(response) }
    };
    let greeted = tokio::time::timeout(HANDSHAKE_LIMIT, tokio_tungstenite::accept_hdr_async(tcp, answer)).await;
    if forged {
        locked(&shared.state).forged += 1;
        shared.changed.notify_waiters();
    }
    // What is no WebSocket, or gave up, has nothing to be heard.
    Some((greeted.ok()?.ok()?, path))
}

async fn listen(shared: &Shared, mut socket: WebSocketStream<TcpStream>, place: usize) {
    let leave = CancellationToken::new();
    loop {
        let message = tokio::select! {
            () = leave.cancelled() => break,
            message = socket.next() => message,
        };
        let open = shared.write_down(place, message, &leave);
        shared.changed.notify_waiters();
        if !open {
            return;
        }
    }
    if shared.left(place) == Some(Farewell::Closes) {
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    }
}

impl Shared {
    /// Writes down what came; false when it was the end.
    fn write_down(&self, place: usize, message: Option<Result<Message, Error>>, leave: &CancellationToken) -> bool {
        let mut state = locked(&self.state);
        let Some(transcript) = state.transcripts.get_mut(place) else { return false };
        let mut open = true;
        match message {
            Some(Ok(Message::Text(text))) => transcript.take(&text, system_now()),
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => transcript.complain("a message is not text"),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) => transcript.closed(true),
            Some(Err(_)) | None => {
                transcript.closed(false);
                open = false;
            }
        }
        if let Some(stream) = transcript.heard().stream.clone() {
            if open {
                state.farewells.entry(stream).or_insert_with(|| (Farewell::Dies, leave.clone()));
            } else {
                state.farewells.remove(&stream);
            }
        }
        open
    }

    /// Writes down that the stream was ended from this side; how.
    fn left(&self, place: usize) -> Option<Farewell> {
        let mut state = locked(&self.state);
        let transcript = state.transcripts.get_mut(place)?;
        transcript.left();
        let stream = transcript.heard().stream.clone()?;
        state.farewells.remove(&stream).map(|(farewell, _)| farewell)
    }
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(None);
    *refusal.status_mut() = status;
    refusal
}

/// Documented: the handshake is signed over the public address with its `wss://`, and without parameters.
fn is_signed(shared: &Shared, request: &Request) -> bool {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let expected = sign::<&str, &str>(&format!("{}{target}", shared.public), &[], shared.auth_token.expose_secret());
    request.headers().get("X-Twilio-Signature").is_some_and(|given| given.as_bytes() == expected.as_bytes())
}

/// Reads until the other side ends.
async fn drain(tcp: &TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        tcp.readable().await?;
        match tcp.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
