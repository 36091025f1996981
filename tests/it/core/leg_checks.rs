//! Starts that do not touch the call: a sample of them is checked, because everything rests on the leg's staying where it is.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test cares about one outcome and leaves the others alike")]

use super::story::*;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::{FactKind, Notice, ReservationChange};
use taskrouter_streams::call::step::{Answer, CallStatus, Operation, Outcome, Read, Step};

fn checked() -> Story {
    let mut story = Story::by_api();
    story.verify = true;
    story.accepted(1, 1);
    story
}

fn reads_participants(step: &Step) -> bool {
    matches!(step.operation, Operation::Read(Read::Participants { .. }))
}

/// Looks, starts, and returns the reading after the start, which is due.
fn started(story: &mut Story) -> Step {
    let look = story.step();
    assert!(reads_participants(&look), "{look:?}");
    story.perform(look);
    let create = story.step();
    assert_eq!(created(&create).name, name(1, 1));
    story.perform(create);
    let look = story.step();
    assert!(reads_participants(&look), "{look:?}");
    look
}

#[test]
fn the_leg_is_read_before_and_after_a_start_that_is_checked() {
    let mut story = checked();
    let look = started(&mut story);
    story.perform(look);
    assert_eq!(story.report(), FactKind::Noticed(Notice::LegStayed { name: name(1, 1) }));
    story.verify = false;
    assert!(story.rests());
}

/// I1, I12: a contradiction of what everything rests on is said aloud.
#[test]
fn a_leg_that_has_moved_is_said_so() {
    for moved in ["younger", "gone"] {
        let mut story = checked();
        let look = started(&mut story);
        match moved {
            "younger" => story.world.customer.date_created = Some("join 1".to_owned()),
            _ => story.world.customer.connected = false,
        }
        story.perform(look);
        let read = story.step();
        assert!(fetches_call(&read), "{moved}: a caller who has hung up was not moved by us: {read:?}");
        story.perform(read);
        assert_eq!(story.report(), FactKind::Noticed(Notice::LegMoved { name: name(1, 1) }), "{moved}");
    }
}

#[test]
fn a_caller_who_hangs_up_meanwhile_was_not_moved_by_us() {
    let mut story = checked();
    let look = started(&mut story);
    story.world.customer.connected = false;
    story.perform(look);
    let read = story.step();
    story.settle(read, call_is(CallStatus::Over));
    assert_eq!(story.next(), Next::Over);
}

/// I12.
#[test]
fn a_leg_that_cannot_be_read_after_the_start_is_reported_as_unverified() {
    let mut story = checked();
    let look = started(&mut story);
    let began = story.now;
    story.settle(look, Outcome::TryLater(trouble(Some(503))));
    story.verify = false;
    let reported = loop {
        match story.next() {
            Next::Do(step) => story.settle(step, Outcome::TryLater(trouble(Some(503)))),
            Next::WaitUntil(at) => story.now = at,
            Next::Report(kind) => break kind,
            next => panic!("{next:?}"),
        }
    };
    assert_eq!(reported, FactKind::Noticed(Notice::LegUnverified { name: name(1, 1) }));
    assert!(story.now - began <= 31_000, "{} ms", story.now - began);
    story.learn(reported);
    assert!(story.rests() && story.call.parked().next().is_none());
}

#[test]
fn a_check_that_fails_ahead_of_a_start_holds_it_up_no_longer_than_one_request() {
    let mut story = checked();
    let look = story.step();
    assert!(reads_participants(&look), "{look:?}");
    let asked = story.now;
    story.settle(look, Outcome::TryLater(trouble(Some(503))));
    let create = story.step();
    assert_eq!((created(&create).name.clone(), story.now - asked), (name(1, 1), 10));
    story.perform(create);
    assert_eq!(story.live(), [name(1, 1)]);
}

#[test]
fn the_sample_is_drawn_by_the_streams_name() {
    for (per_mille, all) in [(0, 0), (1_000, 200)] {
        let mut looked = 0;
        for number in 1..=200 {
            let mut story = Story::by_api();
            story.policy.verify_per_mille = per_mille;
            story.accepted(number, number);
            looked += usize::from(reads_participants(&story.step()));
        }
        assert_eq!(looked, all, "{per_mille}");
    }
    let mut looked = 0;
    for number in 1..=1_000 {
        let mut story = Story::by_api();
        story.policy.verify_per_mille = 100;
        story.accepted(number, number);
        looked += usize::from(reads_participants(&story.step()));
    }
    assert!((60..140).contains(&looked), "{looked} of a thousand, for a hundred");
}

#[test]
fn a_redirect_is_no_start_to_be_checked() {
    let mut story = Story::new();
    story.verify = true;
    story.accepted(1, 1);
    let done = story.run();
    assert_eq!(done.iter().filter(|step| *step == "read participants").count(), 3, "{done:?}");
    story.reservation(ReservationChange::Created, 2, 2, taskrouter_streams::call::fact::TaskStatus::Assigned);
    assert!(story.rests());
}

#[test]
fn the_conference_is_looked_for_when_no_attribute_names_it() {
    let mut story = Story::by_api();
    story.verify = true;
    let mut view = view(taskrouter_streams::call::fact::TaskStatus::Assigned, 1);
    view.attributes.conference = None;
    story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, view));
    assert_eq!(
        story.run(),
        ["find conference", "read participants", "create stream", "read participants"],
        "then it is checked as ever"
    );
    let mut story = Story::by_api();
    story.verify = true;
    let mut view = super::story::view(taskrouter_streams::call::fact::TaskStatus::Assigned, 1);
    view.attributes.conference = None;
    story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, view));
    let find = story.step();
    story.settle(find, Outcome::Done(Answer::Conference(None)));
    assert_eq!(created(&story.step()).name, name(1, 1), "no conference, no check, and no waiting");
}
