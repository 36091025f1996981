//! The two listeners: the public one, where Twilio posts its events, and the private one, for probes.
//!
//! | module | what it is |
//! |---|---|
//! | `routes` | the paths of the public listener, and what its handlers share |
//! | `accounts` | whose events are taken, and with whose tokens they are checked |
//! | `signed` | a body within limits, and Twilio's signature over it |
//! | `refusal` | every answer that is not 204 |
//! | `events` | TaskRouter's event callbacks |
//! | `stream_status` | status callbacks of streams |
//! | `event_streams` | the same events from an Event Streams sink |
//! | `counted` | what the public listener counts |
//! | `assignment` | assignment callbacks, where they are switched on |
//! | `admin` | the probes |

mod accounts;
mod admin;
mod assignment;
mod counted;
mod event_streams;
mod events;
mod refusal;
mod routes;
mod signed;
mod stream_status;

pub use accounts::Account;
pub use admin::admin;
pub use routes::{EVENT_STREAMS_PATH, EVENTS_PATH, IngressSettings, STREAM_STATUS_PATH, public};
