//! How an answer changes what is known of the customer's leg: the transitions of [`super::leg`].

use super::fact::EpochMs;
use super::leg::{Doubt, GuardState, Leg, Raise, StreakKind, Watch};
use super::sid::{CallSid, ConferenceSid};
use super::step::{Answer, Change, ConferenceRow, Guard, Operation, Outcome, ParticipantRow, Settled, Step, Trouble};

/// What the fold knows besides the answer that it folds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// When the request was sent.
    pub(super) asked_at: EpochMs,
    /// When the answer was journaled.
    pub(super) at: EpochMs,
    /// The customer's leg.
    pub(super) customer: Option<&'a CallSid>,
    /// We placed the call.
    pub(super) outbound: bool,
    /// A leg that is not the customer's.
    pub(super) worker_leg: Option<&'a CallSid>,
}

/// The transitions.
impl Leg {
    pub(super) fn step_begun(&mut self, step: &Step, at: EpochMs) {
        self.last_step = self.last_step.max(step.id);
        self.maybe_started.extend(step.operation.starts().iter().map(|start| start.name.clone()));
        self.before_update = matches!(step.operation, Operation::UpdateCustomer { .. }).then(|| self.handle());
        if step.operation.is_idempotent() {
            return self.perhaps_performed(step, at);
        }
        let row_before = self.reading.as_ref().and_then(|reading| reading.customer.clone());
        self.doubt = Some(Doubt { step: step.clone(), watch: Watch::begin(at), row_before });
    }

    pub(super) fn step_settled(&mut self, settled: &Settled, context: Context<'_>) {
        let step = &settled.step;
        self.last_step = self.last_step.max(step.id);
        if let (Some(before), Operation::UpdateCustomer { .. }) = (self.before_update.take(), &step.operation) {
            self.back_to(before);
        }
        match &settled.outcome {
            Outcome::Done(answer) => self.step_done(step, answer, context),
            Outcome::Gone => self.resource_gone(step, context),
            Outcome::TryLater(trouble) => {
                self.not_performed(step);
                self.failed(step, context.at, StreakKind::Failing, trouble);
            }
            Outcome::Unknown(trouble) => {
                self.perhaps_performed(step, context.at);
                self.failed(step, context.at, StreakKind::Failing, trouble);
            }
            Outcome::Refused(trouble) => {
                self.not_performed(step);
                let kind = self.refusal_kind(step, trouble);
                self.failed(step, context.at, kind, trouble);
            }
        }
    }

    /// A change of a participant who is only connecting is refused with a code that nobody has published
    /// (flex-project-template ConferenceMonitor.tsx): look again, which the streak bounds.
    fn refusal_kind(&mut self, step: &Step, trouble: &Trouble) -> StreakKind {
        if matches!(step.operation, Operation::UpdateCustomer { .. }) && trouble.status == Some(400) {
            self.absent = true;
            StreakKind::Waiting
        } else {
            StreakKind::Refused
        }
    }

    fn step_done(&mut self, step: &Step, answer: &Answer, context: Context<'_>) {
        match (&step.operation, answer) {
            (Operation::FetchTask { .. }, Answer::Task(attributes)) => {
                self.looked_up = attributes.clone();
                if attributes.customer.is_none() {
                    self.waits(step, context.at, "the task's attributes do not name the customer's call");
                }
            }
            (Operation::FindConference { .. }, Answer::Conference(row)) => {
                self.conference_told(step, None, row.as_ref(), context.at);
            }
            (Operation::FetchConference { conference }, Answer::Conference(row)) => {
                self.conference_told(step, Some(conference), row.as_ref(), context.at);
            }
            (Operation::ReadParticipants { conference }, Answer::Participants(rows)) => {
                self.participants_read(step, conference, rows, context);
            }
            (Operation::UpdateCustomer { guard, hold, .. }, Answer::Participant(row)) => {
                self.customer_updated(step, *guard, *hold, row, context);
            }
            (Operation::Redirect { .. }, _) => self.redirected(step, context.at),
            (Operation::CreateStream { .. }, Answer::Stream(sid)) => self.created(step, sid.as_ref(), context.at),
            (Operation::StopStream { name, .. }, _) => self.stream_stopped(step, name, context.at),
            (Operation::FetchCall { .. }, Answer::Call { live: true }) => self.seen_alive(step, context.at),
            (Operation::FetchCall { .. }, Answer::Call { live: false }) => self.gone = true,
            (Operation::CreateStream { .. }, _) => self.perhaps_performed(step, context.at),
            (
                Operation::FetchTask { .. }
                | Operation::FindConference { .. }
                | Operation::FetchConference { .. }
                | Operation::ReadParticipants { .. }
                | Operation::UpdateCustomer { .. }
                | Operation::FetchCall { .. },
                _,
            ) => self.waits(step, context.at, "the answer was not of the kind that was asked for"),
        }
    }

    fn seen_alive(&mut self, step: &Step, at: EpochMs) {
        self.alive_at = Some(at);
        self.went_well(step);
    }

    fn resource_gone(&mut self, step: &Step, context: Context<'_>) {
        match &step.operation {
            // Twilio does not know the leg of a call that we placed before it is answered.
            Operation::CreateStream { .. } if context.outbound => {
                self.not_performed(step);
                self.waits(step, context.at, "the customer's call is not in progress");
            }
            Operation::FetchTask { .. }
            | Operation::Redirect { .. }
            | Operation::CreateStream { .. }
            | Operation::FetchCall { .. } => {
                self.doubt = None;
                self.gone = true;
            }
            Operation::FindConference { .. } => self.conference_told(step, None, None, context.at),
            Operation::FetchConference { conference } => {
                self.conference_told(step, Some(conference), None, context.at);
            }
            Operation::ReadParticipants { conference } => {
                self.participants_read(step, conference, &[], context);
            }
            Operation::UpdateCustomer { .. } => self.customer_absent(step, context.at),
            Operation::StopStream { name, .. } => self.stream_stopped(step, name, context.at),
        }
    }

    fn not_performed(&mut self, step: &Step) {
        if let Operation::StopStream { name, .. } = &step.operation {
            self.ledger.not_stopped(name, step.id);
        }
        if !step.operation.is_idempotent() {
            self.doubt = None;
            self.hold_at_risk = None;
            for start in step.operation.starts() {
                self.maybe_started.remove(&start.name);
            }
        }
    }

    fn perhaps_performed(&mut self, step: &Step, at: EpochMs) {
        match &step.operation {
            Operation::Redirect { .. } | Operation::CreateStream { .. } => {
                if let Some(doubt) = &mut self.doubt {
                    doubt.watch = Watch::begin(at);
                }
            }
            Operation::UpdateCustomer { guard, hold, .. } => {
                if guard.is_some() {
                    self.guard = GuardState::Unsure;
                }
                if *guard == Some(Guard::Raised) {
                    self.raise_on_its_way = Some(Raise { sent: at, shows: false });
                }
                if *hold == Some(false) {
                    self.owes_hold = Some(at);
                }
            }
            Operation::StopStream { name, .. } => self.ledger.perhaps_stopped(name, step.id),
            Operation::FetchTask { .. }
            | Operation::FindConference { .. }
            | Operation::FetchConference { .. }
            | Operation::ReadParticipants { .. }
            | Operation::FetchCall { .. } => {}
        }
    }

    fn conference_told(
        &mut self,
        step: &Step,
        asked: Option<&ConferenceSid>,
        row: Option<&ConferenceRow>,
        at: EpochMs,
    ) {
        if let Some(row) = row.filter(|row| row.in_progress) {
            self.conference = Some(row.sid.clone());
            self.room = Some(row.friendly_name.clone());
            self.distrusted.remove(&row.sid);
        } else {
            if !row.is_some_and(|row| row.to_come) {
                self.conference_lost(asked);
            }
            self.waits(step, at, "no conference of this task is in progress");
        }
    }

    pub(super) fn conference_lost(&mut self, conference: Option<&ConferenceSid>) {
        self.distrusted.extend(conference.cloned());
        self.conference = None;
        self.room = None;
        self.guard = GuardState::Untouched;
        self.absent = false;
    }

    fn customer_updated(
        &mut self,
        step: &Step,
        guard: Option<Guard>,
        hold: Option<bool>,
        row: &ParticipantRow,
        context: Context<'_>,
    ) {
        let at = context.at;
        let held = hold.unwrap_or(row.hold == Some(true));
        self.absent = false;
        self.held = Some((held, at));
        match hold {
            Some(false) => self.owes_hold = Some(at),
            Some(true) => {
                self.owes_hold = None;
                self.streaks.remove(&Change::HoldAgain);
            }
            None if held => self.reads_held(context.asked_at),
            None => {}
        }
        match guard {
            // Ignored by Twilio in spite of the echo: the next request takes the customer off hold.
            Some(_) if held => {}
            Some(Guard::Lowered) => {
                if matches!(self.guard, GuardState::Lowering(_) | GuardState::Unsure) {
                    self.waits(step, at, "the guard did not read lowered in time");
                }
                self.guard = GuardState::Lowering(Watch::begin(at));
            }
            Some(Guard::Raised) => {
                if matches!(self.guard, GuardState::Raising(_)) {
                    self.waits(step, at, "the guard did not read raised in time");
                }
                let shows = self.guard == GuardState::Lowered && self.raise_on_its_way.is_none();
                self.raise_on_its_way = Some(Raise { sent: at, shows });
                self.guard = GuardState::Raising(Watch::begin(at));
            }
            None => {}
        }
    }

    /// Nothing can be done to, or need be undone for, a customer who is not in the conference.
    pub(super) fn customer_absent(&mut self, step: &Step, at: EpochMs) {
        self.absent = true;
        for change in &step.why {
            match change {
                Change::RaiseGuard => self.guard = GuardState::Untouched,
                Change::HoldAgain => self.owes_hold = None,
                Change::Start(_)
                | Change::Stop(_)
                | Change::LowerAhead
                | Change::Rejoin
                | Change::Orphan(_)
                | Change::Reconcile
                | Change::Serve => {}
            }
        }
        let reason = "the customer is not in the conference";
        self.streak(step, at, StreakKind::Waiting, reason, None, |change| {
            matches!(change, Change::Start(_) | Change::Stop(_) | Change::LowerAhead)
        });
    }

    pub(super) fn redirected(&mut self, step: &Step, at: EpochMs) {
        self.streams_applied(step, None, at);
        if self.hold_at_risk.take().is_some() || self.held.is_some_and(|(held, _)| held) {
            self.owes_hold = Some(at);
        }
        self.guard = GuardState::Untouched;
        self.raise_on_its_way = None;
        self.rejoining = Some(Watch::begin(at));
        self.doubt = None;
    }

    pub(super) fn rejoined(&mut self) {
        self.rejoining = None;
        self.guard = GuardState::Untouched;
        self.parked.remove(&Change::RaiseGuard);
        self.streaks.remove(&Change::Rejoin);
    }
}
