//! Events that were told while nobody listened are read from TaskRouter's records.

use crate::metrics::{named, owned, rendered, samples};
use crate::pace::scaled;
use crate::postgres::Database;
use crate::program::{program, text};
use crate::stories::{patient, settle, timelines};
use secrecy::ExposeSecret;
use std::collections::BTreeSet;
use std::process::Output;
use std::time::{Duration, Instant};
use taskrouter_streams::call::fact::EpochMs;
use taskrouter_streams::call::sid::TaskSid;
use taskrouter_streams::http::STREAM_STATUS_PATH;
use taskrouter_streams::journal::CallQuery;
use taskrouter_streams::twilio::client::{ApiError, Client, EventsPage, PagingError, RecordsPage};
use taskrouter_streams::twilio::event::{self, Content};
use taskrouter_streams::twilio::event_record;
use taskrouter_streams::twilio::interest::Interest;
use taskrouter_streams::twilio::signature::Pair;
use twilio_simulator::callbacks::Destination;
use twilio_simulator::faults::{Fault, Faults, On};
use twilio_simulator::testbed::Testbed;
use twilio_simulator::world::{Mode, OpName, Target};
use twilio_simulator::{Route, SimConfig};

/// Far beyond what any recovery takes.
const LIMIT: Duration = Duration::from_secs(30);

async fn stage(extra: &str) -> Testbed {
    Testbed::start(patient(), &format!("[server]\nthreads = 1\n{extra}")).await.unwrap()
}

/// From now on events go where nobody listens.
fn away(stage: &Testbed) {
    stage.sim.post_events_to(Destination {
        events_url: "https://streams.example.com/taskrouter/events#rc=0".to_owned(),
        route: Route { public: "https://streams.example.com".to_owned(), local: "http://127.0.0.1:9".to_owned() },
    });
}

/// A call that alice has, as the worker knows, and that bob has as well, as it does not.
async fn missed_transfer(stage: &Testbed) -> TaskSid {
    let task = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    settle(stage).await;
    away(stage);
    stage.sim.act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
    stage.sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
    assert_eq!(streams(stage, &task), ["alice"]);
    task
}

fn streams(stage: &Testbed, task: &TaskSid) -> Vec<String> {
    stage.sim.world(|world| world.snapshot(task)).unwrap().streams
}

async fn until(stage: &Testbed, task: &TaskSid, expected: &[&str]) {
    let deadline = Instant::now() + scaled(LIMIT);
    while streams(stage, task) != expected {
        if Instant::now() > deadline {
            let timeline = timelines(stage, std::slice::from_ref(task)).await;
            panic!("{:?} instead of {expected:?}\n{timeline}", streams(stage, task));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn asked(stage: &Testbed, op: OpName) -> usize {
    stage.sim.world(|world| world.requests().to_vec()).iter().filter(|request| request.op == Some(op)).count()
}

async fn asked_at_least(stage: &Testbed, op: OpName, times: usize) {
    let deadline = Instant::now() + scaled(LIMIT);
    while asked(stage, op) < times {
        assert!(Instant::now() < deadline, "{op:?} was asked {} times", asked(stage, op));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_happened_while_the_worker_was_away_is_caught_up_with_at_its_start() {
    let stage = stage("").await;
    let task = missed_transfer(&stage).await;
    let stage = stage.restart().await.unwrap();
    until(&stage, &task, &["alice", "bob"]).await;
    settle(&stage).await;
    assert!(
        rendered(&stage).await.contains("events_backfilled_total{after=\"stop\"} 4"),
        "the transfer and its reservation"
    );
    // From here on it goes as if nothing had been missed.
    stage.sim.act(|world| world.leaves(&task, "alice")).await.unwrap();
    until(&stage, &task, &["bob"]).await;
    settle(&stage).await;
    assert!(
        stage.sim.world(|world| world.violations().is_empty()),
        "{:?}",
        stage.sim.world(|world| world.violations().to_vec())
    );
    stage.stop().await;
}

#[tokio::test]
async fn a_call_of_which_nothing_arrived_is_found_as_well() {
    let stage = stage("").await;
    let known = stage.sim.act(|world| world.customer_calls()).await;
    settle(&stage).await;
    away(&stage);
    let unknown = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&unknown, "alice")).await.unwrap();
    let stage = stage.restart().await.unwrap();
    until(&stage, &unknown, &["alice"]).await;
    assert_eq!(streams(&stage, &known), Vec::<String>::new());
    stage.stop().await;
}

#[tokio::test]
async fn a_journal_without_events_has_missed_none_and_one_that_missed_none_learns_nothing_new() {
    let stage = stage("").await;
    assert_eq!(asked(&stage, OpName::ListEvents), 0);
    let task = stage.sim.act(|world| world.customer_calls()).await;
    settle(&stage).await;
    let before = stage.facts(&task).await.unwrap();
    let stage = stage.restart().await.unwrap();
    asked_at_least(&stage, OpName::ListEvents, 1).await;
    settle(&stage).await;
    assert_eq!(stage.facts(&task).await.unwrap(), before);
    stage.stop().await;
}

#[tokio::test]
async fn twilio_may_be_slow_to_tell_and_events_that_arrive_do_not_wait_for_it() {
    let stage = stage("[retry]\nfirst_ms = 10").await;
    let task = missed_transfer(&stage).await;
    stage.sim.faults(|faults| faults.script(On::Next(OpName::ListEvents), 2, Fault::status(503)));
    stage.sim.faults(|faults| faults.script(On::Next(OpName::ListEvents), 1, Fault::Hang { took_effect: false }));
    let stage = stage.restart().await.unwrap();
    asked_at_least(&stage, OpName::ListEvents, 3).await;
    let other = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&other, "alice")).await.unwrap();
    until(&stage, &other, &["alice"]).await;
    assert_eq!(streams(&stage, &task), ["alice"], "the third request still hangs");
    until(&stage, &task, &["alice", "bob"]).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let stage = stage("[retry]\nfirst_ms = 1").await;
    missed_transfer(&stage).await;
    stage.sim.faults(|faults| faults.script(On::Next(OpName::ListEvents), 9, Fault::status(401)));
    let stage = stage.restart().await.unwrap();
    asked_at_least(&stage, OpName::ListEvents, 1).await;
    settle(&stage).await;
    assert_eq!(asked(&stage, OpName::ListEvents), 1);
    stage.stop().await;
}

#[tokio::test]
async fn no_more_events_are_read_than_allowed_and_the_newest_are_used() {
    let behaviour = SimConfig { page_size_limit: 2, ..patient() };
    let stage = Testbed::start(behaviour, "[server]\nthreads = 1\n[backfill]\nmax_events = 4").await.unwrap();
    stage.sim.act(|world| world.customer_calls()).await;
    settle(&stage).await;
    away(&stage);
    for _ in 0..5 {
        stage.sim.act(|world| world.customer_calls()).await;
    }
    // A list that is longer than an answer is read span by span.
    stage.sim.world(|world| world.spread_events(1_500));
    let known = async |stage: &Testbed| {
        stage.service.journal().calls(CallQuery { limit: 100, ..CallQuery::default() }).await.unwrap().len()
    };
    let before = known(&stage).await;
    let stage = stage.restart().await.unwrap();
    asked_at_least(&stage, OpName::ListEvents, 2).await;
    let deadline = Instant::now() + scaled(LIMIT);
    while known(&stage).await == before {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    settle(&stage).await;
    assert_eq!(asked(&stage, OpName::ListEvents), 3, "two events each, and one of them again");
    assert!(known(&stage).await < before + 5, "not all of them");
    stage.stop().await;
}

/// Every event so far has arrived.
async fn until_known(stage: &Testbed) {
    let deadline = Instant::now() + scaled(LIMIT);
    let told = stage.sim.world(|world| world.events().count());
    while stage.sim.deliveries().len() < told {
        assert!(Instant::now() < deadline, "not every event arrives");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// When the worker last asked for events from.
fn asked_from(stage: &Testbed) -> i64 {
    let requests = stage.sim.world(|world| world.requests().to_vec());
    let listed = requests.iter().rev().find(|request| request.op == Some(OpName::ListEvents)).unwrap();
    let (_, start) = listed.parameters.iter().find(|(name, _)| name == "StartDate").unwrap();
    start.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

async fn until_closed(stage: &Testbed, from: EpochMs) {
    let deadline = Instant::now() + scaled(LIMIT);
    let journal = stage.service.journal();
    // A gap that begins later would be answered with the one that is open.
    while journal.open_gap(from + 1).await.unwrap() == from {
        assert!(Instant::now() < deadline, "the gap is still open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    journal.close_gap(from + 1).await.unwrap();
}

#[tokio::test]
async fn a_gap_that_was_not_filled_is_filled_after_the_next_start_however_much_has_arrived_since() {
    // The spans overlap by more than the Date of an answer, in whole seconds, can lag.
    let stage = stage("[retry]\nfirst_ms = 1\n[backfill]\noverlap_ms = 3_000").await;
    let task = missed_transfer(&stage).await;
    let newest = stage.service.journal().newest_event().await.unwrap().unwrap();
    stage.sim.faults(|faults| faults.script(On::Next(OpName::ListEvents), 1_000, Fault::Hang { took_effect: false }));
    let stage = stage.restart().await.unwrap();
    asked_at_least(&stage, OpName::ListEvents, 1).await;
    // What comes in is newer than the whole gap.
    let other = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&other, "alice")).await.unwrap();
    until(&stage, &other, &["alice"]).await;
    assert_eq!(streams(&stage, &task), ["alice"]);
    assert!(stage.service.journal().newest_event().await.unwrap().unwrap() > newest);
    stage.sim.faults(Faults::clear);
    let stage = stage.restart().await.unwrap();
    until(&stage, &task, &["alice", "bob"]).await;
    // Twilio is asked in whole seconds.
    let from = asked_from(&stage) + 3_000;
    assert!((newest - from).abs() <= 1_001, "from {from}, the gap begins at {newest}");
    until_closed(&stage, newest).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_gap_that_twilio_was_away_for_is_filled_when_it_is_back() {
    let stage = stage("[retry]\nfirst_ms = 1\ncap_ms = 1\ngive_up_ms = 1\n[backfill]\nagain_ms = 20").await;
    let task = missed_transfer(&stage).await;
    stage.sim.faults(|faults| faults.script(On::Next(OpName::ListEvents), 12, Fault::status(503)));
    let stage = stage.restart().await.unwrap();
    until(&stage, &task, &["alice", "bob"]).await;
    let samples = samples(&rendered(&stage).await);
    assert!(samples[&named("background_rounds_total{task=\"backfill\",outcome=\"failed\"}")] > 0.0, "{samples:?}");
    assert_eq!(samples[&owned("twilio_requests_total{operation=\"list events\",status=\"503\"}")], 12.0);
    stage.stop().await;
}

#[tokio::test]
async fn events_that_the_journal_could_not_take_are_fetched_when_it_takes_events_again() {
    let Some(database) = Database::new().await else { return };
    let stage = Testbed::start_on(&database.url(), patient(), "[server]\nthreads = 1").await.unwrap();
    // Refused once, and not sent again.
    stage.sim.post_events_to(Destination {
        events_url: "https://streams.example.com/taskrouter/events#rc=0".to_owned(),
        route: Route {
            public: "https://streams.example.com".to_owned(),
            local: format!("http://{}", stage.service.public()),
        },
    });
    let task = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    settle(&stage).await;
    database.say("ALTER TABLE taskrouter_streams.fact RENAME TO fact_away").await;
    stage.sim.act(|world| world.transfers(&task, "alice", &Target::Agent("bob".to_owned()), Mode::Warm)).await.unwrap();
    stage.sim.act(|world| world.accepts(&task, "bob")).await.unwrap();
    let told = stage.sim.world(|world| world.events().count());
    let deadline = Instant::now() + scaled(LIMIT);
    while stage.sim.deliveries().len() < told {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let samples = samples(&rendered(&stage).await);
    let refused = samples.iter().filter(|(name, _)| name.contains("verdict=\"refused\"")).map(|(_, count)| count);
    assert!(refused.sum::<f64>() > 0.0, "{samples:?}");
    database.say("ALTER TABLE taskrouter_streams.fact_away RENAME TO fact").await;
    assert_eq!(streams(&stage, &task), ["alice"]);
    // The first that is taken says that the outage is over.
    stage.sim.act(|world| world.customer_calls()).await;
    until(&stage, &task, &["alice", "bob"]).await;
    stage.stop().await;
}

#[tokio::test]
async fn events_that_go_elsewhere_are_fetched_and_told_as_such() {
    let stage = stage("[backfill]\nsilence_ms = 300\noverlap_ms = 1").await;
    let task = stage.sim.act(|world| world.customer_calls()).await;
    until_known(&stage).await;
    let before = stage.sim.world(|world| world.events().count());
    away(&stage);
    stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    let missed = stage.sim.world(|world| world.events().count()) - before;
    until(&stage, &task, &["alice"]).await;
    let counted = rendered(&stage).await;
    assert!(counted.contains(&format!("events_backfilled_total{{after=\"silence\"}} {missed}")), "{counted}");
    stage.stop().await;
}

#[tokio::test]
async fn where_nothing_ever_arrived_it_is_noticed_too() {
    let stage = stage("[backfill]\nsilence_ms = 300\noverlap_ms = 1").await;
    away(&stage);
    let task = stage.sim.act(|world| world.customer_calls()).await;
    stage.sim.act(|world| world.accepts(&task, "alice")).await.unwrap();
    until(&stage, &task, &["alice"]).await;
    stage.stop().await;
}

#[tokio::test]
async fn in_a_quiet_workspace_each_time_is_read_once_and_nothing_is_told() {
    let stage = stage("[backfill]\nsilence_ms = 100\noverlap_ms = 1").await;
    asked_at_least(&stage, OpName::ListEvents, 1).await;
    let first = asked_from(&stage);
    asked_at_least(&stage, OpName::ListEvents, 3).await;
    // Dates in requests have whole seconds.
    let deadline = Instant::now() + scaled(LIMIT);
    while asked_from(&stage) < first + 1_000 {
        assert!(Instant::now() < deadline, "it reads the same time again and again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let counted = rendered(&stage).await;
    assert!(counted.contains("events_backfilled_total{after=\"silence\"} 0"), "{counted}");
    stage.stop().await;
}

#[tokio::test]
async fn what_may_still_be_on_its_way_is_not_missed() {
    let stage = stage("[backfill]\nsilence_ms = 100").await;
    away(&stage);
    stage.sim.act(|world| world.customer_calls()).await;
    asked_at_least(&stage, OpName::ListEvents, 3).await;
    let counted = rendered(&stage).await;
    assert!(counted.contains("events_backfilled_total{after=\"silence\"} 0"), "{counted}");
    stage.stop().await;
}

/// The records of all that has happened, each once.
async fn records(client: &Client) -> Vec<event_record::Record> {
    let now = jiff::Timestamp::now().as_millisecond();
    let (mut page, mut all, mut seen) =
        (Some(EventsPage::first(now - 600_000, now + 60_000)), Vec::new(), BTreeSet::new());
    while let Some(asked) = page {
        let RecordsPage { mut records, next, .. } = client.event_log().page(&asked).await.unwrap();
        records.retain(|record| seen.insert(event_record::sid(record).unwrap().to_owned()));
        all.extend(records);
        page = next.unwrap();
    }
    all
}

#[tokio::test]
async fn a_second_in_which_much_happened_is_read_as_a_whole() {
    let stage = stage("").await;
    for _ in 0..70 {
        stage.sim.act(|world| world.customer_calls()).await;
    }
    let client = Client::new(stage.settings().client(STREAM_STATUS_PATH)).unwrap();
    let told = stage.sim.world(|world| world.events().count());
    assert!(told > 100);
    for apart_ms in [0, 7, 300, 1_000] {
        stage.sim.world(|world| world.spread_events(apart_ms));
        assert_eq!(records(&client).await.len(), told, "{apart_ms} ms apart");
    }
    stage.stop().await;
}

#[tokio::test]
async fn more_than_twilio_lists_is_said_to_be_so() {
    let behaviour = SimConfig { page_size_limit: 3, ..patient() };
    let stage = Testbed::start(behaviour, "[server]\nthreads = 1").await.unwrap();
    for _ in 0..4 {
        stage.sim.act(|world| world.customer_calls()).await;
    }
    stage.sim.world(|world| world.spread_events(0));
    let client = Client::new(stage.settings().client(STREAM_STATUS_PATH)).unwrap();
    let now = jiff::Timestamp::now().as_millisecond();
    let next = client.event_log().page(&EventsPage::first(now - 600_000, now + 60_000)).await.unwrap().next;
    let next = client.event_log().page(&next.unwrap().unwrap()).await.unwrap().next;
    let next = client.event_log().page(&next.unwrap().unwrap()).await.unwrap().next;
    assert_eq!(next, Err(PagingError::Crowded));
    let output = run(&stage, &["backfill", "--since", "10m"], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("shorten --since"), "{}", text(&output.stderr));
    stage.stop().await;
}

#[tokio::test]
async fn a_record_tells_the_same_as_the_callback_of_the_same_event() {
    let stage = stage("").await;
    let task = missed_transfer(&stage).await;
    stage.sim.act(|world| world.customer_writes()).await;
    stage.sim.act(|world| world.leaves(&task, "alice")).await.unwrap();
    stage.sim.act(|world| world.customer_hangs_up(&task)).await.unwrap();
    let client = Client::new(stage.settings().client(STREAM_STATUS_PATH)).unwrap();
    let records = records(&client).await;
    let told = stage.sim.world(|world| world.events().cloned().collect::<Vec<_>>());
    assert_eq!(records.len(), told.len());
    let mut types = BTreeSet::new();
    for (record, event) in records.iter().rev().zip(&told) {
        let form: Vec<Pair<'_>> = event.form.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
        let by_callback = event::parse(&form, &Interest::default()).unwrap();
        assert_eq!(event_record::parse(record, &Interest::default()).unwrap(), by_callback, "{record:?}");
        if let Content::Ours { .. } = by_callback.content {
            types.insert(event.event_type);
        }
    }
    assert!(types.len() >= 7, "{types:?}");
    stage.stop().await;
}

#[tokio::test]
async fn a_record_without_its_own_data_still_names_what_it_is_about() {
    let record = serde_json::json!({
        "event_type": "task.completed", "account_sid": "AC00000000000000000000000000000001",
        "workspace_sid": "WS00000000000000000000000000000001", "sid": "EV00000000000000000000000000000001",
        "event_date": "2025-10-09T08:53:29Z", "resource_type": "Task",
        "resource_sid": "WT00000000000000000000000000000001", "event_data": null,
    });
    let envelope = event_record::parse(record.as_object().unwrap(), &Interest::default()).unwrap();
    let Content::Ours { task, identity, .. } = envelope.content else { panic!("not ours") };
    assert_eq!(task.as_str(), "WT00000000000000000000000000000001");
    assert_eq!(identity, "EV00000000000000000000000000000001");
}

#[tokio::test]
async fn credentials_that_twilio_refuses_are_told_from_an_outage() {
    let stage = stage("").await;
    let client = Client::new(stage.settings().client(STREAM_STATUS_PATH)).unwrap();
    let page = EventsPage::first(0, 1);
    stage.sim.faults(|faults| faults.script(On::Next(OpName::ListEvents), 1, Fault::status(401)));
    assert!(matches!(client.event_log().page(&page).await, Err(ApiError::Refused(_))));
    stage.sim.faults(|faults| faults.script(On::Next(OpName::ListEvents), 1, Fault::status(503)));
    assert!(matches!(client.event_log().page(&page).await, Err(ApiError::Later(_))));
    stage.stop().await;
}

/// A worker's configuration for a command, as environment variables.
pub(crate) fn environment(stage: &Testbed) -> Vec<(&'static str, String)> {
    let settings = stage.settings();
    vec![
        ("TWILIO_ACCOUNT_SID", settings.twilio.account_sid.to_string()),
        ("TWILIO_AUTH_TOKEN", settings.twilio.auth_tokens[0].expose_secret().to_owned()),
        ("TWILIO_WORKSPACE_SID", settings.twilio.workspace_sid.to_string()),
        ("TRS__SERVER__PUBLIC_URL", settings.server.public_url.clone()),
        ("TRS__SERVER__LISTEN", stage.service.public().to_string()),
        ("TRS__TWILIO__API_BASE_URL", stage.sim.api_base_url()),
        ("TRS__TWILIO__TASKROUTER_BASE_URL", stage.sim.api_base_url()),
        ("TRS__STREAMS__DESTINATIONS", "wss://audio.example.com/a".to_owned()),
    ]
}

/// Runs the program beside the stage, with more variables; an empty one is taken away.
pub(crate) async fn run(stage: &Testbed, arguments: &[&str], more: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.args(arguments).envs(environment(stage));
    for (name, value) in more {
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_command_tells_a_running_worker_what_it_missed() {
    let stage = stage("").await;
    let task = missed_transfer(&stage).await;
    let output = run(&stage, &["backfill", "--since", "10m"], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    until(&stage, &task, &["alice", "bob"]).await;
    let events = stage.sim.world(|world| world.events().count());
    assert!(text(&output.stdout).contains(&format!("{events} of {events} were accepted")), "{}", text(&output.stdout));
    settle(&stage).await;
    let facts = stage.facts(&task).await.unwrap().len();
    assert_eq!(run(&stage, &["backfill", "--since", "10m"], &[]).await.status.code(), Some(0));
    settle(&stage).await;
    assert_eq!(stage.facts(&task).await.unwrap().len(), facts, "a second time changes nothing");
    stage.stop().await;
}

#[tokio::test]
async fn the_command_says_what_is_wrong() {
    let stage = stage("").await;
    stage.sim.act(|world| world.customer_calls()).await;
    for (arguments, more, code, said) in [
        (&["backfill", "--since", "soon"][..], ("A", "b"), 2, "90m"),
        (&["backfill", "--since", "1h"], ("TWILIO_ACCOUNT_SID", "AC1"), 2, "twilio.account_sid"),
        (&["backfill", "--since", "1h"], ("TWILIO_AUTH_TOKEN", "another"), 1, "refused the credentials"),
        (&["backfill", "--since", "1h", "--to", "http://127.0.0.1:9"], ("A", "b"), 1, "check that the service runs"),
        (&["backfill", "--since", "1h"], ("TRS__SERVER__PUBLIC_URL", "https://other.example.com"), 1, "403"),
        (&["backfill", "--since", "1h"], ("TRS__BACKFILL__MAX_EVENTS", "1"), 0, "were accepted"),
    ] {
        let output = run(&stage, arguments, &[more]).await;
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {more:?}: {all}");
        assert!(all.contains(said), "{arguments:?} {more:?}: {all}");
    }
    stage.stop().await;
}
