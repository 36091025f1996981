//! A call as its facts tell it: the fold. Each part takes from a fact what concerns it; here it is only told which part that is.

use super::fact::{CallAttributes, EpochMs, Fact, FactKind, Notice, Operated, OperatorAct, ReservationChange};
use super::holds::{HoldSpan, Holds};
use super::leg::{Leg, Sight, Whereabouts};
use super::legs::Legs;
use super::pause::PauseId;
use super::pauses::{Pause, Pauses};
use super::policy::Policy;
use super::recording::{Recorded, RecordingRow, RecordingStatus};
use super::recordings::Recordings;
use super::retry::{Retries, RetryKind};
use super::sid::{AccountSid, CallSid, ConferenceSid, RecordingSid, ReservationSid, TaskSid};
use super::step::{
    Answer, Assumed, CallRow, CallStatus, Command, ConferenceRow, Goal, Guard, Operation, Outcome, ParticipantRow,
    Read, Settled, Step, StreamStart, Trouble,
};
use super::streams::{Stream, Streams};
use super::task::{Reservation, Task};

/// Everything known about one task's call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    account: Option<AccountSid>,
    pub(super) task: Task,
    pub(super) legs: Legs,
    pub(super) leg: Leg,
    pub(super) streams: Streams,
    pub(super) pauses: Pauses,
    pub(super) recordings: Recordings,
    pub(super) holds: Holds,
    pub(super) retries: Retries,
    /// The facts say that something is parked; it may have been reached, or have become moot, since.
    pub(super) said_parked: bool,
    /// When it was last noticed that the task has no call.
    no_call_at: Option<EpochMs>,
    /// A command of its was decided and not sent: all are, from the first to the last.
    shadow: bool,
    first_fact_at: Option<EpochMs>,
    last_fact_at: EpochMs,
    last_step: u32,
    /// The command that was begun and has not settled.
    under_way: Option<Step>,
    /// Was the customer's leg, and has a guard that we lowered: nobody was told yet.
    lowered_on: Option<CallSid>,
}

/// Another task on the same leg, as far as this one must know: a leg's tracks are shared, and only one task may redirect it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The task.
    pub task: TaskSid,
    /// When its first fact was journaled.
    pub since: EpochMs,
    /// Its conversation is not over.
    pub live: bool,
    /// Tracks of its streams that may run on the leg.
    pub tracks: usize,
    /// A pause of it is open, and it is not over.
    pub paused: bool,
    /// Those that are proven, and that a stream of another task on the leg belies.
    pub proven_pauses: Vec<PauseId>,
}

impl Call {
    /// Folds facts, oldest first.
    pub fn fold<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Self {
        let mut call = Self::default();
        for fact in facts {
            call.apply(fact);
        }
        call
    }

    /// Takes one more fact into account.
    pub fn apply(&mut self, fact: &Fact) {
        if self.is_foreign(&fact.kind) {
            return;
        }
        if let (None, Some(account)) = (&self.account, fact.kind.account()) {
            self.account = Some(account.clone());
        }
        // A call's time does not go back, however clocks are set.
        let at = fact.at.max(self.last_fact_at);
        self.leg.hold_mut().grow_old(at, &self.task);
        self.first_fact_at.get_or_insert(at);
        self.last_fact_at = at;
        self.said_parked = fact.kind.parks().unwrap_or(self.said_parked);
        let customer = self.customer().cloned();
        match &fact.kind {
            FactKind::Reservation(_) | FactKind::Task(_) | FactKind::Transfer(_) => self.apply_event(&fact.kind, at),
            FactKind::Begun(step) => self.begun(step, at),
            FactKind::Settled(settled) => self.settled(settled, at),
            FactKind::Stream(event) => {
                self.streams.tell(event, at);
                self.redirect_shown(&event.name, at);
                if let Some(reservation) = self.streams.proven(&event.name).cloned() {
                    self.retries.went_well(&Goal::Start(reservation));
                }
            }
            FactKind::Participant(event) => {
                // While nobody knows whose leg is whose, anybody's may be the customer's: it only asks for a look.
                if customer.as_ref().is_none_or(|customer| *customer == event.call) {
                    self.holds.heard(event.change, event.at, at);
                }
            }
            FactKind::Parked(parked) => self.retries.parked(parked, at),
            FactKind::Recovered(goal) => self.retries.forget(goal),
            FactKind::Noticed(notice) => self.noticed(notice, at),
            FactKind::Redriven | FactKind::Operated(Operated { act: OperatorAct::Redrive, .. }) => {
                self.retries = Retries::default();
                self.streams.forgive();
                self.leg.look_anew(at);
                self.no_call_at = None;
            }
            FactKind::Dismissed | FactKind::Operated(Operated { act: OperatorAct::Dismiss, .. }) => {
                self.retries.dismissed();
            }
            FactKind::Paused(paused) => self.pauses.paused(paused, at),
            FactKind::Resumed(resumed) => self.pauses.resumed(resumed, at),
            // Said for those who do not fold: here it was known from what happened.
            FactKind::Unparked => {}
        }
        self.customer_may_have_changed(customer.as_ref());
        let away = matches!(self.leg.whereabouts(), Whereabouts::Away(_));
        self.leg.hold_mut().expect_flex_to_unhold(at, &self.task, away);
    }

    /// Whether another account than the call's says this. Whoever has the token of one account can sign whatever they like
    /// about a task of another.
    pub fn is_foreign(&self, kind: &FactKind) -> bool {
        self.account.as_ref().zip(kind.account()).is_some_and(|(own, account)| own != account)
    }

    fn apply_event(&mut self, kind: &FactKind, at: EpochMs) {
        let begins = self.task.apply(kind, &mut self.legs, at);
        if let Some((view, stamp)) = kind.task_view().zip(kind.stamp()) {
            self.pauses.attribute((view.version.unwrap_or(0), stamp.at), view.attributes.paused.as_deref(), at);
        }
        if matches!(kind, FactKind::Reservation(event) if event.change == ReservationChange::Accepted) {
            self.recordings.joined(at);
        }
        if begins {
            let absence = self.leg.absence();
            self.leg.hold_mut().transfer_begins(absence);
            // What could not be done ahead of an earlier transfer is due for this one.
            self.retries.forget(&Goal::LowerGuard);
        }
    }

    /// What is known of a leg says nothing of another one; and what could not be done for want of a leg is due when there is one.
    fn customer_may_have_changed(&mut self, before: Option<&CallSid>) {
        if before == self.customer() {
            return;
        }
        if let Some(before) = before {
            if self.leg.may_be_lowered_by_us() && !self.leg.is_gone() && !self.shadow {
                self.lowered_on = Some(before.clone());
            }
            self.leg = Leg::default();
            self.recordings.leg_changed();
            self.holds.forget_leg();
        }
        self.retries.forget_all(|goal| matches!(goal, Goal::Start(_) | Goal::FindCustomer | Goal::CheckCall));
    }

    fn noticed(&mut self, notice: &Notice, at: EpochMs) {
        match notice {
            Notice::NoCall => {
                self.no_call_at = Some(at);
                self.retries.forget(&Goal::FindCustomer);
            }
            Notice::StartUnproven { name, replace } => self.streams.start_unproven(name, *replace),
            Notice::StopUnproven { name } => self.streams.stop_unproven(name, at),
            Notice::RedirectVoid => {
                if let Whereabouts::Perhaps(redirect) = self.leg.whereabouts() {
                    let names = redirect.starts();
                    self.streams.starts_void(&names, at);
                }
                self.leg.redirect_void();
                self.retries.forget(&Goal::Rejoin);
            }
            Notice::LegMoved { .. } | Notice::LegStayed { .. } | Notice::LegUnverified { .. } => {
                self.leg.probe_void();
                self.retries.forget(&Goal::VerifyLeg);
            }
            Notice::PauseProven { id, stops, recordings } => self.pauses.proven(id, stops, recordings.as_ref(), at),
            Notice::PauseUnproven { id } => self.pauses.unproven(id, at),
            Notice::PauseOverdue { id } => self.pauses.overdue(id),
            Notice::GuardLeft { .. } => self.lowered_on = None,
            Notice::OnHold => self.holds.noticed(true, at),
            Notice::OffHold => self.holds.noticed(false, at),
        }
    }

    fn begun(&mut self, step: &Step, at: EpochMs) {
        self.served(step);
        let Operation::Command(command) = &step.operation else { return };
        self.under_way = Some(step.clone());
        match command {
            Command::UpdateCustomer { guard, hold, .. } => self.leg.update_begun(*guard, *hold, at),
            Command::Redirect { customer, stop, start, .. } => {
                self.leg.redirect_begun(step, at);
                self.retries.forget(&Goal::Rejoin);
                stop.iter().for_each(|name| self.streams.stop_begun(name, true, at));
                self.streams.starts_begun(start, customer, at);
            }
            Command::CreateStream { customer, stream } => {
                self.leg.probe(&stream.name, at);
                self.retries.forget(&Goal::VerifyLeg);
                self.streams.starts_begun(std::slice::from_ref(stream), customer, at);
            }
            Command::StopStream { name, .. } => self.streams.stop_begun(name, false, at),
            Command::PauseRecording { of, recording, .. } => {
                self.recordings.begun(recording, of, RecordingStatus::Paused, at);
            }
            Command::ResumeRecording { of, recording } => {
                self.recordings.begun(recording, of, RecordingStatus::InProgress, at);
            }
            Command::EndConference { .. } => {}
        }
    }

    /// Somebody works on the call, so that its account is configured.
    fn served(&mut self, step: &Step) {
        self.last_step = self.last_step.max(step.id);
        self.retries.forget(&Goal::Serve);
    }

    fn settled(&mut self, settled: &Settled, at: EpochMs) {
        // In shadow mode nothing is begun.
        if settled.assumed == Some(Assumed::NotSent) {
            self.shadow = true;
            self.begun(&settled.step, settled.sent_at);
            self.streams.nobody_tells();
        }
        self.served(&settled.step);
        self.under_way = None;
        match &settled.step.operation {
            Operation::Command(command) => self.command_settled(command, settled, at),
            Operation::Read(read) => self.read_settled(read, settled, at),
        }
    }
}

/// How commands end.
impl Call {
    fn command_settled(&mut self, command: &Command, settled: &Settled, at: EpochMs) {
        let Settled { step, sent_at, outcome, .. } = settled;
        match command {
            Command::UpdateCustomer { guard, hold, .. } => {
                if !matches!(outcome, Outcome::Unknown(_)) {
                    self.leg.update_certain();
                }
                if matches!(outcome, Outcome::NotFound(_) | Outcome::NotInProgress(_) | Outcome::Refused(_)) {
                    self.leg.update_denied(*guard, *sent_at, at);
                }
                match outcome {
                    Outcome::Done(Answer::Participant(row)) => {
                        self.leg.update_taken(*guard, *hold, row, *sent_at, at);
                        if *hold == Some(true) {
                            self.retries.forget(&Goal::HoldAgain);
                        }
                        self.lowered_in_vain(step, at);
                    }
                    Outcome::Unknown(trouble) => {
                        self.leg.update_unknown(*guard, *hold, trouble.lost, *sent_at, at);
                    }
                    // Of a participant who is only connecting it is refused with a code that nobody has published
                    // (flex-project-template ConferenceMonitor.tsx).
                    Outcome::NotFound(_) | Outcome::NotInProgress(_) => self.customer_missed(step, *sent_at, at),
                    Outcome::Refused(Trouble { status: Some(400), .. }) => self.leg.is_not_there(),
                    Outcome::Done(_) | Outcome::TryLater(_) | Outcome::Denied(_) | Outcome::Refused(_) => {}
                }
            }
            Command::Redirect { stop, start, .. } => match outcome {
                Outcome::Done(_) => {
                    self.leg.redirected(at);
                    self.redirected(step, at);
                }
                Outcome::Unknown(trouble) => {
                    self.leg.redirect_unknown(*sent_at, trouble.lost, at);
                    self.streams.starts_unknown(start, *sent_at, trouble.lost);
                    stop.iter().for_each(|name| self.streams.stop_unknown(name, at));
                }
                Outcome::NotFound(_)
                | Outcome::NotInProgress(_)
                | Outcome::TryLater(_)
                | Outcome::Denied(_)
                | Outcome::Refused(_) => {
                    self.leg.redirect_void();
                    self.streams.starts_not_performed(start);
                    stop.iter().for_each(|name| self.streams.stop_not_performed(name));
                }
            },
            Command::CreateStream { stream, .. } => self.create_settled(stream, settled, at),
            Command::StopStream { name, conclusive, .. } => match outcome {
                Outcome::Done(_) => self.streams.stop_taken(name, at),
                Outcome::NotFound(_) => self.streams.stop_missing(name, *conclusive, at),
                Outcome::NotInProgress(_) => self.streams.stop_not_in_progress(name, at),
                Outcome::Unknown(_) => self.streams.stop_unknown(name, at),
                Outcome::TryLater(_) | Outcome::Denied(_) | Outcome::Refused(_) => {
                    self.streams.stop_not_performed(name)
                }
            },
            Command::PauseRecording { of, recording, .. } | Command::ResumeRecording { of, recording } => {
                return self.recording_settled(of, recording, settled, at);
            }
            Command::EndConference { .. } => {
                if matches!(outcome, Outcome::Done(_) | Outcome::NotFound(_) | Outcome::NotInProgress(_)) {
                    self.leg.conference_ended();
                }
            }
        }
        self.account_for(command, settled, at);
    }

    fn create_settled(&mut self, stream: &StreamStart, settled: &Settled, at: EpochMs) {
        let starts = std::slice::from_ref(stream);
        match &settled.outcome {
            Outcome::Done(answer) => {
                let sid = if let Answer::Stream(sid) = answer { Some(sid) } else { None };
                self.streams.starts_taken(starts, sid, at);
                self.leg.probe_taken(at);
                self.retries.went_well(&Goal::Start(stream.reservation.clone()));
            }
            Outcome::Unknown(trouble) => {
                self.streams.starts_unknown(starts, settled.sent_at, trouble.lost);
                self.leg.probe_void();
            }
            Outcome::NotFound(_)
            | Outcome::NotInProgress(_)
            | Outcome::TryLater(_)
            | Outcome::Denied(_)
            | Outcome::Refused(_) => {
                self.streams.starts_not_performed(starts);
                self.leg.probe_void();
            }
        }
    }

    /// A recording is paused or resumed. Which code Twilio answers with where there is none to be changed is not published: the list
    /// tells.
    fn recording_settled(&mut self, of: &Recorded, recording: &RecordingSid, settled: &Settled, at: EpochMs) {
        let Settled { step, sent_at, outcome, assumed, .. } = settled;
        if *assumed == Some(Assumed::NotSent) && matches!(outcome, Outcome::Done(_)) {
            self.recordings.assumed(recording, of);
        }
        let kind = match outcome {
            Outcome::Done(Answer::Recording(row)) => {
                if self.recordings.taken(recording, of, row, *sent_at, at) {
                    let reason = "the recording did not read as it was written in time";
                    return self.retries.waits(step, at, reason, |_| true);
                }
                return step.why.iter().for_each(|goal| self.retries.went_well(goal));
            }
            Outcome::Done(_) | Outcome::Unknown(_) => {
                self.recordings.perhaps_taken(recording, of, at);
                RetryKind::Failing
            }
            Outcome::NotFound(_) | Outcome::NotInProgress(_) => {
                if self.customer().cloned().map(Recorded::Call).as_ref() == Some(of) {
                    self.leg.doubted(*sent_at);
                }
                self.recordings.not_performed(recording, of, true, at);
                RetryKind::Failing
            }
            Outcome::TryLater(_) => {
                self.recordings.not_performed(recording, of, false, at);
                RetryKind::Failing
            }
            Outcome::Denied(_) => {
                self.recordings.not_performed(recording, of, false, at);
                RetryKind::Denied
            }
            Outcome::Refused(_) => {
                self.recordings.not_performed(recording, of, true, at);
                RetryKind::Refused
            }
        };
        if let Some(trouble) = outcome.trouble() {
            self.retries.failed(step, at, kind, trouble);
        }
    }

    /// What an answer that is no success means for the goals that the command served.
    fn account_for(&mut self, command: &Command, settled: &Settled, at: EpochMs) {
        let Settled { step, sent_at, outcome, .. } = settled;
        match (outcome, command) {
            (Outcome::Done(_), Command::StopStream { name, .. }) => self.retries.went_well(&Goal::Stop(name.clone())),
            (Outcome::Done(_), _) => {}
            (Outcome::NotFound(_) | Outcome::NotInProgress(_), Command::EndConference { .. }) => {}
            // Others wait for the customer to be there.
            (Outcome::NotFound(trouble) | Outcome::NotInProgress(trouble), Command::UpdateCustomer { .. }) => {
                let concerned = |goal: &Goal| !waits_for_customer(goal);
                self.retries.failed_for(step, at, RetryKind::Failing, trouble, concerned);
            }
            // An end of its own kind, unless the stream is not known to be over yet.
            (Outcome::NotFound(_) | Outcome::NotInProgress(_), Command::StopStream { name, .. }) => {
                if self.streams.may_run(name) {
                    self.leg.doubted(*sent_at);
                }
            }
            (Outcome::NotFound(trouble) | Outcome::NotInProgress(trouble), _) => {
                self.leg.doubted(*sent_at);
                self.retries.failed(step, at, RetryKind::Failing, trouble);
            }
            (Outcome::TryLater(trouble) | Outcome::Unknown(trouble), _) => {
                self.retries.failed(step, at, RetryKind::Failing, trouble);
            }
            (Outcome::Denied(trouble), _) => self.retries.failed(step, at, RetryKind::Denied, trouble),
            (Outcome::Refused(trouble), _) => {
                let connecting = matches!(command, Command::UpdateCustomer { .. }) && trouble.status == Some(400);
                let kind = if connecting { RetryKind::Waiting } else { RetryKind::Refused };
                self.retries.failed(step, at, kind, trouble);
            }
        }
    }

    /// A guard that is written again was not seen in time, which counts against the goal.
    fn lowered_in_vain(&mut self, step: &Step, at: EpochMs) {
        let again = self.leg.guard().is_rewritten();
        if again {
            self.retries.waits(step, at, "the guard did not read as it was written in time", |_| true);
        }
    }

    /// A redirect took effect: Twilio took it, or it was seen to have. The leg knows.
    fn redirected(&mut self, step: &Step, at: EpochMs) {
        let Operation::Command(Command::Redirect { stop, start, .. }) = &step.operation else { return };
        stop.iter().for_each(|name| self.streams.stop_taken(name, at));
        self.streams.starts_taken(start, None, at);
        step.why.iter().for_each(|goal| self.retries.went_well(goal));
    }

    /// A stream that a redirect of unknown end starts has been heard of: it took effect.
    fn redirect_shown(&mut self, name: &str, at: EpochMs) {
        let Whereabouts::Perhaps(redirect) = self.leg.whereabouts() else { return };
        if redirect.starts().iter().any(|start| start == name) && self.streams.is_started(name) {
            let step = redirect.step.clone();
            self.leg.redirected(at);
            self.redirected(&step, at);
        }
    }

    /// The customer reads absent: nothing need be undone.
    fn customer_absent(&mut self, step: &Step, asked_at: EpochMs, at: EpochMs) {
        let moved_on = self.leg.read_absent(asked_at);
        self.wait_for_customer(step, at);
        if step.why.contains(&Goal::RaiseGuard) {
            self.leg.raise_missed(asked_at, moved_on);
        }
        if step.why.contains(&Goal::HoldAgain) {
            self.leg.hold_mut().forget();
        }
    }

    /// An answer speaks as if the customer were not in the conference.
    fn customer_missed(&mut self, step: &Step, asked_at: EpochMs, at: EpochMs) {
        self.leg.missed(asked_at);
        self.wait_for_customer(step, at);
    }

    fn wait_for_customer(&mut self, step: &Step, at: EpochMs) {
        self.retries.waits(step, at, "the customer is not in the conference", waits_for_customer);
    }
}

/// Goals that have to wait while the customer is not in the conference.
fn waits_for_customer(goal: &Goal) -> bool {
    matches!(goal, Goal::Start(_) | Goal::Stop(_) | Goal::LowerGuard)
}

/// What is read.
impl Call {
    fn read_settled(&mut self, read: &Read, settled: &Settled, at: EpochMs) {
        let Settled { step, sent_at, outcome, .. } = settled;
        if step.why.iter().any(|goal| matches!(goal, Goal::PauseRecording(_))) {
            self.recordings.looked_for();
        }
        match (read, outcome) {
            (Read::Recordings { of }, Outcome::Done(Answer::Recordings(rows))) => {
                self.recordings.read(of, rows, *sent_at, at);
                self.recordings_listed(step, rows);
            }
            (Read::Task { .. }, Outcome::Done(Answer::Task(attributes))) => {
                self.attributes_read(attributes, *sent_at, at);
                self.still_no_customer(step, at);
            }
            (Read::FindConference { .. }, Outcome::Done(Answer::Conference(row))) => {
                if row.is_none() {
                    self.recordings.no_conference(*sent_at);
                }
                self.conference_told(step, None, row.as_ref(), at);
            }
            (Read::Conference { conference }, Outcome::Done(Answer::Conference(row))) => {
                self.conference_told(step, Some(conference), row.as_ref(), at);
            }
            (Read::Conference { conference }, Outcome::NotFound(_)) => {
                self.conference_told(step, Some(conference), None, at);
            }
            (Read::Participants { conference }, Outcome::Done(Answer::Participants(rows))) => {
                self.participants_read(step, conference, rows, *sent_at, at);
            }
            // No word on who is where: the conference may be over, or the answer wrong.
            (Read::Participants { conference }, Outcome::NotFound(trouble)) => {
                self.leg.conference_unknown(conference, at);
                self.customer_missed(step, *sent_at, at);
                let reason = "Twilio does not know the conference whose participants were asked for";
                self.retries.waits(step, at, reason, |goal| *goal == Goal::CheckHold);
                // Who is on the way back is looked for at a pace of its own.
                let paced = |goal: &Goal| waits_for_customer(goal) || matches!(goal, Goal::CheckHold | Goal::Rejoin);
                self.retries.failed_for(step, at, RetryKind::Failing, trouble, |goal| !paced(goal));
            }
            (Read::Call { call }, Outcome::Done(Answer::Call(row))) => self.call_read(step, call, *row, *sent_at, at),
            // Twilio knows every call of the account's region.
            (Read::Call { call }, Outcome::NotFound(trouble)) => {
                let reason = format!("Twilio does not know {call}: is the account or twilio.region another one?");
                self.retries.failed(step, at, RetryKind::Denied, &Trouble { reason, ..trouble.clone() });
            }
            (_, Outcome::Done(_)) => {
                self.retries.waits(step, at, "the answer was not of the kind that was asked for", |_| true);
            }
            // What was only asked for may be asked again.
            (_, Outcome::Refused(trouble) | Outcome::Denied(trouble)) => {
                self.retries.failed(step, at, RetryKind::Denied, trouble);
            }
            (
                _,
                Outcome::NotFound(trouble)
                | Outcome::NotInProgress(trouble)
                | Outcome::TryLater(trouble)
                | Outcome::Unknown(trouble),
            ) => self.retries.failed(step, at, RetryKind::Failing, trouble),
        }
    }

    /// Where the list shows what is wanted of it, failures to read it before are another matter.
    fn recordings_listed(&mut self, step: &Step, rows: &[RecordingRow]) {
        let shows = |status: RecordingStatus| rows.iter().any(|row| row.status == status);
        let (runs, paused) = (shows(RecordingStatus::InProgress), shows(RecordingStatus::Paused));
        for goal in &step.why {
            let wants_pause = matches!(goal, Goal::PauseRecording(_)) && !runs;
            if wants_pause || matches!(goal, Goal::ResumeRecording(_)) && !paused {
                self.retries.went_well(goal);
            }
        }
    }

    /// The task's attributes, behind what any event of a known version says.
    fn attributes_read(&mut self, attributes: &CallAttributes, asked_at: EpochMs, at: EpochMs) {
        self.legs.named((0, asked_at), attributes);
        self.pauses.attribute((0, asked_at), attributes.paused.as_deref(), at);
    }

    fn still_no_customer(&mut self, step: &Step, at: EpochMs) {
        if self.customer().is_none() {
            self.retries.waits(step, at, "nothing names the customer's call", |goal| *goal == Goal::FindCustomer);
        }
    }

    fn conference_told(
        &mut self,
        step: &Step,
        asked: Option<&ConferenceSid>,
        row: Option<&ConferenceRow>,
        at: EpochMs,
    ) {
        if !self.leg.conference_told(asked, row) {
            let concerned = |goal: &Goal| !matches!(goal, Goal::PauseRecording(_));
            self.retries.waits(step, at, "no conference of this task is in progress", concerned);
        }
    }

    fn participants_read(
        &mut self,
        step: &Step,
        conference: &ConferenceSid,
        rows: &[ParticipantRow],
        asked_at: EpochMs,
        at: EpochMs,
    ) {
        if self.is_own_conference() {
            self.legs.listed(rows);
        }
        let redirect = match self.leg.whereabouts() {
            Whereabouts::Perhaps(redirect) => Some(redirect.step.clone()),
            Whereabouts::There | Whereabouts::Away(_) => None,
        };
        let customer = self.customer().cloned();
        let sight = self.leg.participants_read(conference, rows, customer.as_ref(), asked_at, at);
        self.holds.read(self.leg.is_on_hold(at, &self.task), asked_at, at);
        self.retries.went_well(&Goal::CheckHold);
        let Sight { redirected, rejoined, absent, alone, guard_untold } = sight;
        if let Some(step) = redirect.filter(|_| redirected) {
            self.redirected(&step, at);
        }
        if rejoined {
            self.streams.rejoined(at);
            self.retries.forget(&Goal::Rejoin);
            self.retries.forget(&Goal::RaiseGuard);
        }
        if absent {
            self.customer_absent(step, asked_at, at);
        }
        if step.why.contains(&Goal::HoldAgain) {
            self.leg.hold_mut().looked();
        }
        if alone && !rejoined {
            let concerned = |goal: &Goal| matches!(goal, Goal::Start(_) | Goal::Stop(_));
            self.retries.waits(step, at, "the customer is alone in the conference", concerned);
        }
        if guard_untold {
            let concerned = |goal: &Goal| waits_for_customer(goal) || *goal == Goal::RaiseGuard;
            self.retries.waits(step, at, "Twilio does not tell the customer's endConferenceOnExit", concerned);
        }
        self.still_no_customer(step, at);
    }

    fn call_read(&mut self, step: &Step, call: &CallSid, row: CallRow, asked_at: EpochMs, at: EpochMs) {
        self.legs.fetched(call, row);
        self.still_no_customer(step, at);
        if self.customer() != Some(call) {
            return;
        }
        match row.status {
            CallStatus::Over => {
                self.leg.went();
                self.streams.call_over(call, at);
                self.retries.forget(&Goal::CheckCall);
            }
            CallStatus::Live | CallStatus::Coming => {
                self.leg.seen_alive(asked_at);
                self.retries.went_well(&Goal::CheckCall);
            }
        }
        if row.status == CallStatus::Coming {
            self.retries
                .waits(step, at, "the customer's call is not answered yet", |goal| matches!(goal, Goal::Start(_)));
        }
    }

    /// Whether the conference that is known bears the task's name, as Flex gives it.
    fn is_own_conference(&self) -> bool {
        self.leg.friendly_name().zip(self.task.sid()).is_some_and(|(name, task)| name == task.as_str())
    }
}

/// What others ask.
impl Call {
    /// Whether the call is in shadow mode: its streams, guard and hold are what would be.
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Whether we placed the call.
    pub fn is_outbound(&self) -> bool {
        self.legs.is_outbound()
    }

    /// The customer's leg, once it is known.
    pub fn customer(&self) -> Option<&CallSid> {
        self.legs.customer()
    }

    /// The account whose call it is, as its first event said.
    pub fn account(&self) -> Option<&AccountSid> {
        self.account.as_ref()
    }

    /// The task.
    pub fn task(&self) -> Option<&TaskSid> {
        self.task.sid()
    }

    /// The conference to act on: the one that Twilio confirmed, else the one that the attributes name unless it
    /// turned out not to be in progress.
    pub(super) fn conference(&self) -> Option<&ConferenceSid> {
        let hint = || self.legs.conference().filter(|hint| !self.leg.is_distrusted(hint));
        self.leg.conference().or_else(hint)
    }

    /// Reservations, by SID.
    pub fn reservations(&self) -> impl Iterator<Item = (&ReservationSid, &Reservation)> {
        self.task.reservations().iter()
    }

    /// Reservations whose agent is on the call, in the order in which they accepted.
    pub fn accepted(&self) -> Vec<(&ReservationSid, &Reservation)> {
        self.task.accepted()
    }

    /// The streams so far, in the order in which they were begun.
    pub fn streams(&self) -> &[Stream] {
        self.streams.rows()
    }

    /// The pauses so far, in the order in which they became known.
    pub fn pauses(&self) -> &[Pause] {
        self.pauses.rows()
    }

    /// The holds so far that streams went by, oldest first.
    pub fn holds(&self) -> &[HoldSpan] {
        self.holds.rows()
    }

    /// Whether this reservation's streams are paused.
    pub fn is_paused(&self, reservation: &ReservationSid) -> bool {
        self.pauses.cover(reservation)
    }

    /// What is parked and not dismissed, and why.
    pub fn parked(&self) -> impl Iterator<Item = (&Goal, &str)> {
        self.retries.all_parked()
    }

    /// What is being tried and has not gone well so far, and why.
    pub fn tried(&self) -> impl Iterator<Item = (&Goal, &str)> {
        self.retries.all_tried()
    }

    /// The values of a field that the configuration names: of the reservation's worker, or of the task.
    pub fn field(&self, reservation: &ReservationSid, name: &str) -> &[String] {
        self.task.field(reservation, name)
    }

    /// The guard by the last word on it; `None` while it is being changed, and until it is read after that.
    pub fn guard(&self) -> Option<Guard> {
        self.leg.guard().known().or_else(|| (!self.leg.guard().is_touched()).then(|| self.leg.own_guard()))
    }

    /// Whether the customer is held, by the last word on it.
    pub fn held(&self) -> Option<bool> {
        self.leg.hold().is()
    }

    /// Whether this is a call that we stream: a voice task, and not one that we placed unless the policy says so.
    pub fn is_eligible(&self, policy: &Policy) -> bool {
        let voice = match self.task.channel() {
            Some(channel) => policy.channels.iter().any(|voice| voice == channel),
            None => self.customer().is_some(),
        };
        voice && (policy.outbound || !self.is_outbound())
    }

    /// Whether the task has no call, as far as could be found.
    pub fn has_no_call(&self) -> bool {
        self.no_call_at.is_some() && self.customer().is_none() && !self.retries.is_parked(&Goal::FindCustomer)
    }

    /// Whether there is nothing to be looked for: nobody told anything since it was last looked for in vain.
    pub(super) fn looked_in_vain(&self) -> bool {
        self.no_call_at.is_some_and(|at| self.task.last_event_at().is_none_or(|event| event <= at))
    }

    /// Whether the conversation is over: the task's, or the customer's call.
    pub fn is_over(&self) -> bool {
        self.task.is_over() || self.leg.is_gone()
    }

    /// Whether the customer's call is known to be over.
    pub fn is_call_over(&self) -> bool {
        self.leg.is_gone()
    }

    /// Whether a transfer has been announced that has neither ended nor led to an accepted reservation, so that
    /// the guard should be lowered ahead of the transferee's acceptance.
    pub fn has_open_transfer(&self) -> bool {
        self.task.has_open_transfer()
    }

    /// What another task on the same leg must know of this one.
    pub fn neighbour(&self, leg: &CallSid) -> Option<Neighbour> {
        let on_the_leg = self.streams.live().filter(|stream| stream.call == *leg);
        Some(Neighbour {
            task: self.task.sid()?.clone(),
            since: self.first_fact_at?,
            live: self.customer() == Some(leg) && !self.is_over(),
            tracks: on_the_leg.map(|stream| stream.tracks).sum(),
            paused: !self.is_over() && self.pauses.open().next().is_some(),
            proven_pauses: if self.is_over() { Vec::new() } else { self.pauses.proven_of_call().cloned().collect() },
        })
    }

    /// A leg that was the customer's, and has a guard that we lowered: nobody was told yet.
    pub(super) fn lowered_on(&self) -> Option<&CallSid> {
        self.lowered_on.as_ref()
    }

    pub(super) fn first_fact_at(&self) -> Option<EpochMs> {
        self.first_fact_at
    }

    /// When the newest fact was journaled.
    pub fn last_fact_at(&self) -> EpochMs {
        self.last_fact_at
    }

    /// The command that was begun and has not settled. Whoever asks what is next performs none: the process that began it
    /// did not live to tell how it ended.
    pub(super) fn under_way(&self) -> Option<&Step> {
        self.under_way.as_ref()
    }

    pub(super) fn last_step(&self) -> u32 {
        self.last_step
    }
}
