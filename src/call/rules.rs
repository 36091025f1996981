//! Which streams are wanted where: destinations, and the rules that pick among them.
//!
//! A *field* is something that an event says of the task or of the worker, under a name such as `task.queue.name`,
//! `task.attributes.language` or `worker.attributes.team`. Only the fields that the configuration names are journaled.

use std::collections::BTreeMap;

/// Fields by name. A field of an attribute that is a list has several values; one that the event did not bear has none.
pub type Fields = BTreeMap<String, Vec<String>>;

/// Twilio's: a parameter's name and value together are shorter than this many characters
/// (<https://www.twilio.com/docs/voice/twiml/stream#custom-parameters>).
pub const PARAMETER_CHARACTERS: usize = 500;

/// What a stream to one place costs and carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Tracks that it costs: `both_tracks` costs two.
    pub tracks: usize,
    /// What its socket is told besides the SIDs of worker, reservation and task.
    pub parameters: Vec<(String, Template)>,
    /// Twilio tells how its streams fare.
    pub confirms: bool,
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
    /// The text with the values in place, cut to `limit` characters.
    pub fn fill(&self, limit: usize, value: impl Fn(&str) -> String) -> String {
        let text: String = self
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Field(name) => value(name),
            })
            .collect();
        // What XML cannot carry would make the whole document refused.
        text.chars().filter(|c| !c.is_control()).take(limit).collect()
    }
}
