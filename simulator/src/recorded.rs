//! A call that `taskrouter-streams serve --record` has recorded, told again to the service: a test made of what Twilio really
//! sent.
//!
//! | module | what it is |
//! |---|---|
//! | `folder` | the folder's files |
//! | `answers` | Twilio's API, answering as it did then |
//! | `run` | starts the service, posts what was sent, and judges |
//!
//! Each event and callback waits until the service has asked for what it had asked for by then. So the same call takes place
//! however fast either side is, and what the service does otherwise than then is told.

mod answers;
mod folder;
mod run;

pub use folder::{Recording, RecordingError};
pub use run::{Expectation, Replay, ReplayError, ReplayVerdict};
