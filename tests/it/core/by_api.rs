//! Streams by their own resource, and the ledger of streams, which both strategies keep.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test cares about one operation and leaves the others alike")]

use super::story::*;
use taskrouter_streams::call::fact::{FactKind, Parked, ReservationChange, StreamChange, TaskStatus};
use taskrouter_streams::call::ledger::StreamState;
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::rules::{Condition, Destination, Piece, Rule, Template};
use taskrouter_streams::call::step::{Answer, Change, Operation, Outcome, Step};
use taskrouter_streams::call::{Next, Policy};

fn by_api() -> Story {
    let mut story = Story::new();
    story.policy.strategy = Strategy::StreamsApi;
    story
}

fn confirming(policy: &mut Policy) {
    policy.destinations.iter_mut().for_each(|destination| destination.confirms = true);
}

fn told(name: &str, stream: u32, change: StreamChange) -> FactKind {
    stream_event(START, name, stream, change)
}

fn created(step: &Step) -> &str {
    match &step.operation {
        Operation::CreateStream { stream, .. } => &stream.name,
        other => panic!("not a create: {other:?}"),
    }
}

/// A create whose answer is not known.
fn lost() -> (Story, Step) {
    let mut story = by_api();
    story.accepted(1, 1);
    let create = story.step();
    story.begin(&create);
    (story, create)
}

#[test]
fn a_stream_is_started_by_one_request_with_nothing_asked_before() {
    let mut story = by_api();
    story.accepted(1, 1);
    assert_eq!(story.run(), ["create stream"]);
    assert_eq!(story.live(), [name(1, 1)]);
}

#[test]
fn guard_and_hold_are_never_touched_through_a_whole_transfer() {
    let mut story = by_api();
    story.world.customer.hold = Some(true);
    story.accepted(1, 1);
    story.run();
    story.transfer(taskrouter_streams::call::fact::TransferChange::Initiated, 1);
    assert_eq!(story.run(), Vec::<String>::new());
    story.accepted(2, 2);
    assert_eq!(story.run(), ["create stream"]);
    story.left(1, 1);
    assert_eq!(story.run(), ["stop stream"]);
    assert_eq!(story.live(), [name(2, 2)]);
}

#[test]
fn a_cold_transferor_is_stopped_at_once_also_when_nobody_is_with_the_customer() {
    let mut story = by_api();
    story.accepted(1, 1);
    story.run();
    story.world.agents = 0;
    story.left(1, 1);
    assert_eq!(story.run(), ["stop stream"]);
}

#[test]
fn a_running_stream_is_stopped_by_its_sid_and_one_without_by_its_name() {
    for known in [true, false] {
        let mut story = by_api();
        story.accepted(1, 1);
        let create = story.step();
        story.begin(&create);
        story.settle(create, Outcome::Done(Answer::Stream(known.then(|| sid("MZ", 7)))));
        story.left(1, 1);
        match story.step().operation {
            Operation::StopStream { name: stopped, sid, .. } => {
                assert_eq!((stopped, sid.is_some()), (name(1, 1), known));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_lost_create_is_never_repeated_but_believed_when_its_status_callback_comes() {
    for before_the_loss_is_known in [true, false] {
        let (mut story, create) = lost();
        if before_the_loss_is_known {
            story.learn(told(&name(1, 1), 7, StreamChange::Started));
            story.settle(create, Outcome::Unknown(trouble(None)));
        } else {
            story.settle(create, Outcome::Unknown(trouble(None)));
            story.learn(told(&name(1, 1), 7, StreamChange::Started));
        }
        assert_eq!(story.run(), Vec::<String>::new());
        assert_eq!(story.live(), [name(1, 1)]);
        assert_eq!(story.call.streams()[0].state, StreamState::Confirmed);
    }
}

#[test]
fn a_lost_create_without_a_word_is_stopped_by_name_and_made_under_the_next_name() {
    for crashed in [true, false] {
        let (mut story, create) = lost();
        let begun = story.now;
        if !crashed {
            story.settle(create, Outcome::Unknown(trouble(Some(503))));
        }
        let stop = story.step();
        assert!(story.now - begun >= story.policy.doubt_ms, "it was waited for");
        assert!(matches!(&stop.operation, Operation::StopStream { name: stopped, .. } if *stopped == name(1, 1)));
        story.settle(stop, Outcome::Gone);
        let create = story.step();
        assert_eq!(created(&create), format!("{}_2", name(1, 1)));
        story.perform(create);
        assert_eq!(story.live(), [format!("{}_2", name(1, 1))]);
    }
}

#[test]
fn a_create_that_was_given_up_unseen_and_starts_after_all_is_an_orphan_and_stopped() {
    let (mut story, _) = lost();
    let stop = story.step();
    story.settle(stop, Outcome::Gone);
    story.run();
    story.learn(told(&name(1, 1), 7, StreamChange::Started));
    let stop = story.step();
    assert_eq!(stop.why, [Change::Orphan(name(1, 1))]);
    story.perform(stop);
    assert_eq!(story.live(), [format!("{}_2", name(1, 1))]);
}

#[test]
fn a_create_that_twilio_did_not_take_is_repeated_under_the_same_name() {
    let (mut story, create) = lost();
    story.settle(create, Outcome::TryLater(trouble(Some(429))));
    assert_eq!(created(&story.step()), name(1, 1));
}

#[test]
fn a_create_on_a_call_that_is_over_ends_the_call_unless_we_placed_it() {
    let (mut story, create) = lost();
    story.settle(create, Outcome::Gone);
    assert_eq!(story.next(), Next::Over);
}

#[test]
fn the_customer_of_a_call_that_we_placed_may_take_a_minute() {
    let mut story = by_api();
    story.policy.outbound = true;
    let mut view = view(TaskStatus::Assigned, 1);
    view.attributes.outbound = true;
    view.attributes.customer = None;
    view.attributes.worker_leg = Some(sid("CA", 100));
    story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, view));
    story.world.customer.connected = false;
    story.world.agents = 1;
    // Nobody but the agent is there for 50 s.
    let until = story.now + 50_000;
    while story.now < until {
        match story.next() {
            Next::Do(step) => {
                assert!(matches!(step.operation, Operation::ReadParticipants { .. }), "{step:?}");
                let agent = story.world.rows().into_iter().filter(|row| row.call == sid("CA", 100)).collect();
                story.settle(step, Outcome::Done(Answer::Participants(agent)));
            }
            Next::WaitUntil(at) => story.now = at,
            next => panic!("{next:?}"),
        }
    }
    story.world.customer.connected = true;
    story.run();
    assert_eq!(story.live(), [name(1, 1)]);
    assert_eq!(story.call.customer(), Some(&customer()));
}

#[test]
fn what_was_given_up_for_want_of_the_customers_leg_is_due_again_when_an_event_names_it() {
    let mut story = by_api();
    story.policy.outbound = true;
    let mut unknown = view(TaskStatus::Assigned, 1);
    unknown.attributes.outbound = true;
    unknown.attributes.customer = None;
    unknown.attributes.conference = None;
    story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, unknown.clone()));
    let mut asked = 0;
    loop {
        match story.next() {
            Next::Do(step) => {
                asked += 1;
                story.settle(step, Outcome::Done(Answer::Task(unknown.attributes.clone())));
            }
            Next::WaitUntil(at) => story.now = at,
            Next::Park(parked) => {
                story.learn(FactKind::Parked(parked));
                break;
            }
            next => panic!("{next:?}"),
        }
    }
    assert!(asked < 25, "{asked} times in a minute");
    let mut known = view(TaskStatus::Assigned, 2);
    known.attributes.outbound = true;
    story.learn(reservation_event(START, ReservationChange::Created, 2, 2, known));
    assert_eq!(story.next(), Next::Report(FactKind::Unparked), "whoever lists what is parked learns of it");
    assert_eq!(story.run(), ["create stream"]);
}

#[test]
fn a_stream_that_is_not_confirmed_in_time_is_reported_once() {
    let mut story = by_api();
    confirming(&mut story.policy);
    story.accepted(1, 1);
    let create = story.step();
    story.perform(create);
    let Next::WaitUntil(at) = story.next() else { panic!("{:?}", story.next()) };
    assert_eq!(at, story.now + story.policy.confirm_ms);
    story.now = at;
    let report = Next::Report(FactKind::Unconfirmed { name: name(1, 1) });
    assert_eq!(story.next(), report);
    story.learn(FactKind::Unconfirmed { name: name(1, 1) });
    assert!(story.rests());
    story.learn(told(&name(1, 1), 1, StreamChange::Started));
    assert_eq!(story.call.streams()[0].state, StreamState::Confirmed);
}

#[test]
fn a_failed_stream_is_started_again_under_a_new_name_a_few_times_and_then_parked() {
    for strategy in [Strategy::Redirect, Strategy::StreamsApi] {
        let mut story = Story::new();
        story.policy.strategy = strategy;
        story.accepted(1, 1);
        story.run();
        for number in 2..=4 {
            let failed = story.live()[0].to_owned();
            story.learn(told(&failed, number - 1, StreamChange::Error));
            let failed_at = story.now;
            let Next::WaitUntil(at) = story.next() else { panic!("{:?}", story.next()) };
            assert_eq!(at - failed_at, 1_000 << (number - 2), "{strategy:?}");
            story.run();
            assert_eq!(story.live(), [format!("{}_{number}", name(1, 1))], "{strategy:?}");
        }
        let failed = story.live()[0].to_owned();
        story.learn(told(&failed, 4, StreamChange::Error));
        let Next::Park(Parked { change, reason }) = story.next() else { panic!("{:?}", story.next()) };
        assert_eq!(change, Change::Start(reservation(1)));
        assert!(reason.contains("31921"), "{reason}");
        story.learn(FactKind::Parked(Parked { change, reason }));
        assert!(story.rests());
        // An operator who has mended the destination wants it to be tried again.
        story.learn(FactKind::Redriven);
        story.run();
        assert_eq!(story.live().len(), 1, "{strategy:?}");
    }
}

#[test]
fn words_about_streams_that_come_late_twice_or_in_disorder_change_nothing() {
    let mut story = by_api();
    story.accepted(1, 1);
    let create = story.step();
    story.begin(&create);
    story.learn(told(&name(1, 1), 1, StreamChange::Started));
    story.learn(told(&name(1, 1), 1, StreamChange::Started));
    story.settle(create, Outcome::Done(Answer::Stream(Some(sid("MZ", 1)))));
    assert_eq!(story.live(), [name(1, 1)]);
    // We stop it; Twilio's word comes ahead of the answer.
    story.left(1, 1);
    let stop = story.step();
    story.learn(told(&name(1, 1), 1, StreamChange::Stopped));
    story.settle(stop, Outcome::Done(Answer::Accepted));
    story.learn(told(&name(1, 1), 1, StreamChange::Started));
    assert_eq!(story.call.streams()[0].state, StreamState::Stopped);
    assert_eq!(story.run(), Vec::<String>::new());
    // A name that is none of ours.
    story.learn(told("Another_product", 5, StreamChange::Started));
    assert_eq!(story.call.streams().len(), 1);
    assert_eq!(story.run(), Vec::<String>::new());
}

#[test]
fn the_end_of_a_stream_that_comes_with_the_end_of_the_call_starts_nothing() {
    let mut story = by_api();
    story.accepted(1, 1);
    story.run();
    story.learn(told(&name(1, 1), 1, StreamChange::Stopped));
    assert!(matches!(story.next(), Next::WaitUntil(_)), "{:?}", story.next());
    story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Wrapping);
    assert_eq!(story.next(), Next::Over);
}

#[test]
fn before_a_stream_that_ended_is_started_again_the_call_is_seen_to_be_there() {
    for strategy in [Strategy::Redirect, Strategy::StreamsApi] {
        for live in [true, false] {
            let mut story = Story::new();
            story.policy.strategy = strategy;
            story.accepted(1, 1);
            story.run();
            story.learn(told(&name(1, 1), 1, StreamChange::Stopped));
            let look = story.step();
            assert!(matches!(look.operation, Operation::FetchCall { .. }), "{look:?}");
            story.settle(look, Outcome::Done(Answer::Call { live }));
            if live {
                story.run();
                assert_eq!(story.live(), [format!("{}_2", name(1, 1))]);
            } else {
                assert_eq!(story.next(), Next::Over);
            }
        }
    }
}

#[test]
fn a_stream_starts_only_once_what_makes_room_for_it_is_stopped() {
    let mut story = by_api();
    for agent in 1..=3 {
        story.accepted(agent, agent);
    }
    // Two streams of two tracks: the third agent's and the second's.
    assert_eq!(story.run(), ["create stream", "create stream"]);
    assert_eq!(story.live(), [name(2, 2), name(3, 3)]);
    story.accepted(4, 4);
    let step = story.step();
    assert!(matches!(step.operation, Operation::StopStream { .. }), "{step:?}");
    // It cannot be stopped at the moment: nothing is started in its place.
    story.settle(step, Outcome::TryLater(trouble(Some(503))));
    assert!(matches!(story.next(), Next::WaitUntil(_)), "{:?}", story.next());
    story.run();
    assert_eq!(story.live(), [name(3, 3), name(4, 4)]);
}

#[test]
fn one_stream_that_cannot_be_stopped_does_not_keep_another_from_starting() {
    let mut story = by_api();
    story.accepted(1, 1);
    story.run();
    story.accepted(2, 2);
    story.left(1, 1);
    let stop = story.step();
    story.settle(stop, Outcome::TryLater(trouble(Some(503))));
    let next = story.step();
    assert_eq!(created(&next), name(2, 2));
}

#[test]
fn a_quiet_call_with_streams_is_looked_at_and_its_books_are_closed() {
    let mut story = by_api();
    story.accepted(1, 1);
    story.run();
    story.now += story.policy.quiet_ms;
    let look = story.step();
    assert!(matches!(look.operation, Operation::FetchCall { .. }), "{look:?}");
    story.settle(look, Outcome::Done(Answer::Call { live: true }));
    assert!(story.rests());
    story.now += story.policy.quiet_ms;
    let look = story.step();
    story.settle(look, Outcome::Done(Answer::Call { live: false }));
    assert_eq!(story.next(), Next::Over);
}

fn condition(field: &str, equals: &str) -> Condition {
    Condition { fields: vec![field.to_owned()], equals: equals.to_owned() }
}

#[test]
fn the_first_rule_that_fits_picks_the_destination_or_none() {
    let destination = Destination { tracks: 1, parameters: Vec::new(), confirms: false };
    for (consent, language, slots) in
        [("yes", "en", vec![0]), ("yes", "de", vec![2]), ("no", "de", vec![]), ("", "en", vec![0])]
    {
        let mut story = by_api();
        story.policy.destinations = vec![destination.clone(); 3];
        story.policy.rules = vec![
            Rule { when: vec![condition("task.attributes.consent", "no")], slots: Vec::new() },
            Rule { when: vec![condition("worker.attributes.languages", "de")], slots: vec![2, 1] },
        ];
        let mut view = view(TaskStatus::Assigned, 1);
        view.fields.insert("task.attributes.consent".to_owned(), vec![consent.to_owned()]);
        let FactKind::Reservation(mut event) = reservation_event(START, ReservationChange::Accepted, 1, 1, view) else {
            unreachable!()
        };
        event
            .worker_fields
            .insert("worker.attributes.languages".to_owned(), vec!["fr".to_owned(), language.to_owned()]);
        story.learn(FactKind::Reservation(event));
        story.run();
        assert_eq!(
            story.call.streams().iter().map(|stream| stream.slot).collect::<Vec<_>>(),
            slots,
            "{consent} {language}"
        );
    }
}

#[test]
fn a_consent_that_is_withdrawn_stops_the_stream() {
    let mut story = by_api();
    story.policy.rules = vec![Rule { when: vec![condition("task.attributes.consent", "no")], slots: Vec::new() }];
    story.accepted(1, 1);
    story.run();
    assert_eq!(story.live().len(), 1);
    let mut view = view(TaskStatus::Assigned, 100);
    view.fields.insert("task.attributes.consent".to_owned(), vec!["no".to_owned()]);
    story.learn(reservation_event(START + 5, ReservationChange::Created, 2, 2, view));
    assert_eq!(story.run(), ["stop stream"]);
}

#[test]
fn parameters_hold_fields_and_are_cut_to_twilios_limit() {
    let mut story = by_api();
    let template = Template(vec![
        Piece::Text("agent ".to_owned()),
        Piece::Field("worker.name".to_owned()),
        Piece::Text(" on ".to_owned()),
        Piece::Field("call.sid".to_owned()),
        Piece::Field("task.attributes.nothing".to_owned()),
    ]);
    let long = Template(vec![Piece::Field("task.attributes.long".to_owned())]);
    story.policy.destinations[0].parameters = vec![("who".to_owned(), template), ("long".to_owned(), long)];
    let mut view = view(TaskStatus::Assigned, 1);
    view.fields.insert("task.attributes.long".to_owned(), vec!["é".repeat(900)]);
    let FactKind::Reservation(mut event) = reservation_event(START, ReservationChange::Accepted, 1, 1, view) else {
        unreachable!()
    };
    event.worker_fields.insert("worker.name".to_owned(), vec!["a\u{0}lice".to_owned()]);
    story.learn(FactKind::Reservation(event));
    let step = story.step();
    let Operation::CreateStream { stream, .. } = &step.operation else { panic!("{step:?}") };
    assert_eq!(stream.parameters[0], ("who".to_owned(), format!("agent alice on {}", customer())));
    assert_eq!(stream.parameters[1].1.chars().count(), 495, "name and value are shorter than 500 together");
}

#[test]
fn dismissed_changes_stay_given_up_and_are_not_shown() {
    let mut story = by_api();
    story.accepted(1, 1);
    let create = story.step();
    story.begin(&create);
    story.settle(create, Outcome::Refused(trouble(Some(400))));
    let Next::Park(parked) = story.next() else { panic!("{:?}", story.next()) };
    story.learn(FactKind::Parked(parked));
    assert_eq!(story.call.parked().count(), 1);
    story.learn(FactKind::Dismissed);
    assert_eq!(story.call.parked().count(), 0);
    assert_eq!(story.run(), Vec::<String>::new());
}
