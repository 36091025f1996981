//! Assignment callbacks: a conference without beeps for callers, where it is switched on.

use crate::stories::patient;
use proptest::prelude::*;
use serde_json::{Value, json};
use taskrouter_streams::twilio::assignment::parse;
use taskrouter_streams::twilio::signature::{Pair, sign};
use twilio_simulator::testbed::Testbed;

const CALL: &str = "CA00000000000000000000000000000001";

async fn stage(extra: &str) -> Testbed {
    Testbed::start(patient(), &format!("[server]\nthreads = 1\n{extra}")).await.unwrap()
}

/// The parameters of a recorded one.
fn form(stage: &Testbed, attributes: &str) -> Vec<(&'static str, String)> {
    let settings = stage.settings();
    vec![
        ("AccountSid", settings.twilio.account_sid.to_string()),
        ("WorkspaceSid", settings.twilio.workspace_sid.to_string()),
        ("WorkflowSid", "WW00000000000000000000000000000001".to_owned()),
        ("TaskQueueSid", "WQ00000000000000000000000000000001".to_owned()),
        ("WorkerSid", "WK00000000000000000000000000000001".to_owned()),
        ("WorkerAttributes", r#"{"contact_uri":"client:alice"}"#.to_owned()),
        ("TaskSid", "WT00000000000000000000000000000001".to_owned()),
        ("TaskAttributes", attributes.to_owned()),
        ("TaskAge", "1".to_owned()),
        ("TaskPriority", "0".to_owned()),
        ("ReservationSid", "WR00000000000000000000000000000001".to_owned()),
    ]
}

async fn post(stage: &Testbed, form: &[(&str, String)], token: &str) -> (u16, Option<Value>) {
    let path = "/taskrouter/assignment";
    let signature = sign(&format!("{}{path}", stage.settings().server.public_url), form, token);
    let url = format!("http://{}{path}", stage.service.public());
    let request = reqwest::Client::new().post(url).header("X-Twilio-Signature", signature).form(form);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).ok())
}

fn token(stage: &Testbed) -> String {
    use secrecy::ExposeSecret;
    stage.settings().twilio.auth_tokens[0].expose_secret().to_owned()
}

#[tokio::test]
async fn there_is_no_such_path_unless_it_is_switched_on() {
    let stage = stage("").await;
    let form = form(&stage, &json!({"call_sid": CALL}).to_string());
    assert_eq!(post(&stage, &form, &token(&stage)).await.0, 404);
    stage.stop().await;
}

#[tokio::test]
async fn a_caller_is_put_into_a_conference_without_beeps_and_everybody_else_is_left_to_the_client() {
    let stage = stage("[assignment]\nenabled = true\nring_s = 30").await;
    let conference = json!({
        "instruction": "conference", "beep": "false", "beep_on_customer_entrance": false,
        "end_conference_on_exit": false, "end_conference_on_customer_exit": true, "timeout": 30,
    });
    for (attributes, expected) in [
        (json!({"direction": "inbound", "call_sid": CALL}).to_string(), &conference),
        (json!({"call_sid": CALL, "name": "Zoë 😀 + & %"}).to_string(), &conference),
        (json!({"direction": "outbound", "call_sid": CALL}).to_string(), &json!({})),
        (json!({"channelSid": "CH00000000000000000000000000000001"}).to_string(), &json!({})),
        (json!({"call_sid": 7}).to_string(), &json!({})),
        (json!({"call_sid": "+15550100002"}).to_string(), &json!({})),
        ("[]".to_owned(), &json!({})),
        ("not JSON".to_owned(), &json!({})),
        (String::new(), &json!({})),
    ] {
        let answer = post(&stage, &form(&stage, &attributes), &token(&stage)).await;
        assert_eq!(answer, (200, Some(expected.clone())), "{attributes}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_number_to_show_is_sent_along() {
    let stage = stage("[assignment]\nenabled = true\nfrom = \"+15550100001\"").await;
    let (_, answer) = post(&stage, &form(&stage, &json!({"call_sid": CALL}).to_string()), &token(&stage)).await;
    assert_eq!(answer.unwrap()["from"], "+15550100001");
    stage.stop().await;
}

#[tokio::test]
async fn nobody_but_our_workspace_is_answered() {
    let stage = stage("[assignment]\nenabled = true").await;
    let good = form(&stage, &json!({"call_sid": CALL}).to_string());
    assert_eq!(post(&stage, &good, "another-token").await.0, 403);
    for (place, sid) in [(0, "AC000000000000000000000000000000ff"), (1, "WS000000000000000000000000000000ff")] {
        let mut foreign = good.clone();
        foreign[place].1 = sid.to_owned();
        assert_eq!(post(&stage, &foreign, &token(&stage)).await.0, 403);
    }
    assert_eq!(post(&stage, &good[2..], &token(&stage)).await.0, 400);
    stage.stop().await;
}

proptest! {
    #[test]
    fn no_attributes_whatsoever_cause_a_panic(attributes in any::<String>()) {
        let pairs: [Pair<'_>; 3] = [
            ("AccountSid".into(), "AC00000000000000000000000000000001".into()),
            ("WorkspaceSid".into(), "WS00000000000000000000000000000001".into()),
            ("TaskAttributes".into(), attributes.into()),
        ];
        prop_assert!(parse(&pairs).is_ok());
    }
}
