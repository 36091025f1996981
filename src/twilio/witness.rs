//! Who is shown what Twilio sends, as it came: for recording it. All of it may hold personal data.

use super::client::Request;
use super::signature::Pair;
use crate::call::sid::TaskSid;
use std::fmt::Debug;

/// Sees what came from Twilio and was authentic. Nobody waits for it, so it must return at once.
pub trait Witness: Debug + Send + Sync {
    /// An Event Callback that was of use.
    fn saw_event(&self, pairs: &[Pair<'_>]);

    /// A delivery of Event Streams that had something of use.
    fn saw_delivery(&self, body: &[u8]);

    /// A stream's status callback for our address for this task.
    fn saw_status(&self, task: &TaskSid, pairs: &[Pair<'_>]);

    /// The place, among everything that is seen, of a request that is sent now. What Twilio sends because of it may come before
    /// its answer.
    fn place(&self) -> u64;

    /// The API's answer to the request that was sent at this place.
    fn saw_answer(&self, place: u64, request: &Request, status: u16, body: &[u8]);
}
