//! Scenarios in files: who calls, who accepts, who transfers to whom, and what should be true whenever all is at rest.
//!
//! ```toml
//! name = "warm-transfer"
//! title = "A warm transfer"
//! steps = [
//!     "customer calls",
//!     "alice accepts",
//!     "settle",
//!     "expect streams alice, not held, guard raised",
//! ]
//! [settings]            # any field of `SimConfig`
//! rejoin_ms = 20
//! ```
//!
//! The verbs are listed at [`Verb`], what can be expected at [`Expectation`].

mod bundled;
mod parse;
mod run;

pub use bundled::SCENARIOS;
pub use parse::{parse_step, read};
pub use run::{Outcome, narrate, run};

use super::callbacks::DeliveryFault;
use super::faults::{Fault, On};
use super::sim_config::{BadSettings, SimConfig};
use super::world::{CallAction, Mode, NewTask, SocketFailure, Target};

/// A call or several, step by step, with what is expected of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Its name, in lower case with hyphens: also its file's.
    pub name: String,
    /// A line for people.
    pub title: String,
    /// What it overrides of [`SimConfig`].
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Its steps, each with its own words.
    pub steps: Vec<Step>,
}

/// A step and how the file words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// As written.
    pub words: String,
    /// As meant.
    pub verb: Verb,
}

/// What a step does. Agents are called by their names; each variant's words stand in its doc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// "customer calls": all later steps are about this call.
    CustomerCalls,
    /// "customer writes": a chat task.
    CustomerWrites,
    /// "alice calls out".
    CallsOut(String),
    /// "customer answers".
    CustomerAnswers,
    /// "customer hangs up".
    CustomerHangsUp,
    /// "conference ends".
    ConferenceEnds,
    /// "alice accepts".
    Accepts(String),
    /// "alice rejects".
    Rejects(String),
    /// "alice times out".
    TimesOut(String),
    /// "alice cannot be reached".
    CannotBeReached(String),
    /// "alice transfers to bob, warm", "alice transfers to the queue of bob and carol, cold".
    Transfers(String, Target, Mode),
    /// "alice cancels the transfer".
    CancelsTransfer(String),
    /// "alice holds", "alice and bob hold".
    Hold(Vec<String>),
    /// "alice unholds", "alice and bob unhold".
    Unhold(Vec<String>),
    /// "alice leaves".
    Leaves(String),
    /// "alice completes".
    Completes(String),
    /// "the next reservation.wrapup is dropped" (or "duplicated", "swapped", "delayed by 50 ms"); "the next stream-started is …";
    /// "the next event is …", which is one of TaskRouter's.
    DeliveryFault(Option<String>, DeliveryFault),
    /// "the destination refuses the next stream", "the destination hangs on the next 3 streams": Twilio accepts them and
    /// tells of the failure.
    SocketsFail(SocketFailure, u32),
    /// "the socket of alice dies": of that agent's newest running stream.
    SocketDies(String),
    /// "an outside number joins", "an outside number joins, guard raised", "the outside number leaves", "a supervisor listens
    /// in", "the supervisor leaves", "the customer goes to a survey", "the task is cancelled", "the task is deleted", "Flex
    /// raises the guard", "Flex lowers the guard", "a plugin records the call", "a plugin pauses the recording of the call" (or "resumes"),
    /// "the recording of the call stops", and the same of the conference, which begins with "Flex records the conference".
    Happens(CallAction),
    /// "a callback task comes" (or "voicemail", "internal"), "alice calls bob", "the customer is queued again", "another task
    /// names the same call". Later steps are about this task, or where that is impossible for an agent about an older one of the same call.
    Comes(NewTask),
    /// "the next stop is ignored", "the next 3 stops are ignored": they are answered as if they were carried out.
    StopsIgnored(u32),
    /// "wait 3000 ms".
    Wait(u64),
    /// "the next redirect is answered 503", "… is answered 200 with HTML" (or "nothing", "plain text", "XML", "truncated
    /// JSON"), "… is answered 500 after its effect", "… is cut before its effect", "… is cut after its effect", "… hangs
    /// before its effect", "… is cut and lands 800 ms later", "… hangs and lands 800 ms later", "the conference ends before the next redirect", "the customer hangs up after the next redirect".
    Fault(On, Fault),
    /// "settle": until nothing moves any more.
    Settle,
    /// "expect …": several are separated by commas. "expect \[redirect\] …": only of a service that uses this strategy.
    Expect {
        /// The only strategy that it is expected of; `None` means any.
        of: Option<String>,
        /// What should be true.
        all: Vec<Expectation>,
    },
}

/// What should be true at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// "streams alice and bob", "no streams".
    Streams(Vec<String>),
    /// "held", "not held".
    Held(bool),
    /// "guard raised", "guard lowered".
    GuardRaised(bool),
    /// "call over", "call live".
    Over(bool),
    /// "no requests": about this task.
    NoRequests,
    /// "no commands": about this task, whatever was read.
    NoCommands,
}

/// A scenario file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Not TOML of the right form.
    #[error("{0}")]
    Form(String),
    /// A step that is not understood.
    #[error("step {number} (\"{words}\"): {reason}")]
    Step {
        /// From 1.
        number: usize,
        /// As written.
        words: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A setting that does not exist.
    #[error(transparent)]
    Settings(#[from] BadSettings),
}

impl Scenario {
    /// How the world behaves in this scenario.
    pub fn config(&self, base: &SimConfig) -> Result<SimConfig, ScenarioError> {
        Ok(base.overridden(&self.settings)?)
    }
}
