//! The pure core. A call is the fold of its facts; what should be done next is a function of it and of the time.
//!
//! No clock, no network, no disk, no log, no randomness and no error: everything comes in as a value and goes out as one.
//!
//! | file | what it answers |
//! |---|---|
//! | [`fact`] | what can be known |
//! | [`step`] | what can be done, and how it can end |
//! | [`state`] | what TaskRouter has told: reservations, transfers, whether the call is over |
//! | [`leg`] | what Twilio has told of the customer's leg: conference, guard, hold |
//! | [`ledger`] | what is known of its streams |
//! | `settle`, `readings`, `streams` | how an answer changes that |
//! | `given_up` | changes that are parked, and what makes them due again |
//! | [`plan`] | what should be, and which changes lead there |
//! | [`next`] | the next step |
//! | `hold` | whether a hold that we took is to be put back |
//! | `by_redirect`, `by_api` | the two ways of making changes to streams |
//! | [`rules`] | which streams are wanted where |
//! | [`policy`] | the limits that all of it obeys |

mod by_api;
mod by_redirect;
pub mod fact;
mod given_up;
mod hold;
pub mod ledger;
pub mod leg;
mod newest;
pub mod next;
pub mod plan;
pub mod policy;
mod readings;
pub mod rules;
mod settle;
pub mod sid;
pub mod state;
pub mod step;
mod streams;

pub use next::Next;
pub use policy::Policy;
pub use state::Call;
