//! The `calls` commands, against a running service.

use super::{busy_stage, story, text};
use serde_json::Value;
use std::process::{Command, Output, Stdio};
use twilio_simulator::testbed::Testbed;

async fn calls(stage: &Testbed, arguments: &[&str]) -> Output {
    command(&[&["--admin", &format!("http://{}", stage.service.admin())], arguments].concat(), &[]).await
}

async fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    program("calls", arguments, environment).await
}

async fn program(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskrouter-streams"));
    command.arg(name).args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complained(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[tokio::test]
async fn calls_are_listed_shown_and_redriven_in_the_terminal() {
    let stage = busy_stage("").await;
    let list = said(&calls(&stage, &["list"]).await);
    assert_eq!(list.lines().count(), 6, "a heading and five calls: {list}");
    assert_eq!(said(&calls(&stage, &["list", "--live"]).await).lines().count(), 5);
    let parked = said(&calls(&stage, &["list", "--parked"]).await);
    assert!(parked.contains("live, 1 parked") && parked.lines().count() == 2, "{parked}");
    let task = parked.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();

    let shown = said(&calls(&stage, &["show", &task]).await);
    for part in [
        "parked: start agent A's stream: redirect:",
        "agent A: on the call (alice, WK",
        "✗ PARKED:",
        "[to start agent A's stream]",
    ] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    assert!(!shown.contains('\u{1b}') && !list.contains('\u{1b}'), "no colours where there is no terminal");

    let json: Value = serde_json::from_str(&said(&calls(&stage, &["show", &task, "--json"]).await)).unwrap();
    let customer = json["call"]["customer"].as_str().unwrap();
    assert_eq!(
        said(&calls(&stage, &["show", customer, "--json"]).await),
        said(&calls(&stage, &["show", &task, "--json"]).await)
    );
    let listed: Value = serde_json::from_str(&said(&calls(&stage, &["list", "--json", "--parked"]).await)).unwrap();
    assert_eq!(listed["calls"][0]["task"], *task);

    let done: Value = serde_json::from_str(&said(&calls(&stage, &["redrive", &task, "--json"]).await)).unwrap();
    assert_eq!(done, serde_json::json!({"task": task, "done": "redrive"}));
    stage.at_rest().await.unwrap();
    assert_eq!(said(&calls(&stage, &["list", "--parked"]).await), "no calls\n");
    assert!(text(&stage, "/calls?state=parked").await.contains("\"calls\":[]"));
    let (code, again) = complained(&calls(&stage, &["redrive", &task]).await);
    assert!(code == Some(1) && again.contains("nothing of this call is parked"), "{again}");
    stage.stop().await;
}

#[tokio::test]
async fn what_was_given_up_is_dismissed_in_the_terminal_by_the_customers_leg() {
    let stage = busy_stage("").await;
    let parked: Value = serde_json::from_str(&said(&calls(&stage, &["list", "--parked", "--json"]).await)).unwrap();
    let leg = parked["calls"][0]["customer"].as_str().unwrap();
    assert!(said(&calls(&stage, &["dismiss", leg]).await).contains("dismissed"));
    assert_eq!(said(&calls(&stage, &["list", "--parked"]).await), "no calls\n");
    stage.stop().await;
}

/// A stage on which Twilio was away for so long that the streams of so many calls were given up.
async fn after_an_outage(calls: usize) -> Testbed {
    let stage = busy_stage("").await;
    let outage = [&["customer calls"][..], &["the next redirect is answered 503"; 40], &["alice accepts", "settle"]];
    for _ in 1..calls {
        stage.run(&story(&outage.concat())).await;
        stage.sim.faults(|faults| faults.clear());
    }
    stage
}

/// The tasks of a list as JSON, and its `next`.
fn listed(output: &Output) -> (Vec<String>, Option<String>) {
    let list: Value = serde_json::from_str(&said(output)).unwrap();
    let tasks = list["calls"].as_array().unwrap().iter().map(|call| call["task"].as_str().unwrap().to_owned());
    (tasks.collect(), list["next"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn calls_are_listed_page_by_page() {
    let stage = busy_stage("").await;
    let (all, end) = listed(&calls(&stage, &["list", "--json"]).await);
    assert_eq!((all.len(), end), (5, None));
    let mut found = Vec::new();
    let mut page: Vec<String> = Vec::new();
    loop {
        let arguments: Vec<&str> = page.iter().map(String::as_str).collect();
        let (tasks, next) =
            listed(&calls(&stage, &[&["list", "--limit", "2", "--json"], &arguments[..]].concat()).await);
        found.extend(tasks);
        let Some(next) = next else { break };
        let said = said(&calls(&stage, &[&["list", "--limit", "2"], &arguments[..]].concat()).await);
        assert!(said.ends_with(&format!("--after {next}\n")), "{said}");
        page = vec!["--after".to_owned(), next];
    }
    assert_eq!(found, all);
    let (code, complaint) = complained(&calls(&stage, &["list", "--after", "x&limit=1"]).await);
    assert!(code == Some(1) && complaint.contains("after must be `next` of the previous page"), "{complaint}");
    stage.stop().await;
}

#[tokio::test]
async fn whatever_was_given_up_in_an_outage_is_tried_again_at_once() {
    let stage = after_an_outage(3).await;
    let (mut parked, _) = listed(&calls(&stage, &["list", "--parked", "--json"]).await);
    assert_eq!(parked.len(), 3);
    let preview = calls(&stage, &["redrive", "--all"]).await;
    let shown = String::from_utf8(preview.stdout.clone()).unwrap();
    assert!(preview.status.code() == Some(3) && shown.matches("would redrive WT").count() == 3, "{shown}");
    assert!(shown.ends_with("nothing was changed: confirmation required (--yes)\n"), "{shown}");
    let done: Value =
        serde_json::from_str(&said(&calls(&stage, &["redrive", "--all", "--yes", "--json"]).await)).unwrap();
    let mut tasks: Vec<&str> = done["tasks"].as_array().unwrap().iter().map(|task| task.as_str().unwrap()).collect();
    tasks.sort_unstable();
    parked.sort_unstable();
    assert_eq!((tasks, &done["done"]), (parked.iter().map(String::as_str).collect(), &Value::from("redrive")));
    stage.at_rest().await.unwrap();
    assert_eq!(said(&calls(&stage, &["list", "--parked"]).await), "no calls\n");
    for task in &parked {
        let story: Value = serde_json::from_str(&said(&calls(&stage, &["show", task, "--json"]).await)).unwrap();
        let streams = story["call"]["streams"].as_array().unwrap();
        assert_eq!(streams.iter().filter(|stream| stream["live"] == true).count(), 1, "{story}");
    }
    assert_eq!(
        said(&calls(&stage, &["redrive", "--all"]).await),
        "0 calls: parked changes are retried; `calls show` shows the result\n"
    );
    stage.stop().await;
}

#[tokio::test]
async fn whatever_was_given_up_in_an_outage_is_dismissed_at_once() {
    let stage = after_an_outage(2).await;
    assert_eq!(said(&calls(&stage, &["dismiss", "--all", "--yes"]).await), "2 calls: parked changes are dismissed\n");
    assert_eq!(said(&calls(&stage, &["list", "--parked"]).await), "no calls\n");
    stage.stop().await;
}

#[tokio::test]
async fn health_is_asked_from_a_shell_without_a_token() {
    let stage = busy_stage("token = \"a-token-that-is-long-enough\"").await;
    let admin = format!("http://{}", stage.service.admin());
    let health = program("health", &["--admin", &admin], &[]).await;
    assert!(said(&health).starts_with("{\"commit\":"), "{}", said(&health));
    stage.stop().await;
    let (code, gone) = complained(&program("health", &["--admin", &admin], &[]).await);
    assert!(code == Some(1) && gone.contains("could not connect"), "{gone}");
}

#[tokio::test]
async fn what_goes_wrong_is_said_with_what_to_do() {
    let stage = busy_stage("token = \"a-token-that-is-long-enough\"").await;
    let admin = format!("http://{}", stage.service.admin());
    let unknown = format!("WT{:032x}", 7);
    let token = [("TRS__ADMIN__TOKEN", "a-token-that-is-long-enough")];
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32, &'a str);
    let directory = tempfile::TempDir::new().unwrap();
    let token_file = directory.path().join("token").display().to_string();
    std::fs::write(&token_file, "a-token-that-is-long-enough\n").unwrap();
    let without_scheme = admin.trim_start_matches("http://");
    let cases: [Case<'_>; 16] = [
        (&["--admin", &admin, "list"], &[], 1, "set TRS__ADMIN__TOKEN"),
        (&["--admin", &admin, "list"], &[("TRS__ADMIN__TOKEN", "wrong")], 1, "set TRS__ADMIN__TOKEN"),
        (&["--admin", &admin, "show", &unknown], &token, 1, "no such call"),
        (&["--admin", &admin, "show", "../metrics"], &token, 2, "name a call by its task"),
        (&["--admin", &admin, "show", "WTx"], &token, 2, "name a call by its task"),
        (&["--admin", &admin, "redrive", "WTx"], &token, 2, "name a call by its task"),
        (&["--admin", without_scheme, "list"], &token, 2, "as in http://"),
        (&["--admin", &admin, "show", &unknown], &[("TRS__ADMIN__TOKEN_FILE", &token_file)], 1, "no such call"),
        (&["--admin", "http://127.0.0.1:9", "list"], &[], 1, "could not connect to http://127.0.0.1:9"),
        (&["list"], &[("TRS__ADMIN__LISTEN", "127.0.0.1:0")], 2, "pass --admin"),
        (
            &["list"],
            &[("TRS__ADMIN__LISTEN", "nowhere")],
            2,
            "admin.listen (from TRS__ADMIN__LISTEN) is not an address",
        ),
        (&["list"], &[("TRS__ADMIN__LISTN", "127.0.0.1:1")], 2, "admin.listn (from TRS__ADMIN__LISTN) is not a key"),
        (&["list", "--parked", "--live"], &[], 2, "cannot be used with"),
        (&["redrive"], &[], 2, "<SID>"),
        (&["dismiss", &unknown, "--all"], &[], 2, "cannot be used with"),
        (&["--admin", &admin, "redrive", "--all"], &[], 1, "set TRS__ADMIN__TOKEN"),
    ];
    for (arguments, environment, code, what) in cases {
        let (found, complaint) = complained(&command(arguments, environment).await);
        assert!(found == Some(code) && complaint.contains(what), "{arguments:?}: {found:?} {complaint}");
        assert!(!complaint.contains("long-enough"), "{complaint}");
    }
    assert!(said(&command(&["--admin", &admin, "list"], &token).await).contains("live, 1 parked"));
    stage.stop().await;
}

#[tokio::test]
async fn a_shell_beside_the_service_needs_nothing_of_its_configuration_but_where_it_listens() {
    let stage = busy_stage("token = \"a-token-that-is-long-enough\"").await;
    let admin = stage.service.admin().to_string();
    let environment = [("TRS__ADMIN__LISTEN", admin.as_str()), ("TRS__ADMIN__TOKEN", "a-token-that-is-long-enough")];
    assert!(said(&command(&["list"], &environment).await).contains("live, 1 parked"));
    assert!(said(&program("health", &[], &environment).await).starts_with("{\"commit\":"));
    // The service's own file, with keys that another version has.
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("config.toml");
    std::fs::write(&file, format!("[admin]\nlisten = \"{admin}\"\n[server]\nnot_known_yet = 1\n")).unwrap();
    let list = command(&["list", "--config", file.to_str().unwrap()], &environment[1..]).await;
    assert!(said(&list).contains("live, 1 parked"));
    stage.stop().await;
}
