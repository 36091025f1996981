//! The TwiML of a redirect of the customer's leg: stop streams, start streams, dial back into the conference.
//!
//! [`render`] writes it for the client; a document which Twilio would refuse is not sent.
//! Source: <https://www.twilio.com/docs/voice/twiml/stream> and <https://www.twilio.com/docs/voice/twiml/conference>.

mod shorten;

pub use shorten::shorten;

use crate::call::rules::{PARAMETER_CHARACTERS, characters};
use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use serde::{Deserialize, Serialize};
use std::io;

/// The longest inline TwiML, in characters. Twilio documents it for creating a call, not for updating one.
pub const MAX_CHARACTERS: usize = 4000;
/// The most `<Parameter>`s of one stream.
pub const MAX_PARAMETERS: usize = 99;
/// The longest conference name, in characters.
pub const ROOM_CHARACTERS: usize = 128;

/// One redirect's TwiML: `<Stop>`s, then `<Start>`s, then `<Dial><Conference>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Names of the streams to stop, in order.
    pub stop: Vec<String>,
    /// The streams to start, in order.
    pub start: Vec<StreamVerb>,
    /// Where the leg goes afterwards. Without a verb after `<Start>` Twilio would hang up.
    pub conference: ConferenceVerb,
}

/// A `<Start><Stream>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamVerb {
    /// `name`, unique on the call for ever.
    pub name: String,
    /// `url`: `wss://`, without a query string.
    pub url: String,
    /// Which audio it carries.
    pub track: Track,
    /// `<Parameter>` names and values, in order.
    pub parameters: Vec<(String, String)>,
    /// `statusCallback`: where Twilio posts that the stream started, stopped or failed. The method is Twilio's default, POST.
    pub status_callback: Option<String>,
}

/// A `<Dial><Conference>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConferenceVerb {
    /// The conference's friendly name.
    pub room: String,
    /// `beep`, of which only true and false are used here; Twilio's default is true.
    pub beep: bool,
    /// `endConferenceOnExit`; Twilio's default is false.
    pub end_conference_on_exit: bool,
}

/// Which audio a stream carries, seen from Twilio: inbound is the customer's voice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    /// The customer's voice.
    InboundTrack,
    /// What the customer hears: everybody else, or the hold music.
    OutboundTrack,
    /// Both, which costs two of a call's four tracks.
    #[default]
    BothTracks,
}

impl Track {
    /// Every track, as the configuration and the error messages list them.
    pub const ALL: [Track; 3] = [Track::InboundTrack, Track::OutboundTrack, Track::BothTracks];

    /// The track as Twilio writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Track::InboundTrack => "inbound_track",
            Track::OutboundTrack => "outbound_track",
            Track::BothTracks => "both_tracks",
        }
    }

    /// The track of that name.
    pub fn from_name(name: &str) -> Option<Track> {
        Track::ALL.into_iter().find(|track| track.as_str() == name)
    }

    /// How many of a call's four tracks it takes.
    pub fn cost(self) -> usize {
        match self {
            Track::InboundTrack | Track::OutboundTrack => 1,
            Track::BothTracks => 2,
        }
    }
}

/// Why Twilio would refuse the TwiML. No message holds a part of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TwimlError {
    /// The whole is too long.
    #[error(
        "the TwiML has {found} characters, more than {MAX_CHARACTERS}: start fewer streams at once, or send fewer parameters"
    )]
    TooLong {
        /// The length of the document in characters.
        found: usize,
    },
    /// A name or the room is empty.
    #[error("{place} is empty")]
    Empty {
        /// The name of the empty value.
        place: &'static str,
    },
    /// The room's name is too long.
    #[error("the conference's name is longer than {ROOM_CHARACTERS} characters")]
    RoomTooLong,
    /// A stream's URL is not one that Twilio connects to.
    #[error("a stream's url must begin with wss:// and have no query string: send parameters instead")]
    StreamUrl,
    /// A status callback that Twilio cannot post to.
    #[error("a stream's statusCallback must be an absolute URL that begins with https:// or http://")]
    StatusCallback,
    /// A parameter is too long.
    #[error("a parameter's name and value together have {PARAMETER_CHARACTERS} characters or more")]
    ParameterTooLong,
    /// A stream has too many parameters.
    #[error("a stream has more than {MAX_PARAMETERS} parameters")]
    TooManyParameters,
    /// A character that XML 1.0 cannot carry, not even escaped.
    #[error("{place} has a character that XML cannot carry")]
    IllegalCharacter {
        /// The name of the value.
        place: &'static str,
    },
    /// The writer failed, which writing to memory does not do.
    #[error("the TwiML could not be written")]
    Write,
}

/// The document as XML without line breaks; an error when Twilio would refuse it.
pub fn render(document: &Document) -> Result<String, TwimlError> {
    check(document)?;
    let text = written(document)?;
    check_length(&text)?;
    Ok(text)
}

fn written(document: &Document) -> Result<String, TwimlError> {
    let mut writer = Writer::new(Vec::new());
    write_document(&mut writer, document).map_err(|_| TwimlError::Write)?;
    String::from_utf8(writer.into_inner()).map_err(|_| TwimlError::Write)
}

fn check_length(text: &str) -> Result<(), TwimlError> {
    let found = characters(text);
    if found > MAX_CHARACTERS { Err(TwimlError::TooLong { found }) } else { Ok(()) }
}

/// Twilio's rules for what the document holds.
fn check(document: &Document) -> Result<(), TwimlError> {
    for name in &document.stop {
        check_text("the name of a stream to stop", name)?;
    }
    for stream in &document.start {
        check_stream(stream)?;
    }
    check_text("the conference's name", &document.conference.room)?;
    if document.conference.room.chars().count() > ROOM_CHARACTERS {
        return Err(TwimlError::RoomTooLong);
    }
    Ok(())
}

/// The rules of one stream, which hold for the Streams resource as well: Twilio would refuse what breaks them.
pub fn check_stream(stream: &StreamVerb) -> Result<(), TwimlError> {
    check_text("the name of a stream to start", &stream.name)?;
    check_text("the url of a stream", &stream.url)?;
    if !is_stream_url(&stream.url) {
        return Err(TwimlError::StreamUrl);
    }
    if let Some(url) = &stream.status_callback {
        check_text("the statusCallback of a stream", url)?;
        if !is_callback_url(url) {
            return Err(TwimlError::StatusCallback);
        }
    }
    if stream.parameters.len() > MAX_PARAMETERS {
        return Err(TwimlError::TooManyParameters);
    }
    for (name, value) in &stream.parameters {
        check_text("the name of a parameter", name)?;
        check_characters("the value of a parameter", value)?;
        if characters(name) + characters(value) >= PARAMETER_CHARACTERS {
            return Err(TwimlError::ParameterTooLong);
        }
    }
    Ok(())
}

/// Whether Twilio would connect to it: `wss://` with a host, and no query string, which Twilio does not support.
pub fn is_stream_url(url: &str) -> bool {
    url.strip_prefix("wss://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains('?'))
}

fn is_callback_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

fn check_text(place: &'static str, text: &str) -> Result<(), TwimlError> {
    if text.trim().is_empty() {
        return Err(TwimlError::Empty { place });
    }
    check_characters(place, text)
}

fn check_characters(place: &'static str, text: &str) -> Result<(), TwimlError> {
    if text.chars().all(is_xml_character) { Ok(()) } else { Err(TwimlError::IllegalCharacter { place }) }
}

/// XML 1.0, production 2, Char: <https://www.w3.org/TR/xml/#charsets>.
fn is_xml_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

type XmlWriter = Writer<Vec<u8>>;

fn write_document(writer: &mut XmlWriter, document: &Document) -> io::Result<()> {
    open(writer, "Response")?;
    for name in &document.stop {
        open(writer, "Stop")?;
        writer.write_event(Event::Empty(BytesStart::new("Stream").with_attributes([("name", name.as_str())])))?;
        close(writer, "Stop")?;
    }
    for stream in &document.start {
        write_start(writer, stream)?;
    }
    write_dial(writer, &document.conference)?;
    close(writer, "Response")
}

fn write_start(writer: &mut XmlWriter, stream: &StreamVerb) -> io::Result<()> {
    open(writer, "Start")?;
    let mut attributes = vec![("name", stream.name.as_str()), ("url", &stream.url), ("track", stream.track.as_str())];
    attributes.extend(stream.status_callback.as_deref().map(|url| ("statusCallback", url)));
    let element = BytesStart::new("Stream").with_attributes(attributes);
    if stream.parameters.is_empty() {
        writer.write_event(Event::Empty(element))?;
    } else {
        writer.write_event(Event::Start(element))?;
        for (name, value) in &stream.parameters {
            let parameter = [("name", name.as_str()), ("value", value)];
            writer.write_event(Event::Empty(BytesStart::new("Parameter").with_attributes(parameter)))?;
        }
        close(writer, "Stream")?;
    }
    close(writer, "Start")
}

fn write_dial(writer: &mut XmlWriter, conference: &ConferenceVerb) -> io::Result<()> {
    open(writer, "Dial")?;
    let attributes =
        [("beep", flag(conference.beep)), ("endConferenceOnExit", flag(conference.end_conference_on_exit))];
    writer.write_event(Event::Start(BytesStart::new("Conference").with_attributes(attributes)))?;
    // Line ends and tabs as references too: a parser is free to normalise them when they stand bare.
    let room = escape(conference.room.as_str()).replace('\n', "&#10;").replace('\t', "&#9;");
    writer.write_event(Event::Text(BytesText::from_escaped(room)))?;
    close(writer, "Conference")?;
    close(writer, "Dial")
}

fn open(writer: &mut XmlWriter, name: &str) -> io::Result<()> {
    writer.write_event(Event::Start(BytesStart::new(name)))
}

fn close(writer: &mut XmlWriter, name: &str) -> io::Result<()> {
    writer.write_event(Event::End(BytesEnd::new(name)))
}

fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
