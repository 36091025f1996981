//! Streams by their own resource, and the rows of streams, which both strategies keep.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test cares about one operation and leaves the others alike")]

use super::story::*;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::{CallAttributes, FactKind, Notice, ReservationChange, StreamChange, TaskStatus};
use taskrouter_streams::call::policy::Strategy;
use taskrouter_streams::call::rules::{Condition, Destination, OnHold, Piece, Rule, Template};
use taskrouter_streams::call::step::{Answer, CallStatus, Command, Goal, Operation, Outcome, Read, Step};
use taskrouter_streams::call::streams::StreamState;

fn by_api() -> Story {
    Story::by_api()
}

fn told(name: &str, stream: u32, change: StreamChange) -> FactKind {
    stream_event(START, name, stream, change)
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
        let (mut story, create) = lost();
        let outcome = if known { Outcome::Done(Answer::Stream(sid("MZ", 7))) } else { lost_answer() };
        story.settle(create, outcome);
        story.left(1, 1);
        let stop = story.step();
        assert_eq!(stopped(&stop), (&*name(1, 1), known));
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
        assert_eq!(story.call.streams()[0].state(), StreamState::Running);
    }
}

/// I4: a start whose answer was lost may land late.
#[test]
fn a_lost_create_without_a_word_is_stopped_by_name_once_it_cannot_land_and_made_under_the_next_name() {
    for (outcome, wait_ms) in [
        (None, policy().landing_ms),
        (Some(lost_answer()), policy().landing_ms),
        (Some(Outcome::Unknown(trouble(Some(500)))), policy().doubt_ms),
    ] {
        let (mut story, create) = lost();
        let begun = story.now;
        if let Some(outcome) = outcome {
            story.settle(create, outcome);
        }
        let stop = story.step();
        assert_eq!(story.now - begun, wait_ms);
        assert_eq!(stopped(&stop), (&*name(1, 1), false));
        story.begin(&stop);
        story.settle(stop, not_found());
        // The call is read, because Twilio did not know the stream; and asked for once more by name.
        let read = story.step();
        assert!(fetches_call(&read), "{read:?}");
        story.perform(read);
        let stop = story.step();
        assert_eq!(stopped(&stop), (&*name(1, 1), false));
        story.begin(&stop);
        story.settle(stop, not_found());
        let create = story.step();
        assert_eq!(created(&create).name, format!("{}_2", name(1, 1)));
        story.perform(create);
        assert_eq!(story.live(), [format!("{}_2", name(1, 1))]);
    }
}

#[test]
fn a_create_that_was_given_up_unseen_and_starts_after_all_is_an_orphan_and_stopped() {
    let (mut story, _) = lost();
    for _ in 0..2 {
        let stop = story.step();
        story.begin(&stop);
        story.settle(stop, not_found());
        if story.live().len() == 1 {
            let read = story.step();
            story.perform(read);
        }
    }
    story.run();
    assert_eq!(story.live(), [format!("{}_2", name(1, 1))]);
    story.learn(told(&name(1, 1), 7, StreamChange::Started));
    assert!(story.call.streams()[0].is_orphan());
    let stop = story.step();
    assert_eq!(stop.why, [Goal::Stop(name(1, 1))]);
    story.perform(stop);
    assert_eq!(story.live(), [format!("{}_2", name(1, 1))]);
}

#[test]
fn a_create_that_twilio_did_not_take_is_repeated_under_the_same_name() {
    let (mut story, create) = lost();
    story.settle(create, Outcome::TryLater(trouble(Some(429))));
    assert_eq!(created(&story.step()).name, name(1, 1));
}

#[test]
fn a_create_on_a_call_that_is_not_in_progress_says_nothing_until_the_call_is_read() {
    for (status, over) in [(CallStatus::Over, true), (CallStatus::Live, false), (CallStatus::Coming, false)] {
        let (mut story, create) = lost();
        story.settle(create, not_in_progress());
        let read = story.step();
        assert!(fetches_call(&read), "{read:?}");
        story.settle(read, call_is(status));
        assert_eq!(story.next() == Next::Over, over, "{status:?}");
        if !over {
            assert_eq!(created(&story.step()).name, name(1, 1), "{status:?}");
        }
    }
}

#[test]
fn the_customer_of_a_call_that_we_placed_may_take_a_minute() {
    let mut story = by_api();
    story.policy.outbound = true;
    let mut view = view(TaskStatus::Assigned, 1);
    view.attributes.outbound = true;
    view.attributes.customer = None;
    view.attributes.other_legs = [sid("CA", 100)].into();
    story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, view));
    story.world.customer.connected = false;
    story.world.agents = 1;
    // Nobody but the agent is there for 50 s.
    let until = story.now + 50_000;
    let mut attributes = view_of_nobody();
    attributes.other_legs = [sid("CA", 100)].into();
    let mut read = 0;
    while story.now < until {
        match story.next() {
            Next::Do(step) => {
                read += 1;
                assert!(step.operation.command().is_none(), "{step:?}");
                let outcome = match &step.operation {
                    Operation::Read(Read::Task { .. }) => Outcome::Done(Answer::Task(attributes.clone())),
                    Operation::Read(Read::Participants { .. }) => {
                        Outcome::Done(Answer::Participants(vec![row(sid("CA", 100))]))
                    }
                    operation => story.world.perform(operation),
                };
                story.settle(step, outcome);
            }
            Next::WaitUntil(at) => story.now = at,
            next => panic!("{next:?}"),
        }
    }
    assert!(read < 40, "{read} requests in 50 s");
    story.world.customer.connected = true;
    story.world.inbound = false;
    story.run();
    assert_eq!(story.live(), [name(1, 1)]);
    assert_eq!(story.call.customer(), Some(&customer()));
}

/// What the attributes of a call that we placed say before anybody has answered.
fn view_of_nobody() -> CallAttributes {
    CallAttributes { outbound: true, conference: Some(sid("CF", 1)), ..CallAttributes::default() }
}

/// I12: a task without a call is noticed, once, and is no alarm.
#[test]
fn a_task_that_has_no_call_is_noticed_once_and_parks_nothing_until_an_event_names_it() {
    for outbound in [false, true] {
        let mut story = by_api();
        story.policy.outbound = true;
        let mut unknown = view(TaskStatus::Assigned, 1);
        unknown.attributes = CallAttributes { outbound, ..CallAttributes::default() };
        story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, unknown.clone()));
        let mut asked = 0;
        let noticed = loop {
            match story.next() {
                Next::Do(step) => {
                    asked += 1;
                    let outcome = match &step.operation {
                        Operation::Read(Read::Task { .. }) => Outcome::Done(Answer::Task(unknown.attributes.clone())),
                        Operation::Read(Read::FindConference { .. }) => Outcome::Done(Answer::Conference(None)),
                        other => panic!("{other:?}"),
                    };
                    story.settle(step, outcome);
                }
                Next::WaitUntil(at) => story.now = at,
                Next::Report(kind) => break kind,
                next => panic!("{next:?}"),
            }
        };
        assert_eq!(noticed, FactKind::Noticed(Notice::NoCall));
        story.learn(noticed);
        let waited = story.now - START;
        let longest = if outbound { 60_000 } else { story.policy.give_up_ms };
        assert!(waited <= longest + story.policy.retry_cap_ms, "after {waited} ms");
        assert!(asked < 45, "{asked} times in {waited} ms");
        assert!(story.rests() && story.call.has_no_call() && story.call.parked().next().is_none());
        story.wait_until(story.now + 3_600_000);
        let mut known = view(TaskStatus::Assigned, 2);
        known.attributes.outbound = outbound;
        story.learn(reservation_event(START, ReservationChange::Created, 2, 2, known));
        assert!(!story.call.has_no_call());
        assert_eq!(story.run(), ["create stream"]);
    }
}

/// I12.
#[test]
fn a_dead_consumer_is_tried_a_few_times_then_every_half_minute_and_never_by_redirect() {
    for strategy in [Strategy::Redirect, Strategy::StreamsApi] {
        let mut story = Story::confirming();
        story.policy.strategy = strategy;
        story.accepted(1, 1);
        let mut redirects = story.run().iter().filter(|step| step.starts_with("redirect")).count();
        assert_eq!(redirects, usize::from(strategy == Strategy::Redirect));
        let (mut pauses, mut failed) = (Vec::new(), 0);
        let parked = loop {
            if let Some(name) = story.live().first().map(|name| (*name).to_owned()) {
                failed += 1;
                story.tells(&name, StreamChange::Error);
            }
            let failed_at = story.now;
            let mut waited = false;
            while story.live().is_empty() {
                match story.next() {
                    Next::WaitUntil(at) => {
                        if !waited {
                            pauses.push(at - failed_at);
                        }
                        waited = true;
                        story.now = at;
                    }
                    Next::Do(step) => {
                        redirects += usize::from(words(&step.operation).starts_with("redirect"));
                        story.perform(step);
                    }
                    Next::Park(_) => break,
                    next => panic!("{next:?}"),
                }
            }
            if let Next::Park(parked) = story.next() {
                break parked;
            }
        };
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 15_000], "{strategy:?}");
        assert_eq!((failed, parked.goal.clone()), (6, Goal::Start(reservation(1))), "{strategy:?}");
        assert!(parked.reason.contains("31921"), "{}", parked.reason);
        story.learn(FactKind::Parked(parked));
        // It is tried again every half minute, while the agent is on the call.
        let parked_at = story.now;
        let create = loop {
            let step = story.step();
            if fetches_call(&step) {
                story.perform(step);
            } else {
                break step;
            }
        };
        assert!((30_000..30_200).contains(&(story.now - parked_at)), "{} ms", story.now - parked_at);
        assert_eq!(created(&create).name, format!("{}_7", name(1, 1)));
        story.perform(create);
        assert_eq!(story.call.parked().count(), 1, "parked until it has run for a while");
        story.tells(&format!("{}_7", name(1, 1)), StreamChange::Started);
        let runs_since = story.now;
        assert_eq!(story.report(), FactKind::Recovered(Goal::Start(reservation(1))));
        assert_eq!(story.now - runs_since, 10_000);
        assert_eq!(story.call.parked().count(), 0);
        assert_eq!(redirects, usize::from(strategy == Strategy::Redirect), "the caller stays");
    }
}

#[test]
fn a_consumer_that_dies_again_while_it_is_parked_is_tried_half_a_minute_later() {
    let mut story = Story::confirming();
    story.policy.restart_limit = 0;
    story.accepted(1, 1);
    story.run();
    story.learn(told(&name(1, 1), 1, StreamChange::Error));
    let Next::Park(parked) = story.next() else { panic!("{:?}", story.next()) };
    story.learn(FactKind::Parked(parked));
    for number in 2..=5 {
        let parked_at = story.now;
        let mut step = story.step();
        while fetches_call(&step) {
            story.perform(step);
            step = story.step();
        }
        assert_eq!(created(&step).name, format!("{}_{number}", name(1, 1)));
        let after = story.now - parked_at;
        assert!((29_000..32_000).contains(&after), "number {number} after {after} ms");
        story.perform(step);
        story.tells(&format!("{}_{number}", name(1, 1)), StreamChange::Error);
    }
    assert_eq!(story.call.parked().count(), 1);
}

/// I12: slow retries after parking, and dismissed ones never.
#[test]
fn what_is_parked_is_tried_every_half_minute_and_what_is_dismissed_never() {
    for dismissed in [false, true] {
        let mut story = by_api();
        story.accepted(1, 1);
        story.until_parked(|operation| operation.command().map(|_| Outcome::Refused(trouble(Some(400)))));
        if dismissed {
            story.learn(FactKind::Dismissed);
        }
        let parked_at = story.now;
        if dismissed {
            assert_eq!(story.call.parked().count(), 0);
            story.wait_until(parked_at + 3_600_000);
            assert!(story.rests());
            continue;
        }
        for number in 1..=3_i64 {
            let create = story.step();
            assert!(((30_000 * number)..(30_200 * number)).contains(&(story.now - parked_at)), "{number}");
            story.begin(&create);
            story.settle(create, Outcome::Refused(trouble(Some(400))));
        }
        let create = story.step();
        story.perform(create);
        assert_eq!(story.report(), FactKind::Recovered(Goal::Start(reservation(1))));
    }
}

/// I12: the agent of a start that is parked leaves, and with them the reason for another try.
#[test]
fn a_parked_start_is_not_tried_once_its_agent_has_left() {
    let mut story = by_api();
    story.accepted(1, 1);
    story.until_parked(|operation| operation.command().map(|_| Outcome::Refused(trouble(Some(400)))));
    story.accepted(2, 2);
    story.left(1, 1);
    assert_eq!(story.run(), ["create stream"]);
    assert_eq!(story.live(), [name(2, 2)]);
    story.wait_until(story.now + 3_500_000);
}

#[test]
fn words_about_streams_that_come_late_twice_or_in_disorder_change_nothing() {
    let mut story = by_api();
    story.accepted(1, 1);
    let create = story.step();
    story.begin(&create);
    story.learn(told(&name(1, 1), 1, StreamChange::Started));
    story.learn(told(&name(1, 1), 1, StreamChange::Started));
    story.settle(create, Outcome::Done(Answer::Stream(sid("MZ", 1))));
    assert_eq!(story.live(), [name(1, 1)]);
    // We stop it; Twilio's word comes ahead of the answer.
    story.left(1, 1);
    let stop = story.step();
    story.begin(&stop);
    story.learn(told(&name(1, 1), 1, StreamChange::Stopped));
    story.settle(stop, Outcome::Done(Answer::Accepted));
    story.learn(told(&name(1, 1), 1, StreamChange::Started));
    assert_eq!(story.call.streams()[0].state(), StreamState::Stopped);
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
            assert!(fetches_call(&look), "{look:?}");
            story.settle(look, call_is(if live { CallStatus::Live } else { CallStatus::Over }));
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
    assert!(matches!(step.operation, Operation::Command(Command::StopStream { .. })), "{step:?}");
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
    assert_eq!(created(&next).name, name(2, 2));
}

#[test]
fn a_quiet_call_with_streams_is_looked_at_and_its_books_are_closed() {
    let mut story = by_api();
    story.accepted(1, 1);
    story.run();
    story.now += story.policy.quiet_ms;
    let look = story.step();
    assert!(fetches_call(&look), "{look:?}");
    story.settle(look, call_is(CallStatus::Live));
    assert!(story.rests());
    story.now += story.policy.quiet_ms;
    let look = story.step();
    story.settle(look, call_is(CallStatus::Over));
    assert_eq!(story.next(), Next::Over);
    assert_eq!(story.call.streams()[0].state(), StreamState::Ended);
}

fn condition(field: &str, equals: &str) -> Condition {
    Condition { fields: vec![field.to_owned()], equals: equals.to_owned() }
}

#[test]
fn the_first_rule_that_fits_picks_the_destination_or_none() {
    let destination = Destination { tracks: 1, parameters: Vec::new(), confirms: false, on_hold: OnHold::Stream };
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
    let Operation::Command(Command::CreateStream { stream, .. }) = &step.operation else { panic!("{step:?}") };
    assert_eq!(stream.parameters[0], ("who".to_owned(), format!("agent alice on {}", customer())));
    assert_eq!(stream.parameters[1].1.chars().count(), 495, "name and value are shorter than 500 together");
}
