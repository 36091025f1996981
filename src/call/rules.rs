//! Which streams are wanted where: destinations, and the rules that pick among them.
//!
//! A *field* is something that an event says of the task or of the worker, under a name such as `task.queue.name`,
//! `task.attributes.language` or `worker.attributes.team`. Only the fields that the configuration names are journaled.

use std::collections::BTreeMap;

/// Fields by name. A field of an attribute that is a list has several values; one that the event did not bear has none.
pub type Fields = BTreeMap<String, Vec<String>>;

/// Twilio's: a parameter's name and value together are shorter than this many [characters]
/// (<https://www.twilio.com/docs/voice/twiml/stream#custom-parameters>).
pub const PARAMETER_CHARACTERS: usize = 500;

/// The length of a text by the longest of the usual counts, UTF-16 units. Twilio limits "characters", and nobody has published what
/// one outside of the Basic Multilingual Plane, such as an emoji, counts as.
pub fn characters(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The beginning of a text, of at most so many [characters] when each counts as `cost` says.
pub fn cut(text: &str, limit: usize, cost: impl Fn(char) -> usize) -> String {
    let mut left = limit;
    let fits = |c: &char| match left.checked_sub(cost(*c)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    text.chars().take_while(fits).collect()
}

/// Whether Twilio takes it in a parameter: neither a control character nor one that Unicode calls a noncharacter, with which XML parsers
/// refuse the whole document.
pub fn is_taken(c: char) -> bool {
    let is_noncharacter = matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE;
    !c.is_control() && !is_noncharacter
}

/// What a stream to one place costs and carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Tracks that it costs: `both_tracks` costs two.
    pub tracks: usize,
    /// What its socket is told besides the SIDs of worker, reservation and task.
    pub parameters: Vec<(String, Template)>,
    /// Twilio tells how its streams fare.
    pub confirms: bool,
    /// What becomes of its streams while the customer is on hold.
    pub on_hold: OnHold,
}

/// What becomes of a stream while the customer is on hold and hears music.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnHold {
    /// It goes on.
    #[default]
    Stream,
    /// It is stopped, and the next one starts when the hold ends.
    Stop,
}

/// A text with fields in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// The value of the field of this name; several are separated by commas, and none is nothing.
    Field(String),
}

/// Which destinations the streams of some calls or workers may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// All of them must hold.
    pub when: Vec<Condition>,
    /// Indices of destinations, to be used in turn; none = no stream.
    pub slots: Vec<usize>,
}

/// Holds when any of the fields has this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The fields' names.
    pub fields: Vec<String>,
    /// The value.
    pub equals: String,
}

impl Rule {
    /// Whether every condition holds.
    pub fn fits<'a>(&self, field: &impl Fn(&str) -> &'a [String]) -> bool {
        self.when.iter().all(|condition| condition.fields.iter().any(|name| field(name).contains(&condition.equals)))
    }
}

impl Template {
    /// The text with the values in place, without what Twilio does not take, cut to `limit` [characters]; and whether something of it
    /// was lost.
    pub fn fill(&self, limit: usize, value: impl Fn(&str) -> String) -> (String, bool) {
        let text: String = self
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Field(name) => value(name),
            })
            .collect();
        let clean: String = text.chars().filter(|c| is_taken(*c)).collect();
        let cut = cut(&clean, limit, char::len_utf16);
        let is_altered = cut != text;
        (cut, is_altered)
    }
}
