//! Twilio's words, and the only place where they are spelled: signatures, event bodies, TwiML, the REST API.

pub mod attributes;
pub mod client;
pub mod event;
pub mod event_record;
pub mod event_stream;
pub mod failure;
pub mod interest;
mod payload;
pub mod signature;
pub mod stream_status;
pub mod twiml;
