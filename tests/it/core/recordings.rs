//! Recordings within a pause: paused, proven, resumed; and others' left alone.

use super::pauses::{is_proven, of, paused, resumed};
use super::story::*;
use taskrouter_streams::call::fact::{CallAttributes, FactKind, Notice, ReservationChange, TaskChange, TaskStatus};
use taskrouter_streams::call::pause::{OnExpiry, PauseScope};
use taskrouter_streams::call::recording::{Recorded, RecordedKind, RecordingProof, RecordingRow, RecordingStatus};
use taskrouter_streams::call::sid::RecordingSid;
use taskrouter_streams::call::step::{Answer, CallStatus, Command, Goal, Operation, Outcome, Read, Step};
use taskrouter_streams::call::summary::{RecordingState, Summary};
use taskrouter_streams::call::{Call, Neighbour, Next, summarize};

const RUNS: RecordingStatus = RecordingStatus::InProgress;
const PAUSED: RecordingStatus = RecordingStatus::Paused;

fn recording(number: u32) -> RecordingSid {
    sid("RE", number)
}

/// One agent's call of which the leg and the conference are recorded.
fn recorded(statuses: [RecordingStatus; 2]) -> Story {
    let mut story = Story::by_api();
    story.policy.pause_recording = true;
    let places = [Recorded::Call(customer()), Recorded::Conference(sid("CF", 1))];
    for (number, (of, status)) in (1..).zip(places.into_iter().zip(statuses)) {
        story.world.recordings.push((of, RecordingRow { sid: recording(number), status }));
    }
    story.accepted(1, 1);
    story.run();
    story
}

fn statuses(story: &Story) -> Vec<RecordingStatus> {
    story.world.recordings.iter().map(|(_, row)| row.status).collect()
}

fn pauses(step: &Step) -> bool {
    matches!(step.operation, Operation::Command(Command::PauseRecording { .. }))
}

fn resumes(step: &Step) -> bool {
    matches!(step.operation, Operation::Command(Command::ResumeRecording { .. }))
}

/// Performs steps until one is such, which is returned.
fn until(story: &mut Story, is_it: impl Fn(&Step) -> bool) -> Step {
    for _ in 0..30 {
        let step = story.step();
        if is_it(&step) {
            return step;
        }
        story.perform(step);
    }
    panic!("it never comes");
}

fn told(story: &Story) -> Summary {
    assert_eq!(Call::fold(&story.facts), story.call, "I9");
    summarize(&story.facts).unwrap()
}

fn state(story: &Story) -> RecordingState {
    told(story).pauses[0].recording.clone().unwrap().state
}

#[test]
fn a_pause_of_anybody_pauses_both_recordings_after_the_streams_and_a_resume_resumes_them() {
    for scope in [PauseScope::Call, of(1)] {
        let mut story = recorded([RUNS, RUNS]);
        story.learn(paused("p", scope));
        let done = story.run();
        assert_eq!(done[0], "stop stream", "what is in the order of danger first: {done:?}");
        assert!(is_proven(&story, "p") && statuses(&story) == [PAUSED, PAUSED], "{done:?}");
        let by: Vec<_> = story.call.pauses()[0].recordings.iter().flatten().map(|row| row.by).collect();
        assert_eq!(by, [RecordingProof::Answered; 2]);
        assert_eq!(state(&story), RecordingState::Paused);
        let ended = story.now;
        story.learn(resumed("p"));
        story.run();
        assert_eq!(statuses(&story), [RUNS, RUNS]);
        let recording = told(&story).pauses[0].recording.clone().unwrap();
        assert_eq!(recording.state, RecordingState::Resumed);
        assert!(recording.recordings.iter().all(|row| row.resumed_at.is_some_and(|at| at >= ended)));
        assert!(story.rests());
    }
}

#[test]
fn without_the_setting_nothing_is_asked() {
    let mut story = recorded([RUNS, RUNS]);
    story.policy.pause_recording = false;
    story.learn(paused("p", PauseScope::Call));
    assert_eq!(story.run(), ["stop stream"]);
    assert!(is_proven(&story, "p") && told(&story).pauses[0].recording.is_none());
}

#[test]
fn one_that_is_alone_is_paused_as_the_current_one_and_of_several_each_by_its_sid() {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    let second = RecordingRow { sid: recording(3), status: RUNS };
    for several in [false, true] {
        if several {
            story.world.recordings.push((Recorded::Call(customer()), second.clone()));
        }
        story.learn(paused(if several { "b" } else { "a" }, PauseScope::Call));
        let step = until(&mut story, pauses);
        let Operation::Command(Command::PauseRecording { current, .. }) = &step.operation else { unreachable!() };
        assert_eq!(*current, !several);
        story.perform(step);
        story.run();
        assert!(statuses(&story).iter().all(|status| *status != RUNS));
        story.learn(resumed(if several { "b" } else { "a" }));
        story.run();
    }
    assert_eq!(statuses(&story), [RUNS, RecordingStatus::Over, RUNS]);
}

#[test]
fn where_there_is_none_that_is_said_after_one_look_at_each() {
    let mut story = recorded([RecordingStatus::Over; 2]);
    story.now += 60_000;
    story.learn(paused("p", PauseScope::Call));
    assert_eq!(story.run(), ["stop stream", "list recordings", "list recordings"]);
    assert!(is_proven(&story, "p"));
    assert_eq!((state(&story), story.call.pauses()[0].recordings.as_deref()), (RecordingState::None, Some(&[][..])));
}

/// I8: as it was before our first write.
#[test]
fn what_others_had_paused_stays_paused() {
    let mut story = recorded([PAUSED, RUNS]);
    story.learn(paused("p", PauseScope::Call));
    story.run();
    assert!(is_proven(&story, "p"));
    let by: Vec<_> = story.call.pauses()[0].recordings.iter().flatten().map(|row| row.by).collect();
    assert_eq!(by, [RecordingProof::PausedByOthers, RecordingProof::Answered]);
    story.learn(resumed("p"));
    story.run();
    assert_eq!(statuses(&story), [PAUSED, RUNS]);
    // Ours before, theirs now.
    *story.world.recording(&recording(2)) = PAUSED;
    story.learn(paused("q", PauseScope::Call));
    story.run();
    story.learn(resumed("q"));
    story.run();
    assert_eq!(statuses(&story), [PAUSED, PAUSED]);
}

#[test]
fn of_overlapping_pauses_the_last_to_end_resumes() {
    let mut story = recorded([RUNS, RUNS]);
    story.learn(paused("a", of(1)));
    story.run();
    story.learn(paused("b", PauseScope::Call));
    story.run();
    story.learn(resumed("a"));
    story.run();
    assert_eq!((statuses(&story), state(&story)), (vec![PAUSED, PAUSED], RecordingState::Paused));
    story.learn(resumed("b"));
    story.run();
    assert_eq!((statuses(&story), state(&story)), (vec![RUNS, RUNS], RecordingState::Resumed));
}

/// I13, I12: one that begins within the pause is told, paused, and the pause proven again.
#[test]
fn one_that_begins_within_a_pause_is_found_when_somebody_joins_and_now_and_then() {
    for joins in [false, true] {
        let mut story = recorded([RecordingStatus::Over; 2]);
        story.learn(paused("p", PauseScope::Call));
        story.run();
        let row = RecordingRow { sid: recording(7), status: RUNS };
        story.world.recordings.push((Recorded::Call(customer()), row));
        let began = story.now;
        if joins {
            story.accepted(2, 2);
        }
        let look = story.step();
        assert!(matches!(look.operation, Operation::Read(Read::Recordings { .. })), "{look:?}");
        assert!(story.now - began <= if joins { 10 } else { 30_000 });
        story.perform(look);
        assert_eq!(story.report(), FactKind::Noticed(Notice::PauseUnproven { id: "p".parse().unwrap() }));
        let done = story.run();
        assert!(done.contains(&"pause recording".to_owned()) && is_proven(&story, "p"), "{done:?}");
        assert_eq!(story.call.pauses()[0].recordings.as_ref().map(Vec::len), Some(1));
    }
}

/// Somebody presses "resume recording" within the pause.
#[test]
fn one_that_others_resume_within_a_pause_is_paused_again() {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    story.learn(paused("p", PauseScope::Call));
    story.run();
    *story.world.recording(&recording(1)) = RUNS;
    let look = story.step();
    story.perform(look);
    assert_eq!(story.report(), FactKind::Noticed(Notice::PauseUnproven { id: "p".parse().unwrap() }));
    story.run();
    assert!(is_proven(&story, "p") && statuses(&story)[0] == PAUSED);
}

/// I13: a resume whose answer was lost can still land after a later pause.
#[test]
fn a_resume_that_can_still_land_keeps_the_next_pause_from_being_proven() {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    story.learn(paused("a", PauseScope::Call));
    story.run();
    story.learn(resumed("a"));
    let resume = until(&mut story, resumes);
    story.begin(&resume);
    let sent = story.now;
    story.settle(resume, lost_answer());
    story.learn(paused("b", PauseScope::Call));
    let pause = until(&mut story, pauses);
    story.perform(pause);
    assert_eq!(statuses(&story)[0], PAUSED);
    while !is_proven(&story, "b") {
        assert!(story.now <= sent + 20_000, "it is never proven");
        match story.next() {
            Next::Do(step) => story.perform(step),
            Next::Report(kind) => story.learn(kind),
            Next::WaitUntil(at) => story.now = at,
            next @ (Next::Park(_) | Next::Idle | Next::Over) => panic!("{next:?}"),
        }
    }
    assert!(story.now - sent >= story.policy.landing_ms, "proven {} ms after the resume", story.now - sent);
}

/// A pause whose answer was lost, and a crash: perhaps it landed, so it is ours to undo.
#[test]
fn a_pause_of_unknown_end_is_sent_again_and_undone() {
    for lands in [false, true] {
        let mut story = recorded([RUNS, RecordingStatus::Over]);
        story.learn(paused("p", PauseScope::Call));
        let pause = until(&mut story, pauses);
        story.begin(&pause);
        if lands {
            *story.world.recording(&recording(1)) = PAUSED;
        }
        story.settle(pause, lost_answer());
        story.learn(resumed("p"));
        story.run();
        assert_eq!(statuses(&story)[0], RUNS, "lands: {lands}");
        assert!(story.rests());
    }
}

/// What Twilio does not let us do shows as such, and the pause stays unproven.
#[test]
fn without_the_right_to_change_recordings_a_pause_is_not_proven_and_that_is_parked() {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    story.learn(paused("p", PauseScope::Call));
    let denied = || Outcome::Denied(trouble(Some(403)));
    let answer =
        |operation: &Operation| matches!(operation, Operation::Command(Command::PauseRecording { .. })).then(denied);
    let parked = story.until_parked(answer);
    assert_eq!(parked.goal, Goal::PauseRecording(RecordedKind::Call));
    assert!(!is_proven(&story, "p") && story.live().is_empty(), "the streams are stopped all the same");
    assert!(story.call.pauses()[0].unproven_at.is_some() && state(&story) == RecordingState::Unproven);
    // The right is given, and the slow retry finds it.
    let again = until(&mut story, pauses);
    story.perform(again);
    story.run();
    assert!(is_proven(&story, "p") && story.call.parked().next().is_none());
}

#[test]
fn a_recording_that_cannot_be_resumed_is_parked() {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    story.learn(paused("p", PauseScope::Call));
    story.run();
    story.learn(resumed("p"));
    let refused = || Outcome::Refused(trouble(Some(400)));
    let answer =
        |operation: &Operation| matches!(operation, Operation::Command(Command::ResumeRecording { .. })).then(refused);
    let parked = story.until_parked(answer);
    assert_eq!(parked.goal, Goal::ResumeRecording(RecordedKind::Call));
    assert_eq!(state(&story), RecordingState::NotResumed);
    story.learn(FactKind::Redriven);
    story.run();
    assert_eq!((statuses(&story)[0], story.call.parked().count()), (RUNS, 0));
}

/// Nobody has published what Twilio answers where nothing is recorded any more: the list tells.
#[test]
fn a_refusal_is_believed_when_the_list_agrees() {
    for refusal in [not_found(), not_in_progress(), Outcome::Refused(trouble(Some(400)))] {
        let mut story = recorded([RUNS, RecordingStatus::Over]);
        story.learn(paused("p", PauseScope::Call));
        let pause = until(&mut story, pauses);
        story.begin(&pause);
        *story.world.recording(&recording(1)) = RecordingStatus::Over;
        story.settle(pause, refusal);
        assert!(!is_proven(&story, "p"));
        story.run();
        assert!(is_proven(&story, "p"));
        assert_eq!(state(&story), RecordingState::None);
    }
}

/// I5: after the end of the task nothing is paused any more, and what we paused is resumed while the call lives.
#[test]
fn after_the_end_of_the_task_only_what_we_paused_is_undone() {
    let mut story = recorded([RUNS, RUNS]);
    story.learn(paused("p", PauseScope::Call));
    story.run();
    story.task(TaskChange::Completed, TaskStatus::Completed);
    assert!(matches!(story.next(), Next::WaitUntil(_)), "the pause's time still counts");
    story.learn(resumed("p"));
    let done = story.run();
    assert_eq!(statuses(&story), [RUNS, RUNS], "{done:?}");
    let mut over = recorded([RUNS, RUNS]);
    over.task(TaskChange::Completed, TaskStatus::Completed);
    over.learn(paused("p", PauseScope::Call));
    over.run();
    assert_eq!(statuses(&over), [RUNS, RUNS]);
}

#[test]
fn a_call_that_is_over_needs_nothing() {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    story.learn(paused("p", PauseScope::Call));
    story.run();
    story.learn(resumed("p"));
    story.world.call = CallStatus::Over;
    let resume = until(&mut story, resumes);
    story.begin(&resume);
    story.settle(resume, not_in_progress());
    story.run();
    assert_eq!((story.next(), state(&story)), (Next::Over, RecordingState::Over));
}

/// The leg is shared: the recording is resumed when no task on it is paused.
#[test]
fn a_recording_stays_paused_while_another_task_on_the_leg_is() {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    story.learn(paused("p", PauseScope::Call));
    story.run();
    let other =
        Neighbour { task: sid("WT", 2), since: START, live: true, tracks: 0, paused: true, proven_pauses: Vec::new() };
    story.neighbours = vec![other.clone()];
    story.learn(resumed("p"));
    let start = story.step();
    assert_eq!(created(&start).name, format!("{}_2", name(1, 1)));
    story.perform(start);
    for _ in 0..5 {
        let Next::WaitUntil(at) = story.next() else { panic!("{:?}", story.next()) };
        story.now = at;
    }
    assert_eq!(statuses(&story)[0], PAUSED);
    story.neighbours = vec![Neighbour { paused: false, ..other }];
    story.run();
    assert_eq!(statuses(&story)[0], RUNS);
}

/// Flex writes the conference into the attributes later, or not at all.
#[test]
fn the_conference_is_looked_for_where_it_is_not_known() {
    let mut story = recorded([RecordingStatus::Over, RUNS]);
    story.call = Call::default();
    story.facts.clear();
    let mut view = view(TaskStatus::Assigned, 1);
    view.attributes.conference = None;
    story.learn(reservation_event(story.now, ReservationChange::Accepted, 1, 1, view));
    story.run();
    story.learn(paused("p", PauseScope::Call));
    let done = story.run();
    assert!(done.contains(&"find conference".to_owned()), "{done:?}");
    assert!(is_proven(&story, "p") && statuses(&story)[1] == PAUSED);
}

/// One agent's call of which the leg is recorded, and which nothing names.
fn unnamed() -> Story {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    story.call = Call::default();
    story.facts.clear();
    story.world.attributes = CallAttributes::default();
    let mut view = view(TaskStatus::Assigned, 1);
    view.attributes = CallAttributes::default();
    story.learn(reservation_event(story.now, ReservationChange::Accepted, 1, 1, view));
    story
}

/// With every stream paused nothing else looks for the customer.
#[test]
fn a_leg_that_nothing_names_is_looked_for_before_its_pause_is_proven() {
    let mut story = unnamed();
    story.learn(paused("p", PauseScope::Call));
    let done = story.run();
    assert!(is_proven(&story, "p") && statuses(&story)[0] == PAUSED, "{done:?}");
    let by: Vec<_> = story.call.pauses()[0].recordings.iter().flatten().map(|row| row.of.clone()).collect();
    assert_eq!(by, [Recorded::Call(customer())]);
}

/// A task without a call has nothing that could be recorded; one of two who called is the customer.
#[test]
fn who_may_be_the_customer_keeps_a_pause_from_being_proven_and_nobody_does_not() {
    for callers in [0, 2] {
        let mut story = unnamed();
        story.world.recordings.clear();
        story.learn(paused("p", PauseScope::Call));
        let listed: Vec<_> = (1..=callers).map(|number| row(sid("CA", 200 + number))).collect();
        story.run_answered(|operation| match operation {
            Operation::Read(Read::Participants { .. }) => Some(Outcome::Done(Answer::Participants(listed.clone()))),
            Operation::Read(Read::FindConference { .. }) if callers == 0 => {
                Some(Outcome::Done(Answer::Conference(None)))
            }
            Operation::Read(_) | Operation::Command(_) => None,
        });
        assert!(story.call.has_no_call() && story.rests());
        assert_eq!(is_proven(&story, "p"), callers == 0, "of {callers}");
    }
}

/// Our resume landed, its answer was lost, and Twilio refuses it when it is repeated: what others pause from then on is theirs.
#[test]
fn after_a_lost_resume_what_others_pause_is_theirs() {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    story.learn(paused("p", PauseScope::Call));
    story.run();
    story.learn(resumed("p"));
    let resume = until(&mut story, resumes);
    story.begin(&resume);
    story.world.recordings[0].1.status = RUNS;
    story.settle(resume, lost_answer());
    let refused = || Outcome::Refused(trouble(Some(400)));
    story.run_answered(|operation| {
        matches!(operation, Operation::Command(Command::ResumeRecording { .. })).then(refused)
    });
    story.world.recordings[0].1.status = PAUSED;
    story.learn(paused("q", PauseScope::Call));
    story.run();
    assert!(is_proven(&story, "q"));
    let by: Vec<_> = story.call.pauses()[1].recordings.iter().flatten().map(|row| row.by).collect();
    assert_eq!(by, [RecordingProof::PausedByOthers]);
    story.learn(resumed("q"));
    story.run();
    assert_eq!(statuses(&story)[0], PAUSED);
}

/// What was read before it was given up does not show that it can be read again.
#[test]
fn a_list_that_cannot_be_read_any_more_stays_parked() {
    let mut story = recorded([RUNS, RUNS]);
    story.learn(paused("p", PauseScope::Call));
    story.run();
    assert!(is_proven(&story, "p"));
    story.now += 40_000;
    let parked =
        story.until_parked(|operation| matches!(operation, Operation::Read(Read::Recordings { .. })).then(lost_answer));
    assert!(matches!(parked.goal, Goal::PauseRecording(_)), "{parked:?}");
    assert!(!matches!(story.next(), Next::Report(FactKind::Recovered(_))), "nothing has been read since");
}

/// A list that was never read says nothing: Flex records the conference.
#[test]
fn one_list_that_is_empty_does_not_say_that_there_is_none() {
    let mut story = recorded([RecordingStatus::Over, RUNS]);
    story.learn(paused("p", PauseScope::Call));
    let denied = || Outcome::Denied(trouble(Some(403)));
    story.run_answered(|operation| {
        matches!(operation, Operation::Read(Read::Recordings { of: Recorded::Conference(_) })).then(denied)
    });
    assert!(!is_proven(&story, "p"));
    assert_eq!(state(&story), RecordingState::Unproven);
}

/// Its time still counts when the task is over and the leg lives on.
#[test]
fn a_pause_that_outlives_its_task_ends_when_its_time_is_up() {
    let mut story = recorded([RUNS, RecordingStatus::Over]);
    story.policy.pause_on_expiry = OnExpiry::Resume;
    story.learn(paused("p", PauseScope::Call));
    story.run();
    story.task(TaskChange::Completed, TaskStatus::Completed);
    story.run();
    assert_eq!(statuses(&story)[0], PAUSED);
    let Next::WaitUntil(at) = story.next() else { panic!("{:?}", story.next()) };
    assert!(at <= START + story.policy.pause_max_ms + 1_000, "{}", at - START);
    story.now = START + story.policy.pause_max_ms + 1_000;
    story.run();
    assert_eq!(statuses(&story)[0], RUNS);
}
