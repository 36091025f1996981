//! The two listeners: the public one, where Twilio posts its events, and the private one, for probes.

mod admin;
mod ingress;

pub use admin::admin;
pub use ingress::{IngressSettings, public};
