//! Makes room: what a document carries along must not be the reason that Twilio refuses it.

use super::{Document, MAX_CHARACTERS, written};
use crate::call::rules::{characters, cut};
use quick_xml::escape::escape;

/// Shortens the parameters' values, the longest first, until the document is as short as Twilio takes it. The first `fixed` parameters
/// of each stream stay as they are. Where even the names of the others are too much, those with the longest names are dropped.
pub fn shorten(document: &mut Document, fixed: usize) {
    if length(document) <= MAX_CHARACTERS {
        return;
    }
    let room = loop {
        let mut bare = document.clone();
        values(&mut bare, fixed).for_each(String::clear);
        match MAX_CHARACTERS.checked_sub(length(&bare)) {
            Some(room) => break room,
            None if drop_one(document, fixed) => {}
            None => return,
        }
    };
    let limit = limit(values(document, fixed).map(|value| value.chars().map(cost).sum()).collect(), room);
    values(document, fixed).for_each(|value| *value = cut(value, limit, cost));
}

/// One that cannot be written is refused for that, however long it is.
fn length(document: &Document) -> usize {
    written(document).map_or(0, |text| characters(&text))
}

fn values(document: &mut Document, fixed: usize) -> impl Iterator<Item = &mut String> {
    let parameters = document.start.iter_mut().flat_map(move |stream| stream.parameters.iter_mut().skip(fixed));
    parameters.map(|(_, value)| value)
}

/// Drops the parameter with the longest name; returns whether there was one.
fn drop_one(document: &mut Document, fixed: usize) -> bool {
    let streams = document.start.iter().enumerate();
    let names = streams.flat_map(|(stream, verb)| {
        verb.parameters.iter().enumerate().skip(fixed).map(move |(place, (name, _))| (name.len(), stream, place))
    });
    let Some((_, stream, place)) = names.max() else { return false };
    document.start[stream].parameters.remove(place);
    true
}

/// What a character takes as part of an attribute's value.
fn cost(c: char) -> usize {
    characters(&escape(c.encode_utf8(&mut [0; 4]) as &str))
}

/// The length to which the longest must be cut so that all together take no more than `room`.
fn limit(mut lengths: Vec<usize>, mut room: usize) -> usize {
    lengths.sort_unstable();
    for (place, length) in lengths.iter().enumerate() {
        let share = room / (lengths.len() - place);
        if *length > share {
            return share;
        }
        room -= length;
    }
    usize::MAX
}
