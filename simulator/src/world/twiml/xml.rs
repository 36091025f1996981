//! The elements of a document.

use super::Unread;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// An element with everything in it.
pub(super) struct Element {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
    pub(super) at: usize,
}

impl Element {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.trim().parse().ok()
    }
}

/// The root element. Comments, processing instructions and the document type have no bearing.
pub(super) fn read_tree(text: &str) -> Result<Element, Unread> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    // A stack and no recursion: the depth is the sender's choice.
    let mut above: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let wrong = |reason| Unread::Malformed { reason, at };
        match reader.read_event().map_err(|_| wrong("not well-formed XML"))? {
            Event::Start(start) => {
                if root.is_some() {
                    return Err(wrong("something follows the root"));
                }
                above.push(read_element(&start, at)?);
            }
            Event::End(_) => {
                let closed = above.pop().ok_or_else(|| wrong("not well-formed XML"))?;
                match above.last_mut() {
                    Some(parent) => parent.children.push(closed),
                    None => root = Some(closed),
                }
            }
            Event::Text(piece) => push_text(&mut above, &piece.xml10_content()).ok_or_else(|| wrong(OUTSIDE))?,
            Event::CData(piece) => push_text(&mut above, &piece.xml10_content()).ok_or_else(|| wrong(OUTSIDE))?,
            Event::GeneralRef(reference) => {
                let element = above.last_mut().ok_or_else(|| wrong(OUTSIDE))?;
                push_reference(&mut element.text, &reference).ok_or_else(|| wrong("an unknown reference"))?;
            }
            Event::Eof if above.is_empty() => return root.ok_or_else(|| wrong("the document is empty")),
            Event::Eof => return Err(wrong("an element is not closed")),
            Event::Decl(_) | Event::Empty(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

const OUTSIDE: &str = "text outside of the root";

/// Adds text to the element that is open; nothing but white space may stand outside of the root.
fn push_text(above: &mut [Element], text: &str) -> Option<()> {
    match above.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return None,
    }
    Some(())
}

fn read_element(start: &BytesStart<'_>, at: usize) -> Result<Element, Unread> {
    let wrong = || Unread::Malformed { reason: "an attribute is not well-formed", at };
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| wrong())?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| wrong())?;
        attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(Element { name: start.name().as_ref().to_owned(), attributes, text: String::new(), children: Vec::new(), at })
}

fn push_reference(text: &mut String, reference: &BytesRef<'_>) -> Option<()> {
    match reference.resolve_char_ref() {
        Ok(Some(c)) => text.push(c),
        Ok(None) => text.push_str(resolve_predefined_entity(reference)?),
        Err(_) => return None,
    }
    Some(())
}
