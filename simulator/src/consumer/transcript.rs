//! What one socket said, checked against Twilio's documentation as it comes.

use crate::media::FRAME_SAMPLES;
use crate::sim_config::Ms;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use taskrouter_streams::call::sid::{CallSid, StreamSid};

/// One socket, as far as it was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The path that it asked for.
    pub path: String,
    /// Its stream, once `start` has told.
    pub stream: Option<StreamSid>,
    /// The call's leg.
    pub call: Option<CallSid>,
    /// `customParameters`.
    pub parameters: BTreeMap<String, String>,
    /// Media messages of each track, "inbound" and "outbound".
    pub frames: BTreeMap<String, u64>,
    /// When the first audio came.
    pub began_at: Option<Ms>,
    /// When the last audio came.
    pub ended_at: Option<Ms>,
    /// `stop` came.
    pub stopped: bool,
    /// The socket was closed, or its connection ended.
    pub closed: bool,
    /// What was not as documented.
    pub wrong: Vec<String>,
}

impl Heard {
    /// Whether everything came as documented, to the orderly end.
    pub fn is_complete(&self) -> bool {
        self.stopped && self.closed && self.wrong.is_empty()
    }

    /// All media messages.
    pub fn total(&self) -> u64 {
        self.frames.values().sum()
    }
}

/// The remark on a socket that ended in the middle of its stream.
pub const BROKEN_OFF: &str = "it ended without stop";

/// What is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Connected,
    Start,
    Media,
    Nothing,
}

/// Takes a socket's messages one after the other.
#[derive(Debug)]
pub struct Transcript {
    heard: Heard,
    due: Due,
    tracks: Vec<String>,
    last_sequence: u64,
}

/// Wrong remarks that are kept of one socket: the first say it all.
const REMARKS: usize = 20;

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
enum Said {
    #[serde(rename_all = "camelCase")]
    Connected { protocol: String, version: String },
    #[serde(rename_all = "camelCase")]
    Start { sequence_number: String, stream_sid: String, start: Start },
    #[serde(rename_all = "camelCase")]
    Media { sequence_number: String, stream_sid: String, media: Media },
    #[serde(rename_all = "camelCase")]
    Stop { sequence_number: String, stream_sid: String, stop: Stop },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    stream_sid: String,
    call_sid: String,
    tracks: Vec<String>,
    media_format: Format,
    custom_parameters: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    encoding: String,
    sample_rate: u32,
    channels: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Media {
    track: String,
    timestamp: String,
    payload: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop {
    call_sid: String,
}

impl Transcript {
    /// Nothing said yet, on a socket that asked for this path.
    pub fn of(path: &str) -> Self {
        let heard = Heard { path: path.to_owned(), ..Heard::default() };
        Self { heard, due: Due::Connected, tracks: Vec::new(), last_sequence: 0 }
    }

    /// What was heard so far.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Takes the next message.
    pub fn take(&mut self, text: &str, now: Ms) {
        match serde_json::from_str(text) {
            Ok(said) => self.hear(said, now),
            Err(error) => self.complain(&format!("a message cannot be read: {error}")),
        }
    }

    /// The socket has ended, with a closing frame or without. Documented: `stop` comes before.
    pub fn closed(&mut self, in_order: bool) {
        let due = self.heard.closed || self.heard.stopped && in_order;
        if !due {
            self.complain(if self.heard.stopped { "no closing frame after stop" } else { BROKEN_OFF });
        }
        self.heard.closed = true;
    }

    /// The socket was ended from this side.
    pub fn left(&mut self) {
        self.heard.closed = true;
    }

    /// Writes down that something is not as documented.
    pub fn complain(&mut self, remark: &str) {
        if self.heard.wrong.len() < REMARKS {
            self.heard.wrong.push(remark.to_owned());
        }
    }

    fn hear(&mut self, said: Said, now: Ms) {
        match said {
            Said::Connected { protocol, version } => {
                self.expect(Due::Connected, "connected");
                self.check(protocol == "Call" && version == "1.0.0", "protocol or version are others");
                self.due = Due::Start;
            }
            Said::Start { sequence_number, stream_sid, start } => {
                self.expect(Due::Start, "start");
                self.number(&sequence_number);
                self.check(start.stream_sid == stream_sid, "start tells two streams");
                self.begin(start);
            }
            Said::Media { sequence_number, stream_sid, media } => {
                self.expect(Due::Media, "media");
                self.number(&sequence_number);
                self.same_stream(&stream_sid);
                self.listen(&media, now);
            }
            Said::Stop { sequence_number, stream_sid, stop } => {
                self.expect(Due::Media, "stop");
                self.number(&sequence_number);
                self.same_stream(&stream_sid);
                let same = self.heard.call.as_ref().is_some_and(|call| call.as_str() == stop.call_sid);
                self.check(same, "stop tells of another call");
                self.heard.stopped = true;
                self.due = Due::Nothing;
            }
        }
    }

    fn begin(&mut self, start: Start) {
        let Format { encoding, sample_rate, channels } = start.media_format;
        let known = encoding == "audio/x-mulaw" && sample_rate == 8_000 && channels == 1;
        self.check(known, "the media format is another");
        self.heard.stream = start.stream_sid.parse().ok();
        self.heard.call = start.call_sid.parse().ok();
        self.check(self.heard.stream.is_some() && self.heard.call.is_some(), "start tells no stream or no call");
        self.heard.parameters = start.custom_parameters;
        self.check(!start.tracks.is_empty(), "start tells no tracks");
        self.tracks = start.tracks;
        self.due = Due::Media;
    }

    fn listen(&mut self, media: &Media, now: Ms) {
        self.check(self.tracks.contains(&media.track), "media of a track that start did not tell");
        self.check(media.timestamp.parse::<u64>().is_ok(), "a timestamp is no number");
        let bytes = STANDARD.decode(&media.payload).map(|bytes| bytes.len());
        self.check(bytes == Ok(usize::from(FRAME_SAMPLES)), "a payload is not 160 bytes in base64");
        *self.heard.frames.entry(media.track.clone()).or_default() += 1;
        self.heard.began_at.get_or_insert(now);
        self.heard.ended_at = Some(now);
    }

    fn expect(&mut self, due: Due, what: &str) {
        if self.due != due {
            self.complain(&format!("{what} came out of turn"));
        }
    }

    /// One sequence for the whole stream, from 1.
    fn number(&mut self, text: &str) {
        let next = self.last_sequence + 1;
        let number = text.parse().unwrap_or(0);
        self.check(number == next, "the sequence has a gap or a repetition");
        self.last_sequence = number;
    }

    fn same_stream(&mut self, stream: &str) {
        let same = self.heard.stream.as_ref().is_some_and(|known| known.as_str() == stream);
        self.check(same, "a message of another stream");
    }

    fn check(&mut self, holds: bool, remark: &str) {
        if !holds {
            self.complain(remark);
        }
    }
}
