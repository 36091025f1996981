//! The pure core. A call is the fold of its facts; what should be done next is a function of it and of the time.
//!
//! No clock, no network, no disk, no log, no randomness and no error: everything comes in as a value and goes out as one.
//!
//! | file | what it answers |
//! |---|---|
//! | [`fact`] | what can be known |
//! | [`step`] | what can be done, and how it can end |
//! | [`state`] | what TaskRouter has told: reservations, transfers, whether the call is over |
//! | [`leg`] | what Twilio has told of the customer's leg: conference, guard, hold, streams |
//! | `settle` | how an answer changes that |
//! | [`plan`] | what should be, and which changes lead there |
//! | [`next`] | the next step |
//! | [`policy`] | the limits that all of it obeys |

pub mod fact;
pub mod leg;
pub mod next;
pub mod plan;
pub mod policy;
mod settle;
pub mod sid;
pub mod state;
pub mod step;

pub use next::Next;
pub use policy::Policy;
pub use state::Call;
