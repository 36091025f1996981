//! Live audio of the customer's call leg for every Twilio Flex agent who handles the call, across transfers, from
//! TaskRouter's events alone.
//!
//! # Layout
//!
//! | module | what it is |
//! |---|---|
//! | [`call`] | the pure core: facts in, the next step out; no clock, no network, no disk |
//! | [`twilio`] | Twilio's words: signatures, event bodies, TwiML, the REST client |
//! | [`journal`] | durable facts and claims on calls |
//! | [`ingest`] | takes facts from outside into the journal; asks for pauses |
//! | [`http`] | the listeners: signed events, and the probes |
//! | [`console`] | the operator's page: calls, their stories, and what was given up |
//! | [`worker`] | asks the core for the next step, performs it, journals how it ended |
//! | [`service`] | the composition root: the only place where all of these meet |
//! | [`cli`] | the commands: they parse arguments and call the service |
//!
//! [`service`], [`config`], [`timeline`] and Twilio's wire formats ([`twilio::signature`], [`twilio::twiml`]) are for other packages, so
//! `missing_docs` binds them. The other modules are public for this workspace's commands, simulator and tests only.
//!
//! Dependencies point one way: `cli` → `service` → `http`, `worker`, `console` → `twilio`, `journal` → `call`; `config` and
//! `telemetry` stand beside them. `tests/it/architecture.rs` holds it. The simulated Twilio of `demo` and the tests is a
//! package of its own, `twilio-simulator`.

pub mod call;
pub mod cli;
#[warn(missing_docs)]
pub mod config;
pub mod console;
pub mod http;
pub mod ingest;
pub mod journal;
#[warn(missing_docs)]
pub mod recording;
#[warn(missing_docs)]
pub mod service;
pub mod telemetry;
#[warn(missing_docs)]
pub mod timeline;
pub mod twilio;
pub mod worker;
