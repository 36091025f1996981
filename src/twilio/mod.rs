//! Twilio's wire formats: signatures, event bodies, TwiML, the REST API. Its names are spelled nowhere else.

pub mod assignment;
pub mod attributes;
pub mod client;
pub mod conference_status;
pub mod event;
pub mod event_record;
pub mod event_stream;
pub mod event_types;
pub mod failure;
pub mod interest;
mod lenient_json;
pub(crate) mod payload;
#[warn(missing_docs)]
pub mod signature;
pub mod stream_status;
#[warn(missing_docs)]
pub mod twiml;
pub mod witness;
