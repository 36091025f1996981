//! Attributes that others wrote: what they say of the call is found, also where they are not quite JSON.

use proptest::prelude::*;
use serde_json::json;
use taskrouter_streams::twilio::attributes::Attributes;

const CUSTOMER: &str = "CA00000000000000000000000000000001";

/// Whether the call is found beside this.
fn is_found(json: &str) -> bool {
    Attributes::read(json).call().call_sid.is_some_and(|found| found.as_str() == CUSTOMER)
}

#[test]
fn a_fault_beside_the_call_does_not_hide_it() {
    for fault in [
        r#""\ud83d""#,
        r#""\udc00 \ud83d\ud83d x""#,
        r#""cut \ud8""#,
        r#""\u12""#,
        r#""\q \x41 \'""#,
        "\"two\nlines\r\nand a tab\t\"",
        "\"\u{0}\u{1}\u{1f}\"",
        "NaN",
        "-Infinity",
        "Infinity",
        "undefined",
        "None",
        "1e999",
        "01",
        "[NaN, {\"a\": Infinity}]",
        "\u{feff}7",
        "\u{b} 7 \u{0}",
    ] {
        for json in [
            format!("{{\"call_sid\":\"{CUSTOMER}\",\"x\":{fault}}}"),
            format!("{{\"x\":{fault} , \"call_sid\" : \"{CUSTOMER}\"}}"),
            format!("\u{feff}{{\"x\":{{\"y\":[{fault},{fault}]}},\"call_sid\":\"{CUSTOMER}\"}}\u{0}"),
        ] {
            assert!(is_found(&json), "{json:?}");
        }
    }
}

#[test]
fn what_is_said_beside_a_fault_is_what_was_written() {
    let json = "\u{feff}{\"bad\":NaN,\"text\":\"a \\ud83d b\\u00e9 \\ud83d\\ude00 \\\"q\\\" \\u0007\nc\",\"list\":[1,true,\"x\"],\"more\":{\"n\":-1.5e3}}";
    let attributes = Attributes::read(json);
    assert_eq!(attributes.values("text"), ["a \u{fffd} bé 😀 \"q\" \u{7}\u{fffd}c"]);
    assert_eq!(attributes.values("list"), ["1", "true", "x"]);
    assert_eq!(attributes.values("more.n"), ["-1500.0"]);
    assert_eq!(attributes.values("bad"), Vec::<String>::new());
    // What is JSON is read as it stands.
    let json = "{\"text\":\"\\ud83d\\ude00 \u{feff}\"}";
    assert_eq!(Attributes::read(json).values("text"), ["😀 \u{feff}"]);
}

/// A misread word would have an agent's own leg commanded.
#[test]
fn words_are_read_whatever_their_case_and_the_white_space_around_them() {
    for direction in ["outbound", "Outbound", "OUTBOUND", " outbound\n"] {
        let call = Attributes::read(&json!({"direction": direction}).to_string()).call();
        assert!(call.outbound && !call.internal, "{direction:?}");
        for callee in ["client:bob", "Client:bob", " sip:bob@example.com", "SIP:bob@example.com"] {
            for attributes in [
                json!({"direction": direction, "to": callee}),
                json!({"direction": direction, "outbound_to": callee}),
                json!({"direction": direction, "outbound_to": " ", "to": callee}),
            ] {
                assert!(Attributes::read(&attributes.to_string()).call().internal, "{attributes}");
            }
        }
    }
    for direction in ["inbound", "outbound-api", ""] {
        assert!(!Attributes::read(&json!({"direction": direction}).to_string()).call().outbound, "{direction:?}");
    }
    for mark in ["True", " TRUE ", "true"] {
        assert!(Attributes::read(&json!({"client_call": mark}).to_string()).call().internal, "{mark:?}");
    }
    for role in ["customer", "Customer", " CUSTOMER "] {
        let worker = "CA00000000000000000000000000000002";
        let attributes = json!({"conference": {"participants": {role: CUSTOMER, "Worker": worker}}});
        let call = Attributes::read(&attributes.to_string()).call();
        assert_eq!(call.customer.unwrap().as_str(), CUSTOMER, "{role:?}");
        assert_eq!(call.other_legs.iter().map(ToString::to_string).collect::<Vec<_>>(), [worker], "{role:?}");
    }
}

#[test]
fn a_sid_with_a_fault_in_it_is_none() {
    let (begin, end) = CUSTOMER.split_at(9);
    for fault in ["\n", "\u{0}", "\\ud83d", "\\x"] {
        assert!(!is_found(&format!("{{\"call_sid\":\"{begin}{fault}{end}\"}}")), "{fault:?}");
    }
}

#[test]
fn what_is_no_json_at_all_says_nothing() {
    for text in ["", "{", "not JSON", "{\"call_sid\":", "\"", "\"\\", "\\", "{\"a\" \"b\"}", "[[[", "}{"] {
        assert!(!is_found(text), "{text}");
    }
    let deep = format!("{{\"call_sid\":\"{CUSTOMER}\",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(is_found(&deep), "what nests too deep hides nothing beside it");
}

/// A string's text as somebody may write it, faults among it.
fn written() -> impl Strategy<Value = String> {
    let plain = any::<String>().prop_map(|text| {
        let quoted = serde_json::to_string(&text).unwrap();
        quoted[1..quoted.len() - 1].to_owned()
    });
    let faults = prop::sample::select(vec![
        "\\ud83d",
        "\\udc00",
        "\\ud83d\\u0041",
        "\\u12",
        "\\u",
        "\\q",
        "\n",
        "\r",
        "\t",
        "\u{0}",
        "\u{1f}",
        "\u{feff}",
        "\\ud83d\\ud83d\\ude00",
    ]);
    let pieces = prop_oneof![2 => plain, 1 => faults.prop_map(str::to_owned)];
    prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat())
}

/// A value as somebody may write it.
fn values() -> impl Strategy<Value = String> {
    let words =
        prop::sample::select(vec!["NaN", "Infinity", "-Infinity", "1e999", "null", "true", "-3.5", "undefined"]);
    let leaf = prop_oneof![words.prop_map(str::to_owned), written().prop_map(|text| format!("\"{text}\""))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(" ,")));
        let object = (written(), inner).prop_map(|(name, value)| format!("{{\"x{name}\": {value}}}"));
        prop_oneof![list, object]
    })
}

proptest! {
    #[test]
    fn no_text_whatsoever_causes_a_panic(text in any::<String>(), odd in "[\\[\\]{}\",:\\\\udDcC08-9 \n]{0,60}") {
        is_found(&text);
        is_found(&odd);
        is_found(&format!("{{\"call_sid\":\"{CUSTOMER}\",\"x\":{odd}}}"));
    }

    #[test]
    fn the_call_is_found_whatever_faults_stand_beside_it(
        before in values(),
        after in values(),
        name in written(),
        bom in prop::bool::ANY,
    ) {
        let bom = if bom { "\u{feff}" } else { "" };
        let json = format!("{bom}{{\"x{name}\":{before},\"call_sid\":\"{CUSTOMER}\", \"y\":{after}}}");
        prop_assert!(is_found(&json), "{json:?}");
    }
}

#[test]
fn a_pause_is_read_from_the_attributes_and_what_is_not_understood_pauses() {
    use taskrouter_streams::call::pause::PauseScope;
    let read = |paused: &str| Attributes::read(&format!(r#"{{"streams":{{"paused":{paused}}}}}"#)).call().paused;
    let both = |json: &str| Attributes::read(json).call().paused.map(|told| told.paused);
    for (json, paused) in [
        (r#"{"streams.paused": true}"#, Some(true)),
        (r#"{"streams.paused": false}"#, Some(false)),
        (r#"{"streams.paused": null}"#, None),
        (r#"{"streams.paused": {"id": "p"}, "streams": {"other": 1}}"#, Some(true)),
        (r#"{"streams.paused": true, "streams": {"paused": false}}"#, Some(true)),
        (r#"{"streams.paused": false, "streams": {"paused": true}}"#, Some(true)),
        (r#"{"streams.paused": false, "streams": {"paused": null}}"#, Some(false)),
        (r#"{"streams.paused": true, "streams": "x"}"#, Some(true)),
    ] {
        assert_eq!(both(json), paused, "{json}");
    }
    assert!(read("null").is_none() && Attributes::read("{}").call().paused.is_none());
    assert!(!read("false").unwrap().paused);
    for paused in ["true", "\"yes\"", "1", "{}", r#"{"id": "<script>", "reason": "4111111111111111", "seconds": -1}"#] {
        let told = read(paused).unwrap();
        assert!(told.paused && told.scope == PauseScope::Call, "{paused}");
        assert_eq!((told.id, told.reason, told.seconds), (None, None, None), "{paused}");
    }
    let reservation = "WR00000000000000000000000000000001";
    let told = read(&format!(r#"{{"id":"a","reason":"card","seconds":60,"reservation":"{reservation}"}}"#)).unwrap();
    assert_eq!(told.scope, PauseScope::Reservation(reservation.parse().unwrap()));
    assert_eq!((told.id.unwrap().as_str(), told.reason.unwrap().as_str(), told.seconds), ("a", "card", Some(60)));
}
