//! Twilio seen from outside, over real HTTP and WebSockets: its TaskRouter, conferences, calls and media streams.
//!
//! | module | what it is |
//! |---|---|
//! | [`world`] | the pure state machine: Twilio's rules for tasks, legs, conferences and streams |
//! | `api` | serves it over HTTP |
//! | `documents` | fetches the TwiML that calls are to follow |
//! | [`callbacks`] | signs TaskRouter's events and the streams' callbacks and posts them to the service |
//! | `media` | opens the streams' sockets and sends audio into them |
//! | [`consumer`] | the other end of those sockets: checks what it hears and writes it down |
//! | [`faults`] | what goes wrong on purpose |
//! | [`scenario`] | scenarios in files, played verb by verb |
//! | [`simulator`] | puts these together around one clock |
//! | [`testbed`] | taskrouter-streams running against the simulator |
//!
//! Except for `testbed`, nothing here knows more of taskrouter-streams than its types for what goes over the wire.

#![warn(missing_docs)]

mod api;
pub mod callbacks;
pub mod consumer;
mod delivery;
mod documents;
pub mod faults;
mod media;
pub mod scenario;
mod settings;
mod shared;
mod sim_config;
pub mod simulator;
mod site;
pub mod testbed;
pub mod world;

pub use sim_config::{AssumedErrors, BadSettings, Chunks, Ms, RestError, Route, SimConfig};
pub use simulator::{Settings, Simulator, StartError};
pub use site::Site;
