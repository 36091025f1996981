//! TwiML as Twilio takes it: what has no bearing, what is played, and what is refused aloud.

use super::{Talk, start};
use proptest::prelude::*;
use twilio_simulator::SimConfig;
use twilio_simulator::world::Note;
use twilio_simulator::world::twiml::{Unread, Verb, read, read_inline};

const WAY_BACK: &str = "<Dial><Conference beep=\"false\">ROOM</Conference></Dial>";

/// A call whose customer may be redirected.
fn lowered(config: SimConfig) -> Talk {
    let mut talk = Talk::begin(config);
    talk.update(Some(false), None);
    talk
}

/// Redirects the customer, with the name of the conference for ROOM.
fn go(talk: &mut Talk, twiml: &str) -> u16 {
    let twiml = twiml.replace("ROOM", talk.task.as_str());
    talk.redirect(&twiml).status
}

#[test]
fn whatever_twilio_takes_leads_back_into_the_conference() {
    let conference = |attributes: &str| {
        format!("<Response><Dial><Conference beep=\"false\" {attributes}>ROOM</Conference></Dial></Response>")
    };
    for twiml in [
        format!("<?xml version=\"1.0\"?>\n<!-- back -->\n<Response>\n  {WAY_BACK}\n</Response>\n"),
        format!("<Response><!-- a comment -->{WAY_BACK}</Response>"),
        format!("<Response><Say voice=\"alice\">One <break/> moment</Say>{WAY_BACK}</Response>"),
        format!("<Response><Play loop=\"2\">https://a.example/music.mp3</Play>{WAY_BACK}</Response>"),
        format!("<Response><Pause/>{WAY_BACK}</Response>"),
        format!("<Response>{}<Stop><Stream name=\"none\"/></Stop>{WAY_BACK}</Response>", start("a")),
        format!("<Response><Start><Stream url=\"wss://a.example\"/></Start>{WAY_BACK}</Response>"),
        format!("<Response>{WAY_BACK}{}</Response>", start("a")),
        format!("<Response future=\"1\"><Future><Deep/></Future>{WAY_BACK}</Response>"),
        conference("startConferenceOnEnter=\"false\""),
        conference("participantLabel=\"customer\" muted=\"false\" waitUrl=\"\" waitMethod=\"GET\""),
        conference("endConferenceOnExit=\"TRUE\" jitterBufferSize=\"small\" region=\"us1\" unknown=\"x\""),
        "<Response><Dial timeout=\"3\" hangupOnStar=\"true\"><Conference beep=\"onExit\">ROOM</Conference></Dial></Response>"
            .to_owned(),
        "<Response><Dial><Conference beep=\"false\"><![CDATA[ROOM]]></Conference></Dial></Response>".to_owned(),
    ] {
        let mut talk = lowered(SimConfig::default());
        assert_eq!(go(&mut talk, &twiml), 200, "{twiml}");
        talk.wait(5_000);
        assert!(talk.row().is_ok(), "{twiml}");
        assert_eq!(talk.violations(), Vec::<String>::new(), "{twiml}");
    }
}

#[test]
fn a_label_and_the_other_attributes_show_in_the_participant() {
    let mut talk = lowered(SimConfig::default());
    go(
        &mut talk,
        "<Response><Dial><Conference beep=\"false\" participantLabel=\"the customer\" muted=\"true\" \
         startConferenceOnEnter=\"false\">ROOM</Conference></Dial></Response>",
    );
    talk.wait(10);
    let row = talk.row().unwrap();
    assert_eq!((&row["label"], &row["muted"]), (&"the customer".into(), &true.into()));
    assert_eq!(row["start_conference_on_enter"], false);
}

#[test]
fn a_prompt_and_a_pause_take_their_time() {
    let mut talk = lowered(SimConfig { prompt_ms: 700, ..SimConfig::default() });
    go(&mut talk, &format!("<Response><Say>Hello</Say><Pause length=\"2\"/>{WAY_BACK}</Response>"));
    talk.wait(2_709);
    assert_eq!(talk.row(), Err(404));
    talk.wait(1);
    assert!(talk.row().is_ok());
}

#[test]
fn a_connected_stream_keeps_the_call_until_it_is_over() {
    let mut talk = lowered(SimConfig::default());
    let connect = "<Connect><Stream name=\"bot\" url=\"wss://a.example\"/></Connect>";
    go(&mut talk, &format!("<Response>{connect}{WAY_BACK}</Response>"));
    talk.wait(60_000);
    assert_eq!((talk.row(), talk.call_status()), (Err(404), "in-progress".to_owned()));
    assert_eq!(talk.stop("bot").status, 200);
    talk.wait(10);
    assert!(talk.row().is_ok());
}

#[test]
fn verbs_behind_the_conference_are_followed_when_it_is_over() {
    let mut talk = lowered(SimConfig::default());
    go(&mut talk, &format!("<Response>{WAY_BACK}<Pause length=\"3\"/></Response>"));
    talk.wait(10);
    talk.world.advance(talk.now).conference_ends(&talk.task);
    assert_eq!(talk.call_status(), "in-progress");
    talk.wait(3_000);
    assert_eq!(talk.call_status(), "completed");
    assert_eq!(talk.violations(), Vec::<String>::new());
}

#[test]
fn what_is_not_simulated_is_refused_and_noted_and_leaves_the_call_alone() {
    for verb in [
        "<Gather input=\"speech\"/>",
        "<Record/>",
        "<Enqueue workflowSid=\"WW1\"/>",
        "<Dial><Number>+15550100009</Number></Dial>",
        "<Dial>+15550100009</Dial>",
        "<Connect><ConversationRelay url=\"wss://a.example\"/></Connect>",
        "<Start><Transcription/></Start>",
        "<Redirect>/relative</Redirect>",
    ] {
        let mut talk = Talk::begin(SimConfig::default());
        assert_eq!(go(&mut talk, &format!("<Response>{verb}{WAY_BACK}</Response>")), 501, "{verb}");
        assert!(matches!(talk.world.notes(), [Note::NotSimulated { .. }]), "{verb}");
        assert!(talk.row().is_ok() && talk.violations().is_empty(), "{verb}");
    }
}

#[test]
fn twiml_from_elsewhere_is_followed_when_it_is_there() {
    let mut talk = lowered(SimConfig::default());
    go(&mut talk, "<Response><Pause/><Redirect method=\"GET\">https://a.example/next</Redirect></Response>");
    talk.wait(1_000);
    let [order] = <[_; 1]>::try_from(talk.world.take_documents()).unwrap();
    assert_eq!((order.document.url.as_str(), order.document.get), ("https://a.example/next", true));
    assert!(order.form.contains(&("CallSid".to_owned(), talk.customer.to_string())));
    let back = format!("<Response>{}</Response>", WAY_BACK.replace("ROOM", talk.task.as_str()));
    talk.world.advance(talk.now).document_arrived(&order, Ok(back));
    talk.wait(10);
    assert!(talk.row().is_ok());
}

#[test]
fn without_the_document_the_call_ends_and_one_that_comes_too_late_is_void() {
    for (hangs_up_first, notes) in [(false, 1), (true, 0)] {
        let mut talk = lowered(SimConfig::default());
        go(&mut talk, "<Response><Redirect>https://a.example/next</Redirect></Response>");
        let [order] = <[_; 1]>::try_from(talk.world.take_documents()).unwrap();
        if hangs_up_first {
            talk.world.advance(talk.now).customer_hangs_up(&talk.task).unwrap();
        }
        talk.world.advance(talk.now).document_arrived(&order, Err("connection refused".to_owned()));
        assert_eq!(talk.call_status(), "completed");
        let told = talk.world.notes().iter().filter(|note| matches!(note, Note::NoDocument { .. })).count();
        assert_eq!(told, notes);
    }
}

#[test]
fn what_is_no_twiml_is_told_from_what_is_too_long() {
    for text in ["", "not XML", "<Reply/>", "<Response>", "<Response/><Response/>", "<Response/>text", "<a b=c/>"] {
        assert!(matches!(read(text), Err(Unread::Malformed { .. })), "{text}");
    }
    assert!(matches!(read(&"<a>".repeat(1_000)), Err(Unread::Malformed { .. })));
    let long = format!("<Response>{}<Hangup/></Response>", " ".repeat(4_000));
    assert!(matches!(read_inline(&long), Err(Unread::TooLong { .. })));
    assert_eq!(read(&long), Ok(vec![Verb::Hangup]));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[<>/a-zA-Z\"'=&;# \n\\PC]{0,200}") {
        let _ = read(&text);
    }
}
