//! What holds for all orders of events and all answers.

use super::story::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use taskrouter_streams::call::fact::{
    Fact, FactKind, ReservationChange, StreamChange, TaskStatus, TransferChange, TransferMode,
};
use taskrouter_streams::call::policy::Strategy as Way;
use taskrouter_streams::call::step::{
    Answer, CallStatus, Command, ConferenceRow, Guard, Operation, Outcome, ParticipantRow, Read, Role, Step,
};
use taskrouter_streams::call::{Call, Next};

fn reservation_changes() -> impl Strategy<Value = ReservationChange> {
    use ReservationChange as C;
    prop_oneof![
        4 => Just(C::Accepted),
        2 => prop::sample::select(vec![C::Created, C::Wrapup]),
        1 => prop::sample::select(vec![C::Completed, C::Rejected, C::Timeout, C::Canceled, C::Rescinded, C::Failed]),
    ]
}

/// An event of three agents' call. Everybody keeps their reservation's worker.
fn events() -> impl Strategy<Value = FactKind> {
    let status =
        prop_oneof![8 => Just(TaskStatus::Assigned), 1 => Just(TaskStatus::Reserved), 1 => Just(TaskStatus::Wrapping)];
    let transfers = prop::sample::select(vec![
        TransferChange::Initiated,
        TransferChange::AttemptFailed,
        TransferChange::Failed,
        TransferChange::Canceled,
        TransferChange::Completed,
    ]);
    (
        0..5_i64,
        1..4_u64,
        status,
        1..5_u32,
        prop_oneof![3 => reservation_changes().prop_map(Ok), 1 => transfers.prop_map(Err)],
    )
        .prop_map(|(after, version, status, number, change)| match change {
            Ok(change) => reservation_event(START + after, change, number, number % 3, view(status, version)),
            // One transfer is cold, of the other nobody says how it is made.
            Err(change) => {
                let mode = (number % 2 == 1).then_some(TransferMode::Cold);
                transfer_event_as(START + after, change, number % 2, mode, view(status, version))
            }
        })
}

/// The same events, some of them again, in another order.
fn stories_told_twice() -> impl Strategy<Value = (Vec<FactKind>, Vec<FactKind>)> {
    prop::collection::vec(events(), 1..12)
        .prop_flat_map(|told| {
            let again = prop::sample::subsequence(told.clone(), 0..=told.len());
            (Just(told), again)
        })
        .prop_flat_map(|(told, again)| {
            let twice: Vec<FactKind> = told.iter().cloned().chain(again).collect();
            (Just(told), Just(twice).prop_shuffle())
        })
}

/// What a step is answered with, drawn without regard for what is true.
#[derive(Debug, Clone)]
struct Draw {
    kind: u8,
    rows: Vec<ParticipantRow>,
    pass_ms: i64,
    event: Option<FactKind>,
    stream: Option<(StreamChange, u32)>,
}

fn draws() -> impl Strategy<Value = Draw> {
    let guard = prop_oneof![4 => Just(Some(Guard::Lowered)), 1 => Just(Some(Guard::Raised)), 1 => Just(None)];
    let customers = (guard, prop::bool::weighted(0.2), prop::bool::weighted(0.9), 0..2_u8).prop_map(
        |(guard, hold, connected, age)| ParticipantRow {
            call: customer(),
            guard,
            hold: Some(hold),
            connected,
            date_created: Some(format!("join {age}")),
            role: Role::Unsaid,
        },
    );
    let rows = (prop::option::weighted(0.9, customers), prop::collection::vec(prop::bool::weighted(0.8), 0..3));
    let rows = rows.prop_map(|(customer, others)| {
        let other = |(number, connected): (u32, bool)| ParticipantRow {
            call: sid("CA", 100 + number),
            guard: Some(Guard::Lowered),
            hold: None,
            connected,
            date_created: None,
            role: Role::Unsaid,
        };
        customer.into_iter().chain((0..).zip(others).map(other)).collect()
    });
    let pass_ms = prop_oneof![4 => 0..60_i64, 1 => 0..3_000_i64];
    let changes = prop::sample::select(vec![StreamChange::Started, StreamChange::Stopped, StreamChange::Error]);
    let stream = prop::option::weighted(0.2, (changes, 0..6_u32));
    (0..16_u8, rows, pass_ms, prop::option::weighted(0.2, events()), stream)
        .prop_map(|(kind, rows, pass_ms, event, stream)| Draw { kind, rows, pass_ms, event, stream })
}

fn outcome(draw: &Draw, operation: &Operation) -> Outcome {
    let status = Some(500 + u16::from(draw.kind));
    match draw.kind {
        0 => return Outcome::TryLater(trouble(status)),
        1 => return Outcome::Unknown(trouble(status)),
        2 => return Outcome::Refused(trouble(Some(400))),
        3 => return not_found(),
        4 => return lost_answer(),
        5 => return Outcome::Denied(trouble(Some(401))),
        6 if operation.command().is_some() => return not_in_progress(),
        _ => {}
    }
    let row = draw.rows.iter().find(|row| row.call == customer()).cloned();
    let answer = match operation {
        Operation::Read(Read::Task { .. }) => Answer::Task(view(TaskStatus::Assigned, 1).attributes),
        Operation::Read(Read::FindConference { .. } | Read::Conference { .. }) => {
            Answer::Conference(Some(ConferenceRow {
                sid: sid("CF", 1),
                friendly_name: task().to_string(),
                in_progress: draw.kind != 7,
                to_come: false,
            }))
        }
        Operation::Read(Read::Participants { .. }) => Answer::Participants(draw.rows.clone()),
        Operation::Read(Read::Call { .. }) => return call_is(CallStatus::Live),
        Operation::Read(Read::Recordings { .. }) => Answer::Recordings(Vec::new()),
        Operation::Command(Command::UpdateCustomer { .. }) => match row {
            Some(row) => Answer::Participant(row),
            None => return not_found(),
        },
        Operation::Command(Command::CreateStream { .. }) => Answer::Stream(sid("MZ", 900 + u32::from(draw.kind))),
        Operation::Command(
            Command::Redirect { .. }
            | Command::StopStream { .. }
            | Command::EndConference { .. }
            | Command::PauseRecording { .. }
            | Command::ResumeRecording { .. },
        ) => Answer::Accepted,
    };
    Outcome::Done(answer)
}

/// Fails unless this step may be done after that reading.
fn check(story: &mut Told, step: &Step, reading: Option<&(i64, Vec<ParticipantRow>)>) {
    assert!(!step.why.is_empty(), "a step without a reason");
    let Some(command) = step.operation.command() else { return };
    let only_undoes = match command {
        Command::UpdateCustomer { guard, .. } => *guard != Some(Guard::Lowered),
        Command::StopStream { .. } | Command::EndConference { .. } | Command::ResumeRecording { .. } => true,
        Command::Redirect { .. } | Command::CreateStream { .. } | Command::PauseRecording { .. } => false,
    };
    assert!(only_undoes || !story.call.is_over(), "I5: {step:?}");
    let live = story.call.streams().iter().filter(|stream| stream.may_run());
    match command {
        Command::Redirect { customer: leg, stop, start, .. } => {
            assert_eq!(*leg, customer(), "I2");
            let (at, rows) = reading.expect("I1: a redirect without a reading");
            let row = rows.iter().find(|row| row.call == customer()).expect("I1: the customer is not there");
            assert!(row.connected, "I1: the customer is not connected");
            assert_eq!(row.guard, Some(Guard::Lowered), "I1: the guard does not read lowered");
            assert!(rows.iter().any(|row| row.connected && row.call != customer()), "I1: the customer is alone");
            assert!(story.now - at <= story.policy.reading_max_age_ms, "I1: the reading is too old");
            let kept: Vec<_> = live.filter(|stream| !stop.contains(&stream.name)).collect();
            let tracks: usize = kept.iter().map(|stream| stream.tracks).sum::<usize>()
                + start.iter().map(|start| start.tracks).sum::<usize>();
            assert!(start.is_empty() || tracks <= story.policy.track_budget, "I4: {tracks} tracks");
            for start in start {
                story.begins(&start.name);
            }
        }
        Command::CreateStream { customer: leg, stream } => {
            assert_eq!(*leg, customer(), "I2");
            let tracks: usize = live.map(|stream| stream.tracks).sum();
            assert!(tracks + stream.tracks <= story.policy.track_budget, "I4: {tracks} tracks");
            story.begins(&stream.name);
        }
        Command::UpdateCustomer { customer: leg, .. } | Command::StopStream { customer: leg, .. } => {
            assert_eq!(*leg, customer(), "I2");
        }
        Command::PauseRecording { .. } | Command::ResumeRecording { .. } => panic!("nobody pauses here"),
        Command::EndConference { .. } => assert!(story.call.is_call_over(), "I2: the call is not over"),
    }
}

/// A story, the names of its streams, and those of them that Twilio certainly did not take.
struct Told {
    story: Story,
    names: BTreeSet<String>,
    free: BTreeSet<String>,
}

impl std::ops::Deref for Told {
    type Target = Story;
    fn deref(&self) -> &Story {
        &self.story
    }
}

impl std::ops::DerefMut for Told {
    fn deref_mut(&mut self) -> &mut Story {
        &mut self.story
    }
}

impl Told {
    /// A name is used again only when Twilio certainly did not take it.
    fn begins(&mut self, name: &str) {
        assert!(self.names.insert(name.to_owned()) || self.free.contains(name), "I4: {name} twice");
        self.free.remove(name);
    }

    fn ended(&mut self, step: &Step, outcome: &Outcome) {
        let not_taken = match outcome {
            Outcome::Done(_) | Outcome::Unknown(_) => false,
            Outcome::NotFound(_)
            | Outcome::NotInProgress(_)
            | Outcome::TryLater(_)
            | Outcome::Denied(_)
            | Outcome::Refused(_) => true,
        };
        let starts = step.operation.command().map(Command::starts).unwrap_or_default();
        if not_taken {
            self.free.extend(starts.iter().map(|start| start.name.clone()));
        }
    }
}

/// Plays the draws; returns how many redirects or creates there were.
fn play(strategy: Way, draws: &[Draw]) -> usize {
    let mut story = Told { story: Story::new(), names: BTreeSet::new(), free: BTreeSet::new() };
    story.policy.strategy = strategy;
    story.policy.destinations.iter_mut().for_each(|destination| destination.confirms = true);
    story.accepted(1, 1);
    let (mut reading, mut changes) = (None, 0);
    for draw in draws {
        if let Some(event) = &draw.event {
            story.learn(event.clone());
        }
        if let Some((change, number)) = draw.stream {
            // Of what Twilio did not take it tells nothing.
            let names: Vec<String> = story.names.difference(&story.free).cloned().collect();
            if let Some(name) = names.get(number as usize % names.len().max(1)) {
                story.learn(stream_event(START, name, number, change));
            }
        }
        match story.next() {
            Next::Do(step) => {
                check(&mut story, &step, reading.as_ref());
                let starts = step.operation.command().map(Command::starts).unwrap_or_default();
                changes += usize::from(!starts.is_empty());
                story.begin(&step);
                let outcome = outcome(draw, &step.operation);
                story.ended(&step, &outcome);
                if let Outcome::Done(Answer::Participants(rows)) = &outcome {
                    reading = Some((story.now + 10, rows.clone()));
                } else if matches!(step.operation, Operation::Command(Command::Redirect { .. }))
                    && matches!(outcome, Outcome::Done(_) | Outcome::Unknown(_))
                {
                    reading = None;
                }
                story.settle(step, outcome);
            }
            Next::Park(parked) => story.learn(FactKind::Parked(parked)),
            Next::Report(kind) => story.learn(kind),
            Next::WaitUntil(at) => {
                assert!(at > story.now, "a wait for the past would spin");
                story.now = at;
            }
            Next::Idle => {}
            Next::Over => assert!(story.call.is_over(), "I5"),
        }
        story.now += draw.pass_ms;
    }
    // I9: the journal tells the same call, at every prefix.
    let half = story.facts.len() / 2;
    let mut again = Call::fold(&story.facts[..half]);
    story.facts[half..].iter().for_each(|fact| again.apply(fact));
    assert_eq!((Call::fold(&story.facts), again), (story.call.clone(), story.call.clone()));
    changes
}

/// As many as `PROPTEST_CASES` asks for, and enough without.
fn cases() -> u32 {
    ProptestConfig::default().cases.max(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// I6.
    #[test]
    fn any_order_and_repetition_of_the_same_events_folds_to_the_same_call((told, again) in stories_told_twice()) {
        let fact = |what: &FactKind| Fact { at: START, kind: what.clone() };
        let (told, again): (Vec<Fact>, Vec<Fact>) = (told.iter().map(fact).collect(), again.iter().map(fact).collect());
        prop_assert_eq!(Call::fold(&told), Call::fold(&again));
    }

    /// I1, I2, I4, I5, I9.
    #[test]
    fn whatever_twilio_answers_no_caller_is_put_at_risk(draws in prop::collection::vec(draws(), 1..60)) {
        play(Way::Redirect, &draws);
        play(Way::StreamsApi, &draws);
    }
}

#[test]
fn the_random_answers_do_lead_to_redirects_and_creates() {
    use proptest::strategy::ValueTree as _;
    for strategy in [Way::Redirect, Way::StreamsApi] {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut draw = || prop::collection::vec(draws(), 59).new_tree(&mut runner).unwrap().current();
        let changes: usize = (0..50).map(|_| play(strategy, &draw())).sum();
        assert!(changes > 20, "only {changes}: the law would say little");
    }
}
