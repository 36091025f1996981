//! TaskRouter's assignment callbacks, which ask for an instruction for a new reservation.
//! Source: <https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks>; recorded ones name neither an event nor a
//! channel. The answer is JSON with the parameters of the Reservation resource in snake_case.

use super::attributes::Attributes;
use super::event::{Malformed, Parameters};
use super::signature::Pair;
use crate::call::sid::{AccountSid, WorkspaceSid};
use serde_json::{Value, json};
use std::time::Duration;

/// A reservation that waits for an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub account: AccountSid,
    pub workspace: WorkspaceSid,
    /// The attributes name the leg of a customer who called, so there is a caller for a conference.
    pub has_caller: bool,
}

/// How a worker is called into the task's conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConferenceInstruction {
    /// The caller ID on the worker's telephone. Without one, Twilio chooses; a client in a browser ignores it.
    pub from: Option<String>,
    /// How long the worker's leg rings.
    pub ring: Duration,
}

/// Reads an assignment callback. Unreadable attributes are no error: then there is no caller.
pub fn parse(pairs: &[Pair<'_>]) -> Result<Assignment, Malformed> {
    let parameters = Parameters(pairs);
    let attributes = parameters.get("TaskAttributes").map(Attributes::read).unwrap_or_default().call();
    Ok(Assignment {
        account: parameters.strict("AccountSid")?,
        workspace: parameters.strict("WorkspaceSid")?,
        has_caller: attributes.customer.or(attributes.call_sid).is_some()
            && !attributes.outbound
            && !attributes.internal,
    })
}

impl ConferenceInstruction {
    /// The answer for a call: a conference as Flex creates it, which ends when the customer leaves, but without entry beeps. One
    /// `beep` parameter is a string of four values, the other a boolean.
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

/// The answer that leaves the reservation to the worker's client.
pub fn left_to_the_client() -> Value {
    json!({})
}
