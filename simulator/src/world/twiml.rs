//! TwiML as Twilio takes it: verb by verb, in any order; what is unknown has no bearing.
//!
//! Verbs that Twilio knows and the simulator does not play are told apart from those: they are [`Unread::NotSimulated`].
//! Source: <https://www.twilio.com/docs/voice/twiml>.

mod xml;

use super::streams::StreamOrder;
use crate::sim_config::Ms;
use taskrouter_streams::twilio::twiml::{MAX_CHARACTERS, ROOM_CHARACTERS};
use xml::{Element, read_tree};

/// Verbs of Twilio that are not played here. A document that has one is refused.
const NOT_SIMULATED: [&str; 12] = [
    "Enqueue",
    "Gather",
    "Leave",
    "Message",
    "Pay",
    "Prompt",
    "Queue",
    "Record",
    "Refer",
    "Reject",
    "Sms",
    "Parameter",
];

/// Other things than streams that `<Start>`, `<Stop>` and `<Connect>` may hold.
const OTHER_SERVICES: [&str; 10] = [
    "AiSession",
    "Assistant",
    "Autopilot",
    "Conversation",
    "ConversationRelay",
    "Recording",
    "Room",
    "Siprec",
    "Transcription",
    "VirtualAgent",
];

/// What a call does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// `<Start><Stream>`: the call goes on at once.
    Start(StreamOrder),
    /// `<Stop><Stream>`, by name.
    Stop(String),
    /// `<Connect><Stream>`: the call goes on when the stream is over.
    Connect(StreamOrder),
    /// `<Say>` and `<Play>`: as long as the settings say, so many times.
    Prompt(Ms),
    /// `<Pause>`, ms.
    Pause(Ms),
    /// `<Dial><Conference>`.
    Dial(Conference),
    /// `<Redirect>`, and the `action` of a `<Dial>`.
    Redirect(DocumentUrl),
    /// `<Hangup>`.
    Hangup,
}

/// A `<Dial><Conference>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conference {
    /// Its friendly name.
    pub room: String,
    /// Whether the others hear a beep when the leg comes in: `beep` is `true`, its default, or `onEnter`.
    pub beeps_on_enter: bool,
    /// `endConferenceOnExit`.
    pub guard: bool,
    /// `startConferenceOnEnter`.
    pub starts: bool,
    /// `muted`.
    pub muted: bool,
    /// `participantLabel`.
    pub label: Option<String>,
}

/// Where more TwiML is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentUrl {
    /// Absolute.
    pub url: String,
    /// `GET`; `POST` is Twilio's default.
    pub get: bool,
}

impl DocumentUrl {
    pub(super) fn is_absolute(&self) -> bool {
        self.url.starts_with("https://") || self.url.starts_with("http://")
    }
}

/// Why a document cannot be followed. No message holds a part of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Not the XML of TwiML: Twilio plays an error and hangs up.
    #[error("not TwiML: {reason} (near byte {at})")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
        /// The place, in bytes.
        at: usize,
    },
    /// Inline TwiML that is too long.
    #[error("the TwiML has {found} characters, more than {MAX_CHARACTERS}")]
    TooLong {
        /// Its length in characters.
        found: usize,
    },
    /// Twilio would do this, and the simulator does not.
    #[error("{what} is not simulated")]
    NotSimulated {
        /// As in `<Gather>`.
        what: &'static str,
    },
}

/// Reads the inline TwiML of a request.
///
/// # Errors
/// When Twilio would not take it, or the simulator cannot follow it.
pub fn read_inline(text: &str) -> Result<Vec<Verb>, Unread> {
    // Whether Twilio counts characters or UTF-16 units is not published: the longer count is assumed.
    let found = text.encode_utf16().count();
    if found > MAX_CHARACTERS { Err(Unread::TooLong { found }) } else { read(text) }
}

/// Reads a document.
///
/// # Errors
/// When Twilio would not take it, or the simulator cannot follow it.
pub fn read(text: &str) -> Result<Vec<Verb>, Unread> {
    let response = read_tree(text)?;
    if response.name != "Response" {
        return Err(Unread::Malformed { reason: "the root must be <Response>", at: response.at });
    }
    let mut verbs = Vec::new();
    for element in &response.children {
        read_verb(element, &mut verbs)?;
    }
    Ok(verbs)
}

fn read_verb(element: &Element, verbs: &mut Vec<Verb>) -> Result<(), Unread> {
    match element.name.as_str() {
        "Start" => verbs.extend(streams(element, "an element of <Start>")?.map(|stream| Verb::Start(order(stream)))),
        "Connect" => {
            verbs.extend(streams(element, "an element of <Connect>")?.map(|stream| Verb::Connect(order(stream))));
            verbs.extend(action(element)?);
        }
        "Stop" => {
            let named = streams(element, "an element of <Stop>")?.filter_map(|stream| stream.get("name"));
            verbs.extend(named.map(|name| Verb::Stop(name.to_owned())));
        }
        "Say" | "Play" => verbs.push(Verb::Prompt(element.number("loop").unwrap_or(1).max(1))),
        // Documented: one second without a length.
        "Pause" => verbs.push(Verb::Pause(element.number("length").unwrap_or(1).saturating_mul(1_000))),
        "Dial" => {
            verbs.push(Verb::Dial(read_dial(element)?));
            verbs.extend(action(element)?);
        }
        "Redirect" => verbs.push(Verb::Redirect(document_url(element.text.trim(), element.get("method"))?)),
        "Hangup" => verbs.push(Verb::Hangup),
        name => {
            if let Some(what) = NOT_SIMULATED.into_iter().find(|known| *known == name) {
                return Err(Unread::NotSimulated { what });
            }
        }
    }
    Ok(())
}

/// The `<Stream>`s in it.
fn streams<'a>(element: &'a Element, what: &'static str) -> Result<impl Iterator<Item = &'a Element>, Unread> {
    if element.children.iter().any(|child| OTHER_SERVICES.contains(&child.name.as_str())) {
        return Err(Unread::NotSimulated { what });
    }
    Ok(element.children.iter().filter(|child| child.name == "Stream"))
}

fn order(stream: &Element) -> StreamOrder {
    let get = |name: &str| stream.get(name).map(str::to_owned);
    let parameters = stream.children.iter().filter(|child| child.name == "Parameter");
    let pair = |parameter: &Element| {
        Some((parameter.get("name")?.to_owned(), parameter.get("value").unwrap_or("").to_owned()))
    };
    StreamOrder {
        url: get("url"),
        name: get("name"),
        track: get("track"),
        status_callback: get("statusCallback"),
        status_callback_method: get("statusCallbackMethod"),
        parameters: parameters.filter_map(pair).collect(),
    }
}

fn read_dial(dial: &Element) -> Result<Conference, Unread> {
    let conferences: Vec<_> = dial.children.iter().filter(|child| child.name == "Conference").collect();
    let [conference] = conferences.as_slice() else {
        return Err(Unread::NotSimulated { what: "<Dial> without exactly one <Conference>" });
    };
    let room = &conference.text;
    if room.trim().is_empty() || room.chars().count() > ROOM_CHARACTERS {
        return Err(Unread::Malformed { reason: "a conference's name has 1 to 128 characters", at: conference.at });
    }
    let beep = conference.get("beep").unwrap_or("true").to_ascii_lowercase();
    Ok(Conference {
        room: room.clone(),
        beeps_on_enter: !["false", "onexit"].contains(&beep.as_str()),
        guard: conference.flag("endConferenceOnExit").unwrap_or(false),
        starts: conference.flag("startConferenceOnEnter").unwrap_or(true),
        muted: conference.flag("muted").unwrap_or(false),
        label: conference.get("participantLabel").map(str::to_owned),
    })
}

/// The `action`, where the call goes on afterwards.
fn action(element: &Element) -> Result<Option<Verb>, Unread> {
    let url = element.get("action").filter(|url| !url.is_empty());
    url.map(|url| document_url(url, element.get("method")).map(Verb::Redirect)).transpose()
}

/// Documented: URLs in the TwiML of an update are absolute (15004). Elsewhere they need not be, which is not simulated.
fn document_url(url: &str, method: Option<&str>) -> Result<DocumentUrl, Unread> {
    let get = method.is_some_and(|method| method.eq_ignore_ascii_case("GET"));
    let document = DocumentUrl { url: url.to_owned(), get };
    if document.is_absolute() { Ok(document) } else { Err(Unread::NotSimulated { what: "a relative URL in TwiML" }) }
}
