//! A hold in the middle of a call, at real sockets: streams of destinations with `on_hold = "stop"` rest, and go on afterwards.

use crate::pace::scaled;
use crate::pauses::{call, running};
use crate::stories::{STRATEGIES, configuration, patient, play, settle, told};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, Instant};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::call::{Call, summarize};
use taskrouter_streams::twilio::event_stream::PARTICIPANT_TYPE;
use taskrouter_streams::twilio::signature::sign;
use twilio_simulator::testbed::{AUDIO_URL, Testbed};
use twilio_simulator::world::{Mode, Target};

const LIMIT: Duration = Duration::from_secs(20);

/// Two destinations that go by holds, of which `how` tells.
fn by_holds(strategy: Strategy, how: &str) -> String {
    let to = |name: &str| format!("[[streams.destinations]]\nurl = \"{AUDIO_URL}/{name}\"\non_hold = \"stop\"\n");
    format!("{}{how}\n{}{}", configuration(strategy), to("a"), to("b"))
}

async fn until_running(stage: &Testbed, task: &TaskSid, count: usize) {
    let deadline = Instant::now() + scaled(LIMIT);
    while running(stage, task).len() != count {
        assert!(Instant::now() < deadline, "{:?} run, and not {count}", running(stage, task));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// By both strategies, found by looking: frames are counted, and none comes while the customer is on hold.
#[test]
fn no_audio_leaves_during_a_hold_and_it_goes_on_afterwards() {
    play(&STRATEGIES, async |strategy| {
        let config = by_holds(*strategy, "hold_poll_ms = 500");
        let stage = Testbed::start_with_audio(patient(), &config).await.unwrap();
        let sim = &stage.sim;
        let task = sim.act(|world| world.customer_calls()).await;
        sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
        let consumer = stage.consumer.as_ref().unwrap();
        assert!(
            consumer.until(|heard| heard.iter().any(|heard| heard.total() > 3), scaled(LIMIT)).await,
            "audio flows"
        );
        let redirects = sim.world(|world| world.report(&task)).unwrap().redirects;
        sim.act(|world| world.holds(&task, "alice")).await.unwrap();
        until_running(&stage, &task, 0).await;
        assert!(consumer.until(|heard| heard.iter().all(|heard| heard.closed), scaled(LIMIT)).await);
        assert_eq!(sim.world(|world| world.snapshot(&task)).unwrap().held, Some(true), "still on hold");
        let before = stage.heard()[0].total();
        sim.act(|world| world.unholds(&task, "alice")).await.unwrap();
        until_running(&stage, &task, 1).await;
        assert!(
            consumer.until(|heard| heard.len() == 2 && heard[1].total() > 3, scaled(LIMIT)).await,
            "audio flows again"
        );
        let heard = stage.heard();
        assert_eq!(heard[0].total(), before, "not one frame more");
        assert!(heard[1].parameters["resumeOf"].contains(&heard[0].parameters["reservationSid"]));
        assert!(!heard[1].parameters.contains_key("pauseId"), "it was no pause");
        let after = sim.world(|world| world.report(&task)).unwrap().redirects;
        assert_eq!(after, redirects, "nobody leaves a conference for a hold");
        let wrong = told(&stage, strategy.as_str(), std::slice::from_ref(&task), Vec::new()).await;
        stage.stop().await;
        wrong
    });
}

/// As Event Streams delivers it: the conference's status callback about a participant. Returns the answer's status.
async fn tell(stage: &Testbed, task: &TaskSid, event: &str, number: u32) -> u16 {
    let facts = stage.facts(task).await.unwrap();
    let customer = Call::fold(&facts).customer().unwrap().clone();
    let twilio = &stage.settings().twilio;
    let at = jiff::Timestamp::now();
    let parameters = json!({
        "AccountSid": twilio.account_sid, "ConferenceSid": "CF00000000000000000000000000000001",
        "CallSid": customer, "FriendlyName": task, "StatusCallbackEvent": event, "SequenceNumber": number.to_string(),
        "Timestamp": jiff::fmt::rfc2822::to_string(&at.to_zoned(jiff::tz::TimeZone::UTC)).unwrap(),
    });
    let request = json!({"method": "POST", "url": "https://a.example/conferences", "parameters": parameters});
    let data =
        json!({"sid": customer, "eventSid": format!("VW{number}"), "request": request, "timestamp": at.to_string()});
    let delivery = json!([{"specversion": "1.0", "type": PARTICIPANT_TYPE, "id": format!("EZ{number}"), "data": data}]);
    post(stage, &delivery).await
}

async fn post(stage: &Testbed, delivery: &Value) -> u16 {
    let (settings, body) = (stage.settings(), delivery.to_string());
    let hash: String = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let target = format!("/taskrouter/event-streams?bodySHA256={hash}");
    let nothing: [(&str, &str); 0] = [];
    let token = settings.twilio.auth_tokens[0].expose_secret();
    let signature = sign(&format!("{}{target}", settings.server.public_url), &nothing, token);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("http://{}{target}", stage.service.public()));
    let request = request.header("Content-Type", "application/json").header("X-Twilio-Signature", signature);
    request.body(body).send().await.unwrap().status().as_u16()
}

/// Told by Event Streams, in a warm transfer: both agents' streams rest while the server has the customer on hold, whatever the guard
/// takes, and start when somebody takes them off hold.
#[test]
fn a_transfer_with_its_hold_is_told_by_event_streams() {
    play(&STRATEGIES, async |strategy| {
        let stage = Testbed::start(patient(), &by_holds(*strategy, "hold_events = true")).await.unwrap();
        let task = call(&stage, &["alice"]).await;
        assert_eq!(running(&stage, &task).len(), 1);
        let sim = &stage.sim;
        let to = Target::Agent("bob".to_owned());
        sim.act(|world| world.transfers(&task, "alice", &to, Mode::Warm)).await.unwrap();
        assert_eq!(tell(&stage, &task, "participant-hold", 1).await, 204);
        settle(&stage).await;
        let mut wrong = Vec::new();
        if !running(&stage, &task).is_empty() {
            wrong.push(format!("{:?} run on hold", running(&stage, &task)));
        }
        sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
        settle(&stage).await;
        let held = sim.world(|world| world.snapshot(&task)).unwrap().held;
        if !running(&stage, &task).is_empty() || held != Some(true) {
            wrong.push(format!("{:?} run with both, held: {held:?}", running(&stage, &task)));
        }
        sim.act(|world| world.unholds(&task, "bob")).await.unwrap();
        assert_eq!(tell(&stage, &task, "participant-unhold", 2).await, 204);
        settle(&stage).await;
        if running(&stage, &task).len() != 2 {
            wrong.push(format!("{:?} run afterwards", running(&stage, &task)));
        }
        // Told again, as Event Streams does: nothing.
        let before = stage.facts(&task).await.unwrap().len();
        assert_eq!(tell(&stage, &task, "participant-hold", 1).await, 204);
        settle(&stage).await;
        let facts = stage.facts(&task).await.unwrap();
        assert_eq!(facts.len(), before, "the same event");
        assert_eq!(Call::fold(&facts).holds().len(), 1);
        assert!(summarize(&facts).unwrap().parked.is_empty());
        let wrong = told(&stage, strategy.as_str(), std::slice::from_ref(&task), wrong).await;
        stage.stop().await;
        wrong
    });
}

/// Without a destination that goes by holds, their events are not even kept.
#[tokio::test]
async fn events_of_holds_that_make_no_difference_are_not_kept() {
    let stage = Testbed::start(patient(), &configuration(Strategy::StreamsApi)).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    let before = stage.facts(&task).await.unwrap().len();
    assert_eq!(tell(&stage, &task, "participant-hold", 1).await, 204);
    settle(&stage).await;
    assert_eq!(stage.facts(&task).await.unwrap().len(), before);
    assert_eq!(running(&stage, &task).len(), 1);
    stage.stop().await;
}
