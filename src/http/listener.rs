//! A server whose threads are watched.
//!
//! actix replaces a thread that has died only when the next connection comes. Where it cannot, as at the limit of open files, it logs
//! a line and goes on without: in the end a process that lives and does not listen. So the end of a thread ends the listener.

use actix_web::dev::{Server, ServerHandle};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A server, and whether all of its threads live.
pub struct Listener {
    server: Server,
    threads: Threads,
    stopping: CancellationToken,
}

impl Listener {
    pub(super) fn new(server: Server, threads: Threads) -> Self {
        Self { server, threads, stopping: CancellationToken::new() }
    }

    pub fn handle(&self) -> ListenerHandle {
        ListenerHandle { server: self.server.handle(), stopping: self.stopping.clone() }
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// When it cannot begin, or one of its threads ends before it is stopped.
    pub async fn run(self) -> io::Result<()> {
        let mut server = pin!(self.server);
        tokio::select! {
            // The threads are told to stop by polling the server, after `stopping`: one that ends then ends in order.
            biased;
            ended = &mut server => return ended,
            () = self.stopping.cancelled() => {}
            () = self.threads.0.cancelled() => return Err(io::Error::other("one of its threads has died")),
        }
        server.await
    }
}

/// Stops a listener.
#[derive(Clone)]
pub struct ListenerHandle {
    server: ServerHandle,
    stopping: CancellationToken,
}

impl ListenerHandle {
    /// Accepts nothing more, and waits for requests under way.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.server.stop(true).await;
    }
}

/// The threads of a server.
#[derive(Clone, Default)]
pub(super) struct Threads(CancellationToken);

impl Threads {
    /// For a thread's service to hold: it is dropped with the thread.
    pub(super) fn watch(&self) -> Rc<DropGuard> {
        Rc::new(self.0.clone().drop_guard())
    }
}
