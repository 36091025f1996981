//! The configuration of what is streamed: eligibility, destinations, parameters, rules.

use super::config::{accepted, environment, only_problem, refused, with, without};
use taskrouter_streams::call::rules::{Piece, Template};
use taskrouter_streams::config::Settings;

const TWO: &str =
    "[[streams.destinations]]\nurl = \"wss://h/a\"\n[[streams.destinations]]\nname = \"assist\"\nurl = \"wss://h/b\"\n";

fn settings(file: &str) -> Settings {
    accepted(file, &without("TRS__STREAMS__DESTINATIONS"))
}

fn problem(key: &str, file: &str) -> String {
    only_problem(key, file, &without("TRS__STREAMS__DESTINATIONS")).to_string()
}

fn parameters(text: &str) -> String {
    format!("[[streams.destinations]]\nurl = \"wss://h/a\"\nparameters = {text}\n")
}

#[test]
fn calls_that_agents_place_are_streamed_when_the_configuration_says_so() {
    assert!(!accepted("", &environment()).eligibility.outbound);
    assert!(accepted("[eligibility]\noutbound = true", &environment()).eligibility.outbound);
    assert!(accepted("", &with(&[("TRS__ELIGIBILITY__OUTBOUND", "true")])).eligibility.outbound);
    for wrong in ["1", "\"true\"", "[]"] {
        only_problem("eligibility.outbound", &format!("[eligibility]\noutbound = {wrong}"), &environment());
    }
    only_problem("eligibility.outbound", "", &with(&[("TRS__ELIGIBILITY__OUTBOUND", "yes")]));
}

#[test]
fn channels_are_a_list_with_something_in_it() {
    let list = with(&[("TRS__ELIGIBILITY__CHANNELS", "voice, callback")]);
    assert_eq!(accepted("", &list).interest().channels, ["voice", "callback"]);
    for wrong in ["[]", "[\"\"]", "[1]", "\"voice\""] {
        only_problem("eligibility.channels", &format!("[eligibility]\nchannels = {wrong}"), &environment());
    }
}

#[test]
fn destinations_have_names_of_their_own() {
    let names: Vec<_> = settings(TWO).streams.destinations.into_iter().map(|destination| destination.name).collect();
    assert_eq!(names, ["A", "assist"]);
    let twice = TWO.replace("\"assist\"", "\"A\"");
    assert!(problem("streams.destinations", &twice).contains("two destinations of the same name"));
    problem("streams.destinations.1.name", &TWO.replace("\"assist\"", "\"a b\""));
}

#[test]
fn parameters_hold_fields_in_braces() {
    let text = r#"{ who = "{{x}} {worker.name} of {task.queue.name}", plain = "p" }"#;
    let read = settings(&parameters(text));
    let expected = Template(vec![
        Piece::Text("{x} ".to_owned()),
        Piece::Field("worker.name".to_owned()),
        Piece::Text(" of ".to_owned()),
        Piece::Field("task.queue.name".to_owned()),
    ]);
    let of_first = &read.streams.destinations[0].parameters;
    assert!(of_first.contains(&("who".to_owned(), expected)), "{of_first:?}");
    assert_eq!(read.interest().fields.into_iter().collect::<Vec<_>>(), ["task.queue.name", "worker.name"]);
}

#[test]
fn parameters_that_twilio_or_we_could_not_fill_are_refused() {
    for (key, text) in [
        ("a", r#"{ a = "{worker.nam}" }"#),
        ("a", r#"{ a = "{worker.name" }"#),
        ("a", r#"{ a = "}" }"#),
        ("a", r#"{ a = "{task.attributes.}" }"#),
        ("a", "{ a = 1 }"),
        ("workerSid", r#"{ workerSid = "x" }"#),
    ] {
        let said = problem(&format!("streams.destinations.0.parameters.{key}"), &parameters(text));
        assert!(!said.is_empty());
    }
    problem("streams.destinations.0.parameters", &parameters("3"));
    let long = format!("{{ a = \"{}\" }}", "x".repeat(499));
    problem("streams.destinations.0.parameters.a", &parameters(&long));
    let many = (0..97).map(|number| format!("p{number} = \"\"")).collect::<Vec<_>>().join(", ");
    problem("streams.destinations.0.parameters", &parameters(&format!("{{ {many} }}")));
}

#[test]
fn names_of_parameters_that_twilio_could_not_take_are_refused() {
    for name in ["", " ", "a\\u0000", "a\\uffff", &"n".repeat(101), &"😀".repeat(51)] {
        let file = parameters(&format!("{{ \"{name}\" = \"x\" }}"));
        let said = format!("{:?}", refused(&file, &without("TRS__STREAMS__DESTINATIONS")));
        assert!(said.contains("unprintable or overlong name"), "{said}");
    }
}

#[test]
fn values_are_cleaned_of_what_twilio_refuses_and_cut_to_what_it_takes() {
    let template = Template(vec![Piece::Field("f".to_owned())]);
    let filled = |value: &str, limit| template.fill(limit, |_| value.to_owned());
    for (value, expected) in [
        ("A\0n\u{b}a\u{1b}\r\n\t", "Ana"),
        ("Ana\u{7f}\u{85}\u{9f}", "Ana"),
        ("Ana\u{fffe}\u{ffff}\u{fdd0}\u{fdef}\u{1ffff}\u{10fffe}", "Ana"),
    ] {
        assert_eq!(filled(value, 499), (expected.to_owned(), true), "{value:?}");
    }
    for whole in ["", "  ", "<Say>\"hi\" & 'bye'</Say>", "👩‍👩‍👧‍👦 é", "\u{202e}abc\u{2028}\u{e000}\u{fffd}"]
    {
        assert_eq!(filled(whole, 499), (whole.to_owned(), false), "{whole:?}");
    }
    assert_eq!(filled("abc", 2), ("ab".to_owned(), true));
    assert_eq!(filled("a😀b", 2), ("a".to_owned(), true), "an emoji counts as two, and is never halved");
}

#[test]
fn rules_name_destinations_and_what_must_hold() {
    // What lists show would be kept too.
    let rules = format!(
        "[admin]\nnames = false\n{TWO}[[streams.rules]]\ntask_attributes = {{ consent = false, tier = 2 }}\ndestinations = []\n\
         [[streams.rules]]\ntask_queue = \"Support\"\nworkflow = \"WW1\"\nchannel = \"voice\"\n\
         worker_attributes = {{ \"team\" = \"blue\" }}\ndestinations = [\"assist\", \"A\"]\n"
    );
    let read = settings(&rules);
    let [none, some] = read.streams.rules.as_slice() else { panic!("{:?}", read.streams.rules) };
    assert_eq!(none.slots, Vec::<usize>::new());
    assert_eq!(some.slots, [1, 0]);
    let shown = |rule: &taskrouter_streams::call::rules::Rule| {
        rule.when.iter().map(|each| format!("{}={}", each.fields.join("|"), each.equals)).collect::<Vec<_>>()
    };
    assert_eq!(shown(none), ["task.attributes.consent=false", "task.attributes.tier=2"]);
    assert_eq!(
        shown(some),
        [
            "task.queue.name|task.queue.sid=Support",
            "workflow.name|workflow.sid=WW1",
            "task.channel=voice",
            "worker.attributes.team=blue"
        ]
    );
    assert_eq!(read.interest().fields.len(), 8, "what rules look at is kept");
}

#[test]
fn rules_that_mean_nothing_are_refused_with_their_place() {
    for (key, rule) in [
        ("streams.rules.0.destinations", "task_queue = \"x\""),
        ("streams.rules.0.destinations", "destinations = [\"C\"]"),
        ("streams.rules.0.destinations", "destinations = \"A\""),
        ("streams.rules.0.queue", "queue = \"x\"\ndestinations = []"),
        ("streams.rules.0.task_queue", "task_queue = [\"x\"]\ndestinations = []"),
        ("streams.rules.0.task_attributes", "task_attributes = \"x\"\ndestinations = []"),
        ("streams.rules.0.task_attributes.a", "task_attributes = { a = [1] }\ndestinations = []"),
    ] {
        problem(key, &format!("{TWO}[[streams.rules]]\n{rule}\n"));
    }
    assert_eq!(refused("[streams]\nrules = \"x\"", &environment())[0].key, "streams.rules");
}
