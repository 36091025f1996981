//! TwiML: what is rendered can be read back, and what Twilio would refuse is refused.

use proptest::prelude::*;
use taskrouter_streams::twilio::twiml::{ConferenceVerb, Document, StreamVerb, Track, TwimlError, render, shorten};
use twilio_simulator::world::StreamOrder;
use twilio_simulator::world::twiml::{Conference, Verb, read_inline};

fn conference() -> ConferenceVerb {
    ConferenceVerb { room: "WT1".into(), beep: false, end_conference_on_exit: true }
}

fn stream(name: &str) -> StreamVerb {
    StreamVerb {
        name: name.into(),
        url: "wss://a.example/x".into(),
        track: Track::BothTracks,
        parameters: vec![("workerSid".into(), "WK1".into())],
        status_callback: Some(CALLBACK.into()),
    }
}

fn document() -> Document {
    Document { stop: vec!["old".into()], start: vec![stream("new")], conference: conference() }
}

const CALLBACK: &str = "https://worker.example/streams/status?task=WT1&x=1";

const TEXT: &str = concat!(
    r#"<Response><Stop><Stream name="old"/></Stop>"#,
    r#"<Start><Stream name="new" url="wss://a.example/x" track="both_tracks" "#,
    r#"statusCallback="https://worker.example/streams/status?task=WT1&amp;x=1">"#,
    r#"<Parameter name="workerSid" value="WK1"/></Stream></Start>"#,
    r#"<Dial><Conference beep="false" endConferenceOnExit="true">WT1</Conference></Dial></Response>"#
);

/// What a call is told by the document, as the simulated Twilio reads it.
fn told(document: Document) -> Vec<Verb> {
    let Document { stop, start, conference: ConferenceVerb { room, beep, end_conference_on_exit } } = document;
    let order = |stream: StreamVerb| StreamOrder {
        url: Some(stream.url),
        name: Some(stream.name),
        track: Some(stream.track.as_str().to_owned()),
        status_callback: stream.status_callback,
        status_callback_method: None,
        parameters: stream.parameters,
    };
    let conference = Conference {
        room,
        beeps_on_enter: beep,
        guard: end_conference_on_exit,
        starts: true,
        muted: false,
        label: None,
    };
    let streams = start.into_iter().map(|stream| Verb::Start(order(stream)));
    stop.into_iter().map(Verb::Stop).chain(streams).chain([Verb::Dial(conference)]).collect()
}

#[test]
fn a_document_is_stops_then_starts_then_the_conference() {
    assert_eq!(render(&document()).unwrap(), TEXT);
    assert_eq!(read_inline(TEXT).unwrap(), told(document()));
}

#[test]
fn what_twilio_would_refuse_is_not_written() {
    let spoil: [fn(&mut Document); 7] = [
        |d| d.stop[0].clear(),
        |d| d.start[0].name = " ".into(),
        |d| d.start[0].url = "https://a.example/x".into(),
        |d| d.start[0].url = "wss://a.example/x?agent=1".into(),
        |d| d.start[0].status_callback = Some("ftp://worker.example".into()),
        |d| d.start[0].status_callback = Some(String::new()),
        |d| d.conference.room.clear(),
    ];
    for spoil in spoil {
        let mut document = document();
        spoil(&mut document);
        assert!(render(&document).is_err(), "{document:?}");
    }
}

#[test]
fn a_document_over_the_limit_is_refused() {
    let mut long = document();
    long.start = (0..60).map(|n| stream(&format!("stream-{n}"))).collect();
    assert!(matches!(render(&long), Err(TwimlError::TooLong { found }) if found > 4000));
}

#[test]
fn the_limits_of_parameters_and_names_hold_to_the_character() {
    let with = |parameters| {
        let mut document = document();
        document.start[0].parameters = parameters;
        render(&document).map(|_| ())
    };
    assert_eq!(with(vec![("n".into(), "v".repeat(498))]), Ok(()));
    assert_eq!(with(vec![("n".into(), "v".repeat(499))]), Err(TwimlError::ParameterTooLong));
    assert_eq!(with(vec![("n".into(), String::new()); 99]), Ok(()));
    assert_eq!(with(vec![("n".into(), String::new()); 100]), Err(TwimlError::TooManyParameters));
    assert!(matches!(with(vec![(String::new(), "v".into())]), Err(TwimlError::Empty { .. })));

    let room = |room: String| {
        let mut document = document();
        document.conference.room = room;
        render(&document).map(|_| ())
    };
    assert_eq!(room("é".repeat(128)), Ok(()));
    assert_eq!(room("é".repeat(129)), Err(TwimlError::RoomTooLong));
    assert!(matches!(room("  ".into()), Err(TwimlError::Empty { .. })));
}

/// A redirect's document with `count` parameters of this value beside the stream's own.
fn with_values(count: usize, value: &str) -> Document {
    let mut document = document();
    document.start[0].parameters.extend((0..count).map(|number| (format!("n{number}"), value.to_owned())));
    document
}

#[test]
fn parameters_are_shortened_the_longest_first_until_the_document_fits() {
    let values = |document: &Document| {
        document.start[0].parameters.iter().map(|(_, value)| value.chars().count()).collect::<Vec<_>>()
    };
    for value in ["y".repeat(480), "&".repeat(450), "\"".repeat(495), "😀".repeat(240), "é".repeat(490)] {
        let mut long = with_values(9, &value);
        long.start[0].parameters[2].1 = "short".into();
        let mut other = stream("other");
        other.parameters.push(("n".into(), value.clone()));
        long.start.push(other);
        assert!(matches!(render(&long), Err(TwimlError::TooLong { .. })));
        let before = long.clone();
        shorten(&mut long, 1);
        let text = render(&long).unwrap();
        assert!(text.encode_utf16().count() > 3_900, "no shorter than it must be: {}", text.len());
        assert_eq!(read_inline(&text).unwrap(), told(long.clone()));
        assert_eq!(long.start[0].parameters[0], before.start[0].parameters[0], "its own stay as they are");
        assert_eq!(long.start[0].parameters[2].1, "short", "and what is short");
        let cut = values(&long)[3];
        assert!(values(&long).iter().skip(3).all(|length| *length == cut), "all alike: {:?}", values(&long));
        assert!(value.starts_with(&long.start[1].parameters[1].1));
    }
    let mut fits = with_values(6, &"y".repeat(480));
    let before = fits.clone();
    shorten(&mut fits, 1);
    assert_eq!(fits, before);
}

#[test]
fn where_not_even_the_names_fit_the_longest_are_dropped() {
    let mut document = with_values(90, "v");
    document.start[0].parameters.insert(5, ("x".repeat(90), "v".into()));
    document.start.push(StreamVerb { name: "other".into(), ..document.start[0].clone() });
    shorten(&mut document, 1);
    render(&document).unwrap();
    let names = |place: usize| document.start[place].parameters.iter().map(|(name, _)| name.len()).max().unwrap();
    assert!(names(0) < 90 && names(1) < 90);
    assert!(document.start.iter().all(|stream| stream.parameters[0].0 == "workerSid"));
    // What has no parameters to give is refused as before.
    let mut hopeless = self::document();
    hopeless.start = (0..60).map(|n| stream(&format!("stream-{n}"))).collect();
    let before = hopeless.clone();
    shorten(&mut hopeless, 1);
    assert_eq!(hopeless, before);
}

#[test]
fn a_character_that_xml_cannot_carry_is_refused_everywhere() {
    let spoil: [fn(&mut Document); 7] = [
        |d| d.stop[0].push('\0'),
        |d| d.start[0].name.push('\u{b}'),
        |d| d.start[0].url.push('\u{1b}'),
        |d| d.start[0].parameters[0].0.push('\u{fffe}'),
        |d| d.start[0].parameters[0].1.push('\u{ffff}'),
        |d| d.conference.room.push('\u{8}'),
        |d| d.start[0].status_callback.as_mut().unwrap().push('\u{c}'),
    ];
    for spoil in spoil {
        let mut document = document();
        spoil(&mut document);
        assert!(matches!(render(&document), Err(TwimlError::IllegalCharacter { .. })), "{document:?}");
    }
}

/// Text with everything in it that XML treats in a way of its own.
fn hostile(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let character = prop_oneof![
        prop::sample::select(vec![
            '<', '>', '&', '"', '\'', '\n', '\r', '\t', ' ', ';', '#', ']', '\u{85}', '\u{2028}'
        ]),
        any::<char>().prop_filter("XML cannot carry it", |c| {
            !matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
        }),
        prop::char::range('a', 'z'),
    ];
    prop::collection::vec(character, length).prop_map(|characters| characters.into_iter().collect())
}

fn name() -> impl Strategy<Value = String> {
    hostile(1..12).prop_filter("a name is not blank", |name| !name.trim().is_empty())
}

fn documents() -> impl Strategy<Value = Document> {
    let parameters = prop::collection::vec((name(), hostile(0..12)), 0..4);
    let url = hostile(0..12).prop_map(|rest| format!("wss://h/{}", rest.replace('?', "")));
    let callback = prop::option::of(hostile(0..12).prop_map(|rest| format!("https://h{rest}")));
    let stream = (name(), url, prop::sample::select(Track::ALL.to_vec()), parameters, callback).prop_map(
        |(name, url, track, parameters, status_callback)| StreamVerb { name, url, track, parameters, status_callback },
    );
    let conference = (name(), any::<bool>(), any::<bool>())
        .prop_map(|(room, beep, end_conference_on_exit)| ConferenceVerb { room, beep, end_conference_on_exit });
    (prop::collection::vec(name(), 0..4), prop::collection::vec(stream, 0..4), conference)
        .prop_map(|(stop, start, conference)| Document { stop, start, conference })
}

proptest! {
    #[test]
    fn whatever_is_rendered_reads_back_the_same(document in documents()) {
        match render(&document) {
            Ok(text) => prop_assert_eq!(read_inline(&text), Ok(told(document))),
            Err(error) => prop_assert!(matches!(error, TwimlError::TooLong { .. }), "{}", error),
        }
    }
}
