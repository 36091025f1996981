//! Shadow mode: everything is decided, and Twilio is only read.
//!
//! A command is not sent. A reading in its place predicts Twilio's answer, and later readings are changed to show what the
//! command would have done to the customer's guard and hold. So the core decides what it would decide live. All of this is
//! derived from the facts, so that it survives a restart.
//!
//! A call is finished in the mode in which its first command was decided, also when the process restarts in the other mode:
//! streams that run must be stopped, and the guard and the hold restored.

use crate::call::Call;
use crate::call::fact::{Fact, FactKind};
use crate::call::recording::{RecordingRow, RecordingStatus};
use crate::call::sid::{CallSid, ConferenceSid};
use crate::call::step::{
    Answer, Assumed, CallRow, CallStatus, Command, Guard, Operation, Outcome, ParticipantRow, Read, Settled, Trouble,
};
use crate::twilio::client::{Arming, Performed, Permit};
use std::borrow::Cow;

/// What a call would look like if our commands had been sent.
pub(super) struct Shadow {
    /// The mode of new calls.
    by_settings: bool,
    /// The mode in which this call's first command was decided.
    begun: Option<bool>,
    /// The customer's guard as we would have left it, until the customer leaves the conference.
    guard: Option<(ConferenceSid, Guard)>,
    /// The conference in which we would have taken the customer off hold, until somebody does.
    unheld: Option<ConferenceSid>,
}

/// How a step ended, performed or predicted.
pub(super) struct ShadowResult {
    /// The operation that was sent to Twilio, if any.
    pub(super) asked: Option<&'static str>,
    pub(super) performed: Performed,
    pub(super) assumed: Option<Assumed>,
}

impl Shadow {
    pub(super) fn new(by_settings: bool) -> Self {
        Self { by_settings, begun: None, guard: None, unheld: None }
    }

    /// Whether this call's commands are withheld.
    pub(super) fn is_on(&self) -> bool {
        self.begun.unwrap_or(self.by_settings)
    }

    /// Notes a fact that `call` has just folded.
    pub(super) fn folded(&mut self, fact: &Fact, call: &Call) {
        match &fact.kind {
            FactKind::Begun(_) => _ = self.begun.get_or_insert(false),
            FactKind::Settled(settled) => self.settled(settled, call),
            FactKind::Reservation(_)
            | FactKind::Task(_)
            | FactKind::Transfer(_)
            | FactKind::Stream(_)
            | FactKind::Participant(_)
            | FactKind::Parked(_)
            | FactKind::Recovered(_)
            | FactKind::Noticed(_)
            | FactKind::Redriven
            | FactKind::Dismissed
            | FactKind::Operated(_)
            | FactKind::Paused(_)
            | FactKind::Resumed(_)
            | FactKind::Unparked => {}
        }
    }

    fn settled(&mut self, settled: &Settled, call: &Call) {
        let Settled { step, outcome, assumed, .. } = settled;
        let not_sent = *assumed == Some(Assumed::NotSent);
        if step.operation.command().is_some() {
            self.begun.get_or_insert(not_sent);
        }
        let Outcome::Done(answer) = outcome else { return };
        match (&step.operation, answer) {
            (Operation::Command(Command::UpdateCustomer { conference, guard, hold, .. }), Answer::Participant(row))
                if not_sent =>
            {
                // Twilio does not change the guard of a participant on hold.
                if let (Some(guard), false) = (guard, row.hold == Some(true)) {
                    self.guard = Some((conference.clone(), *guard));
                }
                match hold {
                    Some(true) => self.unheld = None,
                    Some(false) => self.unheld = Some(conference.clone()),
                    None => {}
                }
            }
            // The customer returns off hold, and with the guard that our TwiML raises.
            (Operation::Command(Command::Redirect { .. }), _) if not_sent => {
                self.unheld = self.guard.take().map(|(conference, _)| conference);
            }
            (Operation::Read(Read::Participants { .. }), Answer::Participants(rows)) => {
                let is_customer = |row: &ParticipantRow| Some(&row.call) == call.customer();
                if rows.iter().any(is_customer) && !matches!(assumed, Some(Assumed::Seen { hold: true, .. })) {
                    self.unheld = None;
                }
            }
            (Operation::Command(_) | Operation::Read(_), _) => {}
        }
    }

    /// The reading that is sent in place of `operation`; `None` when none is needed.
    fn substitute(operation: &Operation) -> Option<Cow<'_, Operation>> {
        let reading = match operation {
            Operation::Read(_) => return Some(Cow::Borrowed(operation)),
            Operation::Command(Command::UpdateCustomer { conference, .. }) => {
                Read::Participants { conference: conference.clone() }
            }
            Operation::Command(
                Command::Redirect { customer, .. }
                | Command::CreateStream { customer, .. }
                | Command::StopStream { customer, .. },
            ) => Read::Call { call: customer.clone() },
            Operation::Command(Command::PauseRecording { of, .. } | Command::ResumeRecording { of, .. }) => {
                Read::Recordings { of: of.clone() }
            }
            // No guard was lowered that would keep the conference from ending.
            Operation::Command(Command::EndConference { .. }) => return None,
        };
        Some(Cow::Owned(Operation::Read(reading)))
    }

    /// Sends a reading in place of a command and predicts how Twilio would have answered the command.
    pub(super) async fn perform(
        &self,
        permit: Permit<'_>,
        operation: &Operation,
        customer: Option<&CallSid>,
    ) -> ShadowResult {
        let Some(reading) = Self::substitute(operation) else {
            let performed = Performed { outcome: Outcome::Done(Answer::Accepted), request_id: None, status: None };
            return ShadowResult { asked: None, performed, assumed: Some(Assumed::NotSent) };
        };
        let Performed { outcome, request_id, status } = permit.perform(&reading, Arming::always()).await;
        let (outcome, seen) = self.as_if(&reading, outcome, customer);
        let (outcome, assumed) = match operation {
            Operation::Command(command) => (predicted(command, outcome), Some(Assumed::NotSent)),
            Operation::Read(_) => (outcome, seen),
        };
        let asked = Some(reading.name());
        ShadowResult { asked, performed: Performed { outcome, request_id, status }, assumed }
    }

    /// The reading as it would be if our commands had been sent.
    fn as_if(&self, reading: &Operation, outcome: Outcome, customer: Option<&CallSid>) -> (Outcome, Option<Assumed>) {
        let (Operation::Read(Read::Participants { conference }), Outcome::Done(Answer::Participants(mut rows))) =
            (reading, outcome.clone())
        else {
            return (outcome, None);
        };
        let (mut guard_assumed, mut hold_assumed) = (false, false);
        for row in rows.iter_mut().filter(|row| Some(&row.call) == customer) {
            if let Some((_, guard)) = self.guard.as_ref().filter(|(of, _)| of == conference) {
                guard_assumed = row.guard.replace(*guard) != Some(*guard);
            }
            if self.unheld.as_ref() == Some(conference) && row.hold == Some(true) {
                row.hold = Some(false);
                hold_assumed = true;
            }
        }
        let assumed =
            (guard_assumed || hold_assumed).then_some(Assumed::Seen { guard: guard_assumed, hold: hold_assumed });
        (Outcome::Done(Answer::Participants(rows)), assumed)
    }
}

/// How Twilio would have answered the command, by its answer to the reading.
fn predicted(command: &Command, answered: Outcome) -> Outcome {
    let not_there = |reason: &str| Trouble {
        status: None,
        code: None,
        reason: reason.to_owned(),
        retry_after_ms: None,
        lost: false,
    };
    match (command, answered) {
        (Command::UpdateCustomer { customer, guard, hold, .. }, Outcome::Done(Answer::Participants(rows))) => {
            match rows.into_iter().find(|row| row.call == *customer && row.connected) {
                Some(row) => Outcome::Done(Answer::Participant(ParticipantRow {
                    guard: guard.or(row.guard),
                    hold: hold.or(row.hold),
                    ..row
                })),
                None => Outcome::NotFound(not_there("the customer is not in the conference")),
            }
        }
        (_, Outcome::Done(Answer::Call(CallRow { status: CallStatus::Over | CallStatus::Coming, .. }))) => {
            Outcome::NotInProgress(not_there("the call is not in progress"))
        }
        (Command::PauseRecording { recording, .. }, Outcome::Done(_)) => {
            let (sid, status) = (recording.clone(), RecordingStatus::Paused);
            Outcome::Done(Answer::Recording(RecordingRow { sid, status }))
        }
        (Command::ResumeRecording { recording, .. }, Outcome::Done(_)) => {
            let (sid, status) = (recording.clone(), RecordingStatus::InProgress);
            Outcome::Done(Answer::Recording(RecordingRow { sid, status }))
        }
        (_, Outcome::Done(_)) => Outcome::Done(Answer::Accepted),
        // However the reading ended, the command was certainly not performed.
        (_, Outcome::Unknown(trouble)) => Outcome::TryLater(Trouble { lost: false, ..trouble }),
        (_, failed) => failed,
    }
}
