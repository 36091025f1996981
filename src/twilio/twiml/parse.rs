//! Reading back what [`super::render`] writes. Stricter than Twilio on purpose: whatever is not of that form is an error
//! here, because in a test it is a mistake of ours.

use super::{ConferenceVerb, Document, StreamVerb, Track, TwimlError, check, check_length};
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// An element with everything in it.
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
    at: usize,
}

/// The document, or the first thing that is wrong with it.
pub fn parse(text: &str) -> Result<Document, TwimlError> {
    check_length(text)?;
    let mut response = read_tree(text)?;
    response.expect_name("Response", "the root must be <Response>")?;
    response.take_no_text()?;
    let mut verbs = std::mem::take(&mut response.children);
    response.finish()?;

    let Some(dial) = verbs.pop() else {
        return Err(response.wrong("<Response> is empty"));
    };
    let mut document = Document { stop: Vec::new(), start: Vec::new(), conference: read_dial(dial)? };
    for verb in verbs {
        match verb.name.as_str() {
            "Stop" if document.start.is_empty() => document.stop.push(read_stop(verb)?),
            "Stop" => return Err(verb.wrong("<Stop> must stand before <Start>")),
            "Start" => document.start.push(read_start(verb)?),
            _ => return Err(verb.wrong("only <Stop>, <Start> and one <Dial> at the end are used")),
        }
    }
    check(&document)?;
    Ok(document)
}

fn read_dial(mut dial: Element) -> Result<ConferenceVerb, TwimlError> {
    dial.expect_name("Dial", "the last verb must be <Dial>")?;
    let mut conference = dial.take_only_child("Conference", "<Dial> must hold one <Conference>")?;
    dial.finish()?;
    let verb = ConferenceVerb {
        room: std::mem::take(&mut conference.text),
        beep: conference.take_flag("beep")?.unwrap_or(true),
        end_conference_on_exit: conference.take_flag("endConferenceOnExit")?.unwrap_or(false),
    };
    conference.finish()?;
    Ok(verb)
}

fn read_stop(mut stop: Element) -> Result<String, TwimlError> {
    let mut stream = stop.take_only_child("Stream", "<Stop> must hold one <Stream>")?;
    stop.finish()?;
    let name = stream.take_required("name", "the <Stream> of a <Stop> needs a name")?;
    stream.take_no_text()?;
    stream.finish()?;
    Ok(name)
}

fn read_start(mut start: Element) -> Result<StreamVerb, TwimlError> {
    let mut stream = start.take_only_child("Stream", "<Start> must hold one <Stream>")?;
    start.finish()?;
    let track = match stream.take("track") {
        // Twilio's own default.
        None => Track::InboundTrack,
        Some(name) => Track::from_name(&name).ok_or_else(|| stream.wrong("no such track"))?,
    };
    if stream.take("statusCallbackMethod").is_some_and(|method| method != "POST") {
        return Err(stream.wrong("a statusCallbackMethod other than POST is not used"));
    }
    let verb = StreamVerb {
        name: stream.take_required("name", "the <Stream> of a <Start> needs a name to be stopped by")?,
        url: stream.take_required("url", "the <Stream> of a <Start> needs a url")?,
        track,
        parameters: std::mem::take(&mut stream.children).into_iter().map(read_parameter).collect::<Result<_, _>>()?,
        status_callback: stream.take("statusCallback"),
    };
    stream.take_no_text()?;
    stream.finish()?;
    Ok(verb)
}

fn read_parameter(mut parameter: Element) -> Result<(String, String), TwimlError> {
    parameter.expect_name("Parameter", "<Stream> may hold <Parameter> only")?;
    let name = parameter.take_required("name", "a <Parameter> needs a name")?;
    let value = parameter.take_required("value", "a <Parameter> needs a value")?;
    parameter.take_no_text()?;
    parameter.finish()?;
    Ok((name, value))
}

impl Element {
    fn wrong(&self, reason: &'static str) -> TwimlError {
        TwimlError::Form { reason, at: self.at }
    }

    fn expect_name(&self, name: &str, reason: &'static str) -> Result<(), TwimlError> {
        if self.name == name { Ok(()) } else { Err(self.wrong(reason)) }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.attributes.iter().position(|(found, _)| found == name)?;
        Some(self.attributes.remove(place).1)
    }

    fn take_required(&mut self, name: &str, reason: &'static str) -> Result<String, TwimlError> {
        self.take(name).ok_or_else(|| self.wrong(reason))
    }

    fn take_flag(&mut self, name: &str) -> Result<Option<bool>, TwimlError> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.wrong("beep and endConferenceOnExit must be true or false")),
        }
    }

    fn take_only_child(&mut self, name: &str, reason: &'static str) -> Result<Element, TwimlError> {
        self.take_no_text()?;
        match (self.children.pop(), self.children.is_empty()) {
            (Some(child), true) if child.name == name => Ok(child),
            _ => Err(self.wrong(reason)),
        }
    }

    /// Drops the white space between children.
    fn take_no_text(&mut self) -> Result<(), TwimlError> {
        if std::mem::take(&mut self.text).trim().is_empty() {
            Ok(())
        } else {
            Err(self.wrong("text where there must be none"))
        }
    }

    /// Refuses what nobody has taken.
    fn finish(&self) -> Result<(), TwimlError> {
        if !self.attributes.is_empty() {
            return Err(self.wrong("an attribute that is not used"));
        }
        if !self.children.is_empty() {
            return Err(self.wrong("an element that is not used"));
        }
        Ok(())
    }
}

fn read_tree(text: &str) -> Result<Element, TwimlError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    // A stack and no recursion: the depth is the sender's choice.
    let mut above: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let wrong = |reason| TwimlError::Form { reason, at };
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
            Event::Text(piece) => match above.last_mut() {
                Some(element) => element.text.push_str(&piece.xml10_content()),
                None if piece.trim().is_empty() => {}
                None => return Err(wrong("text outside of the root")),
            },
            Event::GeneralRef(reference) => {
                let element = above.last_mut().ok_or_else(|| wrong("text outside of the root"))?;
                push_reference(&mut element.text, &reference).ok_or_else(|| wrong("an unknown reference"))?;
            }
            Event::Decl(_) if above.is_empty() && root.is_none() => {}
            Event::Eof if above.is_empty() => return root.ok_or_else(|| wrong("the document is empty")),
            Event::Eof => return Err(wrong("an element is not closed")),
            Event::Decl(_)
            | Event::Empty(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::PI(_)
            | Event::DocType(_) => return Err(wrong("only elements and text are used")),
        }
    }
}

fn read_element(start: &BytesStart<'_>, at: usize) -> Result<Element, TwimlError> {
    let wrong = |_| TwimlError::Form { reason: "an attribute is not well-formed", at };
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| TwimlError::Form { reason: "an attribute is not well-formed", at })?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(wrong)?;
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
