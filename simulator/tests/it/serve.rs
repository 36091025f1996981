//! `serve` as its users start it: alone with a consumer, and with a worker.

use super::{ACCOUNT, WORKSPACE, program, text};
use crate::pace::scaled;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;
use taskrouter_streams::config;
use taskrouter_streams::service::Service;
use tempfile::TempDir;
use twilio_simulator::consumer::{Consumer, Heard, Misconduct};

const TOKEN: &str = "a-token-for-tests";
const PUBLIC_URL: &str = "https://streams.example.com";
const AUDIO: &str = "wss://audio.example.com";
const LIMIT: Duration = Duration::from_secs(30);

async fn consumer() -> (Consumer, String) {
    let consumer = Consumer::start(AUDIO, TOKEN.into()).await.unwrap();
    let route = consumer.route();
    (consumer, format!("{}={}", route.public, route.local))
}

/// `serve` with these arguments, for a consumer at the end of `route`.
fn sim(route: &str, talk_ms: &str, arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(["serve", "--auth-token", TOKEN, "--latency-ms", "0", "--talk-ms", talk_ms, "--route", route]);
    command.args(arguments);
    command
}

async fn output(mut command: Command) -> (Option<i32>, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test]
async fn a_consumer_is_tried_alone_with_a_stream_for_every_agent() {
    let (consumer, route) = consumer().await;
    let to = format!("{AUDIO}/audio");
    let (code, said) = output(sim(&route, "150", &["--listen", "127.0.0.1:0", "--stream-to", &to])).await;
    assert_eq!(code, Some(0), "{said}");
    let heard = consumer.heard();
    assert_eq!(heard.len(), 2, "{said}");
    for (heard, agent) in heard.iter().zip(["alice", "bob"]) {
        assert!(heard.is_complete() && heard.total() > 0 && heard.path == "/audio", "{heard:?}");
        let of = format!("stream {} of {agent} to {to}: ", heard.stream.as_ref().unwrap());
        assert!(said.contains(&format!("{of}open")), "{said}");
    }
    assert!(said.contains(": stopped") && said.contains("alice transfers to bob, warm"), "{said}");
    consumer.stop().await;
}

#[tokio::test]
async fn a_consumer_that_refuses_is_told_of_and_the_exit_code_is_1() {
    let (consumer, route) = consumer().await;
    consumer.misbehaves(Misconduct::Refuses(500), 1);
    let to = format!("{AUDIO}/audio");
    let scenario = ["--scenario", "first-accept", "--listen", "127.0.0.1:0", "--stream-to", &to];
    let (code, said) = output(sim(&route, "150", &scenario)).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED: 31920"), "{said}");
    consumer.stop().await;
}

#[tokio::test]
async fn a_judge_holds_the_expectations_and_prints_notes_and_figures() {
    let (consumer, route) = consumer().await;
    let to = format!("{AUDIO}/audio");
    let story = |expected: &str, more: &str| {
        format!(
            "name = \"a-story\"\ntitle = \"A story\"\nsteps = [\"customer calls\", {more}\"alice accepts\", \"settle\", \
             \"expect {expected}\", \"Flex lowers the guard\", \"customer hangs up\", \"settle\"]\n"
        )
    };
    let asked = "\"the destination refuses the next stream\", ";
    let directory = TempDir::new().unwrap();
    for (story, code, words) in [
        (story("stream alice, guard raised", ""), 0, "time to stream MZ"),
        (story("stream bob", ""), 1, "streams are alice, not bob"),
        (story("no streams", asked), 0, "agents are left behind"),
    ] {
        let file = directory.path().join("a-story.toml");
        std::fs::write(&file, story).unwrap();
        let arguments =
            ["--judge", "--scenario", file.to_str().unwrap(), "--listen", "127.0.0.1:0", "--stream-to", &to];
        let (ended, said) = output(sim(&route, "300", &arguments)).await;
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains(words) && said.contains("time outside the conference of CA"), "{said}");
    }
    consumer.stop().await;
}

#[tokio::test]
async fn a_worker_against_it_streams_to_the_consumer_in_one_scenario_after_the_other() {
    let (consumer, route) = consumer().await;
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let directory = TempDir::new().unwrap();
    let twilio = format!("http://{listen}");
    let environment = BTreeMap::from([
        ("TWILIO_ACCOUNT_SID", ACCOUNT.to_owned()),
        ("TWILIO_AUTH_TOKEN", TOKEN.to_owned()),
        ("TWILIO_WORKSPACE_SID", WORKSPACE.to_owned()),
        ("TRS__SERVER__PUBLIC_URL", PUBLIC_URL.to_owned()),
        ("TRS__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("TRS__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("TRS__TWILIO__API_BASE_URL", twilio.clone()),
        ("TRS__TWILIO__TASKROUTER_BASE_URL", twilio),
        ("TRS__JOURNAL__URL", format!("sqlite:{}", directory.path().join("journal.db").display())),
        ("TRS__STREAMS__DESTINATIONS", format!("{AUDIO}/a")),
    ]);
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let service = Service::start(&config::load(None, &environment).unwrap()).await.unwrap();
    let arguments = [
        ("--listen", listen.to_string()),
        ("--events-url", format!("{PUBLIC_URL}/taskrouter/events#rc=3&rp=5xx,ct,rt")),
        ("--route", format!("{PUBLIC_URL}=http://{}", service.public())),
        ("--account-sid", ACCOUNT.to_owned()),
        ("--workspace-sid", WORKSPACE.to_owned()),
        ("--scenario", "first-accept".to_owned()),
        ("--repeat", "2".to_owned()),
    ];
    let mut command = sim(&route, "3000", &[]);
    command.args(arguments.iter().flat_map(|(name, value)| [*name, value.as_str()]));
    let (code, said) = output(command).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("TWILIO_AUTH_TOKEN=(as given)") && !said.contains(TOKEN), "{said}");
    assert!(said.contains("event reservation.accepted: answered 204"), "{said}");
    assert!(said.contains("request POST") && said.contains(" of alice to wss://audio.example.com/a: open"), "{said}");
    let tasks: Vec<String> = consumer.heard().iter().map(|heard| heard.parameters["taskSid"].clone()).collect();
    assert!(tasks.len() == 2 && tasks[0] != tasks[1], "{tasks:?}\n{said}");
    assert!(consumer.heard().iter().all(Heard::is_complete), "{:?}", consumer.heard());
    service.stop().await;
    consumer.stop().await;
}

#[tokio::test]
async fn sigint_ends_it_in_order_and_the_streams_with_a_stop() {
    let (consumer, route) = consumer().await;
    let to = format!("{AUDIO}/audio");
    let mut command = sim(&route, "150", &["--listen", "127.0.0.1:0", "--stream-to", &to, "--repeat", "0"]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    assert!(
        consumer.until(|heard| heard.len() > 2 && heard[2].total() > 0, scaled(LIMIT)).await,
        "{:?}",
        consumer.heard()
    );
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert_eq!(tokio::time::timeout(scaled(LIMIT), ended).await.unwrap().unwrap().code(), Some(0));
    assert!(consumer.heard().iter().all(Heard::is_complete), "{:?}", consumer.heard());
    consumer.stop().await;
}

#[test]
fn wrong_arguments_are_named_with_what_would_be_right() {
    for (arguments, hint) in [
        (["--scenario", "nothing"], "demo --list"),
        (["--scenario", "nowhere.toml"], "cannot be read"),
        (["--route", "https://a"], "expected as in"),
        (["--route", "wss://a=wss://b"], "without TLS"),
        (["--route", "https://a=http://b"], "--events-url"),
        (["--events-url", "ftp://a"], "https://"),
        (["--stream-to", "wss://a/b"], "--route"),
        (["--stream-to", "ws://a/b?agent=1"], "query"),
        (["--account-sid", "AC1"], "--account-sid"),
    ] {
        let output = program().args(["serve", "--listen", "127.0.0.1:0"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(hint), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_port_that_is_taken_is_named_and_the_exit_code_is_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = program().args(["serve", "--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&address) && text(&output.stderr).contains("--listen"));
}
