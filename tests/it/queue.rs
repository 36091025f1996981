//! A listener whose queue can be full: connections to it then stay under way until it is drained.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Linux takes one connection more than asked for.
const BACKLOG: u32 = 1;

/// A connection over loopback that is not made by then finds no room.
const HANGS: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Drained,
    Filling,
    Full,
}

/// Accepts connections, but for the times when its queue is full.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Queue {
    /// Every connection is given to `accepted`.
    pub(crate) fn start(accepted: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        let address = listener.local_addr().unwrap();
        let queue = Self { address, state: Arc::new(watch::Sender::new(State::Drained)) };
        tokio::spawn(queue.clone().accept(listener, accepted));
        queue
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on no connection is made. The client's system tries again after a second, then after two more.
    pub(crate) async fn fill(&self) {
        self.state.send_replace(State::Filling);
        self.state.subscribe().wait_for(|state| *state == State::Full).await.unwrap();
    }

    pub(crate) fn drain(&self) {
        self.state.send_replace(State::Drained);
    }

    /// Whether a client has asked for a connection and is not connected.
    pub(crate) fn is_awaited(&self) -> bool {
        const SYN_SENT: &str = "02";
        let remote = format!("0100007F:{:04X}", self.address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = table.lines().map(|row| row.split_whitespace().skip(2));
        rows.any(|mut row| row.next() == Some(&remote) && row.next() == Some(SYN_SENT))
    }

    async fn accept(self, listener: TcpListener, mut accepted: impl FnMut(TcpStream)) {
        let mut state = self.state.subscribe();
        let mut fillers: Vec<SocketAddr> = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = async { drop(state.wait_for(|state| *state == State::Filling).await) } => {
                    let mut open = Vec::new();
                    // Until one hangs: a client may have been in the queue already.
                    while let Ok(filler) = timeout(HANGS, TcpStream::connect(self.address)).await {
                        open.push(filler.unwrap());
                    }
                    fillers = open.iter().map(|filler| filler.local_addr().unwrap()).collect();
                    self.state.send_replace(State::Full);
                    drop(state.wait_for(|state| *state == State::Drained).await);
                }
                connection = listener.accept() => {
                    let (stream, peer) = connection.unwrap();
                    if !fillers.contains(&peer) {
                        accepted(stream);
                    }
                }
            }
        }
    }
}
