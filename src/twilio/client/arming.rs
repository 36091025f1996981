//! Commands that are given up at the last moment.
//!
//! Between the decision to send a command and its bytes on the wire lie a connection, TLS and a scheduler that may stop the
//! process for seconds. So the body of a command is handed out only when its connection asks for it, and only if the command
//! may still be sent then. Otherwise the request is never completed, and the server never acts on it. The window is bounded,
//! not gone: a stall within the write itself remains.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// Whether a command may still be sent.
#[derive(Clone)]
pub struct Arming {
    may_send: Arc<dyn Fn() -> bool + Send + Sync>,
    disarmed: Arc<AtomicBool>,
}

/// The command was given up: its time had passed before its connection was ready.
#[derive(Debug, thiserror::Error)]
#[error("the command was given up before it was sent")]
struct Disarmed;

struct ArmedBody {
    arming: Arming,
    body: Option<Bytes>,
}

impl fmt::Debug for Arming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arming").field("disarmed", &self.is_disarmed()).finish_non_exhaustive()
    }
}

impl Arming {
    /// `may_send` is asked when the connection is ready to write the command.
    pub fn new(may_send: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { may_send: Arc::new(may_send), disarmed: Arc::default() }
    }

    /// A command that may be sent at any time.
    pub fn always() -> Self {
        Self::new(|| true)
    }

    /// Whether the command was given up.
    pub(super) fn is_disarmed(&self) -> bool {
        self.disarmed.load(Ordering::SeqCst)
    }

    pub(super) fn body(&self, body: String) -> reqwest::Body {
        reqwest::Body::wrap(ArmedBody { arming: self.clone(), body: Some(Bytes::from(body)) })
    }
}

impl Body for ArmedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.body.is_some() && !(self.arming.may_send)() {
            self.arming.disarmed.store(true, Ordering::SeqCst);
            return Poll::Ready(Some(Err(Box::new(Disarmed))));
        }
        Poll::Ready(self.body.take().map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    /// Exact, so that the request has a `Content-Length` and is incomplete without its body.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.as_ref().map_or(0, |body| body.len() as u64))
    }
}
