use super::connections::Place;
use actix_web::rt::net::TcpStream;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read of a connection before those are handled. actix reads on for as long as there is more, up to 128 KiB, into a buffer that
/// it keeps; it has 8 KiB at first, and grows as soon as less than 1 KiB of it is free.
pub(super) const READ_AT_ONCE: usize = 7 * 1024;

/// What a client begins with that speaks HTTP/2 without TLS: <https://www.rfc-editor.org/rfc/rfc9113#section-3.4>.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket that counts what it receives, and that fails once its connection is evicted.
pub(super) struct GuardedStream {
    io: TcpStream,
    place: Place,
    /// Bytes read since the last pause.
    read: usize,
    /// Bytes read, and counted, to find out the version of HTTP; they are handed out before all others.
    ahead: Vec<u8>,
    /// What HTTP/2 receives is counted by the requests that it belongs to.
    counts: bool,
}

impl GuardedStream {
    pub(super) fn new(io: TcpStream, place: Place) -> Self {
        Self { io, place, read: 0, ahead: Vec::new(), counts: true }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Reads until it is clear whether the client speaks HTTP/2. Whoever serves the connection reads the same bytes again.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<bool> {
        while self.ahead.len() < PREFACE.len() {
            if !PREFACE.starts_with(&self.ahead) {
                return Ok(false);
            }
            let mut bytes = [0; PREFACE.len()];
            let mut buffer = ReadBuf::new(&mut bytes[self.ahead.len()..]);
            poll_fn(|context| self.poll_socket(context, &mut buffer)).await?;
            if buffer.filled().is_empty() {
                return Ok(false);
            }
            self.ahead.extend_from_slice(buffer.filled());
        }
        let speaks_http2 = self.ahead == PREFACE;
        if speaks_http2 {
            self.counts = false;
            self.place.connection().multiplexed();
        }
        Ok(speaks_http2)
    }

    fn poll_socket(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Also so that an eviction wakes this connection's task.
        if self.place.poll_evicted(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.read >= READ_AT_ONCE {
            self.read = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // A connection is asked far more often than it has something.
        ready!(self.io.poll_read_ready(context))?;
        let mut chunk = [0; READ_AT_ONCE];
        let room = buffer.remaining().min(READ_AT_ONCE - self.read);
        let mut chunk = ReadBuf::new(&mut chunk[..room]);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut chunk))?;
        let bytes = chunk.filled();
        buffer.put_slice(bytes);
        self.read += bytes.len();
        if !bytes.is_empty() && self.counts {
            self.place.connection().received(bytes.len());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return self.poll_socket(context, buffer);
        }
        let now = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..now]);
        self.ahead.drain(..now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
