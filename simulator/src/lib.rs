//! Twilio seen from outside, over real HTTP: for `demo` and the tests.
//!
//! | module | what it is |
//! |---|---|
//! | [`world`] | the pure state machine: Twilio's rules for tasks, legs, conferences and streams |
//! | `api` | serves it over HTTP |
//! | [`callbacks`] | signs TaskRouter's events and the streams' callbacks and posts them to the worker |
//! | `media` | opens the streams' sockets and sends audio into them |
//! | [`consumer`] | the other end of those sockets: checks what it hears and writes it down |
//! | [`faults`] | what goes wrong on purpose |
//! | [`scenario`] | stories in files, told verb by verb |
//! | [`simulator`] | puts these together around one clock |
//!
//! Nothing here knows the worker, its journal or its HTTP door.

mod api;
pub mod callbacks;
pub mod consumer;
pub mod faults;
mod media;
pub mod scenario;
mod shared;
mod sim_config;
pub mod simulator;
pub mod testbed;
pub mod world;

pub use api::Site;
pub use sim_config::{BadSettings, Ms, Route, SimConfig};
pub use simulator::{Settings, Simulator, StartError};
