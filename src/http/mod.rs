//! The two listeners: the public one, to which Twilio posts, and the admin one, for probes, metrics and the console.
//!
//! | module | what it is |
//! |---|---|
//! | `settings` | limits and accounts of the public listener |
//! | `listener` | a server that ends with any of its threads |
//! | `routes` | what it answers on which path |
//! | `paths` | its paths, and those that nearly are |
//! | `connections`, `connection_table` | how many there are, and what strangers may take |
//! | `guarded_stream` | a connection's socket, which counts |
//! | `versions`, `http2` | serve it in the version of HTTP that it speaks |
//! | `descriptors` | how many open files they may have |
//! | `state` | what its handlers share: takes facts into the journal |
//! | `signed` | reads a body within limits and checks Twilio's signature |
//! | `encoding` | undoes gzip |
//! | `accounts` | whose tokens a request is checked with |
//! | `events` | TaskRouter's event callbacks |
//! | `event_streams` | the same events from an Event Streams sink |
//! | `stream_status` | status callbacks of streams |
//! | `assignment` | assignment callbacks, if enabled |
//! | `pause`, `pause_signature` | signed requests to pause and resume streams, if enabled |
//! | `responses` | its answers: 204, or why not |
//! | `metrics` | what it counts |
//! | `bounded_app` | serves an app for probes and operators |
//! | `admin` | the admin listener: probes and metrics |
//! | `waiting` | both listeners until the journal is open |

mod accounts;
mod admin;
mod assignment;
mod bounded_app;
mod connection_table;
mod connections;
pub mod descriptors;
mod encoding;
mod event_streams;
mod events;
mod guarded_stream;
mod http2;
mod listener;
mod metrics;
mod paths;
mod pause;
mod pause_signature;
mod responses;
mod routes;
mod settings;
mod signed;
mod state;
mod stream_status;
mod versions;
mod waiting;

pub use accounts::IngressAccount;
pub use admin::{AdminSettings, admin};
pub use connections::{CLOSING_PER_THREAD, ConnectionLimits};
pub use listener::{Listener, ListenerHandle};
pub use paths::{EVENT_STREAMS_PATH, EVENTS_PATH, STREAM_STATUS_PATH};
pub use pause_signature::{PauseEntry, PauseKey};
pub use routes::public;
pub use settings::IngressSettings;
pub use waiting::waiting;
