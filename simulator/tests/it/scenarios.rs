//! The stories in files.

use super::simulator;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use twilio_simulator::SimConfig;
use twilio_simulator::callbacks::DeliveryFault;
use twilio_simulator::faults::{Fault, FaultBody, Lost, On};
use twilio_simulator::scenario::{Expectation, Scenario, Verb, parse_step, read, run};
use twilio_simulator::world::{CallAction, CallLess, Mode, NewTask, OpName, SocketFailure, Target};

fn files() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn scenarios() -> Vec<Scenario> {
    files().into_iter().map(|(name, text)| read(&text).unwrap_or_else(|error| panic!("{name}: {error}"))).collect()
}

#[test]
fn every_scenario_file_parses_and_bears_its_files_name() {
    let names: Vec<String> = files().into_iter().map(|(name, _)| name).collect();
    let read: Vec<String> = scenarios().into_iter().map(|scenario| scenario.name).collect();
    assert_eq!(read, names);
    assert!(names.len() >= 20, "{names:?}");
}

#[test]
fn every_settle_is_followed_by_an_expectation_and_every_story_ends_with_one() {
    for scenario in scenarios() {
        for (place, step) in scenario.steps.iter().enumerate() {
            if step.verb == Verb::Settle {
                let next = scenario.steps.get(place + 1).map(|next| &next.verb);
                assert!(matches!(next, Some(Verb::Expect { .. })), "{}: step {}", scenario.name, place + 1);
            }
        }
        assert!(matches!(scenario.steps.last().map(|step| &step.verb), Some(Verb::Expect { .. })), "{}", scenario.name);
    }
}

#[tokio::test]
async fn every_story_can_be_told_to_the_end_and_without_a_worker_only_streams_guard_and_hold_fail() {
    for scenario in scenarios() {
        let sim = simulator(scenario.config(&SimConfig::default()).unwrap()).await;
        let began = Instant::now();
        let outcome = run(&scenario, &sim, "redirect", async || Ok(())).await;
        for failure in &outcome.failures {
            let mut about_the_worker = vec!["streams are ", "the guard is ", "the customer is ", "no stream of "];
            // There a redirect changes how the call goes on.
            if ["customer-hangs-up-with-the-guard-lowered", "survey-after-the-call"].contains(&scenario.name.as_str()) {
                about_the_worker.push("the call is ");
            }
            assert!(about_the_worker.iter().any(|part| failure.contains(part)), "{}: {failure}", scenario.name);
        }
        let idle = ["outbound", "chat", "callback-task", "agent-calls-agent", "customer-hangs-up-in-queue"];
        let idle = idle.contains(&scenario.name.as_str());
        assert_eq!(outcome.failures.is_empty(), idle, "{}: {:?}", scenario.name, outcome.failures);
        assert_eq!(sim.world(|world| world.violations().to_vec()), [], "{}", scenario.name);
        assert!(began.elapsed() < Duration::from_secs(3), "{} took {:?}", scenario.name, began.elapsed());
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_worker_that_never_rests_is_a_failure() {
    let scenario = read("name = \"x\"\ntitle = \"x\"\nsteps = [\"customer calls\", \"settle\"]").unwrap();
    let sim = simulator(SimConfig::default()).await;
    let outcome = run(&scenario, &sim, "redirect", async || Err("the worker is stuck".to_owned())).await;
    assert_eq!(outcome.failures, ["step 2 (\"settle\"): the worker is stuck"]);
    sim.stop().await;
}

#[tokio::test]
async fn an_impossible_step_ends_the_story_with_its_number_and_reason() {
    let steps = "[\"customer calls\", \"bob accepts\", \"expect call over\"]";
    let scenario = read(&format!("name = \"x\"\ntitle = \"x\"\nsteps = {steps}")).unwrap();
    let sim = simulator(SimConfig::default()).await;
    let outcome = run(&scenario, &sim, "redirect", async || Ok(())).await;
    assert_eq!(outcome.failures, ["step 2 (\"bob accepts\"): bob has no reservation that is pending"]);
    sim.stop().await;
}

#[test]
fn steps_are_read_as_they_are_meant() {
    let queue = Target::Queue(vec!["bob".to_owned(), "carol".to_owned()]);
    let transfer = Verb::Transfers("alice".to_owned(), queue, Mode::Cold);
    assert_eq!(parse_step("alice transfers to the queue of bob and carol, cold"), Ok(transfer));
    let expected = vec![
        Expectation::Streams(vec!["alice".to_owned(), "bob".to_owned()]),
        Expectation::Held(false),
        Expectation::GuardRaised(true),
    ];
    assert_eq!(
        parse_step("expect streams bob and alice, not held, guard raised"),
        Ok(Verb::Expect { of: None, all: expected })
    );
    let refused = Verb::SocketsFail(SocketFailure::Handshake, 1);
    assert_eq!(parse_step("the destination refuses the next stream"), Ok(refused));
    let hung = Verb::SocketsFail(SocketFailure::TimedOut, 3);
    assert_eq!(parse_step("the destination hangs on the next 3 streams"), Ok(hung));
    assert_eq!(parse_step("the socket of alice dies"), Ok(Verb::SocketDies("alice".to_owned())));
    let lost = Verb::DeliveryFault(Some("stream-started".to_owned()), DeliveryFault::Dropped);
    assert_eq!(parse_step("the next stream-started is dropped"), Ok(lost));
    let failed = Verb::Fault(On::Next(OpName::CreateStream), Fault::status(503));
    assert_eq!(parse_step("the next create stream is answered 503"), Ok(failed));
    let html = Fault::Answer { status: 200, retry_after: None, body: FaultBody::Html, took_effect: false };
    let steps = [
        ("the next redirect is answered 200 with HTML", html),
        ("the next redirect hangs after its effect", Fault::Hang { took_effect: true }),
        ("the next redirect is cut and lands 800 ms later", Fault::LandsLate { lost: Lost::Cut, after_ms: 800 }),
    ];
    for (step, fault) in steps {
        assert_eq!(parse_step(step), Ok(Verb::Fault(On::Next(OpName::RedirectCall), fault)));
    }
    let external = CallAction::ExternalJoins { guard: true };
    assert_eq!(parse_step("an outside number joins, guard raised"), Ok(Verb::Happens(external)));
    let callback = NewTask::CallLess(CallLess::Callback);
    assert_eq!(parse_step("a callback task comes"), Ok(Verb::Comes(callback)));
    let internal = NewTask::Internal { from: "alice".to_owned(), to: "bob".to_owned() };
    assert_eq!(parse_step("alice calls bob"), Ok(Verb::Comes(internal)));
    assert_eq!(parse_step("alice calls out"), Ok(Verb::CallsOut("alice".to_owned())));
    assert_eq!(parse_step("the next 3 stops are ignored"), Ok(Verb::StopsIgnored(3)));
    assert_eq!(parse_step("wait 3000 ms"), Ok(Verb::Wait(3_000)));
    let both = vec!["alice".to_owned(), "bob".to_owned()];
    assert_eq!(parse_step("alice and bob unhold"), Ok(Verb::Unhold(both)));
}

#[test]
fn a_step_that_is_not_understood_is_named_with_what_would_be_right() {
    for (step, hint) in [
        ("alice dances", "unknown step"),
        ("alice transfers to bob", ", warm"),
        ("expect sunshine", "cannot be expected"),
        ("the next redirect is answered 200", "answered 503"),
        ("the next redirect is answered 200 with roses", "with HTML"),
        ("the next redirect is cut and lands soon later", "800 ms later"),
        ("wait a moment", "3000 ms"),
        ("the next reservation.created is eaten", "dropped"),
        ("the destination refuses streams", "the next stream"),
        ("the destination refuses the next many streams", "the next 3 streams"),
        ("Alice accepts", "lower-case"),
    ] {
        let error =
            read(&format!("name = \"x\"\ntitle = \"x\"\nsteps = [\"settle\", \"{step}\"]")).unwrap_err().to_string();
        assert!(error.contains("step 2") && error.contains(step) && error.contains(hint), "{error}");
    }
}

#[test]
fn unknown_settings_and_keys_are_refused_by_name() {
    let unknown = read("name = \"x\"\ntitle = \"x\"\nsteps = []\n[settings]\nrejoin = 5").unwrap_err().to_string();
    assert!(unknown.contains("rejoin"), "{unknown}");
    let key = read("name = \"x\"\ntitle = \"x\"\nsteps = []\ncolour = 1").unwrap_err().to_string();
    assert!(key.contains("colour"), "{key}");
}
