//! Whatever Twilio answers, and however often, it is not asked without a pause.

use super::story::*;
use proptest::prelude::*;
use taskrouter_streams::call::Next;
use taskrouter_streams::call::fact::{
    CallAttributes, FactKind, ReservationChange, StreamChange, TaskStatus, TransferChange,
};
use taskrouter_streams::call::policy::Strategy as Way;
use taskrouter_streams::call::step::{Answer, CallStatus, Command, Goal, Operation, Outcome, ParticipantRow, Read};

/// So long a call is followed.
const FOLLOWED_MS: i64 = 60_000;

/// Readings while something is waited for come every 200 ms for three seconds, and a goal that fails is tried at least that often
/// for half a minute. Without a pause there would be six thousand.
const MOST_STEPS: usize = 450;

/// How requests of one kind are answered, all through the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    AsItIs,
    NotFound,
    NotInProgress,
    TryLater,
    Lost,
    Failed,
    Refused,
    Denied,
    /// Success, and nothing of it is so; of a reading: the customer is not there.
    Lie,
    /// The same, in another way: nobody is there, or the call rings.
    OtherLie,
    /// The customer is there without a word on the guard.
    Untold,
    /// Who is there is held.
    Held,
    /// They are alone.
    Alone,
}

const REPLIES: [Reply; 13] = [
    Reply::AsItIs,
    Reply::NotFound,
    Reply::NotInProgress,
    Reply::TryLater,
    Reply::Lost,
    Reply::Failed,
    Reply::Refused,
    Reply::Denied,
    Reply::Lie,
    Reply::OtherLie,
    Reply::Untold,
    Reply::Held,
    Reply::Alone,
];

fn outcome(reply: Reply, operation: &Operation, world: &mut World) -> Outcome {
    match reply {
        Reply::NotFound => not_found(),
        Reply::NotInProgress if operation.command().is_some() => not_in_progress(),
        Reply::TryLater => Outcome::TryLater(trouble(Some(429))),
        Reply::Lost => lost_answer(),
        Reply::Failed => Outcome::Unknown(trouble(Some(500))),
        Reply::Refused => Outcome::Refused(trouble(Some(400))),
        Reply::Denied => Outcome::Denied(trouble(Some(401))),
        Reply::AsItIs | Reply::NotInProgress => world.perform(operation),
        Reply::Lie | Reply::OtherLie | Reply::Untold | Reply::Held | Reply::Alone => lie(reply, operation, world),
    }
}

fn lie(reply: Reply, operation: &Operation, world: &mut World) -> Outcome {
    let rows = world.rows();
    let but_for_the_customer = |change: &dyn Fn(&mut ParticipantRow)| {
        let mut rows = rows.clone();
        rows.iter_mut().filter(|row| row.call == customer()).for_each(change);
        Outcome::Done(Answer::Participants(rows))
    };
    match (operation, reply) {
        (Operation::Read(Read::Participants { .. }), Reply::OtherLie) => {
            Outcome::Done(Answer::Participants(Vec::new()))
        }
        (Operation::Read(Read::Participants { .. }), Reply::Untold) => but_for_the_customer(&|row| row.guard = None),
        (Operation::Read(Read::Participants { .. }), Reply::Held) => but_for_the_customer(&|row| row.hold = Some(true)),
        (Operation::Read(Read::Participants { .. }), Reply::Alone) => {
            Outcome::Done(Answer::Participants(rows.into_iter().filter(|row| row.call == customer()).collect()))
        }
        (Operation::Read(Read::Participants { .. }), _) => {
            Outcome::Done(Answer::Participants(rows.into_iter().filter(|row| row.call != customer()).collect()))
        }
        (Operation::Read(Read::FindConference { .. } | Read::Conference { .. }), _) => {
            Outcome::Done(Answer::Conference(None))
        }
        (Operation::Read(Read::Call { .. }), Reply::OtherLie) => call_is(CallStatus::Coming),
        (Operation::Read(_), _) => world.perform(operation),
        (Operation::Command(Command::UpdateCustomer { .. }), _) => {
            Outcome::Done(Answer::Participant(world.customer.clone()))
        }
        (Operation::Command(Command::CreateStream { .. }), _) => Outcome::Done(Answer::Stream(sid("MZ", 900))),
        (Operation::Command(_), _) => Outcome::Done(Answer::Accepted),
    }
}

/// What people do, or Twilio tells.
#[derive(Debug, Clone, Copy)]
enum Event {
    Accepts,
    Leaves,
    Begins(TransferChange),
    Wraps,
    Tells(StreamChange),
    Heals,
}

fn events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let event = prop::sample::select(vec![
        Event::Accepts,
        Event::Leaves,
        Event::Begins(TransferChange::Initiated),
        Event::Begins(TransferChange::Canceled),
        Event::Wraps,
        Event::Tells(StreamChange::Started),
        Event::Tells(StreamChange::Error),
        Event::Heals,
    ]);
    prop::collection::vec((0..15_000_i64, event), 0..6)
}

fn happens(story: &mut Story, event: Event) {
    match event {
        Event::Accepts => {
            story.world.agents = 2;
            story.accepted(2, 2);
        }
        Event::Leaves => story.left(1, 1),
        Event::Begins(change) => story.transfer(change, 1),
        Event::Wraps => story.reservation(ReservationChange::Wrapup, 1, 1, TaskStatus::Wrapping),
        Event::Tells(change) => story.tells(&name(1, 1), change),
        Event::Heals => {}
    }
}

/// Requests of one call, goal by goal, while all of a kind are answered alike.
fn asked(way: Way, named: bool, replies: &[Reply], events: &[(i64, Event)]) -> Vec<(i64, String, Vec<Goal>)> {
    let mut story = Story::confirming();
    story.policy.strategy = way;
    story.policy.verify_per_mille = 1_000;
    if named {
        story.accepted(1, 1);
    } else {
        let mut unnamed = view(TaskStatus::Assigned, 1);
        unnamed.attributes = CallAttributes::default();
        story.world.attributes = CallAttributes::default();
        story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, unnamed));
    }
    let mut ahead: Vec<(i64, Event)> = events.to_vec();
    ahead.reverse();
    let (mut due, mut healed, mut asked) = (story.now, false, Vec::new());
    for _ in 0..20_000 {
        if ahead.last().is_some_and(|(after, _)| due + after <= story.now) {
            let (after, event) = ahead.pop().unwrap();
            due += after;
            healed |= matches!(event, Event::Heals);
            happens(&mut story, event);
        }
        if story.now - START >= FOLLOWED_MS {
            return asked;
        }
        let soon = ahead.last().map_or(i64::MAX, |(after, _)| due + after);
        match story.next() {
            Next::Do(step) => {
                let kind = words(&step.operation).bytes().map(usize::from).sum::<usize>() % replies.len();
                let reply = if healed { Reply::AsItIs } else { replies[kind] };
                asked.push((story.now - START, format!("{} {reply:?}", words(&step.operation)), step.why.clone()));
                story.begin(&step);
                let outcome = outcome(reply, &step.operation, &mut story.world);
                story.settle(step, outcome);
            }
            Next::Park(parked) => story.learn(FactKind::Parked(parked)),
            Next::Report(kind) => story.learn(kind),
            Next::WaitUntil(at) => story.now = at.min(soon.max(story.now + 1)),
            Next::Idle | Next::Over if soon == i64::MAX => return asked,
            Next::Idle | Next::Over => story.now = soon,
        }
    }
    panic!("it is asked for ever what is next, and time stands still");
}

/// As many as `PROPTEST_CASES` asks for, and enough without.
fn cases() -> u32 {
    ProptestConfig::default().cases.max(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// I12.
    #[test]
    fn whatever_is_answered_no_goal_is_tried_without_a_pause(
        replies in prop::collection::vec(prop::sample::select(REPLIES.to_vec()), 7),
        events in events(),
        named in prop::bool::weighted(0.8),
        way in prop::sample::select(vec![Way::Redirect, Way::StreamsApi]),
    ) {
        let asked = asked(way, named, &replies, &events);
        let last = &asked[asked.len().saturating_sub(8)..];
        prop_assert!(asked.len() <= MOST_STEPS, "{} requests in a minute, at last {:#?}", asked.len(), last);
    }
}

fn updates(operation: &Operation) -> Option<Outcome> {
    matches!(operation, Operation::Command(Command::UpdateCustomer { .. })).then(not_found)
}

/// I8, I12: the list shows the customer, and Twilio does not know them when their guard is to be raised.
#[test]
fn a_guard_that_twilio_does_not_let_us_raise_is_given_up_and_raised_later() {
    let mut story = Story::streaming();
    story.world.agents = 2;
    story.transfer(TransferChange::Initiated, 1);
    story.run();
    story.transfer(TransferChange::Canceled, 1);
    let began = story.now;
    assert_eq!(story.until_parked(updates).goal, Goal::RaiseGuard);
    assert!(story.now - began <= story.policy.give_up_ms, "{} ms", story.now - began);
    story.now += story.policy.slow_retry_ms;
    story.run();
    assert_eq!(story.call.parked().count(), 0);
}

/// I12: the conference that is found by its name is not known when its participants are asked for.
#[test]
fn a_customer_whose_conference_twilio_finds_and_does_not_know_is_given_up() {
    let mut story = Story::by_api();
    let mut unnamed = view(TaskStatus::Assigned, 1);
    unnamed.attributes = CallAttributes::default();
    story.world.attributes = CallAttributes::default();
    story.learn(reservation_event(START, ReservationChange::Accepted, 1, 1, unnamed));
    let unknown =
        |operation: &Operation| matches!(operation, Operation::Read(Read::Participants { .. })).then(not_found);
    assert_eq!(story.until_parked(unknown).goal, Goal::FindCustomer);
    assert!(story.now - START <= story.policy.give_up_ms + 5_000, "{} ms", story.now - START);
    let healed = story.now;
    while story.call.customer().is_none() {
        let step = story.step();
        story.perform(step);
    }
    assert!(story.now - healed <= story.policy.slow_retry_ms + 3_000, "{} ms", story.now - healed);
}
