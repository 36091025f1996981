//! TwiML that is fetched from where a request or other TwiML says it is.

use super::twiml::DocumentUrl;
use taskrouter_streams::call::sid::CallSid;

/// TwiML to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentOrder {
    /// The leg that will follow it.
    pub call: CallSid,
    /// What the leg was doing then: when it does something else meanwhile, the document is void.
    pub(super) generation: u32,
    /// Where it is.
    pub document: DocumentUrl,
    /// What Twilio says of the call.
    pub form: Vec<(String, String)>,
}
