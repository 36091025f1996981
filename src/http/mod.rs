//! The two listeners: the public one, to which Twilio posts, and the admin one, for probes, metrics and the console.
//!
//! | module | what it is |
//! |---|---|
//! | `settings` | limits and accounts of the public listener |
//! | `routes` | its paths |
//! | `connections` | how many there are, and what strangers may take |
//! | `descriptors` | how many open files they may have |
//! | `state` | what its handlers share: takes facts into the journal |
//! | `signed` | reads a body within limits and checks Twilio's signature |
//! | `accounts` | whose tokens a request is checked with |
//! | `events` | TaskRouter's event callbacks |
//! | `event_streams` | the same events from an Event Streams sink |
//! | `stream_status` | status callbacks of streams |
//! | `assignment` | assignment callbacks, if enabled |
//! | `responses` | its answers: 204, or why not |
//! | `metrics` | what it counts |
//! | `admin` | the admin listener: probes and metrics |

mod accounts;
mod admin;
mod assignment;
mod connections;
pub mod descriptors;
mod event_streams;
mod events;
mod metrics;
mod responses;
mod routes;
mod settings;
mod signed;
mod state;
mod stream_status;

pub use accounts::IngressAccount;
pub use admin::admin;
pub use connections::ConnectionLimits;
pub use routes::{CLOSING_PER_THREAD, EVENT_STREAMS_PATH, EVENTS_PATH, STREAM_STATUS_PATH, public};
pub use settings::IngressSettings;
