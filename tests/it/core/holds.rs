//! Holds: streams of destinations with `on_hold = "stop"` rest while people have the customer on hold.

use super::story::*;
use taskrouter_streams::call::fact::{
    FactKind, Notice, ParticipantChange, ParticipantEvent, ReservationChange, TaskStatus, TransferChange, TransferMode,
};
use taskrouter_streams::call::rules::OnHold;
use taskrouter_streams::call::step::{Command, Goal, Operation, Read, Resumption};
use taskrouter_streams::call::{Next, summarize};

fn told(story: &Story, change: ParticipantChange) -> FactKind {
    FactKind::Participant(ParticipantEvent {
        account: sid("AC", 1),
        at: story.now,
        conference: sid("CF", 1),
        call: customer(),
        change,
    })
}

/// A story whose destinations all go by holds, which events tell.
fn by_holds(mut story: Story) -> Story {
    story.policy.destinations.iter_mut().for_each(|destination| destination.on_hold = OnHold::Stop);
    story
}

/// People hold the customer or take them off hold, and an event tells of it.
fn hold(story: &mut Story, held: bool) {
    story.world.customer.hold = Some(held);
    story.learn(told(story, if held { ParticipantChange::Hold } else { ParticipantChange::Unhold }));
}

/// By both strategies: stopped through the Streams resource, so that nobody is taken off hold for it, and started anew
/// without touching the call.
#[test]
fn a_hold_stops_through_the_streams_resource_and_its_end_starts_the_next_name() {
    for story in [Story::new(), Story::by_api()] {
        let mut story = by_holds(story);
        story.accepted(1, 1);
        story.run();
        assert_eq!(story.live(), [name(1, 1)]);
        hold(&mut story, true);
        assert_eq!(story.run(), ["read participants", "stop stream"]);
        assert!(story.live().is_empty() && story.rests() && story.call.holds().len() == 1);
        assert_eq!(story.world.customer.hold, Some(true), "left on hold");
        hold(&mut story, false);
        let look = story.step();
        story.perform(look);
        assert_eq!(story.report(), FactKind::Noticed(Notice::OffHold));
        let start = story.step();
        let stream = created(&start);
        assert_eq!(stream.slot, 0, "where the first one was");
        assert_eq!(stream.name, format!("{}_2", name(1, 1)));
        assert_eq!(stream.resumes, Some(Resumption { pause: None, of: Some(name(1, 1)) }));
        story.perform(start);
        story.run();
        assert_eq!(story.live().len(), 1);
    }
}

/// What an event says is looked at, for a while: what is read may be older.
#[test]
fn an_event_only_asks_for_a_look_and_what_is_read_decides() {
    let mut story = by_holds(Story::by_api());
    story.accepted(1, 1);
    story.run();
    story.learn(told(&story, ParticipantChange::Hold));
    let looks = story.run();
    assert_eq!(looks, ["read participants"; 5], "in vain");
    assert_eq!(story.live().len(), 1);
    story.learn(told(&story, ParticipantChange::Hold));
    let look = story.step();
    story.perform(look);
    story.world.customer.hold = Some(true);
    story.run();
    assert!(story.live().is_empty(), "the second look shows it");
}

/// A late event about an earlier change does not undo a later one, and one about somebody else's leg says nothing.
#[test]
fn events_that_overtook_each_other_and_those_of_other_legs_say_nothing() {
    let mut story = by_holds(Story::by_api());
    story.accepted(1, 1);
    story.run();
    let early = told(&story, ParticipantChange::Unhold);
    story.now += 1_000;
    hold(&mut story, true);
    story.learn(early);
    assert_eq!(story.run().iter().filter(|words| *words == "read participants").count(), 1);
    assert!(story.live().is_empty());
    let mut story = by_holds(Story::by_api());
    story.accepted(1, 1);
    story.run();
    let FactKind::Participant(event) = told(&story, ParticipantChange::Hold) else { unreachable!() };
    story.learn(FactKind::Participant(ParticipantEvent { call: sid("CA", 101), ..event }));
    assert_eq!(story.run(), Vec::<String>::new());
}

/// An event may be faster than the one that tells whose leg it is about.
#[test]
fn an_event_that_comes_before_the_leg_is_known_is_not_forgotten() {
    let mut story = by_holds(Story::by_api());
    hold(&mut story, true);
    story.accepted(1, 1);
    story.run();
    assert!(story.live().is_empty());
}

/// A destination that streams on is not looked at for it.
#[test]
fn without_such_a_destination_nothing_is_looked_at() {
    let mut story = Story::by_api();
    story.policy.hold_poll_ms = 500;
    story.accepted(1, 1);
    story.run();
    hold(&mut story, true);
    assert!(story.rests() && story.live().len() == 1);
}

/// Where nothing tells, the conference is read; and while a hold lasts it is looked at in any case.
#[test]
fn a_hold_is_found_by_looking() {
    let mut story = by_holds(Story::by_api());
    story.policy.hold_poll_ms = 20_000;
    story.accepted(1, 1);
    story.run();
    story.world.customer.hold = Some(true);
    let Next::WaitUntil(at) = story.next() else { panic!("{:?}", story.next()) };
    assert!(at - story.now <= 20_000);
    story.now = at;
    story.run();
    assert!(story.live().is_empty());
    story.policy.hold_poll_ms = 0;
    story.world.customer.hold = Some(false);
    let Next::WaitUntil(at) = story.next() else { panic!("{:?}", story.next()) };
    assert!(at - story.now <= story.policy.slow_retry_ms, "the event of its end may be lost");
    story.now = at;
    story.run();
    assert_eq!(story.live().len(), 1);
}

/// Our own un-holds do not count: by redirect the customer is taken off hold for a moment, ahead of a transfer.
#[test]
fn our_own_unholds_start_nothing() {
    let mut story = by_holds(Story::new());
    story.world.agents = 2;
    story.accepted(1, 1);
    story.run();
    story.transfer_as(TransferChange::Initiated, 1, TransferMode::Warm);
    story.run();
    hold(&mut story, true);
    for _ in 0..50 {
        match story.next() {
            Next::Do(step) => {
                assert!(!matches!(step.operation, Operation::Command(Command::CreateStream { .. })), "{step:?}");
                story.perform(step);
            }
            Next::Report(kind) => {
                assert_ne!(kind, FactKind::Noticed(Notice::OffHold));
                story.learn(kind);
            }
            Next::WaitUntil(at) if at - story.now < 5_000 => story.now = at,
            Next::WaitUntil(_) | Next::Idle | Next::Over | Next::Park(_) => break,
        }
    }
    assert!(story.live().is_empty());
    assert_eq!(story.world.customer.hold, Some(true));
    // The transferee starts when the hold ends, as everybody does.
    story.reservation(ReservationChange::Accepted, 2, 2, TaskStatus::Assigned);
    story.run();
    assert!(story.live().is_empty());
    hold(&mut story, false);
    story.run();
    assert_eq!(story.live().len(), 2);
}

/// Two destinations, of which one goes by holds: the other's streams go on.
#[test]
fn each_destination_has_its_own_policy() {
    let mut story = Story::by_api();
    story.policy.destinations[0].on_hold = OnHold::Stop;
    story.world.agents = 2;
    story.accepted(1, 1);
    story.accepted(2, 2);
    story.run();
    hold(&mut story, true);
    story.run();
    assert_eq!(story.live(), [name(2, 2)]);
    hold(&mut story, false);
    story.run();
    assert_eq!(story.live().len(), 2);
}

/// Who has left the conference hears no music.
#[test]
fn a_customer_who_left_the_conference_is_not_on_hold() {
    let mut story = by_holds(Story::by_api());
    story.accepted(1, 1);
    story.run();
    hold(&mut story, true);
    story.run();
    story.world.customer.connected = false;
    story.world.customer.hold = Some(false);
    story.learn(told(&story, ParticipantChange::Unhold));
    story.run();
    assert_eq!(story.live().len(), 1);
}

/// Whoever cannot look says so.
#[test]
fn a_conference_that_cannot_be_read_is_told() {
    let mut story = by_holds(Story::by_api());
    story.accepted(1, 1);
    story.run();
    hold(&mut story, true);
    let parked = story
        .until_parked(|operation| matches!(operation, Operation::Read(Read::Participants { .. })).then(lost_answer));
    assert_eq!(parked.goal, Goal::CheckHold);
    story.run();
    story.now += story.policy.slow_retry_ms;
    story.run();
    assert_eq!(story.call.parked().count(), 0, "a later look tells");
    assert!(story.live().is_empty());
}

/// An agent whom the whole call found on hold had no stream, and the summary says why.
#[test]
fn the_summary_tells_of_a_hold() {
    let mut story = by_holds(Story::by_api());
    story.world.agents = 2;
    story.accepted(1, 1);
    story.run();
    hold(&mut story, true);
    story.run();
    story.accepted(2, 2);
    story.run();
    story.left(2, 2);
    story.run();
    let summary = summarize(&story.facts).unwrap();
    let reason = summary.agents[1].reason.clone().unwrap();
    assert!(reason.contains("on hold"), "{reason}");
}
