//! What TaskRouter tells, in which order, and with which task status.

use super::{START, Talk, told, world};
use serde_json::Value;
use twilio_simulator::SimConfig;
use twilio_simulator::world::{Event, Mode, Target};

fn bob() -> Target {
    Target::Agent("bob".to_owned())
}

fn get<'a>(event: &'a Event, name: &str) -> &'a str {
    event.form.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
}

#[test]
fn a_first_accept_is_told_in_three_events_that_name_the_call() {
    let mut world = world(SimConfig::default());
    let task = world.customer_calls(START);
    world.accepts(&task, "alice", START).unwrap();
    let events = world.take_events();
    let told: Vec<_> = events.iter().map(told).collect();
    assert_eq!(told, ["task.created pending", "reservation.created reserved", "reservation.accepted assigned"]);
    let accepted = &events[2];
    let attributes: Value = serde_json::from_str(get(accepted, "TaskAttributes")).unwrap();
    let customer = world.report(&task).unwrap().customer.unwrap().to_string();
    assert_eq!(attributes["call_sid"], customer);
    assert_eq!(attributes["conference"]["participants"]["customer"], customer);
    assert_eq!(attributes["conference"]["sid"], world.conference(&task).unwrap().as_str());
    assert_eq!(get(accepted, "WorkerName"), "alice");
    assert_eq!(get(accepted, "ResourceSid"), get(accepted, "ReservationSid"));
}

#[test]
fn events_of_one_moment_have_distinct_sids_and_growing_times() {
    let mut world = world(SimConfig::default());
    world.customer_calls(START);
    let events = world.take_events();
    assert_ne!(events[0].sid, events[1].sid);
    assert!(get(&events[0], "TimestampMs") < get(&events[1], "TimestampMs"));
}

#[test]
fn warm_the_transferor_wraps_up_as_assigned_and_the_last_agent_as_wrapping() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.transfers(&talk.task, "alice", &bob(), Mode::Warm, START).unwrap();
    assert_eq!(talk.row().unwrap()["hold"], true);
    talk.world.accepts(&talk.task, "bob", START).unwrap();
    assert_eq!(talk.row().unwrap()["hold"], true);
    assert_eq!(talk.participants(), 3);
    talk.world.unholds(&talk.task, "alice", START).unwrap();
    talk.world.leaves(&talk.task, "alice", START).unwrap();
    talk.world.completes(&talk.task, "alice", START).unwrap();
    assert_eq!(talk.conference_status(), "in-progress");
    talk.world.leaves(&talk.task, "bob", START).unwrap();
    talk.world.completes(&talk.task, "bob", START).unwrap();
    assert_eq!(
        talk.events(),
        [
            "task.transfer-initiated assigned",
            "reservation.created reserved",
            "reservation.accepted assigned",
            "task.transfer-completed assigned",
            "reservation.wrapup assigned",
            "reservation.completed assigned",
            "reservation.wrapup wrapping",
            "task.wrapup wrapping",
            "reservation.completed completed",
            "task.completed completed",
        ]
    );
}

#[test]
fn cold_the_transferor_wraps_up_as_reserved_before_anybody_accepts() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.transfers(&talk.task, "alice", &bob(), Mode::Cold, START).unwrap();
    assert_eq!(
        talk.events(),
        ["task.transfer-initiated assigned", "reservation.created reserved", "reservation.wrapup reserved"]
    );
    assert_eq!(talk.participants(), 1);
    assert_eq!(talk.row().unwrap()["hold"], true);
    talk.world.accepts(&talk.task, "bob", START).unwrap();
    assert_eq!(talk.row().unwrap()["hold"], true);
    talk.wait(SimConfig::default().cold_unhold_ms);
    assert_eq!(talk.row().unwrap()["hold"], false);
    assert_eq!(talk.events(), ["reservation.accepted assigned", "task.transfer-completed assigned"]);
}

#[test]
fn a_transfer_keeps_the_task_and_the_conference_and_makes_a_new_reservation() {
    let mut talk = Talk::begin(SimConfig::default());
    let before = talk.conference.clone();
    talk.world.transfers(&talk.task, "alice", &bob(), Mode::Warm, START).unwrap();
    talk.world.accepts(&talk.task, "bob", START).unwrap();
    talk.world.leaves(&talk.task, "alice", START).unwrap();
    talk.world.transfers(&talk.task, "bob", &Target::Agent("alice".into()), Mode::Warm, START).unwrap();
    talk.world.accepts(&talk.task, "alice", START).unwrap();
    let events = talk.world.take_events();
    let accepted: Vec<_> = events.iter().filter(|event| event.event_type == "reservation.accepted").collect();
    assert_eq!(get(accepted[0], "TaskSid"), get(accepted[1], "TaskSid"));
    assert_ne!(get(accepted[0], "ReservationSid"), get(accepted[1], "ReservationSid"));
    assert_eq!(talk.world.conference(&talk.task).unwrap(), before);
}

#[test]
fn a_rejected_timed_out_or_unreachable_transferee_fails_the_transfer() {
    for (how, status) in [("rejected", "rejects"), ("timeout", "times out"), ("canceled", "cannot be reached")] {
        let mut talk = Talk::begin(SimConfig::default());
        talk.world.transfers(&talk.task, "alice", &bob(), Mode::Warm, START).unwrap();
        talk.events();
        match status {
            "rejects" => talk.world.rejects(&talk.task, "bob", START),
            "times out" => talk.world.times_out(&talk.task, "bob", START),
            _ => talk.world.cannot_be_reached(&talk.task, "bob", START),
        }
        .unwrap();
        assert_eq!(talk.events(), [format!("reservation.{how} assigned"), "task.transfer-failed assigned".to_owned()]);
    }
}

#[test]
fn a_cold_transfer_that_times_out_leaves_the_customer_alone_and_held() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.transfers(&talk.task, "alice", &bob(), Mode::Cold, START).unwrap();
    talk.events();
    talk.world.times_out(&talk.task, "bob", START).unwrap();
    assert_eq!(talk.events(), ["reservation.timeout pending", "task.transfer-failed pending"]);
    assert_eq!((talk.participants(), talk.conference_status().as_str()), (1, "in-progress"));
}

#[test]
fn a_queue_asks_the_next_agent_after_a_reject_and_fails_when_nobody_is_left() {
    let mut talk = Talk::begin(SimConfig::default());
    let queue = Target::Queue(vec!["bob".to_owned(), "carol".to_owned()]);
    talk.world.transfers(&talk.task, "alice", &queue, Mode::Warm, START).unwrap();
    talk.events();
    talk.world.rejects(&talk.task, "bob", START).unwrap();
    let asked =
        ["reservation.rejected pending", "task.transfer-attempt-failed pending", "reservation.created reserved"];
    assert_eq!(talk.events(), asked);
    talk.world.rejects(&talk.task, "carol", START).unwrap();
    let failed =
        ["reservation.rejected pending", "task.transfer-attempt-failed pending", "task.transfer-failed assigned"];
    assert_eq!(talk.events(), failed);
}

#[test]
fn a_transfer_called_off_cancels_the_offer_and_a_second_one_may_follow() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.transfers(&talk.task, "alice", &bob(), Mode::Warm, START).unwrap();
    assert!(talk.world.transfers(&talk.task, "alice", &bob(), Mode::Warm, START).is_err());
    talk.events();
    talk.world.cancels_transfer(&talk.task, "alice", START).unwrap();
    assert_eq!(talk.events(), ["reservation.canceled assigned", "task.transfer-canceled assigned"]);
    talk.world.transfers(&talk.task, "alice", &bob(), Mode::Warm, START).unwrap();
}

#[test]
fn transfer_events_name_the_transfer_and_no_worker() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.transfers(&talk.task, "alice", &bob(), Mode::Warm, START).unwrap();
    let event = talk.world.take_events().remove(0);
    assert_eq!((get(&event, "ResourceType"), get(&event, "TransferMode")), ("transfer", "WARM"));
    assert!(get(&event, "ResourceSid").starts_with("TT"));
    assert!(get(&event, "TransferInitiatingReservationSid").starts_with("WR"));
    assert_eq!(get(&event, "WorkerSid"), "");
}

#[test]
fn when_the_customer_hangs_up_on_two_agents_only_the_last_wraps_up_as_wrapping() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.transfers(&talk.task, "alice", &bob(), Mode::Warm, START).unwrap();
    talk.world.accepts(&talk.task, "bob", START).unwrap();
    talk.events();
    talk.world.customer_hangs_up(&talk.task, START).unwrap();
    assert_eq!(talk.events(), ["reservation.wrapup assigned", "reservation.wrapup wrapping", "task.wrapup wrapping"]);
}

#[test]
fn when_the_customer_hangs_up_the_pending_offer_is_cancelled() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.transfers(&talk.task, "alice", &bob(), Mode::Warm, START).unwrap();
    talk.events();
    talk.world.customer_hangs_up(&talk.task, START).unwrap();
    let events = talk.events();
    assert!(events[0].starts_with("reservation.canceled"), "{events:?}");
    assert!(talk.world.accepts(&talk.task, "bob", START).is_err());
}

#[test]
fn late_conference_attributes_are_told_by_an_update() {
    let mut world = world(SimConfig { conference_attributes_ms: 200, ..SimConfig::default() });
    let task = world.customer_calls(START);
    world.accepts(&task, "alice", START).unwrap();
    let accepted = world.take_events().remove(2);
    assert!(!get(&accepted, "TaskAttributes").contains("conference"));
    world.advance(START + 200);
    let events = world.take_events();
    assert_eq!(told(&events[0]), "task.updated assigned");
    assert!(get(&events[0], "TaskAttributes").contains("conference"));
}

#[test]
fn an_outbound_task_names_no_call_until_the_customer_answers() {
    let mut world = world(SimConfig::default());
    let task = world.calls_out("alice", START).unwrap();
    let before = world.take_events();
    assert!(before.iter().all(|event| !get(event, "TaskAttributes").contains("CA")));
    assert!(before.iter().all(|event| get(event, "TaskAttributes").contains("outbound")));
    world.customer_answers(&task, START).unwrap();
    let after = world.take_events();
    assert_eq!(told(&after[0]), "task.updated assigned");
    assert!(get(&after[0], "TaskAttributes").contains("CA"));
}

#[test]
fn a_verb_at_the_wrong_moment_is_impossible_and_says_why() {
    let mut talk = Talk::begin(SimConfig::default());
    let error = talk.world.accepts(&talk.task, "bob", START).unwrap_err();
    assert_eq!(error.to_string(), "bob has no reservation that is pending");
    assert!(
        talk.world.accepts(&talk.task, "nobody", START).unwrap_err().to_string().contains("no agent called nobody")
    );
}
