//! A stream's socket, as far as the surroundings of the world open one: what they are asked to do, and how it can fail.

use std::fmt;
use taskrouter_streams::call::sid::{AccountSid, CallSid, StreamSid};

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
