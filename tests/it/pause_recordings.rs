//! A card number while the call is recorded, at real sockets: nothing is recorded between "paused" and "resumed" either.

use crate::pace::scaled;
use crate::pauses::{QUICK, call, running, signed, until_paused, with_secret};
use crate::stories::{STRATEGIES, patient, play, settle, told};
use serde_json::json;
use std::time::{Duration, Instant};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::sid::TaskSid;
use twilio_simulator::faults::{Fault, On};
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::RecordingStatus::{self, Completed, InProgress, Paused};
use twilio_simulator::world::{CallAction, OpName, RecordingAct};

const LIMIT: Duration = Duration::from_secs(20);

const FLEX_RECORDS: CallAction = CallAction::ConferenceRecording(RecordingAct::Starts);
const A_PLUGIN_RECORDS: CallAction = CallAction::CallRecording(RecordingAct::Starts);

/// The configuration whose pauses cover recordings.
fn recording(strategy: Strategy, more: &str) -> String {
    format!("{}recording = true\n", with_secret(strategy, more))
}

async fn happens(stage: &Testbed, task: &TaskSid, action: CallAction) {
    stage.sim.act(|world| world.happens(task, action)).await.unwrap();
}

/// The recordings of the leg and of the conference, in the order in which they began.
fn recordings(stage: &Testbed, task: &TaskSid) -> Vec<RecordingStatus> {
    let report = stage.sim.world(|world| world.report(task)).unwrap();
    report.recordings.iter().map(|recording| recording.status).collect()
}

/// I13: paused before the 200, by both strategies, and in progress after the resume.
#[test]
fn nothing_is_recorded_between_the_200_and_the_resume() {
    play(&STRATEGIES, async |strategy| {
        let stage = Testbed::start(patient(), &recording(*strategy, "")).await.unwrap();
        let task = call(&stage, &["alice"]).await;
        happens(&stage, &task, FLEX_RECORDS).await;
        happens(&stage, &task, A_PLUGIN_RECORDS).await;
        let (status, body) = signed(&stage, &task, "pause", &json!({"id": "card"})).await;
        assert_eq!((status.as_u16(), recordings(&stage, &task)), (200, vec![Paused, Paused]), "{body}");
        assert_eq!(body["recording"]["state"], "paused");
        let of: Vec<_> = body["recording"]["recordings"].as_array().unwrap().iter().map(|row| &row["of"]).collect();
        assert_eq!(of, ["call", "conference"]);
        assert_eq!(running(&stage, &task), Vec::<String>::new());
        assert_eq!(signed(&stage, &task, "resume", &json!({"id": "card"})).await.0, 200);
        settle(&stage).await;
        let mut wrong = Vec::new();
        if recordings(&stage, &task) != [InProgress, InProgress] || running(&stage, &task).len() != 1 {
            wrong.push(format!("{:?}", recordings(&stage, &task)));
        }
        let export = crate::console::text(&stage, &format!("/calls/{task}/export")).await;
        let export: serde_json::Value = serde_json::from_str(&export).unwrap();
        let pause = &export["call"]["pauses"][0];
        if pause["recording"] != "resumed" || !pause["recordings"][1]["resumed_ms"].is_i64() {
            wrong.push(pause.to_string());
        }
        let page = crate::console::text(&stage, &format!("/console/calls/{task}")).await;
        assert!(page.contains("recording: resumed") && page.contains("Twilio answered that it is paused"), "{page}");
        let wrong = told(&stage, strategy.as_str(), std::slice::from_ref(&task), wrong).await;
        stage.stop().await;
        wrong
    });
}

#[tokio::test]
async fn where_nothing_is_recorded_that_is_said() {
    let stage = Testbed::start(patient(), &recording(Strategy::StreamsApi, "")).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    let (status, body) = signed(&stage, &task, "pause", &json!({"id": "card"})).await;
    assert_eq!((status.as_u16(), &body["recording"]), (200, &json!({"state": "none", "recordings": []})), "{body}");
    let timeline = crate::console::text(&stage, &format!("/console/calls/{task}")).await;
    assert!(timeline.contains("no recording to pause"), "{timeline}");
    let asked = stage
        .sim
        .world(|world| world.requests().iter().filter(|request| request.op == Some(OpName::ListRecordings)).count());
    assert_eq!(asked, 2, "one cheap request for each");
    stage.stop().await;
}

/// I8: as it was before our first write.
#[tokio::test]
async fn what_others_had_paused_stays_paused() {
    let stage = Testbed::start(patient(), &recording(Strategy::StreamsApi, "")).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    happens(&stage, &task, FLEX_RECORDS).await;
    happens(&stage, &task, A_PLUGIN_RECORDS).await;
    happens(&stage, &task, CallAction::CallRecording(RecordingAct::Pauses)).await;
    let (status, body) = signed(&stage, &task, "pause", &json!({"id": "card"})).await;
    assert_eq!((status.as_u16(), recordings(&stage, &task)), (200, vec![Paused, Paused]), "{body}");
    assert_eq!(signed(&stage, &task, "resume", &json!({"id": "card"})).await.0, 200);
    settle(&stage).await;
    assert_eq!(recordings(&stage, &task), [InProgress, Paused]);
    stage.stop().await;
}

/// Without the setting recordings are left alone, and not asked about.
#[tokio::test]
async fn without_the_setting_a_recording_runs_on() {
    let stage = Testbed::start(patient(), &with_secret(Strategy::StreamsApi, "")).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    happens(&stage, &task, FLEX_RECORDS).await;
    let (status, body) = signed(&stage, &task, "pause", &json!({"id": "card"})).await;
    assert_eq!((status.as_u16(), &body["recording"]), (200, &json!(null)));
    assert_eq!(recordings(&stage, &task), [InProgress]);
    stage.stop().await;
}

/// The key may stop streams and not change recordings: nobody is told that it is paused.
#[tokio::test]
async fn a_recording_that_may_not_be_paused_is_504_and_parked() {
    let config = recording(Strategy::StreamsApi, QUICK);
    let stage = Testbed::start(patient(), &config).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    happens(&stage, &task, FLEX_RECORDS).await;
    stage.sim.faults(|faults| faults.script(On::Next(OpName::UpdateRecording), 1_000, Fault::status(403)));
    let (status, body) = signed(&stage, &task, "pause", &json!({"id": "card"})).await;
    assert_eq!((status.as_u16(), &body["recording"]["state"]), (504, &json!("not proven")), "{body}");
    assert!(running(&stage, &task).is_empty(), "the streams are stopped all the same");
    let deadline = Instant::now() + scaled(LIMIT);
    let page = loop {
        let page = crate::console::text(&stage, &format!("/console/calls/{task}")).await;
        if page.contains("recording of the conference: pause recording: Twilio refused") {
            break page;
        }
        assert!(Instant::now() < deadline, "it is not parked: {page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(page.contains("recording: not proven"), "{page}");
    let metrics = crate::console::text(&stage, "/metrics").await;
    assert!(metrics.contains("taskrouter_streams_pauses_total{outcome=\"unproven\"} 1"), "{metrics}");
    stage.sim.faults(|faults| faults.clear());
    stage.stop().await;
}

/// I13: whatever becomes of a request about recordings, nothing is recorded when 200 is answered, and what we paused is resumed.
#[test]
fn with_faults_before_and_after_effects_nothing_is_recorded_when_200_is_answered() {
    let mut cases = Vec::new();
    for (op, resumes) in
        [(OpName::ListRecordings, false), (OpName::UpdateRecording, false), (OpName::UpdateRecording, true)]
    {
        for (name, fault) in crate::faults::passing() {
            cases.push((op, resumes, name, fault));
        }
    }
    play(&cases, async |(op, resumes, name, fault)| {
        let stage = Testbed::start(patient(), &recording(Strategy::StreamsApi, QUICK)).await.unwrap();
        let task = call(&stage, &["alice"]).await;
        happens(&stage, &task, FLEX_RECORDS).await;
        let strikes = || stage.sim.faults(|faults| faults.script(On::Next(*op), 1, fault.clone()));
        if !resumes {
            strikes();
        }
        until_paused(&stage, &task, "first").await;
        let mut wrong = Vec::new();
        if recordings(&stage, &task) != [Paused] {
            wrong.push("the recording is in progress within a proven pause".to_owned());
        }
        if *resumes {
            strikes();
        }
        assert_eq!(signed(&stage, &task, "resume", &json!({"id": "first"})).await.0, 200);
        until_paused(&stage, &task, "second").await;
        if recordings(&stage, &task) != [Paused] {
            wrong.push("the recording is in progress within the second pause".to_owned());
        }
        assert_eq!(signed(&stage, &task, "resume", &json!({"id": "second"})).await.0, 200);
        settle(&stage).await;
        if recordings(&stage, &task) != [InProgress] {
            wrong.push("the recording is not resumed".to_owned());
        }
        let label = format!("{op:?} {name}, of the resume: {resumes}");
        let wrong = told(&stage, &label, std::slice::from_ref(&task), wrong).await;
        stage.stop().await;
        wrong
    });
}

/// The call ends while it is paused: nothing is left to be resumed.
#[tokio::test]
async fn a_call_that_ends_within_a_pause_needs_nothing() {
    let stage = Testbed::start(patient(), &recording(Strategy::StreamsApi, "")).await.unwrap();
    let task = call(&stage, &["alice"]).await;
    happens(&stage, &task, FLEX_RECORDS).await;
    happens(&stage, &task, A_PLUGIN_RECORDS).await;
    assert_eq!(signed(&stage, &task, "pause", &json!({"id": "card"})).await.0, 200);
    stage.sim.act(|world| world.customer_hangs_up(&task)).await.unwrap();
    assert_eq!(signed(&stage, &task, "resume", &json!({"id": "card"})).await.0, 200);
    settle(&stage).await;
    assert_eq!(recordings(&stage, &task), [Completed, Completed]);
    let call = taskrouter_streams::call::Call::fold(&stage.facts(&task).await.unwrap());
    assert_eq!(call.parked().collect::<Vec<_>>(), []);
    stage.stop().await;
}
