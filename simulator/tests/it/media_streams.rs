//! Streams on the customer's leg.

use super::{START, Talk, order, start};
use twilio_simulator::SimConfig;
use twilio_simulator::world::{Event, Mode, Request, SocketFailure, StreamOrder, Target};

/// A call with these streams started in one redirect.
fn streaming(names: &[&str]) -> Talk {
    let mut talk = Talk::begin(SimConfig::default());
    go(&mut talk, &names.iter().map(|name| start(name)).collect::<String>());
    talk
}

fn go(talk: &mut Talk, verbs: &str) {
    talk.update(Some(false), None);
    talk.redirect(&talk.rejoin(verbs));
    talk.wait(10);
}

fn running(talk: &Talk) -> Vec<String> {
    let streams = talk.world.report(&talk.task).unwrap().streams;
    streams.into_iter().filter(|stream| stream.stopped_at.is_none()).map(|stream| stream.name).collect()
}

#[test]
fn a_stream_keeps_running_through_later_redirects() {
    let mut talk = streaming(&["a"]);
    go(&mut talk, &start("b"));
    assert_eq!(running(&talk), ["a", "b"]);
    go(&mut talk, "<Stop><Stream name=\"a\"/></Stop>");
    assert_eq!(running(&talk), ["b"]);
    assert_eq!(talk.violations(), Vec::<String>::new());
}

#[test]
fn where_the_settings_say_so_streams_die_at_a_redirect() {
    let mut talk = Talk::begin(SimConfig { streams_survive_redirects: false, ..SimConfig::default() });
    talk.create(order("a"));
    go(&mut talk, &start("b"));
    assert_eq!(running(&talk), ["b"]);
    let told = talk.world.take_events().iter().filter(|event| event.event_type == "stream-stopped").count();
    assert_eq!(told, 0, "it was given no status callback");
}

#[test]
fn a_created_stream_is_answered_201_or_200_as_the_settings_say() {
    for status in [201, 200] {
        let mut talk = Talk::begin(SimConfig { stream_created_status: status, ..SimConfig::default() });
        assert_eq!(talk.create(order("a")).status, status);
    }
}

#[test]
fn a_callbacks_fragment_may_be_refused() {
    let callback = Some("https://worker.example/streams/status#rc=3".to_owned());
    for (callback_fragments, status) in [(true, 200), (false, 400)] {
        let mut talk = Talk::begin(SimConfig { callback_fragments, ..SimConfig::default() });
        let told = StreamOrder { status_callback: callback.clone(), ..order("a") };
        assert_eq!(talk.create(told).status, status);
        assert_eq!(talk.create(order("b")).status, 200);
        assert_eq!(talk.violations(), Vec::<String>::new());
    }
}

#[test]
fn a_streams_worker_and_parameters_are_kept() {
    let mut talk = Talk::begin(SimConfig::default());
    go(
        &mut talk,
        "<Start><Stream name=\"a\" url=\"wss://media.example/a\"><Parameter name=\"workerSid\" value=\"WK0000000000000000000000000000000a\"/><Parameter name=\"x\" value=\"&lt;&amp;&quot;\"/></Stream></Start>",
    );
    let stream = talk.world.report(&talk.task).unwrap().streams.remove(0);
    assert_eq!(stream.worker.unwrap().as_str(), "WK0000000000000000000000000000000a");
    assert_eq!(stream.parameters[1], ("x".to_owned(), "<&\"".to_owned()));
    assert_eq!(stream.track, "inbound_track");
}

#[test]
fn a_name_that_was_used_before_starts_nothing_and_is_a_violation() {
    let mut talk = streaming(&["a"]);
    talk.stop("a");
    go(&mut talk, &start("a"));
    assert_eq!(running(&talk), Vec::<String>::new());
    assert!(talk.violations()[0].contains("already had a stream named a"), "{:?}", talk.violations());
}

#[test]
fn a_third_stream_of_both_tracks_exceeds_the_budget_and_is_a_violation() {
    let talk = streaming(&["a", "b", "c"]);
    assert_eq!(running(&talk), ["a", "b"]);
    assert!(talk.violations()[0].contains("no track left"), "{:?}", talk.violations());
}

#[test]
fn a_stop_frees_the_tracks_for_a_start_in_the_same_redirect() {
    let mut talk = streaming(&["a", "b"]);
    go(&mut talk, &format!("<Stop><Stream name=\"a\"/></Stop>{}", start("c")));
    assert_eq!(running(&talk), ["b", "c"]);
    assert_eq!(talk.violations(), Vec::<String>::new());
}

#[test]
fn a_stream_is_stopped_by_name_or_by_sid_and_only_once() {
    let mut talk = streaming(&["a", "b"]);
    let reply = talk.stop("a");
    assert_eq!((reply.status, &reply.body["status"]), (200, &"stopped".into()));
    let sid = talk.world.report(&talk.task).unwrap().streams[1].sid.to_string();
    assert_eq!(talk.stop(&sid).status, 200);
    let again = talk.stop("a");
    assert_eq!((again.status, &again.body["code"]), (404, &20404.into()));
    assert_eq!(talk.stop("never").status, 404);
}

#[test]
fn streams_end_with_the_call() {
    let mut talk = streaming(&["a"]);
    talk.world.advance(START).customer_hangs_up(&talk.task).unwrap();
    let stream = talk.world.report(&talk.task).unwrap().streams.remove(0);
    assert!(stream.ended_with_call);
    assert!(stream.stopped_at.is_some());
    assert_eq!(talk.stop("a").status, 404);
}

#[test]
fn a_stream_is_created_without_taking_the_leg_out_of_the_conference() {
    let mut talk = Talk::begin(SimConfig::default());
    let reply = talk.create(order("a"));
    assert_eq!(reply.status, 200);
    let stream = talk.world.report(&talk.task).unwrap().streams.remove(0);
    let (sid, call) = (stream.sid.to_string(), talk.customer.to_string());
    let account = super::ACCOUNT;
    let expected = serde_json::json!({
        "account_sid": account, "call_sid": call, "sid": sid, "name": "a", "status": "in-progress",
        "date_updated": "Thu, 09 Oct 2025 08:53:20 +0000",
        "uri": format!("/2010-04-01/Accounts/{account}/Calls/{call}/Streams/{sid}.json"),
    });
    assert_eq!(reply.body, expected);
    assert_eq!((talk.participants(), talk.world.report(&talk.task).unwrap().redirects), (2, 0));
    assert_eq!((talk.stop("a").status, talk.stop("a").status), (200, 404));
    assert_eq!(talk.violations(), Vec::<String>::new());
}

#[test]
fn a_stream_without_a_name_bears_its_sid_and_is_stopped_by_it() {
    let mut talk = Talk::begin(SimConfig::default());
    let reply = talk.create(StreamOrder { name: None, ..order("") });
    assert_eq!(reply.body["name"], serde_json::Value::Null);
    let sid = reply.body["sid"].as_str().unwrap().to_owned();
    assert_eq!(running(&talk), std::slice::from_ref(&sid));
    assert_eq!(talk.stop(&sid).body["status"], "stopped");
}

#[test]
fn the_name_of_a_stopped_stream_is_taken_unless_the_setting_says_otherwise() {
    for (reuse_stream_names, status) in [(false, 409), (true, 200)] {
        let mut talk = Talk::begin(SimConfig { reuse_stream_names, ..SimConfig::default() });
        talk.create(order("a"));
        assert_eq!(talk.create(order("a")).status, 409, "a running stream bears it");
        talk.stop("a");
        assert_eq!(talk.create(order("a")).status, status);
        assert_eq!(talk.violations().len(), if reuse_stream_names { 1 } else { 2 });
    }
}

#[test]
fn both_ways_of_starting_share_the_tracks_of_the_call() {
    let mut talk = streaming(&["a"]);
    assert_eq!(talk.create(order("b")).status, 200);
    let refused = talk.create(StreamOrder { track: None, ..order("c") });
    assert_eq!((refused.status, running(&talk)), (400, vec!["a".to_owned(), "b".to_owned()]));
    assert!(talk.violations()[0].contains("no track left"), "{:?}", talk.violations());
}

#[test]
fn a_stream_on_a_call_that_is_over_or_unknown_is_refused() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.advance(START).customer_hangs_up(&talk.task).unwrap();
    let over = talk.create(order("a"));
    assert_eq!((over.status, &over.body["code"]), (400, &21220.into()));
    let call = "CA00000000000000000000000000000000".to_owned();
    let unknown = talk.perform(&Request::CreateStream { call, order: order("a") });
    assert_eq!((unknown.status, &unknown.body["code"]), (404, &20404.into()));
    assert_eq!(talk.violations(), Vec::<String>::new());
}

#[test]
fn a_stream_on_a_workers_leg_is_a_violation() {
    let mut talk = Talk::begin(SimConfig::default());
    let call = talk.world.worker_leg(&talk.task, "alice").unwrap().to_string();
    talk.perform(&Request::CreateStream { call, order: order("a") });
    assert!(talk.violations()[0].contains("is a worker's leg"), "{:?}", talk.violations());
}

#[test]
fn a_stream_that_twilio_cannot_open_is_refused_with_the_reason() {
    let url = |url: &str| StreamOrder { url: Some(url.to_owned()), ..order("a") };
    let with = |change: fn(&mut StreamOrder)| {
        let mut changed = order("a");
        change(&mut changed);
        changed
    };
    let bad = [
        (url("ws://media.example/a"), "wss://"),
        (url("wss://media.example/a?agent=1"), "query"),
        (with(|order| order.url = None), "Url"),
        (with(|order| order.track = Some("all_tracks".to_owned())), "Track"),
        (with(|order| order.status_callback = Some("/streams/status".to_owned())), "absolute"),
        (with(|order| order.parameters = vec![("n".to_owned(), "v".repeat(499))]), "500"),
    ];
    for (order, reason) in bad {
        let mut talk = Talk::begin(SimConfig::default());
        let reply = talk.create(order);
        let said = reply.body["message"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && said.contains(reason), "{said}");
        assert!(talk.violations()[0].contains(&said), "{:?}", talk.violations());
    }
    let mut talk = Talk::begin(SimConfig::default());
    let reply = talk.create(with(|order| order.status_callback_method = Some("GET".to_owned())));
    assert_eq!((reply.status, talk.violations().len()), (501, 0), "Twilio would take it");
}

#[test]
fn a_stream_of_either_origin_tells_its_callback_and_one_without_a_callback_nobody() {
    let mut talk = Talk::begin(SimConfig::default());
    let callback = "https://worker.example/streams/status?task=WT1";
    let verb = start("a").replace("track=", "statusCallback=\"https://worker.example/streams/status?task=WT1\" track=");
    go(&mut talk, &verb);
    talk.create(StreamOrder { status_callback: Some(callback.to_owned()), ..order("b") });
    talk.stop("b");
    talk.create(order("silent"));
    talk.wait(10);
    talk.world.advance(talk.now).customer_hangs_up(&talk.task).unwrap();
    let events = talk.world.take_events();
    let told: Vec<_> = events.iter().filter(|event| event.callback_url.as_deref() == Some(callback)).collect();
    let field = |event: &Event, name: &str| event.form.iter().find(|(found, _)| found == name).unwrap().1.clone();
    let lines: Vec<String> =
        told.iter().map(|event| field(event, "StreamEvent") + " " + &field(event, "StreamName")).collect();
    assert_eq!(lines, ["stream-started a", "stream-stopped b", "stream-stopped a"]);
    assert_eq!(events.iter().filter(|event| event.callback_url.is_some()).count(), 3);
}

#[test]
fn a_socket_that_hangs_fails_its_stream_after_the_timeout_and_frees_its_tracks() {
    let mut talk = Talk::begin(SimConfig { socket_connect_ms: 700, ..SimConfig::default() });
    talk.world.next_sockets_fail(SocketFailure::TimedOut, 1);
    talk.create(order("a"));
    talk.create(order("b"));
    talk.wait(699);
    assert_eq!((running(&talk).len(), talk.create(order("c")).status), (2, 400));
    talk.wait(1);
    assert_eq!((running(&talk), talk.create(order("d")).status), (vec!["b".to_owned()], 200));
    let failed = talk.world.report(&talk.task).unwrap().streams.remove(0);
    assert_eq!((failed.failure, failed.opened_at), (Some(SocketFailure::TimedOut), None));
    assert_eq!(talk.stop("a").status, 404);
}

#[test]
fn a_world_that_streams_by_itself_does_what_a_worker_would() {
    let url = Some("wss://media.example/a".to_owned());
    let config = SimConfig { streams_by_itself: url, ..SimConfig::default() };
    let mut talk = Talk::begin(config.clone());
    let (task, to_bob) = (talk.task.clone(), Target::Agent("bob".to_owned()));
    talk.world.advance(START).transfers(&task, "alice", &to_bob, Mode::Warm).unwrap();
    talk.world.advance(START).accepts(&task, "bob").unwrap();
    assert_eq!(talk.world.snapshot(&task).unwrap().streams, ["alice", "bob"]);
    talk.world.advance(START).leaves(&task, "alice").unwrap();
    assert_eq!(talk.world.snapshot(&task).unwrap().streams, ["bob"]);
    talk.world.advance(START).leaves(&task, "bob").unwrap();
    let streams = talk.world.report(&task).unwrap().streams;
    assert_eq!(streams.iter().map(|stream| stream.ended_with_call).collect::<Vec<_>>(), [false, true]);
    assert_eq!(streams[0].parameters[2], ("taskSid".to_owned(), task.to_string()));
    assert_eq!(talk.violations(), Vec::<String>::new());

    let mut world = super::world(config);
    let task = world.advance(START).calls_out("alice").unwrap();
    assert_eq!(world.snapshot(&task).unwrap().streams, Vec::<String>::new());
    world.advance(START).customer_answers(&task).unwrap();
    assert_eq!(world.snapshot(&task).unwrap().streams, ["alice"]);
}
