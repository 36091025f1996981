//! Calls that live on: with a third party, in a survey, after their task; and what must have ended by then.

use super::{START, Talk, order};
use twilio_simulator::world::{CallAction, Mode, NewTask, Request, Target, TaskRouterRequest};
use twilio_simulator::{Ms, SimConfig};

/// How long a stream may run after the service was told that nobody is entitled.
const LIMIT_MS: Ms = 3_000;

/// A call with a stream, from which the last agent has gone while the customer talks on with an outside number.
fn abandoned() -> Talk {
    let mut talk = Talk::begin(SimConfig::default());
    talk.create(order("a"));
    talk.happens(CallAction::ExternalJoins { guard: false });
    talk.world.advance(START).leaves(&talk.task, "alice").unwrap();
    talk
}

fn unentitled(talk: &mut Talk) -> usize {
    talk.world.advance(talk.now);
    talk.violations().iter().filter(|text| text.contains("with nobody entitled")).count()
}

#[test]
fn the_customer_talks_on_with_an_outside_number_while_the_task_wraps_up() {
    let mut talk = abandoned();
    assert_eq!(talk.events(), ["reservation.wrapup wrapping", "task.wrapup wrapping"]);
    assert_eq!((talk.call_status().as_str(), talk.participants()), ("in-progress", 2));
    talk.world.advance(START).completes(&talk.task, "alice").unwrap();
    assert_eq!(talk.call_status(), "in-progress");
    talk.world.advance(START).customer_hangs_up(&talk.task).unwrap();
    assert_eq!((talk.conference_status().as_str(), talk.participants()), ("completed", 0));
}

#[test]
fn behind_a_survey_the_customers_leg_lives_on_when_the_conference_ends() {
    let mut talk = Talk::begin(SimConfig { survey: true, ..SimConfig::default() });
    talk.create(order("a"));
    talk.world.advance(START).leaves(&talk.task, "alice").unwrap();
    assert_eq!((talk.conference_status().as_str(), talk.call_status().as_str()), ("completed", "in-progress"));
    assert_eq!(talk.world.snapshot(&talk.task).unwrap().streams.len(), 1, "its streams run on");
    talk.world.advance(START).customer_hangs_up(&talk.task).unwrap();
    assert_eq!(talk.call_status(), "completed");
}

#[test]
fn a_redirect_puts_the_survey_out_of_the_way() {
    let mut talk = Talk::begin(SimConfig { survey: true, ..SimConfig::default() });
    talk.update(Some(false), None);
    talk.redirect(&talk.rejoin(""));
    talk.wait(10);
    talk.world.leaves(&talk.task, "alice").unwrap();
    assert_eq!(talk.call_status(), "completed");
}

#[test]
fn the_customer_may_be_sent_to_a_survey_while_agents_talk() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.happens(CallAction::CustomerMovesOn);
    assert_eq!((talk.conference_status().as_str(), talk.call_status().as_str()), ("completed", "in-progress"));
    assert_eq!(talk.events(), ["reservation.wrapup wrapping", "task.wrapup wrapping"]);
}

#[test]
fn a_task_can_be_cancelled_or_deleted_while_its_call_lives() {
    for (action, told) in
        [(CallAction::TaskCanceled, "task.canceled canceled"), (CallAction::TaskDeleted, "task.deleted assigned")]
    {
        let mut talk = Talk::begin(SimConfig::default());
        talk.happens(action);
        assert_eq!(talk.events(), [told]);
        assert_eq!((talk.call_status().as_str(), talk.participants()), ("in-progress", 2));
        assert!(talk.world.happens(&talk.task, action).is_err(), "only once");
        let found =
            talk.perform(&Request::TaskRouter(TaskRouterRequest::FetchTask { task: talk.task.to_string() })).status;
        assert_eq!(found, if action == CallAction::TaskDeleted { 404 } else { 200 });
        talk.world.advance(START).leaves(&talk.task, "alice").unwrap();
        assert_eq!(talk.events(), Vec::<String>::new(), "nothing is told of a task that is over");
    }
}

#[test]
fn the_pending_offer_goes_with_a_cancelled_task() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.advance(START).transfers(&talk.task, "alice", &Target::Agent("bob".into()), Mode::Warm).unwrap();
    talk.events();
    talk.happens(CallAction::TaskCanceled);
    assert_eq!(talk.events(), ["reservation.canceled reserved", "task.canceled canceled"]);
    assert!(talk.world.advance(START).accepts(&talk.task, "bob").is_err());
}

#[test]
fn a_stream_that_runs_on_with_nobody_entitled_is_a_violation_once() {
    let mut talk = abandoned();
    talk.acknowledge();
    talk.wait(LIMIT_MS);
    assert_eq!(unentitled(&mut talk), 0);
    talk.wait(1);
    assert_eq!(unentitled(&mut talk), 1);
    talk.wait(60_000);
    assert_eq!(unentitled(&mut talk), 1);
}

#[test]
fn it_is_none_when_the_stream_stops_in_time_or_the_service_was_never_told() {
    let mut stopped = abandoned();
    stopped.acknowledge();
    stopped.wait(LIMIT_MS);
    stopped.stop("a");
    stopped.wait(60_000);
    assert_eq!(unentitled(&mut stopped), 0);
    let mut untold = abandoned();
    untold.wait(60_000);
    assert_eq!(unentitled(&mut untold), 0);
}

#[test]
fn a_task_that_is_cancelled_or_deleted_entitles_nobody() {
    for action in [CallAction::TaskCanceled, CallAction::TaskDeleted] {
        let mut talk = Talk::begin(SimConfig::default());
        talk.create(order("a"));
        talk.happens(action);
        talk.acknowledge();
        talk.wait(LIMIT_MS + 1);
        assert_eq!(unentitled(&mut talk), 1, "{action:?}");
    }
}

#[test]
fn an_agent_of_another_task_on_the_leg_is_entitled_all_the_same() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.create(order("a"));
    let second = talk.world.advance(START).comes(&NewTask::Parallel, Some(&talk.task)).unwrap();
    talk.world.accepts(&second, "bob").unwrap();
    talk.world.leaves(&talk.task, "alice").unwrap();
    talk.acknowledge();
    talk.wait(60_000);
    assert_eq!(unentitled(&mut talk), 0);
}

#[test]
fn a_stop_that_is_ignored_runs_on_and_excuses_the_delay() {
    let mut talk = abandoned();
    talk.acknowledge();
    talk.world.ignore_next_stops(1);
    let reply = talk.stop("a");
    assert_eq!((reply.status, &reply.body["status"]), (200, &"stopped".into()));
    assert_eq!(talk.world.snapshot(&talk.task).unwrap().streams.len(), 1, "it runs on");
    assert_eq!(talk.events(), Vec::<String>::new(), "and no callback tells otherwise");
    talk.wait(LIMIT_MS + 1);
    assert_eq!(unentitled(&mut talk), 0);
    assert_eq!(talk.stop("a").status, 200);
    assert_eq!(talk.world.snapshot(&talk.task).unwrap().streams.len(), 0);
}

#[test]
fn agents_whom_a_command_has_left_behind_are_a_violation_after_30_s() {
    let two = |lowered: bool| {
        let mut talk = Talk::begin(SimConfig::default());
        talk.world.advance(START).transfers(&talk.task, "alice", &Target::Agent("bob".into()), Mode::Warm).unwrap();
        talk.world.accepts(&talk.task, "bob").unwrap();
        talk.update(None, Some(false));
        if lowered {
            talk.update(Some(false), None);
        } else {
            talk.happens(CallAction::GuardWritten { raised: false });
        }
        talk.world.customer_hangs_up(&talk.task).unwrap();
        talk
    };
    let mut talk = two(true);
    talk.wait(30_000);
    assert_eq!(talk.violations(), Vec::<String>::new());
    talk.wait(1);
    assert!(talk.violations()[0].contains("left behind"), "{:?}", talk.violations());
    talk.wait(60_000);
    assert_eq!(talk.violations().len(), 1);
    let mut ended = two(true);
    let conference = ended.conference.to_string();
    assert_eq!(ended.perform(&Request::EndConference { conference }).status, 200);
    ended.wait(60_000);
    assert_eq!(ended.violations(), Vec::<String>::new());
    let mut by_flex = two(false);
    by_flex.wait(60_000);
    assert_eq!(by_flex.violations(), Vec::<String>::new());
}
