//! TaskRouter's assignment callbacks: a reservation was made, and what shall be done with it?
//! Source: <https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks>; recorded ones name neither an event nor a
//! channel, and their answer is JSON with the names of the Reservation resource, in snake_case.

use super::attributes::Attributes;
use super::event::{Malformed, Parameters};
use super::signature::Pair;
use crate::call::sid::{AccountSid, WorkspaceSid};
use serde_json::{Value, json};
use std::time::Duration;

/// A reservation that waits for an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Whose it is.
    pub account: AccountSid,
    /// Whose it is.
    pub workspace: WorkspaceSid,
    /// The attributes name the leg of a customer who called: there is somebody to put into a conference.
    pub has_caller: bool,
}

/// How a worker is called into the task's conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConferenceInstruction {
    /// The number that the worker's telephone shows; left to Twilio when absent, and of no use to a client in a browser.
    pub from: Option<String>,
    /// How long the worker's leg rings.
    pub ring: Duration,
}

/// Reads an assignment callback. Odd attributes are no error: then nobody is known to have called.
pub fn parse(pairs: &[Pair<'_>]) -> Result<Assignment, Malformed> {
    let parameters = Parameters(pairs);
    let attributes = parameters.get("TaskAttributes").map(Attributes::read).unwrap_or_default().call();
    Ok(Assignment {
        account: parameters.strict("AccountSid")?,
        workspace: parameters.strict("WorkspaceSid")?,
        has_caller: attributes.customer.is_some() && !attributes.outbound,
    })
}

impl ConferenceInstruction {
    /// The answer for a call: a conference as Flex makes it, which ends with the customer, but without a beep at either's
    /// entrance. The one is a text with four values, the other a truth value.
    pub fn answer(&self) -> Value {
        let mut answer = json!({
            "instruction": "conference",
            "beep": "false",
            "beep_on_customer_entrance": false,
            "end_conference_on_exit": false,
            "end_conference_on_customer_exit": true,
            "timeout": self.ring.as_secs(),
        });
        if let (Some(from), Some(fields)) = (&self.from, answer.as_object_mut()) {
            fields.insert("from".to_owned(), json!(from));
        }
        answer
    }
}

/// The answer that leaves a reservation to the worker's client.
pub fn left_to_the_client() -> Value {
    json!({})
}
