//! The whole product with two accounts, each at a Twilio of its own.

use super::*;
use secrecy::ExposeSecret as _;
use taskrouter_streams::call::fact::FactKind;
use taskrouter_streams::call::sid::AccountSid;
use taskrouter_streams::call::step::Goal;
use taskrouter_streams::journal::{CallQuery, NewFact};
use taskrouter_streams::timeline;
use taskrouter_streams::twilio::event::{self, Content};
use taskrouter_streams::twilio::interest::Interest;
use taskrouter_streams::twilio::signature::Pair;
use twilio_simulator::callbacks::Delivered;
use twilio_simulator::faults::{Fault, On};
use twilio_simulator::world::OpName;

#[tokio::test]
async fn calls_of_both_accounts_go_to_the_destinations_of_each_in_the_way_of_each() {
    let town = Town::rises(&[]).await;
    let (green, blue) =
        (town.green.act(|world| world.customer_calls()).await, town.blue.act(|world| world.customer_calls()).await);
    for (sim, task) in [(&town.green, &green), (&town.blue, &blue)] {
        sim.act(|world| world.accepts(task, "alice")).await.unwrap();
        streaming(sim, task, &["alice"]).await;
        sim.act(|world| world.transfers(task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
        sim.act(|world| world.accepts(task, "bob")).await.unwrap();
    }
    for (sim, task, urls, redirects) in [
        (&town.green, &green, ["wss://green.example.com/a", "wss://green.example.com/b"], true),
        (&town.blue, &blue, ["wss://blue.example.com/a", "wss://blue.example.com/a"], false),
    ] {
        streaming(sim, task, &["alice", "bob"]).await;
        let report = sim.world(|world| world.report(task)).unwrap();
        assert_eq!(report.streams.iter().map(|stream| stream.url.as_str()).collect::<Vec<_>>(), urls);
        assert_eq!(report.redirects > 0, redirects, "each account has a strategy of its own");
        assert!(
            sim.world(|world| world.requests().to_vec()).iter().all(|request| request.op.is_some()),
            "{:?}",
            sim.world(|world| world.requests().to_vec())
        );
        assert!(sim.deliveries().iter().all(|each| each.outcome == Delivered::Answered(204)), "{:?}", sim.deliveries());
        assert_eq!(sim.world(|world| world.violations().to_vec()), []);
    }
    town.falls().await;
}

#[tokio::test]
async fn what_another_account_says_of_a_call_changes_nothing() {
    let town = Town::rises(&[]).await;
    let task = town.green.act(|world| world.customer_calls()).await;
    town.green.act(|world| world.accepts(&task, "alice")).await.unwrap();
    streaming(&town.green, &task, &["alice"]).await;
    town.settles().await;
    let facts = town.facts(&task).await.len();
    let before = town.call(&task).await;
    // By blue's token, for blue's account and workspace, about green's task.
    let event = [
        ("EventType", "task.completed".to_owned()),
        ("AccountSid", BLUE.0.to_owned()),
        ("WorkspaceSid", BLUE.1.to_owned()),
        ("Sid", "EV000000000000000000000000000000ff".to_owned()),
        ("Timestamp", "1760000005".to_owned()),
        ("TaskSid", task.to_string()),
        ("TaskAssignmentStatus", "completed".to_owned()),
    ];
    let name = before.streams()[0].name.clone();
    let stream = [
        ("AccountSid", BLUE.0.to_owned()),
        ("CallSid", before.customer().unwrap().to_string()),
        ("StreamSid", "MZ000000000000000000000000000000ff".to_owned()),
        ("StreamName", name),
        ("StreamEvent", "stream-error".to_owned()),
    ];
    assert_eq!(town.post("/taskrouter/events", &event, BLUE.2).await, 204);
    assert_eq!(town.post(&format!("/streams/status?task={task}"), &stream, BLUE.2).await, 204);
    town.until("both are journaled", async || town.facts(&task).await.len() >= facts + 2).await;
    assert_eq!(town.call(&task).await, before, "the fold is deaf to them");
    let story = timeline::render(&town.facts(&task).await);
    assert_eq!(story.matches("ignored: an event of AC").count(), 2, "{story}");
    town.green.act(|world| world.leaves(&task, "alice")).await.unwrap();
    streaming(&town.green, &task, &[]).await;
    assert_eq!(town.green.world(|world| world.violations().to_vec()), []);
    town.falls().await;
}

#[tokio::test]
async fn a_call_that_was_journaled_before_there_were_several_accounts_is_the_firsts() {
    let town = Town::rises(&[]).await;
    town.green.post_events_to(nowhere());
    let task = town.green.act(|world| world.customer_calls()).await;
    town.green.act(|world| world.accepts(&task, "alice")).await.unwrap();
    for told in town.green.world(|world| world.events().cloned().collect::<Vec<_>>()) {
        let form: Vec<Pair<'_>> = told.form.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
        let Content::Ours { task, identity, what } = event::parse(&form, &Interest::default()).unwrap().content else {
            continue;
        };
        let mut written = serde_json::to_value(Fact { at: town.service.journal().clock().now(), kind: what }).unwrap();
        let account = |value: &mut serde_json::Value| {
            let kind = value["kind"].as_object_mut().unwrap().values_mut().next().unwrap();
            kind["task"].as_object_mut().unwrap().remove("account")
        };
        assert_eq!(account(&mut written), Some(serde_json::Value::from(GREEN.0)), "events name it since then");
        let fact: Fact = serde_json::from_value(written).unwrap();
        town.service.journal().ingest(NewFact { call: task, identity, fact: fact.into() }).await.unwrap();
    }
    streaming(&town.green, &task, &["alice"]).await;
    assert_eq!(town.blue.world(|world| world.requests().to_vec()), []);
    // What is told of it from now on names its account.
    town.introduces();
    town.green.act(|world| world.leaves(&task, "alice")).await.unwrap();
    streaming(&town.green, &task, &[]).await;
    assert_eq!(town.call(&task).await.account().map(AccountSid::as_str), Some(GREEN.0));
    town.falls().await;
}

#[tokio::test]
async fn a_token_is_rotated_while_a_call_goes_on() {
    const NEXT: &str = "blues-next-token";
    let mut town = Town::rises(&[]).await;
    let task = town.blue.act(|world| world.customer_calls()).await;
    town.blue.act(|world| world.accepts(&task, "alice")).await.unwrap();
    streaming(&town.blue, &task, &["alice"]).await;
    // Promoted before we know it: refused, and Twilio's records have it still.
    town.blue.promotes(SecretString::from(NEXT));
    town.blue.act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
    town.blue.act(|world| world.accepts(&task, "bob")).await.unwrap();
    assert!(town.blue.deliveries().iter().any(|each| each.outcome == Delivered::Answered(403)));
    let both = format!("{},{NEXT}", BLUE.2);
    town = town.restarts(&[("TRS__ACCOUNTS__BLUE__AUTH_TOKENS", &both)]).await;
    streaming(&town.blue, &task, &["alice", "bob"]).await;
    let event = |number: u32| {
        let sid = format!("EV{number:032x}");
        [("EventType", "worker.activity.update"), ("AccountSid", BLUE.0), ("WorkspaceSid", BLUE.1), ("Sid", &sid)]
            .map(|(name, value)| (name, value.to_owned()))
    };
    for token in [BLUE.2, NEXT] {
        assert_eq!(town.post("/taskrouter/events", &event(1), token).await, 204);
    }
    // What signs is read at the start.
    town = town.restarts(&[("TRS__ACCOUNTS__BLUE__AUTH_TOKENS", NEXT)]).await;
    assert_eq!(town.post("/taskrouter/events", &event(2), BLUE.2).await, 403);
    assert_eq!(town.post("/taskrouter/events", &event(2), NEXT).await, 204);
    town.blue.act(|world| world.unholds(&task, "alice")).await.unwrap();
    town.blue.act(|world| world.leaves(&task, "alice")).await.unwrap();
    streaming(&town.blue, &task, &["bob"]).await;
    assert_eq!(town.blue.world(|world| world.violations().to_vec()), []);
    town.falls().await;
}

#[tokio::test]
async fn wrong_credentials_of_one_account_do_not_hurt_the_calls_of_the_other() {
    let town = Town::rises(&[("TRS__ACCOUNTS__BLUE__API_SECRET", "not-the-secret")]).await;
    let (blue, green) =
        (town.blue.act(|world| world.customer_calls()).await, town.green.act(|world| world.customer_calls()).await);
    town.blue.act(|world| world.accepts(&blue, "alice")).await.unwrap();
    town.until("blue's change is parked", async || town.call(&blue).await.parked().count() > 0).await;
    town.green.act(|world| world.accepts(&green, "alice")).await.unwrap();
    streaming(&town.green, &green, &["alice"]).await;
    assert_eq!(town.blue.world(|world| world.snapshot(&blue)).unwrap().streams, Vec::<String>::new());
    assert!(
        town.blue.world(|world| world.requests().to_vec()).iter().all(|request| request.status == Some(401)),
        "{:?}",
        town.blue.world(|world| world.requests().to_vec())
    );
    assert!(town.green.world(|world| world.requests().to_vec()).iter().all(|request| request.status != Some(401)));
    assert_eq!(town.call(&green).await.parked().count(), 0);
    town.falls().await;
}

#[tokio::test]
async fn an_account_that_twilio_does_not_answer_leaves_room_for_the_calls_of_the_other() {
    const MINUTE: &str = "60000";
    let town = Town::rises(&[
        ("TRS__WORKER__MAX_CALLS", "2"),
        ("TRS__TWILIO__MAX_IN_FLIGHT", "1"),
        ("TRS__TWILIO__REQUEST_TIMEOUT_MS", MINUTE),
        ("TRS__JOURNAL__LEASE_MS", "90000"),
        ("TRS__SHUTDOWN__GRACE_MS", "100"),
    ])
    .await;
    town.blue.faults(|faults| faults.script(On::Next(OpName::CreateStream), 99, Fault::Hang { took_effect: false }));
    for _ in 0..3 {
        let task = town.blue.act(|world| world.customer_calls()).await;
        town.blue.act(|world| world.accepts(&task, "alice")).await.unwrap();
    }
    let hanging = || {
        town.blue
            .world(|world| world.requests().to_vec())
            .iter()
            .filter(|request| request.op == Some(OpName::CreateStream))
            .count()
    };
    town.until("blue hangs", async || hanging() == 1).await;
    let task = town.green.act(|world| world.customer_calls()).await;
    town.green.act(|world| world.accepts(&task, "alice")).await.unwrap();
    streaming(&town.green, &task, &["alice"]).await;
    assert_eq!(hanging(), 1, "a minute has not passed");
    town.falls().await;
}

#[tokio::test]
async fn a_call_whose_account_is_no_longer_configured_is_parked_and_asked_about_with_nobodys_credentials() {
    let mut town = Town::rises(&[]).await;
    let task = town.blue.act(|world| world.customer_calls()).await;
    town.blue.act(|world| world.accepts(&task, "alice")).await.unwrap();
    streaming(&town.blue, &task, &["alice"]).await;
    town.settles().await;

    let asked = town.blue.world(|world| world.requests().len());
    town = town.restarts(&[("", "")]).await;
    town.blue.act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
    assert!(town.blue.deliveries().iter().any(|each| each.outcome == Delivered::Answered(403)), "it is nobody's now");
    for number in 1..3 {
        // As an operator's, which make the call due.
        town.redrives(&task, number).await;
        town.until("it is parked", async || {
            matches!(town.call(&task).await.parked().collect::<Vec<_>>().as_slice(), [(Goal::Serve, why)] if why.contains(BLUE.0))
        })
        .await;
        let parked = town.facts(&task).await.iter().filter(|fact| matches!(fact.kind, FactKind::Parked(_))).count();
        assert_eq!(parked, number, "once each time");
    }
    let rows = town.service.journal().calls(CallQuery { limit: 9, ..CallQuery::default() }).await.unwrap();
    assert!(rows.iter().any(|row| row.call == task && row.parked), "{rows:?}");
    assert_eq!(town.blue.world(|world| world.requests().len()), asked);
    let of_green = town.green.world(|world| world.requests().to_vec());
    assert!(of_green.iter().all(|request| request.op == Some(OpName::ListEvents)), "green's own records: {of_green:?}");

    // Back again: what happened meanwhile is read from the records, and the call goes on.
    town = town.restarts(&[]).await;
    town.blue.act(|world| world.accepts(&task, "bob")).await.unwrap();
    streaming(&town.blue, &task, &["alice", "bob"]).await;
    assert_eq!(town.call(&task).await.parked().count(), 0, "work on it tells that it was not given up");
    town.until("nothing is listed as parked", async || town.service.journal().backlog().await.unwrap().parked == 0)
        .await;
    assert_eq!(town.blue.world(|world| world.violations().to_vec()), []);
    town.falls().await;
}

#[tokio::test]
async fn what_was_missed_is_read_from_the_records_of_each_account() {
    let mut town = Town::rises(&[]).await;
    let mut tasks = Vec::new();
    for sim in [&town.green, &town.blue] {
        let task = sim.act(|world| world.customer_calls()).await;
        sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
        streaming(sim, &task, &["alice"]).await;
        tasks.push(task);
    }
    for (sim, task) in [&town.green, &town.blue].into_iter().zip(&tasks) {
        sim.post_events_to(nowhere());
        sim.act(|world| world.transfers(task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
        sim.act(|world| world.accepts(task, "bob")).await.unwrap();
    }
    town = town.restarts(&[]).await;
    for (sim, task) in [&town.green, &town.blue].into_iter().zip(&tasks) {
        streaming(sim, task, &["alice", "bob"]).await;
    }
    town.falls().await;
}

#[tokio::test]
async fn the_commands_know_the_accounts() {
    let town = Town::rises(&[]).await;
    // setup changes something, so it does not guess.
    let (code, said) = town.run(&["setup", "--yes"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("--account") && said.contains(GREEN.0) && said.contains(&format!("{}  blue", BLUE.0)),
        "{said}"
    );
    let (code, said) = town.run(&["setup", "--account", "red"]).await;
    assert!(code == Some(2) && said.contains("blue"), "{said}");
    for (account, sim, login) in [
        ("blue", &town.blue, format!("-u \"{}:$TRS__ACCOUNTS__BLUE__AUTH_TOKENS\"", BLUE.0)),
        (GREEN.0, &town.green, "-u \"$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN\"".to_owned()),
    ] {
        assert_eq!(sim.world(|world| world.workspace().event_callback_url.clone()), "");
        let (code, said) = town.run(&["setup", "--yes", "--account", account]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&login), "{said}");
        assert!(sim.world(|world| world.workspace().event_callback_url.clone()).starts_with(PUBLIC_URL));
    }

    // doctor looks at all of them, or at one.
    let (_, said) = town.run(&["doctor", "--json"]).await;
    let checks: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let verdict = |account: &str, name: &str| {
        let check = checks.iter().find(|check| check["account"] == account && check["check"] == name);
        check.unwrap_or_else(|| panic!("{name} of {account} in {said}"))["verdict"].as_str().unwrap().to_owned()
    };
    for account in ["twilio", "blue"] {
        for name in ["voice api", "taskrouter", "workspace", "auth token"] {
            assert_eq!(verdict(account, name), "ok", "{name} of {account}: {said}");
        }
    }
    assert_eq!((verdict("twilio", "configuration"), verdict("blue", "configuration")), ("warning".into(), "ok".into()));
    assert_eq!(checks.iter().filter(|check| check["check"] == "destination").count(), 3, "each of them once: {said}");
    assert!(!said.contains(GREEN.2) && !said.contains(BLUE.2) && !said.contains(BLUES_SECRET), "{said}");
    let (_, said) = town.run(&["doctor", "--account", BLUE.0]).await;
    assert!(said.contains("auth token of blue") && !said.contains("auth token of twilio"), "{said}");
    let (code, said) = town.run(&["doctor", "--probe-call", "CA000000000000000000000000000000ff"]).await;
    assert!(code == Some(2) && said.contains("--account"), "{said}");

    // backfill tells the worker what is in the records of all.
    let mut tasks = Vec::new();
    for sim in [&town.green, &town.blue] {
        sim.post_events_to(nowhere());
        let task = sim.act(|world| world.customer_calls()).await;
        sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
        tasks.push(task);
    }
    let (code, said) = town.run(&["backfill", "--since", "10m"]).await;
    assert_eq!(code, Some(0), "{said}");
    for (sim, task) in [&town.green, &town.blue].into_iter().zip(&tasks) {
        town.introduces();
        streaming(sim, task, &["alice"]).await;
    }
    town.falls().await;
}

#[tokio::test]
async fn an_operator_sees_whose_call_it_is_when_there_are_several_accounts() {
    let mut town = Town::rises(&[]).await;
    let (green, blue) =
        (town.green.act(|world| world.customer_calls()).await, town.blue.act(|world| world.customer_calls()).await);
    let (_, list) = town.run(&["calls", "list"]).await;
    for (task, name) in [(&green, "twilio"), (&blue, "blue")] {
        let line = list.lines().find(|line| line.starts_with(task.as_str())).unwrap_or_else(|| panic!("{list}"));
        assert!(line.contains(&format!("  {name}  ")), "{list}");
        let (_, story) = town.run(&["calls", "show", task.as_str()]).await;
        assert!(story.contains(&format!("account {name}")), "{story}");
        for path in [format!("/console/calls/{task}"), "/console?state=all".to_owned()] {
            let page = reqwest::get(format!("http://{}{path}", town.service.admin())).await.unwrap();
            let page = page.text().await.unwrap();
            assert!(page.contains(&format!("<dd>{name}</dd>")) || page.contains(&format!("account {name}<")), "{page}");
        }
    }
    town = town.restarts(&[("", "")]).await;
    let (_, list) = town.run(&["calls", "list", "--json"]).await;
    assert!(list.contains(blue.as_str()) && !list.contains("account"), "there is nothing to tell apart: {list}");
    town.falls().await;
}

#[tokio::test]
async fn setup_finds_the_workspace_of_an_account_that_has_none_configured() {
    let town = Town::rises(&[]).await;
    let missing = [("TRS__ACCOUNTS__BLUE__WORKSPACE_SID", ""), ("TRS__STREAMS__DESTINATIONS", "")];
    let (code, said) = town.run_with(&["setup", "--account", "blue"], &missing).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--workspace") && said.contains(BLUE.1), "{said}");
    let (code, said) = town.run_with(&["setup", "--account", "blue", "--workspace", BLUE.1, "--yes"], &missing).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(town.blue.world(|world| world.workspace().event_callback_url.clone()).starts_with(PUBLIC_URL));
    assert_eq!(town.green.world(|world| world.workspace().event_callback_url.clone()), "");
    town.falls().await;
}

#[tokio::test]
async fn an_account_that_cannot_be_asked_is_told_and_the_others_are_served_by_the_commands() {
    let town = Town::rises(&[]).await;
    let task = town.green.act(|world| world.customer_calls()).await;
    town.green.act(|world| world.accepts(&task, "alice")).await.unwrap();
    streaming(&town.green, &task, &["alice"]).await;
    let wrong = [("TRS__ACCOUNTS__BLUE__API_SECRET", "wrong")];
    let (code, said) = town.run_with(&["backfill", "--since", "10m"], &wrong).await;
    assert_eq!(code, Some(1), "{said}");
    let events = town.green.world(|world| world.events().count());
    assert!(
        said.contains(&format!("{events} of {events} were accepted")) && said.contains("refused the credentials"),
        "{said}"
    );
    let (code, said) = town.run_with(&["doctor", "--account", "blue"], &wrong).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("TRS__ACCOUNTS__BLUE__API_SECRET") && !said.contains("TWILIO_API_SECRET"), "{said}");
    assert!(town.settings.by_account()[1].1.twilio.auth_tokens[0].expose_secret() == BLUE.2);
    town.falls().await;
}

impl Town {
    /// As an operator does.
    async fn redrives(&self, task: &TaskSid, number: usize) {
        let fact = Fact { at: self.service.journal().clock().now(), kind: FactKind::Redriven };
        let redriven = NewFact { call: task.clone(), identity: format!("redriven:{task}:{number}"), fact: fact.into() };
        self.service.journal().ingest(redriven).await.unwrap();
    }
}
