//! Streams on the customer's leg.

use super::{START, Talk, start};
use taskrouter_streams::sim::Behaviour;

/// A call with these streams started in one redirect.
fn streaming(names: &[&str]) -> Talk {
    let mut talk = Talk::begin(Behaviour::default());
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
fn a_streams_worker_and_parameters_are_kept() {
    let mut talk = Talk::begin(Behaviour::default());
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
    talk.world.customer_hangs_up(&talk.task, START).unwrap();
    let stream = talk.world.report(&talk.task).unwrap().streams.remove(0);
    assert!(stream.ended_with_call);
    assert!(stream.stopped_at.is_some());
    assert_eq!(talk.stop("a").status, 404);
}
