//! The seam to [`crate::twilio::twiml`]: what a leg is told to do, read from TwiML.
//!
//! Sources: <https://www.twilio.com/docs/voice/twiml/stream>, <https://www.twilio.com/docs/voice/twiml/conference>.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// TwiML as far as the simulated leg follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// Names of the streams to stop.
    pub(super) stop: Vec<String>,
    /// The streams to start.
    pub(super) start: Vec<StreamVerb>,
    /// Where the leg goes afterwards.
    pub(super) conference: ConferenceVerb,
}

/// A `<Start><Stream>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamVerb {
    /// `name`.
    pub(super) name: String,
    /// `url`.
    pub(super) url: String,
    /// `track`.
    pub(super) track: Track,
    /// `<Parameter>` names and values.
    pub(super) parameters: Vec<(String, String)>,
}

/// A `<Dial><Conference>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ConferenceVerb {
    /// The friendly name.
    pub(super) room: String,
    /// `beep`; Twilio's default is true.
    pub(super) beep: bool,
    /// `endConferenceOnExit`; Twilio's default is false.
    pub(super) end_conference_on_exit: bool,
}

/// `track`, seen from Twilio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Track {
    /// The customer's voice.
    Inbound,
    /// What the customer hears.
    Outbound,
    /// Both.
    Both,
}

impl Track {
    /// As Twilio writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Track::Inbound => "inbound_track",
            Track::Outbound => "outbound_track",
            Track::Both => "both_tracks",
        }
    }

    /// How many of a call's four tracks it takes.
    pub(super) fn cost(self) -> usize {
        match self {
            Track::Inbound | Track::Outbound => 1,
            Track::Both => 2,
        }
    }
}

/// TwiML that a leg cannot follow: in this product's traffic a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotUnderstood(&'static str);

/// Reads TwiML of `<Stop>`s, `<Start>`s and a final `<Dial><Conference>`.
pub(super) fn parse(text: &str) -> Result<Document, NotUnderstood> {
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut document = Document {
        stop: Vec::new(),
        start: Vec::new(),
        conference: ConferenceVerb::default(),
    };
    let mut dialled = false;
    loop {
        match reader
            .read_event()
            .map_err(|_| NotUnderstood("it is not well-formed XML"))?
        {
            Event::Start(tag) => {
                path.push(tag.name().as_ref().into());
                dialled |= open(&path, &tag, &mut document)?;
            }
            Event::Empty(tag) => {
                path.push(tag.name().as_ref().into());
                dialled |= open(&path, &tag, &mut document)?;
                path.pop();
            }
            Event::End(_) => {
                path.pop();
            }
            Event::Text(piece) if path.last().is_some_and(|name| name == "Conference") => {
                document.conference.room.push_str(&piece.xml10_content());
            }
            Event::GeneralRef(entity) if path.last().is_some_and(|name| name == "Conference") => {
                let character = entity
                    .resolve_char_ref()
                    .map_err(|_| NotUnderstood("a bad character reference"))?;
                match (character, resolve_predefined_entity(&entity.xml10_content())) {
                    (Some(character), _) => document.conference.room.push(character),
                    (None, Some(known)) => document.conference.room.push_str(known),
                    (None, None) => return Err(NotUnderstood("an unknown entity")),
                }
            }
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    if dialled && path.is_empty() {
        Ok(document)
    } else {
        Err(NotUnderstood("it does not end in <Dial><Conference>"))
    }
}

/// Takes one element in; true when it is the conference.
fn open(path: &[String], tag: &BytesStart<'_>, document: &mut Document) -> Result<bool, NotUnderstood> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["Response"] | ["Response", "Stop" | "Start" | "Dial"] => {}
        ["Response", "Stop", "Stream"] => document.stop.push(required(tag, "name")?),
        ["Response", "Start", "Stream"] => {
            let track = match attribute(tag, "track")?.as_deref() {
                None | Some("inbound_track") => Track::Inbound,
                Some("outbound_track") => Track::Outbound,
                Some("both_tracks") => Track::Both,
                Some(_) => return Err(NotUnderstood("a stream's track is unknown")),
            };
            let (name, url) = (required(tag, "name")?, required(tag, "url")?);
            document.start.push(StreamVerb {
                name,
                url,
                track,
                parameters: Vec::new(),
            });
        }
        ["Response", "Start", "Stream", "Parameter"] => {
            let pair = (required(tag, "name")?, required(tag, "value")?);
            document
                .start
                .last_mut()
                .ok_or(NotUnderstood("a parameter without a stream"))?
                .parameters
                .push(pair);
        }
        ["Response", "Dial", "Conference"] => {
            document.conference.beep = attribute(tag, "beep")?.is_none_or(|beep| beep != "false");
            document.conference.end_conference_on_exit =
                attribute(tag, "endConferenceOnExit")?.is_some_and(|guard| guard == "true");
            return Ok(true);
        }
        _ => {
            return Err(NotUnderstood(
                "it holds an element that the simulated leg does not follow",
            ));
        }
    }
    Ok(false)
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, NotUnderstood> {
    let wrong = NotUnderstood("an attribute cannot be read");
    let Some(found) = tag.try_get_attribute(name).map_err(|_| wrong)? else {
        return Ok(None);
    };
    Ok(Some(
        found
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|_| wrong)?
            .into_owned(),
    ))
}

fn required(tag: &BytesStart<'_>, name: &str) -> Result<String, NotUnderstood> {
    attribute(tag, name)?
        .filter(|value| !value.is_empty())
        .ok_or(NotUnderstood("a stream lacks its name or url"))
}
