//! Faults over real sockets.

use super::rest::Client;
use super::{json, rejoin, simulator};
use proptest::prelude::*;
use std::time::Duration;
use taskrouter_streams::call::sid::{CallSid, ConferenceSid, TaskSid};
use twilio_simulator::faults::{Fault, FaultBody, Faults, Lost, Mix, On, Side};
use twilio_simulator::world::OpName;
use twilio_simulator::{SimConfig, Simulator};

struct Talk {
    sim: Simulator,
    client: Client,
    task: TaskSid,
    customer: CallSid,
    conference: ConferenceSid,
}

impl Talk {
    async fn begin() -> Self {
        let sim = simulator(SimConfig::default()).await;
        let task = sim.act(|world| world.customer_calls()).await;
        sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
        let (client, customer) = (Client::of(&sim), sim.world(|world| world.report(&task)).unwrap().customer.unwrap());
        let conference = sim.world(|world| world.conference(&task)).unwrap();
        Self { sim, client, task, customer, conference }
    }

    fn lower(&self) -> reqwest::RequestBuilder {
        let path = format!("/Conferences/{}/Participants/{}.json", self.conference, self.customer);
        self.client.post(&path, &[("EndConferenceOnExit", "false")])
    }

    fn redirect(&self) -> reqwest::RequestBuilder {
        self.client.post(&format!("/Calls/{}.json", self.customer), &[("Twiml", &rejoin("", self.task.as_str()))])
    }
}

#[tokio::test]
async fn a_cut_before_the_effect_gives_no_status_and_changes_nothing() {
    let talk = Talk::begin().await;
    talk.sim.faults(|faults| faults.script(On::Next(OpName::UpdateParticipant), 1, Fault::Cut { took_effect: false }));
    let error = talk.lower().send().await.unwrap_err();
    assert!(error.status().is_none() && !error.is_connect() && !error.is_timeout(), "{error:?}");
    assert_eq!(talk.sim.world(|world| world.snapshot(&talk.task)).unwrap().guard_raised, Some(true));
    assert_eq!(talk.sim.world(|world| world.requests().to_vec())[0].status, None);
    assert_eq!(talk.lower().send().await.unwrap().status(), 200);
    talk.sim.stop().await;
}

#[tokio::test]
async fn a_cut_after_the_effect_gives_no_status_though_the_leg_was_redirected() {
    let talk = Talk::begin().await;
    talk.lower().send().await.unwrap();
    talk.sim.faults(|faults| faults.script(On::Next(OpName::RedirectCall), 1, Fault::Cut { took_effect: true }));
    let error = talk.redirect().send().await.unwrap_err();
    assert!(error.status().is_none(), "{error:?}");
    assert_eq!(talk.sim.world(|world| world.report(&talk.task)).unwrap().redirects, 1);
    let record = talk.sim.world(|world| world.requests().to_vec()).pop().unwrap();
    assert_eq!((record.fault, record.took_effect), (Some("cut after the effect"), true));
    assert!(talk.sim.quiet(Duration::from_secs(5)).await);
    assert_eq!(talk.sim.world(|world| world.violations().to_vec()), []);
    talk.sim.stop().await;
}

#[tokio::test]
async fn scripted_answers_have_their_status_header_and_body() {
    let talk = Talk::begin().await;
    let answer = |status, retry_after: Option<&str>, body, took_effect| Fault::Answer {
        status,
        retry_after: retry_after.map(str::to_owned),
        body,
        took_effect,
    };
    talk.sim.faults(|faults| faults.script(On::Request(1), 1, answer(429, Some("2"), FaultBody::Json, false)));
    let first = talk.lower().send().await.unwrap();
    assert_eq!((first.status().as_u16(), first.headers()["Retry-After"].to_str().unwrap()), (429, "2"));
    assert_eq!(json(first).await["code"], 20429);
    talk.sim.faults(|faults| faults.script(On::Request(1), 1, answer(503, None, FaultBody::Html, false)));
    assert!(talk.lower().send().await.unwrap().text().await.unwrap().starts_with("<html>"));
    talk.sim.faults(|faults| faults.script(On::Request(1), 1, answer(500, None, FaultBody::Empty, true)));
    let third = talk.lower().send().await.unwrap();
    assert_eq!(third.status(), 500);
    assert_eq!(third.text().await.unwrap(), "");
    assert_eq!(
        talk.sim.world(|world| world.snapshot(&talk.task)).unwrap().guard_raised,
        Some(false),
        "the third took effect"
    );
    talk.sim.stop().await;
}

#[tokio::test]
async fn every_kind_of_wrong_answer_can_be_given_with_any_status() {
    let talk = Talk::begin().await;
    let bodies = [
        (FaultBody::Html, "text/html", "<html>"),
        (FaultBody::PlainText, "text/plain", "no healthy upstream"),
        (FaultBody::Xml, "application/xml", "<TwilioResponse>"),
        (FaultBody::TruncatedJson, "application/json", "{\"code\":"),
        (FaultBody::Empty, "text/plain", ""),
    ];
    for status in [200, 403, 404, 502] {
        for (body, content_type, begins) in bodies {
            let fault = Fault::Answer { status, retry_after: None, body, took_effect: false };
            talk.sim.faults(|faults| faults.script(On::Request(1), 1, fault));
            let answer = talk.lower().send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers()["Content-Type"], content_type);
            let text = answer.text().await.unwrap();
            assert!(text.starts_with(begins), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
        }
    }
    assert_eq!(talk.sim.world(|world| world.snapshot(&talk.task)).unwrap().guard_raised, Some(true));
    talk.sim.stop().await;
}

#[tokio::test]
async fn a_request_can_land_after_its_answer_was_lost() {
    for lost in [Lost::Cut, Lost::Hang] {
        let talk = Talk::begin().await;
        let fault = Fault::LandsLate { lost, after_ms: 3_000 };
        talk.sim.faults(|faults| faults.script(On::Next(OpName::UpdateParticipant), 1, fault));
        let error = talk.lower().timeout(Duration::from_millis(500)).send().await.unwrap_err();
        assert!(error.status().is_none(), "{error:?}");
        let record = || talk.sim.world(|world| world.requests().to_vec()).pop().unwrap();
        assert_eq!((record().status, record().took_effect), (None, false));
        assert_eq!(talk.sim.world(|world| world.snapshot(&talk.task)).unwrap().guard_raised, Some(true));
        assert!(talk.sim.quiet(Duration::from_secs(30)).await);
        assert!(record().took_effect);
        assert_eq!(talk.sim.world(|world| world.snapshot(&talk.task)).unwrap().guard_raised, Some(false));
        talk.sim.stop().await;
    }
}

#[tokio::test]
async fn a_hanging_request_ends_by_the_clients_time_out_and_does_not_hinder_the_stop() {
    let talk = Talk::begin().await;
    talk.sim.faults(|faults| faults.script(On::Next(OpName::UpdateParticipant), 1, Fault::Hang { took_effect: false }));
    let error = talk.lower().timeout(Duration::from_millis(50)).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    tokio::time::timeout(Duration::from_secs(10), talk.sim.stop()).await.unwrap();
}

#[tokio::test]
async fn the_conference_can_end_just_before_and_just_after_a_request() {
    for (side, status) in [(Side::Before, 404), (Side::After, 200)] {
        let talk = Talk::begin().await;
        talk.sim.faults(|faults| faults.script(On::Next(OpName::UpdateParticipant), 1, Fault::ConferenceEnds(side)));
        assert_eq!(talk.lower().send().await.unwrap().status(), status);
        assert!(talk.sim.world(|world| world.snapshot(&talk.task)).unwrap().over);
        assert_eq!(talk.sim.world(|world| world.violations().to_vec()), []);
        talk.sim.stop().await;
    }
}

#[tokio::test]
async fn the_customer_can_hang_up_just_before_a_redirect() {
    let talk = Talk::begin().await;
    talk.lower().send().await.unwrap();
    talk.sim.faults(|faults| faults.script(On::Next(OpName::RedirectCall), 1, Fault::CustomerHangsUp(Side::Before)));
    let answer = talk.redirect().send().await.unwrap();
    assert_eq!(json(answer).await["code"], 21220);
    assert_eq!(talk.sim.world(|world| world.violations().to_vec()), []);
    talk.sim.stop().await;
}

#[test]
fn the_nth_request_from_now_is_met_and_no_other() {
    let mut faults = Faults::default();
    faults.script(On::Request(3), 1, Fault::status(503));
    let met: Vec<bool> = (0..5).map(|_| faults.take(OpName::FetchTask).is_some()).collect();
    assert_eq!(met, [false, false, true, false, false]);
    assert_eq!(faults.left(), 0);
}

proptest! {
    #[test]
    fn random_faults_are_the_same_for_the_same_seed(seed: u64) {
        let mix = Mix { rate_limited: 300, cut_after_effect: 300, ..Mix::default() };
        let draw = || {
            let mut faults = Faults::default();
            faults.randomly(mix, seed);
            (0..50).map(|_| faults.take(OpName::RedirectCall)).collect::<Vec<_>>()
        };
        prop_assert_eq!(draw(), draw());
        let met = draw().into_iter().flatten().count();
        prop_assert!((5..50).contains(&met), "about 30 of 50: {}", met);
    }
}
