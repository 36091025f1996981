//! What the service did that Twilio's customer would have felt.

use crate::sim_config::Ms;
use std::fmt;
use taskrouter_streams::call::sid::CallSid;

/// A misuse, and when. The messages hold SIDs and stream names only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When, by the world's clock.
    pub at: Ms,
    /// What.
    pub what: Misuse,
}

/// The kinds of misuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misuse {
    /// The customer's conversation ended because of a command.
    CustomerDropped {
        /// The customer's leg.
        call: CallSid,
        /// How.
        how: Drop,
    },
    /// The leg dialled back into a conference that was over, so that Twilio made a new one.
    RejoinedNewConference {
        /// The customer's leg.
        call: CallSid,
    },
    /// A leg that is not the customer's was commanded.
    OtherLegTouched {
        /// The leg.
        call: CallSid,
        /// As in "a worker's".
        whose: &'static str,
    },
    /// A stream's name was used before on this call.
    DuplicateStreamName {
        /// The leg.
        call: CallSid,
        /// The name.
        name: String,
    },
    /// A fifth track was asked for.
    TrackBudgetExceeded {
        /// The leg.
        call: CallSid,
        /// The stream.
        name: String,
    },
    /// A stream was asked for that Twilio cannot open.
    BadStream {
        /// The leg.
        call: CallSid,
        /// Why.
        reason: String,
    },
    /// The rejoin was not told `beep="false"`.
    Beep {
        /// The leg.
        call: CallSid,
    },
    /// TwiML that the leg cannot follow.
    BadTwiml {
        /// The leg.
        call: CallSid,
        /// Why.
        reason: String,
    },
    /// A command on a call that was over, of which an acknowledged event had told long enough before.
    CommandAfterOver {
        /// The leg.
        call: CallSid,
    },
    /// A stream ran on, long after an acknowledged event had told that no agent was on the call any more.
    StreamedUnattended {
        /// The leg.
        call: CallSid,
        /// The stream.
        name: String,
    },
    /// The customer hung up while a command had lowered the guard, and the agents are still in the conference.
    AgentsLeftBehind {
        /// The customer's leg.
        call: CallSid,
    },
    /// An endpoint that does not exist.
    UnknownEndpoint {
        /// Method and path.
        target: String,
    },
}

/// How a command ended the customer's conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drop {
    /// Redirected while the guard was raised: the conference ended.
    GuardRaised,
    /// Redirected while alone in the conference: the conference ended.
    Alone,
    /// The call was ended by command, or by TwiML that leads nowhere.
    HungUp,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Misuse::CustomerDropped { call, how } => {
                let how = match how {
                    Drop::GuardRaised => "redirected while the guard was raised",
                    Drop::Alone => "redirected while alone in the conference",
                    Drop::HungUp => "the call was ended",
                };
                write!(f, "customer {call} dropped: {how}")
            }
            Misuse::RejoinedNewConference { call } => write!(f, "{call} rejoined into a new conference"),
            Misuse::OtherLegTouched { call, whose } => write!(f, "{call} is {whose} leg and was commanded"),
            Misuse::DuplicateStreamName { call, name } => write!(f, "{call} already had a stream named {name}"),
            Misuse::TrackBudgetExceeded { call, name } => write!(f, "no track left on {call} for the stream {name}"),
            Misuse::BadStream { call, reason } => write!(f, "{call} was asked for a stream that cannot be: {reason}"),
            Misuse::Beep { call } => write!(f, "{call} rejoined with a beep"),
            Misuse::BadTwiml { call, reason } => write!(f, "{call} cannot follow its TwiML: {reason}"),
            Misuse::CommandAfterOver { call } => write!(f, "{call} was commanded after its end was known"),
            Misuse::StreamedUnattended { call, name } => {
                write!(f, "{call} is streamed by {name} with nobody entitled")
            }
            Misuse::AgentsLeftBehind { call } => {
                write!(f, "{call} is over, and its agents are left behind in the conference")
            }
            Misuse::UnknownEndpoint { target } => write!(f, "no such endpoint: {target}"),
        }
    }
}
