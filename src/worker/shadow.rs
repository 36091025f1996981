//! Shadow mode: everything is decided, and Twilio is only read.
//!
//! A command is not sent. It is settled as Twilio would have answered it, by a reading in its place, and what it would have
//! changed of the customer shows in the readings that follow: so the core decides what it would decide live. All of it is
//! told from the facts, so that it survives a restart.
//!
//! A call is finished in the mode in which its first command was decided. Streams that run, a lowered guard and a lifted
//! hold want their end, also when the process has been started again in the other mode.

use crate::call::Call;
use crate::call::fact::{Fact, What};
use crate::call::sid::{CallSid, ConferenceSid};
use crate::call::step::{Answer, Assumed, Guard, Operation, Outcome, ParticipantRow, Settled};
use crate::twilio::client::{Performed, Turn};
use std::borrow::Cow;

/// What a call would look like had our commands been sent.
pub(super) struct Shadow {
    /// The mode of calls that nothing has been decided for.
    by_settings: bool,
    /// The mode of this one's first command.
    begun: Option<bool>,
    /// The customer's guard, as we would have left it, until he leaves the conference.
    guard: Option<(ConferenceSid, Guard)>,
    /// Where we would have taken the customer off hold, until somebody really does.
    lifted: Option<ConferenceSid>,
}

/// A step as it was settled.
pub(super) struct Shown {
    /// The name of what was asked of Twilio, when anything was.
    pub(super) asked: Option<&'static str>,
    pub(super) performed: Performed,
    pub(super) assumed: Option<Assumed>,
}

impl Shadow {
    pub(super) fn new(by_settings: bool) -> Self {
        Self { by_settings, begun: None, guard: None, lifted: None }
    }

    /// Whether commands of this call are not sent.
    pub(super) fn is_on(&self) -> bool {
        self.begun.unwrap_or(self.by_settings)
    }

    /// Takes note of a fact that `call` has just folded.
    pub(super) fn folded(&mut self, fact: &Fact, call: &Call) {
        match &fact.what {
            What::Begun(_) => _ = self.begun.get_or_insert(false),
            What::Settled(settled) => self.settled(settled, call),
            What::Reservation(_)
            | What::Task(_)
            | What::Transfer(_)
            | What::Stream(_)
            | What::Parked(_)
            | What::Unconfirmed { .. }
            | What::Redriven
            | What::Dismissed
            | What::Unparked => {}
        }
    }

    fn settled(&mut self, settled: &Settled, call: &Call) {
        let Settled { step, outcome, assumed, .. } = settled;
        let not_sent = *assumed == Some(Assumed::NotSent);
        if step.operation.is_command() {
            self.begun.get_or_insert(not_sent);
        }
        let Outcome::Done(answer) = outcome else { return };
        match (&step.operation, answer) {
            (Operation::UpdateCustomer { conference, guard, hold, .. }, Answer::Participant(row)) if not_sent => {
                // Twilio takes a guard from nobody who is held.
                if let (Some(guard), false) = (guard, row.hold == Some(true)) {
                    self.guard = Some((conference.clone(), *guard));
                }
                match hold {
                    Some(true) => self.lifted = None,
                    Some(false) => self.lifted = Some(conference.clone()),
                    None => {}
                }
            }
            // He comes back not held, and with the guard that our TwiML raises.
            (Operation::Redirect { .. }, _) if not_sent => {
                self.lifted = self.guard.take().map(|(conference, _)| conference);
            }
            (Operation::ReadParticipants { .. }, Answer::Participants(rows)) => {
                let is_customer = |row: &ParticipantRow| Some(&row.call) == call.customer();
                if rows.iter().any(is_customer) && !matches!(assumed, Some(Assumed::Seen { hold: true, .. })) {
                    self.lifted = None;
                }
            }
            (
                Operation::UpdateCustomer { .. }
                | Operation::Redirect { .. }
                | Operation::ReadParticipants { .. }
                | Operation::CreateStream { .. }
                | Operation::StopStream { .. }
                | Operation::FetchTask { .. }
                | Operation::FindConference { .. }
                | Operation::FetchConference { .. }
                | Operation::FetchCall { .. },
                _,
            ) => {}
        }
    }

    /// What is asked of Twilio in place of `operation`; `None` when nothing needs to be.
    fn question(operation: &Operation) -> Option<Cow<'_, Operation>> {
        match operation {
            Operation::UpdateCustomer { conference, .. } => {
                Some(Cow::Owned(Operation::ReadParticipants { conference: conference.clone() }))
            }
            Operation::Redirect { customer, .. } | Operation::CreateStream { customer, .. } => {
                Some(Cow::Owned(Operation::FetchCall { customer: customer.clone() }))
            }
            // Whatever Twilio answers to it means that the stream is over.
            Operation::StopStream { .. } => None,
            Operation::FetchTask { .. }
            | Operation::FindConference { .. }
            | Operation::FetchConference { .. }
            | Operation::ReadParticipants { .. }
            | Operation::FetchCall { .. } => Some(Cow::Borrowed(operation)),
        }
    }

    /// Reads what tells how Twilio would answer.
    pub(super) async fn perform(&self, turn: Turn<'_>, operation: &Operation, customer: Option<&CallSid>) -> Shown {
        let Some(question) = Self::question(operation) else {
            let performed = Performed { outcome: Outcome::Done(Answer::Accepted), request_id: None, status: None };
            return Shown { asked: None, performed, assumed: Some(Assumed::NotSent) };
        };
        let Performed { outcome, request_id, status } = turn.perform(&question).await;
        let (outcome, seen) = self.as_if(&question, outcome, customer);
        let (outcome, assumed) = if operation.is_command() {
            (foretold(operation, outcome), Some(Assumed::NotSent))
        } else {
            (outcome, seen)
        };
        let asked = Some(question.name());
        Shown { asked, performed: Performed { outcome, request_id, status }, assumed }
    }

    /// A reading, as it would be had our commands been sent.
    fn as_if(&self, question: &Operation, outcome: Outcome, customer: Option<&CallSid>) -> (Outcome, Option<Assumed>) {
        let (Operation::ReadParticipants { conference }, Outcome::Done(Answer::Participants(mut rows))) =
            (question, outcome.clone())
        else {
            return (outcome, None);
        };
        let (mut guard_assumed, mut hold_assumed) = (false, false);
        for row in rows.iter_mut().filter(|row| Some(&row.call) == customer) {
            if let Some((_, guard)) = self.guard.as_ref().filter(|(of, _)| of == conference) {
                guard_assumed = row.guard.replace(*guard) != Some(*guard);
            }
            if self.lifted.as_ref() == Some(conference) && row.hold == Some(true) {
                row.hold = Some(false);
                hold_assumed = true;
            }
        }
        let assumed =
            (guard_assumed || hold_assumed).then_some(Assumed::Seen { guard: guard_assumed, hold: hold_assumed });
        (Outcome::Done(Answer::Participants(rows)), assumed)
    }
}

/// How Twilio would have answered the command, by what it answered to the question in its place.
fn foretold(command: &Operation, answered: Outcome) -> Outcome {
    match (command, answered) {
        (Operation::UpdateCustomer { customer, guard, hold, .. }, Outcome::Done(Answer::Participants(rows))) => {
            match rows.into_iter().find(|row| row.call == *customer && row.connected) {
                Some(row) => Outcome::Done(Answer::Participant(ParticipantRow {
                    guard: guard.or(row.guard),
                    hold: hold.or(row.hold),
                    ..row
                })),
                None => Outcome::Gone,
            }
        }
        (Operation::Redirect { .. } | Operation::CreateStream { .. }, Outcome::Done(Answer::Call { live: false })) => {
            Outcome::Gone
        }
        (Operation::CreateStream { .. }, Outcome::Done(Answer::Call { live: true })) => {
            Outcome::Done(Answer::Stream(None))
        }
        (_, Outcome::Done(_)) => Outcome::Done(Answer::Accepted),
        // Whatever became of the question, the command was certainly not performed.
        (_, Outcome::Unknown(trouble)) => Outcome::TryLater(trouble),
        (_, ended @ (Outcome::Gone | Outcome::TryLater(_) | Outcome::Refused(_))) => ended,
    }
}
