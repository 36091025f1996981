//! Who else may be on the phone: outside numbers, supervisors, colleagues; and tasks that have no call at all.

use super::{START, Talk, rejoin, told, world};
use serde_json::Value;
use twilio_simulator::SimConfig;
use twilio_simulator::world::{CallAction, CallLess, Event, ListQuery, NewTask, Request, TwimlSource, World};

const JOINS: CallAction = CallAction::ExternalJoins { guard: false };

fn attributes(event: &Event) -> Value {
    let text = event.form.iter().find(|(name, _)| name == "TaskAttributes").unwrap();
    serde_json::from_str(&text.1).unwrap()
}

fn call(world: &mut World, sid: &str) -> Value {
    world.perform(&Request::FetchCall { call: sid.to_owned() }, "/some/path").body
}

fn row_with(rows: &[Value], label: &str) -> Value {
    rows.iter().find(|row| row["label"] == label).unwrap().clone()
}

#[test]
fn an_outside_number_joins_with_a_label_a_leg_of_its_own_and_its_guard_as_given() {
    for guard in [false, true] {
        let mut talk = Talk::begin(SimConfig::default());
        talk.happens(CallAction::ExternalJoins { guard });
        let row = row_with(&talk.rows(), "external");
        assert_eq!((&row["end_conference_on_exit"], &row["coaching"]), (&guard.into(), &false.into()));
        let leg = call(&mut talk.world, row["call_sid"].as_str().unwrap());
        assert_eq!((&leg["direction"], &leg["to"]), (&"outbound-api".into(), &"+15550100031".into()));
        talk.happens(CallAction::ExternalLeaves);
        assert_eq!(talk.conference_status(), if guard { "completed" } else { "in-progress" });
        assert!(talk.world.happens(&talk.task, CallAction::ExternalLeaves).is_err(), "nobody is left to leave");
    }
}

#[test]
fn every_leg_says_who_calls_whom() {
    let mut talk = Talk::begin(SimConfig::default());
    let (customer, worker) = (talk.customer.to_string(), talk.world.worker_leg(&talk.task, "alice").unwrap());
    let customer = call(&mut talk.world, &customer);
    assert_eq!((&customer["direction"], &customer["from"]), (&"inbound".into(), &"+15550100002".into()));
    let worker = call(&mut talk.world, worker.as_str());
    assert_eq!((&worker["direction"], &worker["to"]), (&"outbound-api".into(), &"client:alice".into()));
    let mut in_app = Talk::begin(SimConfig { customer_address: "client:guest".to_owned(), ..SimConfig::default() });
    let customer = in_app.customer.to_string();
    assert_eq!(call(&mut in_app.world, &customer)["from"], "client:guest");
}

#[test]
fn a_supervisor_coaches_the_agent_and_does_not_count_for_the_agents_guard() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.happens(CallAction::SupervisorJoins);
    let row = row_with(&talk.rows(), "supervisor");
    let alice = talk.world.worker_leg(&talk.task, "alice").unwrap();
    assert_eq!((&row["coaching"], &row["call_sid_to_coach"]), (&true.into(), &alice.as_str().into()));
    talk.world.advance(START).leaves(&talk.task, "alice").unwrap();
    assert_eq!(talk.conference_status(), "completed");
}

#[test]
fn a_command_on_any_other_leg_than_the_customers_is_a_violation() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.happens(JOINS);
    talk.happens(CallAction::SupervisorJoins);
    for (label, whose) in [("external", "an outside number's leg"), ("supervisor", "a supervisor's leg")] {
        let call = row_with(&talk.rows(), label)["call_sid"].as_str().unwrap().to_owned();
        talk.perform(&Request::StopStream { call: call.clone(), stream: "x".to_owned() });
        let twiml = rejoin("", talk.task.as_str());
        talk.perform(&Request::RedirectCall { call, source: TwimlSource::Inline(twiml) });
        let told = talk.violations();
        assert_eq!(told.iter().filter(|text| text.contains(whose)).count(), 2, "{told:?}");
    }
}

#[test]
fn others_ring_before_they_are_connected() {
    let mut talk = Talk::begin(SimConfig { ringing_ms: 300, ..SimConfig::default() });
    talk.happens(JOINS);
    let row = row_with(&talk.rows(), "external");
    let sid = row["call_sid"].as_str().unwrap();
    assert_eq!((&row["status"], &call(&mut talk.world, sid)["status"]), (&"ringing".into(), &"ringing".into()));
    talk.wait(300);
    assert_eq!(row_with(&talk.rows(), "external")["status"], "connected");
    assert_eq!(call(&mut talk.world, sid)["status"], "in-progress");
}

#[test]
fn an_outbound_customer_rings_in_the_conference_and_is_named_by_the_attributes_once_answered() {
    let mut world = world(SimConfig { outbound_rings: true, ..SimConfig::default() });
    let task = world.advance(START).calls_out("alice").unwrap();
    let customer = world.report(&task).unwrap().customer.unwrap();
    let conference = world.conference(&task).unwrap().to_string();
    let row = |world: &mut World| {
        let request = Request::FetchParticipant { conference: conference.clone(), call: customer.to_string() };
        world.perform(&request, "/some/path").body
    };
    assert_eq!(row(&mut world)["status"], "ringing");
    assert_eq!(call(&mut world, customer.as_str())["to"], "+15550100009");
    world.take_events();
    world.customer_answers(&task).unwrap();
    assert_eq!(row(&mut world)["status"], "connected");
    let event = world.take_events().remove(0);
    assert_eq!(attributes(&event)["conference"]["participants"]["customer"], customer.as_str());
    assert!(world.customer_answers(&task).is_err(), "only once");
}

#[test]
fn a_recorder_writes_the_workers_leg_as_call_sid() {
    let mut world = world(SimConfig { recorder_attributes: true, ..SimConfig::default() });
    let task = world.advance(START).calls_out("alice").unwrap();
    let accepted = world.take_events().pop().unwrap();
    let worker = world.worker_leg(&task, "alice").unwrap();
    assert_eq!(attributes(&accepted)["call_sid"], worker.as_str());
    assert_eq!(attributes(&accepted)["conference"]["participants"]["customer"], Value::Null);
}

#[test]
fn an_agent_calls_an_agent_and_there_is_no_customer() {
    let mut world = world(SimConfig::default());
    let new = NewTask::Internal { from: "alice".to_owned(), to: "bob".to_owned() };
    let task = world.advance(START).comes(&new, None).unwrap();
    let accepted = world.take_events().pop().unwrap();
    let attributes = attributes(&accepted);
    assert_eq!((&attributes["client_call"], &attributes["to"]), (&true.into(), &"client:bob".into()));
    let caller = world.worker_leg(&task, "alice").unwrap();
    assert_eq!(attributes["worker_call_sid"], caller.as_str());
    let conference = world.conference(&task).unwrap().to_string();
    let rows = world.perform(&Request::ListParticipants { conference, query: ListQuery::default() }, "/some/path").body
        ["participants"]
        .clone();
    let callee = rows.as_array().unwrap().iter().find(|row| row["call_sid"] != caller.as_str()).unwrap();
    assert_eq!(call(&mut world, callee["call_sid"].as_str().unwrap())["to"], "client:bob");
    assert!(world.report(&task).unwrap().customer.is_none());
}

#[test]
fn a_task_without_a_call_is_accepted_and_completed_like_any_other() {
    for (kind, name) in
        [(CallLess::Callback, "callback"), (CallLess::Voicemail, "voicemail"), (CallLess::Internal, "internal")]
    {
        let mut world = world(SimConfig::default());
        let task = world.advance(START).comes(&NewTask::CallLess(kind), None).unwrap();
        world.accepts(&task, "alice").unwrap();
        world.leaves(&task, "alice").unwrap();
        world.completes(&task, "alice").unwrap();
        let events = world.take_events();
        assert_eq!(attributes(&events[0])["taskType"], name);
        assert!(!events.iter().any(|event| attributes(event).to_string().contains("CA")));
        assert_eq!(told(events.last().unwrap()), "task.completed completed");
        assert_eq!(world.conference(&task), None);
    }
}

#[test]
fn flex_writes_the_customers_guard() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.happens(CallAction::GuardWritten { raised: false });
    assert_eq!(talk.row().unwrap()["end_conference_on_exit"], false);
    talk.happens(CallAction::GuardWritten { raised: true });
    assert_eq!(talk.row().unwrap()["end_conference_on_exit"], true);
}
