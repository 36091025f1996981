//! A second task on the same leg: one after the other, or at once.

use super::{START, Talk, order, told};
use serde_json::Value;
use twilio_simulator::SimConfig;
use twilio_simulator::world::{NewTask, StreamOrder};

#[test]
fn a_customer_who_is_queued_again_gets_a_conference_of_the_new_task() {
    let mut talk = Talk::begin(SimConfig { survey: true, ..SimConfig::default() });
    talk.world.advance(START).leaves(&talk.task, "alice").unwrap();
    talk.world.completes(&talk.task, "alice").unwrap();
    talk.events();
    let second = talk.world.comes(&NewTask::Requeued, Some(&talk.task)).unwrap();
    let created = talk.world.take_events().remove(0);
    assert_eq!(told(&created), "task.created pending");
    let attributes = created.form.iter().find(|(name, _)| name == "TaskAttributes").unwrap();
    let attributes: Value = serde_json::from_str(&attributes.1).unwrap();
    assert_eq!(attributes["call_sid"], talk.customer.as_str(), "the same leg");
    talk.world.accepts(&second, "alice").unwrap();
    assert_ne!(talk.world.conference(&second), Some(talk.conference.clone()));
    let snapshot = talk.world.snapshot(&second).unwrap();
    assert_eq!((snapshot.participants, snapshot.over), (2, false));
    assert_eq!(talk.world.snapshot(&talk.task), Some(snapshot), "both tasks show the one leg");
}

#[test]
fn a_customer_is_queued_again_out_of_a_running_conference() {
    let mut talk = Talk::begin(SimConfig::default());
    let second = talk.world.advance(START).comes(&NewTask::Requeued, Some(&talk.task)).unwrap();
    assert_eq!(talk.conference_status(), "completed");
    assert_eq!(talk.events()[..2], ["reservation.wrapup wrapping", "task.wrapup wrapping"]);
    talk.world.accepts(&second, "alice").unwrap();
    assert_eq!(talk.world.snapshot(&second).unwrap().participants, 2);
    talk.world.customer_hangs_up(&second).unwrap();
    assert_eq!(talk.call_status(), "completed");
}

#[test]
fn two_tasks_at_once_share_the_leg_and_its_conference() {
    let mut talk = Talk::begin(SimConfig::default());
    let second = talk.world.advance(START).comes(&NewTask::Parallel, Some(&talk.task)).unwrap();
    talk.world.accepts(&second, "bob").unwrap();
    assert_eq!(talk.world.conference(&second), Some(talk.conference.clone()));
    assert_eq!(talk.participants(), 3, "the customer is in it once");
    assert_eq!(talk.world.tasks_on_call(&talk.task), [second.clone(), talk.task.clone()]);
    talk.events();
    talk.world.customer_hangs_up(&second).unwrap();
    let events = talk.events();
    assert_eq!(events.iter().filter(|event| event.starts_with("reservation.wrapup")).count(), 2, "{events:?}");
}

#[test]
fn a_busy_agent_is_not_offered_the_second_task() {
    let mut talk = Talk::begin(SimConfig::default());
    let second = talk.world.advance(START).comes(&NewTask::Parallel, Some(&talk.task)).unwrap();
    assert!(talk.world.accepts(&second, "alice").is_err());
    talk.world.accepts(&second, "bob").unwrap();
}

#[test]
fn tracks_are_counted_per_leg_across_its_tasks() {
    let mut talk = Talk::begin(SimConfig { survey: true, ..SimConfig::default() });
    talk.create(order("a"));
    talk.world.leaves(&talk.task, "alice").unwrap();
    let second = talk.world.comes(&NewTask::Requeued, Some(&talk.task)).unwrap();
    talk.world.accepts(&second, "alice").unwrap();
    assert_eq!(talk.create(order("b")).status, 200);
    assert_eq!(talk.create(StreamOrder { track: None, ..order("c") }).status, 400);
    assert!(talk.violations()[0].contains("no track left"), "{:?}", talk.violations());
    assert_eq!(talk.stop("a").status, 200);
    assert_eq!(talk.create(order("c")).status, 200);
}
