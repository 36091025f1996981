//! What becomes of a stream's socket, and what Twilio tells of it by the stream's status callback.
//!
//! ```text
//! opening → open → stopped            stream-started, then stream-stopped
//!        ↘      ↘ failed              stream-error, and the stream is over: Twilio does not connect again
//! ```
//!
//! A stream counts from its start (its tracks and its name are taken), whatever its socket does. Where an address has a
//! local counterpart (`SimConfig::sockets`), the surroundings open a real socket and report; elsewhere it is open after
//! `socket_open_ms`.

use super::{Effect, Event, InvalidAction, Ms, StreamReport, World};
use std::fmt;
use taskrouter_streams::call::sid::{AccountSid, CallSid, EventSid, StreamSid, TaskSid};

/// Why a socket is not open, or no more. The numbers are those of Twilio's error dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketFailure {
    /// 31901: no connection, or no answer to the handshake, in time.
    TimedOut,
    /// 31902: nobody listens there.
    Refused,
    /// 31903: broken in the middle of the stream.
    BrokenPipe,
    /// 31904: the host cannot be reached.
    Unreachable,
    /// 31920: the handshake was answered, and not with 101.
    Handshake,
    /// 31921: closed by the destination in the middle of the stream.
    ClosedByServer,
}

impl SocketFailure {
    /// Twilio's number.
    pub fn code(self) -> u32 {
        match self {
            Self::TimedOut => 31_901,
            Self::Refused => 31_902,
            Self::BrokenPipe => 31_903,
            Self::Unreachable => 31_904,
            Self::Handshake => 31_920,
            Self::ClosedByServer => 31_921,
        }
    }
}

impl fmt::Display for SocketFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::TimedOut => "Connection Timeout",
            Self::Refused => "Connection Refused",
            Self::BrokenPipe => "Connection Broken Pipe",
            Self::Unreachable => "Connection Host Unreachable",
            Self::Handshake => "Handshake Error",
            Self::ClosedByServer => "Closed by the Server",
        };
        write!(f, "{} Stream - WebSocket - {what}", self.code())
    }
}

/// What the surroundings are asked to do with real sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketOrder {
    /// Connect, and send audio until told otherwise.
    Open(Box<SocketTarget>),
    /// Send `stop` and close: the stream was stopped, or its call is over.
    Stop(StreamSid),
    /// Cut the connection: the stream has failed by script.
    Cut(StreamSid),
}

/// All that a socket's messages tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what the stream's start message says of it")]
pub struct SocketTarget {
    pub account: AccountSid,
    pub call: CallSid,
    pub stream: StreamSid,
    /// The public address, which is signed.
    pub url: String,
    /// Where to connect.
    pub local: String,
    /// `inbound_track`, `outbound_track` or `both_tracks`.
    pub track: &'static str,
    pub parameters: Vec<(String, String)>,
}

impl World {
    /// The sockets of the next `times` streams fail like this.
    pub fn next_sockets_fail(&mut self, failure: SocketFailure, times: u32) {
        self.socket_failures.extend((0..times).map(|_| failure));
    }

    /// The socket of an agent's newest running stream dies.
    pub fn socket_dies(&mut self, task: &TaskSid, agent: &str, now: Ms) -> Result<(), InvalidAction> {
        self.advance(now);
        let worker = self.agent(agent)?.sid.clone();
        let customer = self.tasks.get(task).and_then(|task| task.customer.as_ref());
        let streams = customer.and_then(|call| self.calls.get(call)).map_or(&[][..], |call| &call.streams);
        let mine = |stream: &&StreamReport| stream.stopped_at.is_none() && stream.worker.as_ref() == Some(&worker);
        let stream = streams.iter().rev().find(mine).map(|stream| stream.sid.clone());
        let stream = stream.ok_or_else(|| InvalidAction(format!("no stream of {agent} is running")))?;
        self.sockets.push(SocketOrder::Cut(stream.clone()));
        self.socket_failed(&stream, SocketFailure::ClosedByServer, now);
        Ok(())
    }

    /// The socket of a stream is open.
    pub fn socket_opened(&mut self, stream: &StreamSid, now: Ms) {
        self.advance(now);
        self.opened(stream);
    }

    /// The socket of a stream could not be opened, or is no more. The stream is over.
    pub fn socket_failed(&mut self, stream: &StreamSid, failure: SocketFailure, now: Ms) {
        self.advance(now);
        self.failed(stream, failure);
    }

    /// Takes what the surroundings are to do with real sockets, oldest first.
    pub fn take_sockets(&mut self) -> Vec<SocketOrder> {
        std::mem::take(&mut self.sockets)
    }

    pub(super) fn open_socket(&mut self, call: &CallSid, stream: &StreamReport) {
        let sid = stream.sid.clone();
        let (open_ms, limit_ms) = (self.config.socket_open_ms, self.config.socket_connect_ms);
        if let Some(failure) = self.socket_failures.pop_front() {
            let delay = if failure == SocketFailure::TimedOut { limit_ms } else { open_ms };
            return self.after(delay, Effect::SocketFails { stream: sid, failure });
        }
        match self.config.sockets.iter().find_map(|route| route.leads(&stream.url)) {
            None => self.after(open_ms, Effect::SocketOpens { stream: sid }),
            Some(local) => self.sockets.push(SocketOrder::Open(Box::new(SocketTarget {
                account: self.account.clone(),
                call: call.clone(),
                stream: sid,
                url: stream.url.clone(),
                local,
                track: stream.track,
                parameters: stream.parameters.clone(),
            }))),
        }
    }

    pub(super) fn opened(&mut self, sid: &StreamSid) {
        let now = self.now;
        let Some((call, stream)) = self.running_stream(sid) else { return };
        stream.opened_at = Some(now);
        self.tell_of_stream(&call, sid, "stream-started");
    }

    pub(super) fn failed(&mut self, sid: &StreamSid, failure: SocketFailure) {
        let now = self.now;
        let Some((call, stream)) = self.running_stream(sid) else { return };
        stream.stopped_at = Some(now);
        stream.failure = Some(failure);
        self.tell_of_stream(&call, sid, "stream-error");
    }

    /// After a stream was stopped, or ended with its call.
    pub(super) fn stream_stopped(&mut self, call: &CallSid, sid: &StreamSid) {
        self.sockets.push(SocketOrder::Stop(sid.clone()));
        self.tell_of_stream(call, sid, "stream-stopped");
    }

    fn running_stream(&mut self, sid: &StreamSid) -> Option<(CallSid, &mut StreamReport)> {
        self.calls.values_mut().find_map(|call| {
            let leg = call.sid.clone();
            let stream = call.streams.iter_mut().find(|stream| &stream.sid == sid && stream.stopped_at.is_none());
            stream.map(|stream| (leg, stream))
        })
    }

    /// Documented: a form of these fields, if the stream was given a `StatusCallback`. That each change is told once, and a
    /// stop also of a stream whose socket was never open, is assumed.
    fn tell_of_stream(&mut self, call: &CallSid, sid: &StreamSid, event_type: &'static str) {
        let Some(task) = self.task_of(call) else { return };
        let streams = self.calls.get(call).map_or(&[][..], |call| &call.streams);
        let Some(stream) = streams.iter().find(|stream| &stream.sid == sid) else { return };
        let Some(url) = stream.status_callback.clone() else { return };
        let mut form = vec![
            ("AccountSid".to_owned(), self.account.to_string()),
            ("CallSid".to_owned(), call.to_string()),
            ("StreamSid".to_owned(), sid.to_string()),
            ("StreamName".to_owned(), stream.name.clone()),
            ("StreamEvent".to_owned(), event_type.to_owned()),
        ];
        form.extend(stream.failure.map(|failure| ("StreamError".to_owned(), failure.to_string())));
        form.push(("Timestamp".to_owned(), iso8601_ms(self.now)));
        let sid: EventSid = self.mint(EventSid::PREFIX);
        self.outbox.push(Event { sid, event_type, task, form, callback_url: Some(url) });
    }
}

fn iso8601_ms(at: Ms) -> String {
    jiff::Timestamp::from_millisecond(at).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
