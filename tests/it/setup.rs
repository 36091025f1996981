//! `setup` against the simulated Twilio, as its users start it.

use crate::backfill::{environment, run};
use crate::program::text;
use crate::stories::patient;
use secrecy::ExposeSecret as _;
use serde_json::json;
use std::process::{Command, Output};
use taskrouter_streams::twilio::event;
use taskrouter_streams::twilio::event_stream::PARTICIPANT_TYPE;
use twilio_simulator::SimConfig;
use twilio_simulator::faults::{Fault, On};
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::{EventStreams, OpName, Sink};

const OURS: &str = "https://streams.example.com/taskrouter/events#rc=3&rp=5xx,ct,rt";
const OTHERS: &str = "https://somebody:their-password@crm.example.com/hook?id=7";
/// The account's workspace where nothing happens.
const SANDBOX: &str = "WS000000000000000000000000000000ff";

async fn stage() -> Testbed {
    Testbed::start(patient(), "[server]\nthreads = 1").await.unwrap()
}

fn all(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

async fn setup(stage: &Testbed, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["setup"], arguments].concat();
    let output = run(stage, &arguments, &[]).await;
    (output.status.code(), all(&output))
}

fn filter() -> String {
    event::types().collect::<Vec<_>>().join(",")
}

fn updates(stage: &Testbed) -> usize {
    stage
        .sim
        .world(|world| world.requests().to_vec())
        .iter()
        .filter(|request| request.op == Some(OpName::UpdateWorkspace))
        .count()
}

#[tokio::test]
async fn it_shows_first_changes_with_yes_and_then_finds_nothing_to_do() {
    let stage = stage().await;
    let (code, said) = setup(&stage, &[]).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(OURS) && said.contains("(none)") && said.contains("--yes"), "{said}");
    assert_eq!(updates(&stage), 0);

    let (code, said) = setup(&stage, &["--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("--data-urlencode 'EventCallbackUrl='"), "how to undo it: {said}");
    assert_eq!(
        (
            stage.sim.world(|world| world.workspace().event_callback_url.clone()).as_str(),
            stage.sim.world(|world| world.workspace().events_filter.clone())
        ),
        (OURS, filter())
    );

    let (code, said) = setup(&stage, &[]).await;
    assert_eq!((code, updates(&stage)), (Some(0), 1), "{said}");
    assert!(said.contains("Nothing to do"), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn what_undoes_it_works_in_the_shell_that_made_it() {
    let stage = stage().await;
    let token = stage.settings().twilio.auth_tokens[0].expose_secret().to_owned();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("token").display().to_string();
    std::fs::write(&file, format!("{token}\nanother\n")).unwrap();
    let both = format!("{token},another");
    let toml = directory.path().join("config.toml").display().to_string();
    std::fs::write(&toml, format!("[twilio]\nauth_tokens = [\"{token}\"]\n")).unwrap();
    let none = ("TWILIO_AUTH_TOKEN", "");
    for variables in [
        &[][..],
        &[none, ("TRS__TWILIO__AUTH_TOKENS", &token)],
        &[("TWILIO_AUTH_TOKEN", &both)],
        &[none, ("TWILIO_AUTH_TOKEN_FILE", &file)],
        &[none, ("TRS__TWILIO__AUTH_TOKENS_FILE", &file)],
    ] {
        for arguments in [&["setup", "--yes"][..], &["setup", "--event-streams"]] {
            stage.sim.world(|world| world.workspace().event_callback_url.clear());
            let said = all(&run(&stage, arguments, variables).await);
            assert!(!said.contains(&token) && !said.contains("asks for"), "{said}");
            let login = said.lines().find_map(|line| line.trim().strip_prefix("-u ")).unwrap().trim_end_matches('\\');
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("printf %s {login}")]).envs(environment(&stage));
            for (name, value) in variables {
                if value.is_empty() {
                    shell.env_remove(name)
                } else {
                    shell.env(name, value)
                };
            }
            let expected = format!("{}:{token}", stage.settings().twilio.account_sid);
            assert_eq!(text(&shell.output().unwrap().stdout), expected, "{login}");
        }
    }
    let said = all(&run(&stage, &["setup", "--event-streams", "--config", &toml], &[none]).await);
    assert!(said.contains("asks for a password") && said.contains("the first of twilio.auth_tokens"), "{said}");
    assert!(!said.contains(&token), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn somebody_elses_url_stays_unless_it_is_to_be_replaced_and_its_password_is_not_shown() {
    let stage = stage().await;
    stage.sim.world(|world| {
        let office = world.workspace();
        office.event_callback_url = OTHERS.to_owned();
        office.events_filter = "task.created".to_owned();
    });
    let (code, said) = setup(&stage, &["--yes"]).await;
    assert_eq!((code, updates(&stage)), (Some(1), 0), "{said}");
    assert!(
        said.contains("--replace") && said.contains("--event-streams") && said.contains("crm.example.com"),
        "{said}"
    );
    assert!(!said.contains("their-password"), "{said}");

    let (code, said) = setup(&stage, &["--yes", "--replace"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(stage.sim.world(|world| world.workspace().event_callback_url.clone()), OURS);
    assert!(said.contains("--data-urlencode 'EventsFilter=task.created'"), "how to undo it: {said}");
    assert!(said.contains("crm.example.com/hook?id=7") && !said.contains("their-password"), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn our_own_url_with_other_overrides_or_another_filter_is_set_right() {
    let stage = stage().await;
    for (url, filter) in
        [(OURS, "task.created"), (OURS.split('#').next().unwrap(), ""), (&OURS.replace("rc=3", "rc=1"), "")]
    {
        stage.sim.world(|world| {
            let office = world.workspace();
            office.event_callback_url = url.to_owned();
            office.events_filter = filter.to_owned();
        });
        let (code, said) = setup(&stage, &["--yes"]).await;
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(stage.sim.world(|world| world.workspace().event_callback_url.clone()), OURS);
    }
    // The order and the spaces of a filter mean nothing.
    let reversed: Vec<&str> = event::types().collect::<Vec<_>>().into_iter().rev().collect();
    stage.sim.world(|world| world.workspace().events_filter = reversed.join(", "));
    assert_eq!(setup(&stage, &[]).await.0, Some(0));
    let (code, said) = setup(&stage, &["--yes", "--all-events"]).await;
    assert_eq!(
        (code, stage.sim.world(|world| world.workspace().events_filter.clone()).as_str()),
        (Some(0), ""),
        "{said}"
    );
    stage.stop().await;
}

#[tokio::test]
async fn a_workspace_is_picked_by_sid_or_name_and_listed_when_there_are_several() {
    let stage = stage().await;
    let (code, said) = setup(&stage, &["--list"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Flex Task Assignment") && said.contains(SANDBOX), "{said}");
    for workspace in ["Sandbox", SANDBOX] {
        let (code, said) = setup(&stage, &["--workspace", workspace]).await;
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&format!("Sandbox ({SANDBOX})")), "{said}");
    }
    let (code, said) = setup(&stage, &["--workspace", "Nowhere"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(SANDBOX), "{said}");

    // Without one in the configuration, and without destinations either: neither is known on the first day.
    let nothing = [("TWILIO_WORKSPACE_SID", ""), ("TRS__STREAMS__DESTINATIONS", "")];
    let output = run(&stage, &["setup"], &nothing).await;
    assert_eq!(output.status.code(), Some(2), "{}", all(&output));
    assert!(all(&output).contains("--workspace") && all(&output).contains(SANDBOX), "{}", all(&output));
    let output = run(&stage, &["setup", "--workspace", "Flex Task Assignment", "--yes"], &nothing).await;
    assert_eq!(output.status.code(), Some(0), "{}", all(&output));
    assert_eq!(stage.sim.world(|world| world.workspace().event_callback_url.clone()), OURS);
    stage.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_is_said_with_what_to_do() {
    let stage = stage().await;
    for (variable, value, code, said) in [
        ("TWILIO_AUTH_TOKEN", "another-token", 1, "refused the credentials"),
        ("TWILIO_WORKSPACE_SID", "WS00000000000000000000000000000bad", 1, "does not know it"),
        ("TRS__SERVER__PUBLIC_URL", "http://streams.example.com", 2, "server.public_url"),
        ("TRS__TWILIO__TASKROUTER_BASE_URL", "http://127.0.0.1:9", 1, "could not connect"),
    ] {
        let output = run(&stage, &["setup", "--yes"], &[(variable, value)]).await;
        assert_eq!(output.status.code(), Some(code), "{variable}: {}", all(&output));
        assert!(all(&output).contains(said), "{variable}: {}", all(&output));
        assert!(!all(&output).contains("another-token"));
    }
    stage.sim.faults(|faults| faults.script(On::Next(OpName::UpdateWorkspace), 1, Fault::status(400)));
    let (code, said) = setup(&stage, &["--yes"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("--all-events") && said.contains("HTTP 400"), "{said}");
    stage.sim.faults(|faults| faults.script(On::Next(OpName::UpdateWorkspace), 1, Fault::Cut { took_effect: true }));
    let (code, said) = setup(&stage, &["--yes"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("may or may not"), "{said}");
    assert_eq!(setup(&stage, &[]).await.0, Some(0), "it had taken effect");
    stage.stop().await;
}

#[tokio::test]
async fn a_hostile_workspace_name_cannot_command_the_terminal() {
    let stage = stage().await;
    stage.sim.world(|world| world.workspace().name = "a\u{1b}[2Jb\nc".to_owned());
    let (code, said) = setup(&stage, &[]).await;
    assert_eq!(code, Some(3));
    assert!(!said.contains('\u{1b}') && said.contains("a\u{fffd}[2Jb\u{fffd}c"), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn the_calls_for_event_streams_are_printed_with_every_type() {
    let stage = stage().await;
    let (code, said) = setup(&stage, &["--event-streams"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(r#""destination":"https://streams.example.com/taskrouter/event-streams""#), "{said}");
    for name in event::types() {
        assert!(said.contains(&format!(r#"'Types={{"type":"com.twilio.taskrouter.{name}"}}'"#)), "{name}");
    }
    assert!(said.lines().any(|line| line.starts_with("# sink ") && line.contains("none yet")), "what is there: {said}");
    assert_eq!(made(&stage), 0, "nothing is changed");
    stage.sim.faults(|faults| faults.script(On::Next(OpName::ListSinks), 1, Fault::status(503)));
    let (code, offline) = setup(&stage, &["--event-streams"]).await;
    assert_eq!(code, Some(0), "{offline}");
    assert!(offline.contains("cannot read what is made already") && offline.contains("curl -X POST"), "{offline}");
    stage.stop().await;
}

const SINK: &str = "https://streams.example.com/taskrouter/event-streams";

/// Another kind of sink, and one for somebody else.
fn others() -> [Sink; 2] {
    let sink = |number: u32, configuration| Sink {
        sid: format!("DG{number:032x}"),
        status: "active".to_owned(),
        configuration,
        ..Sink::default()
    };
    [
        sink(1, json!({"arn": "arn:aws:kinesis:us-east-1:1:stream/x", "external_id": "1"})),
        sink(2, json!({"destination": "https://crm.example.com/hook", "method": "POST", "batch_events": true})),
    ]
}

fn wanted() -> Vec<String> {
    event::types().map(|name| format!("com.twilio.taskrouter.{name}")).collect()
}

fn made(stage: &Testbed) -> usize {
    let makes = [OpName::CreateSink, OpName::CreateSubscription, OpName::AddSubscribedEvent];
    stage
        .sim
        .world(|world| world.requests().to_vec())
        .iter()
        .filter(|request| request.op.is_some_and(|op| makes.contains(&op)))
        .count()
}

/// Who goes by holds that events tell subscribes to those as well.
#[tokio::test]
async fn the_event_of_holds_is_subscribed_to_where_streams_go_by_it() {
    let stage = stage().await;
    let holds = [("TRS__STREAMS__HOLD_EVENTS", "true"), ("TRS__STREAMS__DESTINATIONS__0__ON_HOLD", "stop")];
    let output = run(&stage, &["setup", "--event-streams", "--yes"], &holds).await;
    let said = all(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let subscribed = stage.sim.world(|world| world.event_streams().subscriptions[0].types.clone());
    assert_eq!(subscribed.last().map(String::as_str), Some(PARTICIPANT_TYPE), "{subscribed:?}");
    assert_eq!(subscribed.len(), wanted().len() + 1);
}

#[tokio::test]
async fn event_streams_are_made_once_with_yes_and_the_undo_is_printed() {
    // Ours is on the second page of the sinks, and the types are on four.
    let behaviour = SimConfig { page_size_limit: 6, ..patient() };
    let stage = Testbed::start(behaviour, "[server]\nthreads = 1").await.unwrap();
    let others: Vec<Sink> = std::iter::repeat_n(others(), 3).flatten().collect();
    stage.sim.world(|world| world.event_streams().sinks.clone_from(&others));
    let (code, said) = setup(&stage, &["--event-streams", "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    let EventStreams { sinks, subscriptions } = stage.sim.world(|world| world.event_streams().clone());
    let [before @ .., own] = sinks.as_slice() else { panic!("there are none") };
    assert_eq!(before, others, "nobody else's is touched");
    let ours = json!({"destination": SINK, "method": "POST", "batch_events": true});
    assert_eq!(own.configuration, ours);
    let [subscription] = subscriptions.as_slice() else { panic!("{subscriptions:?}") };
    assert_eq!((&subscription.sink, &subscription.types), (&own.sid, &wanted()));
    let undo: Vec<&str> = said.lines().filter(|line| line.starts_with("curl -X DELETE")).collect();
    let [first, second] = undo.as_slice() else { panic!("{said}") };
    assert!(first.contains(&format!("/v1/Subscriptions/{}", subscription.sid)), "{said}");
    assert!(second.contains(&format!("/v1/Sinks/{}", own.sid)), "{said}");
    assert_eq!(
        stage.sim.world(|world| world.workspace().event_callback_url.clone()),
        "",
        "the Event Callback URL is left alone"
    );

    for again in [&["--event-streams", "--yes"][..], &["--event-streams"]] {
        let (code, said) = setup(&stage, again).await;
        assert_eq!((code, made(&stage)), (Some(0), 2), "{said}");
        assert!(said.contains("Nothing to do") && said.contains(&own.sid) && !said.contains("curl"), "{said}");
    }
    assert_eq!(stage.sim.world(|world| world.violations().to_vec()), []);
    stage.stop().await;
}

#[tokio::test]
async fn a_sink_and_a_subscription_that_are_there_are_used_and_completed() {
    let stage = stage().await;
    let sink = |status: &str, number: u32| Sink {
        sid: format!("DG{number:032x}"),
        status: status.to_owned(),
        configuration: json!({"destination": SINK, "method": "POST"}),
        ..Sink::default()
    };
    stage.sim.world(|world| world.event_streams().sinks = vec![sink("failed", 8), sink("active", 9)]);
    let (code, said) = setup(&stage, &["--event-streams", "--yes"]).await;
    assert_eq!((code, made(&stage)), (Some(0), 1), "the subscription alone: {said}");
    assert!(said.contains("/v1/Subscriptions/DF") && !said.contains("/v1/Sinks/"), "{said}");

    let lost = wanted()[3].clone();
    stage.sim.world(|world| {
        let plumbing = world.event_streams();
        plumbing.subscriptions[0].types.retain(|name| *name != lost);
        plumbing.subscriptions[0].of_subaccounts = true;
    });
    let (code, said) = setup(&stage, &["--event-streams", "--yes"]).await;
    assert_eq!((code, made(&stage)), (Some(0), 2), "{said}");
    assert!(said.contains("20 of the 21") && said.contains(&format!("SubscribedEvents/{lost}")), "{said}");
    assert!(said.contains("events of subaccounts"), "{said}");
    let mut types = stage.sim.world(|world| world.event_streams().subscriptions.clone())[0].types.clone();
    types.sort();
    let mut all = wanted();
    all.sort();
    assert_eq!(types, all);
    stage.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_with_event_streams_is_said_and_what_was_made_is_used_the_next_time() {
    let stage = stage().await;
    let output = run(&stage, &["setup", "--event-streams", "--yes"], &[("TWILIO_AUTH_TOKEN", "another-token")]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(all(&output).contains("refused the credentials") && all(&output).contains("nothing was changed"));

    stage.sim.faults(|faults| faults.script(On::Next(OpName::CreateSubscription), 1, Fault::status(400)));
    let (code, said) = setup(&stage, &["--event-streams", "--yes"]).await;
    assert_eq!(code, Some(1), "{said}");
    let sink = stage.sim.world(|world| world.event_streams().sinks.clone())[0].sid.clone();
    assert!(said.contains(&format!("curl -X DELETE {}/v1/Sinks/{sink}", stage.sim.api_base_url())), "{said}");
    assert!(said.contains("run setup again") && said.contains("HTTP 400"), "{said}");

    stage.sim.world(|world| world.event_streams().sinks[0].status = "failed".to_owned());
    let (code, said) = setup(&stage, &["--event-streams", "--yes"]).await;
    assert!(code == Some(1) && said.contains(&sink) && said.contains("delete it"), "{said}");

    stage.sim.world(|world| world.event_streams().sinks[0].status = "active".to_owned());
    let (code, said) = setup(&stage, &["--event-streams", "--yes"]).await;
    assert_eq!((code, stage.sim.world(|world| world.event_streams().sinks.clone()).len()), (Some(0), 1), "{said}");
    stage.stop().await;
}
