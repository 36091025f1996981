//! Guard, hold, redirect and rejoin.

use super::{START, Talk, change, rejoin, start, world};
use twilio_simulator::SimConfig;
use twilio_simulator::world::{ListQuery, Mode, Note, Request, Target};

#[test]
fn the_customer_starts_with_a_raised_guard_and_not_held() {
    let mut talk = Talk::begin(SimConfig::default());
    let row = talk.row().unwrap();
    assert_eq!(row["end_conference_on_exit"], true);
    assert_eq!(row["hold"], false);
    assert_eq!(row["status"], "connected");
    assert_eq!(talk.conference_status(), "in-progress");
}

#[test]
fn a_guard_written_while_held_is_echoed_but_not_stored() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.update(None, Some(true));
    let echo = talk.update(Some(false), None);
    assert_eq!(echo.status, 200);
    assert_eq!(echo.body["end_conference_on_exit"], false);
    assert_eq!(talk.row().unwrap()["end_conference_on_exit"], true);
}

#[test]
fn hold_false_in_the_same_request_makes_the_guard_stick() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.update(None, Some(true));
    talk.update(Some(false), Some(false));
    let row = talk.row().unwrap();
    assert_eq!(row["end_conference_on_exit"], false);
    assert_eq!(row["hold"], false);
}

#[test]
fn the_guard_is_read_back_only_after_the_lag() {
    let mut talk = Talk::begin(SimConfig { guard_lag_ms: 100, ..SimConfig::default() });
    assert_eq!(talk.update(Some(false), None).body["end_conference_on_exit"], false);
    talk.wait(99);
    assert_eq!(talk.row().unwrap()["end_conference_on_exit"], true);
    talk.wait(1);
    assert_eq!(talk.row().unwrap()["end_conference_on_exit"], false);
}

#[test]
fn the_guard_of_a_connecting_participant_cannot_be_written() {
    let mut talk = Talk::begin(SimConfig { connecting_ms: 50, ..SimConfig::default() });
    assert_eq!(talk.row().unwrap()["status"], "connecting");
    assert_eq!(talk.update(Some(false), None).status, 400);
    talk.wait(50);
    assert_eq!(talk.update(Some(false), None).status, 200);
    assert_eq!(talk.row().unwrap()["end_conference_on_exit"], false);
}

#[test]
fn a_customer_may_join_long_after_the_accepting() {
    let mut talk = Talk::begin(SimConfig { customer_join_ms: 500, ..SimConfig::default() });
    assert_eq!(talk.row(), Err(404));
    assert_eq!(talk.conference_status(), "init");
    talk.wait(500);
    assert!(talk.row().is_ok());
    assert_eq!(talk.conference_status(), "in-progress");
}

#[test]
fn a_redirected_leg_is_absent_until_it_rejoins() {
    let mut talk = Talk::begin(SimConfig { rejoin_ms: 300, ..SimConfig::default() });
    talk.update(Some(false), None);
    assert_eq!(talk.redirect(&talk.rejoin("")).status, 200);
    assert_eq!(talk.row(), Err(404));
    assert_eq!(talk.participants(), 1);
    talk.wait(299);
    assert_eq!(talk.row(), Err(404));
    talk.wait(1);
    assert_eq!(talk.row().unwrap()["end_conference_on_exit"], true);
    assert_eq!(talk.world.report(&talk.task).unwrap().outside_ms, 300);
    assert_eq!(talk.violations(), Vec::<String>::new());
}

#[test]
fn a_rejoin_makes_a_younger_row() {
    let mut talk = Talk::begin(SimConfig { rejoin_ms: 1_000, ..SimConfig::default() });
    let before = talk.row().unwrap()["date_created"].clone();
    assert_eq!(before, "Thu, 09 Oct 2025 08:53:20 +0000");
    talk.update(Some(false), None);
    talk.redirect(&talk.rejoin(""));
    talk.wait(1_000);
    assert_eq!(talk.row().unwrap()["date_created"], "Thu, 09 Oct 2025 08:53:21 +0000");
}

#[test]
fn a_rejoin_loses_the_hold() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.update(Some(false), None);
    talk.update(None, Some(true));
    assert_eq!(talk.row().unwrap()["hold"], true);
    talk.redirect(&talk.rejoin(""));
    talk.wait(10);
    assert_eq!(talk.row().unwrap()["hold"], false);
}

#[test]
fn a_redirect_with_a_raised_guard_ends_the_conference_and_is_a_violation() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.redirect(&talk.rejoin(""));
    assert_eq!(talk.conference_status(), "completed");
    assert_eq!(talk.participants(), 0);
    assert!(talk.violations()[0].contains("redirected while the guard was raised"), "{:?}", talk.violations());
}

#[test]
fn a_lowered_guard_that_has_not_taken_effect_yet_does_not_save_the_conference() {
    let mut talk = Talk::begin(SimConfig { guard_lag_ms: 100, ..SimConfig::default() });
    talk.update(Some(false), None);
    talk.wait(50);
    talk.redirect(&talk.rejoin(""));
    assert_eq!(talk.conference_status(), "completed");
    assert_eq!(talk.violations().len(), 1);
}

#[test]
fn a_rejoin_after_the_end_makes_a_new_conference_and_is_a_violation() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.redirect(&talk.rejoin(""));
    talk.wait(10);
    let filters = vec![("FriendlyName".to_owned(), talk.task.to_string())];
    let query = ListQuery { filters, ..ListQuery::default() };
    let found = talk.perform(&Request::FindConferences { query });
    let rows = found.body["conferences"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 2);
    assert!(talk.violations()[1].contains("rejoined into a new conference"), "{:?}", talk.violations());
    assert_eq!(talk.call_status(), "in-progress");
    talk.wait(SimConfig::default().patience_ms);
    assert_eq!(talk.call_status(), "completed");
}

#[test]
fn a_redirect_of_the_only_participant_ends_the_conference_and_is_a_violation() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.update(Some(false), None);
    talk.world.advance(START).transfers(&talk.task, "alice", &Target::Agent("bob".into()), Mode::Cold).unwrap();
    assert_eq!(talk.participants(), 1);
    assert_eq!(talk.conference_status(), "in-progress");
    talk.redirect(&talk.rejoin(""));
    assert!(talk.violations()[0].contains("redirected while alone"), "{:?}", talk.violations());
}

#[test]
fn a_conference_that_others_end_meanwhile_is_bad_luck_and_not_a_violation() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.update(Some(false), None);
    talk.redirect(&talk.rejoin(""));
    talk.world.advance(START).leaves(&talk.task, "alice").unwrap();
    assert_eq!(talk.conference_status(), "completed");
    talk.wait(10);
    assert_eq!(talk.violations(), Vec::<String>::new());
    assert!(matches!(talk.world.notes(), [Note::Stranded { .. }]));
}

#[test]
fn the_workers_guard_is_raised_while_two_or_fewer_are_in() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.update(Some(false), None);
    talk.world.advance(START).transfers(&talk.task, "alice", &Target::Agent("bob".into()), Mode::Warm).unwrap();
    talk.world.advance(START).accepts(&talk.task, "bob").unwrap();
    let guards = |talk: &mut Talk| {
        let conference = talk.conference.to_string();
        let rows =
            talk.perform(&Request::ListParticipants { conference, query: ListQuery::default() }).body["participants"]
                .clone();
        let customer = talk.customer.to_string();
        let rows = rows.as_array().unwrap().clone();
        rows.into_iter()
            .filter(|row| row["call_sid"] != customer)
            .map(|row| row["end_conference_on_exit"] == true)
            .collect::<Vec<_>>()
    };
    assert_eq!(guards(&mut talk), [false, false]);
    talk.update(None, Some(false));
    talk.redirect(&talk.rejoin(""));
    assert_eq!(guards(&mut talk), [true, true]);
    talk.wait(10);
    assert_eq!(guards(&mut talk), [false, false]);
}

#[test]
fn the_last_agents_leaving_ends_the_call() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.world.advance(START).leaves(&talk.task, "alice").unwrap();
    assert_eq!(talk.conference_status(), "completed");
    assert_eq!(talk.call_status(), "completed");
    assert_eq!(talk.participants(), 0);
    let refused = talk.redirect(&talk.rejoin(""));
    assert_eq!((refused.status, &refused.body["code"]), (400, &21220.into()));
    assert_eq!(talk.violations(), Vec::<String>::new());
}

#[test]
fn a_customer_who_hangs_up_with_a_lowered_guard_leaves_the_agent_behind() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.update(Some(false), None);
    talk.world.advance(START).customer_hangs_up(&talk.task).unwrap();
    assert_eq!(talk.conference_status(), "in-progress");
    assert!(matches!(talk.world.notes(), [Note::LeftBehind { .. }]));
    talk.world.advance(START).leaves(&talk.task, "alice").unwrap();
    assert_eq!(talk.conference_status(), "completed");
}

#[test]
fn a_rejoin_without_beep_false_is_a_violation() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.update(Some(false), None);
    talk.redirect(&format!("<Response><Dial><Conference>{}</Conference></Dial></Response>", talk.task));
    assert!(talk.violations()[0].contains("beep"), "{:?}", talk.violations());
}

#[test]
fn a_rejoin_into_another_room_is_a_violation() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.update(Some(false), None);
    talk.redirect(&rejoin("", "another-room"));
    talk.wait(10);
    assert!(talk.violations().iter().any(|text| text.contains("new conference")), "{:?}", talk.violations());
}

#[test]
fn twiml_that_leads_nowhere_drops_the_customer() {
    let mut talk = Talk::begin(SimConfig::default());
    talk.redirect(&format!("<Response>{}</Response>", start("a")));
    assert_eq!(talk.call_status(), "completed");
    assert!(talk.violations().iter().any(|text| text.contains("dropped")), "{:?}", talk.violations());
}

#[test]
fn touching_a_workers_leg_is_a_violation_each_time() {
    let mut talk = Talk::begin(SimConfig::default());
    let call = talk.world.worker_leg(&talk.task, "alice").unwrap().to_string();
    let conference = talk.conference.to_string();
    talk.perform(&Request::UpdateParticipant { conference, call: call.clone(), change: change(Some(false), None) });
    talk.perform(&Request::EndCall { call });
    assert_eq!(talk.violations().iter().filter(|text| text.contains("worker's leg")).count(), 2);
}

#[test]
fn a_command_after_the_known_end_is_a_violation_once_the_grace_is_over() {
    let mut talk = Talk::begin(SimConfig { over_grace_ms: 1_000, ..SimConfig::default() });
    talk.world.advance(START).leaves(&talk.task, "alice").unwrap();
    let wrapup = talk.world.take_events().into_iter().find(|event| event.event_type == "reservation.wrapup").unwrap();
    talk.wait(5_000);
    talk.update(Some(false), None);
    assert_eq!(talk.violations(), Vec::<String>::new(), "the worker has not been told");
    talk.world.advance(talk.now).acknowledged(&wrapup.sid);
    talk.wait(1_000);
    talk.update(Some(false), None);
    assert_eq!(talk.violations(), Vec::<String>::new(), "it may have been on its way");
    talk.wait(1);
    talk.update(Some(false), None);
    assert_eq!(talk.violations().len(), 1);
    talk.stop("anything");
    assert_eq!(talk.violations().len(), 1, "a stop never hurts");
}

#[test]
fn the_same_seed_gives_the_same_sids_and_another_seed_others() {
    let customer = |seed| {
        let mut world = world(SimConfig { seed, ..SimConfig::default() });
        world.advance(START).customer_calls()
    };
    assert_eq!(customer(1), customer(1));
    assert_ne!(customer(1), customer(2));
}
