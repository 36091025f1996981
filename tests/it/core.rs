//! The pure core: facts in, steps out, all as values. No clock and no network, so thousands of calls take a moment.
//!
//! The invariants that these tests and their neighbours hold, by the numbers in their comments:
//!
//! | | |
//! |---|---|
//! | I1 | no caller is dropped by us |
//! | I2 | only the customer's leg is ever commanded |
//! | I3 | at rest, the streams are those of the agents on the call |
//! | I4 | no name twice, and never more tracks than the leg has |
//! | I5 | after the end nothing but stops, and undoing our own changes |
//! | I6 | an event handled twice has the effect of once, in any order |
//! | I7 | an acknowledged event survives a crash and is acted on |
//! | I8 | guard and hold are what they were before our first write |
//! | I9 | folding the journal equals the live state, at every prefix |
//! | I10 | no secret and no personal data in logs, errors, metrics or pages |
//! | I11 | what is shown of a stream is Twilio's word, or says that it is not |
//! | I12 | what should be and is not is visible: retried, parked or alarmed |
//! | I13 | no stream runs within a pause that is proven |

mod absences;
mod claims;
mod entitlement;
mod guard;
mod holds;
mod laws;
mod leg_checks;
mod legs;
mod mending;
mod outages;
mod pacing;
mod pauses;
mod proofs;
mod recordings;
mod sentences;
pub(crate) mod story;
mod streams_api;
