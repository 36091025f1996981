//! Every test that needs more than one module, in one binary so that it links once.

mod client;
mod config;
mod event;
mod ingress;
mod journal;
mod signature;
mod simulator;
mod twiml;
